"""NumPy's files from anywhere: nothing in them is executed, and whatever is wrong is one error."""

import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError

import numpy as np
from jaxtyping import Shaped

from .errors import DataError

_HEADER = (SyntaxError, TokenError, RecursionError, OverflowError, TypeError, LookupError)
_ARCHIVE = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
_BROKEN = (OSError, ValueError, EOFError, MemoryError, AttributeError, *_HEADER, *_ARCHIVE)


def mapped(path: str | Path, mode: str = "r") -> Shaped[np.memmap, "..."]:
    """The array of an .npy file, mapped into memory: it takes none until it is read.

    Args:
        mode: "r", or "r+" to write to it.

    Raises:
        DataError: There is no such file, or it holds something else.
    """
    with _refused(path, "not an array of numbers"):
        return np.lib.format.open_memmap(path, mode)  # pyright: ignore[reportArgumentType]


def archived(
    path: str | Path, names: Collection[str] | None = None
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of an .npz file, whatever it is called.

    Args:
        names: Of arrays; the others are not read. All are if it is not given.

    Raises:
        DataError: There is no such file, or one of these is no array of numbers.
    """
    with _refused(path, "not an archive of arrays"), zipfile.ZipFile(path) as archive:
        stored = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        wanted = [name for name in stored if names is None or name in names]
        return {name: _array(archive, stored[name]) for name in wanted}


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


@contextmanager
def _refused(path: str | Path, what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except _BROKEN as error:
        raise DataError(f"{path}: {what} ({str(error)[:200]})") from error
