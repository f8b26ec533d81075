"""How well an image network finds and matches keypoints on photographs it is not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, UInt8
from torch import nn

from hpatches_eval.features import Features, Finder
from hpatches_eval.geometry import Estimation, corner_error
from hpatches_eval.imagemetrics import View, error_auc, matching_accuracy, repeatability
from hpatches_eval.matching import neighbours
from hpatches_eval.synthesis import relit, seen_from_elsewhere

from .features import finder

Image = UInt8[np.ndarray, "h w"]
CHANGES = ((relit, 0.6), (seen_from_elsewhere, 0.5), (seen_from_elsewhere, 1.0))
PHOTOGRAPHS = 10  # that are looked at
CORNERS = 5.0  # pixels: the area under recall is taken up to so large an error
WITHIN = 3.0  # pixels


@dataclass(frozen=True)
class Views:
    """Photographs, each seen in other light and from elsewhere, made once.

    Args:
        scenes: The photograph, then each other view and the homography that leads there.
    """

    scenes: list[tuple[Image, list[tuple[Image, Float[np.ndarray, "3 3"]]]]]
    names: ClassVar[tuple[str, ...]] = ("homography", "matching", "repeatability")

    @classmethod
    def of(cls, images: Sequence[Image], seed: int = 0) -> "Views":
        """Views of the first images."""
        rng, images = np.random.default_rng([seed, 11]), images[:PHOTOGRAPHS]
        return cls([(x, [make(x, strength, rng) for make, strength in CHANGES]) for x in images])

    def measured(self, net: nn.Module) -> dict[str, float]:
        """Area under recall over corner error up to 5 px; MMA and repeatability at 3 px.

        Each is the mean over all pairs of views.
        """
        return dict(zip(self.names, self.found(finder(net), [WITHIN]).values(), strict=True))

    def found(self, find: Finder, radii: Sequence[float]) -> dict[str, float]:
        """As `measured`, of any finder and with keypoints within each radius, in pixels.

        Returns:
            "homography", then "matching at R px" and "repeatability at R px" of each radius R.
        """
        errors, shares = [], []
        for image, others in self.scenes:
            first = find(image)
            for other, true in others:
                second = find(other)
                points = first.keypoints, second.keypoints
                view = View(points, (_shape(image), _shape(other)), true)
                matches = neighbours(first.descriptors, second.descriptors).mutual()
                errors.append(_corner_error(first, second, matches, view))
                accuracies = matching_accuracy(view.errors(matches))
                shares.append(
                    [(accuracies[round(r) - 1], repeatability(view, r)[0]) for r in radii]
                )
        (area,) = error_auc(np.array(errors), [CORNERS])
        names = [f"{name} at {r:g} px" for r in radii for name in self.names[1:]]
        values = np.mean(shares, 0).flatten().tolist()
        return {self.names[0]: area} | dict(zip(names, values, strict=True))


def _corner_error(first: Features, second: Features, matches: np.ndarray, view: View) -> float:
    rows = first.keypoints[matches[:, 0]], second.keypoints[matches[:, 1]]
    return corner_error(Estimation()(*rows)[0], view.homography, view.shapes[0])


def _shape(image: Image) -> tuple[int, int]:
    return image.shape[0], image.shape[1]
