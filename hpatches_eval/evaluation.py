"""All three tasks of one descriptor, as one dictionary of plain numbers."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from .descriptors import Descriptors
from .distances import find_distance
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
from .tasks import POOLS, matching, retrieval, verification_distances, verification_scores


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
    bootstrap, split = bootstrap or Bootstrap(), tasks.split
    seconds: dict[str, float] = {}
    with _timed(seconds, "verification"):
        far = verification_distances(descriptors, split, tasks.verification, metric, progress)
        verified = verification_scores(far)
    with _timed(seconds, "matching"):
        pairs = matching(descriptors, split, metric, progress)
    with _timed(seconds, "retrieval"):
        found = retrieval(descriptors, split, tasks.retrieval, metric, progress)
    with _timed(seconds, "intervals"):
        times = bootstrap.draw(len(split.test))
        mean, full = retrieval_resamples(times, tasks, found)
        resampled = {
            "verification": verification_resamples(times, tasks, far, verified),
            "matching": matching_resamples(times, split, pairs),
            "retrieval_mean_of_pools": mean,
            "retrieval_full_pool": full,
        }
        intervals = {task: bootstrap.intervals(values) for task, values in resampled.items()}
    scores = {
        "verification": verified,
        "matching": {d: float(np.mean([pairs[s][d] for s in split.test])) for d in DIFFICULTIES},
        "matching_per_pair": pairs,
        "retrieval": _by_pool(found),
    }
    return {
        "name": descriptors.name,
        **scores,
        "summary": summarise(scores),
        "intervals": intervals | _settings(bootstrap),
        "distance": name,
        "dim": descriptors.dim,
        "split": split.name,
        "counts": _counts(descriptors, tasks),
        "tasks": dict(tasks.source),
        "sha256": {"descriptors": _digest(descriptors), "tasks": _digest_of_lists(tasks)},
        "versions": _versions(),
        "seconds": {stage: round(value, 2) for stage, value in seconds.items()},
    }


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


def _settings(bootstrap: Bootstrap) -> dict[str, float]:
    return {
        "confidence": bootstrap.confidence,
        "resamples": bootstrap.resamples,
        "seed": bootstrap.seed,
    }


def _counts(descriptors: Descriptors, tasks: Tasks) -> dict[str, int]:
    return {
        "sequences": len(tasks.split.test),
        "patches": sum(descriptors.count(name) for name in tasks.split.test),
        "pairs": len(tasks.verification.positives),
        "queries": len(tasks.retrieval.queries),
        "distractors": len(tasks.retrieval.distractors),
    }


def _digest(descriptors: Descriptors) -> str:
    return _sha256(descriptors.rows)


def _digest_of_lists(tasks: Tasks) -> str:
    v, r = tasks.verification, tasks.retrieval
    return _sha256(v.positives, v.inter, v.intra, r.queries, r.distractors)


def _sha256(*arrays: Shaped[np.ndarray, "..."]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    return {name: _version(name) for name in ("descompress", "numpy", "scipy")}


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
