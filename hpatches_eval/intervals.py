"""How far the numbers would move with other sequences: bootstrap over the test sequences.

A resample draws as many sequences as there are, with replacement, and counts everything that
belongs to a sequence as often as the sequence was drawn:

* matching: its average precisions;
* retrieval: those of its queries; distractors stay;
* verification: pairs by the sequence of their first patch, the anchor. Distances are binned once
  (`_BINS` bins at most, between quantiles), so that a resample is a product of histograms. What
  binning changes in the AP of all pairs is added back to every resample.

The intervals are percentiles of the resampled means.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from .patches import DIFFICULTIES
from .splits import Split
from .tasklists import Tasks
from .tasks import POOLS, VerificationDistances, imbalanced

_BINS = 4096
_SAMPLE = 65_536  # distances that quantiles are taken from

Means: TypeAlias = dict[str, float]  # by difficulty, and "mean"
Intervals: TypeAlias = dict[str, list[float]]
Resampled: TypeAlias = Float[np.ndarray, "b 3"]


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What to do: `resamples` draws with a seed, and intervals that hold `confidence` of them."""

    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def draw(self, sequences: int) -> Int[np.ndarray, "b s"]:
        """How often each sequence is drawn in each resample."""
        even = np.full(sequences, 1 / sequences)
        return np.random.default_rng(self.seed).multinomial(sequences, even, self.resamples)

    def interval(self, values: Float[np.ndarray, " b"]) -> list[float]:
        """The middle part of the resampled values."""
        tail = 50 * (1 - self.confidence)
        return np.nanpercentile(values, [tail, 100 - tail]).tolist()

    def intervals(self, values: Resampled) -> Intervals:
        """For each difficulty and for their mean."""
        by_level = {level: self.interval(values[:, i]) for i, level in enumerate(DIFFICULTIES)}
        return by_level | {"mean": self.interval(values.mean(axis=1))}


def matching_resamples(
    times: Int[np.ndarray, "b s"], split: Split, pairs: Mapping[str, Mapping[str, list[float]]]
) -> Resampled:
    """Matching mAP of each resample, by difficulty."""
    means = np.array([[np.mean(pairs[s][level]) for level in DIFFICULTIES] for s in split.test])
    return times @ means / len(split.test)


def retrieval_resamples(
    times: Int[np.ndarray, "b s"], tasks: Tasks, found: Float[np.ndarray, "3 7 q"]
) -> tuple[Resampled, Resampled]:
    """Retrieval mAP of each resample, by difficulty: mean over the pools, and the full pool."""
    sequence = tasks.retrieval.queries[:, 0]
    counts = np.bincount(sequence, minlength=len(tasks.split.test))
    with np.errstate(invalid="ignore"):
        mean, full = (
            times @ _sums(sequence, values, len(counts)) / (times @ counts)[:, None]
            for values in (found.mean(axis=1), found[:, POOLS.index(max(POOLS))])
        )
    return mean, full


def _sums(
    sequence: Int[np.ndarray, " q"], values: Float[np.ndarray, "3 q"], sequences: int
) -> Float[np.ndarray, "s 3"]:
    sums = [np.bincount(sequence, weights=row, minlength=sequences) for row in values]
    return np.stack(sums, axis=1)


def verification_resamples(
    times: Int[np.ndarray, "b s"],
    tasks: Tasks,
    far: VerificationDistances,
    scores: Mapping[str, Mapping[str, Mapping[str, float]]],
) -> Resampled:
    """Verification mAP (imbalanced, mean of inter and intra) of each resample, by difficulty."""
    lists, kept = tasks.verification, imbalanced(far.positives.shape[1])
    out = np.zeros((len(times), len(DIFFICULTIES)))
    for i, level in enumerate(DIFFICULTIES):
        edges = _edges(far.positives[i, :kept], far.inter[i], far.intra[i])
        hits = _histogram(lists.positives[:kept, 0], far.positives[i, :kept], edges, times.shape[1])
        for kind in ("inter", "intra"):
            anchors = getattr(lists, kind)[:, 0]
            misses = _histogram(anchors, getattr(far, kind)[i], edges, times.shape[1])
            exact = scores[level][kind]["imbalanced_ap"]
            everything = _binned_ap(hits.sum(0, keepdims=True), misses.sum(0, keepdims=True))
            out[:, i] += (_binned_ap(times @ hits, times @ misses) + exact - everything) / 2
    return out


def _edges(*distances: Float[np.ndarray, " _"]) -> Float[np.ndarray, " e"]:
    levels = np.linspace(0, 1, _BINS // len(distances) + 1)
    samples = (d[:: len(d) // _SAMPLE + 1] for d in distances)
    return np.unique(np.concatenate([np.quantile(sample, levels) for sample in samples]))


def _histogram(
    anchors: Int[np.ndarray, " n"],
    distances: Float[np.ndarray, " n"],
    edges: Float[np.ndarray, " e"],
    sequences: int,
) -> Float[np.ndarray, "s bins"]:
    place = anchors.astype(np.int64) * (len(edges) + 1) + np.searchsorted(edges, distances)
    counts = np.bincount(place, minlength=sequences * (len(edges) + 1))
    return counts.reshape(sequences, -1).astype(np.float64)


def _binned_ap(
    hits: Float[np.ndarray, "b bins"], misses: Float[np.ndarray, "b bins"]
) -> Float[np.ndarray, " b"]:
    """AP where only the numbers of positives and negatives in each range of distance are known.

    The negatives of a range are taken to come first, as those of a single distance do.
    """
    found, wrong = hits.cumsum(axis=1), misses.cumsum(axis=1)
    earlier = found - hits
    before = np.where(earlier + wrong > 0, earlier / np.maximum(earlier + wrong, 1), 1)
    after = found / np.maximum(found + wrong, 1)
    with np.errstate(invalid="ignore"):
        return (hits * (before + after)).sum(axis=1) / (2 * found[:, -1])
