"""Which pixel of a cell is a keypoint, if one is: SuperPoint's detector loss, with soft labels.

A cell's label is a distribution over its 64 pixels and "no keypoint". A labelled point gives its
strength, the probability that it is found again, to the four pixels around it, so that places
between pixels are learned too; what is left belongs to "no keypoint". The cross-entropy with it
falls into two parts: whether there is a keypoint, and where, of those that there are. The first is
the mean over cells. Of the second the mean is taken over keypoints: as few cells have one, it would
else count for a tenth as much, and a detector learns late to place what it finds.

Source: D. DeTone, T. Malisiewicz, A. Rabinovich, "SuperPoint", CVPR workshops 2018, eq. 2 and 3,
where a label is one pixel, and all is one mean over cells.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..errors import RequestError
from ..nets.superpoint import CELL
from .base import Objective, Viewed


@dataclass(frozen=True)
class Detection(Objective):
    """Cross-entropy of cells with their labels, over the cells that show the scene.

    Args:
        place: Weight of where keypoints are, beside whether there are any.

    Raises:
        RequestError: It is negative.
    """

    place: float = 1.0
    name: ClassVar[str] = "detection"
    looks_at: ClassVar[Any] = Viewed

    def __post_init__(self) -> None:
        if not self.place >= 0:
            raise RequestError(f"detection: place must be 0 or more, not {self.place}")

    def __call__(self, seen: Viewed) -> Float[Tensor, ""]:
        """The sum of both means."""
        height, width = seen.inside.shape[2:]
        labels = cell_labels(seen.points.flatten(0, 1), height, width)
        inside = seen.inside.flatten(0, 1)
        whether, where = entropies(seen.logits.flatten(0, 1), labels)
        keypoints = (1 - labels[:, -1]) * inside
        exists = (whether * inside).sum() / inside.sum().clamp(min=1)
        return exists + self.place * (where * inside).sum() / keypoints.sum().clamp(min=1e-6)


def entropies(
    logits: Float[Tensor, "v 65 h w"], labels: Float[Tensor, "v 65 h w"]
) -> tuple[Float[Tensor, "v h w"], Float[Tensor, "v h w"]]:
    """Of whether there is a keypoint, and of where; their sum is that of all 65 bins."""
    logs = logits.float().log_softmax(1)
    found = logs[:, :-1].logsumexp(1)
    whether = -(labels[:, -1] * logs[:, -1] + (1 - labels[:, -1]) * found)
    where = -(labels[:, :-1] * (logs[:, :-1] - found[:, None])).sum(1)
    return whether, where


@torch.no_grad()
def cell_labels(
    points: Float[Tensor, "v p 3"], height: int, width: int
) -> Float[Tensor, "v 65 {height} {width}"]:
    """Distributions over the pixels of cells, "no keypoint" last.

    Args:
        points: Rows (x, y, strength), pixels.
        height, width: In cells.
    """
    views, rows, columns = len(points), CELL * height, CELL * width
    corner = points[..., :2].floor()
    part, corner = points[..., :2] - corner, corner.long()
    mass = points.new_zeros(views, rows * columns)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        share = (1 - dx - part[..., 0]).abs() * (1 - dy - part[..., 1]).abs()
        x = (corner[..., 0] + dx).clamp(0, columns - 1)
        y = (corner[..., 1] + dy).clamp(0, rows - 1)
        mass.scatter_add_(1, y * columns + x, share * points[..., 2])
    cells = F.pixel_unshuffle(mass.view(views, 1, rows, columns), CELL)
    cells = cells / cells.sum(1, keepdim=True).clamp(min=1)
    return torch.cat([cells, 1 - cells.sum(1, keepdim=True)], 1).clamp(min=0)
