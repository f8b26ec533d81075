"""PyTorch's checkpoints from anywhere: nothing in them is executed, nor larger than it is there.

`torch.load(weights_only=True)` runs no code that a file names, but a kilobyte can still ask it for
any amount of memory: by a `bytearray` of a billion, by an archive that is packed, or by a tensor
whose elements are one number again and again. Here the names and the archive are looked at before
it, and the tensors behind it.
"""

import pickletools
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch

from .errors import FileError

ZIP = b"PK\x03\x04"
LEGACY = 5  # pickles at the beginning of a file as PyTorch wrote them before 1.6
NAMED = {  # by the files that state dicts and trainings are
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(
        f"torch {kind}Storage"
        for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte")
    ),
    "torch BoolStorage",
}


def read_checkpoint(path: Path) -> Any:
    """What a checkpoint holds: plain values, and tensors on the CPU.

    Raises:
        FileError: It cannot be read, is something else, or asks for more than it holds.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        _check_names(content)
        held = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        _check_tensors(held)
    except Exception as error:  # a broken file makes the reader fail in any way
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise FileError(f"{path}: not a checkpoint of tensors alone ({said})") from error
    return held


def _check_names(content: bytes) -> None:
    pickles = _of_archive(content) if content.startswith(ZIP) else _of_legacy(content)
    for pickle in pickles:
        for operation, argument, _ in pickletools.genops(pickle):
            named = "GLOBAL" in operation.name or operation.name in ("INST", "EXT1", "EXT2", "EXT4")
            if named and argument not in NAMED:
                raise ValueError(f"it names {str(argument)[:80]!r}")


def _of_archive(content: bytes) -> Iterator[BinaryIO]:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is packed")
        if sum(entry.file_size for entry in entries) > len(content):
            raise ValueError("its parts overlap")
        for entry in entries:
            if entry.filename.endswith(".pkl"):
                yield BytesIO(archive.read(entry))


def _of_legacy(content: bytes) -> Iterator[BinaryIO]:
    """One stream again and again: each time it stands at the next pickle."""
    stream = BytesIO(content)
    for _ in range(LEGACY):
        yield stream


def _check_tensors(held: Any) -> None:
    """Refuse tensors that are larger than the storage they lie in, wherever they are."""
    left, seen = [held], set()
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, torch.Tensor):
            _check_tensor(each)
        elif isinstance(each, dict):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple):
            left += each


def _check_tensor(tensor: torch.Tensor) -> None:
    dense = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta
    if not dense or tensor.nbytes > tensor.untyped_storage().nbytes():
        raise ValueError(f"a tensor of shape {tuple(tensor.shape)} is not all there")
