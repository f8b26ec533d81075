"""Networks in the place of an OpenCV detector and descriptor.

The objects have the methods of `cv2.Feature2D` that a matcher or a pipeline in Python calls.
OpenCV's C++ cannot call them: `cv2.Stitcher` takes none, and its parts in `cv2.detail` are given
what `image_features` makes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from torch import nn

from hpatches_eval.features import Features, Finder

from ..description import describe
from ..detections import MEASUREMENT, patches_at
from ..errors import InputError, RequestError
from ..keypoints import descriptors_at
from ..nets import PatchNet
from ..selection import Selection
from .extraction import ImageExtractor

SIZE = 8.0  # diameter, in pixels, that is told of points without a size
MOST = 2000

KeyPoints: TypeAlias = Sequence[cv2.KeyPoint]
Mask: TypeAlias = UInt8[np.ndarray, "h w"] | None


class Feature2D(ABC):
    """Detects and describes as OpenCV's own features do; see `feature2d`.

    Images are uint8, grey, BGR or BGRA. Keypoints come strongest first.
    """

    @abstractmethod
    def detectAndCompute(
        self, image: Any, mask: Any = None
    ) -> tuple[tuple[cv2.KeyPoint, ...], Shaped[np.ndarray, "n d"]]:
        """Keypoints, and a row for each; without any, no rows.

        Args:
            mask: As large as the image; where it is 0 nothing is found.

        Raises:
            InputError: Not such an image or mask.
        """

    def detect(self, image: Any, mask: Any = None) -> tuple[cv2.KeyPoint, ...]:
        """The keypoints of `detectAndCompute`."""
        return self.detectAndCompute(image, mask)[0]

    @abstractmethod
    def compute(
        self, image: Any, keypoints: KeyPoints
    ) -> tuple[tuple[cv2.KeyPoint, ...], Shaped[np.ndarray, "n d"]]:
        """The keypoints as they were given, and a row for each.

        Raises:
            InputError: Not such an image.
            RequestError: Only points that it found itself can be described.
        """

    @cached_property
    def _kind(self) -> tuple[int, type]:
        rows = self.detectAndCompute(np.zeros((64, 64), np.uint8))[1]
        return rows.shape[1], rows.dtype.type

    def descriptorSize(self) -> int:
        """Columns of a descriptor."""
        return self._kind[0]

    def descriptorType(self) -> int:
        """CV_32F, or CV_8U of packed bits."""
        return cv2.CV_8U if self._kind[1] is np.uint8 else cv2.CV_32F

    def defaultNorm(self) -> int:
        """What matchers compare descriptors by: NORM_L2, or of packed bits NORM_HAMMING."""
        return cv2.NORM_HAMMING if self._kind[1] is np.uint8 else cv2.NORM_L2

    def image_features(self, image: Any, index: int, mask: Any = None) -> Any:
        """What the parts of OpenCV's stitcher read: `cv2.detail.ImageFeatures` of an image.

        Args:
            index: Which of the images it is, from 0.
        """
        keypoints, rows = self.detectAndCompute(image, mask)
        # OpenCV 4 crashes where descriptors are set in one that did not come from itself
        features = cv2.detail.computeImageFeatures2(cv2.ORB.create(1), np.zeros((32, 32), np.uint8))
        features.img_idx = index
        features.img_size = (image.shape[1], image.shape[0])
        features.keypoints, features.descriptors = keypoints, cv2.UMat(rows)  # pyright: ignore
        return features


def feature2d(
    what: nn.Module | Finder,
    detector: Any = None,
    *,
    selection: Selection | None = None,
    measurement: float = MEASUREMENT,
) -> Feature2D:
    """Anything that finds or describes keypoints, as OpenCV calls it.

    Args:
        what: A patch network, an image network, or any finder, such as one of a runtime.
        detector: Whose points a patch network describes: any `cv2.Feature2D`; SIFT's if left out.
        selection: Of keypoints, at most 2,000 if left out; of detected ones `most` alone counts.
        measurement: Half-width of the described patch, in units of half the size of a keypoint.
            The default is for SIFT; ORB's size already is that of its patch: take 1.

    Raises:
        RequestError: A network of another kind, or a detector for what has its own.
    """
    selection = selection or Selection(most=MOST)
    if isinstance(what, PatchNet):
        # Without the precise upscaling all points lie a quarter of a pixel to the lower right.
        detector = detector or cv2.SIFT.create(enable_precise_upscale=True)
        return PatchFeature2D(what, detector, selection.most, measurement)
    if detector is not None:
        raise RequestError("a detector is for patch networks; this finds its keypoints itself")
    if isinstance(what, nn.Module):
        return ImageFeature2D(ImageExtractor(what, selection))
    return FoundFeature2D(what, selection.most)


class PatchFeature2D(Feature2D):
    """A detector of OpenCV, described by a patch network."""

    def __init__(self, net: PatchNet, detector: Any, most: int, measurement: float) -> None:
        self.net, self.detector, self.most, self.measurement = net, detector, most, measurement

    def detect(self, image: Any, mask: Any = None) -> tuple[cv2.KeyPoint, ...]:
        """The strongest keypoints of the detector."""
        grey = to_grey(image)
        found = self.detector.detect(grey, _checked(mask, grey))
        strongest = sorted(found, key=lambda k: (-k.response, *k.pt, k.size, k.angle))
        return tuple(strongest[: self.most])

    def compute(
        self, image: Any, keypoints: KeyPoints
    ) -> tuple[tuple[cv2.KeyPoint, ...], Shaped[np.ndarray, "n d"]]:
        """Any keypoints; those without an angle upright."""
        half = self.measurement / 2
        frames = [(*k.pt, half * k.size, np.deg2rad(max(k.angle, 0.0))) for k in keypoints]
        points = np.array(frames, np.float64).reshape(-1, 4)
        return tuple(keypoints), describe(self.net, patches_at(to_grey(image), points))

    def detectAndCompute(
        self, image: Any, mask: Any = None
    ) -> tuple[tuple[cv2.KeyPoint, ...], Shaped[np.ndarray, "n d"]]:
        """Both, one after the other."""
        return self.compute(image, self.detect(image, mask))


class ImageFeature2D(Feature2D):
    """An image network."""

    def __init__(self, extractor: ImageExtractor) -> None:
        self.extractor = extractor

    def detectAndCompute(
        self, image: Any, mask: Any = None
    ) -> tuple[tuple[cv2.KeyPoint, ...], Shaped[np.ndarray, "n d"]]:
        """Both from one run of the network."""
        grey = to_grey(image)
        mask = _checked(mask, grey)
        seen = None if mask is None else torch.from_numpy(mask > 0)[None]
        (found,) = self.extractor(_tensor(grey), seen)
        rows = np.ascontiguousarray(found.descriptors.cpu().numpy())
        return _keypoints(found.keypoints.cpu().numpy(), found.detection_scores.tolist()), rows

    def compute(
        self, image: Any, keypoints: KeyPoints
    ) -> tuple[tuple[cv2.KeyPoint, ...], Shaped[np.ndarray, "n d"]]:
        """The descriptors of the dense map at these points; sizes and angles do not count."""
        xy = torch.tensor([k.pt for k in keypoints], dtype=torch.float32).reshape(-1, 2)
        with torch.no_grad():
            maps = self.extractor.maps(_tensor(to_grey(image)))
            (rows,) = descriptors_at(maps.descriptors, [xy.to(maps.descriptors.device)])
        return tuple(keypoints), np.ascontiguousarray(rows.cpu().numpy())


class FoundFeature2D(Feature2D):
    """A finder."""

    def __init__(self, find: Finder, most: int) -> None:
        self.find, self.most = find, most

    def detectAndCompute(
        self, image: Any, mask: Any = None
    ) -> tuple[tuple[cv2.KeyPoint, ...], Shaped[np.ndarray, "n d"]]:
        """What it finds; what lies where the mask is 0 is left out afterwards."""
        grey = to_grey(image)
        mask, found = _checked(mask, grey), self.find(grey)
        seen = np.ones(len(found.keypoints), bool) if mask is None else _seen(found, mask)
        rows = np.ascontiguousarray(found.descriptors[seen][: self.most])
        points, scores = found.keypoints[seen], found.scores[seen].tolist()
        return _keypoints(points[: self.most], scores[: self.most]), rows

    def compute(
        self, image: Any, keypoints: KeyPoints
    ) -> tuple[tuple[cv2.KeyPoint, ...], Shaped[np.ndarray, "n d"]]:
        """Refused: a finder describes the points that it finds."""
        raise RequestError("a finder describes only the points it finds: call detectAndCompute")


def to_grey(image: Any) -> UInt8[np.ndarray, "h w"]:
    """An image in grey.

    Raises:
        InputError: Not uint8 (h, w), (h, w, 3) in BGR or (h, w, 4) in BGRA, or without pixels.
    """
    array = np.asarray(image)
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        kind = f"{array.shape} {array.dtype}"
        raise InputError(f"the image must be uint8, grey, BGR or BGRA, not {kind}")
    if not array.size:
        raise InputError(f"the image is without pixels: {array.shape}")
    if channels == 1:
        return np.ascontiguousarray(array.reshape(array.shape[:2]))
    code = cv2.COLOR_BGR2GRAY if channels == 3 else cv2.COLOR_BGRA2GRAY
    return np.asarray(cv2.cvtColor(array, code), dtype=np.uint8)


def _checked(mask: Any, grey: UInt8[np.ndarray, "h w"]) -> Mask:
    if mask is None:
        return None
    array = np.asarray(mask)
    if array.dtype != np.uint8 or array.shape != grey.shape:
        kind = f"{array.shape} {array.dtype}"
        raise InputError(f"the mask must be uint8 {grey.shape}, as the image, not {kind}")
    return array


def _seen(found: Features, mask: UInt8[np.ndarray, "h w"]) -> Shaped[np.ndarray, " n"]:
    limit = np.array(mask.shape[::-1]) - 1
    x, y = found.keypoints.round().astype(int).clip(0, limit).T
    return mask[y, x] > 0


def _keypoints(xy: Shaped[np.ndarray, "n 2"], scores: list[float]) -> tuple[cv2.KeyPoint, ...]:
    return tuple(
        cv2.KeyPoint(x=x, y=y, size=SIZE, response=score)
        for (x, y), score in zip(xy.tolist(), scores, strict=True)
    )


def _tensor(grey: UInt8[np.ndarray, "h w"]) -> torch.Tensor:
    return torch.from_numpy(grey.astype(np.float32) / 255)[None, None]
