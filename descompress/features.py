"""Networks as finders: from a grey image to keypoints and descriptors.

Image networks find their keypoints themselves. Patch networks describe OpenCV's
difference-of-Gaussians points, each by the square around it that its scale and orientation span.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from hpatches_eval.features import Features, Finder
from hpatches_eval.frames import cut, pyramid, similarity

from .data.sizing import SIZE
from .description import describe
from .errors import RequestError
from .keypoints import Keypoints, Selection, descriptors_at, keypoints, padded, scores
from .nets import Classifier, Net, PatchNet

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


def finder(
    net: nn.Module,
    selection: Selection | None = None,
    detect: Detect = sift,
) -> Finder:
    """What finds and describes the keypoints of an image with `net`, in eval mode.

    Args:
        selection: Of keypoints, `Selection()` if not given; for patch networks `most` alone counts.
        detect: What a patch network describes: from an image and how many to keep to rows
            (x, y, half-width of the square, angle in radians) and scores, strongest first.

    Raises:
        RequestError: `net` describes neither images nor patches.
    """
    selection = selection or Selection()
    if isinstance(net, PatchNet):
        return PatchFinder(net, selection.most, detect)
    if isinstance(net, Net) and not isinstance(net, Classifier):
        return ImageFinder(net, selection)
    name = net.spec.net if isinstance(net, Net) else type(net).__name__
    raise RequestError(f"{name} describes neither images nor patches")


@dataclass(frozen=True, slots=True)
class ImageFinder:
    """Keypoints and descriptors from the dense maps of an image network.

    The time of the maps, from which both come, is counted as detection.
    """

    net: nn.Module
    selection: Selection

    def __call__(self, image: UInt8[np.ndarray, "h w"]) -> Features:
        begin = time.perf_counter()
        found, descriptors = self._detected(image)
        between = time.perf_counter()
        with torch.inference_mode():
            (rows,) = descriptors_at(descriptors, [found.xy])
        return Features(
            found.xy.cpu().numpy(),
            rows.cpu().numpy(),
            found.scores.cpu().numpy(),
            {"detection": between - begin, "description": time.perf_counter() - between},
        )

    @torch.inference_mode()
    def _detected(self, image: UInt8[np.ndarray, "h w"]) -> tuple[Keypoints, Float[Tensor, "..."]]:
        training = self.net.training
        grey = torch.from_numpy(image.astype(np.float32) / 255)[None, None]
        maps = self.net.eval()(padded(grey.to(next(self.net.parameters()).device)))
        self.net.train(training)
        size = image.shape[0], image.shape[1]
        (found,) = keypoints(scores(maps.logits), self.selection, size)
        return found, maps.descriptors


@dataclass(frozen=True, slots=True)
class PatchFinder:
    """Detections of another kind, described by a patch network; see `finder`."""

    net: nn.Module
    most: int
    detect: Detect

    def __call__(self, image: UInt8[np.ndarray, "h w"]) -> Features:
        begin = time.perf_counter()
        points, strengths = self.detect(image, self.most)
        between = time.perf_counter()
        rows = describe(self.net, patches_at(image, points))
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
