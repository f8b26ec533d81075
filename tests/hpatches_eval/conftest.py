from pathlib import Path

import numpy as np
import pytest
from tiny_release import COUNTS, write_strip

from hpatches_eval.patches import PATCH, TYPES, PatchRelease


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A release of three tiny sequences of random grey patches."""
    rng = np.random.default_rng(0)
    root = tmp_path / "release"
    for sequence, count in COUNTS.items():
        for kind in TYPES:
            patches = rng.integers(0, 256, (count, PATCH, PATCH), np.uint8)
            write_strip(root / sequence / f"{kind}.png", patches)
    return root


@pytest.fixture
def release(folder: Path) -> PatchRelease:
    return PatchRelease(folder)
