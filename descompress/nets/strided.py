"""A small patch network: early strides, then a low-rank window over the whole map.

Most of the multiply-accumulates of L2Net are spent at full resolution, and most of its parameters
in the last, 8 x 8 convolution. Here the first convolution halves the map, and the last window reads
a few linear mixtures of the channels: it is the largest layer by parameters and costs least.
"""

from collections.abc import Sequence
from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from ..errors import SpecError
from ..wiring import Wire, Wiring
from .base import PatchNet, convolved, standardised, unit_rows

STRIDES = {1, 2, 4}


class Strided(PatchNet):
    """Describe grey 32 x 32 patches by unit vectors, in about a million multiply-accumulates.

    Args:
        widths: Output channels of the convolutions; pruning shrinks these.
        strides: Of these convolutions, 1, 2 or 4 each, 32 in all at most.
        kernels: Their sizes, odd numbers.
        bottleneck: Channels of the mixtures that the window reads.
        dim: Length of the descriptor.

    Raises:
        SpecError: Another stride or size, or not one of each for every width.
    """

    any_length = frozenset({"widths", "strides", "kernels"})

    def __init__(
        self,
        widths: Sequence[int] = (16, 24, 32, 48),
        strides: Sequence[int] = (2, 2, 1, 2),
        bottleneck: int = 32,
        dim: int = 128,
        kernels: Sequence[int] = (3, 3, 3, 3),
    ) -> None:
        super().__init__()
        _check(widths, strides, kernels)
        layers: list[nn.Module] = []
        for c, *rest in zip((1, *widths[:-1]), widths, strides, kernels, strict=True):
            layers += convolved(c, *rest)
        size = self.patch_size // prod(strides)
        mixer = nn.Conv2d(widths[-1], bottleneck, 1, bias=False)
        window = nn.Conv2d(bottleneck, dim, size, bias=False)
        layers += [nn.Dropout(0.1), mixer, window, nn.BatchNorm2d(dim, affine=False)]
        self.features = nn.Sequential(*layers)

    def wired(self, wiring: Wiring) -> list[Wire]:
        """The layers one after another."""
        return [wiring.through("features", wiring.source(1))]

    def widths(self) -> dict[str, tuple[str, int | None]]:
        """Of all layers but the window."""
        names = list(self.layer_numbers().values())[:-1]
        places = [*(("widths", i) for i in range(len(names) - 1)), ("bottleneck", None)]
        return dict(zip(names, places, strict=True))

    def layer_numbers(self) -> dict[str, str]:
        """From "1" on the convolutions, then the 1 x 1 one, last the window."""
        places = [i for i, layer in enumerate(self.features) if not _follows(layer)]
        return {str(i + 1): f"features.{place}" for i, place in enumerate(places)}

    def forward(self, patches: Tensor) -> Float[Tensor, "b d"]:
        """Descriptors of length 1.

        Args:
            patches: (b, 1, 32, 32) floats, grey, in any unit.

        Raises:
            InputError: Another shape or type; or, in eval mode, NaN or infinity.
        """
        x = self._to_weights(standardised(self._prepared(patches)))
        return unit_rows(self.features(x).flatten(1))


def _follows(layer: nn.Module) -> bool:
    return isinstance(layer, nn.BatchNorm2d | nn.ReLU | nn.Dropout)


def _check(widths: Sequence[int], strides: Sequence[int], kernels: Sequence[int]) -> None:
    if not set(strides) <= STRIDES or PatchNet.patch_size % prod(strides):
        said = ", ".join(map(str, strides))
        raise SpecError(f"strided: strides are 1, 2 or 4, 32 in all at most, not {said}")
    if any(size < 1 or size % 2 == 0 for size in kernels):
        said = ", ".join(map(str, kernels))
        raise SpecError(f"strided: kernels are odd sizes, not {said}")
    if not widths or not len(widths) == len(strides) == len(kernels):
        raise SpecError(
            f"strided: a width, a stride and a kernel for each convolution, not {len(widths)}, "
            f"{len(strides)} and {len(kernels)}"
        )
