"""Depthwise-separable layers.

Source: L. Sifre, "Rigid-motion scattering for image classification", 2014; with the channel
multiplier of R. Miles, K. Mikolajczyk, arXiv 2001.03102.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .base import Layer, Method, Setting, copy_bias_, number, require_plain
from .lowrank import channel_factors
from .stages import SpatialStage, absorb_norm_, between, require_inner


class DepthwiseConv2d(Layer):
    """`multiplier` kernels on every input channel, then a 1x1 convolution.

    With `inner` "bn_relu", batch norm and ReLU stand between the two.
    """

    def __init__(self, conv: nn.Conv2d, multiplier: int, inner: str) -> None:
        super().__init__()
        c = conv.in_channels
        self.depthwise = SpatialStage(conv, c, c * multiplier, depthwise=True)
        middle = self.depthwise.out_channels
        self.inner = between(middle, inner)
        self.pointwise = nn.Conv2d(middle, conv.out_channels, 1, bias=conv.bias is not None)
        self.to(conv.weight)

    @property
    def mixer(self) -> nn.Conv2d:
        """The pointwise convolution."""
        return self.pointwise

    def mixed(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b m h2 w2"]:
        """The outputs of the depthwise convolution."""
        return self.inner(self.depthwise(x))

    def rewritten(self) -> nn.Module:
        """With the inner batch norm, if there is one, in the depthwise convolution."""
        if isinstance(self.inner, nn.Sequential):
            absorb_norm_(self.depthwise, self.inner[0])
            self.inner = self.inner[1]
        return self

    @torch.no_grad()
    def project_(self, conv: nn.Conv2d) -> "DepthwiseConv2d":
        """Set the weights to the least-squares approximation of those of `conv`.

        With batch norm and ReLU inside these weights are only a start.
        """
        multiplier = self.depthwise.out_channels // conv.in_channels
        mix, kernels = channel_factors(conv.weight, multiplier)
        self.depthwise.weight.copy_(kernels)
        self.pointwise.weight.copy_(mix[:, :, None, None])
        copy_bias_(self.pointwise, conv)
        return self


@dataclass(frozen=True)
class Depthwise(Method):
    """Replace a convolution by a depthwise one and a pointwise one.

    Args:
        multiplier: Kernels on every input channel; "auto" is the rule of the paper, out_channels /
            in_channels where that is a whole number of at least 1, rounded down to one elsewhere.
        inner: "linear", or "bn_relu" for batch norm (without weights) and ReLU before the
            pointwise convolution (A. Howard et al., "MobileNets", arXiv 1704.04861).
    """

    multiplier: Setting = "auto"
    inner: str = "linear"
    name: ClassVar[str] = "depthwise"

    def resolve(self, conv: nn.Conv2d) -> "Depthwise":
        """`multiplier` as a number."""
        require_plain(conv, self)
        require_inner(self.inner)
        return replace(self, multiplier=resolved_multiplier(self.multiplier, conv))

    def layer(self, conv: nn.Conv2d) -> DepthwiseConv2d:
        """A depthwise-separable layer of the shape of `conv`."""
        assert isinstance(self.multiplier, int)
        return DepthwiseConv2d(conv, self.multiplier, self.inner)


def resolved_multiplier(multiplier: Setting, conv: nn.Conv2d) -> int:
    """The number of kernels on every channel; more than a kernel has weights adds nothing.

    Raises:
        SpecError: Neither "auto" nor a number that makes sense.
    """
    if multiplier == "auto":
        return max(1, conv.out_channels // conv.in_channels)
    return number(multiplier, conv.kernel_size[0] * conv.kernel_size[1], "multiplier")
