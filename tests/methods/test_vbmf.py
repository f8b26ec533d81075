import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from descompress.methods.vbmf import _threshold, vbmf_rank


def planted(rows: int, columns: int, rank: int, noise: float, seed: int) -> torch.Tensor:
    """A matrix of that rank whose singular values are 2 to 3 times those of its noise."""
    draw = torch.Generator().manual_seed(seed)
    left = torch.linalg.qr(torch.randn(rows, rank, generator=draw))[0]
    right = torch.linalg.qr(torch.randn(columns, rank, generator=draw))[0]
    largest = noise * (rows**0.5 + columns**0.5)  # of the noise alone, in the limit
    strength = largest * (2 + torch.rand(rank, generator=draw))
    signal = (left * strength) @ right.T
    return signal + noise * torch.randn(rows, columns, generator=draw)


@settings(max_examples=50)
@given(
    rows=st.integers(40, 120),
    columns=st.integers(40, 400),
    rank=st.integers(1, 12),
    noise=st.sampled_from([1e-4, 1.0, 1e3]),
    seed=st.integers(0, 999),
)
def test_planted_ranks_are_found_under_noise(rows, columns, rank, noise, seed):
    matrix = planted(rows, columns, rank, noise, seed)
    assert vbmf_rank(matrix) == rank
    assert vbmf_rank(matrix.T) == rank


@given(seed=st.integers(0, 999))
def test_noise_alone_has_no_rank_but_a_layer_needs_one(seed):
    draw = torch.Generator().manual_seed(seed)
    assert vbmf_rank(torch.randn(64, 288, generator=draw)) == 1


@pytest.mark.parametrize("rank", [1, 5, 20])
def test_without_noise_the_rank_is_the_rank(rank):
    torch.manual_seed(0)
    assert vbmf_rank(torch.randn(32, rank) @ torch.randn(rank, 96)) == rank


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3)])
def test_small_and_empty_matrices_have_rank_1(shape):
    assert vbmf_rank(torch.zeros(shape)) == 1
    assert vbmf_rank(torch.ones(shape)) == 1


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.5, 1.0])
def test_the_threshold_is_near_its_published_approximation(alpha):
    # Nakajima et al.: tau is about 2.5129 sqrt(alpha), and the threshold follows from it.
    tau = 2.5129 * np.sqrt(alpha)
    assert _threshold(alpha) == pytest.approx((1 + tau) * (1 + alpha / tau), rel=0.03)
