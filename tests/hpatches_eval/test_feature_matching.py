import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpatches_eval.errors import DataError
from hpatches_eval.matching import neighbours


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_neighbours_both_ways_and_the_mutual_ones():
    found = neighbours(column(0, 10, 11), column(10.5, 1, 30))
    assert found.forward.tolist() == [1, 0, 0]
    assert found.forward_distances.tolist() == [1, 0.5, 0.5]
    assert found.backward.tolist() == [1, 0, 2]
    assert found.backward_distances.tolist() == [0.5, 1, 19]
    assert found.mutual().tolist() == [[0, 1], [1, 0]]


def test_of_equally_near_ones_the_first_is_taken_so_copies_match_once():
    found = neighbours(column(5, 5, 5), column(5, 5))
    assert found.forward.tolist() == [0, 0, 0]
    assert found.mutual().tolist() == [[0, 0]]


def test_packed_bits_are_compared_by_the_number_of_bits_that_differ():
    first = np.array([[0b0000_0000], [0b1111_0000]], np.uint8)
    second = np.array([[0b1000_0000], [0b0111_1000], [0b0001_0000]], np.uint8)
    found = neighbours(first, second)
    assert found.forward.tolist() == [0, 1]  # by L2 of the numbers, 16 would be nearer to 0
    assert found.forward_distances.tolist() == [1, 2]
    assert found.backward.tolist() == [0, 1, 0]
    assert found.mutual().tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0), (0, 0)])
def test_where_one_image_has_no_features_there_are_no_matches(n, m, dtype):
    found = neighbours(np.zeros((n, 4), dtype), np.zeros((m, 4), dtype))
    assert (found.forward.tolist(), found.backward.tolist()) == ([-1] * n, [-1] * m)
    assert np.isinf(found.forward_distances).all()
    assert found.mutual().shape == (0, 2)


@given(st.integers(0, 2**32 - 1), st.integers(1, 600), st.integers(1, 40))
def test_matches_are_those_of_the_whole_distance_matrix(seed, n, m):
    rng = np.random.default_rng(seed)
    first, second = (rng.integers(0, 4, (k, 3)).astype(np.float32) for k in (n, m))
    far = np.square(first[:, None] - second[None]).sum(2)
    found = neighbours(first, second)
    assert found.forward.tolist() == far.argmin(1).tolist()
    assert found.backward.tolist() == far.argmin(0).tolist()


@pytest.mark.parametrize(
    "second", [np.zeros((2, 5), np.float32), np.zeros((2, 4), np.uint8)], ids=["dim", "type"]
)
def test_descriptors_of_two_kinds_are_refused(second):
    with pytest.raises(DataError, match=r"of one kind, not 4 x float32 and \d x"):
        neighbours(np.zeros((3, 4), np.float32), second)
