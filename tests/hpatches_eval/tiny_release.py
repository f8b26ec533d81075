"""A release small enough for tests, and descriptors of it."""

from pathlib import Path

import cv2
import numpy as np

from hpatches_eval.descriptors import Descriptors

COUNTS = {"i_sky": 7, "v_sea": 5, "v_tree": 6}


def write_strip(path: Path, patches: np.ndarray) -> None:
    """A strip of patches as the release stores them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), patches.reshape(-1, patches.shape[-1]))


def random_descriptors(counts: dict[str, int], dim: int, seed: int = 0, noise: float = 0.5):
    """Real-valued descriptors whose types are noisy views of ref."""
    rng = np.random.default_rng(seed)
    strips = []
    for count in counts.values():
        ref = rng.standard_normal((count, dim))
        strips += [ref + noise * (k > 0) * rng.standard_normal((count, dim)) for k in range(16)]
    return Descriptors("random", dict(counts), np.concatenate(strips).astype(np.float32))
