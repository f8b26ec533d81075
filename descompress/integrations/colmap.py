"""Features and matches as COLMAP reads them: a database, or text files.

COLMAP puts the corner of the first pixel at (0, 0), and its centre at (0.5, 0.5): keypoints are
moved by half a pixel. Matches are raw: COLMAP's geometric verification comes next.

Sources: J. L. Schoenberger and J.-M. Frahm, "Structure-from-motion revisited", CVPR 2016, and
COLMAP's documentation of its database format, colmap.github.io/database.html.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import combinations
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float, UInt8

from hpatches_eval.files import replacing
from hpatches_eval.matching import neighbours
from hpatches_eval.progress import Progress, silent

from ..errors import FileError, RequestError
from ..featurefiles import Described

Pairs = Sequence[tuple[str, str]]

MOST_IMAGES = 2**31 - 1  # of a database: pairs are counted in this base
SIMPLE_RADIAL = 2  # focal length, centre (x, y), one coefficient of distortion
FOCAL = 1.2  # of a camera nothing is known of, in long sides of its images: COLMAP's own guess
DIM = 128  # of what COLMAP stores as descriptors
OFFSET, SCALE = 128, 256  # of a component, as a byte

# The tables of COLMAP 3.10; later versions add to them what they need when they open the file.
SCHEMA = """
CREATE TABLE cameras (
    camera_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    model INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    params BLOB, prior_focal_length INTEGER NOT NULL);
CREATE TABLE images (
    image_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL UNIQUE, camera_id INTEGER NOT NULL,
    CONSTRAINT image_id_check CHECK(image_id >= 0 and image_id < 2147483647),
    FOREIGN KEY(camera_id) REFERENCES cameras(camera_id));
