"""Our networks as PyTorch modules from images to features, which the other modules build on."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Shaped, UInt8
from torch import Tensor, nn

from hpatches_eval.frames import similarity

from ..description import describe
from ..detections import Detect, patches_at, sift
from ..errors import InputError
from ..features import finder
from ..keypoints import descriptors_at, keypoints, padded, scores
from ..nets import DenseMaps, PatchNet
from ..nets.base import evaluating
from ..nets.superpoint import CELL
from ..selection import Selection
from ..shelf import load

GREY = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601, as kornia and OpenCV have it


@dataclass(frozen=True)
class ImageFeatures:
    """What was found on one image, strongest first; all float32, on the device of the network.

    Args:
        keypoints: (x, y) in pixels; the centre of the first pixel is (0, 0).
        descriptors: A row for each keypoint.
        detection_scores: Of the keypoints, falling.
        lafs: What was described, as kornia's local affine frames [A | c]: A maps the square
            [-1, 1] x [-1, 1] to pixels around the centre c. Those of image networks are upright,
            and a cell of 8 pixels is their half-width.
    """

    keypoints: Float32[Tensor, "n 2"]
    descriptors: Float32[Tensor, "n d"]
    detection_scores: Float32[Tensor, " n"]
    lafs: Float32[Tensor, "n 2 3"]

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.keypoints)

    def to(self, device: torch.device | str) -> "ImageFeatures":
        """The same on another device."""
        parts = (self.keypoints, self.descriptors, self.detection_scores, self.lafs)
        return ImageFeatures(*(part.to(device) for part in parts))


class ImageExtractor(nn.Module):
    """Images to keypoints and descriptors, without gradients; see `descompress.finder`.

    The network is described by what it does in eval mode; its own mode stays.

    Args:
        net: Image networks find keypoints themselves; patch networks describe what `detect` finds.
        selection: `Selection()` if not given; for patch networks `most` alone counts.
        detect: What patch networks describe.

    Raises:
        RequestError: `net` describes neither images nor patches.
    """

    def __init__(
        self, net: nn.Module, selection: Selection | None = None, detect: Detect = sift
    ) -> None:
        super().__init__()
        finder(net)  # refuses what describes nothing
        self.net, self.detect = net, detect
        self.selection = selection or Selection()

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, selection: Selection | None = None
    ) -> "ImageExtractor":
        """With a shipped network, or a file of one; nothing is fetched.

        Raises:
            ArtifactError: There is none, or it is damaged.
            RequestError: It describes neither images nor patches.
        """
        return cls(load(name_or_path), selection)

    @torch.no_grad()
    def forward(self, images: Tensor, mask: Tensor | None = None) -> list[ImageFeatures]:
        """The features of each image, as if it had been the only one.

        Args:
            images: (b, 1, h, w) grey or (b, 3, h, w) RGB, floats in [0, 1].
            mask: (b, 1, h, w) or (b, h, w); where it is 0 nothing is found.

        Raises:
            InputError: Other shapes, or images that are not floats.
        """
        greys = grey_images(images).to(next(self.net.parameters()).device)
        masks = None if mask is None else _checked_mask(mask, greys).to(greys)
        if not isinstance(self.net, PatchNet):
            return self._found(greys, masks)
        every = [None] * len(greys) if masks is None else masks
        return [self._described(*pair) for pair in zip(greys[:, 0], every, strict=True)]

    def maps(self, greys: Float[Tensor, "b 1 h w"]) -> DenseMaps:
        """What an image network says of grey images of any size; see `padded`."""
        with evaluating(self.net):
            return self.net(padded(greys.to(next(self.net.parameters()).device)))

    def _found(
        self, greys: Float[Tensor, "b 1 h w"], masks: Float[Tensor, "b h w"] | None
    ) -> list[ImageFeatures]:
        """By an image network."""
        maps = self.maps(greys)
        height, width = greys.shape[-2:]
        strengths = scores(maps.logits)[:, :height, :width]
        weighted = strengths if masks is None else strengths * masks
        points = keypoints(weighted, self.selection)
        rows = descriptors_at(maps.descriptors, [one.xy for one in points])
        return [
            ImageFeatures(one.xy, row, one.scores, _upright(one.xy))
            for one, row in zip(points, rows, strict=True)
        ]

    def _described(
        self, grey: Float[Tensor, "h w"], mask: Float[Tensor, "h w"] | None
    ) -> ImageFeatures:
        """By a patch network."""
        image, most = to_pixels(grey), self.selection.most
        points, strengths = self.detect(image, most if mask is None else sys.maxsize)
        if mask is not None:
            x, y = points[:, :2].round().astype(int).T
            seen = mask.cpu().numpy()[y.clip(0, len(mask) - 1), x.clip(0, mask.shape[1] - 1)] > 0
            points, strengths = points[seen][:most], strengths[seen][:most]
        frames = [similarity(*point)[:2] for point in points.tolist()]
        lafs = np.array(frames, np.float32).reshape(-1, 2, 3)
        rows = describe(self.net, patches_at(image, points))
        parts = (points[:, :2].astype(np.float32), rows, strengths, lafs)
        return ImageFeatures(*(torch.from_numpy(np.array(part)).to(grey.device) for part in parts))


def grey_images(images: Tensor) -> Float[Tensor, "b 1 h w"]:
    """Grey images of grey or RGB ones.

    Raises:
        InputError: Not (b, 1 or 3, h, w), or not floats.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.is_floating_point():
        kind = f"{tuple(images.shape)} {images.dtype}"
        raise InputError(f"images must be floats in [0, 1], (b, 1 or 3, h, w), not {kind}")
    if images.shape[1] == 1:
        return images
    return (images * images.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)


def to_pixels(grey: Float[Tensor, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """The pixels of a grey image in [0, 1], as detectors of OpenCV read them.

    Raises:
        InputError: It holds NaN or infinity.
    """
    if not grey.isfinite().all():
        raise InputError("the image holds NaN or infinity")
    return (grey.float() * 255).round().clamp(0, 255).byte().cpu().numpy()


def _checked_mask(mask: Tensor, greys: Float[Tensor, "b 1 h w"]) -> Shaped[Tensor, "b h w"]:
    flat = mask[:, 0] if mask.ndim == 4 and mask.shape[1] == 1 else mask
    if flat.shape != greys[:, 0].shape:
        shapes = f"{tuple(mask.shape)} for images {tuple(greys.shape)}"
        raise InputError(f"the mask must be as large as the images, not {shapes}")
    return flat


def _upright(xy: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2 3"]:
    square = CELL * torch.eye(2, device=xy.device).expand(len(xy), 2, 2)
    return torch.cat([square, xy[:, :, None]], 2)
