import math

import pytest
from unit_vectors import at, scattered, turned

from descompress.errors import RequestError
from descompress.objectives import Seen
from descompress.objectives.imitation import Imitation


def test_one_of_four_patches_at_right_angles_to_the_teachers():
    # Squared distances 2, 0, 0, 0.
    seen = Seen(at(90, 0), at(0, 0), (at(0, 0), at(0, 0)))
    assert Imitation()(seen).item() == pytest.approx(2 / 4, abs=1e-12)


@pytest.mark.parametrize("degrees", [10, 60, 180])
def test_both_sides_count_by_their_angle(degrees):
    still = at(0)
    expected = (2 - 2 * math.cos(math.radians(degrees))) / 2
    for sides in ((at(degrees), still), (still, at(degrees))):
        assert Imitation()(Seen(*sides, (still, still))).item() == pytest.approx(expected)


def test_a_student_like_its_teacher_has_nothing_to_learn():
    sides = scattered(0), scattered(1)
    assert Imitation()(Seen(*sides, sides)).item() == 0
    elsewhere = turned(sides[0]), turned(sides[1])
    assert Imitation()(Seen(*elsewhere, sides)).item() > 0.1  # the space is what it keeps


def test_descriptors_of_other_lengths_are_refused():
    teacher = scattered(0, 7, 8), scattered(1, 7, 8)
    with pytest.raises(RequestError, match=r"imitation: .* have length 5, the teacher's 8; take"):
        Imitation()(Seen(scattered(0), scattered(1), teacher))
