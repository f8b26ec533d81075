"""The objective HardNet was trained with.

Source: A. Mishchuk et al., "Working hard to know your neighbor's margins", NIPS 2017, eq. 1-3.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import Batch

DUPLICATE = 0.008  # two descriptors closer than this are of one point seen twice


def triplet(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """The hardest-in-batch triplet loss of the two sides of a batch, described in one pass."""
    anchors, positives = model(torch.cat(batch)).chunk(2)
    return {"triplet": hardest_in_batch(anchors, positives)}


def hardest_in_batch(
    anchors: Float[Tensor, "b d"], positives: Float[Tensor, "b d"], margin: float = 1.0
) -> Float[Tensor, ""]:
    """Triplet margin loss against the closest non-matching descriptor, anchors swapped too.

    Row i of both describes the same point and no other row does. Descriptors closer than 0.008
    are taken for duplicates and are no negatives.

    Args:
        anchors: Unit vectors; a batch of at least two.
        positives: Unit vectors.
        margin: Least difference wanted between the two distances.
    """
    distance = distances(anchors, positives)
    own = torch.eye(len(distance), dtype=torch.bool, device=distance.device)
    others = distance.masked_fill(own | (distance < DUPLICATE), torch.inf)
    hardest = torch.minimum(others.amin(0), others.amin(1)).clamp(max=2.0)
    return F.relu(margin + distance.diagonal() - hardest).mean()


def distances(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Euclidean distances of unit vectors, with a gradient that stays finite at 0.

    In float32 also where a training computes in bfloat16: that cannot tell distances below 0.09.
    """
    with torch.autocast(a.device.type, enabled=False):
        return (2 - 2 * a.float() @ b.float().T).clamp(min=1e-6).sqrt()
