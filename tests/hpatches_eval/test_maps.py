import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_onnx import write_model

from hpatches_eval.errors import DataError, RequestError
from hpatches_eval.maps import OnnxFinder, Picking, local_maxima, pick, sample


def greedy(scores: np.ndarray, radius: int, threshold: float) -> np.ndarray:
    """One pixel at a time, as the definition says."""
    kept = np.zeros(scores.shape, bool)
    left = scores > threshold
    for at in np.argsort(-scores, axis=None, kind="stable"):
        y, x = divmod(int(at), scores.shape[1])
        if left[y, x]:
            kept[y, x] = True
            left[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] = False
    return kept


@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(2, 30))
def test_suppression_is_the_greedy_one_ties_included(seed, radius, levels):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (17, 23)).astype(np.float32)
    assert np.array_equal(local_maxima(scores, radius), greedy(scores, radius, 0))


def test_a_pixel_whose_suppressor_is_itself_suppressed_is_kept():
    scores = np.zeros((1, 9), np.float32)
    scores[0, [1, 3, 5]] = [3, 2, 1]
    assert np.flatnonzero(local_maxima(scores, 2)).tolist() == [1, 5]


def test_a_flat_map_gives_a_regular_grid_and_an_empty_one_nothing():
    assert np.argwhere(local_maxima(np.ones((5, 5), np.float32), 2)).tolist() == [
        [0, 0],
        [0, 3],
        [3, 0],
        [3, 3],
    ]
    assert not local_maxima(np.zeros((5, 5), np.float32), 2).any()


SCORES = np.zeros((12, 16), np.float32)
SCORES[3, 5], SCORES[3, 10], SCORES[8, 7], SCORES[0, 0] = 0.5, 0.9, 0.5, 1.0


@pytest.mark.parametrize(
    ("picking", "expected"),
    [
        (Picking(border=0), [(0, 0), (10, 3), (5, 3), (7, 8)]),
        (Picking(border=0, radius=5), [(0, 0), (10, 3)]),
        (Picking(border=2), [(10, 3), (5, 3), (7, 8)]),
        (Picking(border=2, keypoints=2), [(10, 3), (5, 3)]),
        (Picking(border=2, threshold=0.5), [(10, 3)]),
        (Picking(border=4), []),
        (Picking(border=3), [(10, 3), (5, 3), (7, 8)]),
        (Picking(border=6), []),
    ],
)
def test_keypoints_are_x_y_strongest_first_ties_in_raster_order(picking, expected):
    points, scores = pick(SCORES, picking)
    assert points.tolist() == [list(p) for p in expected]
    assert scores.tolist() == [SCORES[y, x] for x, y in expected]


def test_refinement_finds_the_mean_place_of_the_scores_around():
    scores = np.zeros((21, 31))
    scores[8, 12:15] = [4, 3, 1]  # 5 / 8 to the right
    scores[6, 12] = -9  # counts as none
    points, _ = pick(scores, Picking(keypoints=1, refine=True))
    assert points[0] == pytest.approx([12 + 5 / 8, 8])
    points, _ = pick(scores, Picking(keypoints=1, radius=1, refine=True))
    assert points[0] == pytest.approx([12 + 3 / 7, 8])


def test_refinement_at_the_edge_of_the_map_leaves_the_axis_it_cannot_judge():
    scores = np.zeros((5, 7))
    scores[0, 2:5] = [1, 4, 3]
    points, _ = pick(scores, Picking(keypoints=1, border=0, refine=True))
    assert points[0] == pytest.approx([3 + 0.25, 0])  # (3 - 1) / 8


def test_descriptors_are_sampled_where_pixels_of_a_coarser_map_have_their_centres():
    coarse = np.zeros((2, 2, 3), np.float32)  # of an image of 16 x 24: centres at 3.5, 11.5, 19.5
    coarse[0] = [[1, 0, 0], [0, 0, 0]]
    coarse[1] = [[0, 1, 1], [1, 1, 1]]
    at = np.array([[3.5, 3.5], [11.5, 3.5], [7.5, 3.5], [5.5, 3.5], [0, 0], [3.5, 7.5]])
    weight = np.array([1, 0, 0.5, 0.75, 1, 0.5])  # of the pixel in the corner
    expected = np.column_stack([weight, 1 - weight])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert sample(coarse, at, (16, 24)) == pytest.approx(expected, abs=1e-6)


