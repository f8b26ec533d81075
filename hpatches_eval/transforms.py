"""The PCA/power-law variant of a descriptor that the benchmark also reports.

Source: V. Balntas et al., "HPatches", CVPR 2017, sec. 7 (after R. Arandjelovic and A. Zisserman),
as `compute_pcapl` of hpatches/hpatches-benchmark, commit e0c993c, does it.
"""

import numpy as np
from jaxtyping import Float, Shaped

from .descriptors import Descriptors
from .errors import DataError, RequestError
from .patches import TYPES

_CLIPPED = 0.6  # share of the eigenvalues that are raised to the next one


def pca_power_law(descriptors: Descriptors, train: Shaped[np.ndarray, "n d"]) -> Descriptors:
    """Whiten, take signed square roots, and normalise; strip by strip, in float64.

    Args:
        train: Descriptors to learn from, the ref ones of a split's train sequences.

    Raises:
        RequestError: The descriptors are packed bits.
        DataError: `train` varies in too few directions.
    """
    if descriptors.packed:
        raise RequestError(
            f"{descriptors.name}: no PCA/power-law variant of packed binary descriptors"
        )
    weights = _whitening(train)
    rows = np.empty(descriptors.rows.shape, np.float64)
    for sequence, count in descriptors.counts.items():
        begin = descriptors.start(sequence)
        for at in range(begin, begin + len(TYPES) * count, count):
            rows[at : at + count] = _transformed(descriptors.rows[at : at + count], weights)
    return Descriptors(f"{descriptors.name} +PCA/PL", descriptors.counts, rows)


def _whitening(train: Shaped[np.ndarray, "n d"]) -> Float[np.ndarray, "d d"]:
    centred = train - train.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    floor = values[int(_CLIPPED * len(values))]
    if floor <= 0:
        raise DataError(
            f"the {len(train)} descriptors to learn PCA from vary in too few directions"
        )
    return vectors / np.sqrt(np.maximum(values, floor)) @ vectors.T


def _transformed(
    strip: Float[np.ndarray, "n d"], weights: Float[np.ndarray, "d d"]
) -> Float[np.ndarray, "n d"]:
    white = (strip - strip.mean(axis=0)) @ weights
    rooted = np.sign(white) * np.sqrt(np.abs(white))
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(rooted / np.linalg.norm(rooted, axis=1, keepdims=True))
