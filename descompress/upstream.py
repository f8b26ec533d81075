"""Published checkpoints read as networks of this package."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checkpointfiles import read_checkpoint
from .errors import CheckpointError, FileError, SpecError
from .nets import Net, build
from .spec import Spec

State = dict[str, Tensor]

SUPERPOINT_NOTICE = (
    "Magic Leap's licence allows SuperPoint's weights for academic or non-profit research only and "
    "forbids redistributing them or anything derived from them: keep this network, and every "
    "network converted or distilled from it, to yourself."
)


@dataclass(frozen=True)
class Kind:
    """A published network.

    Args:
        net, args: What it is here; the numbers of `numbers` are read from the tensors' shapes.
        first: Name of the first weight in the file.
        rename: The name of a tensor here, by its name in the file.
        notice: What its users must know.
    """

    net: str
    args: Mapping[str, Any]
    numbers: Callable[[State], dict[str, Any]]
    first: str
    rename: Callable[[str], str] = str
    notice: str = ""


def import_checkpoint(kind: str, path: str | Path) -> Net:
    """The network of a published checkpoint, in eval mode.

    Nothing in the file is executed. Keys, shapes and leftovers are checked.

    Args:
        kind: A name of `KINDS`.
        path: The file as its authors, or kornia, publish it: a state dict, by itself or under the
            key "state_dict".

    Raises:
        SpecError: There is no such kind.
        CheckpointError: The file is not one of these.
    """
    if kind not in KINDS:
        raise SpecError(f"unknown kind {kind!r}; there are {', '.join(KINDS)}")
    published = KINDS[kind]
    state = _state(path)
    if published.first not in state:
        raise CheckpointError(f"{path}: not {kind}: it lacks {published.first}{_looks_like(state)}")
    named = {published.rename(name): tensor for name, tensor in state.items()}
    try:
        with torch.device("meta"):
            net = build(Spec(published.net, {**published.args, **published.numbers(named)}))
        _fill(net, named)
    except (SpecError, CheckpointError, KeyError, TypeError) as error:
        trouble = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise CheckpointError(f"{path}: not {kind}: {trouble}") from error
    return net.eval()


def _state(path: str | Path) -> State:
    """The tensors of the file by name, whatever it wraps them in."""
    try:
        content = read_checkpoint(Path(path))
    except FileError as error:
        raise CheckpointError(str(error)) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()
    ):
        raise CheckpointError(f"{path}: holds no state dict")
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def _looks_like(state: State) -> str:
    kinds = [kind for kind, published in KINDS.items() if published.first in state]
    return f"; it may be {' or '.join(kinds)}" if kinds else ""


def _fill(net: Net, state: State) -> None:
    """Give `net`, which is on the meta device, the tensors of a checked state dict."""
    expected = net.state_dict()
    checked = {name: _fitting(name, tensor, state) for name, tensor in expected.items()}
    if extra := sorted(state.keys() - expected.keys()):
        raise CheckpointError(f"{extra[0]} is left over")
    net.load_state_dict(checked, assign=True)
    net.requires_grad_()


def _fitting(name: str, expected: Tensor, state: State) -> Tensor:
    if name not in state and name.endswith("num_batches_tracked"):  # older than that counter
        return torch.zeros((), dtype=torch.int64)
    tensor = state[name]
    if tensor.numel() != expected.numel() or tensor.ndim > expected.ndim:
        raise CheckpointError(
            f"{name} has shape {tuple(tensor.shape)}, not {tuple(expected.shape)}"
        )
    if tensor.is_floating_point() != expected.is_floating_point() or tensor.is_sparse:
        raise CheckpointError(f"{name} is of type {tensor.dtype}")
    if not torch.isfinite(tensor).all():
        raise CheckpointError(f"{name} holds NaN or infinity")
    return tensor.reshape(expected.shape).to(expected.dtype, copy=True)


def _widths(*names: str) -> Callable[[State], tuple[int, ...]]:
    return lambda state: tuple(len(state[f"{name}.weight"]) for name in names)


def _l2net_numbers(state: State) -> dict[str, Any]:
    *widths, dim = _widths(*(f"features.{i}" for i in (0, 3, 6, 9, 12, 15, 19)))(state)
    return {"widths": tuple(widths), "dim": dim}


def _tfeat_numbers(state: State) -> dict[str, Any]:
    *widths, dim = _widths("features.1", "features.4", "descr.0")(state)
    return {"widths": tuple(widths), "dim": dim}


def _desdis_numbers(state: State) -> dict[str, Any]:
    return {"dim": len(state["layer1.1.weight"])}


def _superpoint_numbers(state: State) -> dict[str, Any]:
    names = ("1a", "1b", "2a", "2b", "3a", "3b", "4a", "4b", "Pa", "Da", "Db")
    *widths, dim = _widths(*(f"conv{name}" for name in names))(state)
    return {"widths": tuple(widths), "dim": dim}


def _behind_instance_norm(name: str) -> str:
    """SOSNet's layers count its InstanceNorm as number 0."""
    match = re.fullmatch(r"layers\.(\d{1,3})\.(\w+)", name)
    return f"features.{int(match[1]) - 1}.{match[2]}" if match else name


KINDS: dict[str, Kind] = {
    "hardnet": Kind("l2net", {"input_norm": "standard"}, _l2net_numbers, "features.0.weight"),
    "sosnet": Kind(
        "l2net",
        {"input_norm": "instance"},
        _l2net_numbers,
        "layers.1.weight",
        _behind_instance_norm,
    ),
    "tfeat": Kind("tfeat", {}, _tfeat_numbers, "descr.0.weight"),
    "desdis": Kind("desdis", {}, _desdis_numbers, "layer1.1.weight"),
    "superpoint": Kind(
        "superpoint", {}, _superpoint_numbers, "conv1a.weight", notice=SUPERPOINT_NOTICE
    ),
}
