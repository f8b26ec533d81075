import sqlite3
from contextlib import closing
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from calls import run
from hypothesis import given
from hypothesis import strategies as st
from scene import cameras, photograph

import descompress
from descompress.errors import FileError, RequestError
from descompress.featurefiles import Described, StoredFeatures, described, feature_file
from descompress.integrations.colmap import (
    every_pair,
    neighbouring_pairs,
    pair_id,
    read_pairs,
    to_bytes,
    write_database,
    write_text,
)
from hpatches_eval.errors import DataError, OutputError
from hpatches_eval.features import Features
from hpatches_eval.sequences import ImageSequence

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


def units(seed: int, count: int, dim: int = 128) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def features(rows: np.ndarray, size: tuple[int, int] = (40, 30)) -> Described:
    points = np.arange(2 * len(rows), dtype=np.float32).reshape(-1, 2)
    return Described(Features(points, rows, np.ones(len(rows), np.float32)), size)


@pytest.fixture
def three() -> dict[str, Described]:
    """Row i of a and of c is row 2 - i of b."""
    rows = units(0, 3)
    backwards = np.ascontiguousarray(rows[::-1])
    return {"a.png": features(rows), "s/b.png": features(backwards), "c.png": features(rows)}


def table(path: Path, words: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(words).fetchall()


def test_a_database_holds_cameras_images_points_and_descriptors(three, tmp_path):
    path = tmp_path / "scene.db"
    assert write_database(path, three, every_pair(three)) == 9
    # 1.2 long sides of 40, the middle of 40 x 30, no distortion; 2 is SIMPLE_RADIAL.
    params = np.array([48, 20, 15, 0.0]).tobytes()
    assert table(path, "SELECT * FROM cameras") == [(i, 2, 40, 30, params, 0) for i in (1, 2, 3)]
    assert table(path, "SELECT * FROM images") == [
        (1, "a.png", 1),
        (2, "s/b.png", 2),
        (3, "c.png", 3),
    ]
    points = np.array([[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]], np.float32)
    assert table(path, "SELECT * FROM keypoints") == [
        (i, 3, 2, points.tobytes()) for i in (1, 2, 3)
    ]
    stored = table(path, "SELECT * FROM descriptors")
    for (number, rows, columns, data), one in zip(stored, three.values(), strict=True):
        assert (rows, columns) == (3, 128)
        found = np.frombuffer(data, np.uint8).reshape(3, 128).astype(np.float64)
        np.testing.assert_allclose((found - 128) / 256, one.features.descriptors, atol=0.5 / 256)
        assert number in (1, 2, 3)
    assert table(path, "SELECT * FROM two_view_geometries") == []


def test_matches_go_from_the_image_of_the_lower_number_to_the_other(three, tmp_path):
    path = tmp_path / "scene.db"
    three["c.png"] = features(units(0, 3)[[1, 2, 0]])
    write_database(path, three, [("c.png", "a.png"), ("a.png", "s/b.png")])
    found = {
        number: np.frombuffer(data, np.uint32).reshape(rows, columns).tolist()
        for number, rows, columns, data in table(path, "SELECT * FROM matches")
    }
    assert found == {
        2147483647 * 1 + 2: [[0, 2], [1, 1], [2, 0]],
        2147483647 * 1 + 3: [[1, 0], [2, 1], [0, 2]],
    }


def test_images_of_one_camera_may_share_it(three, tmp_path):
    path = tmp_path / "scene.db"
    write_database(path, three, [], shared_camera=True)
    assert table(path, "SELECT camera_id FROM cameras") == [(1,)]
    assert table(path, "SELECT camera_id FROM images") == [(1,)] * 3
    three["c.png"] = features(units(0, 3), (30, 40))
    with pytest.raises(RequestError, match=r"c.png is \(30, 40\), not \(40, 30\)"):
        write_database(tmp_path / "other.db", three, [], shared_camera=True)
    assert not (tmp_path / "other.db").exists()


def test_descriptors_of_other_lengths_are_matched_and_left_out(tmp_path):
    path = tmp_path / "scene.db"
    images = {name: features(units(1, 4, 256)) for name in ("a", "b")}
    assert write_database(path, images, every_pair(images)) == 4
    assert table(path, "SELECT count(*) FROM descriptors") == [(0,)]
    images["c"] = features(units(1, 4, 64))
    with pytest.raises(DataError, match="of one kind"):
        write_database(path, images, [("a", "c")], force=True)
    assert table(path, "SELECT count(*) FROM images") == [(2,)]


def test_bytes_keep_distances_but_for_rounding():
    rows = units(0, 200)
    stored = to_bytes(rows).astype(np.float64) / 256
    ours, theirs = (np.linalg.norm(x[:, None] - x[None], axis=2) for x in (rows, stored))
    # A component is off by 1 / 512 at the most, and by 1 / 256 / sqrt(12) in the square mean.
    assert np.abs(ours - theirs).max() < 2 * np.sqrt(128) / 512
    assert to_bytes(np.array([[-1, -0.5, 0, 0.25, 0.5, 1]])).tolist() == [
        [0, 0, 128, 192, 255, 255]
    ]


@given(st.integers(1, 2**31 - 2), st.integers(1, 2**31 - 2))
def test_pairs_are_numbered_alike_both_ways_round(first, second):
    number = pair_id(first, second)
    assert number == pair_id(second, first)
    assert sorted(divmod(number, 2**31 - 1)) == sorted((first, second))


def test_pairs_can_be_all_neighbours_or_listed(tmp_path):
    assert every_pair("abc") == [("a", "b"), ("a", "c"), ("b", "c")]
    assert neighbouring_pairs("dacb", 2) == [
        *(("a", "b"), ("a", "c"), ("b", "c"), ("b", "d"), ("c", "d"))
    ]
    path = tmp_path / "pairs.txt"
    path.write_text("a.png b.png\n\nb.png s/c.png\n")
    assert read_pairs(path) == [("a.png", "b.png"), ("b.png", "s/c.png")]
    path.write_text("a.png b.png\nb.png\n")
    with pytest.raises(FileError, match="line 2: two names needed"):
        read_pairs(path)
    for content in (None, b"\xff\xfe\xfa"):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(FileError, match="cannot be read"):
            read_pairs(path)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("a.png", "d.png")], "no features of d.png"),
        ([("a.png", "a.png")], "one image"),
        ([("a.png", "c.png"), ("c.png", "a.png")], "given twice"),
    ],
)
def test_pairs_that_cannot_be_are_refused(three, tmp_path, pairs, message):
    with pytest.raises(RequestError, match=message):
        write_database(tmp_path / "scene.db", three, pairs)
    assert list(tmp_path.iterdir()) == []


