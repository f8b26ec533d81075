from copy import deepcopy

import kornia
import pytest
import torch
from torch import nn

from descompress.converter import convert
from descompress.costs import cost
from descompress.errors import SpecError
from descompress.methods import CDP, TDW, Depthwise, Tucker
from descompress.methods.cdp import CDPConv2d
from descompress.methods.depthwise import DepthwiseConv2d
from descompress.nets import build
from descompress.presets import preset
from descompress.spec import Spec


@pytest.fixture(scope="module")
def hardnet():
    torch.manual_seed(0)
    return build("l2net").eval()


def compression(net, recipe) -> float:
    return cost(net).params / cost(convert(net, recipe)).params


# R. Miles' thesis, table 2.3: the seven CDP networks.
CDP_TABLE = {
    (2,) * 6: 9.50,
    (5,) * 6: 7.66,
    (10,) * 6: 5.79,
    (15,) * 6: 4.65,
    (2, 4, 4, 8, 8, 16): 5.01,
    (4, 8, 8, 16, 16, 32): 3.21,
    (4, 8, 8, 16, 16, 2): 7.61,
}


@pytest.mark.parametrize(("alphas", "published"), CDP_TABLE.items(), ids=str)
def test_cdp_compresses_hardnet_as_published(hardnet, alphas, published):
    recipe = [(str(i + 2), CDP(alpha)) for i, alpha in enumerate(alphas)]
    assert round(compression(hardnet, recipe), 2) == published


# The same table: DepthSep{7}, {6-7}, {5-7}, {2-7}.
@pytest.mark.parametrize(
    ("layers", "published"), [("7", 4.30), ("[67]", 7.39), ("[5-7]", 10.72), ("[2-7]", 18.91)]
)
def test_depthwise_layers_compress_hardnet_as_published(hardnet, layers, published):
    assert round(compression(hardnet, {layers: Depthwise()}), 2) == published


def test_the_published_mixture_is_reached_with_ranks_that_add_up_to_76(hardnet):
    # DepthSep{7} + TDW{5-6}: 12.01. The ranks are not published; params need r5 + r6 = 76.
    recipe = {"7": Depthwise(), "5": TDW(36), "6": TDW(40)}
    assert round(compression(hardnet, recipe), 2) == 12.01


# By hand: 1x1 (C -> r1), kxk (r1 -> r2), 1x1 (r2 -> N), for ranks of half the channels.
def test_tucker_of_half_the_channels_costs_what_its_three_convolutions_do(hardnet):
    names = list(hardnet.layer_numbers().values())[1:]
    small = cost(build(Spec("l2net", {}, dict.fromkeys(names, Tucker(0.5)))))
    layers = [(32, 32, 9), (32, 64, 9), (64, 64, 9), (64, 128, 9), (128, 128, 9), (128, 128, 64)]
    assert small.params == 288 + sum(
        c * c // 2 + k * (c // 2) * (n // 2) + n // 2 * n for c, n, k in layers
    )


# R. Miles' thesis, SuperPoint at 240 x 320: its GMACs are given with two digits.
@pytest.mark.parametrize(
    ("name", "published"),
    [("cdp2", 1.91), ("cdp5", 2.15), ("cdp-2-4-4-8-8-16-16-16-16", 2.10)],
)
def test_cdp_superpoints_cost_about_as_published(name, published):
    small = convert(build("superpoint"), name)
    assert cost(small, (240, 320)).macs / 1e9 == pytest.approx(published, abs=0.02)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("cdp5", {"[2-7]": CDP(5)}),
        ("cdp-2-4-4-8-8-16", {str(i + 2): CDP(a) for i, a in enumerate((2, 4, 4, 8, 8, 16))}),
        ("depthwise", {"[2-7]": Depthwise()}),
        ("depthwise@5-7", {"[5-7]": Depthwise()}),
        ("tucker@2-6", {"[2-6]": Tucker(0.375)}),
        ("tdw@2", {"2": TDW(0.375)}),
        ("cdp:alpha=5,inner=bn_relu@3-4", {"[34]": CDP(5, "bn_relu")}),
        ("depthwise@7+tdw@5-6", {"7": Depthwise(), "[56]": TDW(0.375)}),
    ],
)
def test_presets_are_recipes_by_name(hardnet, name, recipe):
    assert convert(hardnet, name).spec == convert(hardnet, recipe).spec


