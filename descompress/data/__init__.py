"""Where training pairs come from.

A source is a function from the number of a step to a batch: two arrays of grey patches whose rows
i show the same point. It is a pure function of its settings, its seed and the step, so that a
training can stop anywhere and go on as if it had not, with any number of worker processes.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Array: TypeAlias = Float[np.ndarray, "b 32 32"]
Source: TypeAlias = Callable[[int], tuple[Array, Array]]
Batch: TypeAlias = tuple[Float[Tensor, "b 1 32 32"], Float[Tensor, "b 1 32 32"]]


def mixed(sources: Sequence[Source]) -> Source:
    """Batches that hold one batch of each source."""

    def source(step: int) -> tuple[Array, Array]:
        anchors, positives = zip(*(part(step) for part in sources), strict=True)
        return np.concatenate(anchors), np.concatenate(positives)

    return source


class _Steps(Dataset[Batch]):
    def __init__(self, source: Source, first: int, steps: int) -> None:
        self.source, self.first, self.steps = source, first, steps

    def __len__(self) -> int:
        return self.steps - self.first

    def __getitem__(self, index: int) -> Batch:
        anchors, positives = self.source(self.first + index)
        return torch.from_numpy(anchors[:, None]), torch.from_numpy(positives[:, None])


def stream(source: Source, first: int, steps: int, workers: int = 0) -> DataLoader[Batch]:
    """The batches of steps `first` to `steps` - 1, in order, made ahead by `workers` processes."""
    cv2.setNumThreads(1)  # OpenCV's threads do not survive the fork of a worker
    dataset = _Steps(source, first, steps)
    ahead = 4 if workers else None
    return DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=ahead,
        collate_fn=_as_it_is,
        generator=torch.Generator(),  # of its own, else each start would draw from everybody's
    )


def _as_it_is(batch: Any) -> Any:
    return batch
