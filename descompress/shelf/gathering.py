"""The index of a folder of networks, from the files themselves, their recipes and evaluations.

NAME.safetensors        a network
recipes/NAME.toml       `about`, and under [card] what the file cannot say; see `CARD`
measured.json           what `descompress eval ... --json` wrote of the patch networks, if there
                        are any, and their peers
measured.images.json    the same of the image networks
index.toml, cards/      generated, by `descompress weights index`
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import ArtifactError
from ..written import as_written
from . import SUFFIX, read_toml, sha256
from .records import IMAGES, PATCHES, Kind

if TYPE_CHECKING:
    from ..nets import Net

CARD = ("title", "licence", "trained_on", "environment", "command")
OPTIONAL = ("notes",)
DTYPES = {"F32": "float32", "F16": "float16"}

Table: TypeAlias = dict[str, Any]


def gather(folder: Path) -> Table:
    """The content of the index: `measurement`, `networks`, `peers`. Shares are in per cent.

    Patch networks come first, either kind by falling size. `measurement` and `peers` are of patch
    networks and empty without them; of image networks, if there are any, there are
    `image_measurement` and `image_peers` as well.

    Raises:
        ArtifactError: A file lacks its recipe or its measurement, or one of these is damaged.
    """
    from ..artifacts import load

    files = sorted(folder.glob(f"*{SUFFIX}"))
    if not files:
        raise ArtifactError(f"{folder}: holds no networks, *{SUFFIX}")
    nets = {file: load(file) for file in files}
    measurement, networks, peers = _measured(PATCHES, nets, folder)
    of_images, images, image_peers = _measured(IMAGES, nets, folder)
    return {
        "measurement": measurement,
        **({"image_measurement": of_images} if images else {}),
        "networks": networks | images,
        "peers": peers,
        **({"image_peers": image_peers} if images else {}),
    }


def _measured(kind: Kind, nets: Mapping[Path, "Net"], folder: Path) -> tuple[Table, Table, Table]:
    """Measurement, networks and peers of a kind; empty without networks of it."""
    own = {file: net for file, net in nets.items() if _kind(net) is kind}
    if not own and not (folder / kind.record).exists():
        return {}, {}, {}
    run = kind.read(folder)
    with as_written(folder / kind.record, "eval"):
        entries = kind.entries(run, folder)
        _check(entries, {file.stem for file in nets}, folder / kind.record)
        networks = [
            (file.stem, _network(file, net, entries.pop(file.stem, None), kind))
            for file, net in own.items()
        ]
        peers = {name: _peer(entry, folder, kind) for name, entry in entries.items()}
        measurement = kind.measurement(run)
    networks.sort(key=lambda item: -item[1]["params"])
    return (measurement, dict(networks), peers) if own else ({}, {}, {})


def _kind(net: "Net") -> Kind:
    from ..nets import PatchNet

    return PATCHES if isinstance(net, PatchNet) else IMAGES


def _check(entries: Mapping[str, Any], files: set[str], record: Path) -> None:
    """Nothing of ours is taken for a peer."""
    ours = {path.stem for path in (record.parent / "recipes").glob("*.toml")}
    if gone := sorted((ours & entries.keys()) - files):
        raise ArtifactError(f"{record}: measures {gone[0]}, which has no file here")


def _network(file: Path, net: "Net", entry: Mapping[str, Any] | None, kind: Kind) -> Table:
    from ..costs import cost

    recipe = _recipe(file.parent / "recipes" / f"{file.stem}.toml")
    if entry is None:
        raise ArtifactError(f"{file}: not in {kind.record}; {kind.advice}")
    digest, spent = _digest(file, entry, kind), cost(net)
    return {
        **recipe,
        "sha256": digest,
        "bytes": file.stat().st_size,
        "dtype": _dtype(file),
        "net": net.spec.net,
        "spec": net.spec.to_json(),
        "params": spent.params,
        "macs": spent.macs,
        **({"macs_at": [*spent.shape[1:]]} if kind is IMAGES else {}),
        "measured": kind.scores(entry),
    }


def _digest(file: Path, entry: Mapping[str, Any], kind: Kind) -> str:
    """Its checksum, which is the one that was measured."""
    digest = sha256(file)
    if entry["sha256"] != digest:
        raise ArtifactError(f"{file}: not the file that was measured; {kind.advice}")
    return digest


def _peer(entry: Mapping[str, Any], folder: Path, kind: Kind) -> Table:
    """Something that networks of a kind are compared with; also one of ours of the other kind."""
    file = folder / f"{entry['name']}{SUFFIX}"
    if file.exists():
        _digest(file, entry, kind)
    counts = {key: entry[key] for key in ("bytes", "params", "macs") if entry[key] is not None}
    return {**counts, "measured": kind.scores(entry)}


def _recipe(path: Path) -> dict[str, Any]:
    """What a recipe says beside how to train.

    Raises:
        ArtifactError: It is missing, or lacks something that is said of every network.
    """
    recipe = read_toml(path)
    card = recipe.get("card")
    if not isinstance(card, dict):
        raise ArtifactError(f"{path}: lacks the table [card]")
    if unknown := sorted(card.keys() - {*CARD, *OPTIONAL}):
        raise ArtifactError(
            f"{path}: [card] has an unknown key {unknown[0]!r}; there are {', '.join(CARD)} and "
            f"{', '.join(OPTIONAL)}"
        )
    said = {"title": card.get("title"), "about": recipe.get("about")}
    said |= {key: card.get(key) for key in CARD}
    for key, value in said.items():
        if not isinstance(value, str) or not value.strip():
            place = "" if key == "about" else "[card] "
            raise ArtifactError(f"{path}: {place}lacks {key!r}, a text")
    origin = {key: str(recipe[key]) for key in ("start", "teacher") if key in recipe}
    return said | origin | {key: str(card[key]) for key in OPTIONAL if key in card}


def _dtype(file: Path) -> str:
    """How the floats of a safetensors file are stored: its header is JSON behind its length."""
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    kinds = {tensor.get("dtype") for tensor in header.values()} & DTYPES.keys()
    return " and ".join(DTYPES[kind] for kind in sorted(kinds))
