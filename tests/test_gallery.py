import cv2
import numpy as np

from descompress.gallery import correct, mutual_matches, view, write_matches

POINTS = np.array([[10.0, 20, 5, 0], [30, 40, 5, 0], [50, 60, 5, 0]])


def test_mutual_matches_are_each_others_nearest():
    first = np.eye(3)
    second = np.array([[0, 1, 0], [1, 0, 0], [0.9, 0.1, 0.0]])
    # 0 <-> 1 and 1 <-> 0; the third of the first has no other that prefers it.
    assert mutual_matches(first, second).tolist() == [[0, 1], [1, 0]]
    assert mutual_matches(first[:0], second).shape == (0, 2)


def scene(points: np.ndarray):
    from descompress.gallery import View

    n = len(points)
    return View(np.zeros((80, 80), np.uint8), points, np.zeros((n, 32, 32), np.uint8))


def test_a_match_is_right_within_three_pixels_of_the_homography():
    shift = np.array([[1, 0, 7], [0, 1, -2], [0, 0, 1.0]])
    moved = POINTS.copy()
    moved[:, :2] += [7, -2]
    moved[1, 0] += 2.9
    moved[2, 0] += 3.1
    matches = np.array([[0, 0], [1, 1], [2, 2], [0, 1]])
    found = correct(matches, (scene(POINTS), scene(moved)), shift)
    assert found.tolist() == [True, True, False, False]


def test_the_picture_holds_a_panel_for_every_descriptor(tmp_path):
    image = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (160, 200)).astype(np.uint8), (0, 0), 2
    )
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    views = (view(image), view(image))

    def pixels(patches: np.ndarray) -> np.ndarray:
        rows = patches.reshape(len(patches), -1).astype(float)
        rows -= rows.mean(1, keepdims=True)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    counts = write_matches([("a", pixels), ("b", pixels)], views, np.eye(3), tmp_path / "m.png")
    right, total = counts["a"]
    assert counts["b"] == (right, total)
    assert right == total > 10
    picture = cv2.imread(str(tmp_path / "m.png"))
    assert picture.shape == (2 * (160 + 28), 400, 3)
    green = (picture[..., 1].astype(int) - picture[..., 2]) > 60
    assert green[28:188].any()
