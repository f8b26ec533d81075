"""Whether a file is what was published: its size, its first bytes, and its checksum.

Where nobody says a checksum, the file is trusted on first use: `NAME.json` beside it records its
SHA-256, and another file of that name is refused later.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from hpatches_eval.files import replacing
from hpatches_eval.progress import Progress

from ..errors import FetchError
from .sources import Archive
from .transfer import say

ZIP, GZIP = b"PK\x03\x04", b"\x1f\x8b"
CHUNK = 2**20


@dataclass(frozen=True)
class Record:
    """What was fetched.

    Args:
        origin: An address, or a path.
        checked: What its SHA-256 rests on, in words.
    """

    origin: str
    bytes: int
    sha256: str
    checked: str


class Mismatch(FetchError):
    """A file that is not what was published."""


def read_record(path: Path) -> Record | None:
    """The record at `path`; None where there is none.

    Raises:
        FetchError: It is damaged.
    """
    if not path.is_file():
        return None
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        raise FetchError(f"{path}: damaged; delete it to trust the next file anew") from None


def write_record(record: Record, path: Path) -> None:
    """Write it, in place of one that is there."""
    with replacing(path, force=True) as new:
        new.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")


def verify(path: Path, archive: Archive, earlier: Record | None, progress: Progress) -> Record:
    """Compare the file `path` with all that is known of `archive`.

    Args:
        earlier: What is recorded of this file, if it is.

    Raises:
        Mismatch: It is something else; the text says what, not where.
    """
    size = path.stat().st_size
    if archive.size not in (None, size):
        raise Mismatch(f"{size:,} bytes, and the published file has {archive.size:,}")
    _check_kind(path)
    algorithms = {"sha256", *(checksum.algorithm for checksum in archive.checksums)}
    digests = _digests(path, algorithms, progress)
    checked = _checked(archive, digests, earlier)
    return Record(archive.url, size, digests["sha256"], checked)


def trusted(path: Path, archive: Archive, progress: Progress) -> Record:
    """The record of a file that is taken as it is.

    Raises:
        Mismatch: It is no archive at all.
    """
    _check_kind(path)
    sha256 = _digests(path, {"sha256"}, progress)["sha256"]
    return Record(archive.url, path.stat().st_size, sha256, "trusted as asked")


def _check_kind(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(16)
    if not start.startswith((ZIP, GZIP)):
        raise Mismatch(f"neither a zip nor a tar.gz archive, it begins with {start!r}")


def _digests(path: Path, algorithms: Iterable[str], progress: Progress) -> dict[str, str]:
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    done, total = 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            for each in hashes.values():
                each.update(chunk)
            done += len(chunk)
            say(progress, f"{path.name.removesuffix('.part')}, checksum", done, total)
    return {name: each.hexdigest() for name, each in hashes.items()}


def _checked(archive: Archive, digests: dict[str, str], earlier: Record | None) -> str:
    for checksum in archive.checksums:
        if digests[checksum.algorithm] == checksum.digest:
            return f"{checksum.algorithm} as {checksum.said_by} has it"
    if earlier and earlier.sha256 == digests["sha256"]:
        return earlier.checked
    if archive.checksums:
        known = archive.checksums[0]
        raise Mismatch(
            f"its {known.algorithm} is {digests[known.algorithm]}, and {known.said_by} has "
            f"{known.digest}"
        )
    if earlier:
        raise Mismatch(
            f"its sha256 is {digests['sha256']}, and that of the first file fetched was "
            f"{earlier.sha256}"
        )
    return "nobody publishes a checksum: trusted on first use"
