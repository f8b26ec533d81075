"""What objectives look at, and what they have in common."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from ..errors import RequestError
from ..nets.superpoint import BINS
from .companions import Companion

Rows = Float[Tensor, "b d"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a network, and its teacher, made of a batch of pairs.

    Row i of both sides is one point, and no other row is. (Where the data cannot promise that,
    the triplet loss leaves duplicates out by itself.)

    Args:
        anchors, positives: Unit vectors, with a graph.
        teacher: The teacher's anchors and positives, without one.
        beside: By name of the objective, what its companion made of both sides.
        progress: Share of the training that is done, from 0 up to 1.
    """

    anchors: Float[Tensor, "b d"]
    positives: Float[Tensor, "b d"]
    teacher: tuple[Float[Tensor, "b e"], Float[Tensor, "b e"]] | None = None
    beside: Mapping[str, Float[Tensor, "2 b _"]] = field(default_factory=dict)
    progress: float = 0.0

    @property
    def sides(self) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        """The anchors and the positives."""
        return self.anchors, self.positives

    def chain(self, beside: Float[Tensor, "2 b _"]) -> list["Seen"]:
        """This, and what other models saw whose rows lie in `beside`: each taught by the next."""
        rows = [torch.stack(self.sides), *_models(beside, self.anchors.shape[1])]
        nexts = [(each[0].detach(), each[1].detach()) for each in rows[1:]]
        pairs = zip(rows, [*nexts, self.teacher], strict=True)
        return [Seen(own[0], own[1], teacher, progress=self.progress) for own, teacher in pairs]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a classifier, and its teacher, made of a batch of images.

    Args:
        logits: Scores of the classes, with a graph.
        labels: The class of each image.
        teacher: The teacher's logits, without a graph.
        beside, progress: As those of `Seen`.
    """

    logits: Float[Tensor, "b n"]
    labels: Int64[Tensor, " b"]
    teacher: Float[Tensor, "b n"] | None = None
    beside: Mapping[str, Float[Tensor, "1 b _"]] = field(default_factory=dict)
    progress: float = 0.0

    def chain(self, beside: Float[Tensor, "1 b _"]) -> list["Judged"]:
        """As that of `Seen`."""
        rows = [self.logits, *(each[0] for each in _models(beside, self.logits.shape[1]))]
        pairs = zip(rows, [*(each.detach() for each in rows[1:]), self.teacher], strict=True)
        done = self.progress
        return [Judged(own, self.labels, teacher, progress=done) for own, teacher in pairs]


@dataclass(frozen=True, slots=True)
class Viewed:
    """What an image network, and its teacher, made of pairs of views; side first, then pair.

    Args:
        logits: Detector scores of cells before the softmax, with a graph.
        descriptors: Unit vectors of cells, with a graph.
        points, matches, inside: What is known of the views; see `data.ViewBatch`.
        teacher: The teacher's logits and descriptors, without a graph.
        beside, progress: As those of `Seen`.
    """

    logits: Float[Tensor, "2 b n h w"]
    descriptors: Float[Tensor, "2 b d h w"]
    points: Float[Tensor, "2 b p 3"]
    matches: Float[Tensor, "b m 5"]
    inside: Bool[Tensor, "2 b h w"]
    teacher: tuple[Float[Tensor, "2 b n h w"], Float[Tensor, "2 b e h w"]] | None = None
    beside: Mapping[str, Float[Tensor, "2 b _"]] = field(default_factory=dict)
    progress: float = 0.0

    def chain(self, beside: Float[Tensor, "2 b _"]) -> list["Viewed"]:
        """As that of `Seen`."""
        sizes = self.logits.shape[2:], self.descriptors.shape[2:]
        width, cells = sum(map(math.prod, sizes)), (sizes[0][1], sizes[0][2])
        own = self.logits, self.descriptors
        models = [own, *(maps_of(each, cells) for each in _models(beside, width))]
        taught = [*((logits.detach(), maps.detach()) for logits, maps in models[1:]), self.teacher]
        known = self.points, self.matches, self.inside
        return [
            Viewed(*model, *known, teacher, progress=self.progress)
            for model, teacher in zip(models, taught, strict=True)
        ]

    def cells(self, maps: Float[Tensor, "2 b n h w"]) -> Float[Tensor, "m n"]:
        """What maps say of the cells that show the scene, one row a cell."""
        return maps.movedim(2, -1)[self.inside]


Look: TypeAlias = Seen | Judged | Viewed


@dataclass(frozen=True)
class Objective(ABC):
    """Something to minimise: a frozen dataclass of JSON scalars, each with a default."""

    name: ClassVar[str]
    needs_teacher: ClassVar[bool] = False
    looks_at: ClassVar[Any] = Seen

    @abstractmethod
    def __call__(self, seen: Any) -> Float[Tensor, ""]:
        """The loss of a batch.

        Raises:
            RequestError: It needs a teacher and there is none, or its descriptors do not fit.
        """

    def companion(self, net: nn.Module, teacher: nn.Module | None) -> Companion | None:
        """What has to run beside `net`, where descriptors are not enough.

        Raises:
            RequestError: It needs the teacher itself and there is none, or they do not fit.
        """
        return None

    def beside(self, seen: Look) -> Float[Tensor, "s b _"]:
        """What its companion made of the anchors and of the positives.

        Raises:
            RequestError: No companion ran.
        """
        if self.name not in seen.beside:
            raise RequestError(f"{self.name}: needs its companion to run beside the network")
        return seen.beside[self.name]

    def taught(self, seen: Look) -> Any:
        """What the teacher made of the batch.

        Raises:
            RequestError: There is no teacher.
        """
        if seen.teacher is None:
            raise RequestError(f"{self.name}: needs a teacher, and there is none")
        return seen.teacher


def _models(beside: Float[Tensor, "s b _"], width: int) -> tuple[Float[Tensor, "s b w"], ...]:
    """The rows of each model, side by side in `beside`."""
    return beside.split(width, dim=2) if beside.shape[2] else ()


def maps_of(
    rows: Float[Tensor, "s b _"], cells: tuple[int, int]
) -> tuple[Float[Tensor, "s b n h w"], Float[Tensor, "s b d h w"]]:
    """Logits and descriptors of cells that `companions.in_rows` made rows of."""
    maps = rows.unflatten(2, (-1, *cells))
    return maps[:, :, :BINS], maps[:, :, BINS:]


def similarities(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Inner products, in float32 also where a training computes in bfloat16."""
    with torch.autocast(a.device.type, enabled=False):
        a, b = (x if x.dtype == torch.float64 else x.float() for x in (a, b))
        return a @ b.T


def distances(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Euclidean distances of unit vectors, with a gradient that stays finite at 0.

    In float32 also where a training computes in bfloat16: that cannot tell distances below 0.09.
    """
    return (2 - 2 * similarities(a, b)).clamp(min=1e-6).sqrt()
