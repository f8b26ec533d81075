import inspect
import sys
from abc import ABC, abstractmethod
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import descompress
from descompress.errors import ArtifactError, InputError, RequestError
from descompress.integrations.hloc import Extractor, register
from descompress.selection import Selection
from descompress.spec import Spec

IMAGE_SPEC = Spec("superpoint", {"widths": [8] * 10, "dim": 16})


class BaseModel(nn.Module, ABC):
    """hloc's interface: a model is made from a dictionary and called with one."""

    default_conf: ClassVar[dict] = {}
    required_inputs: ClassVar[list] = []

    def __init__(self, conf):
        super().__init__()
        self.conf = {**self.default_conf, **conf}
        self._init(self.conf)

    def forward(self, data):
        assert all(key in data for key in self.required_inputs)
        return self._forward(data)

    @abstractmethod
    def _init(self, conf): ...

    @abstractmethod
    def _forward(self, data): ...


def found_by_hloc(name: str) -> type:
    """hloc's rule: the one class that is a model and says that it is of this module."""
    path = f"hloc.extractors.{name}"
    module = __import__(path, fromlist=[""])
    classes = [c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == path]
    (found,) = [c for c in classes if issubclass(c, BaseModel)]
    return found


@pytest.fixture
def hloc(monkeypatch):
    """A package with the parts of hloc that extractors meet."""
    names = ("hloc", "hloc.extractors", "hloc.utils", "hloc.utils.base_model")
    for name in names:
        module = ModuleType(name)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)
    sys.modules["hloc.utils.base_model"].BaseModel = BaseModel
    monkeypatch.setitem(sys.modules, "hloc.extractors.descompress", None)


@pytest.fixture(scope="module")
def image_net(tmp_path_factory):
    torch.manual_seed(0)
    net = descompress.build(IMAGE_SPEC).eval()
    with torch.no_grad():
        net.conv("convPb").weight *= 30
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    descompress.save(net, path)
    return path


@pytest.fixture(scope="module")
def image(discs) -> np.ndarray:
    return discs(1, (90, 131), 40, 12)


@pytest.mark.parametrize("kind", ["image network", "patch network"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_has_the_features_of_the_finder_in_hlocs_shapes(kind, channels, image_net, image):
    net = image_net if kind == "image network" else "hardnet.tiny"
    given = torch.from_numpy(image).float()[None, None].expand(1, channels, -1, -1) / 255
    out = Extractor({"net": net, "max_keypoints": 20})({"image": given})
    expected = descompress.finder(descompress.load(net), Selection(most=20))(image)
    assert out.keys() == {"keypoints", "scores", "descriptors"}
    np.testing.assert_allclose(out["keypoints"], expected.keypoints[None], atol=1e-2)
    np.testing.assert_allclose(out["scores"], expected.scores[None], atol=1e-4)
    np.testing.assert_allclose(out["descriptors"], expected.descriptors.T[None], atol=1e-2)


def test_settings_reach_the_selection(image_net):
    conf = {
        "name": "descompress",
        "net": str(image_net),
        "max_keypoints": 7,
        "nms_radius": 2,
        "keypoint_threshold": 0.1,
        "remove_borders": 9,
    }
    model = Extractor(conf)
    assert model.extractor.selection == Selection(2, 9, 0.1, 7)
    assert model.conf == conf
    assert Extractor({}).extractor.net.spec.net == "l2net"
    assert Extractor.default_conf["net"] == "hardnet"
    assert Extractor.required_inputs == ["image"]


def test_hloc_finds_it_by_name_once_it_is_registered(hloc, image):
    made = register()
    found = found_by_hloc("descompress")
    assert found is made
    model = found({"name": "descompress", "net": "hardnet.nano", "max_keypoints": 5}).eval()
    assert isinstance(model, BaseModel)
    out = model.to("cpu")({"image": torch.from_numpy(image).float()[None, None] / 255})
    assert {name: tuple(value.shape) for name, value in out.items()} == {
        "keypoints": (1, 5, 2),
        "scores": (1, 5),
        "descriptors": (1, 128, 5),
    }


def test_an_image_without_points_has_empty_features():
    out = Extractor({"net": "hardnet.nano"})({"image": torch.zeros(1, 1, 40, 50)})
    assert out["keypoints"].shape == (1, 0, 2)
    assert out["descriptors"].shape == (1, 128, 0)


def test_without_hloc_one_line_says_where_it_is(monkeypatch):
    monkeypatch.setitem(sys.modules, "hloc", None)
    with pytest.raises(RequestError, match=r"hloc cannot be imported \(.*Hierarchical-Local"):
        register()


def test_other_settings_and_inputs_are_refused(image_net):
    with pytest.raises(
        RequestError, match="no setting 'max_num_keypoints'; there are keypoint_thr"
    ):
        Extractor({"max_num_keypoints": 9})
    with pytest.raises(RequestError, match="most must be 1 or more"):
        Extractor({"max_keypoints": 0})
    with pytest.raises(ArtifactError, match="no such file, nor a shipped network"):
        Extractor({"net": "nothing"})
    model = Extractor({"net": str(image_net)})
    with pytest.raises(RequestError, match="'image' is missing"):
        model({"grey": torch.zeros(1, 1, 8, 8)})
    with pytest.raises(RequestError, match="one image at a time, not 2"):
        model({"image": torch.zeros(2, 1, 8, 8)})
    with pytest.raises(InputError, match="images must be floats"):
        model({"image": torch.zeros(1, 2, 8, 8)})
