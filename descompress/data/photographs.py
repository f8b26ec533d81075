"""Matching patches out of any photographs, by random homographies."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from hpatches_eval.detection import detect
from hpatches_eval.errors import DataError
from hpatches_eval.frames import (
    DIFFICULTIES,
    Jitter,
    Pyramid,
    circle_overlaps,
    cut,
    inside,
    pyramid,
    similarity,
)
from hpatches_eval.sequences import read_grey

from ..sizing import SIZE
from .photometric import Photometric
from .points import FEWEST, pointed

VERSION = "points 1"  # of the way points are found


@dataclass(frozen=True)
class Photograph:
    """A photograph and the points found on it.

    Args:
        points: Rows (x, y, radius, angle) as `hpatches_eval.detection.detect` gives them.
    """

    name: str
    levels: Pyramid
    points: Float[np.ndarray, "n 4"]


def read_photographs(
    folder: str | Path,
    cache: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    workers: int = 2,
) -> list[Photograph]:
    """Read all photographs below `folder` that have at least 16 points.

    Args:
        cache: A folder to keep the points in; they cost about 0.1 s a photograph to find.
        progress: Called with the photographs done and their total.

    Raises:
        DataError: There are none, or one cannot be read.
    """
    found = pointed(folder, _points_of, VERSION, cache=cache, progress=progress, workers=workers)
    photographs = [
        Photograph(name, pyramid(read_grey(path)), points) for name, path, points in found
    ]
    if not photographs:
        raise DataError(f"{folder}: no photograph has {FEWEST} points to describe")
    return photographs


def held_out(name: str, share: float = 0.05) -> bool:
    """Whether the photograph or scene of this name belongs to the validation part."""
    return hashlib.sha256(os.fsencode(name)).digest()[0] < 256 * share


@runtime_checkable
class Named(Protocol):
    """What has a name to be held out by."""

    @property
    def name(self) -> str: ...


Thing = TypeVar("Thing", bound=Named)


def parted(things: Sequence[Thing]) -> tuple[list[Thing], list[Thing]]:
    """Those to learn from, and those of the validation part."""
    apart = [held_out(thing.name) for thing in things]
    learned = [thing for thing, held in zip(things, apart, strict=True) if not held]
    return learned, [thing for thing, held in zip(things, apart, strict=True) if held]


@dataclass(frozen=True)
class HomographyPairs:
    """Pairs of views of points on photographs, each view warped and changed at random.

    One view is disturbed as much as a good detection is, the other up to a wrong one seen from
    another side: `jitter`, the strength being drawn for each pair. Batches hold many patches of
    few photographs, so that the closest wrong match is hard.

    Args:
        pairs: In a batch.
        per_photograph: Points taken of one photograph.
        jitter: The strongest affine error of the second view.
        least: The weakest, as a share of it. (A view that would leave the photograph is drawn
            again, and is not disturbed at all after five draws.)
        perspective: Largest change of scale across half a patch.
    """

    photographs: list[Photograph]
    pairs: int = 512
    per_photograph: int = 32
    seed: int = 0
    jitter: Jitter = field(default_factory=lambda: DIFFICULTIES["t"].times(1.15))
    least: float = 0.0
    perspective: float = 0.15
    photometric: Photometric = field(default_factory=Photometric)

    def __call__(
        self, step: int
    ) -> tuple[Float[np.ndarray, "b 32 32"], Float[np.ndarray, "b 32 32"]]:
        """The batch of this step: two arrays of grey patches in [0, 1]."""
        rng = np.random.default_rng([self.seed, step, 1])
        views = [self._views(photograph, point, rng) for photograph, point in self._points(rng)]
        anchors, positives = (
            np.stack(side).astype(np.float32) / 255 for side in zip(*views, strict=True)
        )
        turned = turned_alike((anchors, positives), rng)
        first, second = (self.photometric.apply(side, rng) for side in turned)
        return first, second

    def _points(
        self, rng: np.random.Generator
    ) -> Iterator[tuple[Photograph, Float[np.ndarray, " 4"]]]:
        left, turn = self.pairs, iter(())
        while left > 0:
            number = next(turn, None)
            if number is None:  # none twice in a batch, as long as there are others
                turn = iter(rng.permutation(len(self.photographs)).tolist())
                continue
            photograph = self.photographs[number]
            most = min(self.per_photograph, len(photograph.points), left)
            for i in rng.permutation(len(photograph.points))[:most]:
                yield photograph, photograph.points[i]
            left -= most

    def _views(
        self, photograph: Photograph, point: Float[np.ndarray, " 4"], rng: np.random.Generator
    ) -> tuple[UInt8[np.ndarray, "32 32"], UInt8[np.ndarray, "32 32"]]:
        frame = similarity(*point.tolist())
        strength = self.least + (1 - self.least) * float(rng.uniform(0, 1))
        weak = partial(self.jitter.times(0.25 * rng.uniform(0, 1)).draw, rng)
        strong = partial(self._disturbance, strength, rng)
        first, second = (_fitting(photograph.levels, frame, draw) for draw in (weak, strong))
        return cut(photograph.levels, first, SIZE), cut(photograph.levels, second, SIZE)

    def _disturbance(self, strength: float, rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
        matrix = self.jitter.times(strength).draw(rng)
        matrix[2, :2] = rng.uniform(-1, 1, 2) * self.perspective * strength
        return matrix


def turned_alike(
    sides: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Both patches of a pair turned by the same multiple of 90 degrees, half mirrored too."""
    first, second = (side.copy() for side in sides)
    turns, mirrored = rng.integers(0, 4, len(first)), rng.random(len(first)) < 0.5
    for side in (first, second):
        for turn in range(1, 4):
            side[turns == turn] = np.rot90(side[turns == turn], turn, (1, 2))
        side[mirrored] = side[mirrored][:, :, ::-1]
    return first, second


def _fitting(
    levels: Pyramid, frame: Float[np.ndarray, "3 3"], draw: Callable[[], Float[np.ndarray, "3 3"]]
) -> Float[np.ndarray, "3 3"]:
    """The frame disturbed, still on the photograph; undisturbed where no draw is."""
    views = (frame @ draw() for _ in range(5))
    return next((view for view in views if inside(view, levels.shape)), frame)


def _points_of(path: Path) -> Float[np.ndarray, "n 4"]:
    """Points no two of which share more than half of their regions, strong and weak alike."""
    points = detect(read_grey(path), most=400)
    kept = np.empty((0, 4))
    for point in np.random.default_rng(0).permutation(points):
        if not (circle_overlaps(point[:3].tolist(), kept[:, :3]) > 0.5).any():
            kept = np.vstack([kept, point])
    return kept
