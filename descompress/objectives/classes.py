"""What classifiers learn: labels, and how their teacher divides its belief among the classes.

The detector of an image network is a classifier of cells.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from ..classification import cross_entropy, softened_kl
from ..errors import RequestError
from .base import Judged, Objective, Viewed


@dataclass(frozen=True)
class CrossEntropy(Objective):
    """The labels."""

    name: ClassVar[str] = "cross_entropy"
    looks_at: ClassVar[Any] = Judged

    def __call__(self, seen: Judged) -> Float[Tensor, ""]:
        """The mean over the images."""
        return cross_entropy(seen.logits, seen.labels)


@dataclass(frozen=True)
class SoftLabels(Objective):
    """The teacher's probabilities, softened, with the factor temperature^2 of `softened_kl`.

    Args:
        temperature: 15 in R. Miles, K. Mikolajczyk, arXiv 2008.06814, with a weight of 0.4.
    """

    temperature: float = 15.0
    name: ClassVar[str] = "soft_labels"
    needs_teacher: ClassVar[bool] = True
    looks_at: ClassVar[Any] = (Judged, Viewed)

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise RequestError(f"soft_labels: temperature must be above 0, not {self.temperature}")

    def __call__(self, seen: Judged | Viewed) -> Float[Tensor, ""]:
        """The mean over the images, or over the cells that show the scene."""
        taught = self.taught(seen)
        if isinstance(seen, Viewed):
            rows = seen.cells(seen.logits), seen.cells(taught[0])
            return softened_kl(*rows, self.temperature) if len(rows[0]) else seen.logits.sum() * 0
        return softened_kl(seen.logits, taught, self.temperature)