def test_text_files_are_those_of_the_feature_importer(three, tmp_path):
    write_text(tmp_path / "text", three)
    lines = (tmp_path / "text" / "s" / "b.png.txt").read_text().splitlines()
    assert lines[0] == "3 128"
    assert len(lines) == 4
    words = lines[2].split()
    assert words[:4] == ["2.5000", "3.5000", "1", "0"]
    rows = to_bytes(three["s/b.png"].features.descriptors)
    assert [int(word) for word in words[4:]] == rows[1].tolist()
    with pytest.raises(OutputError, match="exists already"):
        write_text(tmp_path / "text", three)
    write_text(tmp_path / "text", {"z": three["a.png"]}, force=True)
    assert [file.name for file in (tmp_path / "text").iterdir()] == ["z.txt"]


def test_text_of_other_descriptors_or_outside_the_folder_is_refused(three, tmp_path):
    with pytest.raises(RequestError, match="a: descriptors are 64 long, and COLMAP reads 128"):
        write_text(tmp_path / "text", {"a": features(units(0, 2, 64))})
    for name in ("../a", "/a", "b/../../a"):
        with pytest.raises(RequestError, match="leaves the folder"):
            write_text(tmp_path / "text", {name: three["a.png"]})
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_replaced_unless_asked(three, tmp_path):
    path = tmp_path / "scene.db"
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        write_database(path, three, [])
    assert path.read_text() == "mine"
    write_database(path, three, [], force=True)
    assert table(path, "SELECT count(*) FROM images") == [(3,)]


