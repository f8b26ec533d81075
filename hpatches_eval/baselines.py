"""Classical descriptors of whole 65 x 65 patches, upright, as reference points.

SIFT, RootSIFT and ORB are OpenCV's; BRIEF is written here, as OpenCV's main modules have none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from .errors import RequestError
from .patches import PATCH

_SIFT_SIZE = PATCH / 5.303  # the benchmark's own: SIFT's window reaches 3 sqrt(2) 5/4 sizes
_ORB_PATCH = 31  # ORB's sampling pattern; OpenCV asks for a border beyond it
_BRIEF_BITS = 256
_BRIEF_SEED = 0


@dataclass(frozen=True, slots=True)
class Baseline:
    """A descriptor: from patches, uint8 (n, 65, 65), to rows; and the distance it is made for."""

    describe: Callable[[np.ndarray], np.ndarray]
    distance: str


def sift(patches: UInt8[np.ndarray, "n 65 65"]) -> Float[np.ndarray, "n 128"]:
    """SIFT at the centre of the patch, in the size the benchmark takes it.

    Source: D. Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004.
    """
    return _at_centre(cv2.SIFT.create(), patches, _SIFT_SIZE, np.float32, 128)


def rootsift(patches: UInt8[np.ndarray, "n 65 65"]) -> Float[np.ndarray, "n 128"]:
    """Square roots of L1-normalised SIFT.

    Source: R. Arandjelovic and A. Zisserman, "Three things everyone should know to improve
    object retrieval", CVPR 2012.
    """
    rows = sift(patches)
    return np.sqrt(rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-12))


def orb(patches: UInt8[np.ndarray, "n 65 65"]) -> UInt8[np.ndarray, "n 32"]:
    """ORB's learned 256 comparisons, upright, on patches shrunk so that they are covered.

    Source: E. Rublee et al., "ORB: an efficient alternative to SIFT or SURF", ICCV 2011.
    """
    side = (_ORB_PATCH, _ORB_PATCH)
    small = np.stack([cv2.resize(p, side, interpolation=cv2.INTER_AREA) for p in patches])
    padded = np.pad(small, ((0, 0), side, side), mode="edge")
    extractor = cv2.ORB.create(edgeThreshold=0, patchSize=_ORB_PATCH, nlevels=1)
    return _at_centre(extractor, padded, float(_ORB_PATCH), np.uint8, 32)


def brief(patches: UInt8[np.ndarray, "n 65 65"]) -> UInt8[np.ndarray, "n 32"]:
    """256 comparisons of smoothed grey values at points drawn from a Gaussian.

    Source: M. Calonder et al., "BRIEF: binary robust independent elementary features", ECCV 2010:
    a Gaussian of sigma 2 and, their G II, points of variance side^2 / 25. The points are ours.
    """
    smooth = np.stack([cv2.GaussianBlur(patch, (9, 9), 2) for patch in patches])
    (y1, x1), (y2, x2) = _brief_points()
    return np.packbits(smooth[:, y1, x1] < smooth[:, y2, x2], axis=1)


def _brief_points() -> Int[np.ndarray, "2 2 256"]:
    rng = np.random.default_rng(_BRIEF_SEED)
    points = rng.normal(PATCH // 2, PATCH / 5, (2, 2, _BRIEF_BITS))
    return np.clip(np.rint(points), 0, PATCH - 1).astype(np.int64)


def _at_centre(
    extractor: Any, patches: UInt8[np.ndarray, "n h w"], size: float, dtype: type, dim: int
) -> np.ndarray:
    """Describe each patch at one upright keypoint at its centre."""
    centre = (patches.shape[1] - 1) / 2
    rows = np.empty((len(patches), dim), dtype)
    for i, patch in enumerate(patches):
        keypoint = cv2.KeyPoint(centre, centre, size, 0)
        _, found = extractor.compute(patch, [keypoint])
        rows[i] = found[0]
    return rows


BASELINES: dict[str, Baseline] = {
    "sift": Baseline(sift, "L2"),
    "rootsift": Baseline(rootsift, "L2"),
    "orb": Baseline(orb, "Hamming"),
    "brief": Baseline(brief, "Hamming"),
}


def find_baseline(name: str) -> Baseline:
    """A baseline by name.

    Raises:
        RequestError: There is none of this name.
    """
    if name not in BASELINES:
        raise RequestError(f"baseline {name!r}: there are {', '.join(BASELINES)}")
    return BASELINES[name]
