"""Files that once broke a reader: what fuzzing found, each as small as it can be."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import bombs
import cv2
import h5py
import material
import numpy as np
import onnx
import onnxfiles
import pytest
from click.testing import CliRunner
from contract import Trial
from onnx import TensorProto
from readers import READERS

from descompress.cli import main
from descompress.data.filling import fill
from descompress.errors import ArtifactError, SpecError
from descompress.journal import PAGE
from descompress.runtimes import open_file
from hpatches_eval.errors import DataError
from hpatches_eval.messages import END, LONGEST, plain

DEEP = b"[" * 100_000
UNTIDY = b"\xff\xfe\x80"


def refused(name: str, folder: Path, write: Callable[[Path], object]) -> str:
    """What a reader says of its valid file after `write` has changed it."""
    trial = Trial(READERS[name], folder)
    write(trial.path)
    content = trial.path.read_bytes()
    assert not trial.attempt(content)
    trial.path.write_bytes(content)
    with pytest.raises(Exception) as caught:  # noqa: PT011  # of the project, as was seen
        trial.reader.read(folder)
    return str(caught.value)


def written(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


# -- messages ---------------------------------------------------------------------------------


def test_messages_are_one_plain_line_of_bearable_length():
    assert str(SpecError("two\nlines\x1b[2J")) == r"two lines\x1b[2J"
    assert str(DataError("ein Größeres  Bild")) == "ein Größeres  Bild"
    long = plain("a" * LONGEST + "b" * END)
    assert long == "a" * (LONGEST - END) + " ... " + "b" * END


# -- text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["splits", "pack-settings", "spec", "huggingface-config", "bench"])
def test_json_nested_without_end(name, tmp_path):
    refused(name, tmp_path, written(DEEP))


def test_an_argument_nested_without_end_is_a_text(tmp_path):
    words = ["build", "l2net", str(tmp_path / "out"), "--arg", f"dim={'[' * 5_000}"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "dim must be like its default 128" in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (UNTIDY, "not the log of this training"),
        (b"step,loss,triplet,fpr95\r\n1,0.5,0.5,much\r\n", "not the log of this training"),
    ],
)
def test_a_log_that_is_none(content, message, tmp_path):
    assert message in refused("training-log", tmp_path, written(content))


def test_steps_of_a_log_in_other_digits_are_no_steps(tmp_path):
    trial = Trial(READERS["training-log"], tmp_path)
    assert trial.attempt("step,loss,triplet,fpr95\r\n²,0.5,0.5,\r\n".encode())


def test_whole_numbers_beyond_64_bits_in_toml(tmp_path):
    content = b"seed = 0x" + b"f" * 9_000
    assert "beyond 64 bits" in refused("recipe", tmp_path, written(content))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("bench", "machine"),
        ("bench", "settings"),
        ("shelf-patches", "patches"),
        ("shelf-images", "command"),
    ],
)
def test_a_record_without_one_of_its_parts(name, part, tmp_path):
    def write(path: Path) -> None:
        record = json.loads(path.read_text())
        del record[part]
        path.write_text(json.dumps(record))

    said = refused(name, tmp_path, write)
    assert " as `descompress " in said
    assert "writes it" in said


@pytest.mark.parametrize(
    ("old", "new"),
    [("confidence", "confdence"), ("counts", "count"), ("params = ", "params = 1979-05-27 #")],
)
def test_an_index_that_nothing_wrote(old, new, tmp_path):
    def write(path: Path) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    said = refused("shelf-index", tmp_path, write)
    assert "index.toml" in said


def test_measurements_of_another_form(tmp_path):
    held = {"asked": {"on": "x"}, "whole": {}, "layers": {"2": 3}, "verified": {}, "answered": {}}
    content = json.dumps({"format": 1, **held}).encode()
    assert "damaged" in refused("notebook", tmp_path, written(content))


def test_a_very_long_number_is_refused_at_once(tmp_path):
    refused("budget", tmp_path, written(b"9" * 100_000 + b"!"))


def test_a_study_with_a_name_that_is_no_text(tmp_path):
    trial = Trial(READERS["study"], tmp_path)
    tables = trial.valid.replace(b"CREATE TABLE trials", b"CREATE TABLE tri\xd4ls")
    assert tables != trial.valid
    assert not trial.attempt(tables)


# -- arrays -------------------------------------------------------------------------------------

HEADERS = {
    "tokens": "{\n 1:",
    "brackets": "[" * 9_000,
    "beyond": "{'descr': '|u1', 'fortran_order': False, 'shape': (10000000000000000000000,)}",
    "negative": "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 3)}",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
    "strings": "{'descr': '<U9999999', 'fortran_order': False, 'shape': (4096,)}",
    "truths": "{'descr': '|u1', 'fortran_order': False, 'shape': ('a',)}",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("name", ["pack-array", "patch-array", "filled-array"])
def test_an_array_with_a_broken_header(name, header, tmp_path):
    said = refused(name, tmp_path, written(bombs.npy(header[:118])))
    assert "patches.npy: not an array of numbers" in said


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("name", ["pack-held", "npz-features"])
def test_an_archive_of_an_array_with_a_broken_header(name, header, tmp_path):
    array = bombs.npy(header[:118])
    held = {"keypoints": array, "descriptors": array, "same": array}
    said = refused(name, tmp_path, lambda path: bombs.npz(path, **held))
    assert "not an archive of arrays" in said


@pytest.mark.parametrize("name", ["pack-array", "patch-array"])
def test_an_archive_in_the_place_of_an_array(name, tmp_path):
    said = refused(name, tmp_path, lambda path: bombs.npz(path, x=bombs.npy("")))
    assert "not an array of numbers" in said


@pytest.mark.parametrize(
    "change",
    [
        {"ref/0": np.zeros((4, 32), np.uint8)},
        {"e/0": np.zeros((3, 32, 32), np.uint8)},
        {"first": np.zeros((2, 32, 32))},
        {"same": np.array([True, True])},
        {"same": np.array([1.0, 0.0])},
    ],
    ids=("flat", "fewer", "floats", "all the same", "numbers"),
)
def test_a_validation_part_of_something_else(change, tmp_path):
    def write(path: Path) -> None:
        with np.load(path) as arrays:
            held = {**arrays, **change}
        np.savez(path, **held)

    assert "other things than patches" in refused("pack-held", tmp_path, write)


@pytest.mark.parametrize("note", ["²", "9" * 5_000, "1000"])
def test_a_note_of_more_rows_than_there_are_is_not_believed(note, tmp_path):
    np.lib.format.open_memmap(tmp_path / "a.part", "w+", np.uint8, (3, 2))
    (tmp_path / "a.done").write_text(note)
    asked: list[int] = []

    def rows(start: int) -> list[np.ndarray]:
        asked.append(start)
        return [np.full(2, 7, np.uint8)] * (3 - start)

    fill(tmp_path / "a.npy", (3, 2), np.uint8, rows)
    assert asked[0] in (0, 3)


# -- HDF5 ---------------------------------------------------------------------------------------

PLACES = {
    "features": "v_one/1.png/descriptors",
    "hloc-features": "v_one/1.png/keypoints",
    "hdf5-descriptors": "i_one/ref",
    "point-cache": "points",
}
WRONG = {
    "words": {"data": np.array([b"x", b"y"])},
    "records": {"data": np.zeros(4, [("a", "f4")])},
    "nothing": {"data": h5py.Empty("f4")},
    "of another file": {"shape": (4, 2), "dtype": "f4", "external": [("/proc/version", 0, 32)]},
}


@pytest.mark.parametrize("settings", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("name", PLACES)
def test_a_dataset_that_is_no_array_of_the_file(name, settings, tmp_path):
    def write(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del file[PLACES[name]]
            file.create_dataset(PLACES[name], **settings)

    said = refused(name, tmp_path, write)
    assert "no array of numbers" in said or "lies in another file" in said


@pytest.mark.parametrize("name", PLACES)
def test_a_dataset_of_another_file_is_not_followed(name, tmp_path):
    def write(path: Path) -> None:
        with h5py.File(path.with_name("other.h5"), "w") as other:
            other["secret"] = np.ones((4, 2))
        with h5py.File(path, "r+") as file:
            del file[PLACES[name]]
            file[PLACES[name]] = h5py.ExternalLink("other.h5", "secret")

    assert "lies in another file" in refused(name, tmp_path, write)


def test_image_sizes_that_are_no_sizes(tmp_path):
    def write(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del file["v_one/1.png/image_size"]
            file["v_one/1.png/image_size"] = np.zeros((2, 2))

    for name in ("features", "hloc-features"):
        (tmp_path / name).mkdir()
        assert "image_size" in refused(name, tmp_path / name, write)


def test_settings_that_cannot_be_read(tmp_path):
    def write(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            file.attrs["descompress"] = np.zeros(3)

    assert "not written by describe" in refused("features-added-to", tmp_path, write)


def test_a_heap_of_texts_whose_free_space_is_nowhere(tmp_path):
    """The HDF5 library never comes to the end of it."""

    def write(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            file.attrs["descompress"] = "{}"
        content = bytearray(path.read_bytes())
        heap = content.index(b"GCOL") + 16
        content[heap : heap + 16] = bytes(16)  # object 0, of size 0
        path.write_bytes(content)

    assert "not written by describe" in refused("features-added-to", tmp_path, write)


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("<QQ", 2**63, 2**63),
        struct.pack("<QQ", 0, 2**62),
        struct.pack("<QQQ", 4096, 8192, 2**40) + bytes(PAGE),
        struct.pack("<QQQ", 0, 4096, 0) + bytes(PAGE - 1),
    ],
    ids=("beyond", "far longer", "page outside", "torn page"),
)
def test_a_journal_that_this_program_did_not_write(body, tmp_path):
    trial = Trial(READERS["features-journal"], tmp_path)
    before = (tmp_path / "spare.h5").read_bytes()
    assert not trial.attempt(material.announced(body))
    assert (tmp_path / "features.h5").read_bytes() == before


# -- images ---------------------------------------------------------------------------------------


def test_a_strip_that_asks_to_be_turned_is_read_as_it_lies(tmp_path):
    trial = Trial(READERS["patch-release"], tmp_path)
    turn = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    before = trial.reader.read(tmp_path)
    assert trial.attempt(bombs.chunk_added(trial.valid, b"eXIf", turn))
    assert np.array_equal(trial.reader.read(tmp_path), before)


@pytest.mark.parametrize("name", ["sequence-image", "tour-patches"])
def test_an_image_cut_off_is_not_filled_up(name, tmp_path):
    trial = Trial(READERS[name], tmp_path)
    assert not trial.attempt(trial.valid[: len(trial.valid) // 2])


# -- exported files -------------------------------------------------------------------------------


def reshaped(path: Path) -> None:
    made = onnx.load(str(path))
    made.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 7
    onnx.save(made, str(path))


def other_outputs(path: Path) -> None:
    made = onnx.load(str(path))
    for node in made.graph.node:
        if node.op_type in ("MatMul", "Concat"):
            node.CopyFrom(onnx.helper.make_node("Identity", [node.input[0]], [node.output[0]]))
    for value in made.graph.output:
        value.type.tensor_type.ClearField("shape")
    onnx.save(made, str(path))


def weights_elsewhere(path: Path) -> None:
    made = onnx.load(str(path))
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/proc/version"
    path.write_bytes(made.SerializeToString())


@pytest.mark.parametrize("write", [reshaped, other_outputs])
@pytest.mark.parametrize("name", ["onnx", "onnx-openvino", "onnx-images"])
def test_a_model_that_is_not_what_it_says(name, write, tmp_path, capsys):
    said = refused(name, tmp_path, write)
    assert str(tmp_path / "net.onnx") in said
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["onnx", "onnx-openvino"])
def test_weights_in_another_file_are_not_read(name, tmp_path):
    assert "cannot read it" in refused(name, tmp_path, weights_elsewhere)


def test_a_model_of_no_inputs_or_of_very_large_images(tmp_path):
    def large(path: Path) -> None:
        made = onnx.load(str(path))
        made.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 65_535
        onnx.save(made, str(path))

    assert "sides are 1 to 8192" in refused("onnx-maps", tmp_path, large)


@pytest.mark.parametrize("name", [b"patches", b"MatMul"])
def test_a_name_that_is_no_text_is_refused_and_nothing_printed(name, tmp_path, capsys):
    onnxfiles.patches(tmp_path)
    path = tmp_path / "net.onnx"
    path.write_bytes(path.read_bytes().replace(name, b"\xff" + name[1:]))
    with pytest.raises(ArtifactError, match=r"net\.onnx: ONNX Runtime cannot read it"):
        open_file(path)
    assert capsys.readouterr().out == ""


def test_the_largest_images_are_decoded(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((3_000, 4_000), np.uint8))
    trial = Trial(READERS["image-png"], tmp_path)
    assert trial.attempt((tmp_path / "a.png").read_bytes())
