"""Networks as folders of the Hugging Face Hub: `model.safetensors` and `config.json`.

Nothing is fetched or sent: `hf upload NAME FOLDER` and `hf download NAME` do that. The weights are
an ordinary file of this package, spec and all, and `config.json` says the same spec once more.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from torch import nn

from hpatches_eval.files import replacing

from ..artifacts import load as load_artifact
from ..artifacts import save as save_artifact
from ..errors import ArtifactError, SpecError
from ..nets import Net
from ..shelf import find
from ..spec import Spec

WEIGHTS, CONFIG = "model.safetensors", "config.json"
MODEL_TYPE = "descompress"
KEYS = {"model_type", "spec"}
LARGEST = 1_000_000  # bytes of a config


def save_pretrained(net: nn.Module, folder: str | Path, *, force: bool = False) -> None:
    """Write the folder of a network, which must not exist; it appears whole or not at all.

    Args:
        force: Replace the folder.

    Raises:
        SpecError: The network has no spec, or holds NaN or infinity.
        OutputError: The folder exists, or cannot be written.
    """
    with replacing(folder, force=force) as new:
        new.mkdir()
        save_artifact(net, new / WEIGHTS)
        _write_config(net, new)


def copy_pretrained(name_or_path: str | Path, folder: str | Path, *, force: bool = False) -> None:
    """Write the folder of a shipped network or a file, its bytes as they are.

    Raises:
        ArtifactError: There is none, or it is damaged.
        OutputError: The folder exists, or cannot be written.
    """
    path = find(name_or_path)
    net = load_artifact(path)
    with replacing(folder, force=force) as new:
        new.mkdir()
        shutil.copyfile(path, new / WEIGHTS)
        _write_config(net, new)


def load_pretrained(folder: str | Path) -> Net:
    """The network of such a folder: float32, on the CPU, in eval mode.

    Raises:
        ArtifactError: A file is missing or damaged, `config.json` is of another kind of model, or
            it says another network than `model.safetensors`.
    """
    folder = Path(folder)
    wanted = _read_config(folder / CONFIG)
    net = load_artifact(folder / WEIGHTS)
    if net.spec.to_json() != wanted.to_json():
        raise ArtifactError(f"{folder}: {CONFIG} and {WEIGHTS} are of different networks")
    return net


def _write_config(net: nn.Module, folder: Path) -> None:
    if not isinstance(net, Net):
        raise SpecError(f"{type(net).__name__} has no spec")
    content = {"model_type": MODEL_TYPE, "spec": json.loads(net.spec.to_json())}
    (folder / CONFIG).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")


def _read_config(path: Path) -> Spec:
    try:
        with path.open(encoding="utf-8") as file:
            content: Any = json.loads(file.read(LARGEST + 1)[:LARGEST])
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: not JSON ({error})") from None
    kind = content.get("model_type") if isinstance(content, dict) else None
    if kind != MODEL_TYPE:
        raise ArtifactError(f"{path}: model_type {str(kind)[:60]!r}, not {MODEL_TYPE!r}")
    if unknown := sorted(content.keys() - KEYS):
        raise ArtifactError(f"{path}: unknown key {unknown[0][:60]!r}")
    try:
        return Spec.from_json(json.dumps(content.get("spec")))
    except SpecError as error:
        raise ArtifactError(f"{path}: {error}") from error
