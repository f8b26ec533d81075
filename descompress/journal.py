"""A file that changes as a whole or not at all, whenever its process is killed."""

import io
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

PAGE = 4096
MAGIC = b"descompress journal 1\n"
GROWTH = 2**32  # bytes by which one commit may make a file longer


def pending(path: Path) -> bool:
    """Whether a process has begun to change a file, and is at it or was killed."""
    return journal_of(path).exists()


def forget(path: Path) -> None:
    """Forget the change of a file that was begun, after completing it if the file is there."""
    if path.is_file() and pending(path):
        with suppress(OSError):
            JournalledFile(path).close()
    journal_of(path).unlink(missing_ok=True)


def journal_of(path: Path) -> Path:
    """Where changes are written before they are made."""
    return path.with_name(f"{path.name}.journal")


class JournalledFile(io.RawIOBase):
    """A file to read and write at any place; what is written stays in memory until `commit`.

    `commit` writes the changed pages beside the file first (PATH.journal), and then into it. A
    process killed before the first is done leaves the file as it was; one killed after it leaves
    changes that the next to open the file completes.

    Args:
        path: An existing file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path, self._journal = path, journal_of(path)
        self._pages: dict[int, bytes] = {}
        self._place = 0
        self._file = path.open("r+b", buffering=0)
        self._recover()
        self._size = self._kept = self._file.seek(0, os.SEEK_END)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}
        self._place = starts[whence] + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def truncate(self, size: int | None = None, /) -> int:
        self._size = self._place if size is None else size
        self._kept = min(self._kept, self._size)
        last, within = divmod(self._size, PAGE)
        self._pages = {number: page for number, page in self._pages.items() if number <= last}
        if last in self._pages:
            self._pages[last] = self._pages[last][:within].ljust(PAGE, b"\0")
        return self._size

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        done, length = 0, min(len(view), max(self._size - self._place, 0))
        while done < length:
            number, within = divmod(self._place, PAGE)
            part = self._page(number)[within : within + length - done]
            view[done : done + len(part)] = part
            done, self._place = done + len(part), self._place + len(part)
        return done

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            number, within = divmod(self._place, PAGE)
            part = bytes(view[done : done + PAGE - within])
            page = self._page(number)
            self._pages[number] = page[:within] + part + page[within + len(part) :]
            done, self._place = done + len(part), self._place + len(part)
        self._size = max(self._size, self._place)
        return done

    def commit(self) -> None:
        """Make all that was written and truncated since the last time part of the file.

        Raises:
            OSError: The disk is full, say; the file is as it was.
        """
        body = self._kept.to_bytes(8, "little") + self._size.to_bytes(8, "little")
        for number, page in self._pages.items():
            body += number.to_bytes(8, "little") + page
        self._announce(MAGIC + zlib.crc32(body).to_bytes(4, "little") + body)
        self._apply(self._kept, self._size, self._pages)
        self._pages, self._kept = {}, self._size

    def close(self) -> None:
        """Forget what was not committed."""
        if not self.closed:
            self._file.close()
        super().close()

    def _page(self, number: int) -> bytes:
        """What a page holds, always of full length."""
        if number in self._pages:
            return self._pages[number]
        start = number * PAGE
        if start >= self._kept:
            return bytes(PAGE)
        self._file.seek(start)
        return self._file.read(min(PAGE, self._kept - start)).ljust(PAGE, b"\0")

    def _announce(self, content: bytes) -> None:
        """Write the journal."""
        try:
            with self._journal.open("wb") as journal:
                journal.write(content)
                journal.flush()
                os.fsync(journal.fileno())
        except OSError:
            self._journal.unlink(missing_ok=True)
            raise

    def _apply(self, kept: int, size: int, pages: dict[int, bytes]) -> None:
        """Write the last pages first: those that are new, and nothing refers to yet."""
        self._file.truncate(kept)
        for number in sorted(pages, reverse=True):
            self._file.seek(number * PAGE)
            self._file.write(pages[number])
        self._file.truncate(size)
        os.fsync(self._file.fileno())
        self._journal.unlink()

    def _recover(self) -> None:
        """Complete a commit whose process was killed; forget one that was not written yet."""
        if not self._journal.is_file():
            return
        content, start = self._journal.read_bytes(), len(MAGIC) + 4
        body = content[start:]
        if content[:start] != MAGIC + zlib.crc32(body).to_bytes(4, "little"):
            self._journal.unlink()
            return
        if not _is_whole(body, self._file.seek(0, os.SEEK_END)):
            raise OSError(f"{self._journal.name} is none of this program's; delete it")
        kept, size = (int.from_bytes(body[at : at + 8], "little") for at in (0, 8))
        entries = [body[at : at + 8 + PAGE] for at in range(16, len(body), 8 + PAGE)]
        pages = {int.from_bytes(entry[:8], "little"): entry[8:] for entry in entries}
        self._apply(kept, size, pages)


def _is_whole(body: bytes, length: int) -> bool:
    """Whether it is two sizes and pages within them, and the file grows by no absurd amount.

    Args:
        length: Of the file.
    """
    kept, size = (int.from_bytes(body[at : at + 8], "little") for at in (0, 8))
    starts = range(16, len(body), 8 + PAGE)
    numbers = [int.from_bytes(body[at : at + 8], "little") for at in starts]
    fits = (
        len(body) == 16 + len(numbers) * (8 + PAGE)
        and kept <= min(size, length)
        and size <= kept + GROWTH
    )
    return fits and all(number * PAGE < size for number in numbers)
