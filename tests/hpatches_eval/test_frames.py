import numpy as np
import pytest
from ellipses import overlap
from hypothesis import given, settings
from hypothesis import strategies as st

from hpatches_eval.frames import (
    DIFFICULTIES,
    Jitter,
    circle_overlaps,
    cut,
    inside,
    pyramid,
    similarity,
)

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (120, 160)).astype(np.uint8)


def centred(column: int, row: int, size: int, angle: float = 0.0) -> np.ndarray:
    """The frame whose `size` x `size` patch has the pixels of the image, from this corner on."""
    half = size / 2
    return similarity(column + half - 0.5, row + half - 0.5, half, angle)


def test_a_patch_at_the_scale_of_the_image_is_a_crop_of_it():
    patch = cut(pyramid(NOISE), centred(30, 20, 32), 32)
    np.testing.assert_array_equal(patch, NOISE[20:52, 30:62])


def test_a_patch_turned_by_a_right_angle_is_the_crop_turned():
    patch = cut(pyramid(NOISE), centred(30, 20, 32, np.pi / 2), 32)
    # Its x axis points down the image: the first row is the last column, read downwards.
    np.testing.assert_array_equal(patch, np.rot90(NOISE[20:52, 30:62]))


@pytest.mark.parametrize("radius", [10.0, 40.0, 90.0])
def test_every_level_keeps_the_place_of_its_pixels(radius):
    x, y = np.meshgrid(np.arange(300), np.arange(300))
    ramp = (0.5 * x + 0.3 * y).astype(np.uint8)
    patch = cut(pyramid(ramp), similarity(150.0, 140.0, radius, 0.0), 16).astype(float)
    at = (np.arange(16) * 2 + 1) / 16 - 1
    expected = 0.5 * (150 + radius * at)[None] + 0.3 * (140 + radius * at)[:, None]
    assert np.abs(patch - expected)[1:-1, 1:-1].max() < 1.5  # rounding, twice


@pytest.mark.parametrize("period", [2, 3])
def test_what_a_patch_cannot_show_does_not_alias(period):
    stripes = np.tile((np.arange(480) % period == 0) * 255, (480, 1)).astype(np.uint8)
    frame = similarity(240.0, 240.0, 140.0, 0.3)  # 280 pixels on 65: more than four to one
    assert cut(pyramid(stripes), frame, 65).std() < 5
    at = np.linspace(-1, 1, 65)
    points = frame @ np.stack([*np.meshgrid(at, at), np.ones((65, 65))]).reshape(3, -1)
    picked = stripes[points[1].round().astype(int), points[0].round().astype(int)]
    assert picked.std() > 50  # plain sampling does


def test_a_projective_frame_shows_what_the_homography_maps():
    x, y = np.meshgrid(np.arange(400.0), np.arange(300.0))
    image = (127 + 60 * np.sin(x / 15) + 60 * np.cos(y / 11)).astype(np.uint8)
    homography = np.array([[0.9, 0.1, 20], [-0.05, 1.1, -10], [2e-4, -1e-4, 1]])
    patch = cut(pyramid(image), homography @ similarity(150.0, 120.0, 20.0, 0.2), 31).astype(float)
    at = (np.arange(31) * 2 + 1) / 31 - 1
    points = np.stack([*np.meshgrid(at, at), np.ones((31, 31))]).reshape(3, -1)
    mapped = homography @ similarity(150.0, 120.0, 20.0, 0.2) @ points
    u, v = (mapped[:2] / mapped[2]).reshape(2, 31, 31)
    expected = 127 + 60 * np.sin(u / 15) + 60 * np.cos(v / 11)
    assert np.abs(patch - expected).max() < 4


@pytest.mark.parametrize(
    ("frame", "fits"),
    [
        (similarity(50.0, 50.0, 50.0, 0.0), True),
        (similarity(50.0, 50.0, 50.1, 0.0), False),
        (similarity(50.0, 50.0, 50.0, 0.1), False),
        (similarity(3.0, 50.0, 5.0, 0.0), False),
        (np.array([[10.0, 0, 50], [0, 10, 50], [1.2, 0, 1]]), False),  # folds over the horizon
        # Folds too, and yet all four corners land on the image.
        (np.array([[60.0, 0, 50], [60, 10, 50], [1.2, 0, 1]]), False),
    ],
)
def test_a_frame_is_inside_when_all_its_corners_are(frame, fits):
    assert inside(frame, (101, 101)) is fits


def test_overlaps_of_circles_are_those_of_geometry():
    found = circle_overlaps(
        (0.0, 0.0, 2.0), np.array([[0, 0, 2], [5, 0, 2], [0, 0, 1], [4, 0, 2], [2, 0, 2.0]])
    )
    lens = 2 * 4 * np.arccos(0.5) - np.sqrt(12)  # two circles of radius 2, 2 apart
    np.testing.assert_allclose(found, [1, 0, 1 / 4, 0, lens / (8 * np.pi - lens)], atol=1e-9)


@settings(max_examples=40)
@given(x=st.floats(-2, 2), y=st.floats(-2, 2), r=st.floats(0.3, 3))
def test_overlap_of_an_ellipse_agrees_with_that_of_circles(x, y, r):
    jitter = np.array([[r, 0, x], [0, r, y], [0, 0, 1.0]])
    expected = circle_overlaps((0.0, 0.0, 1.0), np.array([[x, y, r]]))[0]
    assert overlap(jitter, samples=150) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(("name", "median"), [("e", 0.85), ("h", 0.72), ("t", 0.60)])
def test_difficulties_overlap_as_much_as_those_of_hpatches(name, median):
    rng = np.random.default_rng(1)
    overlaps = [overlap(DIFFICULTIES[name].draw(rng), samples=50) for _ in range(1000)]
    assert np.median(overlaps) == pytest.approx(median, abs=0.02)


def test_jitter_stays_within_its_bounds():
    jitter, rng = Jitter(0.1, 10.0, 0.2, 0.3), np.random.default_rng(2)
    draws = np.stack([jitter.draw(rng) for _ in range(2000)])
    assert np.abs(draws[:, :2, 2]).max() <= 0.1
    areas = np.linalg.det(draws[:, :2, :2])
    assert 2**-0.4 <= areas.min() < 2**-0.38
    assert 2**0.38 < areas.max() <= 2**0.4
    long, short = np.linalg.svd(draws[:, :2, :2], compute_uv=False).T
    assert 2**0.28 < (long / short).max() <= 2**0.3 + 1e-9


def test_no_jitter_is_the_identity():
    none = DIFFICULTIES["t"].times(0.0)
    np.testing.assert_allclose(none.draw(np.random.default_rng(0)), np.eye(3), atol=1e-12)
