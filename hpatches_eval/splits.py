"""Which sequences are tested and which may be learned from.

The order of a split's test sequences matters: the published generator of tasks draws from it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import DataError, RequestError

PUBLISHED = Path(__file__).with_name("splits.json")


@dataclass(frozen=True, slots=True)
class Split:
    """Names of sequences; `train` is only used by the PCA/power-law variant."""

    name: str
    test: tuple[str, ...]
    train: tuple[str, ...] = ()


def read_splits(path: str | Path = PUBLISHED) -> dict[str, Split]:
    """The splits of a JSON file such as the published one, by name.

    Raises:
        DataError: The file is not such a file.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(content, dict) or not content:
        raise DataError(f"{path}: splits are an object of name: {{test, train}}")
    return {name: _split(name, entry, path) for name, entry in content.items()}


def find_split(name: str, path: str | Path | None = None) -> Split:
    """One split, published (a, b, c, full, illum, view) or of a file.

    Raises:
        RequestError: No split has this name.
    """
    splits = read_splits(PUBLISHED if path is None else path)
    if name not in splits:
        raise RequestError(f"split {name!r}: there are {', '.join(splits)}")
    return splits[name]


def choose_split(
    name: str | None, path: str | Path | None = None, sequences: Sequence[str] | None = None
) -> Split:
    """The split that is meant.

    Args:
        name: One of `path` or, without a path, of the published ones. Without a name, the only
            one of `path`, or all `sequences`.

    Raises:
        RequestError: It is not clear, or not there.
    """
    if name is not None:
        return find_split(name, path)
    if path is not None:
        splits = read_splits(path)
        if len(splits) == 1:
            return next(iter(splits.values()))
        raise RequestError(f"{path}: which split? There are {', '.join(splits)}")
    if sequences is None:
        raise RequestError(f"which split? There are {', '.join(read_splits())}")
    return whole(sequences)


def whole(sequences: Sequence[str]) -> Split:
    """The split that tests every sequence of a release."""
    return Split("all", tuple(sequences))


def _split(name: str, entry: object, path: str | Path) -> Split:
    if not isinstance(entry, dict):
        raise DataError(f"{path}: split {name!r} is no object of test and train sequences")
    test, train = _names(entry.get("test")), _names(entry.get("train", []))
    if not test or train is None:
        raise DataError(f"{path}: split {name!r} needs test (and may have train), lists of names")
    if len(set(test)) < len(test):
        raise DataError(f"{path}: split {name!r} names a test sequence twice")
    return Split(name, test, train)


def _names(value: object) -> tuple[str, ...] | None:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return None
