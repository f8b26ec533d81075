"""Files that are nearly right: changes of bytes, of JSON, of HDF5 and of NumPy's headers.

Each is a function of a valid file and of a `Random`; the generator of a property test or of a long
run is one.
"""

import ast
import gzip
import io
import json
import struct
import tomllib
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import h5py
import numpy as np
from contract import Change, Reader

from descompress.shelf.tomltext import to_toml

NUMBERS = (0, 1, -1, 2, 3, 7, 255, 65_535, 65_536, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64)
ODD: tuple[Any, ...] = (
    *NUMBERS,
    *(-(2**63), 10**30, 10**400, 0.5, -0.5, 1e-320, 1e308, float("nan"), float("inf")),
    *(None, True, False, "", "x", "0.25x", "\n", "\x1b[31m", "../../x", "é" * 300, "x" * 20_000),
    *([], {}, [[]], [None], {"": {}}, [1] * 1_000, {"a": {"b": [1, {"c": None}]}}),
)
WORDS = (
    *(b"\0" * 8, b"\xff" * 8, b"\n", b",", b";", b"nan", b"inf", b"-1", b"1e999", b"9" * 5_000),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\x1b[2J", b"[" * 5_000, b"{" * 300, b'"', b"\0", b"%s", b"#"),
)


def of_bytes(content: bytes, random: Random) -> bytes:
    """A few bits, bytes, chunks or numbers changed; cut short, doubled, or from somewhere else."""
    for _ in range(random.choice((1, 1, 2, 4))):
        content = random.choice(BLIND)(content, random)
    return content


def _flipped(content: bytes, random: Random) -> bytes:
    changed = bytearray(content or b"\0")
    for _ in range(random.choice((1, 1, 3, 20))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _number(content: bytes, random: Random) -> bytes:
    """A little or big endian number in place of what was there."""
    form = random.choice(("<B", "<H", "<I", "<Q", ">H", ">I", ">Q"))
    size = struct.calcsize(form)
    value = random.choice(NUMBERS) % 256**size
    at = random.randrange(max(len(content) - size, 0) + 1)
    return content[:at] + struct.pack(form, value) + content[at + size :]


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _spliced(content: bytes, random: Random) -> bytes:
    """A part of the file put somewhere else in it."""
    a, b = sorted(random.randrange(len(content) + 1) for _ in range(2))
    at, over = random.randrange(len(content) + 1), random.choice((0, b - a))
    return content[:at] + content[a : min(b, a + 10_000)] + content[at + over :]


def _said(content: bytes, random: Random) -> bytes:
    at, gone = random.randrange(len(content) + 1), random.choice((0, 1, 8))
    return content[:at] + random.choice(WORDS) + content[at + gone :]


def _noise(content: bytes, random: Random) -> bytes:
    at, new = random.randrange(len(content) + 1), random.randbytes(random.choice((1, 4, 40)))
    return content[:at] + new + content[at + random.choice((0, len(new))) :]


BLIND: tuple[Change, ...] = (_flipped, _number, _cut, _spliced, _said, _noise)


def tree(value: Any, random: Random) -> Any:
    """Plain values with one of them, somewhere in it, replaced, doubled, renamed or left out."""
    inner = list(value.items()) if isinstance(value, dict) else None
    inner = list(enumerate(value)) if isinstance(value, list) else inner
    if not inner or random.random() < 0.1:
        return random.choice(ODD)
    key, old = random.choice(inner)
    kind = random.choice(("deeper", "deeper", "deeper", "gone", "more"))
    if isinstance(value, list):
        new = {"deeper": [tree(old, random)], "gone": [], "more": [old, old]}[kind]
        return [*value[:key], *new, *value[key + 1 :]]
    rest = {name: other for name, other in value.items() if name != key}
    if kind == "more":
        return {**value, random.choice(("x", "", "\x1b", "format", "name" * 300)): old}
    return rest if kind == "gone" else {**value, key: tree(old, random)}


def of_json(content: bytes, random: Random) -> bytes:
    """JSON with one value that does not fit, or nested deeply, or with a key twice."""
    if random.random() < 0.05:
        return random.choice((b"[" * 100_000, b'{"a":' * 100_000, b'{"format": 1, "format": 2}'))
    value = tree(json.loads(content), random)
    return json.dumps(tree(value, random) if random.random() < 0.3 else value).encode()


def of_toml(content: bytes, random: Random) -> bytes:
    """TOML with one value that does not fit, or with an enormous number."""
    if random.random() < 0.1:
        lines = content.split(b"\n")
        line = random.randrange(len(lines))
        key = lines[line].partition(b"=")[0]
        value = random.choice((b"0x" + b"f" * 9_000, b"[" * 3_000, b"1979-05-27", b"1e400"))
        return b"\n".join([*lines[:line], key + b"= " + value, *lines[line + 1 :]])
    try:
        return to_toml(tree(tomllib.loads(content.decode()), random)).encode()
    except (TypeError, AttributeError):  # TOML has no such value
        return content


def of_safetensors(content: bytes, random: Random) -> bytes:
    """Another header, or another spec in it, with its length right again."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if random.random() < 0.6:
        spec = of_json(header["__metadata__"]["descompress"].encode(), random)
        header["__metadata__"]["descompress"] = spec.decode()
    else:
        header = tree(header, random)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def of_png(content: bytes, random: Random) -> bytes:
    """Changed chunks whose checksums are right: sizes, depths, pixels."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    place = random.choice((0, 0, random.randrange(len(chunks))))
    kind, data = chunks[place]
    if kind == b"IDAT":
        data = zlib.compress(of_bytes(zlib.decompress(data), random))
    else:
        data = random.choice((_number, _flipped))(data, random)
    chunks[place] = kind, data
    return content[:8] + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )


def of_npy(content: bytes, random: Random) -> bytes:
    """Another header before the same numbers."""
    length = int.from_bytes(content[8:10], "little")
    header = ast.literal_eval(content[10 : 10 + length].decode())
    header[random.choice(tuple(header))] = random.choice(
        (
            *((10**9,) * 2, (2**62, 4), (-1, 3), (0, 0), (10**30,), ("a",), (True,), 7),
            *(
                "|O",
                "|V0",
                "<f8",
                "<c16",
                "<U9999999",
                [("a", "<f4")],
                "<M8[s]",
                "\x1b",
                None,
                True,
            ),
        )
    )
    text = random.choice((repr(header), repr(header), "[" * 9_000, repr(header)[:-9], "{\n 1:"))
    said = text.encode().ljust(118) + b"\n"
    return content[:8] + len(said).to_bytes(2, "little") + said + content[10 + length :]


def of_zip(inner: Change, *, squeezed: bool = True) -> Change:
    """A change of one of the files in an archive, whose checksums are right."""

    def changed(content: bytes, random: Random) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = {info.filename: archive.read(info) for info in archive.infolist()}
        name = random.choice(tuple(files))
        try:
            files[name] = random.choice((inner, of_bytes))(files[name], random)
        except (ValueError, SyntaxError, LookupError):  # not of that form
            files[name] = of_bytes(files[name], random)
        kind = zipfile.ZIP_DEFLATED if squeezed else zipfile.ZIP_STORED
        with zipfile.ZipFile(out := io.BytesIO(), "w", kind) as archive:
            for each, data in files.items():
                archive.writestr(each, data)
        return out.getvalue()

    return changed


def of_hdf5(content: bytes, random: Random) -> bytes:
    """One dataset or group of a file replaced by what does not fit."""
    out = io.BytesIO(content)
    with h5py.File(out, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = random.choice(names)
        put: Callable[[h5py.File, str], object] = random.choice(WRONG)
        del file[name]
        put(file, name)
    return out.getvalue()


def _made(**settings: Any) -> Callable[[h5py.File, str], object]:
    return lambda file, name: file.create_dataset(name, **settings)


def _linked(link: Any) -> Callable[[h5py.File, str], object]:
    return lambda file, name: file.__setitem__(name, link)


WRONG: tuple[Callable[[h5py.File, str], object], ...] = (
    lambda file, name: None,
    lambda file, name: file.create_group(name),
    _made(shape=(10**6, 10**6), dtype="f4"),
    _made(shape=(2**62,), dtype="f8", chunks=(64,)),
    _made(shape=(40_000, 40_000), dtype="f4", chunks=(1_000, 1_000), compression="gzip"),
    _made(shape=(4, 2), dtype="f4", external=[("/proc/version", 0, 100)]),
    *(_made(data=np.full((4, 2), value)) for value in (np.nan, np.inf, 1e300, -1)),
    *(_made(data=np.zeros(shape)) for shape in ((), (0,), (0, 0), (4,), (2, 4), (4, 2, 1), (1, 2))),
    *(_made(data=np.full((4, 2), value)) for value in (2**62, True, 3 + 4j, 2**63)),
    _made(data=np.array([b"x", b"y"])),
    _made(data="text"),
    _made(data=[["a", "b"]], dtype=h5py.string_dtype()),
    _made(data=np.zeros(4, [("a", "f4"), ("b", "i8")])),
    _made(data=h5py.Empty("f4")),
    _made(shape=(4, 2), dtype=h5py.vlen_dtype(np.int32)),
    _linked(h5py.SoftLink("/")),
    _linked(h5py.SoftLink("nowhere")),
    _linked(h5py.ExternalLink("other.h5", "/")),
    _linked(np.dtype("f4")),
)


def of_gzip(content: bytes, random: Random) -> bytes:
    """Changed content whose checksum is right, some of it far larger than it was."""
    inner = gzip.decompress(content)
    if random.random() < 0.1:
        return gzip.compress(inner[:512] + b"\0" * 2 * 10**7, 1)
    header = 512 * random.randrange(max(len(inner) // 512, 1))
    part = bytearray(of_bytes(inner[header : header + 512], random)[:512].ljust(512, b"\0"))
    if random.random() < 0.8:  # its sum as a tar has it
        part[148:156] = b" " * 8
        part[148:156] = b"%06o\0 " % sum(part)
    return gzip.compress(inner[:header] + part + inner[header + 512 :], 1)


def of_zip_tables(content: bytes, random: Random) -> bytes:
    """A number in the headers of the entries, or in the table at the end of an archive."""
    marks = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06")
    place = content.find(random.choice(marks))
    at = place + random.randrange(4, 46)
    size = random.choice((1, 2, 4))
    new = (random.choice(NUMBERS) % 256**size).to_bytes(size, "little")
    return content[:at] + new + content[at + size :]


def changed(content: bytes, reader: Reader, random: Random) -> bytes:
    """A valid file of a reader with something changed: blindly, or in keeping with its form."""
    if not reader.changes or random.random() < 0.4:
        return of_bytes(content, random)
    try:
        return random.choice(reader.changes)(content, random)
    except Exception:  # not of that form any more
        return of_bytes(content, random)
