"""The validation of a training, and what a pack keeps of it."""

import numpy as np
import pytest
import torch
from torch import nn

from descompress.data.mixture import Material, read_mixture
from descompress.nets import build
from descompress.spec import Spec
from descompress.validation import Validation, held_out_validation
from hpatches_eval.errors import DataError


@pytest.fixture(scope="module")
def validation(shared) -> Validation:
    mixture = read_mixture(Material(tours=(shared / "phototour" / "herzjesu",)))
    return held_out_validation(mixture)


def test_kept_as_arrays_it_says_the_same(validation):
    arrays = validation.arrays()
    assert {array.dtype for name, array in arrays.items() if name != "same"} == {np.dtype("u1")}
    again = Validation.from_arrays(arrays)
    net = build(Spec("strided", {"widths": (4, 4, 4, 4)})).eval()
    assert again.fpr95(net) == pytest.approx(validation.fpr95(net), abs=2e-3)
    assert again.tour is not None
    assert len(again.tour[2]) == 8000


class Pixels(nn.Module):
    """Patches describe themselves, mixed with noise where their own share is below 1."""

    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1) - x.flatten(1).mean(1, keepdim=True)
        x = nn.functional.normalize(x, dim=1)
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(len(x)))
        return self.share * x + (1 - self.share) * noise


def test_validation_tells_a_good_descriptor_from_a_bad_one():
    patches = np.random.default_rng(0).random((30, 32, 32)).astype(np.float32)
    noisy = patches + np.random.default_rng(1).normal(0, 0.05, patches.shape).astype(np.float32)
    views = [{"ref": patches, "e": noisy, "h": noisy, "t": noisy}]
    tour = (
        np.concatenate([patches, patches]),
        np.concatenate([noisy, np.roll(noisy, 1, axis=0)]),
        np.arange(60) < 30,
    )
    validation = Validation(views, tour)
    assert validation.matching(Pixels(1.0)) == pytest.approx(1.0, abs=1e-6)
    assert validation.fpr95(Pixels(1.0)) == 0
    assert validation.matching(Pixels(0.0)) < 0.15
    assert validation.fpr95(Pixels(0.0)) > 0.5


def test_matching_is_told_by_difficulty():
    ref = np.random.default_rng(0).random((9, 32, 32)).astype(np.float32)
    views = [{"ref": ref, "e": ref, "h": ref[::-1], "t": ref}] * 2  # h: all but the middle wrong
    validation = Validation(views)
    found = validation.matching_by_difficulty(Pixels())
    assert [*found] == ["e", "h", "t"]
    assert found["e"] == found["t"] == pytest.approx(1)
    assert found["h"] < 0.2
    assert validation.matching(Pixels()) == pytest.approx(sum(found.values()) / 3)
    assert Validation([]).matching_by_difficulty(Pixels()) == {}


def test_wrong_pairs_are_counted_at_any_recall():
    first = np.random.default_rng(0).random((20, 32, 32)).astype(np.float32)
    second = first.copy()
    second[8:10] = 1 - first[8:10]  # two of ten right pairs are farther than any other pair
    second[10:] = np.roll(first[10:], 1, axis=0)
    validation = Validation([], (first, second, np.arange(20) < 10))
    assert validation.false_positive_rates(Pixels(), (0.5, 0.8, 0.9, 1.0)) == [0, 0, 1, 1]
    assert validation.fpr95(Pixels()) == 1
    assert Validation([]).false_positive_rates(Pixels(), (0.5,)) == []


def test_views_keep_their_places():
    rng = np.random.default_rng(0)
    views = [
        {name: (rng.integers(0, 256, (5, 32, 32)) / 255).astype(np.float32) for name in "reht"}
        for _ in range(2)
    ]
    views = [{"ref": v.pop("r"), **v} for v in views]
    again = Validation.from_arrays(Validation(views).arrays())
    for before, after in zip(views, again.views, strict=True):
        for name, patches in before.items():
            assert np.allclose(after[name], patches, atol=1e-6)
    assert again.tour is None


def test_what_is_missing_is_named(validation):
    arrays = validation.arrays()
    del arrays["second"]
    with pytest.raises(DataError, match="lacks 'second'"):
        Validation.from_arrays(arrays)
