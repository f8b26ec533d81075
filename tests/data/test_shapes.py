import cv2
import numpy as np
import pytest

from descompress.data.shapes import KINDS, OVER, Shapes, checkerboard, drawn, ellipses, noise

NAMES = [kind.__name__ for kind in KINDS]


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
@pytest.mark.parametrize("seed", range(6))
def test_corners_are_where_the_picture_changes_in_two_directions(kind, seed):
    """Harris' measure near a corner is far above that of a random place."""
    image = np.full((240, 320), 128, np.uint8)
    corners = kind(image, np.random.default_rng(seed))
    if kind in (ellipses, noise):
        assert len(corners) == 0
        return
    inside = (corners > 8).all(1) & (corners < np.array([312, 232])).all(1)
    strength = cv2.cornerMinEigenVal(cv2.GaussianBlur(image, (0, 0), 1.0), 5)
    near = cv2.dilate(strength, np.ones((7, 7)))
    x, y = corners[inside].round().astype(int).T
    assert (near[y, x] > 5 * np.median(strength) + 1e-6).mean() > 0.8


def test_a_board_has_all_the_corners_of_its_fields():
    corners = checkerboard(np.full((240, 320), 128, np.uint8), np.random.default_rng(0))
    counts = {(m + 1) * (n + 1) for m in range(3, 7) for n in range(3, 7)}
    assert len(corners) in counts


def test_drawings_have_the_size_that_was_asked_for_and_corners_on_them():
    for seed in range(20):
        image, corners = drawn((48, 64), np.random.default_rng(seed))
        assert image.shape == (48, 64)
        assert image.dtype == np.uint8
        assert (corners >= 0).all()
        assert (corners <= np.array([63, 47])).all()


def test_corners_are_shrunk_with_the_drawing(monkeypatch):
    def block(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        image[:] = 0
        image[20:, 30:] = 255  # the corner of the block lies at (29.5, 19.5)
        return np.array([[29.5, 19.5]])

    monkeypatch.setattr("descompress.data.shapes.KINDS", (block,))
    image, corners = drawn((24, 40), np.random.default_rng(0))
    np.testing.assert_allclose(corners, [[(29.5 + 0.5) / OVER - 0.5, (19.5 + 0.5) / OVER - 0.5]])
    assert image[10, 15] == 255
    assert image[9, 15] == image[10, 14] == 0


def test_a_batch_is_a_function_of_its_number():
    source = Shapes(3, (48, 64), seed=1)
    first, again, other = source(5), source(5), source(6)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.images, other.images)
    assert tuple(first.images.shape) == (2, 3, 1, 48, 64)
    assert (first.matches == 0).all()
    assert first.inside.all()
    strengths = first.points[..., 2]
    assert set(np.unique(strengths).tolist()) <= {0.0, 1.0}


def test_drawings_to_validate_on_are_others():
    source = Shapes(2, (48, 64))
    assert len(source.scenes(4)) == 4
    batch = (source(0).images.numpy() * 255).round().astype(np.uint8)
    for scene in source.scenes(4):
        assert scene.points.shape[1] == 3
        assert not any(
            np.array_equal(scene.levels.levels[0], i[0]) for i in batch.reshape(-1, 1, 48, 64)
        )
