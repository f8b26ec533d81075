from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import descompress
from descompress.detections import MEASUREMENT, patches_at
from descompress.errors import InputError, RequestError
from descompress.integrations.opencv import feature2d
from descompress.selection import Selection
from descompress.spec import Spec
from hpatches_eval.finders import orb
from hpatches_eval.sequences import ImageSequence

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
IMAGE_SPEC = Spec("superpoint", {"widths": [8] * 10, "dim": 16})
FLANN_INDEX_KDTREE = 1


@pytest.fixture(scope="module")
def tiny():
    return descompress.load(WEIGHTS / "hardnet.tiny.safetensors")


@pytest.fixture(scope="module")
def image_net():
    torch.manual_seed(0)
    net = descompress.build(IMAGE_SPEC).eval()
    with torch.no_grad():
        net.conv("convPb").weight *= 30
    return net


@pytest.fixture(scope="module")
def kinds(tiny, image_net):
    few = Selection(most=60)
    return {
        "patch network": feature2d(tiny, selection=few),
        "image network": feature2d(image_net, selection=few),
        "finder": feature2d(descompress.finder(tiny, few), selection=few),
        "packed finder": feature2d(orb(60), selection=few),
    }


KINDS = ["patch network", "image network", "finder", "packed finder"]


@pytest.fixture(scope="module")
def picture(discs) -> np.ndarray:
    return discs(2, (120, 150), 40, 12)


@pytest.fixture(scope="module")
def pair(shared):
    sequence = ImageSequence(shared / "sequences" / "v_graffiti")
    return sequence.image(1), sequence.image(2), sequence.homography(2)


def right(matches, first, second, homography) -> int:
    """Matches within 3 pixels of where the true homography puts them."""
    ends = [(first[m.queryIdx].pt, second[m.trainIdx].pt) for m in matches]
    a, b = np.array(ends, np.float64).reshape(-1, 2, 2).swapaxes(0, 1)
    mapped = cv2.perspectiveTransform(a[None], homography)[0]
    return int((np.linalg.norm(mapped - b, axis=1) < 3).sum())


MATCHERS = {
    "brute force": lambda norm: cv2.BFMatcher(norm),
    "FLANN": lambda _: cv2.FlannBasedMatcher({"algorithm": FLANN_INDEX_KDTREE, "trees": 4}, {}),
}


@pytest.mark.parametrize("matcher", MATCHERS)
def test_a_real_pair_is_matched_by_opencvs_matchers(tiny, pair, matcher):
    feature = feature2d(tiny, selection=Selection(most=500))
    (first, rows1), (second, rows2) = (feature.detectAndCompute(i, None) for i in pair[:2])
    found = MATCHERS[matcher](feature.defaultNorm()).knnMatch(rows1, rows2, k=2)
    good = [a for a, b in found if a.distance < 0.8 * b.distance]
    assert right(good, first, second, pair[2]) > max(80, 0.7 * len(good))


