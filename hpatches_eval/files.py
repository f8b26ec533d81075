"""Outputs that are either whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError
from .holders import alone, holder, old_of, sweep


def refuse_existing(path: Path, *, force: bool) -> None:
    """Check that `path` may be written.

    Raises:
        OutputError: It exists and `force` is not set, it is no file or folder (a device, a pipe),
            or its folder is missing.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OutputError(f"{path}: neither a file nor a folder; it is never replaced")
    if path.exists() and not force:
        raise OutputError(f"{path}: exists already; --force replaces it")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it first")


def refuse_around(target: str | Path, source: str | Path) -> None:
    """Check that replacing `target` would not delete `source`, what it is made of.

    Raises:
        OutputError: They are the same place, or `source` lies in `target`.
    """
    if Path(source).resolve().is_relative_to(Path(target).resolve()):
        raise OutputError(f"{target}: holds {source}, what it is made of; write to another place")


@contextmanager
def replacing(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes its place when the block ends well.

    The block may write a file or make a folder there. If it raises, nothing is left behind and
    what stood at `path` is untouched. If its process is killed, the next output in the same folder
    deletes what is left (see `holders`).

    Args:
        force: Replace what is there.

    Raises:
        OutputError: See `refuse_existing`; or the disk is full, or the place is not writable.
    """
    path = Path(path)
    refuse_existing(path, force=force)
    try:
        with holder(path) as place:
            yield place / path.name
            with alone(path.parent):
                refuse_existing(path, force=force)  # another process may have written it
                _move(place, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _move(place: Path, path: Path) -> None:
    new = place / path.name
    if new.is_file():
        with new.open("rb") as file:
            os.fsync(file.fileno())
    elif path.is_dir():
        path.rename(old_of(place, path))
    new.replace(path)


def discard(folder: Path) -> None:
    """Delete a folder: it is whole, or it is gone.

    Raises:
        OutputError: It cannot be moved.
    """
    try:
        with holder(folder) as place:
            folder.rename(place / folder.name)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be deleted ({error.strerror or error})") from error


def is_vacant(folder: Path) -> bool:
    """Whether there is nothing in a folder, what a killed process left apart; that is deleted."""
    sweep(folder)
    return not folder.exists() or not any(folder.iterdir())


def save_text(path: str | Path, text: str, *, force: bool = False) -> None:
    """Write a text file, whole or not at all.

    Args:
        force: Replace what is there.

    Raises:
        OutputError: See `replacing`.
    """
    with replacing(path, force=force) as new:
        new.write_text(text, encoding="utf-8")
