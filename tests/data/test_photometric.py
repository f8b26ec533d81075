import numpy as np
import pytest

from descompress.data.photometric import Photometric

NOTHING = Photometric(
    blur=0.0, noise=0.0, gamma=0.0, contrast=1.0, jpeg=0.0, shadow=0.0, occlusion=0.0
)
PATCHES = np.random.default_rng(0).random((64, 32, 32)).astype(np.float32)


def applied(**strengths: float) -> np.ndarray:
    from dataclasses import replace

    return replace(NOTHING, **strengths).apply(PATCHES, np.random.default_rng(1))


@pytest.mark.parametrize(
    "strengths",
    [
        {"blur": 2.0},
        {"noise": 0.1},
        {"gamma": 0.8},
        {"contrast": 0.3},
        {"jpeg": 1.0},
        {"shadow": 1.0},
        {"occlusion": 1.0},
    ],
)
def test_every_change_changes_something_within_range(strengths):
    plain, changed = applied(), applied(**strengths)
    assert changed.dtype == np.float32
    assert changed.shape == PATCHES.shape
    assert 0 <= changed.min() <= changed.max() <= 1
    different = np.abs(changed - plain).reshape(64, -1).max(1) > 1e-3
    assert different.mean() > 0.2


def test_the_patches_given_are_left_as_they_were():
    before = PATCHES.copy()
    Photometric().apply(PATCHES, np.random.default_rng(2))
    np.testing.assert_array_equal(PATCHES, before)


def test_blur_takes_detail_away():
    rough = np.abs(np.diff(applied(blur=3.0), axis=2)).mean((1, 2))
    plain = np.abs(np.diff(applied(), axis=2)).mean((1, 2))
    blurred = rough < plain * 0.9
    assert 0.15 < blurred.mean() < 0.5  # half are, many of those little
    assert (rough <= plain + 0.02).all()


def test_an_occlusion_covers_less_than_half_of_a_patch():
    covered = (np.abs(applied(occlusion=1.0) - applied()) > 1e-6).mean((1, 2))
    assert covered.max() < 0.5


def test_jpeg_keeps_the_mean():
    np.testing.assert_allclose(applied(jpeg=1.0).mean((1, 2)), applied().mean((1, 2)), atol=0.03)
