"""Patch networks as kornia's local features.

Every patch network already is what `kornia.feature.LAFDescriptor` asks for: a module with
`patch_size = 32` that maps (b, 1, 32, 32) patches to (b, d) descriptors. These functions put the
pipeline around it with kornia's own parts, none of which downloads weights.
"""

from typing import TYPE_CHECKING

from torch import nn

from ..errors import RequestError
from ..nets.base import PatchNet

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


def local_feature(
    net: nn.Module, features: int = 2048, detector: nn.Module | None = None
) -> "LocalFeature":
    """Detect and describe: a grey image (1, 1, h, w) -> LAFs, responses, descriptors.

    Args:
        features: At most this many points an image.
        detector: Any of kornia's; blobs of the Hessian with dominant orientations if left out.

    Raises:
        RequestError: See `laf_descriptor`.
    """
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
