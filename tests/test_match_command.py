import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from calls import run

import descompress
from descompress.gallery import GREEN, RED
from descompress.matching import BAR, Matched, matched, picture
from descompress.spec import Spec
from hpatches_eval.features import Features


def features(points: np.ndarray, rows: np.ndarray | None = None) -> Features:
    rows = np.eye(len(points), 80) if rows is None else rows
    scores = np.linspace(1, 0, len(points))
    return Features(*(a.astype(np.float32) for a in (points, rows, scores)))


def plane(points: np.ndarray) -> np.ndarray:
    matrix = np.array([[1.1, 0.1, 5], [-0.05, 0.95, 3], [1e-4, 2e-4, 1]])
    wide = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return wide[:, :2] / wide[:, 2:]


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 200, (60, 2))


def test_matches_that_fit_a_homography_are_found(points):
    there = plane(points)
    there[40:] += np.random.default_rng(1).uniform(20, 60, (20, 2))
    found = matched(features(points), features(there))
    assert found.matches.tolist() == [[i, i] for i in range(60)]
    assert found.inliers.tolist() == [True] * 40 + [False] * 20
    wide = np.column_stack([points, np.ones(60)]) @ found.matrix.T
    np.testing.assert_allclose(wide[:, :2] / wide[:, 2:], plane(points), atol=0.01)
    assert found.seconds.keys() == {"matching", "estimation"}


def test_matches_that_fit_a_fundamental_matrix_are_found(points):
    """A camera moves to the side: points move along their rows, as far as they are near."""
    shift = np.random.default_rng(2).uniform(5, 50, 60)
    there = points + np.column_stack([shift, np.zeros(60)])
    there[45:, 1] += 30
    assert matched(features(points), features(there), "homography").inliers.sum() < 30
    found = matched(features(points), features(there), "fundamental", 1.0)
    assert found.inliers[:45].all()
    assert found.inliers.sum() < 50
    ends = [np.column_stack([p, np.ones(60)])[:45] for p in (points, there)]
    assert np.abs((ends[1] @ found.matrix * ends[0]).sum(1)).max() < 0.05


@pytest.mark.parametrize(("geometry", "least"), [("homography", 4), ("fundamental", 8)])
def test_too_few_matches_fit_nothing(points, geometry, least):
    for count in (0, 1, least - 1):
        few = features(points[:count], np.eye(count, 80))
        found = matched(few, few, geometry)
        assert len(found.matches) == len(found.inliers) == count
        assert found.matrix is None
        assert not found.inliers.any()
    line = np.column_stack([np.arange(20.0), np.arange(20.0)])
    assert len(matched(features(line), features(line), geometry).inliers) == 20


def test_the_threshold_is_in_pixels(points):
    there = points.copy()
    there[0] += [4, 0]
    assert matched(features(points), features(there), threshold=3.0).inliers.sum() == 59
    assert matched(features(points), features(there), threshold=5.0).inliers.sum() == 60


def test_the_picture_joins_what_fits_in_green_and_the_rest_in_red():
    images = np.zeros((40, 50), np.uint8), np.zeros((30, 60), np.uint8)
    ends = np.array([[5.0, 8], [5, 30]]), np.array([[10.0, 8], [20, 25]])
    found = Matched(np.array([[0, 0], [1, 1]]), np.array([True, False]), np.eye(3), {})
    drawn = picture("title", images, ends, found)
    assert drawn.shape == (BAR + 40, 110, 3)
    for place, colour in (((8, 5), GREEN), ((8, 60), GREEN), ((30, 5), RED), ((25, 70), RED)):
        assert drawn[BAR + place[0], place[1]].tolist() == list(colour)
    assert drawn[BAR + 8, 30, 1] > 150  # the line between, level
    assert not drawn[BAR + 35 :, 50:].any()


def test_of_very_many_matches_every_so_many_are_joined():
    image = np.zeros((100, 100), np.uint8)
    points = np.column_stack([np.full(1000, 10.0), np.linspace(0, 99, 1000)])
    rows = np.column_stack([np.arange(1000)] * 2)
    found = Matched(rows, np.ones(1000, bool), np.eye(3), {})
    drawn = picture("title", (image, image), (points, points), found)[BAR:]
    assert (drawn[:, 10] == GREEN).all()
    few = Matched(rows[::100], np.ones(10, bool), np.eye(3), {})
    drawn = picture("title", (image, image), (points, points), few)[BAR:]
    assert 5 < (drawn[:, 60, 1] > 100).sum() < 40


