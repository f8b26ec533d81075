import cv2
import numpy as np
import pytest

from descompress.data.adaptation import Adaptation, corners
from descompress.data.viewpoints import Viewpoints

STILL = Viewpoints(turn=0.0, any_turn=0.0, zoom=0.0, stretch=0.0, tilt=0.0, shift=0.0)


def squares() -> np.ndarray:
    """Bright squares on grey: their corners are at 20 and 50, 80 and 110."""
    image = np.full((130, 130), 90, np.uint8)
    for x in (20, 80):
        for y in (20, 80):
            image[y : y + 31, x : x + 31] = 200
    return cv2.GaussianBlur(image, (0, 0), 0.8)


def test_corners_are_found_where_they_are():
    found = Adaptation(views=20).points(squares(), corners)
    wanted = np.array([[x, y] for x in (20, 50, 80, 110) for y in (20, 50, 80, 110)])
    apart = np.linalg.norm(found[:16, None, :2] - wanted, axis=2)
    assert (apart.min(0) < 2.2).all()  # windows of 5 x 5 pixels see a corner a little inside
    assert (found[:16, 2] > 0.4).all()
    assert (np.diff(found[:, 2]) <= 0).all()


def test_what_is_always_found_has_the_strength_of_its_blurred_count():
    # One point in the middle of a pixel on every view: its peak is the count itself.
    always = Adaptation(views=8, viewpoints=STILL)
    found = always.points(squares(), lambda image, most: np.array([[40.0, 60.0]]))
    assert len(found) == 1
    np.testing.assert_allclose(found[0, :2], [40, 60], atol=1e-6)
    assert found[0, 2] == pytest.approx(1, abs=0.02)  # the blur is cut off at some pixels


def test_what_is_found_on_a_quarter_of_the_views_has_that_strength():
    calls = iter(range(100))

    def sometimes(image: np.ndarray, most: int) -> np.ndarray:
        second = [[40.0, 60.0]] if next(calls) % 4 == 0 else []
        return np.array([[90.0, 20.0], *second])

    found = Adaptation(views=8, viewpoints=STILL).points(squares(), sometimes)
    np.testing.assert_allclose(found[1, :2], [40, 60], atol=1e-6)
    assert found[1, 2] == pytest.approx(0.25, abs=0.01)


def test_what_is_rarely_found_is_no_point():
    calls = iter(range(1000))

    def once(image: np.ndarray, most: int) -> np.ndarray:
        rare = [[40.0, 60.0]] if next(calls) == 3 else []
        return np.array([[90.0, 20.0], *rare])

    found = Adaptation(views=40, viewpoints=STILL).points(squares(), once)
    np.testing.assert_allclose(found[:, :2], [[90, 20]], atol=1e-6)


def test_points_are_carried_back_from_turned_and_scaled_views():
    def brightest(image: np.ndarray, most: int) -> np.ndarray:
        del most
        y, x = np.unravel_index(cv2.GaussianBlur(image, (0, 0), 2.0).argmax(), image.shape)
        return np.array([[float(x), float(y)]])

    image = np.full((120, 160), 60, np.uint8)
    cv2.circle(image, (90, 50), 5, 255, -1)
    found = Adaptation(views=30).points(image, brightest)
    np.testing.assert_allclose(found[0, :2], [90, 50], atol=1)


def test_without_a_point_that_is_found_for_sure_there_is_none():
    calls = iter(range(100))

    def sometimes(image: np.ndarray, most: int) -> np.ndarray:
        return np.array([[40.0, 60.0]] if next(calls) % 3 == 0 else np.zeros((0, 2)))

    assert len(Adaptation(views=9, viewpoints=STILL).points(squares(), sometimes)) == 0


def test_the_same_seed_finds_the_same():
    image = squares()
    first, second, other = (Adaptation(views=6).points(image, corners, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_noise_has_no_points():
    assert Adaptation().points(np.full((90, 90), 128, np.uint8), corners).shape == (0, 3)