CREATE UNIQUE INDEX index_name ON images(name);
CREATE TABLE keypoints (
    image_id INTEGER PRIMARY KEY NOT NULL,
    rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB,
    FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE descriptors (
    image_id INTEGER PRIMARY KEY NOT NULL,
    rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB,
    FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE matches (
    pair_id INTEGER PRIMARY KEY NOT NULL,
    rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB);
CREATE TABLE two_view_geometries (
    pair_id INTEGER PRIMARY KEY NOT NULL,
    rows INTEGER NOT NULL, cols INTEGER NOT NULL, data BLOB,
    config INTEGER NOT NULL, F BLOB, E BLOB, H BLOB, qvec BLOB, tvec BLOB);
"""


def write_database(
    path: Path,
    images: Mapping[str, Described],
    pairs: Pairs,
    *,
    shared_camera: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> int:
    """Write features and the mutual nearest neighbours of pairs; gives how many matches these are.

    The descriptors go in, as `to_bytes` makes them, where they are 128 long. The file is whole or
    not there.

    Args:
        images: By their names, from the folder on that COLMAP will be given.
        pairs: Of names; see `every_pair`, `neighbouring_pairs`, `read_pairs`.
        shared_camera: All images are of one camera; otherwise each has its own.
        force: Replace a file that exists.

    Raises:
        RequestError: A pair names no image or one twice, or images of unlike sizes are said to
            share a camera.
        DataError: Descriptors of different lengths.
        OutputError: The file exists, or cannot be written.
    """
    numbers = {name: i for i, name in enumerate(images, 1)}
    _check_pairs(pairs, numbers)
    with replacing(path, force=force) as new, closing(_started(new)) as database:
        _add_images(database, images, shared=shared_camera)
        total, first = 0, ("", None)
        for done, (a, b) in enumerate(pairs, 1):
            if first[1] is None or first[0] != a:
                first = a, images[a].features.descriptors
            found = neighbours(first[1], images[b].features.descriptors).mutual()
            total += len(found)
            ordered = found if numbers[a] < numbers[b] else found[:, ::-1]
            row = (pair_id(numbers[a], numbers[b]), *_blob(ordered, "<u4"))
            database.execute("INSERT INTO matches VALUES (?, ?, ?, ?)", row)
            progress("pairs", done, len(pairs))
        database.commit()
    return total


def pair_id(first: int, second: int) -> int:
    """COLMAP's number for a pair of images, the same both ways round."""
    return min(first, second) * MOST_IMAGES + max(first, second)


def every_pair(names: Iterable[str]) -> Pairs:
    """Each image with each other one."""
    return list(combinations(names, 2))


def neighbouring_pairs(names: Iterable[str], overlap: int) -> Pairs:
    """Each image with the `overlap` that follow it, in the order of their names: of a video."""
    ordered = sorted(names)
    return [(a, b) for i, a in enumerate(ordered) for b in ordered[i + 1 : i + 1 + overlap]]


def read_pairs(path: Path) -> Pairs:
    """Pairs from a text file, two names on a line, as hloc and COLMAP write them.

    Raises:
        FileError: It cannot be read, or a line is not two names.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: cannot be read ({error})") from error
    found = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and len(words) != 2:
            raise FileError(f"{path}, line {number}: two names needed, not {line[:80]!r}")
        found += [(words[0], words[1])] if words else []
    return found


def write_text(folder: Path, images: Mapping[str, Described], *, force: bool = False) -> None:
    """Write `<folder>/<image>.txt` for COLMAP's feature_importer, which takes 128-d descriptors.

    COLMAP then matches them itself, by its thresholds for SIFT; a database with matches needs
    none of that.

    Args:
        force: Replace the folder.

    Raises:
        RequestError: Other descriptors, or a name that leaves the folder.
        OutputError: The folder exists, or cannot be written.
    """
    with replacing(folder, force=force) as new:
        new.mkdir()
        for name, described in images.items():
            file = new / _inside(f"{name}.txt")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(_lines(name, described)), encoding="ascii")


def to_bytes(rows: Float[np.ndarray, "n d"]) -> UInt8[np.ndarray, "n d"]:
    """Unit descriptors as bytes, 128 + 256 x: L2 distances are 256 times those of the floats.

    Components beyond half a unit, which hardly occur, are cut off.
    """
    return np.clip(np.rint(OFFSET + SCALE * rows), 0, 255).astype(np.uint8)


def _started(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.executescript(SCHEMA)
    return database


def _check_pairs(pairs: Pairs, numbers: Mapping[str, int]) -> None:
    seen: set[int] = set()
    for a, b in pairs:
        for name in (a, b):
            if name not in numbers:
                raise RequestError(f"the pair {a} {b}: there are no features of {name}")
        number = pair_id(numbers[a], numbers[b])
        if a == b or number in seen:
            raise RequestError(f"the pair {a} {b}: {'one image' if a == b else 'given twice'}")
        seen.add(number)


def _add_images(
    database: sqlite3.Connection, images: Mapping[str, Described], *, shared: bool
) -> None:
    camera, first = 0, None
    for number, (name, described) in enumerate(images.items(), 1):
        first = first or described.size
        if shared and described.size != first:
            raise RequestError(f"{name} is {described.size}, not {first}: not of one camera")
        if not shared or number == 1:
            camera = number
            row = (camera, SIMPLE_RADIAL, *described.size, _camera(described.size), 0)
            database.execute("INSERT INTO cameras VALUES (?, ?, ?, ?, ?, ?)", row)
        database.execute("INSERT INTO images VALUES (?, ?, ?)", (number, name, camera))
        points, rows = described.features.keypoints + 0.5, described.features.descriptors
        values = (number, *_blob(points, "<f4"))
        database.execute("INSERT INTO keypoints VALUES (?, ?, ?, ?)", values)
        if rows.shape[1] == DIM:
            values = (number, *_blob(to_bytes(rows), "u1"))
            database.execute("INSERT INTO descriptors VALUES (?, ?, ?, ?)", values)


def _camera(size: tuple[int, int]) -> bytes:
    width, height = size
    return np.array([FOCAL * max(size), width / 2, height / 2, 0], "<f8").tobytes()


def _blob(array: np.ndarray, dtype: str) -> tuple[int, int, bytes]:
    return (*array.shape, np.ascontiguousarray(array, dtype=dtype).tobytes())


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise RequestError(f"the name {name[:80]!r} leaves the folder")
    return path


def _lines(name: str, described: Described) -> Iterator[str]:
    """Of a text file: how many there are; then x, y, scale, angle, and bytes of each."""
    features = described.features
    if features.descriptors.shape[1] != DIM:
        long = features.descriptors.shape[1]
        raise RequestError(f"{name}: descriptors are {long} long, and COLMAP reads {DIM}")
    yield f"{len(features.keypoints)} {DIM}\n"
    pairs = zip(features.keypoints + 0.5, to_bytes(features.descriptors), strict=True)
    for (x, y), row in pairs:
        yield f"{x:.4f} {y:.4f} 1 0 {' '.join(map(str, row.tolist()))}\n"
