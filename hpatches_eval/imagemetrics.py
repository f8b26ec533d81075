"""Measures of features on a pair of images with a known homography.

Shares are fractions. "True" is always said of the ground-truth homography. Distances are pixels
of the image the points are compared in: after a warp from image 1 to 2 those of image 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from .geometry import Shape, visible, warp
from .matching import Neighbours
from .metrics import ap

THRESHOLDS = tuple(range(1, 11))  # pixels, of the curves
HEADLINE = (1, 3, 5)  # pixels, of what is printed of homographies

Points: TypeAlias = Num[np.ndarray, "_ 2"]


@dataclass(frozen=True)
class View:
    """Keypoints of two images and how they map on one another.

    Args:
        points: Keypoints of image 1 and of image 2.
        shapes: Height and width of the two images.
        homography: The true one, from image 1 to image 2.
    """

    points: tuple[Points, Points]
    shapes: tuple[Shape, Shape]
    homography: Float[np.ndarray, "3 3"]

    @cached_property
    def warped(self) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "m 2"]]:
        """Where the keypoints of either image are in the other."""
        back = np.linalg.inv(self.homography)
        return warp(self.homography, self.points[0]), warp(back, self.points[1])

    @cached_property
    def common(self) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " m"]]:
        """Which keypoints of either image lie in the region that both images show."""
        return visible(self.warped[0], self.shapes[1]), visible(self.warped[1], self.shapes[0])

    def errors(self, matches: Int[np.ndarray, "k 2"]) -> Float[np.ndarray, " k"]:
        """How far |H p - q| each match (p, q) is off, in image 2."""
        apart = self.warped[0][matches[:, 0]] - self.points[1][matches[:, 1]]
        return np.linalg.norm(apart, axis=1)


def repeatability(view: View, within: float = 3.0) -> tuple[float, float | None]:
    """Repeatability, and the mean localisation error (MLE) of the points that repeat.

    Only points in the region that both images show count, N1 and N2 of them. All are brought to
    image 2. A point of image 1 repeats if one of image 2 is at most `within` pixels away there,
    and the other way round. Repeatability is the number of points that repeat over N1 + N2, 0
    where there are none. MLE is the mean distance of those to the nearest one, None where there
    are none. Where image 2 shows the scene smaller, points come closer: see
    `symmetric_repeatability`.

    Source: D. DeTone et al., "SuperPoint", CVPRW 2018, appendix A (Rep and LE, eps = 3); in image
    2 as rpautrat/SuperPoint counts.
    """
    (seen, others), (kept, found) = view.common, (view.warped[0], view.points[1])
    there, back = kept[seen], found[others]
    return _repeated(within, (there, back), (back, there))


def symmetric_repeatability(view: View, within: float = 3.0) -> tuple[float, float | None]:
    """The same, counted for the points of each image in that image.

    A point of image 1 repeats if the warp of a point of image 2 is at most `within` pixels from
    it in image 1, and the other way round in image 2: which image is the first makes no
    difference.
    """
    own = [points[seen] for points, seen in zip(view.points, view.common, strict=True)]
    came = [points[seen] for points, seen in zip(view.warped, view.common, strict=True)]
    return _repeated(within, (own[0], came[1]), (own[1], came[0]))


def _repeated(within: float, *sides: tuple[Points, Points]) -> tuple[float, float | None]:
    apart = np.concatenate([_nearest(points, others) for points, others in sides])
    near = apart[apart <= within]
    share = len(near) / len(apart) if len(apart) else 0.0
    return share, float(near.mean()) if len(near) else None


def _nearest(
    points: Num[np.ndarray, "n 2"], others: Num[np.ndarray, "m 2"]
) -> Float[np.ndarray, " n"]:
    if not len(points) or not len(others):
        return np.full(len(points), np.inf)
    from scipy.spatial import KDTree

    distances, _ = KDTree(others).query(points)
    return np.asarray(distances, dtype=np.float64)


def matching_accuracy(
    errors: Float[np.ndarray, " k"], thresholds: Sequence[int | float] = THRESHOLDS
) -> list[float]:
    """Share of the matches that are off by at most each threshold; 0 where there are no matches.

    The mean over pairs of images is the mean matching accuracy (MMA); matches are mutual nearest
    neighbours.

    Source: M. Dusmanu et al., "D2-Net", CVPR 2019, sec. 5.1.
    """
    if not len(errors):
        return [0.0] * len(thresholds)
    return [float(np.mean(errors <= t)) for t in thresholds]


def nearest_neighbour_ap(view: View, found: Neighbours, within: float = 3.0) -> float:
    """Area under precision over recall of nearest-neighbour matches, ranked by distance.

    Each point of the region that both images show is matched with its nearest neighbour among
    all of the other image, one way; the match is correct if it is at most `within` pixels off
    under the true homography. (Some implementations ask the estimated homography instead.)
    Recall is the share of the correct matches, and the area is `metrics.ap`, the trapezoid one.
    Both directions are taken and their mean is given: the NN mAP of one pair.

    Source: D. DeTone et al., "SuperPoint", CVPRW 2018, appendix B.
    """
    ways = (
        (found.forward, found.forward_distances, view.warped[0], view.points[1], view.common[0]),
        (found.backward, found.backward_distances, view.warped[1], view.points[0], view.common[1]),
    )
    return float(np.mean([_one_way(*way, within) for way in ways]))


def _one_way(
    index: Int[np.ndarray, " n"],
    distances: Float[np.ndarray, " n"],
    warped: Float[np.ndarray, "n 2"],
    others: Num[np.ndarray, "m 2"],
    common: Bool[np.ndarray, " n"],
    within: float,
) -> float:
    asked = common & (index >= 0)
    apart = np.linalg.norm(warped[asked] - others[index[asked]], axis=1)
    return ap(-distances[asked], apart <= within)


def matching_score(view: View, matches: Int[np.ndarray, "k 2"], within: float = 3.0) -> float:
    """Share of true matches among the points of the region that both images show (M.Score).

    Matches are mutual nearest neighbours of all points, true if at most `within` pixels off in
    the image the point is warped to. Their number is divided by the points of image 1 in that
    region, and by those of image 2 the other way round; the mean of the two is given. Where an
    image has no point in the region its share is 0.

    Source: D. DeTone et al., "SuperPoint", CVPRW 2018, appendix B.
    """
    shares = []
    for here, there in ((0, 1), (1, 0)):
        own = matches[:, here]
        apart = view.warped[here][own] - view.points[there][matches[:, there]]
        true = (np.linalg.norm(apart, axis=1) <= within) & view.common[here][own]
        shares.append(np.count_nonzero(true) / max(1, np.count_nonzero(view.common[here])))
    return float(np.mean(shares))


def homography_correctness(
    errors: Float[np.ndarray, " p"], thresholds: Sequence[int | float] = THRESHOLDS
) -> list[float]:
    """Share of the pairs whose homography has a mean corner error below each threshold.

    Args:
        errors: Of all pairs (`geometry.corner_error`), infinite where no homography was found.

    Source: D. DeTone et al., "SuperPoint", CVPRW 2018, sec. 7.3.
    """
    if not len(errors):
        return [0.0] * len(thresholds)
    return [float(np.mean(errors < t)) for t in thresholds]


def error_auc(
    errors: Float[np.ndarray, " p"], thresholds: Sequence[int | float] = HEADLINE
) -> list[float]:
    """Area under recall over corner error up to each threshold, divided by the threshold.

    Errors are sorted, recall is (1..n) / n at them with (0, 0) in front, and the area is that of
    the trapezoids between; from the last error below the threshold recall stays what it is.

    Args:
        errors: Of all pairs, infinite where no homography was found.

    Source: P.-E. Sarlin et al., "SuperGlue", CVPR 2020; cvg/glue-factory.
    """
    ordered = np.concatenate([[0.0], np.sort(errors)])
    recall = np.arange(len(ordered)) / max(1, len(errors))
    areas = []
    for t in thresholds:
        below = max(1, int(np.searchsorted(ordered, t)))
        x = np.append(ordered[:below], t)
        y = np.append(recall[:below], recall[below - 1])
        areas.append(float(np.trapezoid(y, x) / t))
    return areas
