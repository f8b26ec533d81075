"""Features of many images in one HDF5 file, in the layout of hloc.

A group for each image, by its name, holds `keypoints` (n, 2), x and y in pixels of the whole
image, the centre of the first one (0, 0); `descriptors` (d, n); `scores` (n,); and `image_size`
(width, height). The attribute `uncertainty` of the keypoints is a pixel of what was searched, in
pixels of the whole image. The attribute `descompress` of the file says how the features were made.

Source: https://github.com/cvg/Hierarchical-Localization, extract_features.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import UInt8

from hpatches_eval.datasets import BROKEN, line, numbers, opened
from hpatches_eval.errors import DataError
from hpatches_eval.features import Features, Finder
from hpatches_eval.files import refuse_existing, replacing
from hpatches_eval.geometry import fitted, resized

from .errors import FileError, RequestError
from .images import read_image
from .interrupts import interrupts_held
from .journal import JournalledFile, forget, pending
from .locks import locked

SETTINGS = "descompress"  # attribute of the file
DTYPES = ("float16", "float32")
KEYS = ("keypoints", "descriptors", "image_size", "scores")
LARGEST = 2**31 - 1  # pixels on a side


@dataclass(frozen=True)
class Described:
    """The features of an image.

    Args:
        size: Width and height of the image.
        uncertainty: See the head of this module.
    """

    features: Features
    size: tuple[int, int]
    uncertainty: float = 1.0


def described(image: UInt8[np.ndarray, "h w"], find: Finder, longest: int) -> Described:
    """The features of an image, found in a smaller copy if it is larger than `longest`.

    Args:
        longest: Pixels of the long side that are searched.
    """
    whole = image.shape[0], image.shape[1]
    shape = fitted(whole, min(longest, max(whole)))
    found = find(resized(image, shape))
    scale = np.array([whole[1] / shape[1], whole[0] / shape[0]])
    keypoints = ((found.keypoints + 0.5) * scale - 0.5).astype(np.float32)
    features = replace(found, keypoints=keypoints)
    return Described(features, whole[::-1], float(scale.mean()))


class FeatureFile:
    """A file that images are added to, one after the other; see `feature_file`."""

    def __init__(self, pages: JournalledFile, file: h5py.File, dtype: str) -> None:
        self._pages, self._file, self._dtype = pages, file, dtype

    def __contains__(self, name: str) -> bool:
        return f"{name}/image_size" in self._file

    def add(self, name: str, described: Described) -> None:
        """Write the features of an image; on the disk they are there as a whole or not at all.

        Keypoints are kept in float32: half precision would move those far from the corner of a
        large image by more than a pixel.

        Raises:
            FileError: The disk is full, or cannot be written.
        """
        features = described.features
        try:
            with interrupts_held():
                group = self._file.create_group(name)
                group["keypoints"] = features.keypoints.astype(np.float32)
                group["keypoints"].attrs["uncertainty"] = described.uncertainty
                group["descriptors"] = features.descriptors.T.astype(self._dtype)
                group["scores"] = features.scores.astype(self._dtype)
                group["image_size"] = np.array(described.size, np.int64)
                self._file.flush()
                self._pages.commit()
        except BROKEN as error:
            reason = getattr(error, "strerror", None) or line(error)
            raise FileError(f"{name}: its features cannot be written ({reason})") from error


def add_images(
    file: FeatureFile, images: Mapping[str, Path], find: Finder, longest: int
) -> Iterator[FileError | None]:
    """Describe the images that the file does not have yet, one at a time.

    Yields what is wrong with each image that cannot be read, and None for each other.
    """
    for name, path in images.items():
        if name in file:
            yield None
            continue
        try:
            image = read_image(path)
        except FileError as error:
            yield error
            continue
        file.add(name, described(image, find, longest))
        yield None


@contextmanager
def feature_file(
    path: Path, settings: Mapping[str, Any], *, dtype: str = "float16", force: bool = False
) -> Iterator[FeatureFile]:
    """Open a file of features to add images to, or start it.

    Args:
        settings: How the features are made, plain numbers and words; those of an existing file
            must be the same.
        dtype: Of descriptors and scores, one of `DTYPES`.
        force: Start afresh.

    Raises:
        RequestError: The file was made with other settings.
        FileError: It is another kind of file, or another process is writing it.
        OutputError: It cannot be written.
    """
    said = json.dumps({**settings, "dtype": dtype}, sort_keys=True)
    with locked(path, wait=False):
        if force or not path.exists():
            _start(path, said, force=force)
        try:
            pages = JournalledFile(path)
        except OSError as error:
            raise FileError(f"{path}: cannot be written ({error.strerror or error})") from error
        with pages, _opened(pages, path) as file:
            _compare(_said(file), said, path)
            yield FeatureFile(pages, file, dtype)


class StoredFeatures(Mapping[str, Described]):
    """The images of a file in this layout, ours or hloc's, by name; each is read when asked for.

    Features come in the order of the file, as float32. A change that a killed process left half
    done is completed first.

    Raises:
        FileError: The file, or the image that is asked for, is not in this layout or damaged; or
            another process is writing it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._names = path, []
        try:
            with self._opened() as file:
                file.visititems(self._remember)
        except DataError as error:
            raise FileError(str(error)) from error
        if not self._names:
            raise FileError(f"{path}: no images in it, that is groups with keypoints")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> Described:
        points, rows, size, strengths = self._stored(name)
        rows = rows.T
        fits = rows.ndim == 2 and points.shape == (len(rows), 2) and strengths.shape == (len(rows),)
        arrays = points, rows, strengths
        if not fits or not all(np.isfinite(array).all() for array in arrays):
            shapes = ", ".join(str(array.shape) for array in arrays)
            raise FileError(f"{self.path}: {name} has keypoints, descriptors, scores {shapes}")
        if size.shape != (2,) or not (size.min() >= 1 and size.max() <= LARGEST):
            raise FileError(f"{self.path}: {name} has image_size {size.tolist()}")
        features = Features(points, np.ascontiguousarray(rows), strengths)
        return Described(features, (int(size[0]), int(size[1])))

    def _opened(self) -> AbstractContextManager[h5py.File]:
        if pending(self.path):
            _complete(self.path)
        return opened(self.path)

    def _stored(self, name: str) -> Iterator[np.ndarray]:
        """Keypoints, descriptors, size and scores as they are in the file, but in float32."""
        try:
            with self._opened() as file:
                found = {key: numbers(file, f"{name}/{key}") for key in KEYS}
        except DataError as error:
            raise FileError(f"{self.path}: {name} is damaged ({error})") from error
        if (points := found["keypoints"]) is not None and found["scores"] is None:
            found["scores"] = np.ones(points.shape[:1])
        for key, array in found.items():
            if array is None:
                raise FileError(f"{self.path}: {name} is damaged (it lacks {key})")
            with np.errstate(over="ignore"):  # what is too large is refused as infinity
                yield array.astype(np.float32) if key != "image_size" else array

    def _remember(self, name: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and "keypoints" in item:
            self._names.append(name)


def _complete(path: Path) -> None:
    with locked(path, wait=False):
        try:
            JournalledFile(path).close()
        except OSError as error:
            reason = error.strerror or error
            raise FileError(
                f"{path}: a change of it was cut off, and cannot be completed ({reason})"
            ) from error


def _start(path: Path, said: str, *, force: bool) -> None:
    refuse_existing(path, force=force)
    forget(path)
    with replacing(path, force=force) as new, h5py.File(new, "w") as file:
        file.attrs[SETTINGS] = np.bytes_(said.encode())


def _opened(pages: JournalledFile, path: Path) -> h5py.File:
    try:
        return h5py.File(pages, "r+")
    except BROKEN as error:
        raise FileError(f"{path}: not an HDF5 file, or a damaged one") from error


def _said(file: h5py.File) -> Any:
    """The settings in the file, if they can be read.

    Text of no fixed length lies in a heap, and a damaged heap keeps the HDF5 library for ever.
    """
    try:
        fixed = SETTINGS in file.attrs and file.attrs.get_id(SETTINGS).dtype.kind == "S"
        found = file.attrs[SETTINGS] if fixed else None
        return json.loads(found) if isinstance(found, bytes) else None
    except BROKEN:
        return None


def _compare(before: Any, said: str, path: Path) -> None:
    now = json.loads(said)
    if not isinstance(before, dict):
        raise FileError(f"{path}: not written by describe; --force replaces it")
    for key in sorted(before.keys() | now.keys()):
        if (made := before.get(key)) != now.get(key):
            raise RequestError(
                f"{path}: made with {key} {str(made)[:60]}, not {now.get(key)}; take another file, "
                "or --force to start this one afresh"
            )
