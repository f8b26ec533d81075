import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from unit_vectors import at, near, scattered, turned

from descompress.errors import RequestError
from descompress.objectives import Seen
from descompress.objectives.second_order import SecondOrder


def test_neighbours_on_either_side_count():
    seen = Seen(at(0, 80, 180), at(0, 100, 180))
    # Between points 1, 2 and 2, 3: chords of 80 and 100 degrees, or 100 and 80: they differ by
    # `gap`. Point 2 has point 1 next to its anchor, but point 3 next to its positive: both count.
    gap = 2 * float(np.sin(np.radians(50)) - np.sin(np.radians(40)))
    expected = (gap + (2 * gap**2) ** 0.5 + gap) / 3
    assert SecondOrder(neighbours=1)(seen).item() == pytest.approx(expected, abs=1e-9)


def test_what_is_far_away_does_not_count():
    anchors, positives = at(0, 10, 180), at(0, 10, 150)
    # Nearest of points 1 and 2 is the other, at 10 degrees on both sides. Point 3 has point 2 next
    # to it: 170 degrees on one side, 140 on the other.
    gap = 2 * float(np.sin(np.radians(85)) - np.sin(np.radians(70)))
    found = SecondOrder(neighbours=1)(Seen(anchors, positives)).item()
    assert found == pytest.approx(gap / 3, abs=2e-6)


@given(seed=st.integers(0, 1000), count=st.integers(2, 9), neighbours=st.integers(1, 10))
def test_it_is_the_loss_of_loops_over_all_neighbours(seed, count, neighbours):
    sides = scattered(seed, count, 4), scattered(seed + 1, count, 4)
    total = 0.0
    for i in range(count):
        far = [{j: float((s[i] - s[j]).norm()) for j in range(count) if j != i} for s in sides]
        counted = {j for side in far for j in sorted(side, key=side.__getitem__)[:neighbours]}
        total += sum((far[0][j] - far[1][j]) ** 2 for j in counted) ** 0.5
    found = SecondOrder(neighbours)(Seen(*sides)).item()
    assert found == pytest.approx(total / count, abs=1e-6)


@pytest.mark.parametrize("neighbours", [1, 3, 100])
def test_a_turned_copy_has_the_same_distances(neighbours):
    anchors = scattered(3, 9, 4)
    assert SecondOrder(neighbours)(Seen(anchors, turned(anchors))).item() < 2e-6
    assert SecondOrder(neighbours)(Seen(anchors, near(anchors, 4))).item() > 0.01


def test_the_gradient_is_finite_where_nothing_differs():
    anchors = scattered(3).float().requires_grad_()
    SecondOrder()(Seen(anchors, anchors.detach().clone())).backward()
    assert torch.isfinite(anchors.grad).all()


def test_a_descriptor_has_a_neighbour():
    with pytest.raises(RequestError, match="second_order: neighbours must be at least 1, not 0"):
        SecondOrder(0)
