import math

import pytest
import torch
from unit_vectors import at, scattered, turned
from views import viewed

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


def test_of_views_the_cells_of_the_scene_count():
    own, taught = torch.zeros(2, 1, 4, 2, 3), torch.zeros(2, 1, 4, 2, 3)
    own[:, :, 0], taught[:, :, 0] = 1, 1
    taught[0, 0, :, 0, 0] = torch.tensor([0.0, 1, 0, 0])  # at a right angle: |s - t|^2 = 2
    told = torch.zeros(2, 1, 65, 2, 3), taught
    assert Imitation()(viewed(descriptors=own, teacher=told)).item() == pytest.approx(2 / 12)
    inside = torch.ones(2, 1, 2, 3, dtype=torch.bool)
    inside[0, 0, 0, 0] = False
    assert Imitation()(viewed(descriptors=own, teacher=told, inside=inside)).item() == 0
    with pytest.raises(RequestError, match="needs a teacher"):
        Imitation()(viewed(descriptors=own))
