"""What is compared: pairs to verify, queries to retrieve and their distractors.

The published form is five CSV files a split; `read_tasks` and `write_tasks` are its two sides.
In memory, a sequence is its place in the split's test sequences.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np
from jaxtyping import Int

from .errors import DataError, OutputError
from .files import replacing
from .splits import Split

PAIR = ("s1", "t1", "idx1", "s2", "t2", "idx2")
ROW = ("s", "idx")


@dataclass(frozen=True, slots=True)
class Verification:
    """Pairs of patches, rows of `PAIR`; image 0 is ref, image k is e, h or t k.

    Args:
        positives: The same point twice.
        inter: Two points of any sequences.
        intra: Two points of the same sequence.
    """

    positives: Int[np.ndarray, "n 6"]
    inter: Int[np.ndarray, "n 6"]
    intra: Int[np.ndarray, "n 6"]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Patches of ref strips, rows of `ROW`."""

    queries: Int[np.ndarray, "q 2"]
    distractors: Int[np.ndarray, "p 2"]


@dataclass(frozen=True, slots=True)
class Tasks:
    """All there is to compare in a split; matching needs no list.

    Args:
        source: Where the lists are from, for the record.
    """

    split: Split
    verification: Verification
    retrieval: Retrieval
    source: Mapping[str, str] = field(default_factory=dict)


def verification_paths(folder: str | Path, split: Split) -> dict[str, Path]:
    """The files of the verification lists, by the fields of `Verification`."""
    stems = {"positives": "verif_pos", "inter": "verif_neg_inter", "intra": "verif_neg_intra"}
    return {k: Path(folder) / f"{v}_split-{split.name}.csv" for k, v in stems.items()}


def retrieval_paths(folder: str | Path, split: Split) -> dict[str, Path]:
    """The files of the retrieval lists, by the fields of `Retrieval`."""
    stems = {"queries": "retr_queries", "distractors": "retr_distractors"}
    return {k: Path(folder) / f"{v}_split-{split.name}.csv" for k, v in stems.items()}


def read_verification(folder: str | Path, split: Split, counts: Mapping[str, int]) -> Verification:
    """The pairs of a split, in its published files.

    Args:
        counts: Patches in each strip of every test sequence.

    Raises:
        DataError: A file is missing or broken, or names a patch there is not.
    """
    paths = verification_paths(folder, split)
    tables = {k: _read(path, PAIR, split, counts) for k, path in paths.items()}
    if len({len(table) for table in tables.values()}) > 1:
        raise DataError(f"{paths['positives']}: the three verification files differ in length")
    return Verification(**tables)


def read_retrieval(folder: str | Path, split: Split, counts: Mapping[str, int]) -> Retrieval:
    """The queries and distractors of a split; see `read_verification`."""
    paths = retrieval_paths(folder, split)
    return Retrieval(**{k: _read(path, ROW, split, counts) for k, path in paths.items()})


def write_verification(folder: str | Path, split: Split, lists: Verification) -> None:
    """Write the files that `read_verification` reads, each whole or not at all.

    Some may be there, of a process that was killed, if they hold the same.

    Raises:
        OutputError: One exists and holds something else, and nothing is written; or one cannot be
            written.
    """
    paths = verification_paths(folder, split)
    _write({path: _lines(PAIR, split, getattr(lists, name)) for name, path in paths.items()})


def write_retrieval(folder: str | Path, split: Split, lists: Retrieval) -> None:
    """Write the files that `read_retrieval` reads; see `write_verification`."""
    paths = retrieval_paths(folder, split)
    _write({path: _lines(ROW, split, getattr(lists, name)) for name, path in paths.items()})


def _lines(columns: tuple[str, ...], split: Split, table: np.ndarray) -> Iterator[str]:
    names = np.array(split.test, object)
    fields = [
        names[column].tolist() if title.startswith("s") else map(str, column.tolist())
        for title, column in zip(columns, table.T, strict=True)
    ]
    yield ",".join(columns) + "\n"
    yield from (",".join(row) + "\n" for row in zip(*fields, strict=True))


def _write(files: Mapping[Path, Iterator[str]]) -> None:
    missing = [path for path in files if not path.exists()]
    for path in files.keys() - {*missing}:
        _require_same(path, files[path])
    for path in missing:
        with (
            replacing(path, force=True) as new,
            new.open("w", encoding="utf-8", newline="\n") as file,
        ):
            file.writelines(files[path])


def _require_same(path: Path, lines: Iterator[str]) -> None:
    with path.open(encoding="utf-8", newline="\n") as file:
        if all(found == line for found, line in zip_longest(file, lines)):
            return
    raise OutputError(
        f"{path}: exists already, while others of its kind are missing, and holds other tasks than "
        "those that would be generated"
    )


def _read(
    path: Path, columns: tuple[str, ...], split: Split, counts: Mapping[str, int]
) -> Int[np.ndarray, "n c"]:
    width = max(map(len, split.test)) + 1  # a longer name is cut, and is still none of these
    text = [title.startswith("s") for title in columns]
    kind = [(t, f"U{width}" if s else np.int32) for t, s in zip(columns, text, strict=True)]
    try:
        with path.open(encoding="utf-8") as file:
            if file.readline().strip() != ",".join(columns):
                raise DataError(f"{path}: line 1: a header {','.join(columns)} was expected")
            if not file.readline().strip():
                raise DataError(f"{path}: line 2: empty; a row was expected")
        raw = np.loadtxt(path, np.dtype(kind), comments=None, delimiter=",", skiprows=1, ndmin=1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{path}: not rows of {','.join(columns)} ({error})") from error
    table = np.empty((len(raw), len(columns)), np.int32)
    for column, title in enumerate(columns):
        table[:, column] = _places(raw[title], split) if text[column] else raw[title]
    _check(path, columns, split, counts, table)
    return table


def _places(names: np.ndarray, split: Split) -> Int[np.ndarray, " n"]:
    order = np.argsort(split.test)
    known = np.array(split.test)[order]
    at = np.minimum(np.searchsorted(known, names), len(known) - 1)
    return np.where(known[at] == names, order[at], -1)


def _check(
    path: Path,
    columns: tuple[str, ...],
    split: Split,
    counts: Mapping[str, int],
    table: Int[np.ndarray, "n c"],
) -> None:
    lengths = np.array([counts[name] for name in split.test])
    bad = np.zeros(len(table), bool)
    sequence = table[:, 0]
    for column, title in zip(table.T, columns, strict=True):
        if title.startswith("s"):
            sequence, top = column, len(lengths)
        else:
            top = 6 if title.startswith("t") else lengths[sequence]
        bad |= (column < 0) | (column >= top)
    if bad.any():
        raise DataError(
            f"{path}: line {np.argmax(bad) + 2}: names a sequence or a patch that split "
            f"{split.name!r} of this release does not have"
        )
