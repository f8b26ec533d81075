"""The published patch release: sequences of strips of 65 x 65 grey patches.

    <root>/<sequence>/{ref,e1..e5,h1..h5,t1..t5}.png

Row i of every strip of a sequence shows the same point. Source: V. Balntas et al., "HPatches",
CVPR 2017.
"""

import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from .errors import DataError

PATCH = 65
DIFFICULTIES = ("e", "h", "t")
TYPES = ("ref", *(f"{level}{image}" for level in DIFFICULTIES for image in range(1, 6)))
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class PatchRelease:
    """A folder of sequences, read one strip at a time.

    Args:
        root: Holds one folder a sequence; other folders are ignored.

    Raises:
        DataError: `root` holds no folder with a ref.png.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise DataError(f"{root}: there is no such folder")
        self.sequences = tuple(sorted(path.parent.name for path in self.root.glob("*/ref.png")))
        if not self.sequences:
            raise DataError(f"{self.root}: no sequence folders with a ref.png in it")
        self._counts: dict[str, int] = {}

    def path(self, sequence: str, kind: str) -> Path:
        """The file of one strip; `kind` is one of `TYPES`."""
        return self.root / sequence / f"{kind}.png"

    def count(self, sequence: str) -> int:
        """Patches in each strip of a sequence, from the files' headers alone.

        Raises:
            DataError: A strip is missing, is not a column of patches, or differs in length.
        """
        if sequence not in self._counts:
            self._counts[sequence] = self._count(sequence)
        return self._counts[sequence]

    def _count(self, sequence: str) -> int:
        ref = _patches_in(self.path(sequence, "ref"))
        for kind in TYPES[1:]:
            path = self.path(sequence, kind)
            if (found := _patches_in(path)) != ref:
                raise DataError(f"{path}: {found} patches where ref.png has {ref}")
        return ref

    def strip(self, sequence: str, kind: str) -> UInt8[np.ndarray, "n 65 65"]:
        """The patches of one strip.

        Raises:
            DataError: As `count`; or the file is damaged.
        """
        count, path = self.count(sequence), self.path(sequence, kind)
        pixels = _pixels(path)
        if pixels.shape != (count * PATCH, PATCH):
            raise DataError(f"{path}: {pixels.shape[1]} x {pixels.shape[0]} pixels when decoded")
        return pixels.reshape(count, PATCH, PATCH)


def _patches_in(path: Path) -> int:
    try:
        with path.open("rb") as file:
            width, height = _size(file.read(24), path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if width != PATCH or height == 0 or height % PATCH:
        raise DataError(
            f"{path}: {width} x {height} pixels are no column of {PATCH} x {PATCH} patches"
        )
    return height // PATCH


def _size(header: bytes, path: Path) -> tuple[int, int]:
    if len(header) < 24 or header[:8] != _SIGNATURE or header[12:16] != b"IHDR":
        raise DataError(f"{path}: not a PNG file")
    return struct.unpack(">II", header[16:24])


def _pixels(path: Path) -> UInt8[np.ndarray, "h w"]:
    from .greyimages import decoded

    data = path.read_bytes()
    _check_chunks(data, path)
    pixels = decoded(data, upright=False)
    if pixels is None:
        raise DataError(f"{path}: a damaged PNG file")
    return pixels


def _check_chunks(data: bytes, path: Path) -> None:
    """Refuse a file that a decoder would fill up with made-up pixels."""
    at, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", data[at : at + 8].ljust(8, b"\0"))
        end = at + 8 + length
        if end + 4 > len(data):
            raise DataError(f"{path}: a PNG file that ends too early")
        if data[end : end + 4] != struct.pack(">I", zlib.crc32(data[at + 4 : end])):
            raise DataError(f"{path}: a damaged PNG file (checksum of {kind!r} at byte {at})")
        at = end + 4
