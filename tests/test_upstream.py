import pickle
from pathlib import Path

import kornia
import pytest
import torch
from torch import nn

from descompress.artifacts import load, save
from descompress.errors import CheckpointError, SpecError
from descompress.nets import build
from descompress.spec import Spec
from descompress.upstream import KINDS, import_checkpoint

PATCHES = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0))
KORNIA = {
    "hardnet": kornia.feature.HardNet,
    "sosnet": kornia.feature.SOSNet,
    "tfeat": kornia.feature.TFeat,
}


def published(kind: str) -> nn.Module:
    torch.manual_seed(0)
    reference = KORNIA[kind](pretrained=False)
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return reference.eval()


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("kind", KORNIA)
def test_what_kornia_publishes_is_imported(kind, wrapped, tmp_path):
    reference = published(kind)
    state = reference.state_dict()
    torch.save({"epoch": 10, "state_dict": state} if wrapped else state, tmp_path / "net.pth")
    net = import_checkpoint(kind, tmp_path / "net.pth")
    assert not net.training
    torch.testing.assert_close(net(PATCHES), reference(PATCHES), atol=1e-6, rtol=0)
    save(net, tmp_path / "net.safetensors")
    loaded = load(tmp_path / "net.safetensors")
    torch.testing.assert_close(loaded(PATCHES), reference(PATCHES), atol=1e-6, rtol=0)


def test_old_checkpoints_lack_the_counters_of_batch_norm(tmp_path):
    reference = published("hardnet")
    state = {k: t for k, t in reference.state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    net = import_checkpoint("hardnet", tmp_path / "old.pth")
    torch.testing.assert_close(net(PATCHES), reference(PATCHES), atol=1e-6, rtol=0)


def test_checkpoints_of_data_parallel_training_are_read(tmp_path):
    reference = published("hardnet")
    torch.save({f"module.{k}": t for k, t in reference.state_dict().items()}, tmp_path / "dp.pth")
    net = import_checkpoint("hardnet", tmp_path / "dp.pth")
    torch.testing.assert_close(net(PATCHES), reference(PATCHES), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("dim", "params"), [(8, 80_712), (16, 191_248), (24, 331_736), (32, 502_176)]
)
def test_desdis_weights_are_imported_and_describe(dim, params, shared):
    net = import_checkpoint("desdis", shared / "weights" / f"desdis-{dim}.pth")
    assert net.spec == Spec("desdis", {"dim": dim})
    assert sum(p.numel() for p in net.parameters()) == params
    torch.testing.assert_close(net(PATCHES).norm(dim=1), torch.ones(8))


def test_tfeat_weights_are_imported_and_describe_as_in_kornia(shared):
    path = shared / "weights" / "tfeat-liberty.params"
    reference = kornia.feature.TFeat(pretrained=False).eval()
    reference.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    net = import_checkpoint("tfeat", path)
    for unit in (1, 255):
        ours, theirs = net(unit * PATCHES), reference(unit * PATCHES)
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_superpoint_is_imported_with_its_licence(tmp_path):
    net = build("superpoint").eval()
    torch.save(dict(net.state_dict()), tmp_path / "superpoint_v1.pth")
    imported = import_checkpoint("superpoint", tmp_path / "superpoint_v1.pth")
    image = torch.rand(1, 1, 32, 40)
    torch.testing.assert_close(imported(image).logits, net(image).logits)
    assert "licence" in KINDS["superpoint"].notice
    assert not any(KINDS[kind].notice for kind in KINDS if kind != "superpoint")


def test_narrower_networks_are_recognised_by_their_shapes(tmp_path):
    spec = Spec("l2net", {"widths": (8, 8, 12, 12, 16, 16), "dim": 24})
    net = build(spec).eval()
    torch.save(net.state_dict(), tmp_path / "narrow.pth")
    imported = import_checkpoint("hardnet", tmp_path / "narrow.pth")
    assert imported.spec == net.spec
    torch.testing.assert_close(imported(PATCHES), net(PATCHES))


def changed(kind: str, **changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    state = dict(published(kind).state_dict())
    for name, tensor in changes.items():
        if tensor is None:
            del state[name]
        else:
            state[name] = tensor
    return state


@pytest.mark.parametrize(
    ("kind", "state", "message"),
    [
        ("hardnet", published("sosnet").state_dict(), r"lacks features\.0\.weight; .* be sosnet"),
        ("tfeat", published("hardnet").state_dict(), r"lacks descr\.0\.weight; it may be hardnet"),
        ("hardnet", {"w": torch.zeros(3)}, r"not hardnet: it lacks features\.0\.weight$"),
        ("hardnet", changed("hardnet", **{"features.3.weight": None}), r"lacks .*features\.3\.w"),
        ("hardnet", changed("hardnet", **{"features.4.running_var": None}), "lacks .*running_var"),
        (
            "hardnet",
            changed("hardnet", **{"features.3.weight": torch.zeros(32, 32, 5, 5)}),
            r"features\.3\.weight has shape \(32, 32, 5, 5\), not \(32, 32, 3, 3\)",
        ),
        (
            "hardnet",
            changed("hardnet", **{"features.3.bias": torch.zeros(32)}),
            r"features\.3\.bias is left over",
        ),
        (
            "hardnet",
            changed("hardnet", **{"features.3.weight": torch.zeros(32, 32, 3, 3).int()}),
            r"features\.3\.weight is of type torch\.int32",
        ),
        (
            "hardnet",
            changed("hardnet", **{"features.1.running_mean": torch.full((32,), torch.nan)}),
            r"features\.1\.running_mean holds NaN or infinity",
        ),
        (
            "hardnet",
            changed("hardnet", **{"features.0.weight": torch.zeros(0, 1, 3, 3)}),
            "widths must be like",
        ),
        ("hardnet", changed("hardnet", **{"features.0.weight": torch.tensor(1.0)}), "not hardnet"),
        ("hardnet", [1, 2], "holds no state dict"),
        ("hardnet", {"state_dict": {"a": 1}}, "holds no state dict"),
        ("hardnet", {1: torch.zeros(1)}, "holds no state dict"),
    ],
)
def test_a_checkpoint_of_something_else_is_named(kind, state, message, tmp_path):
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=message) as caught:
        import_checkpoint(kind, tmp_path / "net.pth")
    assert str(tmp_path / "net.pth") in str(caught.value)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    torch.save(published("hardnet").state_dict(), tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-10], b"PK\x03\x04" + whole):
        (tmp_path / "broken.pth").write_bytes(content)
        with pytest.raises(CheckpointError, match="not a checkpoint"):
            import_checkpoint("hardnet", tmp_path / "broken.pth")
    with pytest.raises(CheckpointError, match="cannot be read"):
        import_checkpoint("hardnet", tmp_path / "missing.pth")


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("write", [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))])
def test_code_in_a_checkpoint_is_not_executed(write, tmp_path):
    write({"state_dict": Bomb(tmp_path / "executed")}, tmp_path / "bomb.pth")
    with pytest.raises(CheckpointError, match="not a checkpoint of tensors alone"):
        import_checkpoint("hardnet", tmp_path / "bomb.pth")
    assert not (tmp_path / "executed").exists()


def test_an_unknown_kind_names_those_there_are(tmp_path):
    with pytest.raises(SpecError, match="unknown kind 'orb'; there are hardnet, sosnet, tfeat, "):
        import_checkpoint("orb", tmp_path)
