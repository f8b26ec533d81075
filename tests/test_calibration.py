from copy import deepcopy

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from descompress.calibration import calibrate_, reestimate_norms_, refit_
from descompress.converter import convert
from descompress.errors import FileError, InputError, SpecError
from descompress.methods import CDP, TDW, Depthwise, Tucker
from descompress.nets import build
from descompress.observation import inputs_of, outputs_of
from descompress.patchfiles import read_images, read_patches
from descompress.spec import Spec
from hpatches_eval.errors import DataError
from hpatches_eval.patches import TYPES

SMALL = Spec("l2net", {"widths": (8, 8, 12, 12, 16, 16), "dim": 16})
METHODS = [CDP(3), CDP(3, "bn_relu"), Depthwise(), Tucker(0.4), TDW(0.4)]


def smooth_patches(count: int, seed: int = 0) -> torch.Tensor:
    noise = np.random.default_rng(seed).standard_normal((count, 32, 32)).astype(np.float32)
    return torch.from_numpy(np.stack([cv2.GaussianBlur(n, (0, 0), 2) for n in noise]))[:, None]


@pytest.fixture(scope="module")
def patches():
    return smooth_patches(600)


@pytest.fixture(scope="module")
def net(patches):
    torch.manual_seed(0)
    return reestimate_norms_(build(SMALL), patches)


def layer_error(small, reference, name, patches):
    """Squared distance of a layer's outputs, each network running on its own activations."""
    pairs = zip(
        outputs_of(small.get_submodule(name), small, patches),
        outputs_of(reference.get_submodule(name), reference, patches),
        strict=True,
    )
    return sum((a - b).square().sum().item() for a, b in pairs)


def descriptor_error(small, reference, patches):
    with torch.no_grad():
        return (small(patches) - reference(patches)).square().sum(1).mean().item()


# -- batch norm ---------------------------------------------------------------------------------


def test_statistics_are_the_mean_and_variance_of_what_each_norm_reads(patches):
    torch.manual_seed(0)
    net = reestimate_norms_(build(SMALL), 255 * patches)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 7
    for norm in norms:
        read = torch.cat(list(inputs_of(norm, net, 255 * patches))).double()
        columns = read.transpose(0, 1).flatten(1)
        torch.testing.assert_close(norm.running_mean, columns.mean(1).float())
        torch.testing.assert_close(norm.running_var, columns.var(1).float())


def test_statistics_do_not_depend_on_how_the_patches_are_batched(patches, monkeypatch):
    torch.manual_seed(0)
    one = build(SMALL)
    other = deepcopy(one)
    reestimate_norms_(one, patches)
    monkeypatch.setattr("descompress.observation.PIXELS", 7 * 32 * 32)
    reestimate_norms_(other, patches)
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, other.state_dict()[name], atol=1e-6, rtol=1e-5)


def test_large_means_do_not_cost_precision():
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1))
    nn.init.ones_(net[0].weight)
    data = 10_000 + torch.rand(300, 1, 32, 32)
    reestimate_norms_(net, data)
    torch.testing.assert_close(net[1].running_var, data.double().var().float()[None])


def test_a_network_that_was_estimated_on_the_patches_stays(net, patches):
    again = reestimate_norms_(deepcopy(net), patches)
    torch.testing.assert_close(again(patches[:8]), net(patches[:8]))


# -- refit --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_refit_never_takes_the_first_replaced_layer_further_away(net, patches, method):
    small = convert(net, {"[3-7]": method})
    name = "features.6"
    if method == CDP(3, "bn_relu"):  # its inner norm is set first
        reestimate_norms_(small.get_submodule(name), next(inputs_of(
            small.get_submodule(name), small, patches[:200])))  # fmt: skip
    before = layer_error(small, net, name, patches)
    refit_(small, net, patches)
    assert layer_error(small, net, name, patches) <= before * (1 + 1e-5)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_the_refit_of_a_layer_is_the_least_squares_solution(net, patches, method):
    small = refit_(convert(net, {"4": method}), net, patches)
    layer = small.get_submodule("features.9")
    read = torch.cat(list(inputs_of(layer.mixer, small, patches))).double()
    wanted = torch.cat(list(outputs_of(net.conv("features.9"), net, patches))).double()
    a, y = read.permute(0, 2, 3, 1).flatten(0, 2), wanted.permute(0, 2, 3, 1).flatten(0, 2)
    best = (y - a @ torch.linalg.lstsq(a, y).solution).square().sum()
    found = (y - a @ layer.mixer.weight[:, :, 0, 0].double().T).square().sum()
    assert best <= found <= best * 1.0001 + 1e-6


