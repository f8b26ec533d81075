"""Convolutions that cover their whole input."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class WholeConv2d(nn.Conv2d):
    """A convolution whose kernel is as large as what it reads, computed as a dense layer.

    The numbers are those of the dense layer to the last bit, which those of a convolution are not.
    """

    def __init__(self, c: int, n: int, size: int) -> None:
        super().__init__(c, n, size)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n 1 1"]:
        return F.linear(input.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None]
