"""Charts of numbers: what each layer costs, accuracy against work and time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from hpatches_eval.files import replacing
from hpatches_eval.imagereport import check_plots

from .costs import Cost, LayerCost

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

DPI, COLOURS = 100, 64
HIDES = 60.0  # square pixels of others that a name may cover
NEAR = 12.0  # pixels around a point where only its own name stands
OWN, PEER, LINE = "tab:blue", "tab:orange", "0.6"  # and of the line through the best
COUNTS: dict[str, Callable[[LayerCost], int]] = {
    "parameters": lambda layer: layer.params,
    "multiply-accumulates": lambda layer: layer.macs,
}
UNITS = ((10**9, "G"), (10**6, "M"), (10**3, "k"))
PLACES = {  # around a point: (x, y) in points, and which edge of the label is there
    "left": [(7, 3), (7, -9), (7, -3), (7, 11), (7, -17)],
    "right": [(-7, 3), (-7, -9), (-7, -3), (-7, 11), (-7, -17)],
    "center": [(0, 8), (0, -15)],
}


@dataclass(frozen=True)
class Point:
    """A network, or a peer, in a chart of accuracy against what it costs.

    Args:
        accuracy: In per cent.
        costs: One for each panel; None where it is not known.
    """

    name: str
    accuracy: float
    costs: tuple[float | None, ...]
    peer: bool = False


@dataclass(frozen=True)
class Chart:
    """What is drawn: points, and what their numbers are.

    Args:
        costs: Titles of the panels.
        accuracy: Title of what is drawn against them.
    """

    points: Sequence[Point]
    costs: Sequence[str]
    accuracy: str

    @property
    def costless(self) -> list[Point]:
        """Those with no cost at all: level lines."""
        return [point for point in self.points if not any(point.costs)]

    def known(self, panel: int) -> list[tuple[float, Point]]:
        """The points of a panel, with their costs."""
        pairs = ((point.costs[panel], point) for point in self.points)
        return [(cost, point) for cost, point in pairs if cost]


def plot_layers(costs: Mapping[str, Cost], path: str | Path, *, force: bool = False) -> None:
    """Draw what each layer of each network holds and computes, the networks one below the other.

    Bars of one column are to one scale, so that networks can be compared.

    Raises:
        RequestError: matplotlib is not installed.
        OutputError: See `hpatches_eval.files.replacing`.
    """
    check_plots()
    from matplotlib.figure import Figure

    heights = [len(cost.layers) + 3 for cost in costs.values()]
    figure = Figure(figsize=(10, 0.23 * sum(heights) + 0.5), layout="constrained")
    panels = figure.subplots(len(costs), 2, squeeze=False, sharex="col", height_ratios=heights)
    for (name, cost), row in zip(costs.items(), panels, strict=True):
        for (title, count), panel in zip(COUNTS.items(), row, strict=True):
            _bars(panel, [count(layer) for layer in cost.layers])
            panel.set_title(f"{name}: {short(sum(map(count, cost.layers)))} {title}", fontsize=10)
        row[0].set_yticks(range(len(cost.layers)), [f"{x.name}  {x.kind}" for x in cost.layers])
        row[1].set_yticks([])
    _save(figure, path, force=force)


def _bars(panel: "Axes", counts: Sequence[int]) -> None:
    total = sum(counts) or 1
    bars = panel.barh(range(len(counts)), counts, color=OWN, height=0.75)
    labels = [f"{short(count)}, {count / total:.0%}" if count else "" for count in counts]
    panel.bar_label(bars, labels, padding=3, fontsize=8)
    panel.invert_yaxis()
    panel.margins(x=0.25, y=0.02)
    panel.tick_params(labelsize=8, labelbottom=False, bottom=False)
    panel.spines[["top", "right", "bottom"]].set_visible(False)


def short(count: int) -> str:
    """Three digits and a unit, such as "1.33 M"."""
    for size, unit in UNITS:
        if count >= size:
            value = count / size
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return str(count)


def plot_fronts(chart: Chart, path: str | Path, *, force: bool = False) -> None:
    """Draw accuracy against each cost, with a line through what nothing cheaper is as good as.

    Raises:
        RequestError: matplotlib is not installed.
        OutputError: See `hpatches_eval.files.replacing`.
    """
    check_plots()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.6), layout="constrained", dpi=DPI)
    panels = figure.subplots(1, len(chart.costs), squeeze=False, sharey=True)[0]
    for k, panel in enumerate(panels):
        _scatter(panel, chart.costs[k], chart.known(k))
        for point in chart.costless:
            _level(panel, point)
    panels[0].set_ylabel(chart.accuracy)
    figure.draw_without_rendering()
    for k, panel in enumerate(panels):
        _name(panel, chart.known(k))
    _save(figure, path, force=force)


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of pairs (cost, accuracy) those that no other is at most as dear as and better than."""
    found: list[tuple[float, float]] = []
    for cost, accuracy in sorted(points, key=lambda p: (p[0], -p[1])):
        if not found or accuracy > found[-1][1]:
            found.append((cost, accuracy))
    return found


