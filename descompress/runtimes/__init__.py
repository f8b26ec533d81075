"""Exported networks at work: backends behind one interface, none of which needs PyTorch."""

from pathlib import Path

from ..errors import RequestError
from .base import Runtime, Session
from .facts import Facts
from .ort import OnnxRuntime, read_model
from .ov import OpenVino

SUFFIX = ".onnx"
# Backends of exported files, and the precisions they compute in.
BACKENDS = {"onnxruntime": ("fp32", "int8"), "openvino": ("fp32", "bf16", "int8")}


def open_file(
    path: str | Path, backend: str = "onnxruntime", *, threads: int = 1, bf16: bool = False
) -> Runtime:
    """A file that `descompress export` wrote, ready to run in the precision it was written in.

    Args:
        backend: One of `BACKENDS`.
        threads: That it computes on; 0 for as many as there are processors.
        bf16: Compute a file in full precision in bfloat16, which OpenVINO can.

    Raises:
        RequestError: Another backend, or it is not installed, or has no bfloat16.
        ArtifactError: The file is something else, or damaged.
    """
    model, where = read_model(Path(path)), str(path)
    return open_model(model, backend, threads=threads, bf16=bf16, where=where)


def open_model(
    model: bytes,
    backend: str = "onnxruntime",
    *,
    threads: int = 1,
    bf16: bool = False,
    where: str = "the model",
) -> Runtime:
    """As `open_file`, of the content of a file."""
    if backend not in BACKENDS:
        raise RequestError(f"backend {backend!r}: there are {', '.join(BACKENDS)}")
    if bf16 and "bf16" not in BACKENDS[backend]:
        raise RequestError(f"{backend} does not compute in bf16; openvino does")
    if backend == "openvino":
        return Runtime(OpenVino(model, threads, where, bf16=bf16))
    return Runtime(OnnxRuntime(model, threads, where))


__all__ = ["BACKENDS", "SUFFIX", "Facts", "Runtime", "Session", "open_file", "open_model"]
