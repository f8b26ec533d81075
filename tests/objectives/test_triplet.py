import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from unit_vectors import at, near, scattered, unit

from descompress.errors import RequestError
from descompress.objectives import Seen, hardest_in_batch
from descompress.objectives.base import distances
from descompress.objectives.triplet import Triplet


def chord(degrees: float) -> float:
    """The distance of two unit vectors at that angle."""
    return 2 * float(np.sin(np.radians(degrees) / 2))


def test_the_closest_wrong_match_of_both_sides_is_taken():
    anchors, positives = at(0, 90, 180), at(60, 90, 180)
    # Row 1: own 60 degrees; closest wrong: its positive and anchor 2, 30 degrees.
    # Row 2: own 0; closest wrong: its anchor and positive 1, 30. Row 3: own 0; closest: 90.
    own = np.array([chord(60), 0, 0])
    wrong = np.array([chord(30), chord(30), chord(90)])
    expected = np.maximum(1 + own - wrong, 0).mean()
    assert Triplet()(Seen(anchors, positives)).item() == pytest.approx(expected, abs=2e-3)
    assert hardest_in_batch(anchors, positives).item() == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("margin", [0.0, 0.5, 2.0])
def test_the_margin_is_what_the_two_distances_differ_by(margin):
    seen = Seen(at(0, 80), at(20, 110))
    # Own 20 and 30 degrees; closest wrong 60 (anchor 2 and positive 1) for both.
    parts = (margin + chord(20) - chord(60), margin + chord(30) - chord(60))
    expected = sum(max(part, 0) for part in parts) / 2
    assert Triplet(margin)(seen).item() == pytest.approx(expected, abs=1e-12)


@given(seed=st.integers(0, 1000), count=st.integers(2, 9))
def test_it_is_the_loss_of_loops_over_all_pairs(seed, count):
    anchors = scattered(seed, count, 3)
    positives = near(anchors, seed + 1, 0.5)
    total = 0.0
    for i in range(count):
        wrong = [(anchors[i] - positives[j]).norm() for j in range(count) if j != i]
        wrong += [(anchors[j] - positives[i]).norm() for j in range(count) if j != i]
        hardest = min(w for w in wrong if w >= 0.008)
        total += max(0.0, 1 + float((anchors[i] - positives[i]).norm() - hardest))
    assert Triplet()(Seen(anchors, positives)).item() == pytest.approx(total / count, abs=1e-9)


def test_duplicates_are_no_negatives():
    anchors = unit((1.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    right = 2**0.5  # what is left to tell apart is at right angles
    expected = max(2 - right, 0)
    found = hardest_in_batch(anchors, anchors.clone(), margin=2.0).item()
    assert found == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(("distance", "counts"), [(0.007, False), (0.009, True)])
def test_duplicates_are_closer_than_the_published_distance(distance, counts):
    other = float(np.degrees(2 * np.arcsin(distance / 2)))
    same = at(0, other)
    # What is no duplicate is the hardest; else the farthest there can be stands in for it.
    expected = 1 + 0.001 - (distance if counts else 2)
    assert Triplet()(Seen(same, same)).item() == pytest.approx(max(expected, 0), abs=1e-6)


def test_the_gradient_is_finite_where_descriptors_coincide():
    anchors = unit((1.0, 0.0), (0.0, 1.0)).float().requires_grad_()
    hardest_in_batch(anchors, anchors.detach().clone(), margin=2.0).backward()
    assert torch.isfinite(anchors.grad).all()


def test_distances_are_those_of_the_angles():
    found = distances(at(0, 90), at(0, 60, 180))
    expected = [[0, chord(60), 2], [chord(90), chord(30), chord(90)]]
    torch.testing.assert_close(found, torch.tensor(expected).double(), atol=1e-3, rtol=0)


def test_a_negative_margin_is_refused():
    with pytest.raises(RequestError, match=r"triplet: margin must be at least 0, not -0\.5"):
        Triplet(-0.5)
