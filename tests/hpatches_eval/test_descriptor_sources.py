import h5py
import numpy as np
import pytest
from tiny_release import COUNTS

from hpatches_eval.csvfolder import CsvFolder
from hpatches_eval.descriptors import Described, describe_release, load, load_refs
from hpatches_eval.errors import DataError, OutputError, RequestError
from hpatches_eval.hdf5file import Hdf5File, write_hdf5
from hpatches_eval.patches import TYPES


def values(sequence, kind):
    """Numbers that say whose they are."""
    count, where = COUNTS[sequence], sorted(COUNTS).index(sequence) * 100 + TYPES.index(kind)
    return np.float32(where + np.arange(count * 3).reshape(count, 3) / 64)


@pytest.fixture
def csv(tmp_path):
    root = tmp_path / "mine"
    for sequence in COUNTS:
        (root / sequence).mkdir(parents=True)
        for kind in TYPES:
            np.savetxt(root / sequence / f"{kind}.csv", values(sequence, kind), delimiter=",")
    return root


def mean_and_corner(patches):
    return np.stack([patches.mean(axis=(1, 2)), patches[:, 0, 0]], axis=1)


def test_rows_are_found_by_sequence_and_type(csv):
    descriptors = load(CsvFolder(csv), ["v_tree", "i_sky"])
    assert descriptors.counts == {"v_tree": 6, "i_sky": 7}
    assert list(descriptors.counts) == ["v_tree", "i_sky"]
    for sequence in ("v_tree", "i_sky"):
        for i, kind in enumerate(TYPES):
            expected = values(sequence, kind)
            assert np.array_equal(descriptors.of(sequence, kind), expected)
            begin = descriptors.start(sequence) + i * descriptors.count(sequence)
            assert np.array_equal(descriptors.rows[begin], expected[0])
    assert descriptors.rows.shape == (16 * 13, 3)
    assert descriptors.rows.dtype == np.float32
    assert (descriptors.name, descriptors.dim, descriptors.packed) == ("mine", 3, False)


def test_without_names_all_sequences_are_loaded(csv):
    assert list(load(CsvFolder(csv)).counts) == sorted(COUNTS)


def test_refs_are_loaded_alone(csv):
    for kind in TYPES[1:]:
        (csv / "v_sea" / f"{kind}.csv").unlink()
    expected = np.concatenate([values("v_tree", "ref"), values("v_sea", "ref")])
    assert np.array_equal(load_refs(CsvFolder(csv), ["v_tree", "v_sea"]), expected)


@pytest.mark.parametrize("text", ["1;2;3\n4;5;6\n", "1,2,3\n4,5,6", " 1.0, 2,3e0 \r\n\n4,5,6\n\n"])
def test_commas_and_semicolons_spaces_and_empty_lines(csv, text):
    for kind in TYPES:
        (csv / "v_sea" / f"{kind}.csv").write_text(text)
    found = load(CsvFolder(csv), ["v_sea"]).of("v_sea", "h3")
    assert np.array_equal(found, np.float32([[1, 2, 3], [4, 5, 6]]))


def test_numbers_are_read_as_the_nearest_float32(csv):
    for kind in TYPES:
        (csv / "v_sea" / f"{kind}.csv").write_text("0.1,-1.23456789e-3\n")
    found = load(CsvFolder(csv), ["v_sea"]).rows[0]
    assert np.array_equal(found, np.array([0.1, -1.23456789e-3], np.float32))


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (3, "1,2", "line 3: 2 values where line 1 has 3"),
        (4, "1,2,3,4", "line 4: 4 values where line 1 has 3"),
        (2, "1,nan,3", "line 2: 'nan' is no finite float32 number"),
        (2, "1,2,inf", "line 2: 'inf' is no finite float32 number"),
        (5, "1,2,1e39", "line 5: '1e39' is no finite float32 number"),
        (5, "1,two,3", "line 5: 'two' is no finite float32 number"),
        (2, "1,,3", "line 2: '' is no finite float32 number"),
        (2, "1;2;3", "line 2: 1 values where line 1 has 3"),
        (1, "1 2 3", "line 1: no ',' or ';' between values: '1 2 3'"),
        (1, "1\t2\t3", "line 1: no ',' or ';' between values"),
        (1, "", "line 1: no ',' or ';' between values"),
    ],
)
def test_a_broken_line_is_named(csv, line, text, message):
    path = csv / "v_sea" / "e2.csv"
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=rf"e2\.csv: {message}"):
        load(CsvFolder(csv))


@pytest.mark.parametrize("more", [-1, 1])
def test_a_row_too_few_or_too_many_is_refused(csv, more):
    path = csv / "v_sea" / "t5.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join((lines + lines)[: len(lines) + more]) + "\n")
    with pytest.raises(DataError, match=rf"t5\.csv: {5 + more} rows where ref\.csv has 5"):
        load(CsvFolder(csv))


def test_another_length_of_descriptor_is_refused(csv):
    np.savetxt(csv / "v_sea" / "e1.csv", np.ones((5, 4)), delimiter=",")
    with pytest.raises(DataError, match="v_sea/e1: 4 float32 values a patch, elsewhere 3 float32"):
        load(CsvFolder(csv))


