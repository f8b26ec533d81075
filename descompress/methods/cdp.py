"""Convolution-Depthwise-Pointwise (CDP) layers.

Source: R. Miles, K. Mikolajczyk, "Compression of descriptor models for mobile applications", arXiv
2001.03102; equation numbers are those of ch. 2 of R. Miles' thesis (Imperial College, 2024).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import SpecError
from ..wiring import Wire, Wiring
from .base import Layer, Method, Setting, copy_bias_, require_plain, require_weights
from .lowrank import channel_factors, matrix_factors
from .stages import SpatialStage, absorb_norm_, between, require_inner

WIDEST = 65_536  # channels of a dense branch


class CDPConv2d(Layer):
    """Dense convolution of the first `alpha` input channels, depthwise of the rest.

    Both branches keep the kernel, stride and padding of the convolution they replace; a 1x1
    convolution then mixes their concatenated outputs (eq. 2.1, 2.2):

        y = pointwise(cat(dense(x[:, :alpha]), depthwise(x[:, alpha:])))

    With `inner` "bn_relu", batch norm and ReLU stand between the two stages.
    """

    def __init__(self, conv: nn.Conv2d, alpha: int, inner: str, width: int) -> None:
        super().__init__()
        n, rest = conv.out_channels, conv.in_channels - alpha
        self.dense = SpatialStage(conv, alpha, width)
        self.depthwise = SpatialStage(conv, rest, rest, depthwise=True)
        self.inner = between(width + rest, inner)
        self.pointwise = nn.Conv2d(width + rest, n, 1, bias=conv.bias is not None)
        self.to(conv.weight)

    @property
    def mixer(self) -> nn.Conv2d:
        """The pointwise convolution."""
        return self.pointwise

    def mixed(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b m h2 w2"]:
        """The outputs of the dense branch, then those of the depthwise one."""
        # Slices would lose the layout of gradients.
        first, rest = x.split([self.dense.in_channels, self.depthwise.in_channels], dim=1)
        return self.inner(torch.cat([self.dense(first), self.depthwise(rest)], dim=1))

    @torch.no_grad()
    def rewritten(self) -> nn.Module:
        """See `MergedCDP`."""
        return MergedCDP(self)

    def wire(self, wiring: Wiring, name: str, x: Wire) -> Wire:
        """Both branches side by side, then the mixing."""
        first, rest = x.split(self.dense.in_channels)
        branches = ("dense", first), ("depthwise", rest)
        y = wiring.cat([wiring.through(f"{name}.{stage}", z) for stage, z in branches])
        return wiring.through(f"{name}.pointwise", wiring.through(f"{name}.inner", y))

    @torch.no_grad()
    def project_(self, conv: nn.Conv2d) -> "CDPConv2d":
        """Set the weights to the least-squares approximation of those of `conv`.

        The dense channels are copied, or approximated with the rank `width`; the kernel of each
        other channel, `(n, k*k)`, becomes its best rank-1 approximation. With batch norm and ReLU
        inside these weights are only a start: the ReLU drops what is negative, and a refit from
        data, or training, has to follow.
        """
        alpha, width, weight = self.dense.in_channels, self.dense.out_channels, conv.weight
        mix, kernels = channel_factors(weight[:, alpha:], rank=1)
        dense_mix, dense = _dense_factors(weight[:, :alpha], width)
        self.dense.weight.copy_(dense)
        self.depthwise.weight.copy_(kernels)
        self.pointwise.weight.copy_(torch.cat([dense_mix, mix], dim=1)[:, :, None, None])
        copy_bias_(self.pointwise, conv)
        return self


class MergedCDP(nn.Module):
    """What a CDP layer computes in eval mode, without concatenation and with one narrow slice.

    The pointwise convolution is split in two and the parts are summed. Its first part is merged
    into the dense branch where nothing stands between them: `k*k*alpha*n + k*k*c + c*n`
    multiply-accumulates an output, `n*n` fewer than before. The depthwise convolution runs over all
    channels, zeros where the dense branch reads, so that no runtime has to change layouts.
    """

    def __init__(self, layer: CDPConv2d) -> None:
        super().__init__()
        dense, rest, mixer = layer.dense, layer.depthwise, layer.pointwise
        self.alpha, width = dense.in_channels, dense.out_channels
        first, last = mixer.weight.split([width, rest.in_channels], dim=1)
        self.inner: nn.Module = nn.Identity()
        if isinstance(layer.inner, nn.Sequential):
            norm, self.inner = layer.inner[0], layer.inner[1]
            absorb_norm_(dense, _channels(norm, 0, width))
            absorb_norm_(rest, _channels(norm, width, width + rest.in_channels))
            self.dense = nn.Sequential(dense, self.inner, _pointwise(first, mixer.bias))
        else:
            self.dense = _merged(dense, first, mixer.bias)
        self.depthwise = _widened(rest, self.alpha)
        self.pointwise = _pointwise(F.pad(last, (0, 0, 0, 0, self.alpha, 0)), None)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n h2 w2"]:
        return self.dense(x[:, : self.alpha]) + self.pointwise(self.inner(self.depthwise(x)))


@dataclass(frozen=True)
class CDP(Method):
    """Replace a convolution by a CDP layer.

    Args:
        alpha: Input channels that stay densely connected, 0 < alpha < in_channels; or "variance":
            see `variance_rule`.
            Parameters: `k*k*alpha*n + k*k*(c - alpha) + (n + c - alpha)*n` (eq. 2.3).
        inner: "linear", or "bn_relu" for batch norm (without weights) and ReLU before the
            pointwise convolution, for networks trained in that form.
        width: Channels that the dense branch writes; 0 is out_channels, as published. Pruning may
            leave others.
    """

    alpha: Setting
    inner: str = "linear"
    width: Setting = 0
    name: ClassVar[str] = "cdp"

    @property
    def explicit(self) -> bool:
        """Not with the variance rule."""
        return self.alpha != "variance"

    def resolve(self, conv: nn.Conv2d) -> "CDP":
        """`alpha` as a number that fits `conv`."""
        require_plain(conv, self)
        c, alpha = conv.in_channels, self.alpha
        require_inner(self.inner)
        if alpha == "variance" and c > 1:
            require_weights(conv, self)
            alpha = variance_rule(conv.weight)
        if type(alpha) is not int or not 0 < alpha < c:
            raise SpecError(
                f"CDP(alpha={alpha}) needs 0 < alpha < {c}, the input channels, or 'variance': "
                f"alpha=0 is a depthwise-separable layer, alpha={c} saves nothing"
            )
        if type(self.width) is not int or not 0 <= self.width <= WIDEST:
            raise SpecError(
                f"CDP: width must be a number of channels, or 0 for out_channels, and at most "
                f"{WIDEST:,}, not {self.width!r}"
            )
        return replace(self, alpha=alpha)

    def layer(self, conv: nn.Conv2d) -> CDPConv2d:
        """A CDP layer of the shape of `conv`."""
        assert isinstance(self.alpha, int)
        assert isinstance(self.width, int)
        return CDPConv2d(conv, self.alpha, self.inner, self.width or conv.out_channels)

    def narrowed(self, layer: Layer) -> "CDP":
        """With the channels that are left in the dense branch."""
        assert isinstance(layer, CDPConv2d)
        width, n = layer.dense.out_channels, layer.pointwise.out_channels
        return replace(self, alpha=layer.dense.in_channels, width=0 if width == n else width)


def _merged(dense: SpatialStage, mix: Float[Tensor, "n w 1 1"], bias: Tensor | None) -> nn.Conv2d:
    """A dense stage and the matrix that mixes its outputs, as one convolution."""
    merged = SpatialStage(dense, dense.in_channels, len(mix))
    weight = (mix.flatten(1).double() @ dense.weight.flatten(1).double()).to(mix)
    merged.weight = nn.Parameter(weight.unflatten(1, dense.weight.shape[1:]))
    merged.bias = None if bias is None else nn.Parameter(bias)
    return merged


def _widened(depthwise: SpatialStage, alpha: int) -> nn.Conv2d:
    """A depthwise stage that reads `alpha` channels more, the first, and makes zeros of them."""
    c = alpha + depthwise.in_channels
    wide = SpatialStage(depthwise, c, c, depthwise=True)
    wide.weight = nn.Parameter(F.pad(depthwise.weight, (0, 0, 0, 0, 0, 0, alpha, 0)))
    if depthwise.bias is not None:
        wide.bias = nn.Parameter(F.pad(depthwise.bias, (alpha, 0)))
    return wide


def _pointwise(weight: Float[Tensor, "n c 1 1"], bias: Tensor | None) -> nn.Conv2d:
    conv = nn.Conv2d(weight.shape[1], len(weight), 1, bias=False)
    conv.weight = nn.Parameter(weight.contiguous())
    conv.bias = None if bias is None else nn.Parameter(bias)
    return conv


def _channels(norm: nn.Module, start: int, stop: int) -> nn.BatchNorm2d:
    """A batch norm without weights of some of the channels of another."""
    assert isinstance(norm, nn.BatchNorm2d)
    part = nn.BatchNorm2d(stop - start, norm.eps, affine=False)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    part.running_mean, part.running_var = (
        norm.running_mean[start:stop],
        norm.running_var[start:stop],
    )
    return part


def _dense_factors(
    weight: Float[Tensor, "n a kh kw"], width: int
) -> tuple[Float[Tensor, "n w"], Float[Tensor, "w a kh kw"]]:
    """A matrix and kernels whose product is nearest to `weight`: itself, where that fits."""
    n = len(weight)
    if width >= n:
        spare = weight.new_zeros(width - n, *weight.shape[1:])
        return torch.eye(n, width).to(weight), torch.cat([weight, spare])
    mix, rows = matrix_factors(weight.flatten(1), width)
    kernels = weight.new_zeros(width, weight[0].numel())
    kernels[: len(rows)] = rows
    full = weight.new_zeros(n, width)
    full[:, : mix.shape[1]] = mix
    return full, kernels.unflatten(1, weight.shape[1:])


def variance_rule(weight: Float[Tensor, "n c kh kw"]) -> int:
    """The number of channels, from the first on, whose weights vary as much as the mean channel.

    It is the channel index where the variance of the weights of an input channel first drops below
    the mean of that variance over all channels; at least 1 and less than c.

    Source: thesis, section 2 (data-driven alpha); (4, 8, 8, 16, 16, 2) is published for HardNet++.
    """
    variances = weight.detach().transpose(0, 1).flatten(1).double().var(dim=1)
    below = (variances < variances.mean()).nonzero()
    first = int(below[0]) if len(below) else len(variances)
    return min(max(first, 1), len(variances) - 1)
