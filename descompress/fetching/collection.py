"""A data set of the table, from its address to a folder that the readers take."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from hpatches_eval.holders import sweep
from hpatches_eval.progress import Progress, silent

from ..errors import FetchError, FileError, RequestError
from ..locks import locked
from .sources import SETS, Archive, DataSet, find_set
from .transfer import Part, Patience, Wanted, fetch, writing
from .unpacking import clear, holds, unpack
from .verification import Mismatch, Record, read_record, trusted, verify, write_record

MOST_NAME = 200  # characters of a file's name: others are derived from it


@dataclass(frozen=True)
class Order:
    """What to get, and how.

    Args:
        into: A folder; the set goes into a folder of its name there, the archive beside it.
        source: An archive that was fetched by hand, or another address of it.
        trust: Take an archive that known checksums do not fit.
    """

    name: str
    into: Path
    source: str | None = None
    trust: bool = False
    patience: Patience = field(default_factory=Patience)

    @property
    def folder(self) -> Path:
        """Where the set goes."""
        return self.into / self.name


@dataclass(frozen=True)
class Got:
    """A set that is there.

    Args:
        archive: What it was unpacked from now; None if the folder was there before.
        record: What is known of the archive.
    """

    folder: Path
    archive: Path | None = None
    record: Record | None = None


def get(order: Order, progress: Progress = silent) -> Got:
    """Fetch, check and unpack a set; what is there already is not fetched again.

    Raises:
        RequestError: No set of the table has this name, or `source` is no address of a file.
        FetchError: It cannot be had, or is not what is published.
        FileError: The folder is something else, the disk is full, the archive is damaged, or
            another process is at it.
    """
    wanted, folder = find_set(order.name), order.folder
    with writing(order.into):
        order.into.mkdir(parents=True, exist_ok=True)
    with locked(folder, wait=False):
        sweep(order.into)
        if folder.exists():
            clear(folder)
            if not holds(folder, wanted.marker):
                raise FileError(f"{folder}: is there, but holds no {wanted.marker}; move it away")
            return Got(folder)
        archive, record = _archive(wanted, order, progress)
        unpack(archive, folder, wanted.marker, wanted.limits, progress)
    return Got(folder, archive, record)


def state(name: str, into: Path) -> str:
    """How far a set has come, in words.

    Raises:
        RequestError: No set of the table has this name.
    """
    wanted, folder = find_set(name), into / name
    if folder.exists():
        return "there" if holds(folder, wanted.marker) else f"{folder} is something else"
    for archive in wanted.archives:
        if (into / archive.name).is_file():
            return "archive there, not unpacked"
        if size := Part(into / archive.name).size:
            return f"{size / 1e6:,.0f} MB fetched"
    return ""


def _archive(wanted: DataSet, order: Order, progress: Progress) -> tuple[Path, Record]:
    """An archive of the set that lies on the disk and was checked."""
    archives = wanted.archives
    if order.source and not _is_address(order.source):
        path = Path(order.source)
        if not path.is_file():
            raise FileError(f"{path}: no such file")
        return path, _local(path, _known(wanted, path.name, str(path)), order, progress)
    if order.source:
        archives = (_known(wanted, _name_in(order.source), order.source),)
    for archive in archives:
        path = order.into / archive.name
        if path.is_file():
            Part(path).discard()  # of a process killed when all had come
            return path, _local(path, replace(archive, url=str(path)), order, progress)
    return _fetched(archives, wanted, order, progress)


def _is_address(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _name_in(address: str) -> str:
    """Name of the file at an address, which must do as a name here."""
    try:
        name = Archive(address).name
    except ValueError:
        name = ""
    if not 0 < len(name) < MOST_NAME or name in SETS or name.startswith(".") or "\0" in name:
        raise RequestError(f"{address}: not the address of an archive")
    return name


def _known(wanted: DataSet, name: str, origin: str) -> Archive:
    """What the table knows of the archive of this name, had from elsewhere.

    Under a name of its own, it must be one of those with a known checksum, if there are any.
    """
    for archive in wanted.archives:
        if archive.name == name:
            return replace(archive, url=origin)
    known = (checksum for archive in wanted.archives for checksum in archive.checksums)
    return Archive(origin, checksums=tuple(dict.fromkeys(known)))


def _fetched(
    archives: tuple[Archive, ...], wanted: DataSet, order: Order, progress: Progress
) -> tuple[Path, Record]:
    """The first of the archives that can be had; one that was begun comes first."""
    problems: list[str] = []
    begun = sorted(archives, key=lambda archive: not Part(order.into / archive.name).size)
    for archive in begun:
        path = order.into / archive.name
        try:
            with locked(path, wait=False):
                return path, _fetch(archive, wanted.limits.packed, order, progress)
        except FetchError as error:
            problems.append(str(error))
            if Part(path).size:
                problems.append("what has come is kept, and the same command goes on")
                break
    names = " or ".join(dict.fromkeys(archive.name for archive in archives))
    place, option = ("anywhere", " --from FILE") if order.source else (f"into {order.into}/", "")
    raise FetchError(
        f"{order.name}: {'; '.join(problems)}. By other means: put {names} {place} and run "
        f"`descompress data get {order.name} --into {order.into}{option}`"
    )


def _fetch(archive: Archive, most: int, order: Order, progress: Progress) -> Record:
    path = order.into / archive.name
    part = Part(path)
    size = None if order.trust else archive.size
    fetch(Wanted(archive.url, size, most), part, order.patience, progress)
    try:
        record = _checked(part.path, archive, order, progress)
    except Mismatch as error:
        rejected = path.with_name(f"{path.name}.rejected")
        with writing(rejected):
            part.path.replace(rejected)
            part.discard()
        raise FetchError(
            f"{archive.url}: {error}; kept as {rejected}: `--from {rejected} --trust` takes it"
        ) from None
    with writing(path):
        part.path.replace(path)
        part.discard()
    return record


def _local(path: Path, archive: Archive, order: Order, progress: Progress) -> Record:
    """Check a file that somebody put there, or an earlier run."""
    try:
        return _checked(path, archive, order, progress)
    except Mismatch as error:
        raise Mismatch(f"{path}: {error}; move it away, or take it with --trust") from None


def _checked(path: Path, archive: Archive, order: Order, progress: Progress) -> Record:
    """The record of an archive that is what it should be, written where the next run finds it."""
    place = order.into / f"{path.name.removesuffix('.part')}.json"
    earlier = None if order.trust else read_record(place)
    try:
        if order.trust:
            record = trusted(path, archive, progress)
        else:
            record = verify(path, archive, earlier, progress)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error
    if earlier and earlier.sha256 == record.sha256:
        record = replace(record, origin=earlier.origin)  # an earlier run fetched it
    write_record(record, place)
    return record
