"""How well a network in training does on data it is not trained on.

Two numbers, as in HPatches and in PhotoTour: the mean average precision of matching views of the
points of held-out photographs, and the false positive rate at 95 % recall on held-out tracks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import nn

from hpatches_eval.frames import DIFFICULTIES, cut, similarity
from hpatches_eval.metrics import ap, fpr_at_recall

from .data.photographs import Photograph
from .data.photometric import Photometric
from .data.phototour import PhotoTour
from .data.sizing import SIZE, shrunk
from .description import describe

Patches = Float[np.ndarray, "b 32 32"]


@dataclass(frozen=True)
class Validation:
    """Views of held-out points, made once.

    Args:
        views: For each photograph, its patches undisturbed, and disturbed by difficulty.
        pairs: Two patches each and whether they show the same point.
    """

    views: list[dict[str, np.ndarray]]
    tour: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def matching(self, net: nn.Module) -> float:
        """Mean average precision over photographs and difficulties, as in HPatches."""
        return float(np.mean([ap for views in self.views for ap in _matching(net, views)]))

    def fpr95(self, net: nn.Module) -> float | None:
        """False positive rate at 95 % recall; None without tours."""
        if self.tour is None:
            return None
        first, second, same = self.tour
        distance = np.linalg.norm(describe(net, first) - describe(net, second), axis=1)
        return fpr_at_recall(-distance, same)


def _matching(net: nn.Module, views: dict[str, Patches]) -> Iterator[float]:
    found = {name: describe(net, patches) for name, patches in views.items()}
    reference = found.pop("ref")
    for other in found.values():
        distance = np.sqrt(np.maximum(2 - 2 * reference @ other.T, 0))
        nearest = distance.argmin(1)
        correct = nearest == np.arange(len(nearest))
        yield ap(-distance[np.arange(len(nearest)), nearest], correct, positives=len(correct))


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


def tour_pairs(
    tour: PhotoTour, points: list[np.ndarray], pairs: int = 4000, seed: int = 0
) -> tuple[Patches, Patches, np.ndarray]:
    """Patches of `pairs` matching and as many non-matching pairs among `points`."""
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


def _as_float(patches: list[np.ndarray]) -> Patches:
    return np.stack(patches).astype(np.float32) / 255
