"""The training set of a patch network, and the part of it held back to tell how it does."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hpatches_eval.progress import Progress, silent

from ..errors import RequestError
from . import Mixed, Pairs
from .photographs import HomographyPairs, Photograph, parted, read_photographs
from .phototour import PhotoTour, TourPairs, tracks
from .releases import ReleasePairs, Views, read_release

HELD_TRACKS = 0.08  # the last points of every tour, by their ids: they lie together in a scene


@dataclass(frozen=True)
class Material:
    """Where to find what to learn from.

    Args:
        photographs: A folder of images, searched through.
        tours: Folders in the PhotoTour layout.
        release: A patch release in HPatches' layout.
        split: Of the release: only the train part of this published split.
        cache: A folder to keep the points found on photographs in.
        labelled: In place of all: images with classes, as `labelled.read_labelled` finds them.
        points: An image network that finds the points another is to learn on the photographs.
    """

    photographs: Path | None = None
    tours: Sequence[Path] = ()
    release: Path | None = None
    split: str | None = None
    cache: Path | None = None
    labelled: str | None = None
    points: str | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing."""
        given = (self.photographs, self.tours, self.release, self.split, self.labelled)
        return not any(given)


@dataclass(frozen=True)
class Mixture:
    """Photographs, tours and a release, each with a part to learn from and one to validate on.

    Args:
        held_photographs, held_sequences: About a twentieth, chosen by name.
        held_tracks: For each tour the patch numbers of its last points.
    """

    photographs: list[Photograph] = field(default_factory=list)
    tours: list[tuple[PhotoTour, list[np.ndarray]]] = field(default_factory=list)
    sequences: list[Views] = field(default_factory=list)
    held_photographs: list[Photograph] = field(default_factory=list)
    held_tracks: list[tuple[PhotoTour, list[np.ndarray]]] = field(default_factory=list)
    held_sequences: list[Views] = field(default_factory=list)

    def names(self) -> dict[str, list[Any]]:
        """What there is to learn from, without the places it lies at."""
        return {
            "photographs": [photograph.name for photograph in self.photographs],
            "sequences": [sequence.name for sequence in self.sequences],
            "tours": [[tour.root.name, len(points)] for tour, points in self.tours],
        }

    def source(self, pairs: int, tour_share: float, seed: int, least_jitter: float = 0.0) -> Pairs:
        """Batches of `pairs` pairs, `tour_share` of them from the tours and the release.

        Args:
            least_jitter: Of second views of photographs, as a share of the strongest.

        Raises:
            RequestError: The share does not fit what there is, or one is none.
        """
        if not 0 <= tour_share <= 1 or pairs < 2:
            raise RequestError(f"{pairs} pairs, {tour_share} of them of tours: 0 to 1 of 2 or more")
        if not 0 <= least_jitter <= 1:
            raise RequestError(
                f"a least jitter of {least_jitter}: a share of the strongest, 0 to 1"
            )
        real = len(self.tours) + bool(self.sequences)
        of_tours = round(pairs * tour_share) if self.photographs else pairs
        of_tours = of_tours if real else 0
        parts: list[Pairs] = []
        if of_tours < pairs:
            count = pairs - of_tours
            parts.append(HomographyPairs(self.photographs, count, seed=seed, least=least_jitter))
        counts = [of_tours // real + (i < of_tours % real) for i in range(real)] if of_tours else []
        for i, (each, (tour, points)) in enumerate(zip(counts, self.tours, strict=False)):
            source = TourPairs(tour, points, each, seed=seed + i)
            if source.room < each:
                raise RequestError(
                    f"{tour.root}: points for {source.room} pairs, not for {each} in every batch"
                )
            parts += [source] if each else []
        if counts and counts[-1] and self.sequences:
            parts.append(ReleasePairs(self.sequences, counts[-1], seed=seed))
        return Mixed(parts)


def read_mixture(material: Material, progress: Progress = silent) -> Mixture:
    """Read what to learn from.

    Raises:
        RequestError: Nothing is given, or so little that nothing is left to learn from once some is
            held back, or no split has the name.
        DataError: See `read_photographs`, `PhotoTour.read` and `read_release`.
    """
    if material.split and material.release is None:
        raise RequestError(f"split {material.split}: of which release? Give --hpatches too")
    if material.empty:
        raise RequestError("nothing to learn from: give --photographs, --phototour or --hpatches")
    photographs = material.photographs
    found = partial(progress, "finding points")
    taken = read_photographs(photographs, material.cache, found) if photographs else []
    split = [(tour, *_split(tracks(tour))) for tour in map(PhotoTour.read, material.tours)]
    sequences = read_release(material.release, material.split) if material.release else []
    parts = parted(taken), parted(sequences)
    for place, (learned, kept) in zip((photographs, material.release), parts, strict=True):
        if kept and not learned:
            raise RequestError(
                f"{place}: {len(kept)} of its kind are too few to hold some back; give more"
            )
    return Mixture(
        parts[0][0],
        [(tour, learned) for tour, learned, _ in split],
        parts[1][0],
        parts[0][1],
        [(tour, kept) for tour, _, kept in split],
        parts[1][1],
    )


def _split(points: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    learned = len(points) - int(len(points) * HELD_TRACKS)
    return points[:learned], points[learned:]
