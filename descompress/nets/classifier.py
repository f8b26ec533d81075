"""What networks that tell classes of images have in common."""

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import InputError
from .base import Net


class Classifier(Net):
    """Tells which of some classes an image shows.

    Dense layers are 1 x 1 convolutions of the averaged map, the same numbers in another shape, so
    that methods and pruning apply to them.

    Args:
        in_channels: Of the images: 3 for colour, 1 for grey.
    """

    input_shape = (3, None, None)
    image_size: ClassVar[tuple[int, int]]  # that the published counts are for
    least_side: ClassVar[int] = 1

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.input_shape = (in_channels, None, None)  # pyright: ignore[reportAttributeAccessIssue]

    @abstractmethod
    def scores(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n 1 1"]:
        """The logits of checked images, as a map of one pixel."""

    def initialise_(self) -> None:
        """Normal weights of variance 2 / (inputs of a neuron), biases of 0.

        Source: K. He et al., "Delving deep into rectifiers", ICCV 2015, eq. 10.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Float[Tensor, "b n"]:
        """Logits: scores of the classes before the softmax.

        Args:
            images: (b, in_channels, h, w) floats, standardised as those of the training were.

        Raises:
            InputError: Another shape or type, too small; or, in eval mode, NaN or infinity.
        """
        return self.scores(self._prepared(images)).flatten(1)

    def _prepared(self, images: Tensor) -> Float[Tensor, "b c h w"]:
        """Checked images, in the precision of the weights and the layout the CPU is fast in."""
        if not torch.is_floating_point(images):
            raise InputError(f"{images.dtype} input: standardise it as in training (float32) first")
        x = self._checked(images)
        height, width = x.shape[-2:]
        if min(height, width) < self.least_side:
            raise InputError(
                f"image sides must be at least {self.least_side}, not {height} x {width}"
            )
        return self._to_weights(x)


def normed(c: int, n: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution without bias that keeps the size but for its stride, and a batch norm."""
    conv = nn.Conv2d(c, n, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(n)]
