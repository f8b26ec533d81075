"""The networks that come with this package, by name. Nothing is ever fetched.

They lie in one folder: inside the installed package, beside it in a clone, or where the
environment variable DESCOMPRESS_WEIGHTS says. Its `index.toml` names them; see `gathering`.
"""

import hashlib
import os
import tomllib
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArtifactError

if TYPE_CHECKING:
    from ..nets import Net

VARIABLE = "DESCOMPRESS_WEIGHTS"
INDEX, SUFFIX = "index.toml", ".safetensors"
PACKAGE = Path(__file__).resolve().parents[1]
NEEDED = {"about", "bytes", "macs", "measured", "params", "sha256"}  # of each network
PARTS, IMAGE_PARTS = ("measurement", "networks", "peers"), ("image_measurement", "image_peers")
MOST_NAMED = 30  # in a message


def folder() -> Path:
    """Where the shipped networks are; the folder need not exist."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    inside, beside = PACKAGE / "weights", PACKAGE.parent / "weights"
    return inside if inside.is_dir() else beside


def names() -> list[str]:
    """The shipped networks, in the order of the index.

    Raises:
        ArtifactError: The index is damaged.
    """
    return list(read_index()["networks"])


def read_index() -> dict[str, Any]:
    """What `gathering.gather` found of the shipped networks; without an index, of none.

    Raises:
        ArtifactError: The index is damaged.
    """
    path = folder() / INDEX
    if not path.is_file():
        return {"networks": {}, "peers": {}}
    index = read_toml(path)
    _require(PARTS, index, path)
    for name, entry in index["networks"].items():
        if missing := sorted(NEEDED - set(entry if isinstance(entry, dict) else ())):
            raise ArtifactError(f"{path}: {name} lacks {missing[0]}")
    if any(map(of_images, index["networks"].values())):
        _require(IMAGE_PARTS, index, path)
    return index


def _require(parts: Iterable[str], index: Mapping[str, Any], path: Path) -> None:
    for part in parts:
        if not isinstance(index.get(part), dict):
            raise ArtifactError(f"{path}: lacks {part}; write it with `descompress weights index`")


def of_images(entry: Mapping[str, Any]) -> bool:
    """Whether a network of the index reads images: its MACs are said of some size of them."""
    return "macs_at" in entry


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        ArtifactError: It cannot be read, or is not TOML.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        _check_numbers(content)
        return content
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: not TOML ({error})") from None


def _check_numbers(value: Any) -> None:
    """Refuse whole numbers beyond 64 bits, which TOML has not and nothing here can write out."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a number beyond 64 bits")
    inner = [*value.values()] if isinstance(value, dict) else value
    for each in inner if isinstance(inner, list) else []:
        _check_numbers(each)


def find(name_or_path: str | Path) -> Path:
    """The file of a network: of that path, or else the shipped one of that name.

    A shipped file is compared with its checksum in the index.

    Raises:
        ArtifactError: Neither is there, or the shipped file is missing or damaged.
    """
    path, name = Path(name_or_path), str(name_or_path)
    if path.is_file():
        return path
    index = read_index()["networks"]
    if name not in index and path.exists():
        return path  # a folder, say: its reader refuses it
    if name not in index:
        raise ArtifactError(f"{name}: no such file, nor a shipped network; {_offer(name, index)}")
    shipped = folder() / f"{name}{SUFFIX}"
    if not shipped.is_file():
        raise ArtifactError(f"{shipped}: missing, although {INDEX} names it")
    if sha256(shipped) != index[name].get("sha256"):
        raise ArtifactError(f"{shipped}: damaged, its checksum is not the one in {INDEX}")
    return shipped


def load(name_or_path: str | Path) -> "Net":
    """A network, ready to use: float32, on the CPU, in eval mode.

    Args:
        name_or_path: A file written by `save`, or the name of a shipped network, "hardnet".

    Raises:
        ArtifactError: There is none, or the file is damaged; see `artifacts.load`.
    """
    from .. import artifacts

    return artifacts.load(find(name_or_path))


def sha256(path: Path) -> str:
    """Checksum of a file.

    Raises:
        ArtifactError: It cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from error


def _offer(name: str, index: dict[str, Any]) -> str:
    """What there is instead, the closest name first."""
    if not index:
        return f"none is shipped here ({folder() / INDEX} is missing)"
    wanted = name.removesuffix(SUFFIX)
    matcher = SequenceMatcher(b=wanted)

    def likeness(other: str) -> float:
        matcher.set_seq1(other)
        return matcher.ratio()

    closest = sorted(index, key=likeness, reverse=True)
    more = f" and {len(closest) - MOST_NAMED} more" if len(closest) > MOST_NAMED else ""
    return f"there are {', '.join(closest[:MOST_NAMED])}{more}"