def test_a_bias_is_refitted_too():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Tanh())
    small = convert(net, {"2": Depthwise(9)})  # exact
    with torch.no_grad():
        small[2].pointwise.bias.add_(1)
        small[2].pointwise.weight.mul_(2)
    data = torch.rand(64, 3, 12, 12)
    refit_(small, net, data)
    torch.testing.assert_close(small(data), net(data), atol=1e-4, rtol=0)


def test_later_layers_make_up_for_earlier_ones(net, patches):
    # The refit of layer 6 is done on the inputs that the compressed layers before it give.
    small = refit_(convert(net, {"[4-6]": Depthwise()}), net, patches)
    apart = convert(net, {"[4-6]": Depthwise()})
    for number, name in (("4", "features.9"), ("5", "features.12"), ("6", "features.15")):
        alone = refit_(convert(net, {number: Depthwise()}), net, patches)
        apart.get_submodule(name).load_state_dict(alone.get_submodule(name).state_dict())
    together, separately = (layer_error(m, net, "features.15", patches) for m in (small, apart))
    assert together < separately


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_calibration_brings_descriptors_nearer_on_other_patches(net, patches, method):
    small = convert(net, {"[2-4]": method})
    unseen = smooth_patches(200, seed=1)
    before = descriptor_error(small, net, unseen)
    assert calibrate_(small, net, patches) is small
    assert descriptor_error(small, net, unseen) < 0.9 * before


def test_polishing_brings_the_layer_nearer_still(net, patches):
    plain = calibrate_(convert(net, {"2": Depthwise()}), net, patches)
    polished = calibrate_(convert(net, {"2": Depthwise()}), net, patches, polish=10)
    one, other = (layer_error(m, net, "features.3", patches) for m in (plain, polished))
    assert other < 0.95 * one
    assert all(p.grad is None for p in polished.parameters())


def test_layers_before_the_first_replaced_one_are_left_alone(net, patches):
    small = calibrate_(convert(net, {"6": Depthwise()}), net, 3 + 2 * patches[:64] ** 3)
    before, after = net.state_dict(), small.state_dict()
    kept = [name for name in before if int(name.split(".")[1]) < 15]
    assert len(kept) > 5
    assert all(torch.equal(before[name], after[name]) for name in kept)
    assert not torch.equal(before["features.16.running_var"], after["features.16.running_var"])


def test_the_reference_is_left_alone(patches):
    net = build(SMALL).train()
    before = deepcopy(net.state_dict())
    calibrate_(convert(net, "depthwise"), net, patches[:64])
    assert net.training
    assert all(torch.equal(before[name], t) for name, t in net.state_dict().items())


def test_frozen_networks_are_calibrated_too(net, patches):
    frozen = deepcopy(net).requires_grad_(requires_grad=False)
    small = calibrate_(convert(frozen, {"2": Depthwise()}), frozen, patches, polish=2)
    assert not any(p.requires_grad for p in small.parameters())


def test_bytes_are_patches_too(net):
    grey = (40 * smooth_patches(64) + 128).clamp(0, 255).byte()
    small = calibrate_(convert(net, "depthwise"), net, grey)
    same = calibrate_(convert(net, "depthwise"), net, grey.float())
    torch.testing.assert_close(small.state_dict(), same.state_dict())


@pytest.mark.parametrize("name", ["desdis", "tfeat", "superpoint"])
def test_other_networks_are_calibrated(name):
    torch.manual_seed(0)
    data = smooth_patches(64)
    net = reestimate_norms_(build(name), data)
    small = convert(net, "cdp2")
    before = descriptor_error(small, net, data) if name != "superpoint" else None
    calibrate_(small, net, data)
    if before is not None:
        assert descriptor_error(small, net, data) < before


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch.zeros(0, 1, 32, 32), "patches must be"),
        (torch.rand(4, 32, 32), r"patches must be \(n, 1, height, width\), not \(4, 32, 32\)"),
        (torch.rand(4, 1, 64, 64), r"input must be \(batch, 1, 32, 32\)"),
        (torch.full((4, 1, 32, 32), torch.nan), "holds NaN"),
        (torch.rand(1, 1, 32, 32), "one patch has no variance"),
    ],
    ids=["none", "three axes", "64 x 64", "NaN", "one"],
)
def test_patches_that_do_not_fit_are_refused(net, data, message):
    with pytest.raises(InputError, match=message):
        calibrate_(convert(net, "depthwise"), net, data)


def test_there_must_be_something_to_calibrate(net, patches):
    with pytest.raises(SpecError, match="no layer of this network was replaced"):
        calibrate_(deepcopy(net), net, patches)
    with pytest.raises(SpecError, match=r"the reference network has no layer 'features\.3'"):
        calibrate_(convert(net, "depthwise"), nn.Conv2d(1, 1, 1), patches)


