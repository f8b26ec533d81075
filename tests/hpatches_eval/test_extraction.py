import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from ellipses import overlap

from hpatches_eval.cli import main
from hpatches_eval.detection import detect
from hpatches_eval.errors import DataError, OutputError, RequestError
from hpatches_eval.extraction import Extraction, _choose, extract, extract_sequence
from hpatches_eval.frames import inside, pyramid
from hpatches_eval.sequences import ImageSequence, find_sequences

HOMOGRAPHY = np.array([[0.95, 0.05, 6], [-0.04, 0.97, 9], [5e-5, 2e-5, 1]])


def picture(seed: int, shape: tuple[int, int] = (220, 260)) -> np.ndarray:
    """Random discs of many sizes: something to detect at many scales."""
    rng = np.random.default_rng(seed)
    image = np.full(shape, 128, np.uint8)
    for _ in range(200):
        centre = [int(v) for v in rng.uniform(0, 1, 2) * shape[::-1]]
        cv2.circle(image, centre, int(rng.integers(3, 14)), int(rng.integers(0, 256)), -1)
    return cv2.GaussianBlur(image, (0, 0), 1.0)


def write_sequence(folder: Path, seed: int = 0) -> ImageSequence:
    folder.mkdir(parents=True)
    image = picture(seed)
    cv2.imwrite(str(folder / "1.png"), image)
    for k in range(2, 7):
        homography = np.linalg.matrix_power(HOMOGRAPHY, 1)
        seen = cv2.warpPerspective(image, homography, image.shape[::-1])
        cv2.imwrite(str(folder / f"{k}.png"), seen)
        np.savetxt(folder / f"H_1_{k}", homography)
    return ImageSequence(folder)


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> ImageSequence:
    return write_sequence(tmp_path_factory.mktemp("scenes") / "v_discs")


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


def test_a_release_has_sixteen_strips_of_the_same_patches(scene, tmp_path):
    counts = extract([scene], tmp_path / "out", Extraction(patches=40))
    assert counts == {"v_discs": 40}
    files = {p.name: cv2.imread(str(p), -1) for p in (tmp_path / "out/v_discs").iterdir()}
    names = {"ref.png"} | {f"{d}{k}.png" for d in "eht" for k in range(1, 6)}
    assert set(files) == names
    assert {image.shape for image in files.values()} == {(40 * 65, 65)}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(scene, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        extract([scene], tmp_path / name, Extraction(20, seed))
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert hashes(tmp_path / "a") != hashes(tmp_path / "c")


def test_the_folder_one_stands_in_has_a_name(scene, tmp_path, monkeypatch):
    monkeypatch.chdir(scene.path)
    assert [found.name for found in find_sequences(".")] == ["v_discs"]


def test_a_sequence_gives_the_same_patches_in_any_company(scene, tmp_path):
    other = write_sequence(tmp_path / "scenes" / "a_other", seed=5)
    extract([scene], tmp_path / "alone", Extraction(15))
    extract([other, scene], tmp_path / "both", Extraction(15))
    assert hashes(tmp_path / "alone/v_discs") == hashes(tmp_path / "both/v_discs")


def test_sequences_of_other_names_are_disturbed_otherwise(scene, tmp_path):
    shutil.copytree(scene.path, tmp_path / "v_same")
    twin = extract_sequence(ImageSequence(tmp_path / "v_same"), Extraction(10))
    assert not np.array_equal(twin["t3"], extract_sequence(scene, Extraction(10))["t3"])


def test_patches_follow_the_homography(scene):
    strips = extract_sequence(scene, Extraction(60))

    def likeness(a, b):
        return np.mean([np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)])

    easy, tough = (
        np.mean([likeness(strips["ref"], strips[f"{d}{k}"]) for k in range(1, 6)]) for d in "et"
    )
    strangers = likeness(strips["ref"], np.roll(strips["e1"], 1, axis=0))
    assert easy > 0.7
    assert easy > tough + 0.1 > strangers + 0.2


def test_overlaps_of_the_extracted_regions_are_those_of_hpatches(scene):
    images = [pyramid(scene.image(k)) for k in range(1, 7)]
    homographies = [np.eye(3)] + [scene.homography(k) for k in range(2, 7)]
    points, rng = detect(images[0].levels[0]), np.random.default_rng(0)
    found: dict[str, list[float]] = {"e": [], "h": [], "t": []}
    for frames in _choose(points, images, homographies, 100, rng):
        carry = np.linalg.inv(frames["ref", 0])
        for (name, k), frame in frames.items():
            assert inside(frame, images[k].shape)
            assert inside(homographies[k] @ frames["ref", 0], images[k].shape)
            if k:
                jitter = carry @ np.linalg.inv(homographies[k]) @ frame
                found[name[0]].append(overlap(jitter / jitter[2, 2], samples=40))
    for name, median in {"e": 0.85, "h": 0.72, "t": 0.60}.items():
        assert np.median(found[name]) == pytest.approx(median, abs=0.03)


