"""Information-theoretic representation distillation.

Source: R. Miles, A. Lopez Rodriguez, K. Mikolajczyk, "Information theoretic representation
distillation", BMVC 2022, and its published code. Over the n patches of a batch, Z being
descriptors whose every dimension was brought to mean 0 and variance 1 over the batch:

    correlation   log2 of the sum over dimensions of |v - 1|^(2 alpha),   v = diag(Z_s^T Z_t) / n
    Gram          |G_s|^2 - |G_st|^2,   G = rows' inner products, G_st = G_s o G_t by element

in Frobenius norms, rows of length 1, and Gram matrices scaled to trace 1. Variances here are those
of the batch itself (divided by n), so that v = 1 where student and teacher agree.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..errors import RequestError
from .base import Objective, Seen, similarities

FLOOR = 1e-8  # of (v - 1)^2: the logarithm has no end and the power no gradient at v = 1
LEAST_VARIANCE = 1e-8  # a dimension that stays the same is no reason for an infinite gradient


@dataclass(frozen=True)
class ITRD(Objective):
    """Every dimension correlated with the teacher's, and unlike patches unlike.

    Args:
        alpha: Order of the correlation loss; 1.01 in the paper.
        gram: Weight of the Gram loss beside the correlation loss; 0 leaves it out.
    """

    alpha: float = 1.01
    gram: float = 1.0
    name: ClassVar[str] = "itrd"
    needs_teacher: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.alpha <= 0 or self.gram < 0:
            raise RequestError(
                f"itrd: needs alpha above 0 and gram at least 0, not {self.alpha} and {self.gram}"
            )

    def __call__(self, seen: Seen) -> Float[Tensor, ""]:
        """Both losses over all patches of the batch, anchors and positives together.

        The first is below 0 for a good student: it is a logarithm.
        """
        student, teacher = torch.cat(seen.sides), torch.cat(self.taught(seen))
        if student.shape != teacher.shape:
            raise RequestError(
                f"itrd: the student's descriptors have length {student.shape[1]}, the teacher's "
                f"{teacher.shape[1]}; take similarity, which does not mind"
            )
        return correlation(student, teacher, self.alpha) + self.gram * gram(student, teacher)


def correlation(
    student: Float[Tensor, "n d"], teacher: Float[Tensor, "n d"], alpha: float
) -> Float[Tensor, ""]:
    """The first loss: how far the correlation of each dimension is from 1."""
    v = (_standardised(student) * _standardised(teacher)).mean(0)
    return ((v - 1).square() + FLOOR).pow(alpha).sum().log2()


def gram(student: Float[Tensor, "n d"], teacher: Float[Tensor, "n e"]) -> Float[Tensor, ""]:
    """The second loss: similarities of patches that the teacher tells apart. Never below 0."""
    own, others = (similarities(rows, rows) for rows in map(_unit, (student, teacher)))
    return (own.square() - (own * others).square()).mean()  # both traces are n


def _unit(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return F.normalize(rows, dim=1)


def _standardised(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    variance, mean = torch.var_mean(rows, 0, correction=0)
    return (rows - mean) / (variance + LEAST_VARIANCE).sqrt()
