from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch

import descompress
from descompress.shelf import names
from descompress.spec import Spec

ROOT = str(Path(__file__).resolve().parents[1])


@pytest.fixture
def hubconf():
    """The module as `torch.hub` reads it."""
    spec = spec_from_file_location("hubconf", f"{ROOT}/hubconf.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_shipped_network_is_an_entry_point(hubconf):
    """`torch.hub.list` gives the names in `dir` that can be called."""
    listed = [name for name in dir(hubconf) if callable(getattr(hubconf, name))]
    assert sorted(listed) == sorted([*names(), "load"])


def test_what_it_depends_on_is_there(hubconf):
    assert all(find_spec(name) for name in hubconf.dependencies)


@pytest.mark.parametrize("name", ["hardnet.nano", "hardnet.cdp5"])
def test_networks_are_loaded_by_name(name):
    net = torch.hub.load(ROOT, name, source="local")
    expected = descompress.load(name)
    assert isinstance(net, type(expected))
    for key, tensor in expected.state_dict().items():
        assert torch.equal(net.state_dict()[key], tensor)


def test_any_file_is_loaded(tmp_path):
    net = descompress.build(Spec("l2net", {"widths": (4, 4, 8, 8, 8, 8), "dim": 16}))
    descompress.save(net, tmp_path / "net.safetensors")
    found = torch.hub.load(ROOT, "load", str(tmp_path / "net.safetensors"), source="local")
    assert found.spec == net.spec


def test_help_says_what_a_network_is(hubconf):
    about = getattr(hubconf, "hardnet.nano").__doc__
    assert about == descompress.shelf.read_index()["networks"]["hardnet.nano"]["about"]


def test_other_names_are_refused():
    with pytest.raises(RuntimeError, match="Cannot find callable superpoint-v1"):
        torch.hub.load(ROOT, "superpoint-v1", source="local")
