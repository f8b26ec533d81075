import h5py
import numpy as np
import pytest

from hpatches_eval.errors import DataError
from hpatches_eval.featurefiles import HlocFile, NpzFolder, open_features

SHAPE = (40, 60)
POINTS = np.array([[1.5, 2], [30, 20], [59, 39]])
ROWS = np.arange(12.0).reshape(3, 4)
SCORES = np.array([0.2, 0.9, 0.5])


@pytest.fixture
def write_h5(tmp_path):
    def write(name="v_a/1.ppm", **arrays):
        path = tmp_path / "feats.h5"
        with h5py.File(path, "w") as file:
            file.create_group(name).update(arrays)
        return path

    return write


@pytest.fixture
def write_npz(tmp_path):
    def write(name="1.ppm.d2-net", **arrays):
        (tmp_path / "d2/v_a").mkdir(parents=True, exist_ok=True)
        with (tmp_path / "d2/v_a" / name).open("wb") as file:
            np.savez(file, **arrays)
        return tmp_path / "d2"

    return write


def check(found):
    assert found.keypoints.tolist() == [[30, 20], [59, 39], [1.5, 2]]
    assert found.descriptors.tolist() == ROWS[[1, 2, 0]].tolist()
    assert found.scores == pytest.approx([0.9, 0.5, 0.2], abs=1e-3)
    assert {a.dtype for a in (found.keypoints, found.descriptors, found.scores)} == {
        np.dtype(np.float32)
    }


@pytest.mark.parametrize("name", ["v_a/1.ppm", "v_a/1.png", "v_a/1"])
def test_an_hdf5_file_of_hloc_has_descriptors_in_columns(write_h5, name):
    half = {"keypoints": POINTS, "descriptors": ROWS.T, "scores": SCORES}
    half = {key: value.astype(np.float16) for key, value in half.items()}
    path = write_h5(name, **half, image_size=np.array(SHAPE[::-1]))
    stored = open_features(path)
    assert isinstance(stored, HlocFile)
    check(stored.features("v_a", 1, SHAPE))


@pytest.mark.parametrize("name", ["1.ppm.d2-net", "1.npz", "1.ppm.npz"])
def test_a_folder_of_d2_net_has_them_in_rows_and_a_scale_beside_x_and_y(write_npz, name):
    wide = np.column_stack([POINTS, [1, 2, 3]])
    root = write_npz(name, keypoints=wide, descriptors=ROWS, scores=SCORES)
    (root / "v_a" / "1.ppm").write_text("the image itself")
    stored = open_features(root)
    assert isinstance(stored, NpzFolder)
    check(stored.features("v_a", 1, SHAPE))


def test_without_scores_the_order_of_the_file_is_the_order(write_npz):
    found = open_features(write_npz(keypoints=POINTS, descriptors=ROWS)).features("v_a", 1, SHAPE)
    assert found.keypoints.tolist() == POINTS.tolist()


def test_bytes_are_packed_bits_and_stay_bytes(write_h5):
    rows = np.arange(6, dtype=np.uint8).reshape(3, 2)
    path = write_h5(keypoints=POINTS, descriptors=rows.T)
    found = open_features(path).features("v_a", 1, SHAPE)
    assert found.descriptors.dtype == np.uint8
    assert found.descriptors.tolist() == rows.tolist()


def test_an_image_without_keypoints_is_no_error(write_h5):
    path = write_h5(keypoints=np.zeros((0, 2)), descriptors=np.zeros((4, 0)), scores=np.zeros(0))
    found = open_features(path).features("v_a", 1, SHAPE)
    assert (found.keypoints.shape, found.descriptors.shape) == ((0, 2), (0, 4))


def test_an_archive_of_objects_is_refused_and_nothing_of_it_runs(write_npz, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    objects = np.array([Trap()], dtype=object)
    root = write_npz(keypoints=objects, descriptors=ROWS)
    with pytest.raises(DataError, match="not an archive of arrays"):
        open_features(root).features("v_a", 1, SHAPE)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"keypoints": POINTS}, r"needs keypoints and descriptors, has keypoints"),
        ({"keypoints": POINTS[:, :1], "descriptors": ROWS}, r"keypoints must be numbers \(n, 2"),
        ({"keypoints": POINTS, "descriptors": ROWS[:2]}, r"do not fit 3 keypoints"),
        ({"keypoints": POINTS, "descriptors": ROWS[0]}, r"do not fit 3 keypoints"),
        ({"keypoints": POINTS, "descriptors": ROWS.astype("U")}, r"do not fit 3 keypoints"),
        ({"keypoints": POINTS.astype("U"), "descriptors": ROWS}, r"keypoints must be numbers"),
        (
            {"keypoints": POINTS, "descriptors": ROWS, "scores": SCORES[:2]},
            r"scores \(2,\) float64 do not fit 3 keypoints",
        ),
        (
            {"keypoints": POINTS, "descriptors": ROWS, "image_size": np.array([61, 40])},
            r"image_size \[61, 40\], the image is \(60, 40\)",
        ),
    ],
)
def test_arrays_that_are_no_features_are_refused(write_npz, arrays, message):
    with pytest.raises(DataError, match=f"1.ppm.d2-net: .*{message}"):
        open_features(write_npz(**arrays)).features("v_a", 1, SHAPE)


def test_what_is_missing_is_named(write_npz, write_h5, tmp_path):
    root = write_npz(keypoints=POINTS, descriptors=ROWS)
    with pytest.raises(DataError, match=r"v_a: one file of features of image 2 needed, not none"):
        open_features(root).features("v_a", 2, SHAPE)
    with pytest.raises(DataError, match=r"v_b: one file .* not none"):
        open_features(root).features("v_b", 1, SHAPE)
    with pytest.raises(DataError, match=r"no group v_a/2\.ppm \(v_a/2\.png"):
        open_features(write_h5(keypoints=POINTS)).features("v_a", 2, SHAPE)
    with pytest.raises(DataError, match="no such file or folder"):
        open_features(tmp_path / "nothing")
    with pytest.raises(DataError, match="no such folder"):
        NpzFolder(tmp_path / "nothing")


def test_files_of_two_methods_are_too_many(write_npz):
    write_npz("1.ppm.r2d2", keypoints=POINTS, descriptors=ROWS)
    root = write_npz("1.ppm.d2-net", keypoints=POINTS, descriptors=ROWS)
    with pytest.raises(DataError, match=r"not 1\.ppm\.d2-net, 1\.ppm\.r2d2"):
        open_features(root).features("v_a", 1, SHAPE)


@pytest.mark.parametrize("content", [b"", b"words", b"PK\x03\x04 cut short"])
def test_broken_files_are_refused(tmp_path, content):
    (tmp_path / "d2/v_a").mkdir(parents=True)
    (tmp_path / "d2/v_a/1.npz").write_bytes(content)
    with pytest.raises(DataError, match="not an archive of arrays"):
        open_features(tmp_path / "d2").features("v_a", 1, SHAPE)
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(DataError, match="not an HDF5 file"):
        open_features(tmp_path / "a.h5")


def test_a_dataset_in_the_place_of_a_group_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v_a"] = np.zeros(3)
    with pytest.raises(DataError, match="no group v_a/1"):
        open_features(tmp_path / "a.h5").features("v_a", 1, SHAPE)