def test_presets_leave_out_the_first_layer_and_1x1_convolutions():
    assert [number for number, _ in preset("cdp5", build("superpoint"))] == [
        str(i) for i in range(2, 11)
    ]


def test_tucker_vbmf_finds_the_ranks_of_the_weights(hardnet):
    net = deepcopy(hardnet)
    with torch.no_grad():
        weight = net.conv("features.15").weight
        core = torch.randn(7, 11, 3, 3)
        planted = torch.einsum("rskl,nr,cs->nckl", core, torch.randn(128, 7), torch.randn(128, 11))
        weight.copy_(planted + 0.3 * torch.randn_like(weight))
    assert convert(net, "tucker-vbmf").spec.layers["features.15"] == Tucker(11, 7)


def test_full_rank_tucker_changes_nothing(hardnet):
    small = convert(hardnet, {"*": Tucker(1.0)})
    patches = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(small(patches), hardnet(patches), atol=1e-5, rtol=0)


def test_the_network_is_left_unchanged(hardnet):
    before = deepcopy(hardnet)
    small = convert(hardnet, {"features.3": CDP(5)})
    assert hardnet.spec == before.spec
    assert isinstance(hardnet.conv("features.3"), nn.Conv2d)
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.zero_()
    state = hardnet.state_dict()
    assert all(torch.equal(state[name], t) for name, t in before.state_dict().items())


def test_the_spec_tells_what_was_replaced(hardnet):
    small = convert(hardnet, {"features.3": CDP(5), "features.19": "depthwise"})
    assert small.spec == Spec(
        "l2net", hardnet.spec.args, {"features.3": CDP(5), "features.19": Depthwise(1)}
    )
    assert isinstance(small.get_submodule("features.3"), CDPConv2d)
    assert build(small.spec).state_dict().keys() == small.state_dict().keys()


def test_later_patterns_win_and_keep_leaves_a_layer(hardnet):
    recipe = [("*", Depthwise()), ("features.1?", CDP(2)), ("7", "keep"), ("1", "keep")]
    layers = convert(hardnet, recipe).spec.layers
    assert layers == {
        "features.3": Depthwise(1),
        "features.6": Depthwise(2),
        "features.9": Depthwise(1),
        "features.12": CDP(2),
        "features.15": CDP(2),
    }


def test_converting_twice_skips_what_was_replaced(hardnet):
    once = convert(hardnet, {"features.3": CDP(5)})
    twice = convert(once, {"features.[!0]*": Depthwise()})
    assert twice.spec.layers["features.3"] == CDP(5)
    assert twice.spec.layers["features.6"] == Depthwise(2)
    assert convert(hardnet, [("[2-7]", Depthwise()), ("2", CDP(5))]).spec == twice.spec


def test_mode_and_frozenness_are_kept(hardnet):
    assert not convert(hardnet, "cdp5").training
    assert all(not m.training for m in convert(hardnet, "cdp5").modules())
    frozen = deepcopy(hardnet).train().requires_grad_(requires_grad=False)
    small = convert(frozen, {"[2-7]": CDP(5, "bn_relu")})
    assert all(m.training for m in small.modules())
    assert not any(p.requires_grad for p in small.parameters())


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"features.0": CDP(1)}, r"features\.0: CDP\(alpha=1\) needs 0 < alpha < 1"),
        ({"features.3": CDP(32)}, r"features\.3: CDP\(alpha=32\) needs 0 < alpha < 32"),
        ({"features.3": "cdp:alpha=99"}, r"features\.3: CDP\(alpha=99\) needs 0 < alpha < 32"),
        ({"convDa": CDP(2)}, r"'convDa' matches none of the convolutions features\.0, "),
        ({"8": CDP(2)}, "'8' matches none of the convolutions"),
        ({}, "the recipe is empty"),
        ([], "the recipe is empty"),
        ({"features.3": "svd"}, "unknown method 'svd'"),
        ("cdp", "unknown preset 'cdp'; there are cdp2, cdp5"),
        ("cdp-2-4", r"preset 'cdp-2-4': 2 alphas for the 6 layers 2, 3, 4, 5, 6, 7"),
        ("cdp5@0-3", "layers '0-3' are not within 1-7"),
        ("cdp5@5-3", "layers '5-3' are not within 1-7"),
        ("cdp-40-2-2-2-2-2", r"features\.3: CDP\(alpha=40\) needs 0 < alpha < 32"),
    ],
    ids=str,
)
def test_a_recipe_that_does_not_fit_says_what_would(hardnet, recipe, message):
    with pytest.raises(SpecError, match=message):
        convert(hardnet, recipe)


