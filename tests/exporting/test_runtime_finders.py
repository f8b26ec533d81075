import numpy as np
import pytest
import torch
from small_nets import inputs, made

from descompress import features
from descompress.description import describe as of_torch
from descompress.exporting import to_onnx
from descompress.runtimes import open_model
from descompress.runtimes.finders import describe, finder
from descompress.selection import Selection


@pytest.fixture(scope="module")
def image(discs) -> np.ndarray:
    return discs(1, (90, 131), 40, 12)


@pytest.fixture(scope="module")
def peaked():
    net = made("superpoint folded")
    with torch.no_grad():
        net.conv("convPb").weight *= 30
    return net


@pytest.mark.parametrize(
    "selection",
    [
        Selection(most=50),
        Selection(radius=0, border=0, threshold=0.02),
        Selection(radius=7, border=9, subpixel=False),
    ],
)
def test_an_image_network_finds_the_same_as_in_pytorch(peaked, image, selection):
    runtime = open_model(to_onnx(peaked).SerializeToString())
    ours, theirs = finder(runtime, selection)(image), features.finder(peaked, selection)(image)
    assert len(ours.keypoints) == len(theirs.keypoints) > 10
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)
    one, other = (np.lexsort(np.round(f.keypoints.T)) for f in (ours, theirs))  # ties may swap
    np.testing.assert_allclose(ours.keypoints[one], theirs.keypoints[other], atol=1e-3)
    np.testing.assert_allclose(ours.descriptors[one], theirs.descriptors[other], atol=1e-4)
    assert ours.seconds.keys() == {"detection", "description"}


def test_a_patch_network_describes_the_same_as_in_pytorch(image):
    net = made("l2net")
    runtime = open_model(to_onnx(net).SerializeToString())
    ours, theirs = finder(runtime, Selection(most=20))(image), features.finder(net)(image)
    np.testing.assert_array_equal(ours.keypoints, theirs.keypoints[:20])
    np.testing.assert_allclose(ours.descriptors, theirs.descriptors[:20], atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 9])
def test_patches_are_described_a_few_at_a_time_whatever_their_size(count):
    net = made("strided")
    runtime = open_model(to_onnx(net).SerializeToString())
    patches = np.random.default_rng(0).integers(0, 256, (count, 65, 65), np.uint8)
    rows = describe(runtime, patches, batch=4)
    assert rows.shape == (count, 8)
    np.testing.assert_allclose(rows, of_torch(net, patches), atol=1e-5)
    assert len(inputs(net)) == 3