def _scatter(panel: "Axes", title: str, column: Sequence[tuple[float, Point]]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    line = front([(x, point.accuracy) for x, point in column])
    panel.plot(*zip(*line, strict=True), color=LINE, lw=1, zorder=1)
    for x, point in column:
        colour, marker = (PEER, "D") if point.peer else (OWN, "o")
        panel.scatter(x, point.accuracy, s=36, color=colour, marker=marker, zorder=2)
    panel.set(xscale="log", xlabel=title)
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.margins(x=0.2, y=0.12)
    panel.grid(alpha=0.3)


def _level(panel: "Axes", point: Point) -> None:
    panel.axhline(point.accuracy, color=PEER, lw=1, ls="--", zorder=1)
    panel.annotate(
        point.name,
        (1, point.accuracy),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 3),
        textcoords="offset points",
        ha="right",
        fontsize=9,
    )


def _name(panel: "Axes", column: Sequence[tuple[float, Point]]) -> None:
    """Write names beside their points, each where it hides least and is near no other point.

    Those on the line come first. Of the rest of our own, what would hide others stays unnamed.
    """
    corners = {p.name: panel.transData.transform((x, p.accuracy)) for x, p in column}
    taken = [*_along(panel), *(text.get_window_extent() for text in panel.texts)]
    line = front([(x, point.accuracy) for x, point in column])
    for x, point in sorted(
        column, key=lambda pair: ((pair[0], pair[1].accuracy) not in line, -pair[1].accuracy)
    ):
        others = [_box(a, b, NEAR) for name, (a, b) in corners.items() if name != point.name]
        hidden = partial(_hidden, taken=[*taken, *others], inside=panel.bbox)
        placed = list(_placed(panel, x, point))
        best = min(placed, key=hidden)
        spared = not point.peer and (x, point.accuracy) not in line and hidden(best) > HIDES
        for text in placed:
            if text is not best or spared:
                text.remove()
        if not spared:
            taken.append(best.get_window_extent())


def _along(panel: "Axes") -> "Iterator[Bbox]":
    """Small boxes side by side on the line of a panel."""
    corners = panel.transData.transform(panel.lines[0].get_xydata())
    for (x, y), (x2, y2) in pairwise(corners):
        steps = int(max(abs(x2 - x), abs(y2 - y)) / 6) + 1
        for k in range(steps + 1):
            yield _box(x + (x2 - x) * k / steps, y + (y2 - y) * k / steps, 2.0)


def _placed(panel: "Axes", x: float, point: Point) -> "Iterator[Annotation]":
    for edge, offsets in PLACES.items():
        for offset in offsets:
            yield panel.annotate(
                point.name,
                (x, point.accuracy),
                xytext=offset,
                textcoords="offset points",
                ha=edge,
                fontsize=9,
            )


def _hidden(text: "Annotation", taken: "Sequence[Bbox]", inside: "Bbox") -> float:
    """How many square pixels of others a label covers; outside of the panel it is not to be."""
    box = text.get_window_extent()
    kept = box.intersection(box, inside)
    outside = box.width * box.height - (kept.width * kept.height if kept else 0)
    shared = (box.intersection(box, other) for other in taken)
    return 100 * max(outside, 0) + sum(both.width * both.height for both in shared if both)


def _box(x: float, y: float, radius: float) -> "Bbox":
    from matplotlib.transforms import Bbox

    return Bbox.from_extents(x - radius, y - radius, x + radius, y + radius)


def _save(figure: "Figure", path: str | Path, *, force: bool) -> None:
    """With a palette, which takes a third of the bytes."""
    from PIL import Image  # matplotlib needs it too

    drawn = BytesIO()
    figure.savefig(drawn, dpi=DPI, format="png")
    with replacing(path, force=force) as new, Image.open(drawn) as image:
        image.convert("RGB").quantize(COLOURS).save(new, format="PNG", optimize=True)
