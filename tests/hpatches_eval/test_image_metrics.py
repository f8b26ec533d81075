import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpatches_eval.geometry import warp
from hpatches_eval.imagemetrics import (
    View,
    error_auc,
    homography_correctness,
    matching_accuracy,
    matching_score,
    nearest_neighbour_ap,
    repeatability,
    symmetric_repeatability,
)
from hpatches_eval.matching import Neighbours, neighbours

SHAPE = (100, 200)
NONE = np.empty((0, 2))


def shift(x: float, y: float = 0.0) -> np.ndarray:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def view(first, second, homography=None, shapes=(SHAPE, SHAPE)) -> View:
    points = np.array(first, float).reshape(-1, 2), np.array(second, float).reshape(-1, 2)
    return View(points, shapes, np.eye(3) if homography is None else homography)


# Image 2 shows what image 1 shows from x = 150 on; (20, 50) and (170, 10) are seen in one only.
FIRST = [(160, 10), (180, 50), (199, 90), (20, 50)]
SECOND = [(10, 10), (30, 53), (52, 90), (170, 10)]
BESIDE = view(FIRST, SECOND, shift(-150))


def test_the_common_region_is_what_falls_on_the_other_image():
    first, second = BESIDE.common
    assert first.tolist() == [True, True, True, False]
    # (52, 90) is (202, 90) in image 1 and (170, 10) is (320, 10): both beyond its 200 columns
    assert second.tolist() == [True, True, False, False]


def test_repeatability_and_localisation_error_are_those_counted_by_hand():
    # image 1's in image 2: (10, 10) at 0, (30, 50) at 3, (49, 90) at 43; image 2's: at 0 and at 3
    share, error = repeatability(BESIDE)
    assert share == pytest.approx(4 / 5)
    assert error == pytest.approx((0 + 3 + 0 + 3) / 4)
    share, error = repeatability(BESIDE, within=2.9)
    assert (share, error) == (pytest.approx(2 / 5), 0)


def test_a_smaller_second_image_brings_points_closer_unless_each_image_counts_its_own():
    half = np.diag([0.5, 0.5, 1])
    zoomed = view([(100, 50)], [(52, 25)], half)  # 2 px apart in image 2, 4 in image 1
    assert repeatability(zoomed) == (1, 2)
    assert symmetric_repeatability(zoomed) == (0.5, 2)


@pytest.mark.parametrize("measure", [repeatability, symmetric_repeatability])
@pytest.mark.parametrize(
    ("points", "expected"),
    [((NONE, NONE), (0, None)), ((NONE, [(1, 1)]), (0, None)), (([(1, 1)], NONE), (0, None))],
)
def test_images_without_keypoints_repeat_nothing(points, expected, measure):
    assert measure(view(*points)) == expected


def test_images_that_share_nothing_repeat_nothing():
    assert repeatability(view([(1, 1)], [(1, 1)], shift(1000))) == (0, None)


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(0, 30))
def test_swapping_the_images_leaves_symmetric_repeatability(seed, n, m):
    rng = np.random.default_rng(seed)
    homography = shift(*rng.uniform(-30, 30, 2)) @ np.diag([*rng.uniform(0.5, 2, 2), 1])
    first, second = (rng.uniform(0, 60, (k, 2)) for k in (n, m))
    there = view(first, second, homography)
    back = view(second, first, np.linalg.inv(homography))
    assert symmetric_repeatability(there) == pytest.approx(symmetric_repeatability(back))


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30))
def test_under_a_rotation_both_repeatabilities_are_one(seed, n, m):
    rng = np.random.default_rng(seed)
    turn = rng.uniform(0, 6)
    homography = np.eye(3)
    homography[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    pair = view(rng.uniform(0, 50, (n, 2)), rng.uniform(0, 50, (m, 2)), homography)
    assert repeatability(pair) == pytest.approx(symmetric_repeatability(pair))


def test_match_errors_are_measured_in_the_second_image():
    matches = np.array([[1, 1], [0, 1]])
    assert view(FIRST, SECOND, shift(-150)).errors(matches) == pytest.approx([3, np.hypot(20, 43)])


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([0.5, 1.0, 2.5, 99.0], [0.5, 0.5, 0.75, 0.75, 0.75, 0.75, 0.75, 0.75, 0.75, 0.75]),
        ([10.0], [0.0] * 9 + [1.0]),
        ([np.inf], [0.0] * 10),
        ([], [0.0] * 10),
    ],
)
def test_matching_accuracy_is_the_share_at_most_so_far_off_and_0_without_matches(errors, expected):
    assert matching_accuracy(np.array(errors)) == expected


def one_way(labels: list[bool], distances: list[float]) -> float:
    """AP of one direction: points on a line, matched with one near or one far away."""
    n = len(labels)
    points = np.column_stack([np.arange(n) * 10.0, np.zeros(n)])
    others = points + np.where(labels, 0, 50)[:, None]
    found = Neighbours(np.arange(n), np.array(distances, float), np.full(n, -1), np.full(n, np.inf))
    return 2 * nearest_neighbour_ap(view(points, others, shapes=((500, 500), (500, 500))), found)


@pytest.mark.parametrize(
    ("labels", "distances", "expected"),
    [
        ([True, True], [1, 2], 1.0),
        ([True, False], [1, 2], 1.0),
        ([False, True], [1, 2], 0.25),  # precision 0 to 1/2 while recall goes from 0 to 1
        ([True, False, True], [1, 2, 3], (1 + (1 / 2 + 2 / 3) / 2) / 2),
        ([True, False, True], [1, 3, 2], 1.0),
        ([False, False], [1, 2], 0.0),
    ],
)
def test_nn_ap_is_the_trapezoid_area_of_matches_ranked_by_distance(labels, distances, expected):
    assert one_way(labels, distances) == pytest.approx(expected, abs=1e-9)


