"""Points found on photographs, once: they are kept in a cache."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import h5py
import numpy as np
from jaxtyping import Float

from hpatches_eval.datasets import numbers, opened
from hpatches_eval.errors import DataError, OutputError
from hpatches_eval.files import replacing
from hpatches_eval.sequences import find_images

from ..orphans import end_with

FEWEST = 16  # a photograph with fewer points is left out


def pointed(
    folder: str | Path,
    find: Callable[[Path], Float[np.ndarray, "n k"]],
    version: str,
    *,
    cache: str | Path | None,
    progress: Callable[[int, int], None],
    workers: int,
) -> Iterator[tuple[str, Path, Float[np.ndarray, "n k"]]]:
    """Name, path and points of each photograph below `folder` that has at least 16 points.

    Args:
        progress: Called with the photographs done and their total.
        version, cache, workers: See `points_of`.

    Raises:
        DataError: There are no photographs, or the cache is damaged.
    """
    folder = Path(folder)
    paths = find_images(folder)
    found = points_of(folder, paths, find, version, cache=cache, workers=workers)
    for i, (path, points) in enumerate(zip(paths, found, strict=True)):
        if len(points) >= FEWEST:
            yield path.relative_to(folder).as_posix(), path, points
        progress(i + 1, len(paths))


def points_of(
    folder: Path,
    paths: list[Path],
    find: Callable[[Path], Float[np.ndarray, "n k"]],
    version: str,
    *,
    cache: str | Path | None,
    workers: int,
) -> Iterator[Float[np.ndarray, "n k"]]:
    """What `find` makes of each of the photographs below `folder`, in order.

    Points are kept by names and contents of all photographs.

    Args:
        version: Of the way points are found: others are not taken from the cache.
        cache: A folder to keep them in, once all have been found.
        workers: Processes that find them; with 0 this one does.

    Raises:
        DataError: The cache is damaged, or a photograph cannot be read.
        OutputError: The cache is no folder to write to.
    """
    if cache is None:
        yield from _found(paths, find, workers)
        return
    kind = version.split()[0]
    try:
        Path(cache).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{cache}: no folder to keep points in ({error.strerror})") from None
    kept = Path(cache) / f"{kind}-{_digest(folder, paths, version)}.h5"
    if kept.is_file():
        yield from _read(kept, len(paths))
        return
    rows = []
    for points in _found(paths, find, workers):
        rows.append(points)
        yield points
    _write(kept, rows)


def _found(
    paths: list[Path], find: Callable[[Path], np.ndarray], workers: int
) -> Iterator[Float[np.ndarray, "n k"]]:
    if not workers:
        yield from map(find, paths)
        return
    cv2.setNumThreads(1)  # OpenCV's threads do not survive the fork of a worker
    with ProcessPoolExecutor(workers, initializer=end_with, initargs=(os.getpid(),)) as pool:
        yield from pool.map(find, paths, chunksize=4)


def _digest(folder: Path, paths: list[Path], version: str) -> str:
    digest = hashlib.sha256(version.encode())
    for path in paths:
        digest.update(os.fsencode(path.relative_to(folder)) + b"\0")
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return digest.hexdigest()[:16]


def _read(path: Path, count: int) -> Iterator[Float[np.ndarray, "n k"]]:
    try:
        with opened(path) as file:
            points, ends = numbers(file, "points"), numbers(file, "ends")
    except DataError as error:
        raise DataError(f"{path}: not a cache of points; delete it ({error})") from error
    if points is None or ends is None or not _fits(points, ends, count):
        raise DataError(f"{path}: the cache does not fit the photographs; delete it")
    yield from np.split(points, ends[:-1])


def _fits(points: np.ndarray, ends: np.ndarray, count: int) -> bool:
    """Whether these are points of so many photographs, and where those of each end."""
    if points.ndim != 2 or ends.shape != (count,) or ends.dtype.kind not in "iu":
        return False
    starts = np.concatenate([[0], ends.astype(np.int64)])
    rising = bool((np.diff(starts) >= 0).all()) and int(starts[-1]) == len(points)
    return rising and bool(np.isfinite(points).all())


def _write(path: Path, rows: list[np.ndarray]) -> None:
    with replacing(path, force=True) as new, h5py.File(new, "w") as file:
        file["points"] = np.concatenate(rows)
        file["ends"] = np.cumsum([len(points) for points in rows])
