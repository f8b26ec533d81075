"""Hand-made batches of views."""

import torch
from torch import Tensor

from descompress.objectives import Viewed


def viewed(
    *,
    logits: Tensor | None = None,
    descriptors: Tensor | None = None,
    points: Tensor | None = None,
    matches: Tensor | None = None,
    inside: Tensor | None = None,
    teacher: tuple[Tensor, Tensor] | None = None,
) -> Viewed:
    """One pair of views of 2 x 3 cells; what is left out is empty, or zero."""
    logits = torch.zeros(2, 1, 65, 2, 3) if logits is None else logits
    cells = logits.shape[3:]
    descriptors = torch.zeros(2, 1, 4, *cells) if descriptors is None else descriptors
    points = torch.zeros(2, 1, 1, 3) if points is None else points
    matches = torch.zeros(1, 1, 5) if matches is None else matches
    inside = torch.ones(2, 1, *cells, dtype=torch.bool) if inside is None else inside
    return Viewed(logits, descriptors, points, matches, inside, teacher)
