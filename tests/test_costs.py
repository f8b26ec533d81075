import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from descompress.converter import convert
from descompress.costs import cost
from descompress.errors import InputError
from descompress.methods import CDP
from descompress.nets import build
from descompress.spec import Spec


def test_hardnet():
    # By hand, one line per convolution: k*k*c*n weights, each used on h*w positions.
    weights = [288, 9216, 18432, 36864, 73728, 147456, 1048576]
    positions = [32 * 32, 32 * 32, 16 * 16, 16 * 16, 8 * 8, 8 * 8, 1]
    found = cost(build("l2net"))
    assert (found.params, found.macs) == (1_334_560, 39_092_224)
    assert [layer.params for layer in found.layers] == weights
    assert [layer.macs for layer in found.layers] == [
        w * p for w, p in zip(weights, positions, strict=True)
    ]
    statistics = 2 * (32 + 32 + 64 + 64 + 128 + 128 + 128)
    assert found.bytes == 4 * (sum(weights) + statistics) + 7 * 8  # and a counter each


@pytest.mark.parametrize(("size", "published"), [((240, 320), 6.51), ((480, 640), 26.05)])
def test_superpoint(size, published):
    # By hand: c -> n channels, k x k, at the image's size divided by d.
    layers = [
        (1, 64, 3, 1), (64, 64, 3, 1), (64, 64, 3, 2), (64, 64, 3, 2),
        (64, 128, 3, 4), (128, 128, 3, 4), (128, 128, 3, 8), (128, 128, 3, 8),
        (128, 256, 3, 8), (256, 65, 1, 8), (128, 256, 3, 8), (256, 256, 1, 8),
    ]  # fmt: skip
    height, width = size
    found = cost(build("superpoint"), size)
    assert found.macs == sum(c * n * k * k * (height // d) * (width // d) for c, n, k, d in layers)
    assert round(found.macs / 1e9, 2) == published
    assert found.params == sum(c * n * k * k + n for c, n, k, _ in layers) == 1_300_865
    assert found.shape == (1, height, width)


@pytest.mark.parametrize(
    ("name", "args", "mega"),
    [
        ("desdis", {"dim": 8}, 0.38),
        ("desdis", {"dim": 16}, 1.35),
        ("desdis", {"dim": 24}, 2.91),
        ("desdis", {"dim": 32}, 5.05),
        ("tfeat", {}, 6.3),
    ],
)
def test_peers_cost_what_was_measured_for_them(name, args, mega):
    assert cost(build(Spec(name, args))).macs / 1e6 == pytest.approx(mega, abs=0.006)


@given(c=st.integers(2, 8), n=st.integers(1, 8), k=st.sampled_from([1, 3, 5]), data=st.data())
def test_macs_of_cdp_are_its_params_at_every_position(c, n, k, data):
    # Thesis, eq. 2.11 without its ReLU.
    alpha = data.draw(st.integers(1, c - 1))
    layer = CDP(alpha).layer(nn.Conv2d(c, n, k, padding=k // 2, bias=False))
    found = cost(layer, input_shape=(c, 6, 7))
    assert found.macs == 6 * 7 * found.params


def test_layers_add_up_to_the_whole():
    net = convert(build("l2net"), "cdp2@2-4+tucker@6")
    found = cost(net)
    assert sum(layer.params for layer in found.layers) == found.params
    assert sum(layer.macs for layer in found.layers) == found.macs
    names = [layer.name for layer in found.layers]
    assert names[1:4] == ["features.3.dense", "features.3.depthwise", "features.3.pointwise"]
    kinds = {layer.name: layer.kind for layer in found.layers}
    assert kinds["features.6.dense"] == "conv 3x3 /2"
    assert kinds["features.6.depthwise"] == "depthwise 3x3 /2"
    shapes = {layer.name: layer.shape for layer in found.layers}
    assert shapes["features.3.dense"] == (32, 32, 32)
    assert shapes["features.6.dense"] == (64, 16, 16)


def test_the_network_is_left_as_it_was():
    net = build("l2net").train()
    net.features[1].running_mean.fill_(3)
    cost(net)
    assert net.training
    assert all(m.training for m in net.modules())
    assert not any(t.is_meta for t in net.state_dict().values())
    assert (net.features[1].running_mean == 3).all()
    assert not net.features[0]._forward_hooks


def test_other_modules_are_counted_with_their_dense_layers():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 10))
    found = cost(net, input_shape=(3, 5, 5))
    assert found.macs == 9 * (3 * 3 * 3 * 4) + 36 * 10
    assert found.params == 112 + 8 + 370
    assert [layer.params for layer in found.layers] == [112, 8, 370]


def test_half_precision_takes_half_the_bytes():
    net = nn.Conv2d(4, 4, 3)
    assert cost(net.half(), input_shape=(4, 8, 8)).bytes == 2 * (4 * 4 * 9 + 4)


@pytest.mark.parametrize(
    ("net", "size", "message"),
    [
        (build("l2net"), (240, 320), "L2Net reads 32 x 32 patches; sizes are for images"),
        (build("superpoint"), (241, 320), "image sides must be multiples of 8, not 241 x 320"),
        (nn.Conv2d(1, 1, 1), None, "Conv2d: say input_shape"),
    ],
    ids=["patches", "odd", "other"],
)
def test_a_size_that_does_not_fit_is_refused(net, size, message):
    with pytest.raises(InputError, match=message):
        cost(net, size)


def test_nothing_is_computed():
    large = build(Spec("superpoint", {"widths": [64] * 10}))
    assert cost(large, (8000, 8000)).macs > 1e12  # would take minutes and gigabytes
    assert torch.get_default_device() == torch.device("cpu")
