"""All three tasks of one descriptor, as one dictionary of plain numbers."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from .descriptors import Descriptors
from .distances import Distance, find_distance
from .intervals import (
    Bootstrap,
    Means,
    matching_resamples,
    retrieval_resamples,
    verification_resamples,
)
from .patches import DIFFICULTIES
from .progress import Progress, silent
from .tasklists import Tasks
from .tasks import (
    POOLS,
    VerificationDistances,
    matching,
    retrieval,
    verification_distances,
    verification_scores,
)

_PACKAGES = ("descompress", "numpy", "scipy")


def evaluate(
    descriptors: Descriptors,
    tasks: Tasks,
    *,
    distance: str | None = None,
    bootstrap: Bootstrap | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Verification, matching and retrieval of a split, as fractions, ready for JSON.

    `summary` holds the numbers that papers print, by difficulty and their mean: verification is
    the mean of imbalanced AP over inter and intra; retrieval is given in both its meanings, mean
    over the seven pools and full pool. `intervals` says how sure they are (see `intervals`).

    Args:
        distance: L2, L1 or Hamming; without one, Hamming for packed bits and L2 else.
        bootstrap: How intervals are made; 95 % of 1000 resamples if not given.

    Raises:
        RequestError: The distance does not fit the descriptors.
        DataError: A sequence of the split is missing.
    """
    name, metric = find_distance(distance, packed=descriptors.packed)
    measured = _measure(descriptors, tasks, metric, progress)
    begin = time.perf_counter()
    intervals = _intervals(measured, tasks, bootstrap or Bootstrap())
    measured.seconds["intervals"] = time.perf_counter() - begin
    return {
        "name": descriptors.name,
        **measured.scores,
        "summary": summarise(measured.scores),
        "intervals": intervals,
        "distance": name,
        "dim": descriptors.dim,
        "split": tasks.split.name,
        "counts": _counts(descriptors, tasks),
        "tasks": dict(tasks.source),
        "sha256": {"descriptors": _sha256(descriptors.rows), "tasks": _digest(tasks)},
        "versions": {package: _version(package) for package in _PACKAGES},
        "seconds": {stage: round(value, 2) for stage, value in measured.seconds.items()},
    }


@dataclass(frozen=True, slots=True)
class _Measured:
    """Scores, and the distances and APs they are means of."""

    far: VerificationDistances
    found: Float[np.ndarray, "3 7 q"]
    scores: dict[str, Any]
    seconds: dict[str, float]


def _measure(
    descriptors: Descriptors, tasks: Tasks, metric: Distance, progress: Progress
) -> _Measured:
    split, seconds = tasks.split, {}
    with _timed(seconds, "verification"):
        far = verification_distances(descriptors, split, tasks.verification, metric, progress)
        verified = verification_scores(far)
    with _timed(seconds, "matching"):
        pairs = matching(descriptors, split, metric, progress)
    with _timed(seconds, "retrieval"):
        found = retrieval(descriptors, split, tasks.retrieval, metric, progress)
    scores = {
        "verification": verified,
        "matching": {d: float(np.mean([pairs[s][d] for s in split.test])) for d in DIFFICULTIES},
        "matching_per_pair": pairs,
        "retrieval": _by_pool(found),
    }
    return _Measured(far, found, scores, seconds)


def _intervals(measured: _Measured, tasks: Tasks, bootstrap: Bootstrap) -> dict[str, Any]:
    times, scores = bootstrap.draw(len(tasks.split.test)), measured.scores
    mean, full = retrieval_resamples(times, tasks, measured.found)
    resampled = {
        "verification": verification_resamples(times, tasks, measured.far, scores["verification"]),
        "matching": matching_resamples(times, tasks.split, scores["matching_per_pair"]),
        "retrieval_mean_of_pools": mean,
        "retrieval_full_pool": full,
    }
    intervals = {task: bootstrap.intervals(values) for task, values in resampled.items()}
    return intervals | asdict(bootstrap)


def summarise(scores: Mapping[str, Any]) -> dict[str, Means]:
    """The printed numbers out of `verification`, `matching` and `retrieval`."""
    verified, retrieved = scores["verification"], scores["retrieval"]
    full = str(max(POOLS))
    return {
        "verification": _with_mean(
            {
                level: float(np.mean([kind["imbalanced_ap"] for kind in verified[level].values()]))
                for level in DIFFICULTIES
            }
        ),
        "matching": _with_mean(scores["matching"]),
        "retrieval_mean_of_pools": _with_mean(
            {level: float(np.mean(list(retrieved[level].values()))) for level in DIFFICULTIES}
        ),
        "retrieval_full_pool": _with_mean(
            {level: retrieved[level][full] for level in DIFFICULTIES}
        ),
    }


def _with_mean(values: Mapping[str, float]) -> Means:
    return dict(values) | {"mean": float(np.mean(list(values.values())))}


def _by_pool(found: Float[np.ndarray, "3 7 q"]) -> dict[str, dict[str, float]]:
    return {
        level: {str(k): float(found[i, j].mean()) for j, k in enumerate(POOLS)}
        for i, level in enumerate(DIFFICULTIES)
    }


def _counts(descriptors: Descriptors, tasks: Tasks) -> dict[str, int]:
    return {
        "sequences": len(tasks.split.test),
        "patches": sum(descriptors.count(name) for name in tasks.split.test),
        "pairs": len(tasks.verification.positives),
        "queries": len(tasks.retrieval.queries),
        "distractors": len(tasks.retrieval.distractors),
    }


def _digest(tasks: Tasks) -> str:
    v, r = tasks.verification, tasks.retrieval
    return _sha256(v.positives, v.inter, v.intra, r.queries, r.distractors)


def _sha256(*arrays: Shaped[np.ndarray, "..."]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - begin
