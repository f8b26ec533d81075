"""Commands on inputs as small as can be: what `kills.py` runs, kills, and runs again."""

import json
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import torch

import descompress
from descompress.fetching import SETS
from descompress.fetching.sources import Archive, DataSet, Limits
from descompress.nets import build
from descompress.spec import Spec

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "fetching"))  # its HTTP server
VARYING = {"seconds", "share", "microseconds_per_patch", "tasks"}  # times; made or found
FILES = 150  # of the data set that is fetched

Words = tuple[str, ...]


@dataclass(frozen=True)
class Verb:
    """A command, and the same with another setting.

    Words are relative to a folder that holds `in`, the inputs, and `out`, which is empty.

    Args:
        own: Of the one command alone.
        other: Of the other command alone.
    """

    words: Words
    own: Words = ()
    other: Words = ()

    @property
    def first(self) -> Words:
        """The command."""
        return (*self.words, *self.own)

    @property
    def second(self) -> Words:
        """One that writes the same output."""
        return (*self.words, *self.other)


def _words(*lines: str) -> Words:
    return tuple(" ".join(lines).split())


_LEARN = "--pack in/pack --batch 8 --workers 0 --float32 --validate-every 6 --checkpoint-every 2"
_NET = "--arg widths=4,4,8,8,8,8 --arg dim=16"
_TRAIN = _words(f"train l2net out/net.safetensors {_LEARN} {_NET} --steps 12 --seed")
_EVAL = "eval in/net.safetensors --patches in/release --baseline sift --json out/r.json"

VERBS = {
    "train": Verb(_TRAIN, ("1",), ("2",)),
    "train, a worker": Verb((*_TRAIN, "1", "--workers"), ("1",), ("1", "--seed", "2")),
    "distill": Verb(_words(
        "distill cdp2 out/net.safetensors --teacher in/net.safetensors --calibrate 32 --steps 8",
        f"{_LEARN} --seed"), ("1",), ("2",)),
    "prune": Verb(_words(
        "prune in/net.safetensors out/net.safetensors --macs 0.5 --assistants 1 --steps 6",
        f"--joint-steps 6 {_LEARN} --seed"), ("1",), ("2",)),
    "pack": Verb(_words(
        "pack out/pack --photographs in/photographs --workers 0 --batch 2 --batches 120 --seed"),
        ("1",), ("2",)),
    "search": Verb(_words(
        "search in/strided.safetensors out/found --calibrate in/patches.npy --on eager-fp32",
        "--trials 30 --verify 2 --methods cdp,depthwise --samples 96 --max-macs"),
        ("0.8",), ("0.78",)),
    "describe": Verb(_words(
        "describe in/image.safetensors in/images -o out/features.h5 --keypoints"),
        ("40",), ("30",)),
    "eval": Verb(_words(f"{_EVAL} --pairs"), ("400",), ("300",)),
    "eval, tasks kept": Verb(_words(f"{_EVAL} --pairs 300 --tasks out"), (), ("--distance", "L1")),
    "export": Verb(_words(
        "export in/net.safetensors out/net.onnx --json out/net.json --opset"),
        ("18",), ("19",)),
    "export, int8": Verb(_words(
        "export in/net.safetensors out/net.onnx --int8 --calibrate in/patches.npy"),
        (), ("--keep", "node_Conv_26")),
    "data get": Verb(_words("data get tiny --into out")),
    "convert": Verb(_words(
        "convert in/net.safetensors out/net.safetensors --calibrate in/patches.npy --preset"),
        ("cdp2",), ("depthwise",)),
}  # fmt: skip


def prepare(root: Path, run: Callable[[Words, Path], int]) -> None:
    """Fill the folder `in` of `root`.

    Args:
        run: Runs a command in a folder.
    """
    inputs, rng = root / "in", np.random.default_rng(0)
    inputs.mkdir()
    _networks(inputs)
    np.save(inputs / "patches.npy", rng.random((96, 32, 32)))
    _images(inputs / "images", 30, (60, 90))
    _images(inputs / "photographs", 24, (130, 130))
    _release(inputs / "release")
    words = ("pack", "in/pack", "--photographs", "in/photographs", "--workers", "0")
    if run((*words, "--batches", "4", "--batch", "8"), root):
        raise SystemExit("the pack cannot be made")


def _networks(folder: Path) -> None:
    torch.manual_seed(0)
    small = {"widths": (6, 8), "strides": (4, 4), "kernels": (3, 3), "bottleneck": 6, "dim": 8}
    for name, spec in {
        "net": Spec("l2net", {"widths": (4, 4, 8, 8, 8, 8), "dim": 16}),
        "strided": Spec("strided", small),
        "image": Spec("superpoint", {"widths": [8] * 10, "dim": 16}),
    }.items():
        descompress.save(build(spec).eval(), folder / f"{name}.safetensors")


def _images(folder: Path, count: int, shape: tuple[int, int]) -> None:
    folder.mkdir()
    for number in range(count):
        rng = np.random.default_rng(number)
        image = np.full(shape, 128, np.uint8)
        for _ in range(120):
            centre = [int(v) for v in rng.uniform(0, max(shape), 2)]
            cv2.circle(image, centre, int(rng.integers(2, 8)), int(rng.integers(0, 256)), -1)
        cv2.imwrite(str(folder / f"{number:03}.png"), image)


def _release(folder: Path) -> None:
    """Two sequences of 30 patches: noise that gets more and more of other noise."""
    rng = np.random.default_rng(0)
    for name in ("i_one", "v_two"):
        (folder / name).mkdir(parents=True)
        patches = rng.random((30, 65, 65))
        for kind in ("ref", *(f"{d}{k}" for d in "eht" for k in range(1, 6))):
            share = {"r": 0.0, "e": 0.2, "h": 0.4, "t": 0.6}[kind[0]]
            mixed = (1 - share) * patches + share * rng.random(patches.shape)
            cv2.imwrite(
                str(folder / name / f"{kind}.png"), (mixed * 255).astype(np.uint8).reshape(-1, 65)
            )


def archive() -> bytes:
    """A tar.gz of a data set."""
    made, rng = BytesIO(), np.random.default_rng(0)
    with tarfile.open(fileobj=made, mode="w:gz", compresslevel=1) as file:
        for number in range(FILES):
            info = tarfile.TarInfo(f"set/{number:03}/ref.bin")
            content = rng.bytes(20_000)
            info.size = len(content)
            file.addfile(info, BytesIO(content))
    return made.getvalue()


@contextmanager
def published(address: str) -> Iterator[None]:
    """A set called "tiny" in the table, with its archive at an address."""
    limits = Limits(10**8, 10**8, 1000)
    SETS["tiny"] = DataSet(
        "a set", "https://example.org", "3 MB", "*/ref.bin", limits, (Archive(address),)
    )
    try:
        yield
    finally:
        del SETS["tiny"]


def contents(folder: Path) -> dict[str, Any]:
    """What lies in a folder by its path, as far as two runs should have the same."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): _content(path) for path in files}


def _content(path: Path) -> Any:
    if path.suffix == ".json":
        return _without_times(json.loads(path.read_text()))
    if path.suffix == ".h5":
        return _arrays(path)
    if path.suffix in (".db", ".html") or path.name == "front.png":
        return "times are in it"
    return path.read_bytes()


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(each) for key, each in value.items() if key not in VARYING}
    return [_without_times(each) for each in value] if isinstance(value, list) else value


def _arrays(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item).tobytes()

    with h5py.File(path) as file:
        file.visititems(note)
        return {**found, "made": file.attrs["descompress"]}
