import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from descompress.errors import SpecError
from descompress.methods import TDW, Depthwise


def output_on_weights(method, conv: nn.Conv2d) -> torch.Tensor:
    x = torch.eye(conv.in_channels * 9).reshape(-1, conv.in_channels, 3, 3)
    return method.layer(conv).project_(conv)(x) - conv(x)


def error(method, conv: nn.Conv2d) -> torch.Tensor:
    return output_on_weights(method, conv).norm()


@given(c=st.integers(1, 6), n=st.integers(1, 8), multiplier=st.integers(1, 3))
def test_at_full_rank_it_is_a_depthwise_separable_layer(c, n, multiplier):
    conv = nn.Conv2d(c, n, 3)
    full = TDW(min(c * multiplier, n), multiplier)
    torch.testing.assert_close(
        error(full, conv), error(Depthwise(multiplier), conv), atol=1e-4, rtol=1e-3
    )


@settings(max_examples=40)
@given(rank=st.integers(1, 7), multiplier=st.integers(1, 3))
def test_more_capacity_never_imitates_worse(rank, multiplier):
    conv = nn.Conv2d(8, 8, 3)
    before = error(TDW(rank, multiplier), conv)
    assert error(TDW(rank + 1, multiplier), conv) <= before * 1.001
    assert error(TDW(rank, multiplier + 1), conv) <= before * 1.001


@given(rank=st.integers(1, 2))
def test_it_imitates_better_than_a_depthwise_layer_cut_off(rank):
    conv = nn.Conv2d(6, 8, 3)
    separable = Depthwise(1).layer(conv).project_(conv)
    matrix = separable.pointwise.weight[:, :, 0, 0].detach()
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    with torch.no_grad():
        separable.pointwise.weight[:, :, 0, 0] = (u[:, :rank] * s[:rank]) @ vt[:rank]
    x = torch.eye(6 * 9).reshape(-1, 6, 3, 3)
    cut_off = (separable(x) - conv(x)).norm()
    assert error(TDW(rank, 1), conv) < 0.995 * cut_off


@given(rank=st.integers(1, 3))
def test_a_convolution_of_that_form_is_imitated_exactly(rank):
    conv = nn.Conv2d(6, 8, 3)
    with torch.no_grad():
        matrix = torch.randn(8, rank) @ torch.randn(rank, 6)
        conv.weight.copy_(matrix[:, :, None, None] * torch.randn(1, 6, 3, 3))
    assert error(TDW(rank, 1), conv) < 1e-4 * conv.weight.norm()


def test_params_are_those_of_three_convolutions():
    layer = TDW(5).resolve(nn.Conv2d(16, 32, 3)).layer(nn.Conv2d(16, 32, 3))
    assert sum(p.numel() for p in layer.parameters()) == 9 * 32 + 32 * 5 + 5 * 32 + 32


@pytest.mark.parametrize(
    ("method", "resolved"),
    [(TDW(0.25), TDW(8, 2)), (TDW(4), TDW(4, 2)), (TDW(1.0, 1), TDW(16, 1))],
)
def test_shares_are_of_the_largest_useful_rank(method, resolved):
    assert method.resolve(nn.Conv2d(16, 32, 3)) == resolved


def test_vbmf_finds_the_rank_of_the_pointwise_weights():
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 64, 3)
    with torch.no_grad():
        matrix = torch.randn(64, 6) @ torch.randn(6, 64) + 0.4 * torch.randn(64, 64)
        conv.weight.copy_(matrix[:, :, None, None] * torch.rand(1, 64, 3, 3))
    assert TDW("vbmf").resolve(conv) == TDW(6, 1)


@pytest.mark.parametrize("rank", [0, 17, 1.5, "best"])
def test_a_rank_that_does_not_fit_says_what_would(rank):
    with pytest.raises(SpecError, match=r"rank must be 1\.\.16, or a share such as 0\.375"):
        TDW(rank).resolve(nn.Conv2d(16, 16, 3))
