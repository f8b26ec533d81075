import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from unit_vectors import scattered, turned

from descompress.errors import RequestError
from descompress.objectives import Seen
from descompress.objectives.itrd import FLOOR, ITRD, correlation, gram

AXES = torch.eye(4, dtype=torch.float64)
TWICE = AXES[[0, 1, 0, 1]]
ALIKE = AXES[[0, 0, 0, 0]]


def signs(text: str) -> torch.Tensor:
    """One dimension of as many patches."""
    return torch.tensor([[1.0 if sign == "+" else -1.0] for sign in text], dtype=torch.float64)


@pytest.mark.parametrize("alpha", [1.01, 2.0])
@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        ("++--", "--++", 2),  # v = -1: log2 |-2|^(2 alpha)
        ("++--", "+-+-", 0),  # v = 0
        ("++++----", "+++-+---", -2),  # six agree, two do not: v = 1/2
    ],
)
def test_correlations_of_one_dimension(student, teacher, expected, alpha):
    found = correlation(signs(student), signs(teacher), alpha).item()
    assert found == pytest.approx(expected * alpha, abs=1e-6)


def test_dimensions_are_summed_inside_the_logarithm():
    student = torch.cat([signs("++--")] * 4, 1)
    teacher = torch.cat([signs("+-+-")] * 4, 1)
    assert correlation(student, teacher, 1.01).item() == pytest.approx(math.log2(4), abs=1e-6)


def test_every_dimension_is_standardised_over_the_batch():
    student, teacher = scattered(0), scattered(1)
    scaled = 3 + student * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]).double()
    expected = correlation(student, teacher, 1.01).item()
    assert correlation(scaled, teacher, 1.01).item() == pytest.approx(expected, abs=1e-5)
    assert correlation(teacher, scaled, 1.01).item() == pytest.approx(expected, abs=1e-5)


def test_it_is_the_correlation_that_numpy_finds():
    student, teacher = scattered(0, 20), scattered(1, 20)
    columns = zip(student.numpy().T, teacher.numpy().T, strict=True)
    v = np.array([np.corrcoef(a, b)[0, 1] for a, b in columns])
    expected = np.log2((np.abs(v - 1) ** 2.02).sum())
    assert correlation(student, teacher, 1.01).item() == pytest.approx(expected, abs=1e-6)


def test_a_student_like_its_teacher_is_at_the_least_there_is():
    rows = scattered(0, 30)
    least = math.log2(5 * FLOOR**1.01)
    assert correlation(rows, rows, 1.01).item() == pytest.approx(least, abs=1e-3)
    other = turned(rows)
    assert correlation(other, rows, 1.01).item() > least + 10


def test_the_gradient_at_full_correlation_is_finite_and_small():
    rows = scattered(0, 30).float()
    student = rows.clone().requires_grad_()
    correlation(student, rows, 1.01).backward()
    assert torch.isfinite(student.grad).all()
    assert student.grad.abs().max() < 1


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        (TWICE, AXES, 8 / 16 - 4 / 16),  # 8 of 16 similarities are 1; 4 of them for the teacher too
        (TWICE, ALIKE, 0),  # nothing that the teacher tells apart
        (AXES, TWICE, 0),  # all told apart
        (ALIKE, AXES, 16 / 16 - 4 / 16),
    ],
)
def test_gram_matrices_by_hand(student, teacher, expected):
    assert gram(student, teacher).item() == pytest.approx(expected, abs=1e-12)
    assert gram(7 * student, 3 * teacher).item() == pytest.approx(expected, abs=1e-12)


@given(seed=st.integers(0, 1000), count=st.integers(1, 8))
def test_the_gram_loss_is_the_published_one_and_never_below_nothing(seed, count):
    student, teacher = scattered(seed, count, 4), scattered(seed + 1, count, 6)
    own, others = (rows.numpy() @ rows.numpy().T for rows in (student, teacher))
    joint = own * others
    own, joint = own / np.trace(own), joint / np.trace(joint)
    expected = np.linalg.norm(own) ** 2 - np.linalg.norm(joint) ** 2
    assert gram(student, teacher).item() == pytest.approx(expected, abs=1e-12)
    assert expected > -1e-12


def test_both_losses_are_added_over_both_sides():
    anchors, positives, teacher = TWICE[:2], TWICE[2:], (AXES[:2], AXES[2:])
    first = correlation(TWICE, AXES, 1.5).item()
    for weight in (0.0, 1.0, 3.0):
        found = ITRD(alpha=1.5, gram=weight)(Seen(anchors, positives, teacher)).item()
        assert found == pytest.approx(first + weight / 4, abs=1e-9)


def test_descriptors_of_other_lengths_are_refused():
    teacher = scattered(0, 7, 8), scattered(1, 7, 8)
    with pytest.raises(RequestError, match=r"itrd: .* have length 5, the teacher's 8; take"):
        ITRD()(Seen(scattered(0), scattered(1), teacher))


@pytest.mark.parametrize("settings", [{"alpha": 0.0}, {"alpha": -1.0}, {"gram": -0.1}])
def test_settings_without_sense_are_refused(settings):
    with pytest.raises(RequestError, match="itrd: needs alpha above 0 and gram at least 0, not"):
        ITRD(**settings)
