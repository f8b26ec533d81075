"""OpenCV's detectors and descriptors, as the clock needs them: without PyTorch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8

from ..errors import RequestError

TEBLID_SCALE = 1.0  # for ORB's keypoints, as OpenCV's documentation says


@dataclass(frozen=True)
class Engine:
    """A detector and a descriptor; most share their work when asked for both at once.

    Args:
        most: Keypoints that are kept of an image, the strongest.
    """

    detector: Any
    descriptor: Any
    most: int

    def detect(self, image: UInt8[np.ndarray, "h w"]) -> list[Any]:
        """Keypoints."""
        found = self.detector.detect(image, None)
        return sorted(found, key=lambda keypoint: -keypoint.response)[: self.most]

    def compute(
        self, image: UInt8[np.ndarray, "h w"], keypoints: Sequence[Any]
    ) -> Shaped[np.ndarray, "n d"]:
        """Descriptors of those that have one."""
        rows = self.descriptor.compute(image, list(keypoints))[1]
        return np.empty((0, self.descriptor.descriptorSize()), np.uint8) if rows is None else rows

    def both(self, image: UInt8[np.ndarray, "h w"]) -> Shaped[np.ndarray, "n d"]:
        """Descriptors of the keypoints of an image."""
        if self.detector is not self.descriptor:
            return self.compute(image, self.detect(image))
        rows = self.detector.detectAndCompute(image, None)[1]
        return np.empty((0, self.descriptor.descriptorSize()), np.uint8) if rows is None else rows


def scattered(shape: tuple[int, ...], count: int) -> list[Any]:
    """Upright keypoints spread over an image: what is described where nothing was detected."""
    rng = np.random.default_rng(0)
    margin = min(48, min(shape) // 3)
    places = rng.uniform(margin, np.array(shape[::-1]) - margin, (count, 2)).tolist()
    return [cv2.KeyPoint(x, y, 8.0, 0.0, 1.0, 0) for x, y in places]


def _sift(most: int) -> Engine:
    engine = cv2.SIFT.create(nfeatures=most)
    return Engine(engine, engine, most)


def _orb(most: int) -> Engine:
    engine = cv2.ORB.create(nfeatures=most)
    return Engine(engine, engine, most)


def _teblid(most: int) -> Engine:
    create = getattr(getattr(getattr(cv2, "xfeatures2d", None), "TEBLID", None), "create", None)
    if create is None:
        raise RequestError(
            f"OpenCV {cv2.__version__} is without TEBLID: opencv-contrib-python-headless has it"
        )
    return Engine(cv2.ORB.create(nfeatures=most), create(TEBLID_SCALE), most)


ENGINES: dict[str, Callable[[int], Engine]] = {"sift": _sift, "orb": _orb, "teblid": _teblid}
