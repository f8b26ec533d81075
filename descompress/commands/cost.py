"""`descompress cost`: parameters, multiply-accumulates, bytes."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..costs import Cost


@click.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--size", metavar="HxW", help="Of the image, for image networks [480x640].")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects, layers included.")
def cost(files: tuple[Path, ...], size: str | None, *, as_json: bool) -> None:
    """Count parameters, multiply-accumulates (MACs) and bytes of files or shipped networks."""
    from ..costs import cost
    from ..shelf import load
    from .tables import table

    pixels = size_of(size)
    costs = {file: cost(load(file), pixels) for file in files}
    if as_json:
        click.echo(json.dumps([_entry(file, costs[file]) for file in files], indent=1))
        return
    rows = [("file", "params", "MACs", "bytes", "input")]
    for file, counted in costs.items():
        params, macs, length = f"{counted.params:,}", f"{counted.macs:,}", f"{_bytes(file):,}"
        rows.append((str(file), params, macs, length, "x".join(map(str, counted.shape))))
    click.echo(table(rows))


def size_of(text: str | None) -> tuple[int, int] | None:
    """Height and width of what --size says.

    Raises:
        BadParameter: It says something else.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if not match:
        raise click.BadParameter(f"{text!r} is not HEIGHTxWIDTH", param_hint="--size")
    return int(match[1]), int(match[2])


def _bytes(file: Path) -> int:
    from ..shelf import find

    return find(file).stat().st_size


def _entry(file: Path, counted: "Cost") -> dict[str, Any]:
    """As JSON; `bytes` are those of the file."""
    return {
        "file": str(file),
        "params": counted.params,
        "macs": counted.macs,
        "bytes": _bytes(file),
        "input": counted.shape,
        "layers": [asdict(layer) for layer in counted.layers],
    }
