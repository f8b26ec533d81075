"""Descriptors like the teacher's: matchers that know its space stay usable."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import RequestError
from .base import Objective, Seen


@dataclass(frozen=True)
class Imitation(Objective):
    """Squared distance of the student's descriptors from the teacher's."""

    name: ClassVar[str] = "imitation"
    needs_teacher: ClassVar[bool] = True

    def __call__(self, seen: Seen) -> Float[Tensor, ""]:
        """The mean over all patches of |s - t|^2, which is 2 - 2 cos(s, t) for unit vectors."""
        student, teacher = torch.cat(seen.sides), torch.cat(self.taught(seen))
        if student.shape != teacher.shape:
            raise RequestError(
                f"imitation: the student's descriptors have length {student.shape[1]}, the "
                f"teacher's {teacher.shape[1]}; take similarity, which does not mind"
            )
        return (student - teacher).square().sum(1).mean()