def test_no_two_points_share_more_than_half_of_their_regions(scene):
    images = [pyramid(scene.image(k)) for k in range(1, 7)]
    same = [np.eye(3)] * 6
    chosen = _choose(detect(images[0].levels[0]), images, same, 25, np.random.default_rng(0))
    frames = [views["ref", 0] for views in chosen]
    circles = np.array([[f[0, 2], f[1, 2], np.hypot(f[0, 0], f[1, 0])] for f in frames])
    for i, (x, y, r) in enumerate(circles):
        for u, v, s in circles[i + 1 :]:
            jitter = np.array([[s / r, 0, (u - x) / r], [0, s / r, (v - y) / r], [0, 0, 1]])
            assert overlap(jitter, samples=80) < 0.53


def test_what_a_sequence_lacks_is_named(scene, tmp_path):
    def broken(name: str, change) -> ImageSequence:
        sequence = write_sequence(tmp_path / name)
        change(sequence.path)
        return sequence

    cases = {
        "gone": (lambda p: (p / "H_1_3").unlink(), "no homography H_1_3"),
        "singular": (lambda p: (p / "H_1_3").write_text("1 2 3 2 4 6 0 0 1"), "is singular"),
        "words": (lambda p: (p / "H_1_3").write_text("one"), "not a homography of nine numbers"),
        "eight": (lambda p: (p / "H_1_3").write_text("1 0 0 0 1 0 0 0"), "nine finite numbers"),
        "nan": (lambda p: (p / "H_1_3").write_text("nan 0 0 0 1 0 0 0 1"), "nine finite numbers"),
        "image": (lambda p: (p / "4.png").unlink(), "no image 4"),
        "noise": (lambda p: (p / "4.png").write_bytes(b"no image"), "cannot be read as an image"),
        "flat": (
            lambda p: cv2.imwrite(str(p / "1.png"), np.full((200, 200), 9, np.uint8)),
            "no point found",
        ),
    }
    for name, (change, message) in cases.items():
        with pytest.raises(DataError, match=message):
            extract([broken(name, change)], tmp_path / "out", Extraction(10))
        assert not (tmp_path / "out").exists()


def test_bad_requests_are_refused(scene, tmp_path):
    with pytest.raises(RequestError, match="--patches 0: at least 1"):
        Extraction(patches=0)
    with pytest.raises(RequestError, match="--seed -1: it must not be negative"):
        Extraction(seed=-1)
    with pytest.raises(DataError, match="no such folder"):
        find_sequences(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no folder with images"):
        find_sequences(tmp_path / "empty")
    with pytest.raises(OutputError, match="exists already; --force"):
        extract([scene], tmp_path / "empty", Extraction(5))


def test_images_too_small_for_a_detector_have_no_points():
    for shape in ((1, 1), (20, 20), (31, 200)):
        assert detect(np.full(shape, 7, np.uint8)).shape == (0, 4)


def test_what_is_extracted_from_is_never_replaced(scene, tmp_path):
    before = hashes(scene.path.parent)
    for target in (scene.path, scene.path.parent, scene.path.parent.parent):
        with pytest.raises(OutputError, match="what it is made of"):
            extract([scene], target, Extraction(5), force=True)
    assert hashes(scene.path.parent) == before


def test_the_command_makes_the_release_and_says_how_much(scene, tmp_path):
    def run(*args: object):
        return CliRunner().invoke(main, ["extract", *map(str, args)])

    made = run(scene.path.parent, tmp_path / "out", "--patches", 12)
    assert made.exit_code == 0
    assert "12 points of 1 sequences" in made.stderr
    extract([scene], tmp_path / "same", Extraction(12, 0))
    assert hashes(tmp_path / "out") == hashes(tmp_path / "same")
    short = run(scene.path.parent, tmp_path / "more", "--patches", 5000)
    assert "fewer than 5000 points: v_discs (" in short.stderr
    for args, status in (
        ((scene.path.parent, tmp_path / "out"), 1),
        ((tmp_path / "nowhere", tmp_path / "new"), 1),
        ((scene.path.parent, tmp_path / "new", "--patches", 0), 2),
        ((scene.path.parent, scene.path.parent, "--force"), 1),
    ):
        refused = run(*args)
        assert refused.exit_code == status
        assert refused.stderr.startswith("Error: ")
        assert len(refused.stderr.splitlines()) == 1


def test_force_replaces_a_release(scene, tmp_path):
    extract([scene], tmp_path / "out", Extraction(5))
    extract([scene], tmp_path / "out", Extraction(6), force=True)
    assert cv2.imread(str(tmp_path / "out/v_discs/ref.png"), -1).shape == (6 * 65, 65)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]
