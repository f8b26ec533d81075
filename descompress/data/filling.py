"""Large arrays on disk, written row by row."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from hpatches_eval.errors import DataError, OutputError
from hpatches_eval.files import replacing
from hpatches_eval.numpyfiles import mapped
from hpatches_eval.progress import Progress, silent

from ..locks import locked

OFTEN = 50  # rows after which an unfinished file is made safe


def fill(
    path: Path,
    shape: tuple[int, ...],
    dtype: type[np.generic],
    rows: Callable[[int], Iterable[np.ndarray]],
    progress: Progress = silent,
) -> Shaped[np.ndarray, "..."]:
    """The array at `path`, mapped read-only; what is missing of it is written first.

    Unfinished, it is called .part, and beside it a file .done holds the number of rows that are
    safe. Of several processes that want it, one writes it and the others wait.

    Args:
        rows: Gives the rows from a number on.

    Raises:
        DataError: What lies there is another array.
        OutputError: It cannot be written, for want of room or of rights.
    """
    try:
        with locked(path, wait=True):
            if not path.exists():
                _write(path, shape, dtype, rows, progress)
            path.with_suffix(".done").unlink(missing_ok=True)  # of a process killed just before
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return _mapped(path, shape, dtype)


def _write(
    path: Path,
    shape: tuple[int, ...],
    dtype: type[np.generic],
    rows: Callable[[int], Iterable[np.ndarray]],
    progress: Progress,
) -> None:
    part, note = path.with_suffix(".part"), path.with_suffix(".done")
    done = min(_safe_rows(note), shape[0]) if part.exists() else 0
    if done:
        array = _mapped(part, shape, dtype, "r+")
    else:
        note.unlink(missing_ok=True)  # it is of another beginning
        array = np.lib.format.open_memmap(part, "w+", dtype, shape)
        _reserve(part)
    for number, row in enumerate(rows(done), done):
        array[number] = row
        if (number + 1) % OFTEN == 0:
            array.flush()
            with replacing(note, force=True) as new:
                new.write_text(str(number + 1))
        progress(f"writing {path.name}", number + 1, shape[0])
    array.flush()
    part.replace(path)


def _safe_rows(note: Path) -> int:
    text = note.read_bytes()[:20] if note.exists() else b""
    return int(text) if text.isdigit() else 0


def _reserve(path: Path) -> None:
    """Take the room at once: a mapped file that meets a full disk later kills the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _mapped(
    path: Path, shape: tuple[int, ...], dtype: type[np.generic], mode: str = "r"
) -> np.memmap:
    array = mapped(path, mode)
    if array.shape != shape or array.dtype != dtype:
        raise DataError(
            f"{path}: {array.dtype} of shape {array.shape}, not {np.dtype(dtype)} of shape "
            f"{shape}: of something else; delete it"
        )
    return array
