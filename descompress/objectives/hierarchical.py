"""Hierarchical distillation: like the teacher at several levels, from inside maps to the output.

Source: Chen, Ai, Shang, Chen, Zhuang, "Learning lightweight pedestrian detector with hierarchical
knowledge distillation", arXiv 1909.09325; read: the abstract, which has squared errors at several
levels of a detector (backbone, region, heads). Our reading, for patches:

    sum over levels of mean |A_l x_l - t_l|^2  +  descriptor * |s - t|^2

with x_l and t_l the maps of student and teacher at the sizes they have in common (see `maps`), and
A_l a 1 x 1 convolution that is trained with the student and dropped after it. For networks of whole
images the heads are two more levels: to the maps (at the size of the cells that of the descriptor
head, which comes last) come `detector_divergence` and `descriptor` times `descriptor_distance`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import RequestError
from .base import Objective, Seen, Viewed
from .companions import Passage
from .maps import MapPairs


@dataclass(frozen=True)
class Hierarchical(Objective):
    """Squared errors of maps and descriptors.

    Args:
        levels: Sizes of maps at most, from the smallest on.
        grid: Cells a side that larger maps are averaged to.
        descriptor: Weight of the descriptors beside the maps; 0 leaves them out.
    """

    levels: int = 2
    grid: int = 8
    descriptor: float = 1.0
    name: ClassVar[str] = "hierarchical"
    needs_teacher: ClassVar[bool] = True
    looks_at: ClassVar[Any] = (Seen, Viewed)

    def __post_init__(self) -> None:
        if self.levels < 1 or self.grid < 1 or self.descriptor < 0:
            raise RequestError(
                f"hierarchical: needs levels >= 1, grid >= 1 and descriptor >= 0, not {self}"
            )

    def companion(self, net: nn.Module, teacher: nn.Module | None) -> "Adapters":
        """The 1 x 1 convolutions from the student's channels to the teacher's."""
        return Adapters(self, net, teacher)

    def __call__(self, seen: Seen | Viewed) -> Float[Tensor, ""]:
        """The sum over the levels, mean over the patches or views."""
        maps, taught = self.beside(seen).sum(2).mean(), self.taught(seen)
        if isinstance(seen, Viewed):
            logits = seen.logits.flatten(0, 1), taught[0].flatten(0, 1)
            maps = maps + detector_divergence(*logits).mean()
            student, teacher = seen.descriptors.flatten(0, 1), taught[1].flatten(0, 1)
        else:
            student, teacher = torch.cat(seen.sides), torch.cat(taught)
        if not self.descriptor:
            return maps
        if student.shape != teacher.shape:
            raise RequestError(
                f"hierarchical: the student's descriptors have length {student.shape[1]}, the "
                f"teacher's {teacher.shape[1]}; take descriptor=0, and similarity beside it"
            )
        if isinstance(seen, Viewed):
            return maps + self.descriptor * descriptor_distance(student, teacher).mean()
        return maps + self.descriptor * (student - teacher).square().sum(1).mean()


class Adapters(MapPairs):
    """By level, the squared error of the student's map, brought to the teacher's channels."""

    def __init__(self, asked: Hierarchical, net: nn.Module, teacher: nn.Module | None) -> None:
        super().__init__(asked.name, net, teacher, asked.levels, asked.grid)
        self.adapters = nn.ModuleList(nn.Conv2d(ours, theirs, 1) for ours, theirs in self.channels)

    def forward(self, passage: Passage) -> Float[Tensor, "n w"]:
        """A column a level."""
        with torch.autocast(passage.patches.device.type, enabled=False):
            levels = zip(self.pairs(passage), self.adapters, strict=True)
            return torch.stack([map_error(fit(ours), theirs) for (ours, theirs), fit in levels], 1)


def map_error(
    student: Float[Tensor, "n c h w"], teacher: Float[Tensor, "n c h w"]
) -> Float[Tensor, " n"]:
    """Mean over pixels and channels of the squared difference."""
    return (student - teacher).square().mean((1, 2, 3))


def detector_divergence(
    student: Float[Tensor, "n bins h w"], teacher: Float[Tensor, "n bins h w"]
) -> Float[Tensor, " n"]:
    """Mean over cells of KL(teacher || student) of the soft-max over the bins of a cell."""
    logs = F.log_softmax(student, dim=1), F.log_softmax(teacher, dim=1)
    return F.kl_div(*logs, reduction="none", log_target=True).sum(1).mean((1, 2))


def descriptor_distance(
    student: Float[Tensor, "n d h w"], teacher: Float[Tensor, "n d h w"]
) -> Float[Tensor, " n"]:
    """Mean over cells of 1 - cos of the angle between the descriptors."""
    return (1 - F.cosine_similarity(student, teacher, dim=1)).mean((1, 2))
