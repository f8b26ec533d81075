"""Descriptors of places that show the same point are nearest to each other.

Places are those of the matches of a batch, and descriptors are interpolated there as they will be
when the network is used. With S the inner products of the n first with the n second descriptors
over a temperature t, and no negatives closer than `apart` pixels to the place that is right,

    loss = -1/2n sum_i [ log softmax_j(S_ij / t)_i + log softmax_i(S_ij / t)_j ]

over all places of all pairs of the batch: those of the same image are the hard ones.

Source: the dual softmax of P. Gleize, W. Wang, M. Feiszli, "SiLK", ICCV 2023, eq. 2, on sparse
places; in place of SuperPoint's hinge over all pairs of cells.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from ..errors import RequestError
from ..nets.superpoint import CELL
from .base import Objective, Viewed, similarities


@dataclass(frozen=True)
class Correspondence(Objective):
    """See above.

    Args:
        temperature: Of the softmax.
        apart: Places closer than this, in pixels, are no negatives of each other.

    Raises:
        RequestError: They are not positive.
    """

    temperature: float = 0.07
    apart: float = 8.0
    name: ClassVar[str] = "correspondence"
    looks_at: ClassVar[Any] = Viewed

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and self.apart >= 0):
            raise RequestError(f"{self}: temperature > 0 and apart >= 0 are needed")

    def __call__(self, seen: Viewed) -> Float[Tensor, ""]:
        """The mean over the matches of the batch."""
        real = seen.matches[..., 4] > 0
        first = places(seen.descriptors[0], seen.matches[..., :2])[real]
        second = places(seen.descriptors[1], seen.matches[..., 2:4])[real]
        logits = similarities(first, second) / self.temperature
        near = _near(seen.matches, real, self.apart)
        target = torch.arange(len(logits), device=logits.device)
        both = (
            F.cross_entropy(side.masked_fill(close, -torch.inf), target, reduction="sum")
            for side, close in ((logits, near[1]), (logits.T, near[0]))
        )
        return torch.stack(list(both)).sum() / max(2 * len(logits), 1)


def places(maps: Float[Tensor, "b d h w"], xy: Float[Tensor, "b n 2"]) -> Float[Tensor, "b n d"]:
    """Unit descriptors between the centres of cells.

    See `keypoints.descriptors_at` for the convention.
    """
    size = torch.tensor(maps.shape[:1:-1], device=xy.device) * CELL
    grid = (xy + 0.5) / size * 2 - 1
    maps = maps if maps.dtype == torch.float64 else maps.float()
    with torch.autocast(maps.device.type, enabled=False):
        sampled = F.grid_sample(
            maps, grid[:, None].to(maps), padding_mode="border", align_corners=False
        )
        rows = sampled[:, :, 0].transpose(1, 2)
        return rows * (rows.square().sum(2, keepdim=True) + 1e-24).rsqrt()


def _near(
    matches: Float[Tensor, "b n 5"], real: Bool[Tensor, "b n"], apart: float
) -> Bool[Tensor, "2 m m"]:
    """By side, which other places of a view lie as close to a place."""
    count = int(real.sum())
    near = torch.zeros(2, count, count, dtype=torch.bool, device=matches.device)
    start = 0
    for rows, own in zip(matches, real, strict=True):
        end = start + int(own.sum())
        for side in (0, 1):
            xy = rows[own, 2 * side : 2 * side + 2]
            near[side, start:end, start:end] = torch.cdist(xy, xy) < apart
        start = end
    near[:, range(count), range(count)] = False
    return near