@pytest.fixture(scope="module")
def net(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("nets") / "patch.safetensors"
    descompress.save(descompress.build(Spec("l2net", {"widths": [4] * 6, "dim": 16})), path)
    return path


@pytest.fixture
def images(tmp_path, discs) -> tuple[Path, Path]:
    """A picture, and the same moved by (10, 6)."""
    whole = cv2.GaussianBlur(discs(5, (206, 310), 90, 12), (0, 0), 1)
    paths = tmp_path / "first.png", tmp_path / "second.png"
    cv2.imwrite(str(paths[0]), whole[6:, 10:])
    cv2.imwrite(str(paths[1]), whole[:200, :300])
    return paths


def test_two_images_are_matched_drawn_and_told(net, images, tmp_path):
    drawn, told = tmp_path / "m.png", tmp_path / "m.json"
    status, said = run("match", *images, net, "-o", drawn, "--json", told)
    assert status == 0, said
    assert cv2.imread(str(drawn)).shape == (BAR + 200, 600, 3)
    found = json.loads(told.read_text())
    assert found["network"] == "patch.safetensors"
    assert [image["file"] for image in found["images"]] == ["first.png", "second.png"]
    assert found["images"][0]["size"] == [300, 200]
    assert found["matches"] >= found["inliers"] > 50
    assert found["images"][0]["keypoints"] >= found["matches"]
    np.testing.assert_allclose(found["matrix"], [[1, 0, 10], [0, 1, 6], [0, 0, 1]], atol=0.3)
    assert found["seconds"].keys() == {"matching", "estimation"}


def test_the_geometry_is_that_of_the_whole_images(net, images, tmp_path):
    told = tmp_path / "m.json"
    assert run("match", *images, net, "--size", 210, "--json", told)[0] == 0
    found = json.loads(told.read_text())
    assert found["inliers"] > 15
    moved = np.array(found["matrix"]) @ [150, 100, 1]
    np.testing.assert_allclose(moved[:2] / moved[2], [160, 106], atol=0.5)


def test_a_smaller_copy_is_drawn_and_its_pixels_count(net, images, tmp_path, monkeypatch):
    seen = {}

    def note_threshold(*args):
        seen["threshold"] = args[-1]
        return matched(*args)

    def note_points(title, small, points, found):
        seen["points"] = points
        return picture(title, small, points, found)

    monkeypatch.setattr("descompress.matching.matched", note_threshold)
    monkeypatch.setattr("descompress.matching.picture", note_points)
    drawn = tmp_path / "m.png"
    assert run("match", *images, net, "--size", 210, "--within", 2, "-o", drawn)[0] == 0
    assert cv2.imread(str(drawn)).shape == (BAR + 140, 420, 3)
    assert seen["threshold"] == pytest.approx(2 * 300 / 210)
    for points in seen["points"]:
        assert 150 < points[:, 0].max() < 210
        assert 100 < points[:, 1].max() < 140


def test_numbers_are_printed_as_lines_or_as_json(net, images, capsys):
    from click.testing import CliRunner

    from descompress.cli import main

    words = ["match", *map(str, images), str(net), "--keypoints", "100"]
    shown = CliRunner().invoke(main, words).stdout.splitlines()
    assert shown[0].startswith("first.png: 100 keypoints, detection ")
    assert "matches fit a homography, matching " in shown[2]
    told = CliRunner().invoke(main, [*words, "--json", "-"]).stdout
    assert json.loads(told)["images"][1]["keypoints"] == 100


def test_image_networks_match_too(images, tmp_path):
    path = tmp_path / "image.safetensors"
    descompress.save(descompress.build(Spec("superpoint", {"widths": [8] * 10, "dim": 16})), path)
    assert run("match", *images, path, "-o", tmp_path / "m.png")[0] == 0
    flat = tmp_path / "flat.png"
    cv2.imwrite(str(flat), np.zeros((20, 20), np.uint8))
    words = ("--threshold", 0.9, "-o", tmp_path / "n.png")
    assert run("match", flat, flat, path, *words)[0] == 0


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["{a}", "none.png", "{net}"], 1, "none.png: cannot be read"),
        (["{a}", "{net}", "{net}"], 1, "cannot be read as an image"),
        (["{a}", "{b}", "{a}"], 1, "first.png"),
        (["{a}", "{b}", "nowhere"], 1, "nor a shipped network"),
        (["{a}", "{b}", "{net}", "-o", "{b}"], 1, "exists already"),
        (["{a}", "{b}", "{net}", "--geometry", "affine"], 2, "affine"),
        (["{a}", "{b}", "{net}", "--within", "0"], 2, "--within"),
        (["{a}", "{b}", "{net}", "--within", "nan"], 2, "nan is no finite number"),
        (["{a}", "{b}", "{net}", "--within", "inf"], 2, "inf is no finite number"),
        (["{a}", "{b}", "{net}", "--radius", "99999"], 2, "at most 1024 pixels"),
        (["{a}", "{b}", "{net}", "-o", "m.png", "--json", "m.png"], 1, "two outputs would be"),
    ],
)
def test_bad_requests_get_one_line(net, images, words, status, message):
    words = [w.format(a=images[0], b=images[1], net=net) for w in words]
    found, said = run("match", *words)
    assert found == status
    assert said.strip().splitlines()[-1].startswith("Error: ")
    assert message in said
