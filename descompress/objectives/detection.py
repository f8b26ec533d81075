"""Which pixel of a cell is a keypoint, if one is: SuperPoint's detector loss, with soft labels.

A cell's label is a distribution over its 64 pixels and "no keypoint". A labelled point gives its
strength, the probability that it is found again, to the four pixels around it, so that places
between pixels are learned too; what is left belongs to "no keypoint".

Source: D. DeTone, T. Malisiewicz, A. Rabinovich, "SuperPoint", CVPR workshops 2018, eq. 2 and 3,
where a label is one pixel.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from .base import Objective, Viewed

CELL = 8


@dataclass(frozen=True)
class Detection(Objective):
    """Cross-entropy of cells with their labels, mean over the cells that show the scene."""

    name: ClassVar[str] = "detection"
    looks_at: ClassVar[Any] = Viewed

    def __call__(self, seen: Viewed) -> Float[Tensor, ""]:
        """The mean over both views."""
        labels = cell_labels(seen.points.flatten(0, 1), seen.logits.shape[3], seen.logits.shape[4])
        return mean_entropy(seen.logits.flatten(0, 1), labels, seen.inside.flatten(0, 1))


def mean_entropy(
    logits: Float[Tensor, "v 65 h w"],
    labels: Float[Tensor, "v 65 h w"],
    inside: Bool[Tensor, "v h w"],
) -> Float[Tensor, ""]:
    """Cross-entropy with soft labels, mean over the cells inside."""
    entropy = -(labels * logits.float().log_softmax(1)).sum(1)
    return (entropy * inside).sum() / inside.sum().clamp(min=1)


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
