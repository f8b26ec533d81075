"""Classical detectors and descriptors of OpenCV, as finders of features."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8

from .errors import RequestError
from .features import Features, Finder


@dataclass(frozen=True, slots=True)
class OpenCVFinder:
    """Features of a detector of OpenCV; detection and description are timed apart.

    Args:
        engine: Detects and computes, as `cv2.Feature2D` does.
        keypoints: At most this many are kept, the strongest.
        root: Take square roots of L1-normalised descriptors.
    """

    engine: Any
    keypoints: int
    root: bool = False

    def __call__(self, image: UInt8[np.ndarray, "h w"]) -> Features:
        begin = time.perf_counter()
        found = sorted(self.engine.detect(image, None), key=_strength)[: self.keypoints]
        between = time.perf_counter()
        kept, rows = self._described(image, found)
        end = time.perf_counter()
        return Features(
            np.array([k.pt for k in kept], np.float32).reshape(-1, 2),
            rows,
            np.array([k.response for k in kept], np.float32),
            {"detection": between - begin, "description": end - between},
        )

    def _described(
        self, image: UInt8[np.ndarray, "h w"], found: list[Any]
    ) -> tuple[list[Any], Shaped[np.ndarray, "n d"]]:
        """Keypoints that could be described, strongest first whatever the engine makes of it."""
        kept, rows = self.engine.compute(image, found) if found else ((), None)
        if rows is None:
            dtype = np.uint8 if self.engine.descriptorType() == cv2.CV_8U else np.float32
            return [], np.empty((0, self.engine.descriptorSize()), dtype)
        order = sorted(range(len(kept)), key=lambda i: _strength(kept[i]))
        rows = np.asarray(rows)[order]
        return [kept[i] for i in order], _rooted(rows) if self.root else rows


def _strength(keypoint: Any) -> tuple[float, ...]:
    return -keypoint.response, *keypoint.pt, keypoint.size, keypoint.angle


def _rooted(rows: Shaped[np.ndarray, "n d"]) -> Shaped[np.ndarray, "n d"]:
    return np.sqrt(rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-12))


def sift(keypoints: int) -> Finder:
    """Difference-of-Gaussians points and SIFT, with OpenCV's own settings.

    Those put points a quarter of a pixel too far to the right and down, in all images alike
    (`enable_precise_upscale` would mend it, but is not what is measured elsewhere).

    Source: D. Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004.
    """
    return OpenCVFinder(cv2.SIFT.create(nfeatures=keypoints), keypoints)


def rootsift(keypoints: int) -> Finder:
    """The same points, and square roots of L1-normalised SIFT.

    Source: R. Arandjelovic and A. Zisserman, "Three things everyone should know to improve
    object retrieval", CVPR 2012.
    """
    return OpenCVFinder(cv2.SIFT.create(nfeatures=keypoints), keypoints, root=True)


def orb(keypoints: int) -> Finder:
    """FAST corners ranked by Harris' measure, and ORB.

    Source: E. Rublee et al., "ORB: an efficient alternative to SIFT or SURF", ICCV 2011.
    """
    return OpenCVFinder(cv2.ORB.create(nfeatures=keypoints), keypoints)


def akaze(keypoints: int) -> Finder:
    """AKAZE points and M-LDB.

    Source: P. F. Alcantarilla et al., "Fast explicit diffusion for accelerated features in
    nonlinear scale spaces", BMVC 2013.

    Raises:
        RequestError: This OpenCV has none: version 5 keeps it in its contributed modules.
    """
    for place in (cv2, getattr(cv2, "xfeatures2d", None)):
        create = getattr(getattr(place, "AKAZE", None), "create", None)
        if create is not None:
            return OpenCVFinder(create(), keypoints)
    raise RequestError(
        f"baseline 'akaze': OpenCV {cv2.__version__} is without it; versions 4, and 5 with its "
        "contributed modules (opencv-contrib-python-headless), have it"
    )


FINDERS: dict[str, Callable[[int], Finder]] = {
    "sift": sift,
    "rootsift": rootsift,
    "orb": orb,
    "akaze": akaze,
}


def classical(name: str, keypoints: int) -> Finder:
    """A classical finder by name.

    Raises:
        RequestError: There is none of this name, or OpenCV lacks it.
    """
    if name not in FINDERS:
        raise RequestError(f"baseline {name!r}: there are {', '.join(FINDERS)}")
    return FINDERS[name](keypoints)
