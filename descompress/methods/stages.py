"""The convolutions that layers are chains of."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import SpecError

INNER = ("linear", "bn_relu")


def between(channels: int, inner: str) -> nn.Module:
    """What stands between two stages: nothing, or batch norm without weights and ReLU."""
    if inner == "linear":
        return nn.Identity()
    return nn.Sequential(nn.BatchNorm2d(channels, affine=False), nn.ReLU())


def require_inner(inner: str) -> None:
    """Refuse what `between` does not know.

    Raises:
        SpecError: It says which there are.
    """
    if inner not in INNER:
        raise SpecError(f"inner must be one of {', '.join(INNER)}, not {inner!r}")


class SpatialStage(nn.Conv2d):
    """A convolution with the kernel size, stride and padding of another.

    Args:
        depthwise: Whether every channel has kernels of its own; a single one may or may not.
    """

    def __init__(self, conv: nn.Conv2d, c: int, n: int, *, depthwise: bool = False) -> None:
        size: Any = conv.kernel_size
        stride: Any = conv.stride
        padding: Any = conv.padding
        mode = conv.padding_mode
        groups = c if depthwise else 1
        super().__init__(c, n, size, stride, padding, groups=groups, bias=False, padding_mode=mode)
        self.depthwise = depthwise

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n h2 w2"]:
        """The outputs of the convolution.

        Of depthwise convolutions with a stride, or with several kernels on a channel, the gradient
        in bf16 takes a CPU 5 to 40 times what it takes of plain ones: in train mode they are
        computed from those.
        """
        spread = max(self.stride) > 1 or self.out_channels > self.in_channels
        half = input.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
        if not (self.training and half and spread and self.depthwise):
            return super().forward(input)
        if input.device.type != "cpu" or self.padding_mode != "zeros":
            return super().forward(input)
        return self._from_plain(input)

    def _from_plain(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n h2 w2"]:
        """The same from convolutions of stride 1 with one kernel a channel."""
        padding: Any = self.padding
        kernels = self.out_channels // self.groups
        parts = [
            F.conv2d(x, self.weight[k::kernels], padding=padding, groups=self.groups)
            for k in range(kernels)
        ]
        if max(self.stride) > 1:
            parts = [F.avg_pool2d(part, 1, self.stride) for part in parts]
        if kernels == 1:
            return parts[0]
        last = torch.stack([part.permute(0, 2, 3, 1) for part in parts], dim=-1).flatten(3)
        return last.permute(0, 3, 1, 2)


@torch.no_grad()
def absorb_norm_(conv: nn.Conv2d, norm: nn.Module) -> None:
    """Give `conv` the weights and bias with which it computes what `norm` makes of its outputs."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight
    shift = -norm.running_mean if conv.bias is None else conv.bias - norm.running_mean
    bias = shift * scale if norm.bias is None else shift * scale + norm.bias
    conv.weight.mul_(scale[:, None, None, None])
    conv.bias = nn.Parameter(bias, requires_grad=conv.weight.requires_grad)