@pytest.fixture
def stored(three, tmp_path) -> Path:
    path = tmp_path / "features.h5"
    with feature_file(path, {}, dtype="float32") as file:
        for name, one in three.items():
            file.add(name, one)
    return path


def test_a_file_of_features_is_read_as_it_was_written(stored, three):
    found = StoredFeatures(stored)
    assert sorted(found) == sorted(three)
    assert len(found) == 3
    for name, one in three.items():
        np.testing.assert_array_equal(found[name].features.keypoints, one.features.keypoints)
        np.testing.assert_array_equal(found[name].features.descriptors, one.features.descriptors)
        assert found[name].size == one.size


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("keypoints", np.zeros((2, 2)), "keypoints, descriptors, scores"),
        ("keypoints", np.full((3, 2), np.nan), "keypoints, descriptors, scores"),
        ("keypoints", np.zeros((3, 4)), "keypoints, descriptors, scores"),
        ("descriptors", np.zeros(3), "keypoints, descriptors, scores"),
        ("descriptors", "text", "is damaged"),
        ("scores", np.zeros((3, 1)), "keypoints, descriptors, scores"),
        ("image_size", np.array([40, 0]), "image_size"),
        ("image_size", np.array([40]), "image_size"),
        ("image_size", None, "is damaged"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(stored, key, value, message):
    with h5py.File(stored, "a") as file:
        del file[f"c.png/{key}"]
        if value is not None:
            file[f"c.png/{key}"] = value
    with pytest.raises(FileError, match=f"c.png (has|is) .*{message.split()[-1]}"):
        StoredFeatures(stored)["c.png"]
    assert message


def test_files_of_other_kinds_are_refused(tmp_path):
    (tmp_path / "text.h5").write_text("mine")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["mine"] = 1
    for name, message in (
        ("text.h5", "not an HDF5 file"),
        ("none.h5", "none.h5: no such file"),
        ("other.h5", "no images in it"),
    ):
        with pytest.raises(FileError, match=message):
            StoredFeatures(tmp_path / name)


def test_the_verb_writes_database_and_text(stored, tmp_path):
    out, text = tmp_path / "scene.db", tmp_path / "text"
    assert run("colmap", stored, out, "--text", text)[0] == 0
    assert table(out, "SELECT count(*), sum(rows) FROM matches") == [(3, 9)]
    assert len(list(text.rglob("*.txt"))) == 3
    assert run("colmap", stored, out, "--overlap", 1, "--shared-camera", "--force")[0] == 0
    assert table(out, "SELECT count(*) FROM matches") == [(2,)]
    assert table(out, "SELECT count(*) FROM cameras") == [(1,)]
    (tmp_path / "pairs.txt").write_text("c.png a.png\n")
    assert run("colmap", stored, out, "--pairs", tmp_path / "pairs.txt", "--force")[0] == 0
    assert table(out, "SELECT count(*) FROM matches") == [(1,)]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["{h5}", "{h5}"], 1, "exists already"),
        (["{h5}", "{h5}", "--force"], 1, "what it is made of"),
        (["none.h5", "{db}"], 1, "none.h5: no such file"),
        (["{h5}", "{db}", "--pairs", "x", "--overlap", "1"], 2, "give one of them"),
        (["{h5}", "{db}", "--pairs", "none.txt"], 1, "cannot be read"),
        (["{h5}", "{db}", "--overlap", "0"], 2, "--overlap"),
        (["{h5}", "{db}/no/x.db"], 1, "there is no folder"),
    ],
)
def test_bad_requests_get_one_line(stored, tmp_path, words, status, message):
    words = [word.format(h5=stored, db=tmp_path / "scene.db") for word in words]
    found, said = run("colmap", *words)
    assert found == status
    assert said.strip().splitlines()[-1].startswith("Error: ")
    assert message in said
    assert not (tmp_path / "scene.db").exists()


