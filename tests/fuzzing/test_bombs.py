"""Small files that ask for very much get an error, not the memory; found by fuzzing."""

import resource
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import bombs
import pytest
import torch
from click.testing import CliRunner
from contract import ROOM, STATUS, Trial, kept
from readers import READERS

from descompress.artifacts import save
from descompress.cli import main
from descompress.errors import SpecError
from descompress.methods import CDP
from descompress.nets import build
from descompress.spec import Spec
from hpatches_eval.greyimages import decoded

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="needs the figures of Linux")


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """No more than 1 GiB beyond what there is now can be had, not even untouched."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def refused(name: str, folder: Path, write: Callable[[Path], object]) -> str:
    """What a reader says of a file that `write` puts in the place of a valid one."""
    trial = Trial(READERS[name], folder)
    write(trial.path)
    assert not trial.attempt(trial.path.read_bytes())
    with pytest.raises(Exception) as caught:  # noqa: PT011  # of the project, as was seen
        trial.reader.read(folder)
    return str(caught.value)


HUGE_PNG = bombs.png(60_000, 60_000)
HUGE_ARRAY = "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 2, 4, 32, 32)}"
MANY_FLOATS = "{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999999,)}"


@pytest.mark.parametrize("name", ["sequence-image", "image-png", "patch-strips", "tour-patches"])
def test_a_png_of_sixty_thousand_pixels_a_side(name, tmp_path):
    said = refused(name, tmp_path, lambda path: path.write_bytes(HUGE_PNG))
    assert "cannot be read as an image" in said


@pytest.mark.parametrize(
    "content",
    [
        bombs.png(32_000, 32_000, rows=bytes(10**6)),
        bombs.png(2**15, 2**15, depth=1, rows=bytes(2**15 // 8 * 2**15 + 2**15)),
        bombs.png(64, 48).replace(struct.pack(">I4s", 8, b"IDAT"), b"\x40\0\0\0IDAT"),
        bombs.jpeg(65_500, 65_500),
        bombs.tiff(2**31, 2**16),
        bombs.bmp(2**30, 4),
        bombs.bmp(2**15, -(2**15)),
        b"P5 99999 99999 255\n" + bytes(100),
        b"P5\n#x\n30000\n 30000 255\n" + bytes(100),
    ],
    ids=(
        "grey",
        "bits",
        "chunk",
        "jpeg",
        "tiff",
        "wide bmp",
        "bmp upside down",
        "pgm",
        "pgm of comments",
    ),
)
def test_other_images_that_say_they_are_very_large(content):
    kept(lambda: decoded(content), 0)
    assert decoded(content) is None


def test_the_sizes_of_ordinary_images_are_no_hindrance(tmp_path):
    for name in ("image-png", "image-jpg", "image-bmp", "image-ppm", "image-tif"):
        (tmp_path / name).mkdir()
        Trial(READERS[name], tmp_path / name)
    one_bit = bombs.png(4096, 512, depth=1, rows=bytes(513 * 512))
    assert len(one_bit) < 400
    assert decoded(one_bit).shape == (512, 4096)


@pytest.mark.parametrize(
    ("name", "header"),
    [("pack-array", HUGE_ARRAY), ("patch-array", MANY_FLOATS), ("filled-array", MANY_FLOATS)],
)
def test_an_array_larger_than_its_file(name, header, tmp_path):
    refused(name, tmp_path, lambda path: path.write_bytes(bombs.npy(header)))


def test_an_archive_of_an_array_larger_than_its_file(tmp_path):
    write = partial(bombs.npz, keypoints=bombs.npy(MANY_FLOATS), descriptors=bombs.npy(MANY_FLOATS))
    assert "not an archive of arrays" in refused("npz-features", tmp_path, write)


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("features", "v_one/1.png/descriptors"),
        ("hloc-features", "v_one/1.png/keypoints"),
        ("hdf5-descriptors", "i_one/ref"),
        ("point-cache", "points"),
    ],
)
@pytest.mark.parametrize("shape", [(20_000, 20_000), (2**40, 2)])
def test_a_dataset_of_which_nothing_is_stored(name, dataset, shape, tmp_path):
    said = refused(name, tmp_path, lambda path: bombs.unallocated(path, dataset, shape))
    assert "which is not in the file" in said


@pytest.mark.parametrize("name", ["checkpoint", "training-checkpoint"])
@pytest.mark.parametrize(
    ("content", "squeezed", "message"),
    [
        ({"a": bombs.Called(bytearray, 10**9)}, False, "it names"),
        ({"features.0.weight": torch.zeros(10**5)}, True, "it is packed"),
        ({"a": [{"b": (bombs.expanded((10**5, 10**5)),)}]}, False, "is not all there"),
    ],
    ids=("bytearray", "deflated", "expanded"),
)
def test_a_checkpoint_that_asks_for_more_than_it_holds(name, content, squeezed, message, tmp_path):
    write = partial(bombs.checkpoint, content=content, squeezed=squeezed)
    assert message in refused(name, tmp_path, write)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Spec("l2net", {"widths": (65_536,) * 6}), "weights; there may be"),
        (Spec("strided", {"kernels": (65_535,) * 4, "widths": (65_536,) * 4}), "too large"),
        (Spec("strided", dict.fromkeys(("widths", "strides", "kernels"), (1,) * 50000)), "be like"),
        (Spec("l2net", {}, {"features.3": CDP(4, width=10**12)}), "at most 65,536"),
        (Spec("l2net", {"widths": (10**9,) * 6}), "must be like its default"),
    ],
    ids=("wide", "kernels", "deep", "branch", "beyond"),
)
def test_an_absurd_network_is_refused_before_it_is_built(spec, message):
    with pytest.raises(SpecError, match=message):
        build(spec)
    kept(lambda: build(spec), 0)


def test_an_absurd_network_of_the_command_line_is_one_line(tmp_path):
    words = [
        "build",
        "l2net",
        str(tmp_path / "out"),
        "--arg",
        "widths=65536,65536,65536,65536,64,64",
    ]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "weights; there may be 536,870,912, so ask for less width" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_artifact_that_says_it_is_of_an_absurd_network(tmp_path):
    absurd = Spec("superpoint", {"widths": (60_000,) * 10}).to_json()
    said = refused("artifact", tmp_path, lambda path: bombs.respelt(path, absurd))
    assert "weights; there may be" in said


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("steps = 1000000000", "at most 10,000,000 steps"),
        ("parts = 1000000", "at most 10,000,000 steps of 1,024 parts"),
        ("steps = 0x" + "f" * 9_000, "beyond 64 bits"),
    ],
)
def test_a_plan_of_absurd_length(line, message, tmp_path):
    name = line.split()[0]
    text = f'start = "l2net"\n[plan]\n{line}\n' + ("" if name == "steps" else "steps = 1\n")
    assert message in refused("recipe", tmp_path, lambda path: path.write_text(text))


@pytest.mark.parametrize("line", ["batch = 100000000", "views = 1000000"])
def test_a_batch_of_absurd_size(line, tmp_path):
    text = f'start = "l2net"\n[data]\n{line}\n'
    assert "at most 1,048,576 pairs" in refused("recipe", tmp_path, lambda p: p.write_text(text))


def test_what_is_taken_is_seen(tmp_path):
    taken = kept(lambda: save(build("desdis"), tmp_path / "net"), 0)
    assert taken
    with pytest.raises(AssertionError, match="MiB for 0 bytes"):
        kept(lambda: b"x" * (2 * ROOM), 0)