def test_nn_ap_takes_both_directions_and_only_points_of_the_common_region():
    # (20, 50) of image 1 would be a wrong match at distance 0, but image 2 does not show it
    first = np.array([[0.0], [10], [40], [100]], np.float32)
    second = np.array([[1.0], [12], [70], [100]], np.float32)
    found = neighbours(first, second)
    assert found.forward.tolist() == [0, 1, 1, 3]
    # forward: right at 1, right at 2, wrong at 28; backward: right at 1, right at 2
    assert nearest_neighbour_ap(BESIDE, found) == pytest.approx(1)
    # with errors below 2.9 only (10, 10) is right, first in both directions
    assert nearest_neighbour_ap(BESIDE, found, within=2.9) == pytest.approx(1)
    swapped = neighbours(first, second[[1, 0, 2, 3]])  # now nothing is right
    assert nearest_neighbour_ap(BESIDE, swapped) == 0


def test_matching_score_is_the_mean_share_of_true_matches_in_the_common_region():
    # two true matches; image 1 has 3 points in the region, image 2 has 2
    matches = np.array([[0, 0], [1, 1], [3, 3]])
    assert matching_score(BESIDE, matches) == pytest.approx((2 / 3 + 2 / 2) / 2)
    assert matching_score(BESIDE, matches, within=2.9) == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_a_true_match_of_a_point_just_outside_the_common_region_does_not_count_for_it():
    # (48, 50) is at (-2, 50) in image 2; (0, 50) of image 2 is at (50, 50) in image 1
    pair = view([(48, 50), (60, 50)], [(0, 50)], shift(-50))
    assert matching_score(pair, np.array([[0, 0]])) == pytest.approx((0 / 1 + 1 / 1) / 2)


def test_without_keypoints_or_matches_the_scores_are_0():
    nothing = np.empty((0, 2), np.int64)
    empty = neighbours(np.empty((0, 4), np.float32), np.empty((0, 4), np.float32))
    assert matching_score(BESIDE, nothing) == 0
    assert matching_score(view(NONE, NONE), nothing) == 0
    assert nearest_neighbour_ap(view(NONE, NONE), empty) == 0


@given(st.integers(0, 2**32 - 1), st.integers(4, 40))
def test_the_same_features_under_the_identity_are_perfect(seed, n):
    rng = np.random.default_rng(seed)
    points = rng.permutation(n)[:, None] * 4.0 + rng.uniform(0, 0.5, (n, 2))
    rows = rng.normal(size=(n, 8)).astype(np.float32)
    same, found = view(points, points, shapes=((500, 500), (500, 500))), neighbours(rows, rows)
    assert repeatability(same) == (1, 0)
    assert matching_accuracy(same.errors(found.mutual())) == [1] * 10
    assert nearest_neighbour_ap(same, found) == pytest.approx(1)
    assert matching_score(same, found.mutual()) == 1


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(2, 30))
def test_the_order_of_the_features_makes_no_difference(seed, n, m):
    rng = np.random.default_rng(seed)
    homography = shift(*rng.uniform(-9, 9, 2))
    points = [rng.uniform(0, 100, (k, 2)) for k in (n, m)]
    rows = [rng.normal(size=(k, 4)).astype(np.float32) for k in (n, m)]

    def measured(first, second):
        pair = view(points[0][first], points[1][second], homography)
        found = neighbours(rows[0][first], rows[1][second])
        matches = found.mutual()
        return [
            repeatability(pair)[0],
            *matching_accuracy(pair.errors(matches)),
            nearest_neighbour_ap(pair, found),
            matching_score(pair, matches),
        ]

    mixed = measured(rng.permutation(n), rng.permutation(m))
    assert measured(np.arange(n), np.arange(m)) == pytest.approx(mixed)


def test_homographies_are_correct_below_the_threshold_only():
    errors = np.array([0.5, 2.999, 3.0, np.inf])
    assert homography_correctness(errors, (1, 3, 5)) == [0.25, 0.5, 0.75]
    assert homography_correctness(np.empty(0), (1, 3)) == [0, 0]


@pytest.mark.parametrize(
    ("errors", "threshold", "expected"),
    [
        ([1, 2], 3, 2 / 3),  # (0, 0) (1, 1/2) (2, 1) (3, 1): 1/4 + 3/4 + 1
        ([2, 1], 3, 2 / 3),
        ([0, 0], 5, 1),
        ([4, 9], 3, 0),  # nothing below 3: recall stays 0, and does not rise towards 4
        ([1, np.inf], 5, (0.25 + 2) / 5),  # (0, 0) (1, 1/2) (5, 1/2)
        ([np.inf], 1, 0),
        ([], 1, 0),
    ],
)
def test_auc_is_the_area_under_the_broken_line(errors, threshold, expected):
    assert error_auc(np.array(errors, float), (threshold,)) == pytest.approx([expected])


def test_a_view_warps_each_image_into_the_other():
    homography = np.array([[0.9, 0.1, 20], [-0.05, 1.1, 3], [1e-4, 2e-5, 1]])
    points = np.array([[10.0, 20], [150, 80]])
    both = view(points, warp(homography, points), homography)
    assert both.warped[0] == pytest.approx(both.points[1])
    assert both.warped[1] == pytest.approx(both.points[0])
