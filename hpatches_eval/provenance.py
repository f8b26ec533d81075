"""What results rest on: the command, the versions of what ran, and checksums of what it read.

Every results file of this project holds what `made` gives, under the key `provenance`.
"""

import hashlib
import os
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .errors import DataError

PACKAGES = (
    "descompress",
    "numpy",
    "scipy",
    "torch",
    "onnxruntime",
    "openvino",
    "kornia",
    "optuna",
    "h5py",
    "opencv-python-headless",
    "opencv-contrib-python-headless",
    "opencv-python",
    "opencv-contrib-python",
)


def made(
    command: str, weights: Mapping[str, Path], data: Mapping[str, Path | None]
) -> dict[str, Any]:
    """Where numbers come from, ready for JSON.

    Args:
        weights: Files of networks by name.
        data: Files and folders by what they are; those that are None were not given.

    Raises:
        DataError: One cannot be read.
    """
    return {
        "command": command,
        "versions": versions(),
        "weights": {name: checksum(path) for name, path in weights.items()},
        "data": {name: checksum(path) for name, path in data.items() if path is not None},
    }


def versions() -> dict[str, str]:
    """Of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def checksum(path: Path) -> str:
    """SHA-256 of what a file holds, or of a folder.

    That of a folder is of one line for each file in and below it, sorted: the path from the folder
    with slashes, a space, the bytes, a space, the SHA-256 of what it holds, a newline. Links are
    followed; names that begin with a dot, and what lies below them, are left out. Neither the
    folder's own name nor times are in it, so a copy elsewhere has the same.

    Raises:
        DataError: It is not there, or cannot be read.
    """
    try:
        if not path.is_dir():
            return _of_file(path)
        lines = sorted(
            f"{name} {file.stat().st_size} {_of_file(file)}\n" for name, file in _files(path)
        )
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files by their paths from the folder, each real folder once: links may lead in circles."""
    seen: set[str] = set()
    for here, folders, names in os.walk(folder, followlinks=True):
        place = Path(here)
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            file = place / name
            if not name.startswith(".") and file.is_file():
                yield file.relative_to(folder).as_posix(), file
