"""The three tasks: verification, matching and retrieval.

Source: V. Balntas et al., "HPatches", CVPR 2017, as its Python benchmark computes them
(hpatches/hpatches-benchmark, commit e0c993c). All numbers are fractions.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from .descriptors import Descriptors
from .distances import Distance, nearer, nearest
from .errors import DataError
from .metrics import ap, ap_from_counts, counts_ahead
from .patches import DIFFICULTIES, TYPES
from .progress import Progress
from .splits import Split
from .tasklists import Retrieval, Verification
from .threads import spread

POOLS = (100, 500, 1000, 5000, 10000, 15000, 20000)
IMAGES = 5
_BLOCK = 4096  # pairs whose descriptors are gathered at a time


@dataclass(frozen=True, slots=True)
class VerificationDistances:
    """Distances of the three lists of pairs, one row a difficulty."""

    positives: Float[np.ndarray, "3 n"]
    inter: Float[np.ndarray, "3 n"]
    intra: Float[np.ndarray, "3 n"]


def verification_distances(
    descriptors: Descriptors,
    split: Split,
    lists: Verification,
    distance: Distance,
    progress: Progress,
) -> VerificationDistances:
    """Distances of all pairs at every difficulty, in the precision of the descriptors.

    Raises:
        DataError: Too few pairs to keep any of.
    """
    if not imbalanced(len(lists.positives)):
        raise DataError(f"{len(lists.positives)} verification pairs of a kind: at least 5")
    starts = np.array([descriptors.start(name) for name in split.test])
    counts = np.array([descriptors.count(name) for name in split.test])
    jobs = [
        (field, level, slice(at, at + _BLOCK * 16))
        for field in ("positives", "inter", "intra")
        for level in range(len(DIFFICULTIES))
        for at in range(0, len(lists.positives), _BLOCK * 16)
    ]
    shape = (len(DIFFICULTIES), len(lists.positives))
    found = VerificationDistances(*(np.empty(shape, np.float64) for _ in range(3)))

    def work(job: tuple[str, int, slice]) -> None:
        field, level, part = job
        pairs = getattr(lists, field)[part]
        left = _rows(pairs[:, :3], starts, counts, level)
        right = _rows(pairs[:, 3:], starts, counts, level)
        out = getattr(found, field)[level, part]
        for at in range(0, len(left), _BLOCK):
            a, b = (descriptors.rows[rows[at : at + _BLOCK]] for rows in (left, right))
            out[at : at + _BLOCK] = distance.verified(a, b)

    spread(work, jobs, "verification", progress)
    return found


def _rows(
    patches: Int[np.ndarray, "n 3"],
    starts: Int[np.ndarray, " s"],
    counts: Int[np.ndarray, " s"],
    level: int,
) -> Int[np.ndarray, " n"]:
    """Where the descriptors of (sequence, image, patch) are at a difficulty."""
    sequence, image, patch = patches.T
    kind = np.where(image == 0, 0, IMAGES * level + image)
    return starts[sequence] + kind * counts[sequence] + patch


def verification_scores(found: VerificationDistances) -> dict[str, dict[str, dict[str, float]]]:
    """ROC area of all pairs, and AP of all negatives and the first fifth of the positives.

    Equal distances favour negatives.
    """
    return {
        level: {
            kind: _verification_score(found.positives[i], getattr(found, kind)[i])
            for kind in ("inter", "intra")
        }
        for i, level in enumerate(DIFFICULTIES)
    }


def _verification_score(
    positives: Float[np.ndarray, " n"], negatives: Float[np.ndarray, " n"]
) -> dict[str, float]:
    fifth = positives[: imbalanced(len(positives))]
    return {
        "balanced_auc": 1 - float(counts_ahead(positives, negatives).mean()) / len(negatives),
        "imbalanced_ap": float(ap_from_counts(counts_ahead(fifth, negatives))),
    }


def imbalanced(positives: int) -> int:
    """How many of the positives the imbalanced protocol keeps."""
    return int(positives * 0.2)


def matching(
    descriptors: Descriptors, split: Split, distance: Distance, progress: Progress
) -> dict[str, dict[str, list[float]]]:
    """AP of the nearest neighbours of ref descriptors, by sequence, difficulty and image."""
    jobs = [(name, kind) for name in split.test for kind in TYPES[1:]]
    values = dict(
        zip(
            jobs,
            spread(
                lambda job: _matching_ap(
                    descriptors.of(job[0], "ref"), descriptors.of(*job), distance
                ),
                jobs,
                "matching",
                progress,
            ),
            strict=True,
        )
    )
    return {
        name: {d: [values[name, f"{d}{i}"] for i in range(1, IMAGES + 1)] for d in DIFFICULTIES}
        for name in split.test
    }


def _matching_ap(ref: np.ndarray, other: np.ndarray, distance: Distance) -> float:
    index, apart = nearest(distance, ref, other)
    return ap(-apart, index == np.arange(len(ref)), positives=len(ref))


def retrieval(
    descriptors: Descriptors, split: Split, lists: Retrieval, distance: Distance, progress: Progress
) -> Float[np.ndarray, "3 7 q"]:
    """AP of every query, by difficulty and by pool of `POOLS`.

    A pool of k is the query's 5 patches and the first k - 5 distractors that are not of its
    sequence; equal distances favour the 5.
    """
    starts = np.array([descriptors.start(name) for name in split.test])
    pool = _single(descriptors.rows[starts[lists.distractors[:, 0]] + lists.distractors[:, 1]])
    values = np.empty((len(DIFFICULTIES), len(POOLS), len(lists.queries)))
    asked = [
        (name, lists.distractors[:, 0] != place, np.flatnonzero(lists.queries[:, 0] == place))
        for place, name in enumerate(split.test)
    ]

    def work(job: tuple[str, Bool[np.ndarray, " p"], Int[np.ndarray, " m"]]) -> None:
        name, others, which = job
        if len(which):
            patches = lists.queries[which, 1]
            values[:, :, which] = _retrieval_ap(descriptors, name, patches, pool[others], distance)

    spread(work, asked, "retrieval", progress)
    return values


def _retrieval_ap(
    descriptors: Descriptors,
    sequence: str,
    patches: Int[np.ndarray, " m"],
    others: np.ndarray,
    distance: Distance,
) -> Float[np.ndarray, "3 7 m"]:
    queries = _single(descriptors.of(sequence, "ref")[patches])
    own = np.stack(
        [distance.paired(queries, descriptors.of(sequence, kind)[patches]) for kind in TYPES[1:]], 1
    )
    own = np.sort(own.reshape(len(queries), len(DIFFICULTIES), IMAGES), axis=2)
    ends = sorted({min(k - IMAGES, len(others)) for k in POOLS})
    limits = own.reshape(len(queries), -1)
    ahead = nearer(distance, queries, others, limits, ends).reshape(*own.shape, len(ends))
    column = [ends.index(min(k - IMAGES, len(others))) for k in POOLS]
    return ap_from_counts(ahead[..., column].transpose(1, 3, 0, 2))


def _single(rows: np.ndarray) -> np.ndarray:
    """The reference keeps queries and distractors (not positives) as float32."""
    return rows.astype(np.float32, copy=False) if rows.dtype != np.uint8 else rows
