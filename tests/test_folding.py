import pytest
import torch
from calls import run
from torch import nn

import descompress
from descompress.errors import RequestError
from descompress.folding import folded
from descompress.nets import Net, build
from descompress.spec import Spec

ARGS = {"widths": [4, 5, 6, 7, 8, 9, 8, 7, 6, 5], "dim": 8, "batch_norm": True, "stride": 2}


def used(recipe: str = "") -> Net:
    """A network whose norms have seen something."""
    torch.manual_seed(0)
    net = build(Spec("superpoint", ARGS))
    net = descompress.convert(net, recipe) if recipe else net
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias)
    for _ in range(3):
        net(torch.rand(4, 1, 32, 40))
    return net.eval()


@pytest.mark.parametrize("recipe", ["", "cdp2", "depthwise", "tucker", "cdp:alpha=2,inner=bn_relu"])
def test_outputs_stay_and_norms_go(recipe):
    net, x = used(recipe), torch.rand(2, 1, 32, 40)
    plain = folded(net)
    assert not [name for name, _ in plain.named_children() if name.startswith("norm")]
    assert not plain.training
    for before, after in zip(net(x), plain(x), strict=True):
        torch.testing.assert_close(after, before, atol=2e-5, rtol=1e-4)


def test_what_comes_out_has_the_published_names():
    assert folded(used()).state_dict().keys() == build("superpoint").state_dict().keys()


def test_without_norms_nothing_changes():
    net = build(Spec("superpoint", {**ARGS, "batch_norm": False})).eval()
    assert all(torch.equal(v, folded(net).state_dict()[k]) for k, v in net.state_dict().items())


def test_networks_without_biases_are_refused():
    with pytest.raises(RequestError, match="l2net: its convolutions have no biases"):
        folded(build("l2net"))


def test_convert_folds(tmp_path):
    descompress.save(used(), tmp_path / "net.safetensors")
    out = tmp_path / "plain.safetensors"
    status, said = run("convert", tmp_path / "net.safetensors", out, "--fold")
    assert status == 0, said
    assert descompress.load(out).spec.args["batch_norm"] is False
    assert "norm1a.weight" not in descompress.load(out).state_dict()
