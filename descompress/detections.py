"""What patch networks describe: points of a detector, and the patches around them.

By default OpenCV's difference-of-Gaussians points, each by the square around it that its scale and
orientation span.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from hpatches_eval.features import Features
from hpatches_eval.frames import cut, pyramid, similarity

from .errors import InputError
from .sizing import SIZE

# Half-width of the described square, in units of a detection's scale. Of 5, 6, 7.5, 9 and 12 the
# first from which on matches got hardly better, on sequences synthesised from photographs.
MEASUREMENT = 7.5

Detect: TypeAlias = Callable[
    [UInt8[np.ndarray, "h w"], int], tuple[Float[np.ndarray, "n 4"], Float32[np.ndarray, " n"]]
]


def sift(
    image: UInt8[np.ndarray, "h w"], most: int
) -> tuple[Float[np.ndarray, "n 4"], Float32[np.ndarray, " n"]]:
    """The strongest difference-of-Gaussians points of OpenCV, one row for each orientation.

    Source: D. Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004.
    """
    # Without the precise upscaling all points lie a quarter of a pixel to the lower right.
    engine = cv2.SIFT.create(nfeatures=0, enable_precise_upscale=True)
    found = [
        (-k.response, *k.pt, MEASUREMENT * k.size / 2, np.deg2rad(k.angle))
        for k in engine.detect(image, None)
    ]
    rows = np.array(sorted(found)[:most], dtype=np.float64).reshape(-1, 5)
    return rows[:, 1:], -rows[:, 0].astype(np.float32)


def checked_grey(image: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    """The same image, which a finder can read.

    Raises:
        InputError: It is not uint8 of shape (h, w), or has no pixels.
    """
    if image.ndim != 2 or image.dtype != np.uint8 or not image.size:
        raise InputError(
            f"keypoints are found on a grey image, uint8 (h, w), not {image.dtype} {image.shape}"
        )
    return image


@dataclass(frozen=True, slots=True)
class PatchFinder:
    """Detections of another kind, described by a patch network.

    Args:
        describe: Descriptors of grey patches.
        most: At most this many an image.
        detect: From an image and how many to keep to rows (x, y, half-width of the square, angle in
            radians) and scores, strongest first.
    """

    describe: Callable[[UInt8[np.ndarray, "n 32 32"]], Float[np.ndarray, "n d"]]
    most: int
    detect: Detect

    def __call__(self, image: np.ndarray) -> Features:
        begin = time.perf_counter()
        points, strengths = self.detect(checked_grey(image), self.most)
        between = time.perf_counter()
        rows = self.describe(patches_at(image, points))
        return Features(
            points[:, :2].astype(np.float32),
            rows,
            strengths,
            {"detection": between - begin, "description": time.perf_counter() - between},
        )


def patches_at(
    image: UInt8[np.ndarray, "h w"], points: Float[np.ndarray, "n 4"]
) -> UInt8[np.ndarray, "n 32 32"]:
    """The patches of points (x, y, half-width, angle); outside the image its border repeats."""
    levels = pyramid(image)
    patches = [cut(levels, similarity(*point), SIZE) for point in points.tolist()]
    return np.stack(patches) if patches else np.empty((0, SIZE, SIZE), np.uint8)
