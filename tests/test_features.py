import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

import descompress
from descompress import keypoints as kp
from descompress.description import describe
from descompress.detections import patches_at, sift
from descompress.errors import InputError, RequestError
from descompress.exporting import to_onnx
from descompress.features import finder
from descompress.runtimes import open_model
from descompress.runtimes.finders import finder as runtime_finder
from descompress.selection import Selection
from descompress.spec import Spec
from hpatches_eval.matching import neighbours

SMALL = Spec("superpoint", {"widths": [8] * 10, "dim": 16})
PATCH = Spec("l2net", {"widths": (4, 4, 8, 8, 8, 8), "dim": 16})


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = descompress.build(SMALL).eval()
    with torch.no_grad():
        net.conv("convPb").weight *= 30
    return net


@pytest.fixture
def image(discs) -> np.ndarray:
    return discs(1, (90, 131), 40, 12)


def spot(x: float, y: float, sigma: float, shape: tuple[int, int] = (80, 100)) -> np.ndarray:
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    return (255 * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))).astype(np.uint8)


def test_an_image_network_finds_what_its_maps_say(net, image):
    found = finder(net, Selection(most=50))(image)
    padded = np.pad(image, ((0, 6), (0, 5)), mode="edge").astype(np.float32) / 255
    with torch.no_grad():
        maps = net(torch.from_numpy(padded)[None, None])
    (points,) = kp.keypoints(kp.scores(maps.logits), Selection(most=50), size=(90, 131))
    (rows,) = kp.descriptors_at(maps.descriptors, [points.xy])
    np.testing.assert_allclose(found.keypoints, points.xy, atol=1e-4)
    np.testing.assert_allclose(found.scores, points.scores, atol=1e-6)
    np.testing.assert_allclose(found.descriptors, rows, atol=1e-4)
    assert found.keypoints.shape == (50, 2)
    assert found.keypoints.dtype == found.scores.dtype == found.descriptors.dtype == np.float32


def test_stages_are_timed_and_the_mode_of_the_network_stays(net, image):
    for one in (net.train(), descompress.build(PATCH)):
        found = finder(one)(image)
        assert found.seconds.keys() == {"detection", "description"}
        assert min(found.seconds.values()) > 0
        assert one.training


def test_a_bfloat16_network_finds_float32_features(net, image):
    found = finder(net.bfloat16())(image)
    assert found.descriptors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("spec", [SMALL, PATCH], ids=["image network", "patch network"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (40, 9)])
def test_tiny_and_empty_images_have_few_features_or_none(spec, shape):
    find = finder(descompress.build(spec).eval())
    found = find(np.full(shape, 100, np.uint8))
    assert found.descriptors.shape == (len(found.keypoints), 16)
    assert found.scores.shape == (len(found.keypoints),)
    assert shape != (1, 1) or not len(found.keypoints)


def test_a_patch_network_describes_the_patches_of_sift(image):
    net = descompress.build(PATCH).eval()
    found = finder(net, Selection(most=30))(image)
    points, strengths = sift(image, 30)
    assert len(found.keypoints) == 30
    np.testing.assert_array_equal(found.keypoints, points[:, :2].astype(np.float32))
    np.testing.assert_array_equal(found.scores, strengths)
    assert (np.diff(found.scores) <= 0).all()
    np.testing.assert_array_equal(found.descriptors, describe(net, patches_at(image, points)))


@pytest.mark.parametrize(("x", "y", "sigma"), [(50, 40, 3.0), (41.3, 22.7, 2.5), (30.5, 50.2, 5)])
def test_a_detection_is_where_the_blob_is_and_spans_its_scale(x, y, sigma):
    """A Gaussian's difference-of-Gaussians response is highest at its own scale."""
    points, _ = sift(spot(x, y, sigma), 1)
    assert np.abs(points[0, :2] - [x, y]).max() < 0.1
    assert points[0, 2] / 7.5 == pytest.approx(sigma, rel=0.2)


def test_patches_turn_with_the_detection():
    """A bright half to the right of the centre, and the frame turned to look at it from there."""
    image = np.zeros((61, 61), np.uint8)
    image[:, 31:] = 255
    upright, turned = patches_at(
        image, np.array([[30.0, 30, 12, 0], [30, 30, 12, np.pi / 2]])
    ).astype(int)
    assert upright[:, 20:].min() > 250 > 5 > upright[:, :12].max()
    # The patch's x axis points down in the image: the bright side is the patch's upper half.
    assert turned[:12].min() > 250 > 5 > turned[20:].max()


def test_turned_images_match_at_turned_places(discs):
    """A quarter turn is exact: (x, y) -> (h - 1 - y, x)."""
    first = cv2.GaussianBlur(discs(3, (120, 150), 60, 10), (0, 0), 1)
    second = np.ascontiguousarray(np.rot90(first, -1))
    torch.manual_seed(0)
    find = finder(descompress.build(PATCH).eval(), Selection(most=200))
    a, b = find(first), find(second)
    matches = neighbours(a.descriptors, b.descriptors).mutual()
    there = np.column_stack([119 - a.keypoints[:, 1], a.keypoints[:, 0]])[matches[:, 0]]
    errors = np.linalg.norm(there - b.keypoints[matches[:, 1]], axis=1)
    assert len(matches) > 50
    assert (errors < 0.2).mean() > 0.8


def test_other_detections_can_be_described(image):
    points = np.array([[40.0, 30, 10, 0.5], [60, 50, 20, 1.0]])

    def detect(image: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        return points[:most], np.array([2.0, 1.0], np.float32)[:most]

    net = descompress.build(PATCH).eval()
    found = finder(net, Selection(most=2), detect)(image)
    np.testing.assert_array_equal(found.keypoints, points[:, :2])
    np.testing.assert_array_equal(found.descriptors, describe(net, patches_at(image, points)))


def test_at_most_so_many_are_kept_the_strongest(net, image):
    for one in (net, descompress.build(PATCH).eval()):
        many, few = (finder(one, replace(Selection(), most=n))(image) for n in (40, 7))
        assert len(few.keypoints) == 7
        np.testing.assert_array_equal(few.keypoints, many.keypoints[:7])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x: x.astype(np.float32) / 255, "float32 (90, 131)"),
        (lambda x: x.astype(np.uint16), "uint16 (90, 131)"),
        (lambda x: np.dstack([x] * 3), "uint8 (90, 131, 3)"),
        (lambda x: x[:0], "uint8 (0, 131)"),
    ],
    ids=("float", "16 bit", "colour", "empty"),
)
def test_an_image_that_is_not_grey_bytes_is_refused(net, image, change, told):
    exported = [
        open_model(to_onnx(n).SerializeToString()) for n in (net, descompress.build(PATCH).eval())
    ]
    found = [finder(net), finder(descompress.build(PATCH).eval()), *map(runtime_finder, exported)]
    for find in found:
        with pytest.raises(InputError, match=re.escape(f"uint8 (h, w), not {told}")):
            find(change(image))


def test_networks_for_other_things_are_refused():
    with pytest.raises(RequestError, match="vgg16 describes neither images nor patches"):
        finder(descompress.build("vgg16"))
    with pytest.raises(RequestError, match="Linear describes neither"):
        finder(torch.nn.Linear(2, 2))
