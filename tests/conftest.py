from pathlib import Path

import pytest
import torch
from hypothesis import settings

settings.register_profile("descompress", deadline=None, derandomize=True)
settings.load_profile("descompress")
torch.set_num_threads(1)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of evaluation data and peers' weights beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs the data folder ../shared, which is not here")
    return SHARED
