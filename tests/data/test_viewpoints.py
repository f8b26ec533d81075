import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descompress.data.viewpoints import Viewpoints, middle, moved, within


def test_the_middle_frame_reaches_the_edges_of_the_longer_side():
    frame = middle((10, 20))
    corners = moved(frame, np.array([[-1.0, -0.5], [1.0, 0.5]]))
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [19.5, 9.5]])


def test_points_behind_the_horizon_are_nowhere():
    matrix = np.array([[1.0, 0, 0], [0, 1, 0], [-1, 0, 1]])
    found = moved(matrix, np.array([[0.5, 0.5], [2.0, 0.0]]))
    np.testing.assert_allclose(found[0], [1.0, 1.0])
    assert np.isnan(found[1]).all()
    assert not within(found, (9, 9))[1]


def test_a_border_leaves_points_out():
    points = np.array([[0.0, 0.0], [4.0, 4.0], [5.1, 4.0]])
    assert within(points, (9, 10)).tolist() == [True, True, True]
    assert within(points, (9, 10), 4.0).tolist() == [False, True, False]


@given(st.integers(0, 10_000))
def test_without_any_freedom_a_view_is_the_photograph(seed):
    still = Viewpoints(turn=0.0, any_turn=0.0, zoom=0.0, stretch=0.0, tilt=0.0, shift=0.0)
    drawn = still.draw(np.random.default_rng(seed))
    np.testing.assert_allclose(drawn, np.eye(3), atol=1e-12)


@given(st.integers(0, 10_000))
def test_views_keep_within_their_bounds(seed):
    bounds = Viewpoints(
        turn=0.0, any_turn=1.0, most_turn=30.0, zoom=0.5, stretch=0.0, tilt=0.0, shift=0.2
    )
    drawn = bounds.draw(np.random.default_rng(seed))
    scale = np.sqrt(np.linalg.det(drawn[:2, :2]))
    assert 2**-0.5 <= scale <= 2**0.5
    assert abs(np.rad2deg(np.arctan2(drawn[1, 0], drawn[0, 0]))) <= 30
    assert (np.abs(drawn[:2, 2]) <= 0.2).all()


def test_tilting_changes_the_scale_to_the_edge_by_as_much_as_asked():
    bounds = Viewpoints(turn=0.0, any_turn=0.0, zoom=0.0, stretch=0.0, tilt=0.3, shift=0.0)
    depths = [np.abs(bounds.draw(np.random.default_rng(i))[2, :2]) for i in range(200)]
    reach = max(float(np.linalg.norm(d)) for d in depths)
    assert reach == pytest.approx(0.3, abs=0.05)
    assert reach <= 0.3
