"""How well a network in training does on data it is not trained on.

Two numbers, as in HPatches and in PhotoTour: the mean average precision of matching views of the
points of held-out photographs, and the false positive rate at 95 % recall on held-out tracks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, UInt8
from torch import nn

from hpatches_eval.errors import DataError
from hpatches_eval.frames import DIFFICULTIES, cut, similarity
from hpatches_eval.metrics import ap, fpr_at_recall
from hpatches_eval.patches import TYPES

from .data.mixture import Mixture
from .data.photographs import Photograph
from .data.photometric import Photometric
from .data.phototour import PhotoTour
from .data.releases import Views
from .description import describe
from .sizing import SIZE, shrunk

Patches = Float[np.ndarray, "b 32 32"]
Descriptors = Float[np.ndarray, "b d"]


@dataclass(frozen=True)
class Validation:
    """Views of held-out points, made once.

    Args:
        views: For each photograph, its patches undisturbed, and disturbed by difficulty.
        pairs: Two patches each and whether they show the same point.
    """

    views: list[dict[str, np.ndarray]]
    tour: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    names: ClassVar[tuple[str, ...]] = ("matching", "fpr95")

    def measured(self, net: nn.Module) -> dict[str, float]:
        """Those of both numbers that there is data for."""
        found = {"matching": self.matching(net), "fpr95": self.fpr95(net)}
        return {name: value for name, value in found.items() if value is not None}

    def matching(self, net: nn.Module) -> float | None:
        """Mean average precision over views and difficulties, as in HPatches; None without."""
        values = self.matching_by_difficulty(net).values()
        return float(np.mean([*values])) if values else None

    def matching_by_difficulty(self, net: nn.Module) -> dict[str, float]:
        """Mean average precision over the views of each difficulty, by its letter."""
        if not self.views:
            return {}
        found = [_matching(net, views) for views in self.views]
        return {name: float(np.mean([each[name] for each in found])) for name in DIFFICULTIES}

    def fpr95(self, net: nn.Module) -> float | None:
        """False positive rate at 95 % recall; None without tours."""
        found = self.false_positive_rates(net, (0.95,))
        return found[0] if found else None

    def false_positive_rates(self, net: nn.Module, recalls: Sequence[float]) -> list[float]:
        """The share of wrong pairs taken for right ones, at each recall; none without tours."""
        if self.tour is None:
            return []
        first, second, same = self.tour
        distance = np.linalg.norm(describe(net, first) - describe(net, second), axis=1)
        return [fpr_at_recall(-distance, same, recall) for recall in recalls]

    def arrays(self) -> dict[str, np.ndarray]:
        """What `from_arrays` makes the same validation of; grey values as bytes."""
        held = {
            f"{name}/{i}": _as_bytes(patches)
            for i, views in enumerate(self.views)
            for name, patches in views.items()
        }
        if self.tour is not None:
            first, second, same = self.tour
            held |= {"first": _as_bytes(first), "second": _as_bytes(second), "same": same}
        return held

    @classmethod
    def from_arrays(cls, held: Mapping[str, np.ndarray]) -> "Validation":
        """The validation that `arrays` was asked of, to the nearest grey value.

        Raises:
            DataError: An array is missing, or is none of patches.
        """
        count = sum(name.startswith("ref/") for name in held)
        names = ("ref", *DIFFICULTIES)
        try:
            views = [{n: held[f"{n}/{i}"] for n in names} for i in range(count)]
            tour = (held["first"], held["second"], held["same"]) if "same" in held else None
        except KeyError as error:
            raise DataError(f"the validation part of the pack lacks {error}") from None
        groups = [[*of_one.values()] for of_one in views] + ([[*tour[:2]]] if tour else [])
        if not all(map(_are_patches, groups)) or (tour and not _are_pairs(*tour)):
            raise DataError("the validation part of the pack holds other things than patches")
        floats = [{n: _as_float(patches) for n, patches in of_one.items()} for of_one in views]
        return cls(floats, tour and (_as_float(tour[0]), _as_float(tour[1]), tour[2]))


def _are_patches(group: Sequence[np.ndarray]) -> bool:
    """Whether these arrays hold equally many patches, in grey values."""
    fits = all(a.ndim == 3 and a.shape[1:] == (SIZE, SIZE) and a.dtype == np.uint8 for a in group)
    return fits and len({len(a) for a in group}) == 1 and len(group[0]) > 0


def _are_pairs(first: np.ndarray, _: np.ndarray, same: np.ndarray) -> bool:
    """Whether it is said of each pair if it is one, and some are and some are not."""
    fits = same.dtype == np.bool_ and same.shape == first.shape[:1]
    return fits and 0 < int(same.sum()) < len(same)


def held_out_validation(mixture: Mixture) -> Validation:
    """Views of up to 24 held-out photographs and sequences each, and pairs of held-out tracks."""
    tour = tour_pairs(*mixture.held_tracks[0]) if mixture.held_tracks else None
    views = photograph_views(mixture.held_photographs[:24])
    return Validation([*views, *map(release_views, mixture.held_sequences[:24])], tour)


def _matching(net: nn.Module, views: dict[str, Patches]) -> dict[str, float]:
    found = {name: describe(net, patches) for name, patches in views.items()}
    reference = found.pop("ref")
    return {name: _precision(reference, other) for name, other in found.items()}


def _precision(reference: Descriptors, other: Descriptors) -> float:
    """Average precision of the nearest of each; row i of both is one point."""
    distance = np.sqrt(np.maximum(2 - 2 * reference @ other.T, 0))
    nearest = distance.argmin(1)
    correct = nearest == np.arange(len(nearest))
    return ap(-distance[np.arange(len(nearest)), nearest], correct, positives=len(correct))


def photograph_views(
    photographs: list[Photograph], most: int = 200, seed: int = 0
) -> list[dict[str, Patches]]:
    """Views of the first points of each photograph: `ref`, `e`, `h`, `t`."""
    rng = np.random.default_rng(seed)
    made = []
    for photograph in photographs:
        frames = [similarity(*point.tolist()) for point in photograph.points[:most]]
        views = {"ref": [cut(photograph.levels, frame, SIZE) for frame in frames]}
        for name, jitter in DIFFICULTIES.items():
            disturbed = [frame @ jitter.draw(rng) for frame in frames]
            views[name] = [cut(photograph.levels, frame, SIZE) for frame in disturbed]
        made.append({name: _as_float(patches) for name, patches in views.items()})
        for name in DIFFICULTIES:
            made[-1][name] = Photometric().apply(made[-1][name], rng)
    return made


def release_views(sequence: Views, most: int = 200) -> dict[str, Patches]:
    """The first points of a sequence: `ref`, and of each difficulty the first disturbed view."""
    kinds = {"ref": "ref"} | {name: f"{name}1" for name in DIFFICULTIES}
    rows = {name: sequence.patches[TYPES.index(kind), :most] for name, kind in kinds.items()}
    return {name: _as_float(patches) for name, patches in rows.items()}


def tour_pairs(
    tour: PhotoTour, points: list[np.ndarray], pairs: int = 4000, seed: int = 0
) -> tuple[Patches, Patches, np.ndarray]:
    """Patches of `pairs` matching and as many non-matching pairs among `points`.

    Raises:
        DataError: There are fewer than two points.
    """
    if len(points) < 2:
        raise DataError(f"{tour.root}: too few points to hold any back; it cannot be learned from")
    rng = np.random.default_rng(seed)
    first, second = [], []
    for i in rng.integers(len(points), size=pairs):
        a, b = rng.permutation(points[i])[:2]
        other = points[(i + rng.integers(1, len(points))) % len(points)]
        first += [a, a]
        second += [b, other[0]]
    same = np.arange(2 * pairs) % 2 == 0
    x, y = (_as_float(list(shrunk(tour.patches[rows]))) for rows in (first, second))
    return x, y, same


def _as_float(patches: Sequence[np.ndarray] | np.ndarray) -> Patches:
    return np.asarray(patches).astype(np.float32) / 255


def _as_bytes(patches: Patches) -> UInt8[np.ndarray, "b 32 32"]:
    return np.rint(patches * 255).astype(np.uint8)
