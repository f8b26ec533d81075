"""One HDF5 file a descriptor: a dataset `<sequence>/<type>`, n x d, for each strip."""

from pathlib import Path

import h5py
import numpy as np

from .descriptors import Source
from .errors import DataError
from .files import replacing
from .patches import TYPES
from .progress import Progress, silent


class Hdf5File(Source):
    """Descriptors of a file: floats, or uint8 for packed bits.

    Raises:
        DataError: It is no HDF5 file, or, when they are read, a strip is not in it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with _opened(self.path) as file:
            super().__init__(self.path.stem, _groups(file))

    def count(self, sequence: str) -> int:
        with _opened(self.path) as file:
            return len(_dataset(file, self.path, f"{sequence}/ref"))

    def strip(self, sequence: str, kind: str) -> np.ndarray:
        key = f"{sequence}/{kind}"
        with _opened(self.path) as file:
            try:
                return np.asarray(_dataset(file, self.path, key)[:])
            except (OSError, ValueError) as error:
                raise DataError(f"{self.path}: {key} is damaged ({_line(error)})") from error


def write_hdf5(
    source: Source, path: str | Path, *, force: bool = False, progress: Progress = silent
) -> None:
    """Write all strips of a source to a file that `Hdf5File` reads.

    Raises:
        OutputError: It exists, or cannot be written.
        DataError: A strip is broken.
    """
    total = len(source.sequences) * len(TYPES)
    with replacing(path, force=force) as new, h5py.File(new, "w") as file:
        for done, (sequence, kind) in enumerate((s, k) for s in source.sequences for k in TYPES):
            progress(f"packing {source.name}", done, total)
            file[f"{sequence}/{kind}"] = source.strip(sequence, kind)
        progress(f"packing {source.name}", total, total)


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path}: cannot be read as an HDF5 file ({_line(error)})") from error


def _groups(file: h5py.File) -> list[str]:
    return sorted(str(name) for name, item in file.items() if isinstance(item, h5py.Group))


def _dataset(file: h5py.File, path: Path, key: str) -> h5py.Dataset:
    found = file.get(key)
    if not isinstance(found, h5py.Dataset) or found.ndim != 2:
        raise DataError(f"{path}: no n x d dataset {key}")
    return found


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
