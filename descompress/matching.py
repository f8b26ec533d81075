"""Two images matched by their features: what fits one geometry, and a picture of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Num, UInt8

from hpatches_eval.features import Features
from hpatches_eval.matching import neighbours

from .gallery import GREEN, GREY, RED

BAR = 28  # pixels of the title above the images
LINES = 250  # of a picture, or nothing of the images is left to see
CONFIDENCE = 0.999


def _homography(a: np.ndarray, b: np.ndarray, threshold: float) -> tuple[Any, Any]:
    return cv2.findHomography(a, b, cv2.RANSAC, threshold, confidence=CONFIDENCE)


def _fundamental(a: np.ndarray, b: np.ndarray, threshold: float) -> tuple[Any, Any]:
    return cv2.findFundamentalMat(a, b, cv2.FM_RANSAC, threshold, CONFIDENCE)


# What joins the points of two images, and the matches it takes to find it: of planes and of
# cameras that only turn a homography, of all other scenes a fundamental matrix.
GEOMETRIES: dict[str, tuple[Callable[..., tuple[Any, Any]], int]] = {
    "homography": (_homography, 4),
    "fundamental": (_fundamental, 8),
}


@dataclass(frozen=True)
class Matched:
    """What two images have in common.

    Args:
        matches: Rows of features of the first and of the second, each other's nearest neighbours.
        inliers: Which of them fit the geometry.
        matrix: The geometry, from the first image to the second; None if none was found.
        seconds: Of "matching" and "estimation".
    """

    matches: Int[np.ndarray, "k 2"]
    inliers: Bool[np.ndarray, " k"]
    matrix: Float[np.ndarray, "3 3"] | None
    seconds: dict[str, float]


def matched(
    first: Features, second: Features, geometry: str = "homography", threshold: float = 3.0
) -> Matched:
    """Mutual nearest neighbours, and by OpenCV's RANSAC those that fit one geometry.

    Args:
        geometry: One of `GEOMETRIES`.
        threshold: Pixels of the second image that a match may be off.

    Raises:
        DataError: Descriptors of different kinds.
    """
    begin = time.perf_counter()
    matches = neighbours(first.descriptors, second.descriptors).mutual()
    between = time.perf_counter()
    ends = first.keypoints[matches[:, 0]], second.keypoints[matches[:, 1]]
    matrix, inliers = _fitted(*ends, geometry, threshold)
    seconds = {"matching": between - begin, "estimation": time.perf_counter() - between}
    return Matched(matches, inliers, matrix, seconds)


def _fitted(
    first: Num[np.ndarray, "k 2"], second: Num[np.ndarray, "k 2"], geometry: str, threshold: float
) -> tuple[Float[np.ndarray, "3 3"] | None, Bool[np.ndarray, " k"]]:
    estimate, least = GEOMETRIES[geometry]
    nothing = None, np.zeros(len(first), bool)
    if len(first) < least:
        return nothing
    matrix, inliers = estimate(first.astype(np.float64), second.astype(np.float64), threshold)
    if matrix is None or inliers is None or matrix.shape != (3, 3):
        return nothing
    return matrix.astype(np.float64), inliers.ravel().astype(bool)


def picture(
    title: str,
    images: tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h2 w2"]],
    points: tuple[Num[np.ndarray, "n 2"], Num[np.ndarray, "m 2"]],
    found: Matched,
) -> UInt8[np.ndarray, "h3 w3 3"]:
    """Both images side by side: matches that fit green, others red and below them.

    All have their ends marked; where there are more than `LINES`, only every so many are joined.

    Args:
        points: Keypoints in pixels of these images.
    """
    height = max(len(image) for image in images)
    sides = [np.pad(image, ((0, height - len(image)), (0, 0))) for image in images]
    canvas = cv2.cvtColor(np.hstack(sides), cv2.COLOR_GRAY2BGR)
    every = -(-len(found.matches) // LINES) or 1
    there = points[1] + [images[0].shape[1], 0]
    for colour, wanted in ((RED, False), (GREEN, True)):
        for k in np.flatnonzero(found.inliers == wanted):
            i, j = found.matches[k]
            ends = [tuple(int(v) for v in np.round(p)) for p in (points[0][i], there[j])]
            if k % every == 0:
                cv2.line(canvas, ends[0], ends[1], colour, 1, cv2.LINE_AA)
            for end in ends:
                cv2.circle(canvas, end, 2, colour, -1, cv2.LINE_AA)
    bar = np.full((BAR, canvas.shape[1], 3), GREY, np.uint8)
    cv2.putText(bar, title, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (30, 30, 30), 1, cv2.LINE_AA)
    return np.asarray(np.vstack([bar, canvas]), dtype=np.uint8)
