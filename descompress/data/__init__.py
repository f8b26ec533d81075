"""Where training pairs come from.

A source is a function from a number 0, 1, ... to a batch: two arrays of grey patches whose rows i
show the same point, and perhaps what a teacher makes of them. It is a pure function of its
settings, its seed and that number, so that a training can stop anywhere and go on as if it had
not, with any number of worker processes.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..orphans import end_with

Array: TypeAlias = Float[np.ndarray, "b 32 32"]
Arrays: TypeAlias = tuple[Array, Array] | tuple[Array, Array, Float[np.ndarray, "2 b d"]]
Source: TypeAlias = "Callable[[int], Arrays | LabelledBatch | ViewBatch]"
Pairs: TypeAlias = Callable[[int], tuple[Array, Array]]  # a source without a teacher


class Batch(NamedTuple):
    """Pairs of patches, row i of both sides being views of one point.

    Args:
        teacher: The teacher's descriptors of both sides, where they were computed before.
    """

    anchors: Float[Tensor, "b 1 32 32"]
    positives: Float[Tensor, "b 1 32 32"]
    teacher: Float[Tensor, "2 b d"] | None = None

    @property
    def per_side(self) -> int:
        """How many anchors, or positives."""
        return len(self.anchors)

    @property
    def inputs(self) -> Float[Tensor, "n 1 32 32"]:
        """What the network reads: the anchors, then the positives."""
        return torch.cat([self.anchors, self.positives])


class LabelledBatch(NamedTuple):
    """What a classifier reads, and the number of the class of each image."""

    images: Float[Tensor, "b c h w"]
    labels: Int64[Tensor, " b"]

    @property
    def teacher(self) -> None:
        """No teacher saw it before."""

    @property
    def per_side(self) -> int:
        """How many images; they have one side."""
        return len(self.images)

    @property
    def inputs(self) -> Float[Tensor, "b c h w"]:
        """What the network reads."""
        return self.images


class ViewBatch(NamedTuple):
    """Pairs of views of a scene, and what is known of them.

    Args:
        images: The first views, then the second.
        points: Of each view rows (x, y, strength): the probability that a detector finds a point
            there again; zeros behind the last.
        matches: Of each pair rows (x, y, x', y', 1): places in both views that show one point;
            zeros behind the last.
        inside: Which cells of 8 x 8 pixels show the scene and no filling.
    """

    images: Float[Tensor, "2 b 1 h w"]
    points: Float[Tensor, "2 b p 3"]
    matches: Float[Tensor, "b n 5"]
    inside: Bool[Tensor, "2 b h8 w8"]

    @property
    def teacher(self) -> None:
        """No teacher saw it before."""

    @property
    def per_side(self) -> int:
        """How many pairs."""
        return self.images.shape[1]

    @property
    def inputs(self) -> Float[Tensor, "n 1 h w"]:
        """What the network reads."""
        return self.images.flatten(0, 1)


@dataclass(frozen=True)
class Mixed:
    """Batches that hold one batch of each source."""

    sources: Sequence[Pairs]

    def __call__(self, number: int) -> tuple[Array, Array]:
        """The batches of this number, one behind the other."""
        anchors, positives = zip(*(source(number) for source in self.sources), strict=True)
        return np.concatenate(anchors), np.concatenate(positives)


class _Numbered(Dataset[Any]):
    def __init__(self, source: Source, numbers: Sequence[int]) -> None:
        self.source, self.numbers = source, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Batch | LabelledBatch | ViewBatch:
        made = self.source(self.numbers[index])
        if isinstance(made, (LabelledBatch, ViewBatch)):
            return made
        anchors, positives, *teacher = made
        sides = torch.from_numpy(anchors[:, None]), torch.from_numpy(positives[:, None])
        return Batch(*sides, torch.from_numpy(teacher[0]) if teacher else None)


def fingerprint(told: Any) -> str:
    """Tells what JSON can say of one set of batches from what it says of another."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def stream(source: Source, numbers: Sequence[int], workers: int = 0) -> DataLoader[Any]:
    """The batches of these numbers, in order, made ahead by `workers` processes."""
    cv2.setNumThreads(1)  # OpenCV's threads do not survive the fork of a worker
    return DataLoader(
        _Numbered(source, numbers),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        collate_fn=_as_it_is,
        worker_init_fn=partial(end_with, os.getpid()),
        generator=torch.Generator(),  # of its own, else each start would draw from everybody's
    )


def _as_it_is(batch: Any) -> Any:
    return batch
