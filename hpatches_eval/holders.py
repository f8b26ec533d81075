"""Folders that outputs are made in, beside their place, and what a killed process left of them.

A holder is called `.NAME.XXXXXXXX.new`. While its process lives, it holds a lock on it; the next
that makes a holder in the same folder deletes those whose process is gone. Where a file system, or
Windows, has no such locks, they stay.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_NAME = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.new", re.DOTALL)


@contextmanager
def holder(path: Path) -> Iterator[Path]:
    """A folder beside `path` to make it in, which goes when the block ends.

    Raises:
        OSError: The place is not writable.
    """
    with alone(path.parent) as can_lock:
        if can_lock:
            _sweep(path.parent)
        made = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent))
        claim = _claim(made) if can_lock else None
    try:
        yield made
    finally:
        with alone(path.parent):  # a place that stands empty may be another's who is replacing it
            _put_back(made, path)
        shutil.rmtree(made, ignore_errors=True)
        if claim is not None:
            os.close(claim)


def old_of(holder: Path, path: Path) -> Path:
    """Where in its holder the folder lies that `path` replaces."""
    return holder / f"{path.name}.old"


def sweep(folder: Path) -> None:
    """Delete what killed processes left in a folder; there may be no such folder."""
    with alone(folder) as can_lock:
        if can_lock:
            _sweep(folder)


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Be the only process that makes or moves holders in a folder; False where that cannot be."""
    lock = _locked(folder, wait=True)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


def _sweep(folder: Path) -> None:
    for each in [*folder.glob(".*.new")]:
        found = _NAME.fullmatch(each.name)
        if not (found and each.is_dir() and _is_of(each, found[1])):
            continue
        if (claim := _claim(each)) is not None:
            _put_back(each, folder / found[1])
            shutil.rmtree(each, ignore_errors=True)
            os.close(claim)


def _is_of(holder: Path, name: str) -> bool:
    """Whether nothing is in it but what we put there; not where its process just deleted it."""
    try:
        return {each.name for each in holder.iterdir()} <= {name, f"{name}.old"}
    except OSError:
        return False


def _put_back(holder: Path, path: Path) -> None:
    """A folder that was to be replaced, and was not, goes back to its place."""
    old = old_of(holder, path)
    if old.exists() and not path.exists():
        with suppress(OSError):
            old.rename(path)


def _claim(holder: Path) -> int | None:
    """Lock a holder; None where another process has it."""
    return _locked(holder, wait=False)


def _locked(folder: Path, *, wait: bool) -> int | None:
    """A descriptor that holds the lock of a folder until it is closed; None where it is not had."""
    if fcntl is None:
        return None
    try:
        opened = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        return None
    return opened
