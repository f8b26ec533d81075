"""Small files that ask for very much, in the formats' own words."""

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import torch


def png(width: int, height: int, *, depth: int = 8, rows: bytes = b"") -> bytes:
    """A grey PNG that says it is so large, with the pixels of a few rows."""
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def chunk_added(content: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk behind its head."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content[:33] + chunk + content[33:]


def jpeg(width: int, height: int) -> bytes:
    """The head of a JPEG."""
    frame = struct.pack(">HHBHHBBBB", 0xFFC2, 11, 8, height, width, 1, 1, 0x11, 0)
    return b"\xff\xd8" + struct.pack(">HH", 0xFFE0, 4) + b"xx" + frame + b"\xff\xd9" * 8


def tiff(width: int, height: int) -> bytes:
    """The tags of a TIFF of one strip."""
    tags = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (279, 1))
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + rows + bytes(4)


def bmp(width: int, height: int) -> bytes:
    """The head of a BMP."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 0, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078, 0, 0, 1078) + head + bytes(1024)


def npy(header: str) -> bytes:
    """An .npy file of 64 bytes with this header."""
    said = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(said).to_bytes(2, "little") + said + bytes(64)


def npz(path: Path, **arrays: bytes) -> None:
    """An .npz file of these .npy files."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in arrays.items():
            file.writestr(f"{name}.npy", content)


def unallocated(path: Path, name: str, shape: tuple[int, ...]) -> None:
    """A dataset of which nothing is stored, in place of one in an HDF5 file, or new."""
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        file.create_dataset(name, shape, "f4", chunks=tuple(min(side, 64) for side in shape))


class Called:
    """Has an unpickler call a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def checkpoint(path: Path, content: Any, *, squeezed: bool = False) -> None:
    """A checkpoint, its archive compressed or not."""
    torch.save(content, path)
    if squeezed:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)


def expanded(shape: tuple[int, ...]) -> torch.Tensor:
    """A tensor all of whose elements are one number."""
    return torch.zeros(1).expand(shape)


def respelt(path: Path, spec: str) -> None:
    """Put another spec into an artifact."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["descompress"] = spec
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