@pytest.fixture(scope="module")
def find():
    net = descompress.load(WEIGHTS / "hardnet.tiny.safetensors")
    return descompress.finder(net, descompress.Selection(most=600))


@pytest.fixture(scope="module")
def pycolmap():
    return pytest.importorskip("pycolmap", reason="needs pycolmap: pip install pycolmap")


def aligned(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Points moved, turned and scaled onto others.

    Source: S. Umeyama, "Least-squares estimation of transformation parameters", TPAMI 1991.
    """
    a, b = points - points.mean(0), truth - truth.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = (s * signs).sum() / (a**2).sum()
    return scale * a @ (u @ np.diag(signs) @ vt).T + truth.mean(0)


def test_colmap_reconstructs_a_scene_from_our_features_and_matches(pycolmap, find, tmp_path):
    """Five cameras, of which it knows the focal length only as a guess, pass a corner."""
    poses = cameras(5)
    pictures = {f"{i}.png": photograph(*pose) for i, pose in enumerate(poses)}
    for name, picture in pictures.items():
        cv2.imwrite(str(tmp_path / name), picture)
    images = {name: described(picture, find, 1024) for name, picture in pictures.items()}
    database = tmp_path / "scene.db"
    write_database(database, images, every_pair(images), shared_camera=True)
    pycolmap.geometric_verification(database)
    pycolmap.set_random_seed(0)
    (scene,) = pycolmap.incremental_mapping(database, tmp_path, tmp_path).values()
    assert scene.num_reg_images() == 5
    assert scene.num_points3D() > 100
    assert scene.compute_mean_reprojection_error() < 0.5
    found = {image.name: image.projection_center() for image in scene.images.values()}
    centres = np.array([found[f"{i}.png"] for i in range(5)])
    truth = np.array([centre for _, centre in poses])
    errors = np.linalg.norm(aligned(centres, truth) - truth, axis=1)
    assert errors.max() < 0.03  # where the outermost cameras are 3 apart


def test_colmap_verifies_the_matches_of_photographs(pycolmap, find, shared, tmp_path):
    """What it takes for the geometry of a painted wall agrees with the homography measured."""
    sequence = ImageSequence(shared / "sequences" / "v_graffiti")
    images = {f"{k}.png": described(sequence.image(k), find, 640) for k in (1, 2)}
    database = tmp_path / "scene.db"
    write_database(database, images, every_pair(images))
    pycolmap.geometric_verification(database)
    with pycolmap.Database.open(database) as opened:
        matches = opened.read_two_view_geometry(1, 2).inlier_matches
    ends = [images[f"{k + 1}.png"].features.keypoints[matches[:, k]] for k in (0, 1)]
    mapped = cv2.perspectiveTransform(ends[0][None].astype(np.float64), sequence.homography(2))[0]
    assert len(matches) > 80
    assert (np.linalg.norm(mapped - ends[1], axis=1) < 5).mean() > 0.85


def test_colmap_matches_our_bytes_itself(pycolmap, find, tmp_path):
    pictures = {f"{i}.png": photograph(*pose) for i, pose in enumerate(cameras(5)[1:3])}
    images = {name: described(picture, find, 1024) for name, picture in pictures.items()}
    database = tmp_path / "scene.db"
    write_database(database, images, [])
    pycolmap.match_exhaustive(database, device=pycolmap.Device.cpu)
    with pycolmap.Database.open(database) as opened:
        assert opened.num_inlier_matches() > 100


def test_pairs_are_numbered_as_colmap_numbers_them(pycolmap):
    for pair in ((1, 2), (7, 3), (2**31 - 3, 2**31 - 2)):
        assert pair_id(*pair) == pycolmap.image_pair_to_pair_id(*pair)
