"""The front as a picture: SVG for the report, PNG where matplotlib is installed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from hpatches_eval.files import replacing

WIDTH, HEIGHT = 760.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 20.0, 16.0, 52.0


@dataclass(frozen=True)
class Mark:
    """A recipe that was verified: (cost, loss) as expected and as measured."""

    name: str
    expected: tuple[float, float]
    measured: tuple[float, float]


@dataclass(frozen=True)
class Picture:
    """What is drawn; every point is a cost and a loss.

    Args:
        unit: Of costs, such as "ms".
        limit: The budget.
        marks: Verified recipes, the winner first.
    """

    unit: str
    limit: float
    tried: Sequence[tuple[float, float]]
    front: Sequence[tuple[float, float]]
    marks: Sequence[Mark]


def as_svg(picture: Picture) -> str:
    """An image that stands for itself; its colours are those of the page around it."""
    frame = _Frame.around(picture)
    parts = [*_grid(frame, picture.unit), _limit(frame, picture.limit)]
    parts += [_dot(frame, point, "tried", 2.5) for point in picture.tried]
    line = " ".join(f"{frame.x(c):.1f},{frame.y(loss):.1f}" for c, loss in picture.front)
    parts += [f'<polyline class="front" points="{line}"/>']
    parts += [_dot(frame, point, "front", 3.5) for point in picture.front]
    for place, mark in reversed(list(enumerate(picture.marks))):
        parts += _mark(frame, mark, "winner" if not place else "verified")
    title = f"Expected loss against {picture.unit}; the chosen recipe is marked"
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def write_png(picture: Picture, path: Path) -> bool:
    """Write the picture as PNG; False where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    ax = figure.subplots()
    ax.set_yscale("function", functions=(_root, _square))
    ax.scatter(*_columns(picture.tried), s=10, color="0.75", label="tried")
    ax.plot(*_columns(picture.front), "o-", ms=4, lw=1.2, color="tab:blue", label="front")
    ax.axvline(picture.limit, color="tab:red", lw=1, ls="--", label="budget")
    measured = [mark.measured for mark in picture.marks]
    ax.scatter(*_columns(measured), s=40, marker="D", color="tab:orange", label="verified")
    ax.scatter(*_columns(measured[:1]), s=140, marker="*", color="tab:green", label="chosen")
    ax.set(xlabel=picture.unit, ylabel="loss (square-root scale)")
    ax.set_ylim(bottom=0)
    ax.grid(alpha=0.3)
    ax.legend()
    with replacing(path, force=True) as new:
        figure.savefig(new, dpi=120, format="png")
    return True


def ticks(top: float) -> list[float]:
    """About five round numbers from 0 to `top`, which is above 0."""
    step = 10.0 ** math.floor(math.log10(top / 4))
    step *= next(m for m in (1, 2, 5, 10) if top / (m * step) <= 6)
    return [step * i for i in range(math.floor(top / step + 1e-9) + 1)]


@dataclass(frozen=True)
class _Frame:
    """From costs and losses to pixels; losses on a square-root scale."""

    most: float
    worst: float

    @classmethod
    def around(cls, picture: Picture) -> "_Frame":
        marked = [p for mark in picture.marks for p in (mark.expected, mark.measured)]
        points = [*picture.tried, *picture.front, *marked]
        most = max([picture.limit, *(c for c, _ in points)])
        return cls(1.04 * most, 1.04 * max([1e-6, *(loss for _, loss in points)]))

    def x(self, cost: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * cost / self.most

    def y(self, loss: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.sqrt(max(loss, 0) / self.worst)


def _grid(frame: _Frame, unit: str) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for value in ticks(frame.most):
        x = frame.x(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 18, f"{value:g}", "middle"))
    for value in ticks(frame.worst):
        y = frame.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{value:g}", "end"))
    parts.append(_text((LEFT + right) / 2, HEIGHT - 10, unit, "middle"))
    turned = f'transform="rotate(-90 16 {HEIGHT / 2:.0f})"'
    label = "loss (square-root scale)"
    parts.append(f'<text x="16" y="{HEIGHT / 2:.0f}" text-anchor="middle" {turned}>{label}</text>')
    return parts


def _limit(frame: _Frame, limit: float) -> str:
    x = frame.x(limit)
    end = "end" if x > WIDTH / 2 else "start"
    return (
        f'<line class="limit" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}"/>'
        + _text(x + (-6 if end == "end" else 6), TOP + 12, "budget", end)
    )


def _mark(frame: _Frame, mark: Mark, kind: str) -> list[str]:
    (c, loss), (c2, loss2) = mark.expected, mark.measured
    ends = f'x1="{frame.x(c):.1f}" y1="{frame.y(loss):.1f}"'
    ends += f' x2="{frame.x(c2):.1f}" y2="{frame.y(loss2):.1f}"'
    size = 7.0 if kind == "winner" else 5.0
    title = f"<title>{escape(mark.name)}</title>"
    return [f'<line class="shift" {ends}/>', _dot(frame, mark.measured, kind, size, title)]


def _dot(frame: _Frame, point: tuple[float, float], kind: str, size: float, title: str = "") -> str:
    x, y = frame.x(point[0]), frame.y(point[1])
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{size}">{title}</circle>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [c for c, _ in points], [loss for _, loss in points]


def _root(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(values, 0))


def _square(values: np.ndarray) -> np.ndarray:
    return values * values
