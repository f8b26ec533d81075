"""DesDis' regulariser: positive and hardest negative pairs as similar as the teacher has them.

Source: Y. Liu, Q. Dong, "Descriptor distillation: a teacher-student-regularized framework for
learning local descriptors", IJCV 2024, arXiv 2209.11795. Read: the abstract, which has the
regulariser constrain the difference of the similarity of a positive (also a negative) pair under
teacher and student, minimised in a weighted sum with the triplet loss; the published code has the
networks only. Our reading: similarities are inner products s; the negatives are the student's
hardest in the batch, n(i) for anchor i and m(i) for positive i; the difference is absolute:

    mean |s(a_i, p_i) - s_T(a_i, p_i)|
        + (mean |s(a_i, p_n(i)) - s_T(...)| + mean |s(a_m(i), p_i) - s_T(...)|) / 2
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from .base import Objective, Seen, similarities


@dataclass(frozen=True)
class DesDis(Objective):
    """Absolute differences of the similarities of pairs; goes with a triplet loss."""

    name: ClassVar[str] = "desdis"
    needs_teacher: ClassVar[bool] = True

    def __call__(self, seen: Seen) -> Float[Tensor, ""]:
        """The mean over positive pairs plus that over hardest negative pairs, of both sides."""
        student, teacher = similarities(*seen.sides), similarities(*self.taught(seen))
        gap = (student - teacher).abs()
        own = torch.eye(len(gap), dtype=torch.bool, device=gap.device)
        others = student.detach().masked_fill(own, -torch.inf)
        right, down = others.argmax(1, keepdim=True), others.argmax(0, keepdim=True)
        negatives = torch.cat([gap.gather(1, right)[:, 0], gap.gather(0, down)[0]])
        return gap.diagonal().mean() + negatives.mean()
