"""Networks as files: one safetensors file, the spec in its header, nothing ever executed."""

from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from hpatches_eval.files import replacing

from .errors import ArtifactError, SpecError
from .nets import Net, build
from .spec import Spec

KEY = "descompress"
FLOATS, COUNTERS = ("F32", "F16"), ("I64",)  # types in the file, by safetensors' names


def save(
    net: nn.Module,
    path: str | Path,
    *,
    dtype: Literal["float32", "float16"] = "float32",
    force: bool = False,
) -> None:
    """Write `net` and its spec: the file appears whole or not at all; same network, same bytes.

    Args:
        dtype: How floats are stored. They are float32 again when loaded.
        force: Replace a file that exists.

    Raises:
        SpecError: `net` has no spec, or holds NaN or infinity (also after rounding to `dtype`).
        OutputError: The file exists or cannot be written.
    """
    spec = getattr(net, "spec", None)
    if not isinstance(net, Net) or not isinstance(spec, Spec):
        raise SpecError(
            f"{type(net).__name__} has no spec: save networks made by build, load, convert or "
            f"import_checkpoint"
        )
    tensors = {name: _stored(name, t, dtype) for name, t in net.state_dict().items()}
    content = to_bytes(tensors, metadata={KEY: spec.to_json()})
    with replacing(path, force=force) as new:
        new.write_bytes(content)


def load(path: str | Path) -> Net:
    """Read a network written by `save`: float32, on the CPU, in eval mode, ready to use.

    Raises:
        ArtifactError: Not such a file, or damaged; the text names the trouble.
    """
    try:
        with safe_open(path, framework="pt") as file:
            net = _net(file.metadata() or {})
            tensors = _tensors(file, net.state_dict())
    except OSError as error:
        reason = "it is a folder" if Path(path).is_dir() else error.strerror or error
        raise ArtifactError(f"{path}: cannot be read ({reason})") from error
    except SafetensorError as error:
        raise ArtifactError(f"{path}: not a safetensors file ({error})") from error
    except (SpecError, ArtifactError, RecursionError) as error:
        raise ArtifactError(f"{path}: {str(error)[:400]}") from error
    net.load_state_dict(tensors, assign=True)
    return net.requires_grad_().eval()


def _stored(name: str, tensor: Tensor, dtype: str) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.detach().cpu().contiguous()
    stored = tensor.detach().to("cpu", getattr(torch, dtype)).contiguous()
    if not torch.isfinite(stored).all():
        raise SpecError(f"{name} holds NaN or infinity as {dtype}: this network is broken")
    return stored


def _net(header: dict[str, str]) -> Net:
    """The network of the header's spec, on the meta device: it takes no memory."""
    if KEY not in header:
        raise ArtifactError("tensors without a spec; write them with descompress.save")
    with torch.device("meta"):
        return build(Spec.from_json(header[KEY]))


def _tensors(file: safe_open, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the file, all shapes and types being checked before one is read."""
    names = set(file.keys())
    if missing := sorted(expected.keys() - names):
        raise ArtifactError(f"the tensor {missing[0]} is missing")
    if extra := sorted(names - expected.keys()):
        raise ArtifactError(f"the tensor {extra[0][:60]!r} is no part of this network")
    for name, tensor in expected.items():
        _check(name, file.get_slice(name), tensor)
    return {name: _loaded(name, file.get_tensor(name)) for name in expected}


def _check(name: str, stored: object, expected: Tensor) -> None:
    shape, dtype = tuple(stored.get_shape()), stored.get_dtype()  # pyright: ignore
    if shape != tuple(expected.shape):
        raise ArtifactError(f"{name} has shape {shape}, not {tuple(expected.shape)}")
    allowed = FLOATS if expected.is_floating_point() else COUNTERS
    if dtype not in allowed:
        raise ArtifactError(f"{name} has type {dtype}, not {' or '.join(allowed)}")


def _loaded(name: str, tensor: Tensor) -> Tensor:
    """In fresh storage: a tensor inside the file's bytes lies off a kernel's boundary."""
    if not tensor.is_floating_point():
        return tensor.clone()
    if not torch.isfinite(tensor).all():
        raise ArtifactError(f"{name} holds NaN or infinity")
    return tensor.to(torch.float32, copy=True)