def test_missing_files_folders_and_sequences_are_named(csv, tmp_path):
    with pytest.raises(DataError, match="nowhere: there is no such folder"):
        CsvFolder(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no sequence folders with a ref\.csv"):
        CsvFolder(csv / "v_sea")
    with pytest.raises(DataError, match="mine: sequence v_a and 1 more is not there"):
        load(CsvFolder(csv), ["v_sea", "v_a", "v_b"])
    (csv / "v_sea" / "h1.csv").unlink()
    with pytest.raises(DataError, match=r"h1\.csv: cannot be read \(No such file"):
        load(CsvFolder(csv))
    descriptors = load(CsvFolder(csv), ["v_tree"])
    with pytest.raises(DataError, match="mine: no descriptors of sequence v_sea"):
        descriptors.of("v_sea", "ref")
    with pytest.raises(RequestError, match="mine: no sequences asked for"):
        load(CsvFolder(csv), [])


def test_packed_bits_are_bytes(csv):
    for sequence in COUNTS:
        for kind in TYPES:
            bits = np.arange(COUNTS[sequence] * 2).reshape(-1, 2)
            np.savetxt(csv / sequence / f"{kind}.csv", bits, "%d", delimiter=",")
    descriptors = load(CsvFolder(csv, packed=True))
    assert (descriptors.rows.dtype, descriptors.dim, descriptors.packed) == (np.uint8, 16, True)
    assert list(descriptors.of("v_sea", "e4")[1]) == [2, 3]


@pytest.mark.parametrize("value", ["0.5", "-1", "256"])
def test_packed_bits_that_are_no_bytes_are_refused(csv, value):
    (csv / "v_sea" / "ref.csv").write_text(f"1,2\n3,{value}\n" + "5,6\n" * 3)
    with pytest.raises(DataError, match="line 2: packed bits are integers of 0 to 255"):
        load_refs(CsvFolder(csv, packed=True), ["v_sea"])


@pytest.mark.parametrize("packed", [False, True])
def test_an_hdf5_file_holds_what_the_folder_holds(csv, tmp_path, packed):
    if packed:
        for path in csv.rglob("*.csv"):
            np.savetxt(path, np.loadtxt(path, delimiter=",").astype(int) % 256, "%d", ",")
    source = CsvFolder(csv, packed=packed)
    write_hdf5(source, tmp_path / "mine.h5")
    one, other = load(source), load(Hdf5File(tmp_path / "mine.h5"))
    assert np.array_equal(one.rows, other.rows)
    assert (one.rows.dtype, one.name, one.counts) == (other.rows.dtype, other.name, other.counts)


def test_an_hdf5_file_is_not_replaced_without_force(csv, tmp_path):
    target = tmp_path / "mine.h5"
    target.write_text("precious")
    with pytest.raises(OutputError, match=r"mine\.h5: exists already"):
        write_hdf5(CsvFolder(csv), target)
    assert target.read_text() == "precious"
    write_hdf5(CsvFolder(csv), target, force=True)
    assert Hdf5File(target).sequences == tuple(sorted(COUNTS))


def test_a_broken_folder_leaves_no_hdf5_file(csv, tmp_path):
    (csv / "v_tree" / "t5.csv").write_text("1,2,x\n")
    with pytest.raises(DataError, match=r"t5\.csv: line 1"):
        write_hdf5(CsvFolder(csv), tmp_path / "mine.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_files_that_are_no_descriptors_are_refused(csv, tmp_path):
    target = tmp_path / "mine.h5"
    with pytest.raises(DataError, match="no such file"):
        Hdf5File(target)
    target.write_text("no HDF5")
    with pytest.raises(DataError, match="not an HDF5 file"):
        Hdf5File(target)
    write_hdf5(CsvFolder(csv), target, force=True)
    whole = target.read_bytes()
    target.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"mine\.h5: "):
        load(Hdf5File(target))
    target.write_bytes(whole)
    with h5py.File(target, "a") as file:
        del file["v_sea/e3"]
    with pytest.raises(DataError, match="no n x d dataset v_sea/e3"):
        load(Hdf5File(target))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_wherever_they_come_from(csv, tmp_path, bad):
    write_hdf5(CsvFolder(csv), tmp_path / "mine.h5")
    with h5py.File(tmp_path / "mine.h5", "a") as file:
        file["v_sea/h5"][3, 1] = bad
    with pytest.raises(DataError, match="v_sea/h5: the descriptor of patch 3 has values that are"):
        load(Hdf5File(tmp_path / "mine.h5"))


def test_a_release_is_described_strip_by_strip(release):
    seen = []
    descriptors = describe_release(
        release, mean_and_corner, name="mean", progress=lambda *step: seen.append(step)
    )
    patches = release.strip("v_tree", "h2")
    assert np.array_equal(descriptors.of("v_tree", "h2"), mean_and_corner(patches).astype("f4"))
    assert seen[0] == ("reading mean", 0, 48)
    assert seen[-1] == ("reading mean", 48, 48)


@pytest.mark.parametrize(
    ("describe", "message"),
    [
        (lambda p: mean_and_corner(p)[1:], r"descriptors of shape \(6, 2\) for 7 patches"),
        (lambda p: mean_and_corner(p)[:, 0], r"descriptors of shape \(7,\) for 7 patches"),
        (lambda p: np.empty((len(p), 0)), r"descriptors of shape \(7, 0\) for 7 patches"),
        (lambda p: mean_and_corner(p) / 0, "the descriptor of patch 0 has values that are not"),
        (lambda p: mean_and_corner(p).astype(int), "int64 descriptors; floats or uint8"),
        (lambda p: np.ones((len(p), len(p))), "v_sea/ref: 5 float32 values a patch, elsewhere 7"),
    ],
)
def test_a_describer_that_misbehaves_is_named(release, describe, message):
    with np.errstate(divide="ignore", invalid="ignore"), pytest.raises(DataError, match=message):
        load(Described("mine", release, describe))
