"""One writer at a time, among the processes of a machine."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import FileError


@contextmanager
def locked(path: str | Path, *, wait: bool) -> Iterator[None]:
    """Be the only process that writes `path` through this function.

    The lock lies among the temporary files and goes with its process, however that ends.

    Args:
        wait: For the process that has it; or else refuse.

    Raises:
        FileError: Another process has it.
    """
    name = hashlib.sha256(os.fsencode(Path(path).resolve())).hexdigest()[:24]
    lock = FileLock(Path(tempfile.gettempdir()) / f"descompress-{name}.lock")
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise FileError(f"{path}: another process is writing it") from None
    except PermissionError as error:
        raise FileError(f"{path}: another user's process may be writing it ({error})") from None
    try:
        yield
    finally:
        lock.release()
