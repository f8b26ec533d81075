"""Second-order similarity: matching points have their neighbours at matching distances.

Source: Y. Tian et al., "SOSNet: second order similarity regularization for local descriptor
learning", CVPR 2019, eq. 4-5:

    R = mean over i of sqrt(sum over j in c_i of (d(a_i, a_j) - d(p_i, p_j))^2)

with c_i the union of the nearest neighbours of a_i among anchors and of p_i among positives.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import RequestError
from .base import Objective, Seen, distances

FLOOR = 1e-12  # under the root, whose gradient at 0 is infinite


@dataclass(frozen=True)
class SecondOrder(Objective):
    """Difference of the distances to the neighbours on either side.

    Args:
        neighbours: How many of each side count; all there are, in a smaller batch.
    """

    neighbours: int = 8
    name: ClassVar[str] = "second_order"

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise RequestError(
                f"second_order: neighbours must be at least 1, not {self.neighbours}"
            )

    def __call__(self, seen: Seen) -> Float[Tensor, ""]:
        """The root of the summed squared differences, mean over the points."""
        first, second = (distances(side, side) for side in seen.sides)
        near = _nearest(first, self.neighbours) | _nearest(second, self.neighbours)
        squares = ((first - second).square() * near).sum(1)
        return (squares + FLOOR).sqrt().mean()


def _nearest(distance: Float[Tensor, "b b"], count: int) -> Bool[Tensor, "b b"]:
    """Which are the `count` nearest of each row, itself left out."""
    others = distance.detach().clone().fill_diagonal_(torch.inf)
    columns = others.topk(min(count, len(others) - 1), largest=False).indices
    near = torch.zeros_like(others, dtype=torch.bool)
    return near.scatter_(1, columns, value=True)
