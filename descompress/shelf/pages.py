"""The index as pages to read: a card for each network, and the tables of the README."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from hpatches_eval.files import replacing

from ..errors import ArtifactError
from ..written import as_written
from . import INDEX, imagepages, of_images, patchpages
from .tomltext import to_toml

Marks: TypeAlias = tuple[str, str]  # lines of a page, before and behind a table

MARKS = BEGIN, END = "<!-- weights table -->\n", "<!-- /weights table -->"
IMAGE_MARKS = "<!-- image weights table -->\n", "<!-- /image weights table -->"
HEADER = "# Written by `descompress weights index`; what was measured is in per cent.\n"
IMAGE_HEADER = "# Of images keypoints and matches are numbers, localisation errors in pixels.\n"


damaged = as_written(INDEX, "weights index")


@damaged
def texts(index: Mapping[str, Any]) -> dict[str, str]:
    """The generated files of a folder of networks, by their paths in it."""
    cards = {f"cards/{name}.md": card(name, index) for name in index["networks"]}
    header = HEADER + (IMAGE_HEADER if "image_measurement" in index else "")
    return {**cards, INDEX: f"{header}\n{to_toml(index)}"}


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


@damaged
def rows(index: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines of all tables as plain values; those of images have other scores."""
    return patchpages.rows(index) + imagepages.rows(index)


def table(index: Mapping[str, Any]) -> str:
    """All tables, in Markdown."""
    return "\n".join(tables(index).values())


@damaged
def tables(index: Mapping[str, Any]) -> dict[Marks, str]:
    """The table of each kind of networks that there is, by the marks of its place in a page."""
    kinds = {of_images(entry) for entry in index["networks"].values()}
    return {
        **({MARKS: patchpages.table(index)} if False in kinds else {}),
        **({IMAGE_MARKS: imagepages.table(index)} if True in kinds else {}),
    }


def insert(parts: Mapping[Marks, str], path: Path) -> None:
    """Put tables into the page at `path`, all of them or none.

    Raises:
        ArtifactError: There is no such page, or no place in it.
        OutputError: See `files.replacing`.
    """
    try:
        page = path.read_text(encoding="utf-8")
        for marks, part in parts.items():
            page = inserted(page, part, marks)
    except (OSError, UnicodeError, ArtifactError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise ArtifactError(f"{path}: {said}") from error
    with replacing(path, force=True) as new:
        new.write_text(page, encoding="utf-8")


def inserted(page: str, part: str, marks: Marks = MARKS) -> str:
    """`page` with `part` between the two marks of a table.

    Raises:
        ArtifactError: The marks are not there, once each and in order.
    """
    begin, end = marks
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed or begin in rest or end in before + after:
        raise ArtifactError(
            f"no place for the table: it needs {begin.strip()} and {end}, once each"
        )
    return f"{before}{begin}{part}{end}{after}"


def card(name: str, index: Mapping[str, Any]) -> str:
    """The model card of a network, in Markdown."""
    entry = index["networks"][name]
    parts = (
        f"# {entry['title']}",
        entry["about"],
        "\n".join(["```python", *_use(name, entry), "```"]),
        "\n".join(["## What it is", "", *_facts(name, entry)]),
        "\n".join(["## How it was made", "", *_origin(entry)]),
        "\n".join(["## What it reaches", "", *_results(entry, index)]),
        *([f"## Notes\n\n{entry['notes'].strip()}"] if entry.get("notes") else []),
        "Written by `descompress weights index`.",
    )
    return "\n\n".join(parts) + "\n"


def _use(name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    yield f'net = descompress.load("{name}")'
    if of_images(entry):
        yield "find = descompress.finder(net)  # keypoints and descriptors of a grey image"


def _facts(name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    spec = json.loads(entry["spec"])
    yield f"* file: `{name}.safetensors`, {entry['bytes']:,} bytes, {entry['dtype']}"
    yield f"* sha256: `{entry['sha256']}`"
    work = f"of {imagepages.pixels(entry)}" if of_images(entry) else "a patch"
    yield f"* parameters: {entry['params']:,}; multiply-accumulates {work}: {entry['macs']:,}"
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


def _results(entry: Mapping[str, Any], index: Mapping[str, Any]) -> Iterator[str]:
    kind = imagepages if of_images(entry) else patchpages
    return kind.results(entry, index)
