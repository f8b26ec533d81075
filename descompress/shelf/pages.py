"""The index as pages to read: a card for each network, and the table of the README."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpatches_eval.files import replacing

from ..errors import ArtifactError
from . import INDEX
from .gathering import LEVELS
from .tomltext import to_toml

FIRST = "hardnet"  # the network that the others are compared with
BEGIN, END = "<!-- weights table -->\n", "<!-- /weights table -->"
HEADER = "# Written by `descompress weights index`; what was measured is in per cent.\n\n"
TASKS = {
    "verification": "verification",
    "matching": "matching",
    "retrieval_mean_of_pools": "retrieval, mean of pools",
    "retrieval_full_pool": "retrieval, full pool",
}
SHOWN = {  # columns of the table
    "verification": "verification",
    "matching": "matching",
    "retrieval": "retrieval_mean_of_pools",
}


def texts(index: Mapping[str, Any]) -> dict[str, str]:
    """The generated files of a folder of networks, by their paths in it."""
    cards = {f"cards/{name}.md": card(name, index) for name in index["networks"]}
    return {**cards, INDEX: HEADER + to_toml(index)}


def write(index: Mapping[str, Any], folder: Path) -> None:
    """Write these files: the cards in the place of all that were there, the index last.

    Raises:
        OutputError: See `files.replacing`.
    """
    found = texts(index)
    with replacing(folder / "cards", force=True) as cards:
        cards.mkdir()
        for name in index["networks"]:
            (cards / f"{name}.md").write_text(found[f"cards/{name}.md"], encoding="utf-8")
    with replacing(folder / INDEX, force=True) as new:
        new.write_text(found[INDEX], encoding="utf-8")


def rows(index: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines of the table as plain values: networks from large to small, then peers."""
    networks = index["networks"]
    first = networks.get(FIRST) or next(iter(networks.values()), {})
    lines = [_row(name, entry, first, peer=False) for name, entry in networks.items()]
    return lines + [_row(name, entry, first, peer=True) for name, entry in index["peers"].items()]


def _row(
    name: str, entry: Mapping[str, Any], first: Mapping[str, Any], *, peer: bool
) -> dict[str, Any]:
    params, measured = entry.get("params"), entry["measured"]
    return {
        "network": name,
        "peer": peer,
        "params": params,
        "fewer": first["params"] / params if params and first else None,
        "macs": entry.get("macs"),
        "bytes": entry.get("bytes"),
        **{title: measured[task]["mean"] for title, task in SHOWN.items()},
        "fpr95": measured["fpr95"],
    }


def table(index: Mapping[str, Any]) -> str:
    """The same for the README."""
    found = rows(index)
    tours = list(dict.fromkeys(tour for row in found for tour in row["fpr95"]))
    titles = ["network", "parameters", "MMACs", "KB", *SHOWN, *(f"FPR95 {t}" for t in tours)]
    lines = [titles, ["---", *("---:" for _ in titles[1:])]]
    lines += [_cells(row, tours) for row in found]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{_caption(index)}\n"


def _cells(row: Mapping[str, Any], tours: list[str]) -> list[str]:
    params, macs, size = row["params"], row["macs"], row["bytes"]
    fewer = f" ({row['fewer']:.1f}x)" if params and row["fewer"] else ""
    return [
        f"{row['network']} (peer)" if row["peer"] else f"`{row['network']}`",
        f"{params:,}{fewer}" if params else "",
        f"{macs / 1e6:.2f}" if macs else "",
        f"{size / 1e3:,.0f}" if size else "",
        *(f"{row[title]:.2f}" for title in SHOWN),
        *(f"{row['fpr95'][tour]:.2f}" if tour in row["fpr95"] else "" for tour in tours),
    ]


def _caption(index: Mapping[str, Any]) -> str:
    return (
        f"One run on {_data(index['measurement'])}. In per cent: mAP, the mean of Easy, Hard and "
        "Tough (retrieval: of the seven pools as well), and the false positive rate at 95 % recall "
        "(FPR95). In brackets: how many times fewer parameters than the first. KB: of the file, "
        "1,000 bytes each. Peers were evaluated in the same run."
    )


