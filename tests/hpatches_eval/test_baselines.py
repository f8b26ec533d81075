import cv2
import numpy as np
import pytest

from hpatches_eval.baselines import BASELINES, find_baseline
from hpatches_eval.descriptors import Described, load
from hpatches_eval.distances import find_distance
from hpatches_eval.errors import RequestError
from hpatches_eval.patches import PatchRelease
from hpatches_eval.progress import silent
from hpatches_eval.splits import whole
from hpatches_eval.tasks import matching


@pytest.fixture(scope="module")
def patches(shared):
    return PatchRelease(shared / "golden" / "patches").strip("v_boat", "ref")[:20]


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_fits_the_distance_it_is_made_for(patches, name):
    baseline = BASELINES[name]
    rows = baseline.describe(patches)
    assert find_distance(None, packed=rows.dtype == np.uint8)[0] == baseline.distance
    assert rows.shape == (20, {"L2": 128, "Hamming": 32}[baseline.distance])


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_sees_the_pattern_and_not_the_brightness(patches, name):
    rows = BASELINES[name].describe(patches)
    darker = BASELINES[name].describe(patches // 2 + 40)
    distance = find_distance(None, packed=rows.dtype == np.uint8)[1]
    apart = distance.matrix(rows, darker)
    assert (apart.argmin(axis=1) == np.arange(20)).all()


@pytest.mark.parametrize("name", BASELINES)
def test_a_flat_patch_has_a_descriptor_too(name):
    rows = BASELINES[name].describe(np.full((2, 65, 65), 90, np.uint8))
    assert np.isfinite(rows.astype(float)).all()
    assert np.array_equal(rows[0], rows[1])


def test_sift_is_that_of_opencv_in_the_size_of_the_benchmark(patches):
    # hpatches-benchmark, python/extract_opencv_sift.py: size = 65 / 5.303
    keypoint = cv2.KeyPoint(32, 32, 65 / 5.303, 0)
    _, expected = cv2.SIFT.create().compute(patches[3], [keypoint])
    assert np.array_equal(BASELINES["sift"].describe(patches)[3], expected[0])


def test_rootsift_is_a_unit_vector_whose_squares_are_sift(patches):
    sift, root = (BASELINES[name].describe(patches) for name in ("sift", "rootsift"))
    assert np.linalg.norm(root, axis=1) == pytest.approx(1, abs=1e-5)
    assert root**2 == pytest.approx(sift / sift.sum(axis=1, keepdims=True), abs=1e-6)


def test_a_bit_of_brief_compares_two_points_of_the_smoothed_patch():
    # A step edge at column 32: bits are 1 where the first point is left of the second, beyond
    # the blur, so that about half of the pairs across the edge are 1.
    patch = np.zeros((1, 65, 65), np.uint8)
    patch[:, :, 33:] = 200
    bits = np.unpackbits(BASELINES["brief"].describe(patch))
    mirrored = np.unpackbits(BASELINES["brief"].describe(255 - patch))
    assert 40 < bits.sum() < 90  # P(left of, right of) = 1/4 of 256
    assert not (bits & mirrored).any()


def test_real_patches_are_matched_in_the_known_order(shared):
    # HPatches table: BRIEF 10.48, ORB 15.33, SIFT 25.47, RootSIFT 27.22 matching mAP
    release = PatchRelease(shared / "golden" / "patches")
    split = whole(release.sequences[:2])
    means = []
    for name in ("brief", "orb", "sift", "rootsift"):
        descriptors = load(Described(name, release, BASELINES[name].describe), split.test)
        distance = find_distance(None, packed=descriptors.packed)[1]
        found = matching(descriptors, split, distance, silent)
        means.append(np.mean([aps for levels in found.values() for aps in levels.values()]))
    assert means == sorted(means)


def test_an_unknown_baseline_is_refused():
    with pytest.raises(RequestError, match="baseline 'surf': there are sift, rootsift, orb, brief"):
        find_baseline("surf")
