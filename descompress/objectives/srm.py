"""Sparse representation matching: which atoms of a dictionary make up the teacher's maps.

Source: D. T. Tran, M. Gabbouj, A. Iosifidis, "Knowledge distillation by sparse representation
matching", arXiv 2103.17012, and its published code. A pixel x of the teacher's map is coded by a
dictionary D (channels x atoms) and a number b:

    z = x^T D + b,   s = sigmoid(z), all but the largest set to 0,   D learns to lower |x - D s|^2

Then D stands still and labels the student's maps, which have a dictionary of their own:

    cross-entropy of the pixels:  label argmax s,                   student softmax(z)
  + binary cross-entropy, image:  label mean of s over the pixels,  student mean of sigmoid(z)

The published code gives the cross-entropy sigmoid(z), whose soft-max is nearly flat, in place of z.
Here all happens in one training: the dictionary learns in its first part, while other objectives
work already. Maps are those of `maps`, averaged to a small grid; means over pixels and over atoms.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import RequestError
from .base import Objective, Seen
from .companions import Passage
from .maps import MapPairs

MOST_ATOMS = 64  # for every channel


@dataclass(frozen=True)
class SRM(Objective):
    """The student's maps told apart as the teacher's dictionary tells its own; go beside others.

    Args:
        levels: Sizes of maps at most, from the smallest on.
        grid: Cells a side that larger maps are averaged to.
        atoms: Of the dictionary, for every channel of the teacher; 1.5 to 3 in the paper.
        kept: Share of the atoms that may make up a pixel; 0.01 to 0.03 in the paper.
        settling: Share of the training in which the teacher's dictionary alone learns.
    """

    levels: int = 2
    grid: int = 4
    atoms: float = 2.0
    kept: float = 0.02
    settling: float = 0.1
    name: ClassVar[str] = "srm"
    needs_teacher: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.levels < 1 or self.grid < 1:
            raise RequestError(f"srm: needs levels and grid of at least 1, not {self}")
        whole = 0 < self.atoms <= MOST_ATOMS
        if not whole or not 0 < self.kept <= 1 or not 0 < self.settling < 1:
            raise RequestError(
                f"srm: needs 0 < atoms <= {MOST_ATOMS}, 0 < kept <= 1, 0 < settling < 1, not {self}"
            )

    def companion(self, net: nn.Module, teacher: nn.Module | None) -> "Dictionaries":
        """The dictionaries of both."""
        return Dictionaries(self, net, teacher)

    def __call__(self, seen: Seen) -> Float[Tensor, ""]:
        """The sum over levels, mean over patches, of the reconstruction, later of the labels."""
        reconstruction, labels = self.beside(seen).unflatten(2, (2, -1)).sum(3).mean((0, 1))
        return reconstruction if seen.progress < self.settling else labels


class Dictionary(nn.Module):
    """Atoms that maps of so many channels are coded by."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.atoms = nn.Parameter(torch.randn(channels, count) / channels**0.5)
        self.intercept = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k h w"]:
        """How strongly each pixel answers to each atom, before the sigmoid."""
        return torch.einsum("nchw,ck->nkhw", maps, self.atoms) + self.intercept


class Dictionaries(MapPairs):
    """By level, a dictionary of the teacher and one of the student; two losses of every patch."""

    def __init__(self, srm: SRM, net: nn.Module, teacher: nn.Module | None) -> None:
        super().__init__(srm.name, net, teacher, srm.levels, srm.grid)
        counts = [max(1, round(srm.atoms * channels)) for _, channels in self.channels]
        self.settling = srm.settling
        self.kept = [max(1, round(srm.kept * count)) for count in counts]
        sizes = list(zip(self.channels, counts, strict=True))
        self.taught = nn.ModuleList(Dictionary(theirs, count) for (_, theirs), count in sizes)
        self.own = nn.ModuleList(Dictionary(ours, count) for (ours, _), count in sizes)

    def begin_(self, net: nn.Module, step: int, steps: int) -> None:
        """Have the teacher's dictionary stand still once it has settled."""
        self.taught.requires_grad_(step / steps < self.settling)

    def forward(self, passage: Passage) -> Float[Tensor, "n w"]:
        """By level the loss of the reconstruction, then by level that of the labels."""
        columns: list[tuple[Tensor, Tensor]] = []
        with torch.autocast(passage.patches.device.type, enabled=False):
            levels = zip(self.pairs(passage), self.taught, self.own, self.kept, strict=True)
            for (ours, theirs), taught, own, kept in levels:
                codes = sparse_codes(taught(theirs), kept)
                lost = reconstruction_loss(theirs, codes, taught.atoms)  # pyright: ignore
                codes, logits = codes.detach(), own(ours)
                told = pixel_loss(logits, codes.argmax(1)) + image_loss(logits, codes.mean((2, 3)))
                columns.append((lost, told))
        return torch.stack([column for kind in zip(*columns, strict=True) for column in kind], 1)


def sparse_codes(logits: Float[Tensor, "n k h w"], kept: int) -> Float[Tensor, "n k h w"]:
    """Sigmoids, all but the `kept` largest of every pixel set to 0."""
    codes = logits.sigmoid()
    largest = codes.topk(kept, dim=1)
    return torch.zeros_like(codes).scatter(1, largest.indices, largest.values)


def reconstruction_loss(
    maps: Float[Tensor, "n c h w"], codes: Float[Tensor, "n k h w"], atoms: Float[Tensor, "c k"]
) -> Float[Tensor, " n"]:
    """Mean over pixels and channels of the squared difference of x and D s."""
    made = torch.einsum("nkhw,ck->nchw", codes, atoms)
    return (maps - made).square().mean((1, 2, 3))


def pixel_loss(
    logits: Float[Tensor, "n k h w"], labels: Int[Tensor, "n h w"]
) -> Float[Tensor, " n"]:
    """Mean over pixels of the cross-entropy of their atoms."""
    return F.cross_entropy(logits, labels, reduction="none").mean((1, 2))


def image_loss(
    logits: Float[Tensor, "n k h w"], labels: Float[Tensor, "n k"]
) -> Float[Tensor, " n"]:
    """Mean over atoms of the binary cross-entropy of how much of the image they make up."""
    shares = logits.sigmoid().mean((2, 3))
    return F.binary_cross_entropy(shares, labels, reduction="none").mean(1)