def test_replacing_a_replaced_layer_says_so(hardnet):
    small = convert(hardnet, {"features.3": CDP(5)})
    with pytest.raises(SpecError, match=r"'features\.3' matches none .*replaced already"):
        convert(small, {"features.3": Depthwise()})


def test_weights_that_are_no_numbers_are_refused(hardnet):
    net = deepcopy(hardnet)
    with torch.no_grad():
        net.conv("features.6").weight[0] = torch.nan
    with pytest.raises(SpecError, match=r"features\.6: its weights hold NaN or infinity"):
        convert(net, "depthwise")


# -- modules of other packages ------------------------------------------------------------------


def test_kornias_hardnet_is_converted_as_ours_is(hardnet):
    theirs = kornia.feature.HardNet(pretrained=False).eval()
    theirs.load_state_dict(hardnet.state_dict())
    small = convert(theirs, {"features.[!0]*": CDP(5)})
    patches = torch.rand(4, 1, 32, 32)
    ours = convert(hardnet, "cdp5")
    torch.testing.assert_close(small(patches), ours(patches), atol=1e-5, rtol=0)
    assert cost(small, input_shape=(1, 32, 32)).macs == cost(ours).macs


def test_the_unet_of_disk_is_converted():
    disk = kornia.feature.DISK().eval()
    images = torch.rand(1, 3, 64, 64)
    small = convert(disk, {"unet.path_up.*": Tucker(0.5), "unet.path_down.[1-9]*": CDP(4)})
    assert [m.shape for m in small.heatmap_and_dense_descriptors(images)] == [
        m.shape for m in disk.heatmap_and_dense_descriptors(images)
    ]
    before, after = (cost(net.unet, input_shape=(3, 64, 64)) for net in (disk, small))
    assert after.params < before.params / 2
    assert after.macs < before.macs / 2
    full = convert(disk, {"unet.path_up.*": Tucker(1.0)})
    torch.testing.assert_close(
        full.unet(images), disk.unet(images), atol=1e-3, rtol=1e-3
    )  # its outputs are in the hundreds


def test_keynet_is_converted():
    keynet = kornia.feature.KeyNet(pretrained=False).eval()
    image = torch.rand(1, 1, 48, 48)
    small = convert(keynet, {"*lb_block*": CDP(3)})
    assert small(image).shape == keynet(image).shape
    layers = [m for m in small.modules() if isinstance(m, CDPConv2d)]
    assert len(layers) == 3


def test_a_convolution_used_in_two_places_is_replaced_in_both():
    conv = nn.Conv2d(4, 4, 3, padding=1)
    net = nn.Sequential(conv, nn.ReLU(), conv)
    small = convert(net, {"*": Depthwise()})
    assert isinstance(small[0], DepthwiseConv2d)
    assert small[0] is small[2]


def test_a_module_that_is_a_convolution_is_converted():
    small = convert(nn.Conv2d(4, 4, 3), {"*": Depthwise()})
    assert isinstance(small, DepthwiseConv2d)


def test_presets_need_numbered_layers():
    with pytest.raises(SpecError, match="the preset 'cdp5' needs a network with numbered layers"):
        convert(nn.Sequential(nn.Conv2d(4, 4, 3)), "cdp5")


def test_a_grouped_convolution_is_named():
    net = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, groups=4))
    with pytest.raises(SpecError, match=r"1: .* replaces plain convolutions"):
        convert(net, {"*": Depthwise()})
