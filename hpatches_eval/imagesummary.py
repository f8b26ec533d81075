"""Means over pairs of images: of all, and by what changes, illumination or viewpoint."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from .imagemetrics import HEADLINE, THRESHOLDS, error_auc, homography_correctness
from .intervals import Bootstrap

Pair: TypeAlias = Mapping[str, Any]  # as `imageevaluation` makes them

_SHARES = ("repeatability", "symmetric_repeatability", "nn_map", "matching_score")
GROUPS = {"overall": "", "illumination": "i_", "viewpoint": "v_"}  # how sequences begin


def summarise(pairs: Sequence[Pair]) -> dict[str, dict[str, Any]]:
    """Means of the groups that have pairs.

    A pair where nothing repeats has no localisation error and is left out of that mean only. The
    curves `mma` and `homography` are at 1..10 px; `auc` is by threshold.
    """
    grouped = {
        name: [pair for pair in pairs if pair["sequence"].startswith(start)]
        for name, start in GROUPS.items()
    }
    return {name: _means(group) for name, group in grouped.items() if group}


def _means(pairs: Sequence[Pair]) -> dict[str, Any]:
    errors, outer = (_errors(pairs, key) for key in ("corner_errors", "outer_corner_errors"))
    located = [pair["localisation_error"] for pair in pairs]
    located = [error for error in located if error is not None]
    return {
        "pairs": len(pairs),
        **{key: _mean(pairs, key) for key in _SHARES},
        "localisation_error": float(np.mean(located)) if located else None,
        "mma": np.mean([pair["accuracy"] for pair in pairs], axis=0).tolist(),
        "homography": homography_correctness(errors),
        "auc": dict(zip(map(str, HEADLINE), error_auc(outer), strict=True)),
        "keypoints": float(np.mean([pair["keypoints"] for pair in pairs])),
        **{key: _mean(pairs, key) for key in ("matches", "inliers")},
    }


def intervals(pairs: Sequence[Pair], bootstrap: Bootstrap) -> dict[str, list[float]]:
    """How far the overall numbers would move with other sequences; curves at 3 px."""
    names = list(dict.fromkeys(pair["sequence"] for pair in pairs))
    place = [names.index(pair["sequence"]) for pair in pairs]
    times = bootstrap.draw(len(names))
    counts = times @ np.bincount(place)
    at = THRESHOLDS.index(3)
    values = {
        "repeatability": [pair["repeatability"] for pair in pairs],
        "mma_3": [pair["accuracy"][at] for pair in pairs],
        "homography_3": (_errors(pairs, "corner_errors") < 3).reshape(len(pairs), -1).mean(1),
        "nn_map": [pair["nn_map"] for pair in pairs],
        "matching_score": [pair["matching_score"] for pair in pairs],
    }
    return {
        key: bootstrap.interval(times @ np.bincount(place, weights=value) / counts)
        for key, value in values.items()
    }


def _mean(pairs: Sequence[Pair], key: str) -> float:
    return float(np.mean([pair[key] for pair in pairs]))


def _errors(pairs: Sequence[Pair], key: str) -> Float[np.ndarray, " p"]:
    """Of all pairs, and of all estimates of a pair."""
    errors = [error for pair in pairs for error in pair[key]]
    return np.array([np.inf if error is None else error for error in errors])
