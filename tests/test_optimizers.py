import pytest
import torch
from torch import nn

from descompress.methods import CDP
from descompress.optimizers import Muon, muon, orthogonal


def matrix(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16), (1, 9)])
def test_singular_values_become_alike_and_singular_vectors_stay(shape):
    m = matrix(*shape)
    u, s, vt = torch.linalg.svd(m, full_matrices=False)
    assert shape[0] == 1 or s.max() / s.min() > 1.5  # as given
    inner = u.T @ orthogonal(m) @ vt.T
    found = inner.diagonal()
    assert found.min() > 0.65
    assert found.max() < 1.25
    torch.testing.assert_close(inner, found.diag(), atol=1e-4, rtol=0)


def test_nothing_stays_nothing():
    assert orthogonal(torch.zeros(4, 6)).equal(torch.zeros(4, 6))


def stepped(kind, weight: torch.Tensor, gradients: list[torch.Tensor], **how) -> torch.Tensor:
    parameter = nn.Parameter(weight.clone())
    optimizer = kind([parameter], **how)
    for gradient in gradients:
        parameter.grad = gradient
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("shape", [(6, 30), (30, 6)])
def test_steps_are_those_of_torch(shape):
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this version of PyTorch has no Muon")
    weight, gradients = matrix(*shape), [matrix(*shape) * k for k in (1.0, -0.3, 2.0)]
    how = {"lr": 0.1, "weight_decay": 0.5}
    theirs = stepped(
        torch.optim.Muon, weight, gradients, adjust_lr_fn="match_rms_adamw", momentum=0.95, **how
    )
    ours = stepped(Muon, weight, gradients, **how)
    moved = (theirs - weight).abs().mean()
    assert (ours - theirs).abs().mean() < 0.02 * moved  # theirs is computed in bfloat16


def test_a_kernel_is_a_matrix_with_a_row_for_each_output():
    gradient = matrix(5, 4, 3, 3)
    how = {"lr": 0.1, "weight_decay": 0.0}
    kernel = stepped(Muon, torch.zeros(5, 4, 3, 3), [gradient], **how)
    rows = stepped(Muon, torch.zeros(5, 36), [gradient.flatten(1)], **how)
    assert kernel.flatten(1).equal(rows)


def test_steps_are_as_large_as_those_of_adamw_whatever_the_gradient():
    how = {"lr": 1.0, "weight_decay": 0.0}
    for shape, scale in (((64, 64), 1e-6), ((16, 400), 1.0), ((400, 16), 1e3)):
        step = stepped(Muon, torch.zeros(shape), [matrix(*shape) * scale], **how)
        assert step.square().mean().sqrt() == pytest.approx(0.2, rel=0.25)


def test_decay_is_decoupled_from_the_gradient():
    weight = matrix(3, 4)
    still = stepped(Muon, weight, [torch.zeros(3, 4)], lr=0.1, weight_decay=0.5)
    torch.testing.assert_close(still, weight * 0.95)


def test_a_weight_without_a_gradient_stays():
    parameter = nn.Parameter(matrix(3, 4))
    before = parameter.detach().clone()
    Muon([parameter], lr=0.1, weight_decay=0.5).step()
    assert parameter.equal(before)


def test_what_mixes_channels_is_orthogonalised_and_the_rest_is_left_to_adamw():
    layer = CDP(5).layer(nn.Conv2d(16, 8, 3))
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), layer, nn.Flatten(), nn.Linear(8, 4)
    )
    first, norm, last = net[0], net[1], net[4]
    matrices, others = muon(net, list(net.parameters()), lr=0.1, weight_decay=0.0)
    assert isinstance(matrices, Muon)
    assert isinstance(others, torch.optim.AdamW)
    mixing = [layer.dense.weight, layer.pointwise.weight, last.weight]
    rest = [first.weight, first.bias, norm.weight, norm.bias, layer.depthwise.weight]
    assert ids(matrices) == {id(weight) for weight in mixing}
    assert ids(others) == {id(weight) for weight in [*rest, layer.pointwise.bias, last.bias]}


def test_frozen_weights_are_left_alone():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    (own,) = muon(net, [net[0].weight], lr=0.1, weight_decay=0.0)
    assert ids(own) == {id(net[0].weight)}


def ids(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(weight) for group in optimizer.param_groups for weight in group["params"]}
