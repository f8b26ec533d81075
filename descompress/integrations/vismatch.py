"""Networks as matchers of vismatch, the collection of image matching models, version 1.4."""

from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from hpatches_eval.matching import neighbours

from ..errors import RequestError
from ..selection import Selection
from .extraction import ImageExtractor


class Matches(NamedTuple):
    """What `_forward` of a matcher gives.

    Keypoints are (x, y) in pixels, the centre of the first one (0, 0). A match's confidence is
    the cosine between its two unit descriptors.
    """

    matched_kpts0: Float32[np.ndarray, "k 2"]
    matched_kpts1: Float32[np.ndarray, "k 2"]
    all_kpts0: Float32[np.ndarray, "n 2"]
    all_kpts1: Float32[np.ndarray, "m 2"]
    all_desc0: Float32[np.ndarray, "n d"]
    all_desc1: Float32[np.ndarray, "m d"]
    matched_confidences: Float32[np.ndarray, " k"]


class Matcher(nn.Module):
    """Two images to the mutual nearest neighbours of what a network finds in them.

    Args:
        extractor: Finds and describes.
    """

    def __init__(self, extractor: ImageExtractor) -> None:
        super().__init__()
        self.extractor = extractor

    @torch.no_grad()
    def _forward(self, img0: Tensor, img1: Tensor) -> Matches:
        """The seven values that vismatch asks for.

        Args:
            img0: (1 or 3, h, w), floats in [0, 1].
            img1: The other one, of any size.

        Raises:
            InputError: Not such images.
        """
        (one,), (two,) = (self.extractor(image[None]) for image in (img0, img1))
        points0, points1 = one.keypoints.cpu().numpy(), two.keypoints.cpu().numpy()
        rows0, rows1 = one.descriptors.cpu().numpy(), two.descriptors.cpu().numpy()
        i, j = neighbours(rows0, rows1).mutual().T
        cosines = (rows0[i] * rows1[j]).sum(1)
        return Matches(points0[i], points1[j], points0, points1, rows0, rows1, cosines)


def vismatch_matcher(
    name_or_path: str | Path, device: str = "cpu", selection: Selection | None = None, **ransac: Any
) -> nn.Module:
    """A `vismatch.BaseMatcher`: (path or image, path or image) -> inliers, H, and all of the above.

    Args:
        name_or_path: A shipped network or a file.
        selection: At most 2,048 keypoints if not given.
        ransac: Settings of vismatch's own, such as `ransac_reproj_thresh`.

    Raises:
        RequestError: vismatch cannot be imported, or the network finds nothing.
        ArtifactError: There is no such network.
    """
    try:
        base = import_module("vismatch.base_matcher").BaseMatcher
    except ImportError as error:
        raise RequestError(f"vismatch cannot be imported ({error}): pip install vismatch") from None
    found = type("Descompress", (base,), {"_forward": Matcher._forward})(device, **ransac)
    found.extractor = ImageExtractor.from_pretrained(
        name_or_path, selection or Selection(most=2048)
    ).to(device)
    return found.eval()
