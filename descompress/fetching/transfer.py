"""One file from an HTTP server, in as many connections as it takes.

What has come lies in `NAME.part`; `NAME.part.json` says of which version of the file it is, so that
a later connection, or process, goes on only with bytes of the same version. Proxies are those of
the environment (`http_proxy`, `https_proxy`, `no_proxy`).
"""

import http.client
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from email.message import Message
from pathlib import Path
from typing import Any

from hpatches_eval.files import replacing
from hpatches_eval.progress import Progress

from ..errors import FetchError, FileError

CHUNK = 2**18
MB = 10**6
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers of a server that may do better later


@dataclass(frozen=True)
class Patience:
    """How long to bear with a server.

    Args:
        stall: Seconds without a byte after which a connection is given up.
        waits: Seconds before each further try since the last new byte; then it is given up.
    """

    stall: float = 30.0
    waits: tuple[float, ...] = (1.0, 4.0, 15.0, 60.0)


@dataclass(frozen=True)
class Wanted:
    """A file to fetch.

    Args:
        size: In bytes, where it is known.
        most: Bytes that it may have at most.
    """

    url: str
    size: int | None
    most: int


@dataclass(frozen=True)
class Version:
    """A file as the server has it: where from, its ETag or date, and its size, if it says them."""

    url: str
    validator: str | None
    total: int | None


class Part:
    """What has come so far of the file that is to be `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self.note = path.with_name(f"{path.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self, url: str) -> Version | None:
        """What the bytes are of; None where that is unknown or another address."""
        try:
            found = Version(**json.loads(self.note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        return found if found.url == url else None

    def begin(self, version: Version) -> None:
        """Throw away what has come, and expect this version."""
        with writing(self.path):
            self.path.write_bytes(b"")
            self.record(version)

    def record(self, version: Version) -> None:
        """Note what the bytes are of."""
        with replacing(self.note, force=True) as new:
            new.write_text(json.dumps(asdict(version)), encoding="utf-8")

    def discard(self) -> None:
        """Throw away what has come."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


class _Broken(Exception):
    """A connection that ended too early; the next may do better."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but to nothing less safe."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: Any,
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise FetchError(f"{req.full_url}: redirected to {newurl}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the errors of a disk into ours.

    Raises:
        FileError: The disk is full, or the place is not writable.
    """
    try:
        yield
    except OSError as error:
        raise FileError(
            f"{path}: cannot be written ({error.strerror or error}); what has come is kept, and "
            "the same command goes on"
        ) from error


def fetch(wanted: Wanted, part: Part, patience: Patience, progress: Progress) -> None:
    """Fetch until `part` is whole.

    Raises:
        FetchError: No answer, or none that fits; or the connection broke too often.
        FileError: The disk is full, or the place is not writable.
    """
    most, tries, answered = part.size, 0, False
    while True:
        try:
            _attempt(wanted, part, patience, progress)
            return
        except (http.client.InvalidURL, UnicodeError):
            raise FetchError(f"{wanted.url}: not an address") from None
        except urllib.error.HTTPError as error:
            why, answered = _refused(wanted, part, error), True
        except urllib.error.URLError as error:
            why = _reason(error.reason)
            if not answered:
                raise FetchError(f"{wanted.url}: no connection ({why})") from None
        except (_Broken, http.client.HTTPException, OSError) as error:
            why, answered = _reason(error), True
        tries, most = (0, part.size) if part.size > most else (tries, most)
        if tries == len(patience.waits):
            raise FetchError(f"{wanted.url}: broke off at {part.size:,} bytes ({why})")
        time.sleep(patience.waits[tries])
        tries += 1


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "nothing came for too long"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _refused(wanted: Wanted, part: Part, error: urllib.error.HTTPError) -> str:
    """Why there may still be an answer to the next question."""
    error.close()
    if error.code == 416:
        part.discard()  # the file is shorter now
    elif error.code not in PASSING:
        raise FetchError(f"{wanted.url}: the server says {error.code} {error.reason}") from None
    return f"{error.code} {error.reason}"


def _attempt(wanted: Wanted, part: Part, patience: Patience, progress: Progress) -> None:
    """One connection; returns when the file is whole."""
    version, have = part.version(wanted.url), part.size
    if version and have and version.total == have:
        return
    headers = {"User-Agent": "descompress", "Accept-Encoding": "identity"}
    if version and version.validator and have:
        headers |= {"Range": f"bytes={have}-", "If-Range": version.validator}
    request = urllib.request.Request(wanted.url, headers=headers)
    opener = urllib.request.build_opener(_Redirects)
    with opener.open(request, timeout=patience.stall) as response:
        if response.status == 206:
            version = _continued(response.headers, version, part)
        elif response.status == 200:
            version = _begun(response.headers, wanted)
            part.begin(version)
        else:
            raise FetchError(f"{wanted.url}: the server says {response.status}")
        _check_room(part, version.total or 0)
        _receive(response, part, version, wanted.most, progress)


def _continued(headers: Message, version: Version | None, part: Part) -> Version:
    """Check that what comes now follows what has come; or else begin again."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", "").strip())
    if (
        version is None
        or found is None
        or int(found[1]) != part.size
        or (version.total or int(found[2])) != int(found[2])
        or (_validator(headers) or version.validator) != version.validator
    ):
        part.discard()
        raise _Broken("the file has changed, or the server sent another part of it")
    return replace(version, total=int(found[2]))


def _begun(headers: Message, wanted: Wanted) -> Version:
    length = headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else wanted.size
    if wanted.size is not None and total != wanted.size:
        kind = headers.get_content_type()
        raise FetchError(
            f"{wanted.url}: the server has {total:,} bytes ({kind}), the published file has "
            f"{wanted.size:,}"
        )
    if total is not None and total > wanted.most:
        raise FetchError(f"{wanted.url}: {total:,} bytes, more than the {wanted.most:,} allowed")
    return Version(wanted.url, _validator(headers), total)


def _validator(headers: Message) -> str | None:
    """What `If-Range` may name: a strong ETag, or a date."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _check_room(part: Part, total: int) -> None:
    needed, free = total - part.size, shutil.disk_usage(part.path.parent).free
    if needed > free:
        raise FileError(
            f"{part.path}: {needed / MB:,.0f} MB are to come, and {free / MB:,.0f} MB are free"
        )


def _receive(
    response: http.client.HTTPResponse, part: Part, version: Version, most: int, progress: Progress
) -> None:
    done, total = part.size, version.total
    with writing(part.path):
        file = part.path.open("ab", buffering=0)
    with file:
        while chunk := response.read1(CHUNK):
            done += len(chunk)
            if done > (total or most):
                part.discard()
                raise FetchError(f"{version.url}: more than the {total or most:,} bytes allowed")
            with writing(part.path):
                _write(file, chunk)
            say(progress, part.path.stem, done, total or done + 1)
    if total is None:
        part.record(Version(version.url, version.validator, done))
    elif done < total:
        raise _Broken(f"the connection ended, {total - done:,} bytes are missing")


def _write(file: Any, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:  # a raw file takes what fits
        view = view[file.write(view) :]


def say(progress: Progress, stage: str, done: int, total: int) -> None:
    """Report bytes in MB, so that the last byte, and no earlier one, completes them."""
    progress(f"{stage}, MB", done // MB if done < total else -(-total // MB), -(-total // MB))
