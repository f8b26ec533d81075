"""The validation of a training, and what a pack keeps of it."""

import numpy as np
import pytest

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
