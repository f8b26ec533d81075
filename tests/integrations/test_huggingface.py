import json
from pathlib import Path

import pytest
import torch
from torch import nn

import descompress
from descompress.errors import ArtifactError, SpecError
from descompress.integrations.huggingface import copy_pretrained, load_pretrained, save_pretrained
from descompress.spec import Spec
from hpatches_eval.errors import OutputError

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


@pytest.fixture
def net():
    torch.manual_seed(0)
    spec = Spec("l2net", {"widths": (4, 4, 8, 8, 8, 8), "dim": 16})
    return descompress.convert(descompress.build(spec), {"features.3": descompress.CDP(2)}).eval()


@pytest.fixture
def folder(net, tmp_path) -> Path:
    save_pretrained(net, tmp_path / "net")
    return tmp_path / "net"


def test_a_network_comes_back_with_its_spec_and_its_weights(net, folder):
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    config = json.loads((folder / "config.json").read_text())
    assert config == {"model_type": "descompress", "spec": json.loads(net.spec.to_json())}
    found = load_pretrained(str(folder))
    assert found.spec == net.spec
    assert not found.training
    for name, tensor in net.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)


def test_the_same_network_gives_the_same_bytes(net, folder, tmp_path):
    save_pretrained(load_pretrained(folder), tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_shipped_networks_keep_their_bytes(tmp_path):
    copy_pretrained("hardnet.nano", tmp_path / "nano")
    shipped = WEIGHTS / "hardnet.nano.safetensors"
    weights = tmp_path / "nano" / "model.safetensors"
    assert weights.read_bytes() == shipped.read_bytes()
    assert load_pretrained(tmp_path / "nano").spec == descompress.load(weights).spec


def test_a_folder_that_is_there_is_replaced_only_when_asked(net, folder):
    before = (folder / "model.safetensors").read_bytes()
    for write in (lambda: save_pretrained(net, folder), lambda: copy_pretrained("hardnet", folder)):
        with pytest.raises(OutputError, match="exists already"):
            write()
    assert (folder / "model.safetensors").read_bytes() == before
    copy_pretrained("hardnet.nano", folder, force=True)
    save_pretrained(net, folder, force=True)
    assert (folder / "model.safetensors").read_bytes() == before


def test_modules_without_a_spec_leave_nothing_behind(tmp_path):
    with pytest.raises(SpecError, match="Conv2d has no spec"):
        save_pretrained(nn.Conv2d(1, 1, 1), tmp_path / "conv")
    with pytest.raises(ArtifactError, match="no such file, nor a shipped network"):
        copy_pretrained("nothing", tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []


GOOD = {
    "model_type": "descompress",
    "spec": {"format": 1, "net": "l2net", "args": {}, "layers": {}},
}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "config.json: cannot be read"),
        ("{", "config.json: not JSON"),
        ("[" * 100_000, "config.json: not JSON"),
        (" " * 2_000_000 + json.dumps(GOOD), "config.json: not JSON"),
        ("[]", "model_type 'None', not 'descompress'"),
        (json.dumps({"model_type": "bert"}), "model_type 'bert', not 'descompress'"),
        (json.dumps({"model_type": "descompress"}), "the spec must be a JSON object"),
        (json.dumps({**GOOD, "auto_map": {}}), "unknown key 'auto_map'"),
        (json.dumps({**GOOD, "spec": {**GOOD["spec"], "format": 9}}), "has format 9"),
        (json.dumps(GOOD), "config.json and model.safetensors are of different networks"),
    ],
)
def test_configs_that_are_unknown_or_contradict_are_refused(folder, config, message):
    path = folder / "config.json"
    path.unlink() if config is None else path.write_text(config)
    with pytest.raises(ArtifactError, match=message):
        load_pretrained(folder)


def test_damaged_or_missing_weights_are_refused(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match=r"model.safetensors: not a safetensors file"):
        load_pretrained(folder)
    weights.unlink()
    with pytest.raises(ArtifactError, match=r"model.safetensors: cannot be read"):
        load_pretrained(folder)
