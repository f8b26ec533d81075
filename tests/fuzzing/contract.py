"""What every reader promises of any file: it returns, or it refuses with one line, and soon."""

import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from descompress.errors import DescompressError
from hpatches_eval.errors import EvalError

SECONDS = 5.0  # of processor time that reading a small file may take
ROOM = 192 * 2**20  # bytes of memory that any reading may take
RATIO = 1_100  # bytes of memory for each byte of the file: what deflate can make of one
LONGEST = 3_000  # characters of a message, paths included
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

Change = Callable[[bytes, Random], bytes]


class Broken(AssertionError):
    """A reader did not keep its promise."""


@dataclass(frozen=True)
class Reader:
    """Something that reads a file a user gives.

    Args:
        file: Its path in the folder.
        prepare: Writes a valid file there, and all that has to lie beside it.
        read: Reads it, in the folder.
        changes: What keeps enough of the file's form to get past its checksums.
        slow: Takes more than a few milliseconds.
    """

    file: str
    prepare: Callable[[Path], None]
    read: Callable[[Path], object]
    changes: tuple[Change, ...] = ()
    slow: bool = False


class Trial:
    """A reader in a folder of its own, and the content of its valid file."""

    def __init__(self, reader: Reader, folder: Path) -> None:
        self.reader, self.folder, self.path = reader, folder, folder / reader.file
        reader.prepare(folder)
        self.valid = self.path.read_bytes()
        self.accept()

    def accept(self) -> None:
        """Read the valid file, which must not be refused."""
        self.path.write_bytes(self.valid)
        self.reader.read(self.folder)

    def attempt(self, content: bytes) -> bool:
        """Read a file of this content; whether it was accepted.

        Raises:
            Broken: See `broken`.
        """
        self.path.write_bytes(content)
        return kept(lambda: self.reader.read(self.folder), len(content))


def kept(read: Callable[[], object], size: int) -> bool:
    """Whether something of `size` bytes is accepted.

    Raises:
        Broken: It is refused by another error than ours, or in more than a line, or it takes long,
            or much memory.
    """
    before, start = _memory_forgotten(), time.process_time()
    accepted = _accepted(read)
    seconds, grown = time.process_time() - start, _peak() - before
    if seconds > SECONDS:
        raise Broken(f"took {seconds:.1f} s")
    if grown > ROOM + RATIO * size:
        raise Broken(f"took {grown / 2**20:.0f} MiB for {size} bytes")
    return accepted


def _accepted(read: Callable[[], object]) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
    except (DescompressError, EvalError) as error:
        said = str(error)
        if len(said) > LONGEST or not said.isprintable() or not said.strip():
            raise Broken(f"{len(said)} characters, no plain line: {said[:300]!r}") from error
        return False
    except Exception as error:
        raise Broken(f"{type(error).__name__}: {str(error)[:300]}") from error
    return True


def _memory_forgotten() -> int:
    """Let the peak of this process be what it takes now, and say how much that is."""
    if CLEAR.exists():
        CLEAR.write_text("5")
    return _peak()


def _peak() -> int:
    """The most bytes of memory that this process has taken, where that is known."""
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text()) if STATUS.exists() else None
    return 1024 * int(found[1]) if found else 0
