"""Drawn shapes whose corners are known: what a first detector learns from, without any photograph.

A detector trained on them finds corners on photographs too, and `adaptation` makes labels of them.

Source: D. DeTone, T. Malisiewicz, A. Rabinovich, "SuperPoint", CVPR workshops 2018, sec. 4
("Synthetic Shapes"): polygons, lines, stars, checkerboards, stripes, cubes, and ellipses and noise,
which have no corners.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from hpatches_eval.frames import pyramid

from ..nets.superpoint import CELL
from . import ViewBatch
from .photometric import Photometric
from .scenes import MOST_POINTS, Scene
from .viewpoints import within

NAME = "shapes"  # in place of a folder of photographs
SHIFT = 4  # bits behind the point of the coordinates that OpenCV draws at
OVER = 2  # shapes are drawn so many times larger, and shrunk

Image: TypeAlias = UInt8[np.ndarray, "h w"]
Corners: TypeAlias = Float[np.ndarray, "n 2"]
Draw: TypeAlias = Callable[[Image, np.random.Generator], Corners]


@dataclass(frozen=True)
class Shapes:
    """Pairs of unrelated drawings as a source of `ViewBatch`; they have points, and no matches.

    Args:
        pairs: In a batch.
        size: Height and width, multiples of 8.
    """

    pairs: int = 8
    size: tuple[int, int] = (240, 320)
    seed: int = 0
    photometric: Photometric = field(default_factory=partial(Photometric, occlusion=0.0))

    def __call__(self, number: int) -> ViewBatch:
        """The batch of this number."""
        rng = np.random.default_rng([self.seed, number, 13])
        images, points = zip(*(drawn(self.size, rng) for _ in range(2 * self.pairs)), strict=True)
        changed = self.photometric.apply(np.stack(images).astype(np.float32) / 255, rng)
        height, width = self.size
        rows = torch.from_numpy(np.stack([_rows(corners) for corners in points]))
        return ViewBatch(
            torch.from_numpy(changed).view(2, self.pairs, 1, height, width),
            rows.view(2, self.pairs, -1, 3),
            torch.zeros(self.pairs, 1, 5),
            torch.ones(2, self.pairs, height // CELL, width // CELL, dtype=torch.bool),
        )

    def scenes(self, count: int) -> list[Scene]:
        """Drawings to validate on."""
        rng = np.random.default_rng([self.seed, 17])
        made = [drawn(self.size, rng) for _ in range(count)]
        return [
            Scene(f"shape {i}", pyramid(image), np.column_stack([points, np.ones(len(points))]))
            for i, (image, points) in enumerate(made)
        ]


def drawn(size: tuple[int, int], rng: np.random.Generator) -> tuple[Image, Corners]:
    """A drawing of one kind, and its corners (x, y) that lie on it."""
    draw = KINDS[int(rng.integers(len(KINDS)))]
    large = _background((OVER * size[0], OVER * size[1]), rng)
    corners = (draw(large, rng) + 0.5) / OVER - 0.5
    image = cv2.resize(large, size[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(image), corners[within(corners, size)]


def polygon(image: Image, rng: np.random.Generator) -> Corners:
    """One to three convex or concave polygons that do not touch."""
    kept, taken = [], np.zeros(image.shape, np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        corners = _around(image, rng, int(rng.integers(3, 7)), rng.uniform(0.1, 0.3), 0.4)
        own = np.zeros_like(taken)
        _fill(own, corners, 1)
        around = np.asarray(cv2.dilate(own, np.ones((25, 25), np.uint8)))
        if not np.logical_and(around, taken).any():
            taken += own
            _fill(image, corners, _contrasting(image, corners, rng))
            kept.append(corners)
    return np.concatenate(kept)


def lines(image: Image, rng: np.random.Generator) -> Corners:
    """A few segments; their ends are corners, and so are their crossings."""
    ends = rng.uniform(0, 1, (int(rng.integers(1, 6)), 2, 2)) * np.array(image.shape[::-1])
    for pair in ends:
        grey = _contrasting(image, pair, rng)
        start, end = (tuple(int(v) for v in p * 2**SHIFT) for p in pair)
        cv2.line(image, start, end, grey, int(rng.integers(2, 10)), cv2.LINE_AA, SHIFT)
    crossings = [_crossing(a, b) for i, a in enumerate(ends) for b in ends[:i]]
    return np.concatenate([ends.reshape(-1, 2), *(c for c in crossings if c is not None)])


def star(image: Image, rng: np.random.Generator) -> Corners:
    """Rays from one point; the point and the ends are corners."""
    corners = _around(image, rng, int(rng.integers(3, 7)), rng.uniform(0.2, 0.45), 0.3)
    centre = corners.mean(0)
    grey, thick = _contrasting(image, corners, rng), int(rng.integers(2, 8))
    for corner in corners:
        start, end = (tuple(int(v) for v in p * 2**SHIFT) for p in (centre, corner))
        cv2.line(image, start, end, grey, thick, cv2.LINE_AA, SHIFT)
    return np.concatenate([centre[None], corners])


def checkerboard(image: Image, rng: np.random.Generator) -> Corners:
    """Fields of two greys and more, seen in perspective."""
    return _board(image, rng, int(rng.integers(3, 7)), int(rng.integers(3, 7)))


def stripes(image: Image, rng: np.random.Generator) -> Corners:
    """A board of one row."""
    return _board(image, rng, int(rng.integers(4, 11)), 1)


def cube(image: Image, rng: np.random.Generator) -> Corners:
    """Three faces of a box."""
    size = min(image.shape) * rng.uniform(0.2, 0.5)
    centre = np.array(image.shape[::-1]) * rng.uniform(0.35, 0.65, 2)
    angles = np.deg2rad(rng.uniform(-25, 25, 3) + np.array([-30, 90, 210]))
    edges = np.column_stack([np.cos(angles), np.sin(angles)])
    edges *= size * rng.uniform(0.6, 1.2, (3, 1))
    greys = _contrasting(image, centre[None], rng) + rng.permutation([0, 60, 120])
    for i in range(3):
        a, b = edges[i], edges[(i + 1) % 3]
        face = centre + np.stack([np.zeros(2), a, a + b, b])
        _fill(image, face, int(greys[i] % 256))
    opposite = [edges[i] + edges[(i + 1) % 3] for i in range(3)]
    return centre + np.stack([np.zeros(2), *edges, *opposite])


def ellipses(image: Image, rng: np.random.Generator) -> Corners:
    """Round things: no corners."""
    for _ in range(int(rng.integers(1, 8))):
        x, y = (int(v) for v in rng.uniform(0, 1, 2) * np.array(image.shape[::-1]))
        axes = tuple(int(v) for v in rng.uniform(0.05, 0.25, 2) * min(image.shape))
        turn, grey = float(rng.uniform(0, 180)), int(rng.integers(0, 256))
        cv2.ellipse(image, (x, y), axes, turn, 0, 360, grey, -1, cv2.LINE_AA)
    return np.zeros((0, 2))


def noise(image: Image, rng: np.random.Generator) -> Corners:
    """Noise: no corners."""
    image[:] = rng.integers(0, 256, image.shape, dtype=np.uint8)
    return np.zeros((0, 2))


KINDS: tuple[Draw, ...] = (
    polygon,
    lines,
    star,
    checkerboard,
    stripes,
    cube,
    ellipses,
    noise,
)


def _background(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """A soft ground that no corner is on."""
    coarse = rng.uniform(0, 255, (4, 5)).astype(np.float32)
    ground = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    ground = rng.uniform(0, 255) + rng.uniform(0.05, 0.4) * (ground - 127)
    return np.clip(ground, 0, 255).astype(np.uint8)


def _board(image: Image, rng: np.random.Generator, columns: int, rows: int) -> Corners:
    height, width = image.shape
    frame = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    edge = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]])
    placed = (edge + rng.uniform(-0.09, 0.15, (4, 2))) * np.array([width, height])
    matrix = cv2.getPerspectiveTransform(frame, placed.astype(np.float32))
    x, y = np.meshgrid(np.arange(columns + 1), np.arange(rows + 1))
    grid = np.stack([x, y], -1).reshape(-1, 1, 2).astype(np.float32)
    corners = cv2.perspectiveTransform(grid, matrix).reshape(rows + 1, columns + 1, 2)
    greys = rng.permutation(np.array([[30, 60, 90], [165, 195, 225]]))
    for i in range(rows):
        for j in range(columns):
            field_ = np.stack(
                [corners[i, j], corners[i, j + 1], corners[i + 1, j + 1], corners[i + 1, j]]
            )
            _fill(image, field_, int(greys[(i + j) % 2, rng.integers(3)]))
    return corners.reshape(-1, 2).astype(np.float64)


def _around(
    image: Image, rng: np.random.Generator, count: int, radius: float, unevenness: float
) -> Corners:
    """Corners around a point, one after another in angle."""
    centre = np.array(image.shape[::-1]) * rng.uniform(0.2, 0.8, 2)
    step = 2 * np.pi / count
    angles = step * (np.arange(count) + rng.uniform(0, 0.6, count)) + rng.uniform(0, 2 * np.pi)
    reach = min(image.shape) * radius * (1 + rng.uniform(-1, 1, count) * unevenness)
    return centre + np.column_stack([np.cos(angles), np.sin(angles)]) * reach[:, None]


def _contrasting(image: Image, corners: Corners, rng: np.random.Generator) -> int:
    """A grey at least 40 from that of the ground around the middle of the corners."""
    x, y = corners.mean(0).round().astype(int)
    ground = int(image[np.clip(y, 0, image.shape[0] - 1), np.clip(x, 0, image.shape[1] - 1)])
    return (ground + int(rng.integers(40, 216))) % 256


def _fill(image: Image, corners: Corners, grey: int) -> None:
    fixed = np.rint(corners * 2**SHIFT).astype(np.int32)
    cv2.fillPoly(image, [fixed], grey, cv2.LINE_AA, SHIFT)


def _crossing(a: Float[np.ndarray, "2 2"], b: Float[np.ndarray, "2 2"]) -> Corners | None:
    """Where two segments cross, if they do."""
    matrix = np.column_stack([a[1] - a[0], b[0] - b[1]])
    if abs(np.linalg.det(matrix)) < 1e-6:
        return None
    s, t = np.linalg.solve(matrix, b[0] - a[0])
    return (a[0] + s * (a[1] - a[0]))[None] if 0 < s < 1 and 0 < t < 1 else None


def _rows(corners: Corners) -> Float[np.ndarray, "p 3"]:
    rows = np.column_stack([corners, np.ones(len(corners))])[:MOST_POINTS]
    return np.pad(rows, ((0, MOST_POINTS - len(rows)), (0, 0))).astype(np.float32)
