"""Features that other programs stored, by image: hloc's HDF5 file, or D2-Net's files beside images.

Keypoints are (x, y) in pixels of the image as it is on disk, the centre of the first pixel being
(0, 0): what both programs write (hloc scales keypoints by (p + .5) s - .5). Descriptors of type
uint8 are packed bits; all others are read as float32. Nothing in a file is ever executed.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float32, Shaped

from .datasets import numbers, opened
from .errors import DataError
from .features import Features
from .geometry import Shape
from .numpyfiles import archived
from .sequences import SUFFIXES

_KEYS = ("keypoints", "descriptors", "scores", "image_size")


class StoredFeatures(ABC):
    """Features of all images of some sequences."""

    def features(self, sequence: str, number: int, shape: Shape) -> Features:
        """Those of one image, strongest first; in the order of the file where it has no scores.

        Args:
            shape: Of the image on disk.

        Raises:
            DataError: They are missing or broken, or belong to an image of another size.
        """
        where, arrays = self.arrays(sequence, number)
        points, rows = arrays.get("keypoints"), arrays.get("descriptors")
        if points is None or rows is None:
            raise DataError(f"{where}: needs keypoints and descriptors, has {', '.join(arrays)}")
        points, scores = _located(where, points, arrays.get("scores"))
        rows = _described(where, self.rows(rows), len(points))
        size = arrays.get("image_size")
        if size is not None and tuple(size.ravel()[::-1].tolist()) != shape:
            raise DataError(f"{where}: image_size {size.tolist()}, the image is {shape[::-1]}")
        order = np.argsort(-scores, kind="stable")
        return Features(points[order], rows[order], scores[order])

    @abstractmethod
    def arrays(self, sequence: str, number: int) -> tuple[str, Mapping[str, np.ndarray]]:
        """Where the features of an image are, and what is stored there."""

    @abstractmethod
    def rows(self, stored: np.ndarray) -> np.ndarray:
        """Stored descriptors, turned so that each is a row."""


class HlocFile(StoredFeatures):
    """An HDF5 file in hloc's layout.

    A group `<sequence>/<number>.<suffix>` for each image holds keypoints (n, 2), descriptors
    (d, n), scores (n) and image_size (width, height).

    Raises:
        DataError: It is no HDF5 file, or what is asked for is not in it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._opened():
            pass

    def _opened(self) -> AbstractContextManager[h5py.File]:
        if self.path.with_name(f"{self.path.name}.journal").exists():
            raise DataError(
                f"{self.path}: is being written, or a change of it was cut off: run `descompress "
                "describe` to its end"
            )
        return opened(self.path)

    def arrays(self, sequence: str, number: int) -> tuple[str, Mapping[str, np.ndarray]]:
        names = [f"{sequence}/{number}{suffix}" for suffix in (*SUFFIXES, "")]
        with self._opened() as file:
            for name in names:
                if isinstance(file.get(name), h5py.Group):
                    found = {key: numbers(file, f"{name}/{key}") for key in _KEYS}
                    kept = {key: array for key, array in found.items() if array is not None}
                    return f"{self.path}: {name}", kept
        raise DataError(f"{self.path}: no group {names[0]} ({names[1]}, ...)")

    def rows(self, stored: np.ndarray) -> np.ndarray:
        return stored.T


class NpzFolder(StoredFeatures):
    """A folder of D2-Net's files, `<root>/<sequence>/<number>.<suffix>.<method>`.

    Each is a NumPy archive, whatever its name ends in (`1.ppm.d2-net`, `1.npz`): keypoints
    (n, 2 or more: x, y, ...), descriptors (n, d), scores (n).

    Raises:
        DataError: There is no such folder, or no or more than one archive for an image.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder")

    def arrays(self, sequence: str, number: int) -> tuple[str, Mapping[str, np.ndarray]]:
        folder = self.root / sequence
        near = sorted(folder.glob(f"{number}.*")) if folder.is_dir() else []
        found = [path for path in near if path.suffix.lower() not in SUFFIXES]
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise DataError(f"{folder}: one file of features of image {number} needed, not {names}")
        return str(found[0]), archived(found[0], _KEYS)

    def rows(self, stored: np.ndarray) -> np.ndarray:
        return stored


def open_features(path: str | Path) -> StoredFeatures:
    """A folder of D2-Net's files, or a file of hloc's.

    Raises:
        DataError: It is neither.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder of features")
    return NpzFolder(path) if path.is_dir() else HlocFile(path)


def _located(
    where: str, points: np.ndarray, scores: np.ndarray | None
) -> tuple[Float32[np.ndarray, "n 2"], Float32[np.ndarray, " n"]]:
    if points.ndim != 2 or points.shape[1] < 2 or not _numbers(points):
        raise DataError(f"{where}: keypoints must be numbers (n, 2 or more), not {_kind(points)}")
    if scores is None:
        scores = -np.arange(len(points), dtype=np.float32)
    if scores.size != len(points) or not _numbers(scores):
        raise DataError(f"{where}: scores {_kind(scores)} do not fit {len(points)} keypoints")
    return points[:, :2].astype(np.float32), scores.reshape(-1).astype(np.float32)


def _described(where: str, rows: np.ndarray, count: int) -> Shaped[np.ndarray, "n d"]:
    if rows.ndim != 2 or len(rows) != count or not _numbers(rows):
        raise DataError(
            f"{where}: descriptors, {_kind(rows)} in rows, do not fit {count} keypoints"
        )
    return np.ascontiguousarray(rows, dtype=np.uint8 if rows.dtype == np.uint8 else np.float32)


def _numbers(values: np.ndarray) -> bool:
    return values.dtype.kind in "fiu"


def _kind(values: np.ndarray) -> str:
    return f"{values.shape} {values.dtype}"
