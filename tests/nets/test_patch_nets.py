"""Networks that describe patches, against kornia's on the same weights."""

import subprocess
import sys

import kornia
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from descompress.costs import cost
from descompress.errors import InputError, SpecError
from descompress.methods import CDP
from descompress.nets import NETS, Classifier, PatchNet, build
from descompress.slimming import slim
from descompress.spec import Spec

PATCH_NETS = [name for name, kind in NETS.items() if issubclass(kind, PatchNet)]
UNITS = [1.0, 255.0]


def with_statistics(net: nn.Module) -> nn.Module:
    """In eval mode, with batch norms that have seen patches."""
    torch.manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain mean
    with torch.no_grad():
        net.train()(255 * torch.rand(16, 1, 32, 32))
    return net.eval()


def close_to_1e_6(ours: torch.Tensor, reference: torch.Tensor) -> None:
    torch.testing.assert_close(ours, reference, atol=1e-6, rtol=0)


@pytest.mark.parametrize("unit", UNITS)
def test_agrees_with_kornias_hardnet(unit):
    reference = with_statistics(kornia.feature.HardNet(pretrained=False))
    ours = build("l2net").eval()
    ours.load_state_dict(reference.state_dict())
    patches = unit * torch.rand(32, 1, 32, 32)
    close_to_1e_6(ours(patches), reference(patches))


@pytest.mark.parametrize("unit", UNITS)
def test_agrees_with_kornias_sosnet(unit):
    reference = with_statistics(kornia.feature.SOSNet(pretrained=False))
    ours = build(Spec("l2net", {"input_norm": "instance"})).eval()
    state = reference.layers.state_dict()
    renamed = {
        f"{int(i) - 1}.{key}": t for name, t in state.items() for i, key in [name.split(".")]
    }
    ours.features.load_state_dict(renamed)
    patches = unit * torch.rand(32, 1, 32, 32)
    close_to_1e_6(ours(patches), reference(patches))


def test_agrees_with_sosnet_where_its_epsilon_shows():
    reference = kornia.feature.SOSNet(pretrained=False).eval()
    ours = build(Spec("l2net", {"input_norm": "instance"})).eval()
    flat = torch.full((2, 1, 32, 32), 0.5)  # all features are zero, and its 1e-10 decides
    close_to_1e_6(ours(flat), reference(flat))


@pytest.mark.parametrize("unit", UNITS)
def test_agrees_with_kornias_tfeat(unit):
    reference = kornia.feature.TFeat(pretrained=False).eval()
    ours = build("tfeat").eval()
    ours.load_state_dict(reference.state_dict())  # in the published shape
    patches = unit * torch.rand(32, 1, 32, 32)
    close_to_1e_6(ours(patches), reference(patches))


def test_tfeat_of_unit_length_is_tfeat_scaled():
    ours, unit = build("tfeat").eval(), build(Spec("tfeat", {"output": "unit"})).eval()
    unit.load_state_dict(ours.state_dict())
    patches = torch.rand(4, 1, 32, 32)
    torch.testing.assert_close(unit(patches), nn.functional.normalize(ours(patches)))


def test_desdis_is_what_its_description_says():
    net = with_statistics(build(Spec("desdis", {"dim": 8})))
    reference = nn.Sequential(nn.InstanceNorm2d(1), *list(net.layer1)[1:], *net.layer2)
    reference.extend([*net.layer3, *net.desc]).eval()
    patches = torch.rand(8, 1, 32, 32)
    close_to_1e_6(net(patches), nn.functional.normalize(reference(patches).flatten(1)))
    shapes = [tuple(m.weight.shape) for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [(8, 1, 3, 3), (16, 8, 3, 3), (32, 16, 3, 3), (32, 32, 3, 3), (128, 32, 4, 4)]


# DesDis and HardNet: their papers; TFeat: 49*32+32 + 36*32*64+64 + 4096*128+128.
@pytest.mark.parametrize(
    ("name", "args", "params"),
    [
        ("l2net", {}, 1_334_560),
        ("tfeat", {}, 599_808),
        ("desdis", {"dim": 8}, 80_712),
        ("desdis", {"dim": 16}, 191_248),
        ("desdis", {"dim": 24}, 331_736),
        ("desdis", {"dim": 32}, 502_176),
    ],
)
def test_parameters_are_the_published_ones(name, args, params):
    assert sum(p.numel() for p in build(Spec(name, args)).parameters()) == params


def test_strided_costs_what_its_layers_do():
    net = build("strided").eval()
    found = cost(net)
    # 3 x 3 of 1-16-24-32-48 on maps of 16, 8, 8 and 4, 1 x 1 to 32, and 4 x 4 of 32 to 128.
    products = (1 * 16, 16 * 24, 24 * 32, 32 * 48)
    assert found.params == 9 * sum(products) + 48 * 32 + 16 * 32 * 128
    places = (16**2, 8**2, 8**2, 4**2)
    convolutions = sum(9 * a * b for a, b in zip(products, places, strict=True))
    assert found.macs == convolutions + 4**2 * 48 * 32 + 16 * 32 * 128
    assert (
        build(Spec("strided", {"strides": (1, 1, 1, 1)})).conv("features.14").kernel_size[0] == 32
    )


def test_strided_takes_any_number_of_convolutions_of_any_odd_size():
    args = {"widths": (5, 6), "strides": (4, 2), "kernels": (7, 3), "bottleneck": 3, "dim": 16}
    net = build(Spec("strided", args)).eval()
    found = cost(net)
    assert found.params == 49 * 5 + 9 * 5 * 6 + 6 * 3 + 4 * 4 * 3 * 16
    assert found.macs == 8 * 8 * 49 * 5 + 4 * 4 * (9 * 5 * 6 + 6 * 3) + 4 * 4 * 3 * 16
    assert slim(net, {"1": 2, "2": 3, "3": 2}).spec.args["widths"] == (2, 3)


@pytest.mark.parametrize("name", ["l2net", "desdis"])
@settings(max_examples=10)
@given(seed=st.integers(0, 999), unit=st.sampled_from([1e-2, 1.0, 255.0]))
def test_descriptors_have_length_1(name, seed, unit):
    torch.manual_seed(seed)
    lengths = build(name).eval()(unit * torch.rand(3, 1, 32, 32)).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(3))