def test_descriptors_of_a_map_of_the_image_s_own_size_are_its_pixels_normalised():
    dense = np.random.default_rng(0).normal(size=(5, 4, 6)).astype(np.float32)
    rows = sample(dense, np.array([[0.0, 0], [5, 3], [2, 1]]), (4, 6))
    picked = dense[:, [0, 3, 1], [0, 5, 2]].T
    assert rows == pytest.approx(picked / np.linalg.norm(picked, axis=1)[:, None], abs=1e-6)
    assert sample(dense, np.empty((0, 2)), (4, 6)).shape == (0, 5)


def test_a_map_of_one_pixel_describes_everything_alike_and_zeros_stay_zeros():
    points = np.array([[0.0, 0], [7, 7]])
    assert sample(np.full((2, 1, 1), 3.0), points, (8, 8)) == pytest.approx(0.5**0.5)
    assert sample(np.zeros((2, 1, 1)), points, (8, 8)).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("picking", "message"),
    [
        ((0, 4, 4), "0 keypoints: 1 to 16,777,216"),
        ((2**25, 4, 4), "33554432 keypoints: 1 to 16,777,216"),
        ((10, -1, 4), "radius -1, border 4: at least 0 pixels"),
        ((10, 1025, 4), "the radius at most 1,024"),
        ((10, 4, -1), "radius 4, border -1: at least 0 pixels"),
    ],
)
def test_a_picking_that_makes_no_sense_is_refused(picking, message):
    with pytest.raises(RequestError, match=message):
        Picking(*picking)


@pytest.fixture
def onnx(tmp_path):
    pytest.importorskip("onnxruntime")
    return lambda *shape, **more: write_model(tmp_path / "net.onnx", shape, **more)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_of_fixed_size_gives_keypoints_in_pixels_of_the_image(onnx, channels):
    finder = OnnxFinder(onnx(1, channels, 32, 48), Picking(keypoints=1))
    image = np.zeros((64, 192), np.uint8)
    image[20:22, 80:84] = 255  # one pixel of the network's input, centre (81.5, 20.5)
    found = finder(image)
    assert found.keypoints.tolist() == [[81.5, 20.5]]
    assert found.scores.tolist() == [1]
    expected = np.array([1] * channels + [-1] * channels) / np.sqrt(2 * channels)
    assert found.descriptors[0] == pytest.approx(expected)
    assert found.seconds.keys() == {"detection", "description"}


def test_maps_in_half_precision_are_read_as_well(onnx):
    class Half:
        def __init__(self, session) -> None:
            self.session = session

        def run(self, *asked):
            return [made.astype(np.float16) for made in self.session.run(*asked)]

    finder = OnnxFinder(onnx(1, 1, 32, 48), Picking(keypoints=1))
    image = np.zeros((32, 48), np.uint8)
    image[20, 30] = 255
    expected = finder(image)
    finder.session = Half(finder.session)
    found = finder(image)
    assert found.keypoints.tolist() == expected.keypoints.tolist() == [[30, 20]]
    assert found.descriptors == pytest.approx(expected.descriptors, abs=1e-3)


def test_a_network_of_free_size_gets_multiples_of_8(onnx):
    finder = OnnxFinder(onnx(1, 1, "h", "w"), Picking(keypoints=1))
    image = np.zeros((61, 90), np.uint8)
    image[30:33, 50:53] = 255
    points = finder(image).keypoints
    assert finder.maps(image)[0].shape == (64, 96)
    assert points[0] == pytest.approx([51, 31], abs=1)


def test_an_image_without_anything_gives_no_keypoints(onnx):
    found = OnnxFinder(onnx(1, 1, 32, 32))(np.zeros((50, 50), np.uint8))
    assert (found.keypoints.shape, found.descriptors.shape) == ((0, 2), (0, 2))


@pytest.mark.parametrize(
    ("shape", "outputs", "message"),
    [
        ((1, 4, 32, 32), 2, r"needs one input, 1 x \(1 or 3\) x h x w, has x \[1, 4, 32, 32\]"),
        ((1, 3, 32), 2, "needs one input"),
        ((1, 3, 32, 32), 1, r"needs a score map \(32, 32\) and a descriptor map, gives \(1, 1, 32"),
    ],
)
def test_a_network_that_gives_something_else_is_refused(onnx, shape, outputs, message):
    with pytest.raises(DataError, match=message):
        OnnxFinder(onnx(*shape, outputs=outputs))(np.zeros((32, 32), np.uint8))


def test_files_that_are_no_networks_are_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "a.onnx").write_text("not a network")
    with pytest.raises(DataError, match="not an ONNX model"):
        OnnxFinder(tmp_path / "a.onnx")
    with pytest.raises(DataError, match="no such file"):
        OnnxFinder(tmp_path / "b.onnx")


def test_without_onnxruntime_the_package_to_install_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RequestError, match="pip install onnxruntime"):
        OnnxFinder(tmp_path / "a.onnx")
