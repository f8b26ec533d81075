import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from descompress.errors import InputError, RequestError
from descompress.integrations.extraction import ImageExtractor
from descompress.integrations.vismatch import Matcher, vismatch_matcher
from descompress.selection import Selection

FIELDS = (
    "matched_kpts0",
    "matched_kpts1",
    "all_kpts0",
    "all_kpts1",
    "all_desc0",
    "all_desc1",
    "matched_confidences",
)


class BaseMatcher(nn.Module):
    """vismatch's interface: a device and settings; seven values, of which it makes a dictionary."""

    def __init__(self, device="cpu", **kwargs):
        super().__init__()
        self.device, self.threshold = device, kwargs.get("ransac_reproj_thresh", 3)

    @torch.inference_mode()
    def forward(self, img0, img1):
        outputs = self._forward(img0, img1)
        assert len(outputs) == 7
        return dict(zip(FIELDS, outputs, strict=True))


@pytest.fixture(scope="module")
def pair(discs) -> list[torch.Tensor]:
    """The second image is the first, 30 pixels to the left."""
    whole = torch.from_numpy(discs(3, (120, 190), 60, 12)).float() / 255
    return [whole[:, x : x + 160].expand(3, -1, -1) for x in (0, 30)]


@pytest.fixture
def vismatch(monkeypatch):
    for name in ("vismatch", "vismatch.base_matcher"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["vismatch.base_matcher"].BaseMatcher = BaseMatcher


def test_seven_values_in_vismatchs_order(pair):
    matcher = Matcher(ImageExtractor.from_pretrained("hardnet.tiny", Selection(most=150)))
    found = matcher._forward(*pair)
    assert found._fields == FIELDS
    assert all(isinstance(value, np.ndarray) for value in found)
    matched0, matched1, all0, all1, rows0, rows1, confidences = found
    assert all0.shape == (len(rows0), 2)
    assert all1.shape == (len(rows1), 2)
    assert matched0.shape == matched1.shape == (len(confidences), 2)
    assert 30 < len(confidences) <= 150
    assert {tuple(p) for p in matched0} <= {tuple(p) for p in all0}
    right = np.linalg.norm(matched0 - matched1 - [30, 0], axis=1) < 1
    assert right.mean() > 0.6
    for p, q, confidence in zip(matched0, matched1, confidences, strict=True):
        ends = rows0[(all0 == p).all(1)], rows1[(all1 == q).all(1)]  # one for each orientation
        assert np.abs(ends[0] @ ends[1].T - confidence).min() < 1e-5


def test_an_image_without_points_gives_empty_arrays(pair):
    matcher = Matcher(ImageExtractor.from_pretrained("hardnet.nano", Selection(most=20)))
    found = matcher._forward(pair[0], torch.zeros(3, 40, 50))
    assert [len(value) for value in found] == [0, 0, 20, 0, 20, 0, 0]


def test_vismatch_calls_it_as_one_of_its_own(vismatch, pair):
    matcher = vismatch_matcher("hardnet.nano", selection=Selection(most=9), ransac_reproj_thresh=1)
    assert isinstance(matcher, BaseMatcher)
    assert (matcher.device, matcher.threshold) == ("cpu", 1)
    assert not matcher.training
    assert matcher(*pair)["all_desc0"].shape == (9, 128)


def test_what_cannot_be_matched_is_refused(monkeypatch):
    matcher = Matcher(ImageExtractor.from_pretrained("hardnet.nano"))
    with pytest.raises(InputError, match="images must be floats"):
        matcher._forward(torch.zeros(2, 9, 9), torch.zeros(3, 9, 9))
    monkeypatch.setitem(sys.modules, "vismatch", None)
    with pytest.raises(RequestError, match=r"vismatch cannot be imported \(.*pip install vismatch"):
        vismatch_matcher("hardnet")
