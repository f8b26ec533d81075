import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch
from calls import run

import descompress
from descompress import featurefiles
from descompress.errors import FileError
from descompress.featurefiles import Described, StoredFeatures, described, feature_file
from descompress.features import finder
from descompress.images import read_image
from descompress.journal import JournalledFile, journal_of, pending
from descompress.locks import locked
from descompress.selection import Selection
from descompress.spec import Spec
from hpatches_eval.errors import DataError, OutputError
from hpatches_eval.featurefiles import HlocFile
from hpatches_eval.features import Features

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def net(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("nets") / "image.safetensors"
    descompress.save(descompress.build(Spec("superpoint", {"widths": [8] * 10, "dim": 16})), path)
    return path


@pytest.fixture(scope="module")
def patch_net(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("nets") / "patch.safetensors"
    descompress.save(descompress.build(Spec("l2net", {"widths": [4] * 6, "dim": 8})), path)
    return path


@pytest.fixture
def images(tmp_path, discs) -> Path:
    """a.png, sub/b.jpg and sub/c.png, of 60 x 90 to 62 x 90 pixels."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.png", "sub/b.jpg", "sub/c.png")):
        cv2.imwrite(str(folder / name), discs(number, (60 + number, 90), 30, 9))
    return folder


def groups(path: Path) -> list[str]:
    with h5py.File(path) as file:
        found: list[str] = []
        file.visititems(
            lambda name, item: found.append(item.parent.name[1:]) if "image_size" in name else None
        )
    return sorted(found)


def test_a_folder_becomes_a_file_in_the_layout_of_hloc(net, images, tmp_path):
    out = tmp_path / "features.h5"
    status, said = run("describe", net, images, "-o", out, "--keypoints", 25)
    assert status == 0, said
    assert groups(out) == ["a.png", "sub/b.jpg", "sub/c.png"]
    with h5py.File(out) as file:
        group = file["sub/c.png"]
        assert group["image_size"][:].tolist() == [90, 62]
        assert group["keypoints"].shape == (25, 2)
        assert group["keypoints"].dtype == np.float32
        assert group["descriptors"].shape == (16, 25)
        assert group["scores"].shape == (25,)
        assert group["descriptors"].dtype == group["scores"].dtype == np.float16
        assert group["keypoints"].attrs["uncertainty"] == 1.0
        kept = {key: group[key][:] for key in ("keypoints", "descriptors", "scores")}
    found = finder(descompress.load(net), Selection(most=25))(read_image(images / "sub" / "c.png"))
    np.testing.assert_allclose(kept["keypoints"], found.keypoints, atol=1e-4)
    np.testing.assert_allclose(kept["descriptors"].T, found.descriptors, atol=1e-3)
    np.testing.assert_allclose(kept["scores"], found.scores, rtol=1e-3)


def test_patch_networks_describe_detections(patch_net, images, tmp_path):
    out = tmp_path / "features.h5"
    arguments = ("-o", out, "--dtype", "float32", "--keypoints", 9)
    assert run("describe", patch_net, images / "a.png", *arguments)[0] == 0
    with h5py.File(out) as file:
        assert file["a.png/descriptors"].shape == (8, 9)
        assert file["a.png/descriptors"].dtype == np.float32


def test_points_of_a_smaller_copy_are_told_in_pixels_of_the_whole_image():
    """Searched at 40 x 30 of 80 x 60: each of its pixels covers two, (p + .5) 2 - .5."""
    seen = []

    def find(image: np.ndarray) -> Features:
        seen.append(image.shape)
        points = np.array([[0, 0], [39, 29], [10, 20.25]], np.float32)
        return Features(points, np.eye(3, dtype=np.float32), np.ones(3, np.float32))

    image = np.zeros((60, 80), np.uint8)
    found = described(image, find, 40)
    assert seen == [(30, 40)]
    assert found.features.keypoints.tolist() == [[0.5, 0.5], [78.5, 58.5], [20.5, 41.0]]
    assert found.features.keypoints.dtype == np.float32
    assert (found.size, found.uncertainty) == ((80, 60), 2.0)
    assert described(image, find, 80).uncertainty == described(image, find, 9999).uncertainty == 1
    assert seen[1:] == [(60, 80)] * 2


def test_a_second_run_adds_what_is_missing(net, images, tmp_path, monkeypatch):
    out = tmp_path / "features.h5"
    assert run("describe", net, images / "sub", "-o", out)[0] == 0
    assert groups(out) == ["b.jpg", "c.png"]
    cv2.imwrite(str(images / "sub" / "d.png"), np.zeros((40, 40), np.uint8))
    read = []
    monkeypatch.setattr(featurefiles, "read_image", lambda path: read.append(path) or reader(path))
    reader = read_image
    assert run("describe", net, images / "sub", "-o", out)[0] == 0
    assert [path.name for path in read] == ["d.png"]
    assert groups(out) == ["b.jpg", "c.png", "d.png"]


def test_an_image_without_keypoints_is_done_too(net, images, tmp_path):
    out = tmp_path / "features.h5"
    for _ in range(2):
        assert run("describe", net, images / "a.png", "-o", out, "--border", 99)[0] == 0
    with h5py.File(out) as file:
        assert file["a.png/keypoints"].shape == (0, 2)
        assert file["a.png/descriptors"].shape == (16, 0)


def test_broken_images_are_named_and_left_out(net, images, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400)).astype(np.uint8)
    whole = cv2.imencode(".jpg", noise)[1].tobytes()
    (images / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    assert cv2.imread(str(images / "cut.jpg"), 0) is not None  # with a part missing
    (images / "empty.png").touch()
    (images / "text.png").write_text("no image")
    out = tmp_path / "features.h5"
    status, said = run("describe", net, images, "-o", out)
    assert status == 1
    assert groups(out) == ["a.png", "sub/b.jpg", "sub/c.png"]
    for name in ("cut.jpg", "empty.png", "text.png"):
        assert re.search(f"skipped: .*{name}: cannot be read as an image", said)


def test_pixels_are_those_stored_whatever_the_camera_noted(tmp_path, discs):
    """An Exif note to turn the image by 90 degrees, which COLMAP and hloc do not follow either."""
    path = tmp_path / "turned.jpg"
    content = cv2.imencode(".jpg", discs(0, (40, 60), 9, 8))[1].tobytes()
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path.write_bytes(content[:2] + segment + content[2:])
    assert cv2.imread(str(path), 0).shape == (60, 40)
    assert read_image(path).shape == (40, 60)


def test_other_settings_or_networks_on_the_same_file_are_refused(net, patch_net, images, tmp_path):
    out = tmp_path / "features.h5"
    assert run("describe", net, images, "-o", out)[0] == 0
    before = out.read_bytes()
    for words, message in (
        ((net, images, "--keypoints", 30), "made with keypoints 2048, not 30"),
        ((net, images, "--dtype", "float32"), "made with dtype float16, not float32"),
        ((patch_net, images), "made with network"),
    ):
        status, said = run("describe", *words, "-o", out)
        assert status == 2
        assert said.startswith("Error: ")
        assert message in said
        assert len(said.splitlines()) == 1
    assert out.read_bytes() == before
    assert run("describe", patch_net, images / "a.png", "-o", out, "--force")[0] == 0
    assert groups(out) == ["a.png"]


def test_files_of_others_are_kept(net, images, tmp_path):
    text, other = tmp_path / "text.h5", tmp_path / "other.h5"
    text.write_text("mine")
    with h5py.File(other, "w") as file:
        file["mine"] = 1
    for path, message in ((text, "not an HDF5 file"), (other, "not written by describe")):
        before = path.read_bytes()
        status, said = run("describe", net, images, "-o", path)
        assert status == 1
        assert message in said
        assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["{net}", "{images}/none.png"], 1, "no such file or folder"),
        (["{net}", "{empty}"], 1, "no images"),
        (["{net}", "{images}/a.png", "{images}/sub/a.png"], 2, "would both be called a.png"),
        (["{images}/a.png", "{images}"], 1, "a.png"),
        (["nowhere", "{images}"], 1, "no such file, nor a shipped network"),
        (["{net}", "{images}", "--size", "5"], 2, "--size"),
        (["{net}", "{images}", "-o", "{empty}/no/f.h5"], 1, "there is no folder"),
    ],
)
def test_bad_requests_get_one_line(net, images, tmp_path, words, status, message):
    (tmp_path / "empty").mkdir()
    (images / "sub" / "a.png").write_bytes((images / "a.png").read_bytes())
    words = [w.format(net=net, images=images, empty=tmp_path / "empty") for w in words]
    output = [] if "-o" in words else ["-o", tmp_path / "f.h5"]
    found, said = run("describe", *words, *output)
    assert found == status
    assert said.strip().splitlines()[-1].startswith("Error: ")
    assert message in said
    assert not (tmp_path / "f.h5").exists()


def test_two_writers_at_a_time_are_refused(net, images, tmp_path):
    out = tmp_path / "f.h5"
    with feature_file(out, {}):
        status, said = run("describe", net, images, "-o", out)
    assert status == 1
    assert "another process is writing it" in said


def test_a_full_disk_ends_the_run_and_leaves_the_file_whole(tmp_path, monkeypatch):
    out = tmp_path / "f.h5"
    one = Described(
        Features(np.ones((3, 2), np.float32), np.ones((3, 8), np.float32), np.ones(3, np.float32)),
        (9, 9),
    )

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with feature_file(out, {}) as file:
        file.add("a", one)
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(descompress.errors.FileError, match=r"b: .*No space left"):
            file.add("b", one)
        monkeypatch.undo()
    assert groups(out) == ["a"]
    with feature_file(out, {}) as file:
        file.add("b", one)
    assert groups(out) == ["a", "b"]


ADDING = """
import sys
from pathlib import Path
import numpy as np
from descompress.featurefiles import add_images, feature_file
from descompress.images import named
from hpatches_eval.features import Features

def find(image):
    rows = np.full((500, 64), image[0, 0], np.float32)
    return Features(rows[:, :2], rows, rows[:, 0])

images = named([Path(sys.argv[1])])
with feature_file(Path(sys.argv[2]), {"by": "a test"}) as file:
    for error in add_images(file, images, find, 100):
        print("added", flush=True)
"""


def test_a_killed_run_leaves_a_file_that_can_be_read_and_goes_on(tmp_path):
    folder, out = tmp_path / "many", tmp_path / "features.h5"
    folder.mkdir()
    for i in range(60):
        cv2.imwrite(str(folder / f"{i:03}.png"), np.full((9, 9), i, np.uint8))
    command = [sys.executable, "-c", ADDING, str(folder), str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    there: list[str] = []
    for more in (1, 7, 13):  # images after which it is killed, wherever it then is
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(len(there) + more):
                process.stdout.readline()
            process.kill()
        with feature_file(out, {"by": "a test"}):
            pass
        assert groups(out)[: len(there)] == there
        assert len(there) + more <= len(groups(out)) < 60
        there = groups(out)
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    assert groups(out) == [f"{i:03}.png" for i in range(60)]
    with h5py.File(out) as file:
        for i in range(60):
            assert (file[f"{i:03}.png/descriptors"][:] == i).all()


def test_the_folder_of_the_output_must_be_there(tmp_path):
    with pytest.raises(OutputError), feature_file(tmp_path / "no" / "f.h5", {}):
        pass


def test_a_reader_completes_what_a_killed_process_left_half_done(tmp_path, monkeypatch):
    """Killed between the journal and the file: the file alone is torn."""
    out = tmp_path / "features.h5"
    rows = np.ones((500, 64), np.float32)
    one = Described(Features(rows[:, :2], rows, rows[:, 0]), (9, 9))
    with feature_file(out, {}) as file:
        file.add("a", one)
    before = out.read_bytes()
    with feature_file(out, {}) as file:
        file.add("b", one)
    whole = out.read_bytes()
    journal = journal_of(out)
    out.write_bytes(before)
    with JournalledFile(out) as pages, monkeypatch.context() as patch:
        pages.write(whole)
        patch.setattr(pages, "_apply", lambda *_: None)
        pages.commit()
    torn = before[: len(before) // 2] + whole[len(before) // 2 :]  # the last pages come first
    out.write_bytes(torn)
    assert pending(out)
    with pytest.raises(DataError, match=r"features\.h5: is being written, or a change of it"):
        HlocFile(out)
    with locked(out, wait=False), pytest.raises(FileError, match="another process is writing it"):
        StoredFeatures(out)
    assert out.read_bytes() == torn
    assert sorted(StoredFeatures(out)) == ["a", "b"]
    assert out.read_bytes() == whole
    assert not journal.exists()


def test_a_file_begun_afresh_knows_nothing_of_an_old_change(tmp_path):
    out = tmp_path / "features.h5"
    with feature_file(out, {}):
        pass
    with JournalledFile(out) as pages:
        pages.write(bytes(5000))
        pages._apply = lambda *_: None  # pyright: ignore[reportAttributeAccessIssue]
        pages.commit()
    with feature_file(out, {}, force=True):
        assert not pending(out)
    assert groups(out) == []
