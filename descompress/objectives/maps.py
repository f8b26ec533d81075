"""Maps inside of networks: which of the student's belongs to which of the teacher's.

Networks differ in layers and channels; what they have in common are the sizes that patches shrink
to on their way. Of every size that both have, the last map of each is compared.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import RequestError
from ..methods import Layer
from .companions import TRIED, Companion, Outputs, Passage, outputs_of, tried

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh)

Size = tuple[int, int]
Maps = Float[Tensor, "_ _ _ _"]


class MapPairs(Companion):
    """Compares maps of the student with those of a teacher that runs beside it.

    Args:
        name: Of the objective, for errors.
        levels: How many sizes at most, from the smallest on.
        grid: Larger maps are averaged down to so many cells a side.

    Raises:
        RequestError: There is no teacher, or no size that both have.
    """

    def __init__(
        self, name: str, net: nn.Module, teacher: nn.Module | None, levels: int, grid: int
    ) -> None:
        super().__init__()
        if teacher is None:
            raise RequestError(f"{name}: needs a teacher to run beside the network; there is none")
        self.watched, self.grid = activations(net), grid
        self._teacher = (teacher, activations(teacher))  # in a tuple it is no part of this module
        ours = last_maps(tried(net, self.watched).outputs)
        theirs = last_maps(tried(*self._teacher).outputs)
        self.sizes = sorted(ours.keys() & theirs.keys())[:levels]
        if not self.sizes:
            raise RequestError(
                f"{name}: needs maps of one size in student and teacher; there are "
                f"{_listed(ours)} and {_listed(theirs)}"
            )
        self.channels = [(ours[size].shape[1], theirs[size].shape[1]) for size in self.sizes]

    def pairs(self, passage: Passage) -> list[tuple[Maps, Maps]]:
        """By size, the student's map and the teacher's, in float32."""
        teacher, watched = self._teacher
        with torch.no_grad(), outputs_of(watched) as outputs:
            teacher(passage.patches)
        own = [seen for seen in passage.outputs if seen[0] in self.watched]
        ours, theirs = last_maps(own), last_maps(outputs)
        height, width = passage.patches.shape[2:]
        sizes = [(size[0] * height // TRIED, size[1] * width // TRIED) for size in self.sizes]
        return [(self._pooled(ours[size]), self._pooled(theirs[size])) for size in sizes]

    def _pooled(self, maps: Maps) -> Maps:
        height, width = (min(side, self.grid) for side in maps.shape[2:])
        return F.adaptive_avg_pool2d(maps.float(), (height, width))


def activations(net: nn.Module) -> tuple[nn.Module, ...]:
    """The activations between layers; those within a layer of a method are its own business."""
    inner = {m for layer in net.modules() if isinstance(layer, Layer) for m in layer.modules()}
    return tuple(m for m in net.modules() if isinstance(m, ACTIVATIONS) and m not in inner)


def last_maps(outputs: Outputs) -> dict[Size, Maps]:
    """By size, the last map of it; a single pixel is no map."""
    maps = [output for _, output in outputs if output.ndim == 4 and output[0, 0].numel() > 1]
    return {(output.shape[2], output.shape[3]): output for output in maps}


def _listed(maps: dict[Size, Maps]) -> str:
    return ", ".join(f"{height} x {width}" for height, width in sorted(maps)) or "none"
