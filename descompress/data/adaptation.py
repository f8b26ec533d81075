"""Points that a detector finds again from other viewpoints: labels to train a detector with.

A photograph is warped by random homographies, points are found on each view and carried back; the
share of views that a point was found on is its strength. Unlike the published method, which
averages score maps, this takes any detector of points, and the strength is a probability that a
network can be trained to tell.

Source: D. DeTone, T. Malisiewicz, A. Rabinovich, "SuperPoint", CVPR workshops 2018, sec. 5,
"homographic adaptation".
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from hpatches_eval.detection import vertex
from hpatches_eval.frames import pyramid, view

from .photometric import Photometric
from .viewpoints import FOR_POINTS, Viewpoints, middle, moved, within

Image = UInt8[np.ndarray, "h w"]
FindPoints: TypeAlias = Callable[[Image, int], Float[np.ndarray, "n 2"]]  # image, how many

SPREAD = 1.2  # pixels: standard deviation of the place at which a point is found again
BORDER = 4  # pixels: points closer to an edge of a view are artefacts of the edge
DENSITY = 1 / 512  # of points looked for: one on so many pixels
_PLAIN = {"blur": 1.0, "noise": 0.02, "gamma": 0.5, "jpeg": 0.0, "shadow": 0.0, "occlusion": 0.0}


@dataclass(frozen=True)
class Adaptation:
    """How points are found by looking at a photograph from many sides.

    Args:
        views: The first is the photograph itself.
        radius: No two points are this close in both x and y, in pixels.
        least: Strength below which there is no point.
        sure: Strength that the strongest must have; else all are noise.
    """

    views: int = 60
    radius: int = 4
    least: float = 0.05
    sure: float = 0.5
    viewpoints: Viewpoints = FOR_POINTS
    photometric: Photometric = field(default_factory=partial(Photometric, **_PLAIN))

    def points(self, image: Image, find: FindPoints, seed: int = 0) -> Float[np.ndarray, "n 3"]:
        """Rows (x, y, strength), the strongest first; a strength is at most 1."""
        rng, shape = np.random.default_rng([seed, 7]), (image.shape[0], image.shape[1])
        levels, frame = pyramid(image), middle(shape)
        found, seen = np.zeros((2, *shape), np.float32)
        for number in range(self.views):
            drawn = self.viewpoints.draw(rng) if number else np.eye(3)
            matrix = frame @ drawn @ np.linalg.inv(frame)
            warped = self._changed(view(levels, matrix, shape), rng) if number else image
            inside = _inside(np.linalg.inv(matrix), shape)
            points = find(warped, max(round(float(inside.sum()) * DENSITY), 1))
            points = moved(matrix, points[within(points, shape, float(BORDER))])
            _add(found, points[within(points, shape)])
            seen += _inside(matrix, shape)
        found = cv2.GaussianBlur(found, (0, 0), SPREAD) * (2 * np.pi * SPREAD**2)
        return self._peaks(found / np.maximum(seen, self.views / 8))

    def _changed(self, image: Image, rng: np.random.Generator) -> Image:
        changed = self.photometric.apply(image[None].astype(np.float32) / 255, rng)
        return np.rint(changed[0] * 255).astype(np.uint8)

    def _peaks(self, strength: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "n 3"]:
        if strength.max() < self.sure:
            return np.zeros((0, 3))
        side = 2 * self.radius + 1
        highest = cv2.dilate(strength, np.ones((side, side), np.uint8))
        peaks = (strength >= highest) & (strength >= self.least)
        edge = np.ones(strength.shape, bool)
        edge[BORDER:-BORDER, BORDER:-BORDER] = False
        y, x = np.nonzero(peaks & ~edge)
        dx = vertex(strength[y, x - 1], strength[y, x], strength[y, x + 1])
        dy = vertex(strength[y - 1, x], strength[y, x], strength[y + 1, x])
        rows = np.column_stack([x + dx, y + dy, np.minimum(strength[y, x], 1)])
        return rows[np.argsort(-rows[:, 2], kind="stable")]


def corners(image: Image, most: int) -> Float[np.ndarray, "n 2"]:
    """Corners of at least a 200th of the strength of the strongest, 4 pixels apart.

    Source: J. Shi, C. Tomasi, "Good features to track", CVPR 1994; windows of 5 x 5 pixels.
    """
    found = cv2.goodFeaturesToTrack(image, most, 0.005, 4, blockSize=5)
    return np.zeros((0, 2)) if found is None else found[:, 0].astype(np.float64)


def _add(found: Float[np.ndarray, "h w"], points: Float[np.ndarray, "n 2"]) -> None:
    """Share out 1 for each point among the four pixels around it."""
    corner = np.floor(points).astype(int)
    part = points - corner
    height, width = found.shape
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
        x, y = np.minimum(corner[:, 0] + dx, width - 1), np.minimum(corner[:, 1] + dy, height - 1)
        np.add.at(found, (y, x), weight)


def _inside(matrix: Float[np.ndarray, "3 3"], shape: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """1 for the pixels of an image that the inverse of `matrix` takes into one of that shape."""
    inner = np.zeros(shape, np.float32)
    inner[BORDER:-BORDER, BORDER:-BORDER] = 1
    return np.asarray(cv2.warpPerspective(inner, matrix, shape[::-1], flags=cv2.INTER_NEAREST))
