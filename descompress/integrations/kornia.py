"""Networks as kornia's local features.

Every patch network already is what `kornia.feature.LAFDescriptor` asks for: a module with
`patch_size = 32` that maps (b, 1, 32, 32) patches to (b, d) descriptors. These functions put the
pipeline around it with kornia's own parts, none of which downloads weights. Image networks take
the place of kornia's DISK or ALIKED.
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..errors import RequestError
from ..nets.base import PatchNet
from ..selection import Selection
from .extraction import ImageExtractor

if TYPE_CHECKING:
    from kornia.feature import LAFDescriptor, LocalFeature


def laf_descriptor(net: nn.Module) -> "LAFDescriptor":
    """Describe local affine frames of an image with `net`: (image, lafs) -> (b, n, d).

    kornia casts the weights to the type of the image; give it float32 images.

    Raises:
        RequestError: `net` does not describe patches, or kornia is not installed.
    """
    if not isinstance(net, PatchNet):
        raise RequestError(
            f"{type(net).__name__} does not describe 32 x 32 patches: load a patch network"
        )
    feature = _kornia_feature()
    return feature.LAFDescriptor(net, patch_size=net.patch_size, grayscale_descriptor=True)


class ImageFeature(ImageExtractor):
    """Whole images in, features out, as kornia's DISK and ALIKED do it.

    Patch networks describe the points of SIFT here. `forward` gives a list, an
    `extraction.ImageFeatures` for each image. All results are float32, whatever the precision of
    the network and of the images; `.to()` and `copy.deepcopy` are those of any module.
    """

    @torch.no_grad()
    def forward_laf(
        self, img: Tensor, mask: Tensor | None = None
    ) -> tuple[Float32[Tensor, "b n 2 3"], Float32[Tensor, "b n"], Float32[Tensor, "b n d"]]:
        """Local affine frames, responses and descriptors; images with fewer have zeros at the end.

        Args:
            img: (b, 1, h, w) grey or (b, 3, h, w) RGB, floats in [0, 1].
            mask: (b, 1, h, w) or (b, h, w); where it is 0 nothing is found.

        Raises:
            InputError: Other shapes, or images that are not floats.
        """
        found = self(img, mask)
        return (
            pad_sequence([one.lafs for one in found], batch_first=True),
            pad_sequence([one.detection_scores for one in found], batch_first=True),
            pad_sequence([one.descriptors for one in found], batch_first=True),
        )


class _LafFeature(nn.Module):
    """`forward_laf` as the module itself, which is what `LocalFeatureMatcher` calls."""

    def __init__(self, feature: ImageFeature) -> None:
        super().__init__()
        self.feature = feature

    def forward(
        self, img: Tensor, mask: Tensor | None = None
    ) -> tuple[Float32[Tensor, "b n 2 3"], Float32[Tensor, "b n"], Float32[Tensor, "b n d"]]:
        return self.feature.forward_laf(img, mask)


def local_feature(
    net: nn.Module, features: int = 2048, detector: nn.Module | None = None
) -> "LocalFeature | nn.Module":
    """Detect and describe: images (b, 1, h, w) -> LAFs, responses, descriptors.

    It goes into `kornia.feature.LocalFeatureMatcher`.

    Args:
        net: A patch network, or an image network, which finds its points itself.
        features: At most this many points an image.
        detector: For patch networks any of kornia's; blobs of the Hessian with dominant
            orientations if left out.

    Raises:
        RequestError: See `laf_descriptor`; or an image network and a detector.
    """
    if not isinstance(net, PatchNet):
        if detector is not None:
            raise RequestError("a detector is for patch networks; this finds its points itself")
        return _LafFeature(ImageFeature(net, Selection(most=features)))
    feature = _kornia_feature()
    described = laf_descriptor(net)
    if detector is None:
        detector = feature.ScaleSpaceDetector(
            features,
            resp_module=feature.BlobHessian(),
            ori_module=feature.LAFOrienter(19),
            mr_size=5.0,
        )
    return feature.LocalFeature(detector, described)


def _kornia_feature():
    try:
        import kornia.feature
    except ImportError as error:
        raise RequestError(
            f"kornia cannot be imported ({error}): pip install 'descompress[kornia]'"
        ) from None
    return kornia.feature
