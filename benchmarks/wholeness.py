"""Whether each file at its final name can be read by what reads it."""

import csv
import json
import sqlite3
import tomllib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from verbs import FILES

from descompress import artifacts
from descompress.data.packed import Pack
from descompress.errors import FileError
from descompress.featurefiles import StoredFeatures

UNFINISHED = (".part", ".journal", "-journal", "-wal", "-shm")  # nobody reads these


def faults(folder: Path) -> list[str]:
    """What is wrong in a folder that commands write to; hidden names are not final."""
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or path.name.endswith(UNFINISHED):
            continue
        try:
            _read(path)
        except Exception as error:
            found.append(f"{path.relative_to(folder)}: {type(error).__name__}: {error}")
    return found


def _read(path: Path) -> None:
    if path.is_dir():
        _read_folder(path)
    elif reader := READERS.get(path.suffix):
        reader(path)


def _read_folder(path: Path) -> None:
    if (path / "pack.json").exists():
        Pack.read(path).held()
    if path.name == "tiny" and (count := len([*path.glob("*/ref.bin")])) != FILES:
        raise ValueError(f"{count} files of {FILES}")


def _features(path: Path) -> None:
    try:
        stored = StoredFeatures(path)
    except FileError as error:
        if "no images in it" in str(error):
            return
        raise
    for name in stored:
        stored[name]


def _database(path: Path) -> None:
    with sqlite3.connect(path) as database:
        said = database.execute("PRAGMA integrity_check").fetchone()
    database.close()
    if said != ("ok",):
        raise ValueError(str(said))


def _picture(path: Path) -> None:
    if cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is None:
        raise ValueError("no image")


def _page(path: Path) -> None:
    if not path.read_text().rstrip().endswith("</html>"):
        raise ValueError("no end")


def _arrays(path: Path) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        for name in arrays.files:
            np.array(arrays[name])


READERS: dict[str, Callable[[Path], object]] = {
    ".safetensors": artifacts.load,
    ".onnx": lambda path: onnx.checker.check_model(onnx.load(path)),
    ".json": lambda path: json.loads(path.read_text()),
    ".toml": lambda path: tomllib.loads(path.read_text()),
    ".csv": lambda path: [*csv.reader(path.open())],
    ".ckpt": lambda path: torch.load(path, weights_only=True),
    ".npy": lambda path: np.load(path, mmap_mode="r"),
    ".npz": _arrays,
    ".h5": _features,
    ".db": _database,
    ".png": _picture,
    ".html": _page,
}
