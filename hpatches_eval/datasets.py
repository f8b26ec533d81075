"""HDF5 files from anywhere: numbers that are in the file, and no more of them than are there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Shaped

from .errors import DataError

DEFLATED = 1_032  # bytes that deflate, the densest of HDF5's own filters, makes of one
BROKEN = (
    *(OSError, ValueError, RuntimeError, TypeError, LookupError),
    *(AttributeError, OverflowError, MemoryError),
)  # of h5py


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """A file to read; whatever is wrong with it, or comes up in the block, is one error.

    Raises:
        DataError: It is no HDF5 file, or a damaged one.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file")
    try:
        file = h5py.File(path, "r")
    except BROKEN as error:
        raise DataError(f"{path}: not an HDF5 file ({line(error)})") from error
    try:
        with file:
            yield file
    except BROKEN as error:
        raise DataError(f"{path}: damaged ({line(error)})") from error


def dataset(file: h5py.File, key: str) -> h5py.Dataset | None:
    """The dataset of numbers at a place of a file; None where there is nothing.

    Raises:
        DataError: What is there is something else, or lies in another file, or is said to be larger
            than what is stored of it can be.
    """
    found, where = file.get(key), f"{file.filename}: {key}"
    if found is None:
        return None
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiub" or found.shape is None:
        raise DataError(f"{where} is no array of numbers")
    if found.file.filename != file.filename or found.external or found.is_virtual:
        raise DataError(f"{where} lies in another file, which is not read")
    if found.nbytes > DEFLATED * max(found.id.get_storage_size(), 64):
        raise DataError(f"{where} is said to be {found.shape}, which is not in the file")
    return found


def numbers(file: h5py.File, key: str) -> Shaped[np.ndarray, "..."] | None:
    """What is stored in `dataset`, as it is stored.

    Raises:
        DataError: See there; or it is damaged.
    """
    found = dataset(file, key)
    try:
        return None if found is None else np.asarray(found[()])
    except BROKEN as error:
        raise DataError(f"{file.filename}: {key} is damaged ({line(error)})") from error


def line(error: Exception) -> str:
    """What an error of h5py says, or what it is called."""
    return " ".join(str(error).split())[:200] or type(error).__name__
