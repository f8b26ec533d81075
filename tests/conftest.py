from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import settings

settings.register_profile("descompress", deadline=None, derandomize=True)
settings.load_profile("descompress")
torch.set_num_threads(1)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def discs() -> Callable[[int, tuple[int, int], int, int], np.ndarray]:
    """Pictures with points to detect: (seed, shape, discs, largest radius) -> grey image."""

    def draw(seed: int, shape: tuple[int, int], count: int, largest: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        image = np.full(shape, 128, np.uint8)
        for _ in range(count):
            centre = [int(v) for v in rng.uniform(0, max(shape), 2)]
            cv2.circle(image, centre, int(rng.integers(2, largest)), int(rng.integers(0, 256)), -1)
        return image

    return draw


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of evaluation data and peers' weights beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs the data folder ../shared, which is not here")
    return SHARED
