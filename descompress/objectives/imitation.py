"""Descriptors like the teacher's: matchers that know its space stay usable."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import RequestError
from .base import Objective, Seen, Viewed


@dataclass(frozen=True)
class Imitation(Objective):
    """Squared distance of the student's descriptors from the teacher's."""

    name: ClassVar[str] = "imitation"
    needs_teacher: ClassVar[bool] = True
    looks_at: ClassVar[Any] = (Seen, Viewed)

    def __call__(self, seen: Seen | Viewed) -> Float[Tensor, ""]:
        """The mean of |s - t|^2, which is 2 - 2 cos(s, t) for unit vectors.

        Over all patches, or over all cells that show the scene.
        """
        student, teacher = self._rows(seen)
        if student.shape != teacher.shape:
            raise RequestError(
                f"imitation: the student's descriptors have length {student.shape[1]}, the "
                f"teacher's {teacher.shape[1]}; take similarity, which does not mind"
            )
        return (student - teacher).square().sum() / max(len(student), 1)

    def _rows(self, seen: Seen | Viewed) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n e"]]:
        if isinstance(seen, Seen):
            return torch.cat(seen.sides), torch.cat(self.taught(seen))
        return seen.cells(seen.descriptors), seen.cells(self.taught(seen)[1])
