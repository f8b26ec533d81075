"""The index of a folder of networks, from the files themselves, their recipes and one evaluation.

NAME.safetensors        a network
recipes/NAME.toml       `about`, and under [card] what the file cannot say; see `CARD`
measured.json           what `descompress eval ... --json` wrote, of all networks and their peers
index.toml, cards/      generated, by `descompress weights index`
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import ArtifactError
from . import SUFFIX, read_toml, sha256

MEASURED = "measured.json"
FORMATS = (1,)  # of measured.json that are read
CARD = ("title", "licence", "trained_on", "environment", "command")
OPTIONAL = ("notes",)
TASKS = ("verification", "matching", "retrieval_mean_of_pools", "retrieval_full_pool")
LEVELS = {"e": "easy", "h": "hard", "t": "tough"}
DTYPES = {"F32": "float32", "F16": "float16"}


def gather(folder: Path) -> dict[str, Any]:
    """The content of the index: `measurement`, `networks` by falling size, `peers`. Per cent.

    Raises:
        ArtifactError: A file lacks its recipe or its measurement, or one of these is damaged.
    """
    files = sorted(folder.glob(f"*{SUFFIX}"))
    if not files:
        raise ArtifactError(f"{folder}: holds no networks, *{SUFFIX}")
    run = _run(folder / MEASURED)
    try:
        entries = {entry["name"]: entry for entry in run["entries"]}
        _check(entries, run, files, folder)
        networks = [(f.stem, _network(f, entries.pop(f.stem, None), folder)) for f in files]
        peers = {name: _peer(entry) for name, entry in entries.items()}
        measurement = _measurement(run)
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{folder / MEASURED}: not as `descompress eval` writes it") from error
    networks.sort(key=lambda item: -item[1]["params"])
    return {"measurement": measurement, "networks": dict(networks), "peers": peers}


def _run(path: Path) -> dict[str, Any]:
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); {_advice()}") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: not JSON ({error}); {_advice()}") from None
    if not isinstance(run, dict) or run.get("format") not in FORMATS or not run.get("entries"):
        raise ArtifactError(f"{path}: not a record of this version; {_advice()}")
    return run


def _advice() -> str:
    return f"`descompress eval NET... --json {MEASURED}` writes it, of all networks in one run"


def _check(
    entries: Mapping[str, Any], run: Mapping[str, Any], files: list[Path], folder: Path
) -> None:
    """Nothing is measured twice, and nothing of ours is taken for a peer."""
    names = [entry["name"] for entry in run["entries"]]
    if len(entries) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ArtifactError(f"{folder / MEASURED}: {twice} is in it twice")
    ours = {path.stem for path in (folder / "recipes").glob("*.toml")}
    if gone := sorted((ours & entries.keys()) - {file.stem for file in files}):
        raise ArtifactError(f"{folder / MEASURED}: measures {gone[0]}, which has no file here")


def _network(file: Path, entry: Mapping[str, Any] | None, folder: Path) -> dict[str, Any]:
    from ..artifacts import load
    from ..costs import cost

    recipe = _recipe(folder / "recipes" / f"{file.stem}.toml")
    digest = sha256(file)
    if entry is None:
        raise ArtifactError(f"{file}: not in {MEASURED}; {_advice()}")
    if entry["sha256"] != digest:
        raise ArtifactError(f"{file}: not the file that was measured; {_advice()}")
    net = load(file)
    spent = cost(net)
    return {
        **recipe,
        "sha256": digest,
        "bytes": file.stat().st_size,
        "dtype": _dtype(file),
        "net": net.spec.net,
        "spec": net.spec.to_json(),
        "params": spent.params,
        "macs": spent.macs,
        "measured": _scores(entry),
    }


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


def _peer(entry: Mapping[str, Any]) -> dict[str, Any]:
    counts = {key: entry[key] for key in ("bytes", "params", "macs") if entry[key] is not None}
    return {**counts, "measured": _scores(entry)}


def _scores(entry: Mapping[str, Any]) -> dict[str, Any]:
    fpr95 = {name: _cent(rate) for name, rate in entry["fpr95"].items()}
    return {**dict(_tasks(entry["hpatches"])), "fpr95": fpr95}


def _tasks(result: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for task in TASKS:
        means, interval = result["summary"][task], result["intervals"][task]["mean"]
        levels = {name: _cent(means[level]) for level, name in LEVELS.items()}
        yield task, {"mean": _cent(means["mean"]), "interval": [*map(_cent, interval)], **levels}


def _cent(share: float) -> float:
    return round(100 * share, 2)


def _measurement(run: Mapping[str, Any]) -> dict[str, Any]:
    """What all entries of a run share."""
    result, patches = run["entries"][0]["hpatches"], run["patches"]
    extraction = {"extraction": patches["extraction"]} if patches["extraction"] else {}
    return {
        "command": run["command"],
        **extraction,
        "sequences": patches["sequences"],
        "counts": result["counts"],
        "phototour": run["phototour"],
        "confidence": result["intervals"]["confidence"],
        "versions": run["versions"],
    }
