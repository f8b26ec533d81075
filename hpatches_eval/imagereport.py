"""Results of `evaluate_images` for people: a table, Markdown, and a picture of the curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import RequestError
from .files import replacing
from .imagemetrics import HEADLINE, THRESHOLDS
from .report import piped

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

_TITLES = {
    "keypoints": "keypoints",
    "matches": "matches",
    "repeatability": "repeatability",
    "localisation_error": "MLE, px",
    "mma_3": "MMA@3",
    "homography_3": "H@3",
    "homography": "H@1/3/5",
    "auc": "AUC@1/3/5",
    "nn_map": "NN mAP",
    "matching_score": "M.Score",
    "seconds": "ms: detect, describe, match",
}
_NONE = "-"
_CURVES = {"mma": "Mean matching accuracy", "homography": "Homography correctness"}


def table(results: Sequence[Mapping[str, Any]]) -> "Table":
    """A table to print with rich."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    out = Table(box=SIMPLE_HEAD, caption=caption(results), caption_justify="left")
    out.add_column("per cent", overflow="fold")
    for title in _TITLES.values():
        out.add_column(title, justify="right")
    for result in results:
        out.add_row(*_cells(result, "\n"), end_section=True)
    return out


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """The same table for a README."""
    text = piped(["per cent", *_TITLES.values()], [_cells(r, "<br>") for r in results])
    return f"{text}\n\n{caption(results)}\n"


def caption(results: Sequence[Mapping[str, Any]]) -> str:
    """What the numbers mean and how they were measured."""
    settings, counts = results[0]["settings"], results[0]["counts"]
    how, size = settings["estimation"], settings["size"]
    resized = f"{settings['side']} side {size} px" if size else "images as they are"
    repeats = f", {settings['repeats']} times a pair" if settings["repeats"] > 1 else ""
    return (
        f"{counts['pairs']} pairs of {counts['sequences']} sequences, {resized}, at most "
        f"{settings['keypoints']} keypoints, mutual nearest neighbours, OpenCV's "
        f"{how['method'].upper()} at {how['threshold']:g} px{repeats}. Lines: overall, its "
        f"{settings['bootstrap']['confidence']:.0%} bootstrap interval over sequences, "
        f"illumination, viewpoint. Repeatability, M.Score and NN mAP are at "
        f"{settings['within']:g} px; NN mAP is by the true homography. Milliseconds are of an "
        f"image for detection and description (one number where they are not told apart), of a "
        f"pair for matching."
    )


def plot(results: Sequence[Mapping[str, Any]], path: str | Path, *, force: bool = False) -> None:
    """Write MMA and homography correctness over their thresholds as a PNG file.

    Raises:
        RequestError: matplotlib is not installed.
        OutputError: The file exists, or cannot be written.
    """
    figure = draw(results)
    with replacing(path, force=force) as new:
        figure.savefig(new, format="png", dpi=150)


def check_plots() -> None:
    """Refuse to plot before the work is done.

    Raises:
        RequestError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise RequestError(
            "plots need matplotlib, which is not installed: pip install matplotlib"
        ) from error


def draw(results: Sequence[Mapping[str, Any]]) -> "Figure":
    """The curves: a panel for each of the two measures and each group of sequences.

    Raises:
        RequestError: matplotlib is not installed.
    """
    check_plots()
    from matplotlib.figure import Figure

    groups = list(results[0]["summary"])
    figure = Figure(figsize=(4 * len(groups), 7), layout="constrained")
    panels = figure.subplots(len(_CURVES), len(groups), squeeze=False, sharex=True, sharey=True)
    for row, (key, title) in zip(panels, _CURVES.items(), strict=True):
        for panel, group in zip(row, groups, strict=True):
            for result in results:
                values = [100 * value for value in result["summary"][group][key]]
                panel.plot(THRESHOLDS, values, marker=".", label=result["name"])
            panel.set(title=f"{title}, {group}", xticks=THRESHOLDS, ylim=(0, 100))
            panel.grid(alpha=0.3)
        row[0].set_ylabel("%")
    for panel in panels[-1]:
        panel.set_xlabel("threshold, px")
    panels[0][0].legend()
    return figure


def _cells(result: Mapping[str, Any], newline: str) -> list[str]:
    summary = result["summary"]
    lines = [_means(summary["overall"]), _spread(result["intervals"])]
    lines += [_means(summary[group]) for group in summary if group != "overall"]
    names = [result["name"], result["distance"], *list(summary)[1:]]
    columns = [names, *([line.get(key, "") for line in lines] for key in _TITLES)]
    columns[-1][0] = _milliseconds(result["seconds"])
    return [newline.join(column).rstrip() for column in columns]


def _means(means: Mapping[str, Any]) -> dict[str, str]:
    at = THRESHOLDS.index(3)
    error = means["localisation_error"]
    return {
        **{key: f"{means[key]:.0f}" for key in ("keypoints", "matches")},
        **{key: _percent(means[key]) for key in ("repeatability", "nn_map", "matching_score")},
        "localisation_error": _NONE if error is None else f"{error:.2f}",
        "mma_3": _percent(means["mma"][at]),
        "homography_3": _percent(means["homography"][at]),
        "homography": "/".join(
            _percent(means["homography"][THRESHOLDS.index(t)]) for t in HEADLINE
        ),
        "auc": "/".join(_percent(means["auc"][str(t)]) for t in HEADLINE),
    }


def _spread(intervals: Mapping[str, Sequence[float]]) -> dict[str, str]:
    return {key: "[{}, {}]".format(*map(_percent, ends)) for key, ends in intervals.items()}


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _milliseconds(seconds: Mapping[str, float]) -> str:
    apart = "detection" in seconds and "description" in seconds
    stages = ("detection", "description") if apart else ("finding",)
    return ", ".join(
        f"{1000 * seconds[s]:.1f}" if s in seconds else _NONE for s in (*stages, "matching")
    )
