"""A faster distance must not change a rank: everything is compared with scipy, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, cityblock, euclidean

from hpatches_eval.distances import DISTANCES, find_distance, nearer, nearest
from hpatches_eval.errors import RequestError
from hpatches_eval.pools import Products

METRICS = {"L2": "euclidean", "L1": "cityblock"}
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 40)
few = settings(max_examples=25)  # of each kind of descriptor


def gaussian(rng, n, d):
    return rng.standard_normal((n, d)).astype(np.float32)


def few_values(rng, n, d):  # many exact ties
    return rng.integers(-1, 2, (n, d)).astype(np.float32)


def bytes_as_floats(rng, n, d):  # like SIFT
    return rng.integers(0, 256, (n, d)).astype(np.float32)


def scaled_integers(rng, n, d):  # like dequantised int8: ties in theory, broken by rounding
    return (rng.integers(-3, 4, (n, d)) * np.float32(0.0371)).astype(np.float32)


def duplicates_and_last_bits(rng, n, d):
    """A few vectors again and again, now and then one value off by its last bit."""
    rows = gaussian(rng, 3, d)[rng.integers(0, 3, n)]
    off = rng.random((n, d)) < 1 / d
    return np.where(off, np.nextafter(rows, np.float32(9)), rows).astype(np.float32)


def far_from_zero(rng, n, d):  # |x|^2 + |y|^2 - 2 x.y loses nearly all digits
    return (1000 + 1e-3 * rng.standard_normal((n, d))).astype(np.float32)


def huge_and_tiny(rng, n, d):
    return (gaussian(rng, n, d) * np.float32(rng.choice([1e-30, 1e25]))).astype(np.float32)


def all_the_same(rng, n, d):
    return np.ones((n, d), np.float32)


KINDS = [
    gaussian,
    few_values,
    bytes_as_floats,
    scaled_integers,
    duplicates_and_last_bits,
    far_from_zero,
    huge_and_tiny,
    all_the_same,
]


def rows_of(kind, seed, *counts, d):
    rng = np.random.default_rng(seed)
    rows = kind(rng, sum(counts), d)
    return np.split(rows, np.cumsum(counts)[:-1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METRICS)
@few
@given(seed=seeds, n=sizes, m=sizes, d=st.sampled_from([1, 2, 6, 24, 128]))
def test_nearest_neighbours_are_those_of_cdist(name, kind, seed, n, m, d):
    queries, rows = rows_of(kind, seed, n, m, d=d)
    index, apart = nearest(DISTANCES[name], queries, rows)
    expected = cdist(queries, rows, METRICS[name])
    assert np.array_equal(index, expected.argmin(axis=1))
    assert np.array_equal(apart, expected.min(axis=1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METRICS)
@few
@given(seed=seeds, n=sizes, m=st.integers(3, 40), d=st.sampled_from([1, 2, 6, 24, 128]))
def test_ranks_are_those_of_cdist(name, kind, seed, n, m, d):
    queries, rows = rows_of(kind, seed, n, m, d=d)
    expected = cdist(queries, rows, METRICS[name])
    limits = expected[:, :3]  # distances that occur: every limit is a tie
    ends = [1, m // 2 + 1, m]
    found = nearer(DISTANCES[name], queries, rows, limits, ends)
    for column, end in enumerate(ends):
        counts = (expected[:, None, :end] < limits[:, :, None]).sum(axis=2)
        assert np.array_equal(found[:, :, column], counts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METRICS)
@few
@given(seed=seeds, n=sizes, d=st.sampled_from([1, 2, 6, 24, 128]))
def test_paired_distances_are_those_of_cdist(name, kind, seed, n, d):
    a, b = rows_of(kind, seed, n, n, d=d)
    expected = np.diagonal(cdist(a, b, METRICS[name]))
    assert np.array_equal(DISTANCES[name].paired(a, b), expected)


@pytest.mark.parametrize("kind", [k for k in KINDS if k is not huge_and_tiny])
@pytest.mark.parametrize(("name", "reference"), [("L2", euclidean), ("L1", cityblock)])
@few
@given(seed=seeds, n=sizes, d=st.sampled_from([1, 2, 6, 24, 128]))
def test_verification_distances_are_those_of_float32_rows(name, reference, kind, seed, n, d):
    a, b = rows_of(kind, seed, n, n, d=d)
    expected = np.array([reference(x, y) for x, y in zip(a, b, strict=True)], np.float32)
    found = DISTANCES[name].verified(a, b)
    assert found.dtype == np.float32
    # The reference's norm is its BLAS's: its last bit may differ, no more.
    ulp = np.spacing(expected) if name == "L2" else 0
    assert np.all(np.abs(found - expected) <= ulp)


@few
@given(seed=seeds, n=sizes, m=sizes, d=st.sampled_from([1, 2, 16, 32]))
def test_hamming_ranks_as_l1_and_l2_of_the_bits_do(seed, n, m, d):
    rng = np.random.default_rng(seed)
    queries, rows = (rng.integers(0, 4, (k, d), np.uint8) for k in (n, m))  # many ties
    bits = [np.unpackbits(x, axis=1).astype(np.float32) for x in (queries, rows)]
    l1 = cdist(*bits, "cityblock")
    hamming = DISTANCES["Hamming"]
    assert np.array_equal(hamming.matrix(queries, rows), l1)
    index, apart = nearest(hamming, queries, rows)
    assert np.array_equal(index, l1.argmin(axis=1))
    assert np.array_equal(index, cdist(*bits).argmin(axis=1))
    assert np.array_equal(apart, l1.min(axis=1))
    limits = l1[:, :1]
    found = nearer(hamming, queries, rows, limits, [m])
    assert np.array_equal(found[:, 0, 0], (l1 < limits).sum(axis=1))
    k = min(n, m)
    assert np.array_equal(hamming.verified(queries[:k], rows[:k]), np.diagonal(l1)[:k])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", [np.float32, np.float64])
@few
@given(seed=seeds, n=sizes, m=sizes, d=st.sampled_from([1, 6, 128]))
def test_scores_of_products_are_within_their_slack(kind, precision, seed, n, m, d):
    queries, rows = rows_of(kind, seed, n, m, d=d)
    pool = Products(rows, np.dtype(precision))
    scores, slack = pool.scores(queries)
    expected = pool.limits(queries, cdist(queries, rows))
    with np.errstate(invalid="ignore"):
        off = np.abs(scores.astype(np.float64) - expected)
    sure = np.isfinite(off)  # what overflows is decided by cdist
    assert np.all((off <= slack[:, None])[sure])
    assert sure.all() or not np.all(np.isfinite(slack)) or kind is huge_and_tiny


def test_products_of_small_integers_are_exact_and_say_so():
    queries, rows = rows_of(bytes_as_floats, 0, 9, 9, d=128)
    assert np.all(Products(rows, np.dtype(np.float64)).scores(queries)[1] == 0)
    assert np.all(Products(rows[:, :8], np.dtype(np.float32)).scores(queries[:, :8])[1] == 0)
    queries, rows = rows_of(gaussian, 0, 9, 9, d=128)
    assert np.all(Products(rows, np.dtype(np.float64)).scores(queries)[1] > 0)


def test_without_a_name_the_distance_is_the_one_that_fits():
    assert find_distance(None, packed=True)[0] == "Hamming"
    assert find_distance(None, packed=False)[0] == "L2"
    assert find_distance("hamming", packed=True) == ("Hamming", DISTANCES["Hamming"])
    assert find_distance("l1", packed=False) == ("L1", DISTANCES["L1"])


@pytest.mark.parametrize(
    ("name", "packed", "message"),
    [
        ("cosine", False, "distance 'cosine': there are L2, L1, Hamming"),
        ("L2", True, r"distance L2: packed binary \(uint8\) descriptors need Hamming"),
        ("Hamming", False, "distance Hamming: real-valued descriptors need L2 or L1"),
    ],
)
def test_a_distance_that_does_not_fit_is_refused(name, packed, message):
    with pytest.raises(RequestError, match=message):
        find_distance(name, packed=packed)
