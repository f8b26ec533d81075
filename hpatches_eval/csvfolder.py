"""Descriptor folders as the benchmark publishes them: `<sequence>/<type>.csv`, a row a patch.

No header; values between `,` (or `;`, as MATLAB writes them), read as float32.
"""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from .descriptors import Source
from .errors import DataError

_DELIMITERS = (",", ";")


class CsvFolder(Source):
    """The descriptors of a folder.

    Args:
        packed: The numbers are bytes of packed binary descriptors.

    Raises:
        DataError: It has no sequences, or, when they are read, a file is missing, or a line of it
            is not what it should be.
    """

    def __init__(self, root: str | Path, *, packed: bool = False) -> None:
        self.root = Path(root)
        self.packed = packed
        if not self.root.is_dir():
            raise DataError(f"{root}: there is no such folder")
        names = sorted(path.parent.name for path in self.root.glob("*/ref.csv"))
        if not names:
            raise DataError(f"{root}: no sequence folders with a ref.csv in it")
        super().__init__(self.root.resolve().name, names)

    def count(self, sequence: str) -> int:
        path = self.root / sequence / "ref.csv"
        with path.open("rb") as file:
            return sum(1 for line in file if line.strip())

    def strip(self, sequence: str, kind: str) -> np.ndarray:
        path = self.root / sequence / f"{kind}.csv"
        table = _table(path)
        if len(table) != (count := self.count(sequence)):
            raise DataError(f"{path}: {len(table)} rows where ref.csv has {count}")
        return _bytes(table, path) if self.packed else table


def _table(path: Path) -> Float[np.ndarray, "n d"]:
    try:
        with path.open(encoding="utf-8") as file:
            delimiter = _delimiter(file.readline(), path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = np.loadtxt(path, np.float32, comments=None, delimiter=delimiter, ndmin=2)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, Warning) as error:
        raise DataError(_explanation(path)) from error
    if not np.isfinite(table).all():
        raise DataError(_explanation(path))
    return table


def _delimiter(line: str, path: Path) -> str:
    for delimiter in _DELIMITERS:
        if delimiter in line:
            return delimiter
    raise DataError(f"{path}: line 1: no ',' or ';' between values: {line.strip()[:40]!r}")


def _explanation(path: Path) -> str:
    """What is wrong with the first line that is not as it should be."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    delimiter = _delimiter(lines[0], path)
    columns = lines[0].count(delimiter) + 1
    for number, line in enumerate(lines, 1):
        values = line.split(delimiter) if line.strip() else []
        if values and len(values) != columns:
            return f"{path}: line {number}: {len(values)} values where line 1 has {columns}"
        for value in values:
            if not _finite(value):
                return f"{path}: line {number}: {value.strip()[:40]!r} is no finite float32 number"
    return f"{path}: not a table of numbers"


def _finite(value: str) -> bool:
    try:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.float32(float(value))))
    except ValueError:
        return False


def _bytes(table: Float[np.ndarray, "n d"], path: Path) -> UInt8[np.ndarray, "n d"]:
    odd = np.flatnonzero(((table < 0) | (table > 255) | (table != np.rint(table))).any(axis=1))
    if len(odd):
        raise DataError(f"{path}: line {odd[0] + 1}: packed bits are integers of 0 to 255")
    return table.astype(np.uint8)
