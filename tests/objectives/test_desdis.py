import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit_vectors import at, scattered, turned

from descompress.objectives import Seen
from descompress.objectives.desdis import DesDis


def test_two_points_by_hand():
    # Similarities cos 30, cos 120; cos 60, cos 30. The teacher's: 1, 0; 0, 1.
    points = at(0, 90)
    seen = Seen(points, at(30, 120), (points, points))
    expected = (1 - math.cos(math.radians(30))) + 0.5
    assert DesDis()(seen).item() == pytest.approx(expected, rel=1e-12)


def test_of_the_negatives_only_the_hardest_counts():
    # Similarities, rows being anchors:     the teacher's, whose third anchor is another:
    #   1       cos 40  0                     1       cos 40  0
    #   cos 40  1       cos 50                cos 40  1       cos 50
    #   0       cos 50  1                     1       cos 40  0
    # Hardest of the rows: (1, 2), (2, 1), (3, 2); of the columns: (2, 1), (1, 2), (2, 3). So only
    # (3, 2) differs, and the positive pair (3, 3) by 1, but (3, 1) does not count.
    points, teacher = at(0, 40, 90), at(0, 40, 0)
    gap = math.cos(math.radians(40)) - math.cos(math.radians(50))
    expected = 1 / 3 + gap / 6
    found = DesDis()(Seen(points, points, (teacher, points))).item()
    assert found == pytest.approx(expected, rel=1e-9)


@given(seed=st.integers(0, 1000), count=st.integers(2, 7))
def test_it_is_the_loss_of_loops(seed, count):
    sides = scattered(seed, count, 4), scattered(seed + 1, count, 4)
    teacher = scattered(seed + 2, count, 3), scattered(seed + 3, count, 3)
    s, t = (a.numpy() @ p.numpy().T for a, p in (sides, teacher))
    total = 0.0
    for i in range(count):
        others = [j for j in range(count) if j != i]
        n, m = max(others, key=lambda j: s[i, j]), max(others, key=lambda j: s[j, i])
        total += abs(s[i, i] - t[i, i])
        total += (abs(s[i, n] - t[i, n]) + abs(s[m, i] - t[m, i])) / 2
    assert DesDis()(Seen(*sides, teacher)).item() == pytest.approx(total / count, rel=1e-9)


def test_a_student_with_the_teachers_similarities_has_nothing_to_learn():
    sides = scattered(0), scattered(1)
    assert DesDis()(Seen(*sides, sides)).item() == 0
    elsewhere = turned(sides[0]), turned(sides[1])
    assert DesDis()(Seen(*elsewhere, sides)).item() == pytest.approx(0, abs=1e-12)
