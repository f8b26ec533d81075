"""Descriptors to try objectives on."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from descompress.objectives import Seen


def unit(*rows: tuple[float, ...]) -> Tensor:
    """The rows at length 1, in float64."""
    return normalize(torch.tensor(rows, dtype=torch.float64), dim=1)


def at(*degrees: float) -> Tensor:
    """Unit vectors of the plane, so that distances and similarities follow from the angles."""
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def scattered(seed: int, count: int = 7, dim: int = 5) -> Tensor:
    """Random unit vectors, in float64."""
    rng = np.random.default_rng(seed)
    return normalize(torch.from_numpy(rng.normal(size=(count, dim))), dim=1)


def near(rows: Tensor, seed: int, spread: float = 0.3) -> Tensor:
    """Unit vectors close to `rows`."""
    return normalize(rows + spread * scattered(seed, *rows.shape), dim=1)


def turned(rows: Tensor, seed: int = 0) -> Tensor:
    """The rows in a space that was rotated (and perhaps mirrored)."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(rows.shape[1], rows.shape[1])))
    return rows @ torch.from_numpy(rotation).to(rows)


def batch(seed: int = 0, count: int = 7, dim: int = 5) -> Seen:
    """Pairs that look like a training's, and a teacher that knows a bit more."""
    anchors = scattered(seed, count, dim)
    positives = near(anchors, seed + 1)
    teacher = near(anchors, seed + 2), near(positives, seed + 3)
    return Seen(anchors, positives, teacher)
