"""The training set of a patch network, and the part of it held back to tell how it does."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import RequestError
from . import Source, mixed
from .photographs import HomographyPairs, Photograph, held_out, read_photographs
from .phototour import PhotoTour, TourPairs, tracks

HELD_TRACKS = 0.08  # the last points of every tour, by their ids: they lie together in a scene


@dataclass(frozen=True)
class Mixture:
    """Photographs and tours, each split into a part to learn from and one to validate on.

    Args:
        held_photographs: About a twentieth, chosen by name.
        held_tracks: For each tour the patch numbers of its last points.
    """

    photographs: list[Photograph]
    tours: list[tuple[PhotoTour, list[np.ndarray]]]
    held_photographs: list[Photograph]
    held_tracks: list[tuple[PhotoTour, list[np.ndarray]]]

    def source(self, pairs: int, tour_share: float, seed: int) -> Source:
        """Batches of `pairs` pairs, `tour_share` of them from the tours.

        Raises:
            RequestError: The share does not fit what there is.
        """
        if not 0 <= tour_share <= 1 or pairs < 2:
            raise RequestError(f"{pairs} pairs, {tour_share} of them of tours: 0 to 1 of 2 or more")
        of_tours = round(pairs * tour_share) if self.photographs else pairs
        of_tours = of_tours if self.tours else 0
        parts: list[Source] = []
        if of_tours < pairs:
            parts.append(HomographyPairs(self.photographs, pairs - of_tours, seed=seed))
        for i, (tour, points) in enumerate(self.tours if of_tours else []):
            each = of_tours // len(self.tours) + (i < of_tours % len(self.tours))
            parts.append(TourPairs(tour, points, each, seed=seed + i))
        return mixed(parts)


def read_mixture(
    photographs: Path | None,
    tours: tuple[Path, ...],
    cache: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Mixture:
    """Read what to learn from.

    Args:
        photographs: A folder of images, searched through.
        tours: Folders in the PhotoTour layout.
        cache: See `photographs.read_photographs`.

    Raises:
        RequestError: Neither is given.
        DataError: See `read_photographs` and `PhotoTour.read`.
    """
    if photographs is None and not tours:
        raise RequestError("nothing to learn from: give --photographs, --phototour or both")
    all_photographs = read_photographs(photographs, cache, progress) if photographs else []
    held = [p for p in all_photographs if held_out(p.name)]
    split = [(tour, *_split(tracks(tour))) for tour in map(PhotoTour.read, tours)]
    return Mixture(
        [p for p in all_photographs if not held_out(p.name)],
        [(tour, learned) for tour, learned, _ in split],
        held,
        [(tour, kept) for tour, _, kept in split],
    )


def _split(points: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    learned = len(points) - int(len(points) * HELD_TRACKS)
    return points[:learned], points[learned:]
