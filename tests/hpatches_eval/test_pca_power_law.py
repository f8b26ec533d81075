import numpy as np
import pytest
from tiny_release import random_descriptors

from hpatches_eval.descriptors import Descriptors
from hpatches_eval.errors import DataError, RequestError
from hpatches_eval.patches import TYPES
from hpatches_eval.transforms import pca_power_law

COUNTS = {"v_a": 30, "i_b": 20}


def by_the_book(strip, train):
    """W = V D^-1/2 V^T of the train covariance, small eigenvalues raised; see HPatches sec. 7."""
    values, vectors = np.linalg.eigh(np.cov(train.T, bias=True))
    values = np.maximum(values, np.sort(values)[int(0.6 * len(values))])
    white = (strip - strip.mean(0)) @ vectors @ np.diag(values**-0.5) @ vectors.T
    rooted = np.sign(white) * np.abs(white) ** 0.5
    return rooted / np.linalg.norm(rooted, axis=1, keepdims=True)


def test_every_strip_is_centred_whitened_rooted_and_normalised():
    descriptors = random_descriptors(COUNTS, 10)
    train = random_descriptors(COUNTS, 10, seed=1).rows * np.arange(1, 11, dtype=np.float32)
    found = pca_power_law(descriptors, train)
    assert found.counts == descriptors.counts
    for sequence in COUNTS:
        for kind in TYPES:
            strip = descriptors.of(sequence, kind).astype(float)
            assert found.of(sequence, kind) == pytest.approx(by_the_book(strip, train), abs=1e-5)


def test_the_variant_is_kept_in_float64_and_named():
    descriptors = random_descriptors(COUNTS, 10)
    found = pca_power_law(descriptors, descriptors.rows)
    assert found.rows.dtype == np.float64
    assert found.name == "random +PCA/PL"


def test_a_strip_of_equal_descriptors_becomes_zero():
    descriptors = random_descriptors(COUNTS, 10)
    train = descriptors.rows.copy()
    descriptors.of("v_a", "h2")[:] = 3
    assert not pca_power_law(descriptors, train).of("v_a", "h2").any()


def test_train_descriptors_without_variation_are_refused():
    descriptors = random_descriptors(COUNTS, 10)
    with pytest.raises(DataError, match="vary in too few directions"):
        pca_power_law(descriptors, np.ones((50, 10), np.float32))


def test_packed_bits_have_no_such_variant():
    rows = np.ones((16 * 50, 4), np.uint8)
    with pytest.raises(RequestError, match="no PCA/power-law variant of packed"):
        pca_power_law(Descriptors("bits", COUNTS, rows), rows)
