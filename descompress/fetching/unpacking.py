"""Archives as published, zip and tar.gz, unpacked without harm.

Names must stay inside the folder; only files and folders are taken, no links or devices; and no
more bytes and files than the limits say. Nothing of an archive but names and bytes is used, and the
writing is the same for both kinds, so `tarfile` and `zipfile` only read.
"""

import gzip
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from hpatches_eval.progress import Progress

from ..errors import FileError
from .sources import Limits
from .verification import ZIP

CHUNK = 2**20
HEADER = 2**24  # bytes that a header of a tar may ask for at once
JUNK = ("__MACOSX", ".DS_Store", "Thumbs.db")
DAMAGE = (
    *(EOFError, ValueError, LookupError, OverflowError, struct.error),
    RuntimeError,  # too deep, or a password
    *(gzip.BadGzipFile, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class Entry:
    """A file or folder of an archive.

    Args:
        kind: "file", "folder", or what it is instead.
        size: Bytes of the file, as the archive says.
    """

    name: str
    kind: str
    size: int
    open: Callable[[], Any]


def unpack(path: Path, target: Path, marker: str, limits: Limits, progress: Progress) -> None:
    """Make the folder `target` of the archive `path`: whole, or not at all.

    Folders around the one with the files of `marker` are left out.

    Raises:
        FileError: The archive is damaged, holds what it must not, or nothing of `marker`; or the
            disk is full.
    """
    beside = clear(target)
    try:
        _extract(path, beside, limits, progress)
        _folder_of(marker, beside, path).rename(target)
    except DAMAGE as error:
        raise FileError(f"{path}: a damaged archive ({error or type(error).__name__})") from error
    except OSError as error:
        raise FileError(f"{target}: cannot be made ({error.strerror or error})") from error
    finally:
        clear(target)


def clear(target: Path) -> Path:
    """Where `target` is unpacked to before it is whole; what a killed process left there goes."""
    beside = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(beside, ignore_errors=True)
    return beside


def _extract(path: Path, folder: Path, limits: Limits, progress: Progress) -> None:
    if path.stat().st_size > limits.packed:
        raise FileError(f"{path}: more than the {limits.packed:,} bytes allowed")
    folder.mkdir()
    done = count = 0
    for count, entry in enumerate(_entries(path, limits), start=1):
        where = f"{path}: {entry.name!r}"
        if entry.kind not in ("file", "folder"):
            raise FileError(f"{where} is {entry.kind}; only files and folders are taken")
        if (done := done + entry.size) > limits.unpacked or count > limits.files:
            raise FileError(
                f"{path}: more than the {limits.unpacked:,} bytes or {limits.files:,} files allowed"
            )
        place = folder / _inside(entry.name, where)
        if not _is_junk(place.relative_to(folder)):
            _place(entry, place, where)
        progress(f"{path.name}, files", count, count + 1)
    progress(f"{path.name}, files", count, count)


def _inside(name: str, where: str) -> PurePosixPath:
    """The path of an entry, relative to the folder to unpack to."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
        raise FileError(f"{where} leaves its folder; nothing is unpacked")
    if "\\" in name or "\0" in name:
        raise FileError(f"{where} is not a name for every system; nothing is unpacked")
    return path


def _is_junk(path: Path) -> bool:
    return any(part in JUNK or part.startswith("._") for part in path.parts)


def _place(entry: Entry, place: Path, where: str) -> None:
    try:
        if entry.kind == "folder":
            place.mkdir(parents=True, exist_ok=True)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            _copy(entry, file)
    except (FileExistsError, NotADirectoryError):
        raise FileError(f"{where} is there twice") from None


def _copy(entry: Entry, file: BufferedIOBase) -> None:
    left = entry.size
    with entry.open() as source:
        while left and (chunk := source.read(min(CHUNK, left))):
            file.write(chunk)
            left -= len(chunk)
        if left:
            raise EOFError(f"{entry.name!r} has not the {entry.size:,} bytes that it should have")


def _folder_of(marker: str, folder: Path, path: Path) -> Path:
    """The folder that holds the set: the outermost one with a file of `marker`."""
    while not holds(folder, marker):
        inner = [each for each in folder.iterdir() if each.is_dir()]
        if len(inner) != 1:
            raise FileError(f"{path}: holds no {marker}, is it the archive of another set?")
        folder = inner[0]
    return folder


def holds(folder: Path, marker: str) -> bool:
    """Whether a set with files of `marker` lies in `folder`."""
    return any(each.is_file() for each in folder.glob(marker))


def _entries(path: Path, limits: Limits) -> Iterator[Entry]:
    with path.open("rb") as file:
        is_zip = file.read(len(ZIP)) == ZIP
    return _of_zip(path) if is_zip else _of_tar(path, limits)


def _of_zip(path: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = {0: "file", stat.S_IFREG: "file", stat.S_IFDIR: "folder"}.get(
                stat.S_IFMT(info.external_attr >> 16), "a link or a device"
            )
            kind = "folder" if info.filename.endswith("/") and kind == "file" else kind
            yield Entry(info.filename, kind, info.file_size, lambda info=info: archive.open(info))


class _Bounded(gzip.GzipFile):
    """The content of a tar.gz, which refuses to fill the memory or to go on for ever."""

    most = 0

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= HEADER:
            raise tarfile.ReadError("a header is too long")
        if self.tell() > self.most:
            raise tarfile.ReadError(f"more than {self.most:,} bytes")
        return super().read(size)


def _of_tar(path: Path, limits: Limits) -> Iterator[Entry]:
    with _Bounded(path, "rb") as content:
        content.most = limits.unpacked + (limits.files + 20) * 8 * tarfile.BLOCKSIZE  # and headers
        with tarfile.open(fileobj=content, mode="r:") as archive:
            for member in archive:
                kind = "file" if member.isreg() and not member.issparse() else "a link or a device"
                kind = "folder" if member.isdir() else kind
                yield Entry(
                    member.name, kind, member.size, lambda member=member: _opened(archive, member)
                )
        while content.read(CHUNK):  # up to the checksum at the end
            pass


def _opened(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    source = archive.extractfile(member)
    if source is None:
        raise tarfile.ReadError(f"{member.name!r} is no file")
    return source
