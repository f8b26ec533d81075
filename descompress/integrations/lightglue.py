"""Networks as extractors for LightGlue.

LightGlue's weights belong to the descriptors they were trained on. A network that was distilled
from these descriptors goes on with them; one that was trained afresh, such as those shipped here,
needs LightGlue trained on it.

Source: P. Lindenberger, P.-E. Sarlin, M. Pollefeys, "LightGlue: local feature matching at light
speed", ICCV 2023, and the interface of its published code.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional as F

from hpatches_eval.geometry import fitted

from ..detections import MEASUREMENT
from ..errors import InputError
from ..selection import Selection
from .extraction import ImageExtractor, ImageFeatures

LONGEST = 1024  # pixels of the long side that `extract` searches


class Extractor(nn.Module):
    """Features in the form that LightGlue reads.

    Args:
        net: A patch network or an image network.
        selection: At most 2,048 keypoints if not given.

    Raises:
        RequestError: `net` describes neither images nor patches.
    """

    def __init__(self, net: nn.Module, selection: Selection | None = None) -> None:
        super().__init__()
        self.extractor = ImageExtractor(net, selection or Selection(most=2048))

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, selection: Selection | None = None
    ) -> "Extractor":
        """With a shipped network, or a file of one; see `ImageExtractor.from_pretrained`."""
        return cls(ImageExtractor.from_pretrained(name_or_path).net, selection)

    def forward(self, data: Mapping[str, Tensor]) -> dict[str, Float32[Tensor, "b n ..."]]:
        """The features of images, stacked.

        Args:
            data: "image" (b, 1 or 3, h, w), floats in [0, 1].

        Returns:
            keypoints (b, n, 2), keypoint_scores (b, n), descriptors (b, n, d); scales (b, n), the
            sizes of the keypoints as OpenCV tells them, and oris (b, n), their angles in radians,
            clockwise: what LightGlue's models for SIFT and DoG-HardNet read.

        Raises:
            InputError: No image, another shape, or images with unlike numbers of keypoints.
        """
        if "image" not in data:
            raise InputError("the input 'image' is missing")
        found = self.extractor(data["image"])
        if len({one.n for one in found}) > 1:
            counts = ", ".join(str(one.n) for one in found)
            raise InputError(f"images with {counts} keypoints cannot be stacked: one at a time")
        parts = [_named(one) for one in found]
        return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}

    @torch.no_grad()
    def extract(self, image: Tensor, resize: int | None = LONGEST) -> dict[str, Tensor]:
        """The features of one image, in pixels of it, with its `image_size` (1, 2), w and h.

        Args:
            image: (1 or 3, h, w) or (1, 1 or 3, h, w), floats in [0, 1].
            resize: Pixels of the long side that are searched, smaller images stay as they are;
                None for the image as it is.
        """
        whole = image if image.ndim == 4 else image[None]
        if whole.ndim != 4 or len(whole) != 1:
            raise InputError(f"one image (c, h, w) at a time, not {tuple(image.shape)}")
        height, width = whole.shape[-2:]
        small = whole if resize is None else _shrunk(whole, resize)
        scale = torch.tensor([width / small.shape[-1], height / small.shape[-2]])
        found = self({"image": small})
        scale = scale.to(found["keypoints"])
        size = torch.tensor([[width, height]]).to(scale)
        points = (found["keypoints"] + 0.5) * scale - 0.5
        return {**found, "keypoints": points, "scales": found["scales"] * scale.mean()} | {
            "image_size": size
        }


def _named(found: ImageFeatures) -> dict[str, Tensor]:
    axes = found.lafs[:, :, 0]  # of the patch to the right, as long as its half-width
    return {
        "keypoints": found.keypoints,
        "keypoint_scores": found.detection_scores,
        "descriptors": found.descriptors,
        "scales": axes.norm(dim=1) * 2 / MEASUREMENT,
        "oris": torch.atan2(axes[:, 1], axes[:, 0]),
    }


def _shrunk(image: Float[Tensor, "1 c h w"], longest: int) -> Float[Tensor, "1 c h2 w2"]:
    height, width = image.shape[-2:]
    shape = fitted((height, width), min(longest, max(height, width)))
    if shape == (height, width):
        return image
    return F.interpolate(image, shape, mode="bilinear", antialias=True).clamp(0, 1)
