import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from unit_vectors import near, scattered, turned, unit

from descompress.errors import RequestError
from descompress.objectives import Seen
from descompress.objectives.similarity import Similarity

ONE, OTHER = (1.0, 0.0), (0.0, 1.0)
SAME = unit(ONE, ONE)


def from_even(temperature: float) -> float:
    """KL(one half, one half || soft-max of similarities 1 and 0), by hand."""
    p = math.exp(1 / temperature) / (math.exp(1 / temperature) + 1)
    return 0.5 * math.log(0.5 / p) + 0.5 * math.log(0.5 / (1 - p))


@pytest.mark.parametrize("temperature", [0.5, 0.1])
def test_two_points_that_the_teacher_cannot_tell_apart(temperature):
    points = unit(ONE, OTHER)
    found = Similarity(temperature)(Seen(points, points, (SAME, SAME))).item()
    assert found == pytest.approx(from_even(temperature), rel=1e-9)


def test_the_divergence_is_from_the_teacher():
    points = unit(ONE, OTHER)
    # The other way round: soft-max of 1 and 0 under the teacher, one half each for the student.
    p = math.exp(2) / (math.exp(2) + 1)
    expected = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    found = Similarity(0.5)(Seen(SAME, SAME, (points, points))).item()
    assert found == pytest.approx(expected, rel=1e-9)


def test_rows_and_columns_count_half_each():
    # Similarities (1, 1), (0, 0): nothing to learn in rows; in columns, what `from_even` says.
    turned_in = Seen(unit(ONE, OTHER), SAME, (SAME, SAME))
    assert Similarity(0.5)(turned_in).item() == pytest.approx(from_even(0.5) / 2, rel=1e-9)
    across = Seen(SAME, unit(ONE, OTHER), (SAME, SAME))
    assert Similarity(0.5)(across).item() == pytest.approx(from_even(0.5) / 2, rel=1e-9)


@given(seed=st.integers(0, 1000), count=st.integers(1, 6))
def test_it_is_the_divergence_of_loops(seed, count):
    student = scattered(seed, count, 3), scattered(seed + 1, count, 3)
    teacher = scattered(seed + 2, count, 4), scattered(seed + 3, count, 4)

    def shares(sides, axis):
        logits = np.exp((sides[0] @ sides[1].T).numpy() / 0.2)
        return logits / logits.sum(axis, keepdims=True)

    total = 0.0
    for axis in (0, 1):
        told, found = shares(teacher, axis), shares(student, axis)
        total += (told * np.log(told / found)).sum() / count / 2
    value = Similarity(0.2)(Seen(*student, teacher)).item()
    assert value == pytest.approx(total, abs=1e-9)
    assert value >= -1e-12


def test_equal_similarities_are_all_it_wants_in_whatever_space():
    anchors, positives = scattered(0), scattered(1)
    longer = tuple(turned(torch.nn.functional.pad(s, (0, 3))) for s in (anchors, positives))
    assert Similarity()(Seen(anchors, positives, longer)).item() == pytest.approx(0, abs=1e-12)
    moved = torch.cat([near(positives[:1], 2), positives[1:]])
    assert Similarity()(Seen(anchors, moved, longer)).item() > 0.01


def test_only_differences_of_similarities_count():
    anchors, positives = scattered(0), scattered(1)
    offset = torch.ones(len(anchors), 1, dtype=torch.float64) / 2  # adds 1/4 to each of them
    teacher = torch.cat([anchors, offset], 1), torch.cat([positives, offset], 1)
    assert Similarity()(Seen(anchors, positives, teacher)).item() == pytest.approx(0, abs=1e-12)


def test_a_consensus_is_the_mean_of_the_two_views():
    anchors, positives = scattered(0), scattered(1)
    mean = torch.nn.functional.normalize(anchors + positives, dim=1)
    agreed, apart = Similarity(consensus=True), Similarity()
    taught = Seen(mean, mean, (anchors, positives))
    assert agreed(taught).item() == pytest.approx(0, abs=1e-12)
    assert apart(taught).item() > 0.01
    assert agreed(Seen(anchors, positives, (anchors, positives))).item() > 0.01


def test_a_consensus_of_equal_views_changes_nothing():
    student, view = (scattered(0), scattered(1)), scattered(2)
    values = [Similarity(0.2, each)(Seen(*student, (view, view))).item() for each in (True, False)]
    assert values[0] == pytest.approx(values[1], rel=1e-9)
    assert values[0] > 0.01


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(RequestError, match=r"similarity: temperature must be above 0, not "):
        Similarity(temperature)