# -- files --------------------------------------------------------------------------------------


def write_release(root, count=3, side=65):
    for s, sequence in enumerate(("v_one", "i_two")):
        (root / sequence).mkdir(parents=True)
        for t, kind in enumerate(TYPES):
            strip = np.full((count * side, side), 16 * s + t, np.uint8)
            cv2.imwrite(str(root / sequence / f"{kind}.png"), strip)
    return root


def test_a_patch_release_is_drawn_from_evenly(tmp_path):
    patches = read_patches(write_release(tmp_path / "release"), count=64)
    assert patches.shape == (64, 1, 32, 32)
    greys, counts = patches[:, 0, 0, 0].unique(return_counts=True)
    assert greys.tolist() == list(range(32))
    assert set(counts.tolist()) == {2}


def test_strips_and_arrays_are_read_and_scaled_by_area(tmp_path):
    strip = np.random.default_rng(0).integers(0, 256, (5 * 64, 64), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "strip.png"), strip)
    np.save(tmp_path / "a.npy", strip.reshape(5, 64, 64))
    np.save(tmp_path / "b.npy", strip.reshape(5, 1, 64, 64).astype(np.float64))
    from_strip = read_patches(tmp_path)
    means = strip.reshape(5, 32, 2, 32, 2).mean((2, 4))
    assert np.abs(from_strip[:, 0].numpy() - means).max() <= 0.51  # rounded
    assert torch.equal(from_strip, read_patches(tmp_path / "a.npy"))
    np.testing.assert_allclose(read_patches(tmp_path / "b.npy")[:, 0], means, atol=1e-4)


def test_the_draw_is_of_different_patches_and_repeats(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(50, dtype=np.float32)[:, None, None] * np.ones((32, 32)))
    drawn = read_patches(tmp_path / "a.npy", count=20)[:, 0, 0, 0]
    assert len(drawn.unique()) == 20
    assert torch.equal(drawn, read_patches(tmp_path / "a.npy", count=20)[:, 0, 0, 0])
    assert not torch.equal(drawn, read_patches(tmp_path / "a.npy", count=20, seed=1)[:, 0, 0, 0])


def test_images_are_cut_to_their_middles(tmp_path):
    image = np.zeros((480, 640), np.uint8)
    image[120:360, 160:480] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    images = read_images(tmp_path)
    assert images.shape == (1, 1, 240, 320)
    assert (images == 1).all()


def test_files_that_hold_no_patches_are_named(tmp_path):
    with pytest.raises(FileError, match=r"holds no \*\.png"):
        read_patches(tmp_path)
    with pytest.raises(DataError, match="no images"):
        read_images(tmp_path)
    with pytest.raises(DataError, match="missing: there is no such folder"):
        read_images(tmp_path / "missing")
    with pytest.raises(FileError, match="missing: no such file or folder"):
        read_patches(tmp_path / "missing")
    (tmp_path / "odd").mkdir()
    cv2.imwrite(str(tmp_path / "odd" / "strip.png"), np.zeros((100, 64), np.uint8))
    with pytest.raises(FileError, match=r"strip\.png: 64 x 100 pixels are no column"):
        read_patches(tmp_path / "odd")
    (tmp_path / "odd" / "strip.png").write_bytes(b"nothing")
    with pytest.raises(FileError, match="cannot be read as an image"):
        read_patches(tmp_path / "odd")
    (tmp_path / "odd" / "strip.png").unlink()
    np.save(tmp_path / "a.npy", np.zeros((3, 40, 32)))
    with pytest.raises(FileError, match="patches of 32 x 40, not square"):
        read_patches(tmp_path / "a.npy")
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((16, 16), np.uint8))
    with pytest.raises(FileError, match="16 x 16 pixels are fewer than 320 x 240"):
        read_images(tmp_path)


@pytest.mark.parametrize(
    "array",
    [np.zeros((3, 32)), np.zeros((0, 32, 32)), np.zeros((2, 3, 32, 32)), np.array(["a"] * 3)],
    ids=["2-d", "empty", "colour", "text"],
)
def test_arrays_of_something_else_are_named(array, tmp_path):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(FileError, match=r"a\.npy: holds"):
        read_patches(tmp_path / "a.npy")


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match=r"a\.npy: not an array of numbers"):
        read_patches(tmp_path / "a.npy")
    (tmp_path / "b.npy").write_bytes(b"")
    with pytest.raises(FileError, match=r"b\.npy: not an array of numbers"):
        read_patches(tmp_path / "b.npy")
