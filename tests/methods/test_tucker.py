import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from descompress.errors import SpecError
from descompress.methods import Tucker


def kernel(method: Tucker, conv: nn.Conv2d) -> torch.Tensor:
    """The dense weights that a Tucker layer amounts to."""
    layer = method.layer(conv).project_(conv)
    core = torch.einsum("or,rskl->oskl", layer.expand.weight[:, :, 0, 0], layer.core.weight)
    return torch.einsum("oskl,sc->ockl", core, layer.squeeze.weight[:, :, 0, 0])


def error(method: Tucker, conv: nn.Conv2d) -> torch.Tensor:
    return (kernel(method, conv) - conv.weight).norm()


def smooth_conv(c: int, n: int, seed: int) -> nn.Conv2d:
    """A convolution whose channels resemble each other, as those of trained networks do."""
    torch.manual_seed(seed)
    conv = nn.Conv2d(c, n, 3, padding=1)
    with torch.no_grad():
        decay = 0.6 ** torch.arange(max(c, n))
        mixed = torch.einsum("rskl,r,s->rskl", torch.randn(n, c, 3, 3), decay[:n], decay[:c])
        out, into = torch.linalg.qr(torch.randn(n, n))[0], torch.linalg.qr(torch.randn(c, c))[0]
        conv.weight.copy_(torch.einsum("rskl,nr,cs->nckl", mixed, out, into))
    return conv


@given(c=st.integers(1, 8), n=st.integers(1, 8), stride=st.sampled_from([1, 2]))
def test_full_rank_is_exact(c, n, stride):
    conv = nn.Conv2d(c, n, 3, stride, padding=1)
    x = torch.rand(2, c, 7, 7)
    torch.testing.assert_close(
        Tucker(c, n).layer(conv).project_(conv)(x), conv(x), atol=1e-5, rtol=1e-5
    )


@given(r1=st.integers(1, 4), r2=st.integers(1, 4))
def test_a_convolution_of_these_ranks_is_imitated_exactly(r1, r2):
    conv = nn.Conv2d(6, 8, 3)
    with torch.no_grad():
        core = torch.randn(r2, r1, 3, 3)
        conv.weight.copy_(
            torch.einsum("rskl,nr,cs->nckl", core, torch.randn(8, r2), torch.randn(6, r1))
        )
    torch.testing.assert_close(
        kernel(Tucker(r1, r2), conv), conv.weight.detach(), atol=1e-4, rtol=1e-4
    )


@settings(max_examples=40)
@given(rank=st.integers(1, 7), after=st.integers(1, 7), seed=st.integers(0, 99))
def test_higher_ranks_never_imitate_worse(rank, after, seed):
    conv = smooth_conv(8, 8, seed)
    before = error(Tucker(rank, after), conv)
    assert error(Tucker(rank + 1, after), conv) <= before * 1.001 + 1e-5
    assert error(Tucker(rank, after + 1), conv) <= before * 1.001 + 1e-5


@given(rank=st.integers(1, 8), after=st.integers(1, 6), seed=st.integers(0, 99))
def test_the_error_is_within_the_bounds_of_the_truncated_singular_values(rank, after, seed):
    # De Lathauwer et al. 2000: at least what either unfolding loses, at most both together.
    conv = smooth_conv(8, 6, seed)
    weight = conv.weight.detach()
    into = torch.linalg.svdvals(weight.transpose(0, 1).flatten(1))[rank:].square().sum()
    out = torch.linalg.svdvals(weight.flatten(1))[after:].square().sum()
    found = error(Tucker(rank, after), conv).square()
    assert max(into, out) * 0.999 - 1e-6 <= found <= (into + out) * 1.001 + 1e-6


@pytest.mark.parametrize(
    ("method", "ranks"),
    [
        (Tucker(0.375), (12, 24)),
        (Tucker(0.375, 0.5), (12, 32)),
        (Tucker(1.0), (32, 64)),
        (Tucker(1), (1, 1)),
        (Tucker(0.001), (1, 1)),
        (Tucker(20), (20, 20)),
        (Tucker(20, 0.25), (20, 16)),
    ],
)
def test_ranks_are_numbers_or_shares_of_the_channels(method, ranks):
    assert method.resolve(nn.Conv2d(32, 64, 3)) == Tucker(*ranks)


def test_vbmf_finds_the_ranks_of_both_unfoldings():
    torch.manual_seed(0)
    conv = nn.Conv2d(48, 64, 3)
    with torch.no_grad():
        core = torch.randn(9, 5, 3, 3)
        planted = torch.einsum("rskl,nr,cs->nckl", core, torch.randn(64, 9), torch.randn(48, 5))
        conv.weight.copy_(planted + 0.5 * torch.randn_like(planted))
    assert Tucker("vbmf").resolve(conv) == Tucker(5, 9)


def test_params_are_those_of_three_convolutions():
    layer = Tucker(5, 7).layer(nn.Conv2d(32, 64, 3))
    expected = 32 * 5 + 5 * 7 * 9 + 7 * 64 + 64
    assert sum(p.numel() for p in layer.parameters()) == expected


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Tucker(33), r"rank must be 1\.\.32, or a share such as 0\.375, not 33"),
        (Tucker(8, 65), r"rank_out must be 1\.\.64, or a share such as 0\.375, not 65"),
        (Tucker(0), "rank must be"),
        (Tucker(1.5), "rank must be"),
        (Tucker("best"), "rank must be .* not 'best'"),
    ],
)
def test_a_rank_that_does_not_fit_says_what_would(method, message):
    with pytest.raises(SpecError, match=message):
        method.resolve(nn.Conv2d(32, 64, 3))
