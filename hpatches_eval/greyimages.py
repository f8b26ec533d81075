"""Image files from anywhere, in grey, in memory in proportion to what they are."""

import re
import struct
from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import UInt8

MOST = 2**28  # pixels of an image: three times those of the largest cameras
PNG = b"\x89PNG\r\n\x1a\n"
DENSEST = 8_256  # pixels to a byte of a file: 1,032 of its bytes deflate to one, of eight pixels


def decoded(content: bytes, *, upright: bool = True) -> UInt8[np.ndarray, "h w"] | None:
    """The content of an image file in grey; None if it is none, or cut off, or far too large.

    Args:
        upright: Turn it as a note in the file says.
    """
    if not content or _pixels(content) > min(MOST, DENSEST * len(content)):
        return None
    if content.startswith(PNG) and not _ends(content):
        return None
    flags = cv2.IMREAD_GRAYSCALE | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    try:  # unlike imread, this gives nothing rather than the part of an image that is cut off
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except (cv2.error, MemoryError):
        return None
    return None if image is None else np.asarray(image, np.uint8)


def _ends(content: bytes) -> bool:
    """Whether the chunks of a PNG lie in it: OpenCV takes memory for what one says it is."""
    at, kind = len(PNG), b""
    while kind != b"IEND" and at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        at += 12 + length
    return kind == b"IEND" and at <= len(content)


def _pixels(content: bytes) -> int:
    """How many a file says it has; 0 for formats that are not known here."""
    for begin, size in _SIZES.items():
        if content.startswith(begin):
            try:
                width, height = size(content)
            except (struct.error, TypeError):  # too short: a decoder refuses it
                return 0
            return abs(width * height)
    return 0


def _of_jpeg(content: bytes) -> tuple[int, ...]:
    """From the first header of a frame."""
    at = 2
    while True:
        marker, length = struct.unpack_from(">HH", content, at)
        if 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC):
            return struct.unpack_from(">HH", content, at + 5)
        if marker == 0xFFFF:  # filled up
            at += 1
        else:
            at += 2 + max(length, 2)


def _of_tiff(content: bytes) -> tuple[int, ...]:
    """From the tags of the first page."""
    order = "<" if content[:2] == b"II" else ">"
    start = struct.unpack_from(f"{order}I", content, 4)[0]
    sides = [1, 1]
    for i in range(struct.unpack_from(f"{order}H", content, start)[0]):
        tag, kind = struct.unpack_from(f"{order}HH", content, start + 2 + 12 * i)
        if tag in (256, 257):
            form = order + ("H" if kind == 3 else "I")
            sides[tag - 256] = struct.unpack_from(form, content, start + 10 + 12 * i)[0]
    return tuple(sides)


def _of_pnm(content: bytes) -> tuple[int, ...]:
    found = re.match(rb"P\d(?:\s|#[^\n]*\n)+(\d{1,10})(?:\s|#[^\n]*\n)+(\d{1,10})", content)
    return tuple(map(int, found.groups())) if found else (0, 0)


def _at(form: str, place: int) -> Callable[[bytes], tuple[int, ...]]:
    return lambda content: struct.unpack_from(form, content, place)


_SIZES: dict[bytes, Callable[[bytes], tuple[int, ...]]] = {
    PNG: _at(">II", 16),
    b"\xff\xd8": _of_jpeg,
    b"BM": _at("<ii", 18),
    b"II*\0": _of_tiff,
    b"MM\0*": _of_tiff,
    **{b"P%d" % kind: _of_pnm for kind in range(1, 7)},
}
