"""Image sequences with ground-truth homographies, in the layout of HPatches.

`<root>/<sequence>/{1..6}.{ppm,png,...}` and `H_1_2 .. H_1_6`, text files with nine numbers: the
homography that maps pixels (x, y) of image 1 to image k. The centre of the first pixel is (0, 0).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from .errors import DataError
from .greyimages import decoded

SUFFIXES = (".ppm", ".png", ".pgm", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
COUNT = 6


@dataclass(frozen=True, slots=True)
class ImageSequence:
    """One sequence: a reference image (number 1) and five others of the same planar scene."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the folder: `i_...` changes illumination, `v_...` viewpoint."""
        return self.path.name

    def image(self, number: int) -> UInt8[np.ndarray, "h w"]:
        """Read image `number` (1 to 6) in grey.

        Raises:
            DataError: It is missing or cannot be read.
        """
        for suffix in SUFFIXES:
            path = self.path / f"{number}{suffix}"
            if path.is_file():
                return read_grey(path)
        raise DataError(f"{self.path}: no image {number} ({number}.ppm, {number}.png, ...)")

    def homography(self, number: int) -> Float[np.ndarray, "3 3"]:
        """Read the homography from image 1 to image `number` (2 to 6), scaled so that H[2, 2] = 1.

        Raises:
            DataError: It is missing, not nine finite numbers, or singular.
        """
        path = self.path / f"H_1_{number}"
        if not path.is_file():
            raise DataError(f"{self.path}: no homography H_1_{number}")
        try:
            values = [float(word) for word in path.read_text().split()]
        except (ValueError, OSError) as error:
            raise DataError(f"{path}: not a homography of nine numbers ({error})") from None
        if len(values) != 9 or not np.isfinite(values).all():
            raise DataError(f"{path}: not a homography of nine finite numbers")
        return _normalised(np.array(values).reshape(3, 3), path)


def read_grey(path: Path) -> UInt8[np.ndarray, "h w"]:
    """Read an image file in grey.

    Raises:
        DataError: It cannot be read to its end, or is far too large.
    """
    try:
        image = decoded(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if image is None:
        raise DataError(f"{path}: cannot be read as an image")
    return image


def _normalised(matrix: Float[np.ndarray, "3 3"], path: Path) -> Float[np.ndarray, "3 3"]:
    scale = np.diag(1 / np.maximum(np.abs(matrix).max(axis=1), 1e-300))
    if abs(matrix[2, 2]) < 1e-12 or np.linalg.cond(scale @ matrix) > 1e12:
        raise DataError(f"{path}: the homography is singular")
    return matrix / matrix[2, 2]


def find_images(folder: str | Path) -> list[Path]:
    """All image files in and below `folder`, by path.

    Raises:
        DataError: There is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"{folder}: no images ({', '.join(SUFFIXES)}) in this folder")
    return paths


def find_sequences(root: str | Path) -> list[ImageSequence]:
    """The sequences below `root`, by name; `root` may also be one sequence itself.

    Raises:
        DataError: There is none.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    found = [p for p in folders if _is_sequence(p)]
    if not found and _is_sequence(root):
        found = [root if root.name else root.resolve()]  # "." has no name
    if not found:
        raise DataError(f"{root}: no folder with images 1..6 and H_1_2..H_1_6 in it")
    return [ImageSequence(p) for p in found]


def _is_sequence(path: Path) -> bool:
    return any((path / f"1{suffix}").is_file() for suffix in SUFFIXES)
