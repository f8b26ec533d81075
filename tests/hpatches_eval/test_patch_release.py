import cv2
import numpy as np
import pytest
from tiny_release import COUNTS, write_strip

from hpatches_eval.errors import DataError
from hpatches_eval.patches import TYPES, PatchRelease


def test_there_are_sixteen_types_in_the_published_order():
    assert " ".join(TYPES) == "ref e1 e2 e3 e4 e5 h1 h2 h3 h4 h5 t1 t2 t3 t4 t5"


def test_a_release_lists_the_folders_that_hold_a_ref_strip(folder, release):
    (folder / "notes").mkdir()
    assert PatchRelease(folder).sequences == release.sequences == tuple(sorted(COUNTS))


def test_patches_come_back_as_they_were_written(tmp_path):
    patches = np.random.default_rng(1).integers(0, 256, (3, 65, 65), np.uint8)
    for kind in TYPES:
        write_strip(tmp_path / "v_a" / f"{kind}.png", patches if kind == "h4" else patches[::-1])
    assert np.array_equal(PatchRelease(tmp_path).strip("v_a", "h4"), patches)


def test_counting_reads_headers_only(folder, release):
    path = folder / "v_sea" / "t3.png"
    path.write_bytes(path.read_bytes()[:24])
    assert release.count("v_sea") == COUNTS["v_sea"]


def test_real_patches_are_read(shared):
    release = PatchRelease(shared / "golden" / "patches")
    counts = {name: release.count(name) for name in release.sequences}
    rows = (shared / "golden" / "descriptors" / "sift" / "v_boat" / "ref.csv").read_text()
    assert counts["v_boat"] == len(rows.splitlines()) == len(release.strip("v_boat", "ref"))
    assert 20 < release.strip("v_boat", "t5").std() < 100


def test_a_root_that_is_no_release_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: there is no such folder"):
        PatchRelease(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no sequence folders with a ref\.png"):
        PatchRelease(tmp_path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((65 * 4 + 1, 65), r"h2\.png: 65 x 261 pixels are no column of 65 x 65 patches"),
        ((65 * 5, 64), r"h2\.png: 64 x 325 pixels are no column"),
        ((65 * 4, 65), r"h2\.png: 4 patches where ref\.png has 5"),
    ],
)
def test_a_strip_of_another_size_is_refused(folder, release, shape, message):
    cv2.imwrite(str(folder / "v_sea" / "h2.png"), np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match=message):
        release.strip("v_sea", "ref")


def test_an_empty_strip_is_refused(folder, release):
    path = folder / "v_sea" / "ref.png"
    header = path.read_bytes()
    path.write_bytes(header[:20] + bytes(4) + header[24:])
    with pytest.raises(DataError, match=r"ref\.png: 65 x 0 pixels are no column"):
        release.count("v_sea")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "not a PNG file"),
        (lambda data: b"GIF89a" + data, "not a PNG file"),
        (lambda data: data[: len(data) // 2], "a PNG file that ends too early"),
        (lambda data: data[:-12], "a PNG file that ends too early"),
        (lambda data: data[:2000] + bytes(20) + data[2020:], "a damaged PNG file"),
    ],
)
def test_a_damaged_strip_is_refused(folder, release, damage, message):
    path = folder / "i_sky" / "e1.png"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"e1\.png: {message}"):
        release.strip("i_sky", "e1")


def test_a_missing_strip_is_refused(folder, release):
    (folder / "i_sky" / "t5.png").unlink()
    with pytest.raises(DataError, match=r"t5\.png: cannot be read \(No such file"):
        release.count("i_sky")
