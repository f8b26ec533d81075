"""Points, homographies and image sizes.

Pixels: the centre of the first pixel is (0, 0), so that an image of w x h pixels covers
[-.5, w - .5] x [-.5, h - .5], and a point p of it is at (p + .5) s - .5 when the image is
resized by s.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from jaxtyping import Bool, Float, Num, UInt8

from .errors import RequestError

Shape: TypeAlias = tuple[int, int]  # height and width, as NumPy has them

METHODS = {"ransac": cv2.RANSAC, "magsac": cv2.USAC_MAGSAC}
_LEAST = 4  # points that determine a homography


def warp(
    homography: Float[np.ndarray, "3 3"], points: Num[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n 2"]:
    """Where a homography takes points; infinitely far those on or behind its horizon.

    Args:
        homography: Of such a sign that visible points get a positive third coordinate, as they do
            where H[2, 2] = 1 and the first pixel is visible.
    """
    wide = np.column_stack([points, np.ones(len(points))]) @ homography.T
    ahead = wide[:, 2] > 1e-12
    out = np.full((len(points), 2), np.inf)
    out[ahead] = wide[ahead, :2] / wide[ahead, 2:]
    return out


def scaling(before: Shape, after: Shape) -> Float[np.ndarray, "3 3"]:
    """What happens to points when an image of one size is resized to another: (p + .5) s - .5."""
    y, x = after[0] / before[0], after[1] / before[1]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def adapted(
    homography: Float[np.ndarray, "3 3"], first: tuple[Shape, Shape], second: tuple[Shape, Shape]
) -> Float[np.ndarray, "3 3"]:
    """The same homography between the resized images.

    Args:
        first: Shape of image 1 before and after.
        second: Shape of image 2 before and after.
    """
    return scaling(*second) @ homography @ np.linalg.inv(scaling(*first))


def fitted(shape: Shape, side: int, measure: str = "long") -> Shape:
    """The shape whose long or short side is `side` pixels, of the same proportions.

    Args:
        side: 0 leaves the shape as it is.
        measure: "long" or "short".
    """
    if not side:
        return shape
    scale = side / (max(shape) if measure == "long" else min(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def resized(image: UInt8[np.ndarray, "h w"], shape: Shape) -> UInt8[np.ndarray, "h2 w2"]:
    """An image resized: by areas where it gets smaller, bilinearly where it gets larger."""
    if image.shape == shape:
        return image
    smaller = shape[0] < image.shape[0] or shape[1] < image.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, shape[::-1], interpolation=how), dtype=np.uint8)


def visible(points: Num[np.ndarray, "n 2"], shape: Shape) -> Bool[np.ndarray, " n"]:
    """Which points lie in an image."""
    inside = (points >= -0.5) & (points <= np.array(shape[::-1]) - 0.5)
    return inside[:, 0] & inside[:, 1]


@dataclass(frozen=True, slots=True)
class Estimation:
    """How a homography is estimated from matches.

    Args:
        method: "ransac", OpenCV's RANSAC, or "magsac", its MAGSAC++.
        threshold: Pixels within which a match is an inlier.
        seed: OpenCV restarts its own generator for every estimate; what varies the draws is the
            order of the matches. 0 leaves it, other seeds shuffle.

    Raises:
        RequestError: There is no such method, or a number is out of its range.

    Source: M. Fischler and R. Bolles, "Random sample consensus", CACM 1981; D. Barath et al.,
    "MAGSAC++, a fast, reliable and accurate robust estimator", CVPR 2020.
    """

    method: str = "ransac"
    threshold: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise RequestError(f"estimator {self.method!r}: there are {', '.join(METHODS)}")
        if not 0 < self.threshold < math.inf:
            raise RequestError(f"inlier threshold {self.threshold}: a positive number of pixels")
        if self.seed < 0:
            raise RequestError(f"seed {self.seed}: it must not be negative")

    def __call__(
        self, first: Num[np.ndarray, "n 2"], second: Num[np.ndarray, "n 2"]
    ) -> tuple[Float[np.ndarray, "3 3"] | None, int]:
        """The homography from the first points to the second, and the number of its inliers.

        None where there are fewer than four matches or no homography fits them.
        """
        if len(first) < _LEAST:
            return None, 0
        rows = np.column_stack([first, second]).astype(np.float64)
        if self.seed:
            rows = np.random.default_rng(self.seed).permutation(rows)
        try:
            found, inliers = cv2.findHomography(
                rows[:, :2], rows[:, 2:], METHODS[self.method], self.threshold
            )
        except cv2.error:
            return None, 0
        if found is None or not np.isfinite(found).all():
            return None, 0
        return np.asarray(found, dtype=np.float64), int(np.count_nonzero(inliers))


def corner_error(
    estimated: Float[np.ndarray, "3 3"] | None,
    true: Float[np.ndarray, "3 3"],
    shape: Shape,
    *,
    outer: bool = False,
) -> float:
    """Mean distance of the four corners of image 1 under the two homographies, in image 2.

    Infinite where there is no estimate, or it takes a corner to infinity.

    Args:
        shape: Of image 1.
        outer: Take (0, 0), (w, 0), (w, h), (0, h), as glue-factory does; without it the centres
            of the corner pixels, (w - 1, h - 1) and so on, as SuperPoint does.
    """
    if estimated is None:
        return float("inf")
    far = np.array(shape[::-1], dtype=np.float64) - (not outer)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * far
    with np.errstate(invalid="ignore"):
        apart = warp(estimated, corners) - warp(true, corners)
    error = float(np.linalg.norm(apart, axis=1).mean())
    return error if np.isfinite(error) else float("inf")