@settings(max_examples=20)
@given(gain=st.floats(0.1, 300), offset=st.floats(-100, 100), seed=st.integers(0, 99))
def test_l2net_does_not_see_brightness_and_contrast(gain, offset, seed):
    torch.manual_seed(seed)
    net = build("l2net").eval()
    patches = torch.rand(3, 1, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(net(gain * patches + offset), net(patches), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", PATCH_NETS)
@pytest.mark.parametrize("grey", [0.0, 0.1, 127.0, 255.0])
def test_constant_patches_have_finite_descriptors(name, grey):
    net = with_statistics(build(name))
    assert net(torch.full((2, 1, 32, 32), grey)).isfinite().all()


@pytest.mark.parametrize("name", ["l2net", "desdis"])
def test_where_there_is_nothing_the_descriptor_is_zero(name):
    net = build(name).eval()  # its batch norms subtract nothing yet
    if name == "desdis":
        nn.init.zeros_(net.conv("desc.1").bias)
    assert (net(torch.full((2, 1, 32, 32), 0.5)) == 0).all()


@pytest.mark.parametrize("name", PATCH_NETS)
def test_an_empty_batch_gives_no_descriptors(name):
    assert build(name).eval()(torch.zeros(0, 1, 32, 32)).shape == (0, 128)


@pytest.mark.parametrize("name", PATCH_NETS)
@pytest.mark.parametrize(
    ("patches", "message"),
    [
        (torch.rand(2, 1, 64, 64), r"input must be \(batch, 1, 32, 32\), not \(2, 1, 64, 64\)"),
        (torch.rand(2, 3, 32, 32), "input must be"),
        (torch.rand(2, 32, 32), "input must be"),
        (torch.rand(32, 32), "input must be"),
        (torch.zeros(2, 1, 32, 32, dtype=torch.uint8), r"torch\.uint8 input: convert it to float"),
    ],
    ids=["64 x 64", "colour", "no channel", "no batch", "integers"],
)
def test_another_input_is_refused_in_train_and_eval_mode(name, patches, message):
    net = build(name)
    for mode in (net.train(), net.eval()):
        with pytest.raises(InputError, match=message):
            mode(patches)


@pytest.mark.parametrize("name", PATCH_NETS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_is_refused_with_its_place_in_the_batch(name, value):
    patches = torch.rand(4, 1, 32, 32)
    patches[2, 0, 5, 7] = value
    with pytest.raises(InputError, match="input 2 of the batch of 4 holds NaN or infinity"):
        build(name).eval()(patches)


@pytest.mark.parametrize("name", NETS)
def test_training_does_not_wait_for_a_look_at_the_input(name):
    net = build(name).train()
    output = net(torch.full((2, net.input_shape[0], 32, 32), torch.nan))
    assert torch.isnan(output[0]).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_patches_of_any_float_type_are_described(dtype):
    net, patches = build("l2net").eval(), torch.randint(0, 256, (3, 1, 32, 32))
    torch.testing.assert_close(net(patches.to(dtype)), net(patches.float()), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", PATCH_NETS)
def test_descriptors_in_mixed_precision_are_near(name):
    net, patches = build(name).eval(), torch.rand(3, 1, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = net(patches)
    torch.testing.assert_close(mixed.float(), net(patches), atol=0.03, rtol=0)


def test_networks_compile_into_one_graph():
    # In a process of its own: the type checks of the tests are no part of the graph.
    program = """
import torch
from descompress.methods import CDP
from descompress.nets import NETS, build
for name in NETS:
    net = build(name).eval()
    x = torch.rand(2, net.input_shape[0], 32, 32)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), net(x))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240)


def test_training_takes_no_gradient_through_mean_and_deviation():
    net = build("l2net").eval()
    patches = torch.rand(2, 1, 32, 32, requires_grad=True)
    reference = kornia.feature.HardNet(pretrained=False).eval()
    reference.load_state_dict(net.state_dict())
    ours = torch.autograd.grad(net(patches)[:, 0].sum(), patches)[0]
    theirs = torch.autograd.grad(reference(patches)[:, 0].sum(), patches)[0]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_fresh_l2net_weights_are_orthogonal_of_gain_0_6():
    weight = build("l2net").conv("features.15").weight.detach().flatten(1)
    torch.testing.assert_close(weight @ weight.T, 0.36 * torch.eye(128), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", PATCH_NETS)
def test_kornia_finds_the_patch_size(name):
    assert build(name).patch_size == 32


@pytest.mark.parametrize("name", NETS)
def test_widths_are_those_of_the_convolutions_that_they_name(name):
    net = build(name)
    for conv, (argument, place) in net.widths().items():
        value = net.spec.args[argument]
        assert net.conv(conv).out_channels == (value if place is None else value[place])


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("l2net", 7),
        ("tfeat", 3),
        ("desdis", 5),
        ("strided", 6),
        ("superpoint", 12),
        ("vgg16", 15),
        ("mobilenetv2", 53),
    ],
)
def test_layer_numbers_name_all_convolutions(name, numbers):
    net = build(name)
    assert list(net.layer_numbers()) == [str(i + 1) for i in range(numbers)]
    convs = [n for n, m in net.named_modules() if isinstance(m, nn.Conv2d)]
    assert sorted(net.layer_numbers().values()) == sorted(convs)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            Spec("resnet"),
            "unknown network 'resnet'; there are l2net, tfeat, desdis, strided, superpoint",
        ),
        (Spec("l2net", {"depth": 3}), "l2net has no argument 'depth'; it has widths, dim"),
        (Spec("l2net", {"dim": "64"}), "dim must be like its default 128, not '64'"),
        (Spec("l2net", {"dim": 64.0}), "dim must be like"),
        (Spec("l2net", {"dim": True}), "dim must be like"),
        (Spec("l2net", {"dim": 0}), "dim must be like"),
        (Spec("l2net", {"dim": 10**12}), "dim must be like"),
        (Spec("l2net", {"widths": [32, 32]}), "widths must be like its default"),
        (Spec("l2net", {"widths": [32, 32, 64, 64, 128, "x"]}), "widths must be like"),
        (Spec("l2net", {"input_norm": "none"}), "input_norm must be one of standard, instance"),
        (Spec("strided", {"strides": (2, 2, 1, 3)}), "strides are 1, 2 or 4, .* not 2, 2, 1, 3"),
        (Spec("strided", {"strides": (4, 4, 4, 1)}), "32 in all at most, not 4, 4, 4, 1"),
        (Spec("strided", {"kernels": (3, 3, 2, 3)}), "kernels are odd sizes, not 3, 3, 2, 3"),
        (Spec("strided", {"widths": (8, 8)}), "for each convolution, not 2, 4 and 4"),
        (Spec("strided", {"widths": ()}), "for each convolution, not 0, 4 and 4"),
        (Spec("tfeat", {"output": "sign"}), "output must be one of tanh, unit"),
        (
            Spec("l2net", {}, {"features.3": CDP("variance")}),
            r"features\.3: CDP\(alpha='variance'.* reads trained weights: use convert instead",
        ),
        (Spec("l2net", {}, {"features.4": CDP(5)}), r"'features\.4' is none of the convolutions"),
        (Spec("superpoint", {"batch_norm": 1}), "batch_norm must be like its default False"),
    ],
    ids=str,
)
def test_a_spec_that_does_not_fit_says_what_would(spec, message):
    with pytest.raises(SpecError, match=message):
        build(spec)


@pytest.mark.parametrize("name", NETS)
def test_the_spec_of_a_network_spells_out_all_defaults(name):
    net = build(name)
    assert build(net.spec).spec == net.spec
    length = "classes" if isinstance(net, Classifier) else "dim"
    assert net.spec.args.keys() >= ({"dim"} if name == "desdis" else {"widths", length})


def test_asking_for_a_convolution_that_is_none_names_those_there_are():
    with pytest.raises(SpecError, match=r"'conv1a' is none of the convolutions features\.0, "):
        build("l2net").conv("conv1a")
