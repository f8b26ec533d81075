import cv2
import numpy as np
import pytest
from tiny_sequences import picture

from hpatches_eval.errors import RequestError
from hpatches_eval.finders import FINDERS, OpenCVFinder, classical

HERE = [name for name in FINDERS if name != "akaze" or hasattr(cv2, "AKAZE")]


@pytest.mark.parametrize("name", HERE)
def test_features_are_strongest_first_limited_and_timed_by_stage(name):
    found = classical(name, 50)(picture(0))
    assert len(found.keypoints) == len(found.descriptors) == len(found.scores) <= 50
    assert len(found.keypoints) > 20
    assert (np.diff(found.scores) <= 0).all()
    assert (found.descriptors.dtype == np.uint8) == (name in ("orb", "akaze"))
    assert all(found.seconds[stage] > 0 for stage in ("detection", "description"))


@pytest.mark.parametrize(("name", "dim"), [("sift", 128), ("rootsift", 128), ("orb", 32)])
def test_an_empty_image_has_no_features_of_the_right_width(name, dim):
    found = classical(name, 50)(np.full((100, 100), 128, np.uint8))
    assert (found.keypoints.shape, found.descriptors.shape) == ((0, 2), (0, dim))


def test_a_disc_is_found_at_its_centre():
    image = np.full((120, 160), 30, np.uint8)
    cv2.circle(image, (70, 40), 6, 220, -1)
    image = cv2.GaussianBlur(image, (0, 0), 1.0)
    assert classical("sift", 1)(image).keypoints[0] == pytest.approx([70, 40], abs=0.3)


def test_rootsift_has_the_square_roots_of_l1_normalised_sift():
    sift, rootsift = (classical(name, 40)(picture(1)) for name in ("sift", "rootsift"))
    shares = sift.descriptors / sift.descriptors.sum(axis=1, keepdims=True)
    assert rootsift.descriptors == pytest.approx(np.sqrt(shares), abs=1e-6)
    assert np.array_equal(sift.keypoints, rootsift.keypoints)


class Backwards:
    """An engine that describes a point by its x, drops points, and mixes up the order."""

    def detect(self, image, mask):
        return [cv2.KeyPoint(float(x), 5.0, 7.0, -1, float(x)) for x in (3, 9, 1, 7)]

    def compute(self, image, keypoints):
        kept = sorted((k for k in keypoints if k.pt[0] != 7), key=lambda k: k.pt[0])
        return kept, np.array([[k.pt[0]] for k in kept], np.float32)


def test_rows_stay_with_their_keypoints_when_the_engine_drops_and_reorders_them():
    found = OpenCVFinder(Backwards(), 3)(picture(0))
    assert found.keypoints[:, 0].tolist() == [9, 3]  # 7 is dropped, 1 is not among the first 3
    assert found.descriptors[:, 0].tolist() == [9, 3]
    assert found.scores.tolist() == [9, 3]


def test_an_unknown_baseline_is_refused():
    with pytest.raises(RequestError, match="'surf': there are sift, rootsift, orb, akaze"):
        classical("surf", 10)


def test_where_opencv_lacks_akaze_what_has_it_is_named(monkeypatch):
    for place in ("AKAZE", "xfeatures2d"):
        monkeypatch.delattr(cv2, place, raising=False)
    with pytest.raises(RequestError, match="opencv-contrib-python-headless"):
        classical("akaze", 10)
