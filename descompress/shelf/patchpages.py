"""What the pages say of patch networks."""

from collections.abc import Iterator, Mapping
from typing import Any

from . import columns, of_images
from .records import LEVELS

FIRST = "hardnet"  # the network that the others are compared with
TASKS = {
    "verification": "verification",
    "matching": "matching",
    "retrieval_mean_of_pools": "retrieval, mean of pools",
    "retrieval_full_pool": "retrieval, full pool",
}
SHOWN = {  # columns of the table
    "verification": "verification",
    "matching": "matching",
    "retrieval": "retrieval_mean_of_pools",
}


def rows(index: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines of the table as plain values: networks from large to small, then peers."""
    networks = {n: entry for n, entry in index["networks"].items() if not of_images(entry)}
    first = columns.compared(networks, FIRST)
    lines = [_row(name, entry, first, peer=False) for name, entry in networks.items()]
    return lines + [_row(name, entry, first, peer=True) for name, entry in index["peers"].items()]


def _row(
    name: str, entry: Mapping[str, Any], first: Mapping[str, Any], *, peer: bool
) -> dict[str, Any]:
    measured = entry["measured"]
    return {
        **columns.size(name, entry, first, peer=peer),
        **{title: measured[task]["mean"] for title, task in SHOWN.items()},
        "fpr95": measured["fpr95"],
    }


def table(index: Mapping[str, Any]) -> str:
    """The same for the README."""
    found = rows(index)
    tours = list(dict.fromkeys(tour for row in found for tour in row["fpr95"]))
    titles = [*columns.TITLES, "MMACs", "KB", *SHOWN, *(f"FPR95 {t}" for t in tours)]
    lines = [_cells(row, tours) for row in found]
    return columns.markdown(titles, lines, _caption(index))


def _cells(row: Mapping[str, Any], tours: list[str]) -> list[str]:
    return [
        *columns.cells(row, 1e6),
        *(f"{row[title]:.2f}" for title in SHOWN),
        *(f"{row['fpr95'][tour]:.2f}" if tour in row["fpr95"] else "" for tour in tours),
    ]


def _caption(index: Mapping[str, Any]) -> str:
    return (
        f"One run on {_data(index['measurement'])}. In per cent: mAP, the mean of Easy, Hard and "
        "Tough (retrieval: of the seven pools as well), and the false positive rate at 95 % recall "
        "(FPR95)."
    )


def _data(measurement: Mapping[str, Any]) -> str:
    counts, extraction = measurement["counts"], measurement.get("extraction")
    how = ""
    if extraction:
        settings = ", ".join(f"{key} {value}" for key, value in extraction.items())
        how = f", cut by `hpatches-eval extract` ({settings})"
    tours = "".join(
        f", and {tour['pairs']:,} pairs of {name}"
        for name, tour in measurement["phototour"].items()
    )
    return f"{counts['patches']:,} points of {counts['sequences']} sequences{how}{tours}"


def results(entry: Mapping[str, Any], index: Mapping[str, Any]) -> Iterator[str]:
    """Of a card: what a network reaches."""
    measurement = index["measurement"]
    confidence = f"{measurement['confidence']:.0%} interval"
    yield f"On {_data(measurement)}, by `{measurement['command']}`. In per cent."
    yield ""
    yield f"| mAP | mean | {confidence} | {' | '.join(LEVELS.values())} |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for task, title in TASKS.items():
        scores = entry["measured"][task]
        low, high = scores["interval"]
        levels = " | ".join(f"{scores[level]:.2f}" for level in LEVELS.values())
        yield f"| {title} | {scores['mean']:.2f} | {low:.2f} to {high:.2f} | {levels} |"
    rates = entry["measured"]["fpr95"].items()
    if rates:
        said = ", ".join(f"{rate:.2f} on {tour}" for tour, rate in rates)
        yield f"\nFalse positive rate at 95 % recall: {said}."
