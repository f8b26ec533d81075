import pytest
import torch
from torch import nn
from torch.nn import functional as F

from descompress.errors import InputError
from descompress.nets import build
from descompress.spec import Spec


def as_published(net: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """DeTone et al., figure 3 and appendix: VGG-style encoder, two heads."""
    for number in "1234":
        x = F.relu(net.get_submodule(f"conv{number}a")(x))
        x = F.relu(net.get_submodule(f"conv{number}b")(x))
        x = F.max_pool2d(x, 2) if number != "4" else x
    logits = net.convPb(F.relu(net.convPa(x)))
    return logits, F.normalize(net.convDb(F.relu(net.convDa(x))), dim=1)


def test_maps_are_those_of_the_published_network():
    net = build("superpoint").eval()
    images = torch.rand(2, 1, 40, 56)
    maps = net(images)
    logits, descriptors = as_published(net, images)
    torch.testing.assert_close(maps.logits, logits)
    torch.testing.assert_close(maps.descriptors, descriptors, atol=1e-6, rtol=0)
    assert maps.logits.shape == (2, 65, 5, 7)
    assert maps.descriptors.shape == (2, 256, 5, 7)


def test_attributes_have_the_published_names_and_shapes():
    state = build("superpoint").state_dict()
    assert tuple(state["conv1a.weight"].shape) == (64, 1, 3, 3)
    assert tuple(state["convPb.weight"].shape) == (65, 256, 1, 1)
    assert tuple(state["convDb.bias"].shape) == (256,)
    assert len(state) == 2 * 12
    assert sum(t.numel() for t in state.values()) == 1_300_865  # R. Miles' thesis, ch. 2


def test_every_layer_may_have_its_own_width():
    widths = tuple(range(2, 12))
    net = build(Spec("superpoint", {"widths": widths, "dim": 12})).eval()
    maps = net(torch.rand(1, 1, 16, 16))
    assert maps.descriptors.shape == (1, 12, 2, 2)
    assert net.conv("convPb").in_channels == net.conv("convPa").out_channels == 10
    layout = net.layout()
    assert (
        layout.axes["convPa", "in"] == layout.axes["convDa", "in"] == layout.axes["conv4b", "out"]
    )
    assert layout.axes["convDb", "in"] == layout.axes["convDa", "out"]


def test_batch_norm_stands_between_convolution_and_relu():
    spec = Spec("superpoint", {"batch_norm": True, "widths": [8] * 10, "dim": 16})
    net, plain = build(spec).eval(), build(Spec("superpoint", {"widths": [8] * 10, "dim": 16}))
    with torch.no_grad():
        for name, norm in net.named_modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean.normal_()
                conv = net.conv(name.replace("norm", "conv"))
                gain = (norm.running_var + norm.eps).rsqrt()
                folded = plain.conv(name.replace("norm", "conv"))
                folded.weight.copy_(conv.weight * gain[:, None, None, None])
                folded.bias.copy_((conv.bias - norm.running_mean) * gain)
        for head in ("convPb", "convDb"):
            plain.conv(head).load_state_dict(net.conv(head).state_dict())
    images = torch.rand(1, 1, 16, 24)
    torch.testing.assert_close(net(images), plain.eval()(images), atol=1e-5, rtol=1e-4)
    assert len([m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]) == 10


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(1, 1, 30, 40), "image sides must be multiples of 8, not 30 x 40"),
        (torch.rand(1, 1, 0, 8), "image sides must be multiples of 8, not 0 x 8"),
        (torch.rand(1, 3, 32, 32), r"input must be \(batch, 1, any, any\), not \(1, 3, 32, 32\)"),
        (torch.rand(32, 32), "input must be"),
        (torch.zeros(1, 1, 32, 32, dtype=torch.uint8), "convert it to float"),
        (torch.full((1, 1, 32, 32), torch.nan), "input 0 of the batch of 1 holds NaN"),
    ],
    ids=["odd sides", "empty", "colour", "no batch", "integers", "NaN"],
)
def test_another_input_is_refused(images, message):
    with pytest.raises(InputError, match=message):
        build("superpoint").eval()(images)


def test_maps_keep_the_layout_that_pooling_and_convolutions_are_fast_in():
    """On a CPU max pooling takes twenty times as long in the other one."""
    maps = build("superpoint").eval()(torch.rand(2, 1, 16, 24))
    for found in maps:
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert not found.is_contiguous()
