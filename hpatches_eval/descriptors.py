"""Descriptors of a patch release: where they come from, and all of them in memory.

A `Source` gives one strip of descriptors at a time: a folder of CSV files (`csvfolder`), an HDF5
file (`hdf5file`), or a function that describes patches (`Described`). `load` puts what a split
needs into one array. Floats are used as they are, without normalisation, as float32; uint8
descriptors are packed bits.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Shaped

from .errors import DataError, RequestError
from .patches import TYPES, PatchRelease
from .progress import Progress, silent

Describe: TypeAlias = Callable[[np.ndarray], Any]  # uint8 (n, 65, 65) -> (n, d); see `Described`


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The descriptors of some sequences: sequence by sequence, type by type, patch by patch.

    Args:
        name: For tables.
        counts: Patches in each strip, by sequence, in the order of the rows.
        rows: float32 or float64, or uint8 for packed bits.
    """

    name: str
    counts: dict[str, int]
    rows: Shaped[np.ndarray, "r d"]

    @property
    def dim(self) -> int:
        """Numbers in a descriptor: values, or bits of a packed one."""
        return self.rows.shape[1] * (8 if self.packed else 1)

    @property
    def packed(self) -> bool:
        """Whether the descriptors are strings of bits, eight to a number."""
        return self.rows.dtype == np.uint8

    def count(self, sequence: str) -> int:
        """Patches in each strip of a sequence."""
        if sequence not in self.counts:
            raise DataError(f"{self.name}: no descriptors of sequence {sequence}")
        return self.counts[sequence]

    def start(self, sequence: str) -> int:
        """The first row of a sequence; strip k of `TYPES` begins k * count(sequence) later."""
        self.count(sequence)
        names = list(self.counts)
        return len(TYPES) * sum(self.counts[name] for name in names[: names.index(sequence)])

    def of(self, sequence: str, kind: str) -> Shaped[np.ndarray, "n d"]:
        """The descriptors of one strip, a view."""
        count = self.count(sequence)
        begin = self.start(sequence) + TYPES.index(kind) * count
        return self.rows[begin : begin + count]


class Source(ABC):
    """Where descriptors come from, a strip at a time.

    Args:
        name: For tables and messages.
        sequences: All there are.
    """

    def __init__(self, name: str, sequences: Sequence[str]) -> None:
        self.name = name
        self.sequences = tuple(sequences)

    @abstractmethod
    def count(self, sequence: str) -> int:
        """Patches in each strip of a sequence."""

    @abstractmethod
    def strip(self, sequence: str, kind: str) -> np.ndarray:
        """The descriptors of a strip, n x d, as they come; `load` checks them."""


class Described(Source):
    """Descriptors computed from the patches of a release.

    Args:
        describe: From patches, uint8 (n, 65, 65), to descriptors (n, d): floats, or uint8 packed
            bits. One call sees one strip; a describer with little memory batches inside.
    """

    def __init__(self, name: str, release: PatchRelease, describe: Describe) -> None:
        super().__init__(name, release.sequences)
        self.release = release
        self.describe = describe

    def count(self, sequence: str) -> int:
        return self.release.count(sequence)

    def strip(self, sequence: str, kind: str) -> np.ndarray:
        return np.asarray(self.describe(self.release.strip(sequence, kind)))


def describe_release(
    release: PatchRelease,
    describe: Describe,
    sequences: Sequence[str] | None = None,
    *,
    name: str = "descriptors",
    progress: Progress = silent,
) -> Descriptors:
    """Describe the patches of a release: `load` of `Described`."""
    return load(Described(name, release, describe), sequences, progress=progress)


def load(
    source: Source, sequences: Sequence[str] | None = None, *, progress: Progress = silent
) -> Descriptors:
    """The descriptors of some sequences in memory.

    Args:
        sequences: All of the source if not given.

    Raises:
        DataError: A sequence is missing, or a strip has another length or another kind of
            descriptors than the others, or values that are not finite.
    """
    names = _wanted(source, sequences)
    counts = {name: source.count(name) for name in names}
    rows: np.ndarray | None = None
    at, total = 0, len(TYPES) * len(names)
    for done, (name, kind) in enumerate((name, kind) for name in names for kind in TYPES):
        progress(f"reading {source.name}", done, total)
        strip = _checked(source, name, kind, counts[name])
        if rows is None:
            rows = np.empty((len(TYPES) * sum(counts.values()), strip.shape[1]), strip.dtype)
        _compare(f"{source.name}: {name}/{kind}", strip, rows)
        rows[at : at + len(strip)] = strip
        at += len(strip)
    progress(f"reading {source.name}", total, total)
    if rows is None:
        raise RequestError(f"{source.name}: no sequences asked for")
    return Descriptors(source.name, counts, rows)


def load_refs(source: Source, sequences: Sequence[str]) -> Shaped[np.ndarray, "n d"]:
    """The ref descriptors of some sequences, one below the other.

    Raises:
        DataError: As `load`.
    """
    names = _wanted(source, sequences)
    return np.concatenate([_checked(source, name, "ref", source.count(name)) for name in names])


def _wanted(source: Source, sequences: Sequence[str] | None) -> tuple[str, ...]:
    names = source.sequences if sequences is None else tuple(sequences)
    missing = [name for name in names if name not in source.sequences]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{source.name}: sequence {missing[0]}{more} is not there")
    return names


def _checked(source: Source, sequence: str, kind: str, count: int) -> np.ndarray:
    strip, where = source.strip(sequence, kind), f"{source.name}: {sequence}/{kind}"
    if strip.ndim != 2 or len(strip) != count or strip.shape[1] == 0:
        raise DataError(f"{where}: descriptors of shape {strip.shape} for {count} patches")
    if strip.dtype == np.uint8:
        return strip
    if not np.issubdtype(strip.dtype, np.floating):
        raise DataError(f"{where}: {strip.dtype} descriptors; floats or uint8 (packed bits) fit")
    bad = np.flatnonzero(~np.isfinite(strip).all(axis=1))
    if len(bad):
        raise DataError(f"{where}: the descriptor of patch {bad[0]} has values that are not finite")
    return strip.astype(np.float32, copy=False)


def _compare(where: str, strip: np.ndarray, rows: np.ndarray) -> None:
    if (strip.shape[1], strip.dtype) != (rows.shape[1], rows.dtype):
        raise DataError(
            f"{where}: {strip.shape[1]} {strip.dtype} values a patch, "
            f"elsewhere {rows.shape[1]} {rows.dtype}"
        )
