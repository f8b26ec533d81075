"""From batches, and what networks made of them, to what objectives look at."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from . import processes
from .data import Batch, LabelledBatch, ViewBatch
from .objectives import Judged, Look, Seen, Viewed
from .objectives.base import maps_of

AnyBatch: TypeAlias = Batch | LabelledBatch | ViewBatch
Sides = Float[Tensor, "s b _"]


def look(
    parts: Sequence[AnyBatch],
    rows: Sides,
    taught: Sides | None,
    beside: Mapping[str, Sides],
    progress: float,
) -> Look:
    """What the objectives see of the batches of all processes.

    Args:
        parts: The batches of this process.
        rows: What the network made of all of them.
        taught: What the teacher made of them.
        beside, progress: See `objectives.Seen`.
    """
    if views := [part for part in parts if isinstance(part, ViewBatch)]:
        return _viewed(views, rows, taught, beside, progress)
    if labelled := [part for part in parts if isinstance(part, LabelledBatch)]:
        labels = processes.gathered(torch.stack([part.labels for part in labelled])).flatten()
        return Judged(rows[0], labels, None if taught is None else taught[0], beside, progress)
    pair = None if taught is None else (taught[0], taught[1])
    return Seen(rows[0], rows[1], pair, beside, progress)


def sides(rows: Shaped[Tensor, "n s b *row"]) -> Shaped[Tensor, "s nb *row"]:
    """Parts of batches, one behind the other."""
    return rows.transpose(0, 1).flatten(1, 2)


def _viewed(
    views: Sequence[ViewBatch],
    rows: Sides,
    taught: Sides | None,
    beside: Mapping[str, Sides],
    progress: float,
) -> Viewed:
    points, inside = (
        sides(processes.gathered(torch.stack(own)))
        for own in ([view.points for view in views], [view.inside for view in views])
    )
    matches = processes.gathered(torch.stack([view.matches for view in views])).flatten(0, 1)
    cells = (inside.shape[2], inside.shape[3])
    told = None if taught is None else maps_of(taught, cells)
    return Viewed(*maps_of(rows, cells), points, matches, inside, told, beside, progress)