def test_points_of_another_detector_are_described(tiny, pair):
    feature = feature2d(tiny, cv2.ORB.create(500), measurement=1.0)
    (first, rows1), (second, rows2) = (feature.detectAndCompute(i, None) for i in pair[:2])
    good = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(rows1, rows2)
    assert right(good, first, second, pair[2]) > 100


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("patch network", (128, 5, 4)),
        ("image network", (16, 5, 4)),
        ("finder", (128, 5, 4)),
        ("packed finder", (32, 0, 6)),  # CV_8U, NORM_HAMMING
    ],
)
def test_size_type_and_norm_are_told_as_opencv_does(kinds, picture, kind, told):
    feature = kinds[kind]
    assert (cv2.CV_32F, cv2.NORM_L2, cv2.CV_8U, cv2.NORM_HAMMING) == (5, 4, 0, 6)
    assert (feature.descriptorSize(), feature.descriptorType(), feature.defaultNorm()) == told
    keypoints, rows = feature.detectAndCompute(picture, None)
    assert isinstance(keypoints, tuple)
    assert rows.shape == (len(keypoints), told[0])
    assert rows.dtype == (np.float32 if told[1] == cv2.CV_32F else np.uint8)
    assert rows.flags.c_contiguous
    assert 5 < len(keypoints) <= 60
    assert len(cv2.BFMatcher(feature.defaultNorm()).match(rows, rows)) == len(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_detect_and_both_at_once_agree_and_strongest_come_first(kinds, picture, kind):
    keypoints, _ = kinds[kind].detectAndCompute(picture)
    assert [k.pt for k in kinds[kind].detect(picture)] == [k.pt for k in keypoints]
    strengths = [k.response for k in keypoints]
    assert strengths == sorted(strengths, reverse=True)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_compute_describes_the_points_it_is_given_in_their_order(kinds, picture, kind):
    feature = kinds[kind]
    keypoints, rows = feature.detectAndCompute(picture)
    kept, again = feature.compute(picture, keypoints[::-1])
    assert [k.pt for k in kept] == [k.pt for k in keypoints[::-1]]
    np.testing.assert_allclose(again[::-1], rows, atol=1e-5)
    assert feature.compute(picture, [])[1].shape == (0, feature.descriptorSize())


@pytest.mark.parametrize("kind", KINDS[:3])
def test_what_is_found_is_what_the_finder_finds(kinds, tiny, image_net, picture, kind):
    net = image_net if kind == "image network" else tiny
    found = descompress.finder(net, Selection(most=60))(picture)
    keypoints, rows = kinds[kind].detectAndCompute(picture)
    assert len(keypoints) == len(found.keypoints)
    points = np.array([k.pt for k in keypoints])
    order, ours = (np.lexsort(p.round(2).T) for p in (found.keypoints, points))
    np.testing.assert_allclose(points[ours], found.keypoints[order], atol=1e-3)
    # Two orientations of one point may come in either order.
    np.testing.assert_allclose(np.sort(rows.sum(1)), np.sort(found.descriptors.sum(1)), atol=1e-3)


def test_a_point_without_angle_is_described_upright_and_by_its_size(tiny, picture):
    point = cv2.KeyPoint(x=60, y=50, size=6)
    assert point.angle == -1
    _, rows = feature2d(tiny).compute(picture, [point])
    patch = patches_at(picture, np.array([[60, 50, MEASUREMENT * 3, 0]]))
    np.testing.assert_allclose(rows, descompress.description.describe(tiny, patch), atol=1e-5)
    turned = cv2.KeyPoint(x=60, y=50, size=6, angle=90)
    _, rows = feature2d(tiny, measurement=2.0).compute(picture, [turned])
    patch = patches_at(picture, np.array([[60, 50, 6, np.pi / 2]]))
    np.testing.assert_allclose(rows, descompress.description.describe(tiny, patch), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_found_where_the_mask_is_0(kinds, picture, kind):
    mask = np.zeros(picture.shape, np.uint8)
    assert len(kinds[kind].detectAndCompute(picture, mask)[1]) == 0
    mask[:, :100] = 255
    keypoints, rows = kinds[kind].detectAndCompute(picture, mask)
    assert len(keypoints) == len(rows) > 0
    assert max(k.pt[0] for k in keypoints) < 100.5
    assert all(k.pt[0] < 100.5 for k in kinds[kind].detect(picture, mask))


@pytest.mark.parametrize("kind", KINDS)
def test_colours_are_turned_to_grey_as_opencv_does(kinds, picture, kind):
    colour = np.random.default_rng(0).integers(0, 256, (*picture.shape, 3)).astype(np.uint8)
    colour[..., 0] = picture
    grey = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    with_alpha = np.dstack([colour, np.full_like(grey, 9)])
    expected = [k.pt for k in kinds[kind].detect(grey)]
    for image in (colour, with_alpha, grey[..., None]):
        assert [k.pt for k in kinds[kind].detect(image)] == expected


def test_two_parts_of_a_picture_are_stitched(tiny, discs):
    """The second lies 140 pixels to the right of the first, and both go into one panorama."""
    whole = cv2.cvtColor(discs(3, (240, 440), 220, 14), cv2.COLOR_GRAY2BGR)
    parts = [np.ascontiguousarray(whole[:, x : x + 300]) for x in (0, 140)]
    feature = feature2d(tiny, selection=Selection(most=400))
    features = [feature.image_features(part, i) for i, part in enumerate(parts)]
    assert [f.img_idx for f in features] == [0, 1]
    assert [tuple(f.img_size) for f in features] == [(300, 240)] * 2
    matches = cv2.detail.BestOf2NearestMatcher(False, 0.3).apply2(features)
    found = next(m for m in matches if (m.src_img_idx, m.dst_img_idx) == (1, 0))
    np.testing.assert_allclose(found.H / found.H[2, 2], [[1, 0, 140], [0, 1, 0], [0, 0, 1]], atol=1)
    assert list(cv2.detail.leaveBiggestComponent(features, matches, 0.3).ravel()) == [0, 1]
    done, cameras = cv2.detail.HomographyBasedEstimator().apply(features, matches, None)
    assert done
    warper = cv2.PyRotationWarper("plane", cameras[0].focal)
    corners = [
        warper.warp(
            p,
            c.K().astype(np.float32),
            c.R.astype(np.float32),
            cv2.INTER_LINEAR,
            cv2.BORDER_CONSTANT,
        )[0]
        for p, c in zip(parts, cameras, strict=True)
    ]
    assert corners[1][0] - corners[0][0] == pytest.approx(140, abs=3)


def test_images_and_masks_of_other_kinds_are_refused(kinds, picture):
    feature = kinds["patch network"]
    for image in (picture.astype(np.float32), picture[None, None], np.zeros((4, 5, 2), np.uint8)):
        with pytest.raises(InputError, match="the image must be uint8, grey, BGR or BGRA"):
            feature.detect(image)
    with pytest.raises(InputError, match="without pixels"):
        feature.detect(np.zeros((0, 5), np.uint8))
    for mask in (picture[1:], picture > 0):
        with pytest.raises(InputError, match="the mask must be uint8"):
            feature.detect(picture, mask)


def test_what_cannot_describe_is_refused(kinds, image_net, picture):
    with pytest.raises(RequestError, match="a finder describes only the points it finds"):
        kinds["finder"].compute(picture, [])
    with pytest.raises(RequestError, match="a detector is for patch networks"):
        feature2d(image_net, cv2.ORB.create())
    with pytest.raises(RequestError, match="Conv2d describes neither"):
        feature2d(nn.Conv2d(1, 1, 1))