def _data(measurement: Mapping[str, Any]) -> str:
    counts, extraction = measurement["counts"], measurement.get("extraction")
    how = ""
    if extraction:
        settings = ", ".join(f"{key} {value}" for key, value in extraction.items())
        how = f", cut by `hpatches-eval extract` ({settings})"
    tours = "".join(
        f", and {tour['pairs']:,} pairs of {name}"
        for name, tour in measurement["phototour"].items()
    )
    return f"{counts['patches']:,} points of {counts['sequences']} sequences{how}{tours}"


def insert(part: str, path: Path) -> None:
    """Put the table `part` into the page at `path`.

    Raises:
        ArtifactError: There is no such page, or no place in it.
        OutputError: See `files.replacing`.
    """
    try:
        page = inserted(path.read_text(encoding="utf-8"), part)
    except (OSError, UnicodeError, ArtifactError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise ArtifactError(f"{path}: {said}") from error
    with replacing(path, force=True) as new:
        new.write_text(page, encoding="utf-8")


def inserted(page: str, part: str) -> str:
    """`page` with `part` between the two marks of the table.

    Raises:
        ArtifactError: The marks are not there, once each and in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise ArtifactError(
            f"no place for the table: it needs {BEGIN.strip()} and {END}, once each"
        )
    return f"{before}{BEGIN}{part}{END}{after}"


def card(name: str, index: Mapping[str, Any]) -> str:
    """The model card of a network, in Markdown."""
    entry = index["networks"][name]
    parts = (
        f"# {entry['title']}",
        entry["about"],
        f'```python\nnet = descompress.load("{name}")\n```',
        "\n".join(["## What it is", "", *_facts(name, entry)]),
        "\n".join(["## How it was made", "", *_origin(entry)]),
        "\n".join(["## What it reaches", "", *_results(entry, index["measurement"])]),
        *([f"## Notes\n\n{entry['notes'].strip()}"] if entry.get("notes") else []),
        "Written by `descompress weights index`.",
    )
    return "\n\n".join(parts) + "\n"


def _facts(name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    spec = json.loads(entry["spec"])
    yield f"* file: `{name}.safetensors`, {entry['bytes']:,} bytes, {entry['dtype']}"
    yield f"* sha256: `{entry['sha256']}`"
    yield f"* parameters: {entry['params']:,}; multiply-accumulates a patch: {entry['macs']:,}"
    args = ", ".join(f"{key}={value}" for key, value in sorted(spec["args"].items()))
    yield f"* network: `{spec['net']}({args})`"
    for layer, method in sorted(spec["layers"].items()):
        settings = dict(method)
        kind = settings.pop("method")
        said = ", ".join(f"{key}={value}" for key, value in sorted(settings.items()))
        yield f"* layer `{layer}`: {kind}({said})"


def _origin(entry: Mapping[str, Any]) -> Iterator[str]:
    yield f"* licence: {entry['licence']}"
    yield f"* trained on: {entry['trained_on']}"
    for key in ("start", "teacher"):
        if key in entry:
            yield f"* {key}: {entry[key]}"
    yield f"* environment: {entry['environment']}"
    yield f"* command: `{entry['command']}`"


def _results(entry: Mapping[str, Any], measurement: Mapping[str, Any]) -> Iterator[str]:
    confidence = f"{measurement['confidence']:.0%} interval"
    yield f"On {_data(measurement)}, by `{measurement['command']}`. In per cent."
    yield ""
    yield f"| mAP | mean | {confidence} | {' | '.join(LEVELS.values())} |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for task, title in TASKS.items():
        scores = entry["measured"][task]
        low, high = scores["interval"]
        levels = " | ".join(f"{scores[level]:.2f}" for level in LEVELS.values())
        yield f"| {title} | {scores['mean']:.2f} | {low:.2f} to {high:.2f} | {levels} |"
    rates = entry["measured"]["fpr95"].items()
    if rates:
        said = ", ".join(f"{rate:.2f} on {tour}" for tour, rate in rates)
        yield f"\nFalse positive rate at 95 % recall: {said}."
