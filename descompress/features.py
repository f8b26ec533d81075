"""Networks as finders: from a grey image to keypoints and descriptors.

Image networks find their keypoints themselves. Patch networks describe OpenCV's
difference-of-Gaussians points, each by the square around it that its scale and orientation span.
"""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from hpatches_eval.features import Features, Finder

from .description import describe
from .detections import Detect, PatchFinder, checked_grey, sift
from .errors import RequestError
from .keypoints import Keypoints, descriptors_at, keypoints, padded, scores
from .nets import Classifier, Net, PatchNet
from .nets.base import evaluating
from .selection import Selection


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
        RequestError: `net` describes neither images nor patches. What comes out raises InputError
            for an image that is not grey, uint8 (h, w).
    """
    selection = selection or Selection()
    if isinstance(net, PatchNet):
        return PatchFinder(partial(describe, net), selection.most, detect)
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

    def __call__(self, image: np.ndarray) -> Features:
        begin = time.perf_counter()
        found, descriptors = self._detected(checked_grey(image))
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
        grey = torch.from_numpy(image.astype(np.float32) / 255)[None, None]
        with evaluating(self.net):
            maps = self.net(padded(grey.to(next(self.net.parameters()).device)))
        size = image.shape[0], image.shape[1]
        (found,) = keypoints(scores(maps.logits), self.selection, size)
        return found, maps.descriptors
