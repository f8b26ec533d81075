"""What the pages say of image networks."""

from collections.abc import Iterator, Mapping
from typing import Any

from . import columns, of_images

FIRST = "superpoint"  # the network that the others are compared with
TITLES = {  # and how each is written
    "mma3": ("MMA@3", ".1f"),
    "homography1": ("H@1", ".1f"),
    "homography3": ("H@3", ".1f"),
    "homography5": ("H@5", ".1f"),
    "repeatability3": ("repeatability@3", ".1f"),
    "localisation_error": ("MLE, px", ".2f"),
    "keypoints": ("keypoints", ",.0f"),
    "matches": ("matches", ",.0f"),
}
NONE = "-"
MEANING = (
    "MMA@3: matches at most 3 px off; H@1, H@3, H@5: homographies whose corners are on average "
    "less than 1, 3, 5 px off; repeatability@3: keypoints that are in the other image too, at most "
    "3 px off, and MLE, how far off these are in the mean; keypoints are of an image, matches of a "
    "pair."
)


def rows(index: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines of the table as plain values: networks from large to small, then peers.

    A score is its overall mean, None where there was nothing to measure. A patch network that is
    shipped too is no peer, although it comes among them.
    """
    networks = {n: entry for n, entry in index["networks"].items() if of_images(entry)}
    first = columns.compared(networks, FIRST)
    return [
        {
            **columns.size(name, entry, first, peer=name not in index["networks"]),
            **{key: entry["measured"].get(key, {}).get("overall") for key in TITLES},
        }
        for name, entry in [*networks.items(), *index.get("image_peers", {}).items()]
    ]


def table(index: Mapping[str, Any]) -> str:
    """The same for the README."""
    titles = [*columns.TITLES, "GMACs", "KB", *(title for title, _ in TITLES.values())]
    lines = [
        [*columns.cells(row, 1e9), *(_cell(key, row[key]) for key in TITLES)] for row in rows(index)
    ]
    return columns.markdown(titles, lines, _caption(index))


def _cell(key: str, value: float | None) -> str:
    return NONE if value is None else f"{value:{TITLES[key][1]}}"


def _caption(index: Mapping[str, Any]) -> str:
    entry = next(entry for entry in index["networks"].values() if of_images(entry))
    return (
        f"One run on {_data(index['image_measurement'])}. Shares are in per cent. {MEANING} "
        f"GMACs: of {pixels(entry)}; of a patch network, of as many patches as keypoints are kept."
    )


def pixels(entry: Mapping[str, Any]) -> str:
    """What the multiply-accumulates of an image network are said of."""
    height, width = entry["macs_at"]
    return f"an image of {height} x {width} pixels"


def _data(measurement: Mapping[str, Any]) -> str:
    counts, settings = measurement["counts"], measurement["settings"]
    how, size, repeats = settings["estimation"], settings["size"], settings["repeats"]
    resized = f"{settings['side']} side {size} px" if size else "images as they are"
    often = f", {repeats} times a pair, the matches in other orders" if repeats > 1 else ""
    return (
        f"{counts['pairs']:,} pairs of {counts['sequences']} sequences "
        f"({resized}, at most {settings['keypoints']:,} keypoints, mutual nearest neighbours, "
        f"OpenCV's {how['method'].upper()} at {how['threshold']:g} px{often})"
    )


def results(entry: Mapping[str, Any], index: Mapping[str, Any]) -> Iterator[str]:
    """Of a card: what a network reaches."""
    measurement, measured = index["image_measurement"], entry["measured"]
    groups = [name for name in next(iter(measured.values())) if name not in ("overall", "interval")]
    confidence = f"{measurement['settings']['bootstrap']['confidence']:.0%} interval"
    yield f"On {_data(measurement)}, by `{measurement['command']}`. Shares are in per cent."
    yield ""
    yield f"| | overall | {' | '.join([confidence, *groups])} |"
    yield f"| --- | ---: | ---: | {' | '.join('---:' for _ in groups)} |"
    for key, scores in measured.items():
        ends = " to ".join(_cell(key, end) for end in scores.get("interval", ())) or NONE
        overall, *means = (_cell(key, scores.get(group)) for group in ("overall", *groups))
        yield f"| {TITLES[key][0]} | {' | '.join([overall, ends, *means])} |"
    yield f"\n{MEANING}"
