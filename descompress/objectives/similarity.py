"""In-batch similarities: whom a point resembles, and how much, is what the teacher says.

Source: knowledge distillation (G. Hinton et al., "Distilling the knowledge in a neural network",
2015) with soft-maxes of the similarities in a batch in place of class probabilities:

    P = softmax over each row of A B^T / temperature,   mean over rows of KL(P_teacher || P_student)

averaged with the same over columns. It is 0 iff all similarities are the teacher's, up to one
number added to all of them. Only angles within a space count: the teacher's space may be turned,
and its descriptors of another length. Both sides have one temperature, or else equal similarities
would not be the best there is.

With `consensus`, the teacher's two descriptors of a point are replaced by their mean, as a unit
vector: a point resembles itself wholly, and others as both of its views together do. A student that
is near to its teacher can then come out better than it, in what views should have no part in.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..errors import RequestError
from .base import Objective, Rows, Seen, similarities


@dataclass(frozen=True)
class Similarity(Objective):
    """Kullback-Leibler divergence of the student's distribution from the teacher's.

    Args:
        temperature: What similarities are divided by; the lower, the fewer neighbours count.
        consensus: Whether the teacher's descriptors of a point are made one.
    """

    temperature: float = 0.05
    consensus: bool = False
    name: ClassVar[str] = "similarity"
    needs_teacher: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise RequestError(f"similarity: temperature must be above 0, not {self.temperature}")

    def __call__(self, seen: Seen) -> Float[Tensor, ""]:
        """The mean over the points, and over anchors among positives and the other way round."""
        taught = self.taught(seen)
        if self.consensus:
            mean = F.normalize(taught[0] + taught[1], dim=1)
            taught = mean, mean
        return divergences(seen.sides, taught, self.temperature).mean()


def divergences(
    student: tuple[Rows, Rows],
    teacher: tuple[Float[Tensor, "b e"], Float[Tensor, "b e"]],
    temperature: float,
) -> Float[Tensor, " b"]:
    """Of every point, that of its row and its column of similarities, KL(P_teacher || P_student).

    Args:
        student, teacher: Anchors and positives, unit vectors.
    """
    own, told = (similarities(*sides) / temperature for sides in (student, teacher))
    return (_divergences(told, own) + _divergences(told.T, own.T)) / 2


def _divergences(
    teacher: Float[Tensor, "b b"], student: Float[Tensor, "b b"]
) -> Float[Tensor, " b"]:
    logs = F.log_softmax(student, dim=1), F.log_softmax(teacher, dim=1)
    return F.kl_div(*logs, reduction="none", log_target=True).sum(1)
