"""ONNX files written by hand: protocol buffers of a few fields, without the onnx package.

Field numbers are those of onnx.proto3.
"""

from pathlib import Path

FLOAT, AXIS_IS_INT = 1, 2


def number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def piece(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def write_model(path: Path, shape: tuple[int | str, ...], *, outputs: int = 2) -> Path:
    """Score: the first channel of the input. Descriptor: the input beside its negative."""
    half = node("Neg", ["x"], "negative")
    both = node("Concat", ["x", "negative"], "descriptor", axis=1)
    total = node("ReduceMax", ["x", "axes"], "score", keepdims=1)
    axes = piece(8, "axes") + number(1, 1) + number(2, 7) + piece(9, (1).to_bytes(8, "little"))
    graph = piece(1, total) + piece(1, half) + piece(1, both) + piece(2, "g") + piece(5, axes)
    graph += piece(11, value("x", shape))
    names = ("score", "descriptor")[:outputs]
    graph += b"".join(piece(12, value(n, ("a", "b", "c", "d"))) for n in names)
    model = number(1, 8) + piece(7, graph) + piece(8, piece(1, "") + number(2, 18))
    path.write_bytes(model)
    return path


def node(kind: str, inputs: list[str], output: str, **integers: int) -> bytes:
    out = b"".join(piece(1, name) for name in inputs) + piece(2, output) + piece(4, kind)
    for name, setting in integers.items():
        out += piece(5, piece(1, name) + number(3, setting) + number(20, AXIS_IS_INT))
    return out


def value(name: str, shape: tuple[int | str, ...]) -> bytes:
    sides = b"".join(
        piece(1, number(1, side) if isinstance(side, int) else piece(2, side)) for side in shape
    )
    return piece(1, name) + piece(2, piece(1, number(1, FLOAT) + piece(2, sides)))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
