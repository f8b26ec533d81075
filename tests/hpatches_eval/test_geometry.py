import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpatches_eval.errors import RequestError
from hpatches_eval.geometry import (
    Estimation,
    adapted,
    corner_error,
    fitted,
    resized,
    scaling,
    visible,
    warp,
)

SHIFT = np.array([[1.0, 0, 3], [0, 1, 4], [0, 0, 1]])


def test_points_follow_the_homography_in_homogeneous_coordinates():
    homography = np.array([[2.0, 0, 1], [0, 2, -1], [0.5, 0, 1]])
    assert warp(homography, np.array([[2.0, 3.0]])) == pytest.approx(np.array([[2.5, 2.5]]))


def test_points_on_or_behind_the_horizon_are_infinitely_far():
    homography = np.array([[1.0, 0, 0], [0, 1, 0], [-1, 0, 1]])
    warped = warp(homography, np.array([[0.5, 1.0], [1.0, 1.0], [2.0, 1.0]]))
    assert warped[0] == pytest.approx([1, 2])
    assert np.isinf(warped[1:]).all()


def test_no_points_stay_no_points():
    assert warp(SHIFT, np.empty((0, 2))).shape == (0, 2)


@pytest.mark.parametrize(
    ("point", "expected"),
    [((0, 0), (0.5, 1.0)), ((-0.5, -0.5), (-0.5, -0.5)), ((9.5, 3.5), (19.5, 11.5))],
)
def test_the_edges_of_the_image_stay_its_edges_when_it_is_resized(point, expected):
    matrix = scaling((4, 10), (12, 20))  # x times 2, y times 3
    assert warp(matrix, np.array([point], float))[0] == pytest.approx(expected)


def test_a_dot_is_where_the_convention_says_after_opencv_resized_the_image():
    image = np.zeros((40, 60), np.uint8)
    image[12:16, 20:24] = 255  # centre (21.5, 13.5)
    small = resized(image, (20, 30))
    y, x = np.nonzero(small)
    centre = [x.mean(), y.mean()]
    assert warp(scaling((40, 60), (20, 30)), np.array([[21.5, 13.5]]))[0] == pytest.approx(centre)


def test_what_gets_smaller_in_one_direction_is_averaged_too():
    stripes = np.zeros((8, 64), np.uint8)
    stripes[:, ::4] = 240  # one column in four
    assert np.unique(resized(stripes, (8, 16))).tolist() == [60]
    assert np.unique(resized(stripes.T.copy(), (16, 8))).tolist() == [60]


def test_an_adapted_homography_does_to_small_images_what_the_true_one_does_to_large_ones():
    first, second = ((700, 1000), (448, 640)), ((680, 880), (495, 640))
    homography = np.array([[0.9, 0.1, 20], [-0.05, 1.1, 3], [1e-4, 2e-5, 1]])
    points = np.array([[10.0, 20], [500, 300], [999, 699]])
    direct = warp(scaling(*second), warp(homography, points))
    through = warp(adapted(homography, first, second), warp(scaling(*first), points))
    assert through == pytest.approx(direct)


@pytest.mark.parametrize(
    ("shape", "side", "measure", "expected"),
    [
        ((700, 1000), 640, "long", (448, 640)),
        ((1024, 768), 640, "long", (640, 480)),
        ((600, 900), 480, "short", (480, 720)),
        ((300, 400), 640, "long", (480, 640)),
        ((300, 401), 0, "long", (300, 401)),
    ],
)
def test_the_chosen_side_gets_its_length_and_the_other_follows(shape, side, measure, expected):
    assert fitted(shape, side, measure) == expected


def test_visible_is_what_lies_on_pixels():
    points = np.array([[-0.5, -0.5], [9.5, 3.5], [-0.6, 0], [0, 3.6], [np.inf, np.inf]])
    assert visible(points, (4, 10)).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("method", ["ransac", "magsac"])
def test_the_homography_is_found_among_false_matches(method):
    rng = np.random.default_rng(0)
    first = rng.uniform(0, 600, (100, 2))
    homography = np.array([[0.9, 0.1, 20], [-0.05, 1.1, 3], [1e-4, 2e-5, 1]])
    second = warp(homography, first)
    second[:30] = rng.uniform(0, 600, (30, 2))
    found, inliers = Estimation(method)(first, second)
    assert corner_error(found, homography, (600, 600)) < 0.01
    assert 70 <= inliers <= 72


@pytest.mark.parametrize("method", ["ransac", "magsac"])
def test_an_estimate_is_repeated_exactly_whatever_opencv_did_before_and_seeds_differ(method):
    rng = np.random.default_rng(1)
    first = rng.uniform(0, 600, (60, 2))
    second = first + rng.normal(0, 2, first.shape)
    second[:30] = rng.uniform(0, 600, (30, 2))
    before, _ = Estimation(method)(first, second)
    cv2.setRNGSeed(17)
    cv2.findHomography(first[:20], second[:20], cv2.RANSAC)
    after, _ = Estimation(method)(first, second)
    assert before is not None
    assert np.array_equal(before, after)
    others = [Estimation(method, seed=seed)(first, second)[0] for seed in range(1, 5)]
    assert any(not np.allclose(before, other) for other in others)


@pytest.mark.parametrize("points", [np.empty((0, 2)), np.eye(3)[:, :2], np.ones((10, 2))])
@pytest.mark.parametrize("method", ["ransac", "magsac"])
def test_too_few_matches_and_coinciding_ones_give_no_homography(points, method):
    found, inliers = Estimation(method)(points, points)
    assert found is None
    assert inliers == 0


def test_corner_error_is_the_mean_of_the_four_distances():
    assert corner_error(SHIFT, np.eye(3), (5, 9)) == pytest.approx(5)
    stretched = np.diag([1.5, 1, 1])  # the right corners move: by 4 of w - 1 = 8, by 4.5 of w = 9
    assert corner_error(stretched, np.eye(3), (5, 9)) == pytest.approx(2)
    assert corner_error(stretched, np.eye(3), (5, 9), outer=True) == pytest.approx(2.25)


def test_no_estimate_and_one_with_a_corner_behind_it_are_infinitely_wrong():
    flipping = np.array([[1.0, 0, 0], [0, 1, 0], [-1, 0, 1]])
    assert corner_error(None, np.eye(3), (5, 9)) == np.inf
    assert corner_error(flipping, np.eye(3), (5, 9)) == np.inf


@given(st.integers(16, 2000), st.integers(16, 2000), st.integers(16, 2000), st.integers(16, 2000))
def test_resizing_back_undoes_resizing(a, b, c, d):
    both = scaling((c, d), (a, b)) @ scaling((a, b), (c, d))
    assert both == pytest.approx(np.eye(3), abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lmeds",), "estimator 'lmeds': there are ransac, magsac"),
        (("ransac", 0.0), r"inlier threshold 0\.0: a positive number"),
        (("ransac", float("inf")), "inlier threshold inf: a positive number"),
        (("ransac", float("nan")), "inlier threshold nan"),
        (("ransac", 3.0, -1), "seed -1: it must not be negative"),
    ],
)
def test_an_estimation_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(RequestError, match=message):
        Estimation(*arguments)
