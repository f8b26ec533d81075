import pytest
import torch
from small_nets import MADE, inputs, made
from torch import nn

from descompress import CDP, convert
from descompress.artifacts import save
from descompress.costs import cost
from descompress.errors import SpecError
from descompress.methods.cdp import MergedCDP
from descompress.rewriting import rewritten


def outputs(module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        found = module(x)
    return [found] if isinstance(found, torch.Tensor) else list(found)


@pytest.mark.parametrize("name", MADE)
def test_a_rewritten_network_computes_the_same(name):
    net = made(name)
    x = torch.from_numpy(inputs(net))
    for ours, theirs in zip(outputs(rewritten(net), x), outputs(net, x), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", MADE)
def test_nothing_is_left_of_batch_norm_dropout_and_concatenation(name):
    kinds = {type(module) for module in rewritten(made(name)).modules()}
    assert not kinds & {nn.BatchNorm2d, nn.Dropout}
    assert all(kind.__name__ != "CDPConv2d" for kind in kinds)


def test_the_network_itself_stays_what_it_was():
    net = made("cdp bn_relu")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    rewritten(net)
    assert net.spec.layers
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_merged_cdp_layer_saves_the_square_of_what_it_writes():
    # 3 x 3 from 12 to 10 channels, 4 of them dense, on maps of 5 x 7.
    layer = CDP(4).layer(nn.Conv2d(12, 10, 3, padding=1))
    per_place = {
        "before": 9 * 4 * 10 + 9 * 8 + (10 + 8) * 10,
        "after": 9 * 4 * 10 + 9 * 12 + 12 * 10,
    }
    merged = MergedCDP(layer)
    for module, macs in ((layer, per_place["before"]), (merged, per_place["after"])):
        assert cost(module, input_shape=(12, 5, 7)).macs == 35 * macs


def test_whole_windows_become_dense_layers():
    net = rewritten(made("strided"))
    dense = [module for module in net.modules() if isinstance(module, nn.Linear)]
    assert [(d.in_features, d.out_features) for d in dense] == [(4 * 4 * 3, 8)]


def test_a_rewritten_network_cannot_be_saved(tmp_path):
    with pytest.raises(SpecError, match="has no spec"):
        save(rewritten(made("l2net")), tmp_path / "x.safetensors")


def test_a_bias_behind_a_norm_is_kept():
    net = convert(made("desdis"), {"5": CDP(2)})
    x = torch.from_numpy(inputs(net))
    nn.init.uniform_(net.conv("desc.1.pointwise").bias, -1, 1)  # pyright: ignore
    torch.testing.assert_close(rewritten(net)(x), net(x), atol=1e-5, rtol=1e-4)
