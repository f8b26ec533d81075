"""One HDF5 file a descriptor: a dataset `<sequence>/<type>`, n x d, for each strip."""

from pathlib import Path

import h5py
import numpy as np

from .datasets import dataset, numbers, opened
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
        with opened(self.path) as file:
            super().__init__(self.path.stem, _groups(file))

    def count(self, sequence: str) -> int:
        with opened(self.path) as file:
            found = dataset(file, f"{sequence}/ref")
            return 0 if found is None or not found.ndim else len(found)

    def strip(self, sequence: str, kind: str) -> np.ndarray:
        key = f"{sequence}/{kind}"
        with opened(self.path) as file:
            found = numbers(file, key)
        if found is None or found.ndim != 2:
            raise DataError(f"{self.path}: no n x d dataset {key}")
        return found


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


def _groups(file: h5py.File) -> list[str]:
    return sorted(str(name) for name, item in file.items() if isinstance(item, h5py.Group))
