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
@click.option("--plot", type=click.Path(path_type=Path), metavar="PNG", help="Draw the layers.")
@click.option("--force", is_flag=True, help="Replace PNG.")
def cost(
    files: tuple[Path, ...], size: str | None, plot: Path | None, *, as_json: bool, force: bool
) -> None:
    """Count parameters, multiply-accumulates (MACs) and bytes of files or shipped networks."""
    from ..costs import cost
    from ..shelf import load

    pixels = size_of(size)
    if plot:
        _check(plot, force=force)
    costs = {file: cost(load(file), pixels) for file in files}
    if plot:
        from ..charts import plot_layers

        plot_layers({file.name: counted for file, counted in costs.items()}, plot, force=force)
    entries = [_entry(file, counted) for file, counted in costs.items()]
    click.echo(json.dumps(entries, indent=1) if as_json else _table(costs))


def _check(plot: Path, *, force: bool) -> None:
    """Refuse what cannot be drawn before anything is counted."""
    from hpatches_eval.files import refuse_existing
    from hpatches_eval.imagereport import check_plots

    refuse_existing(plot, force=force)
    check_plots()


def _table(costs: "dict[Path, Cost]") -> str:
    from .tables import table

    rows = [("file", "params", "MACs", "bytes", "input")]
    for file, counted in costs.items():
        params, macs, length = f"{counted.params:,}", f"{counted.macs:,}", f"{_bytes(file):,}"
        rows.append((str(file), params, macs, length, "x".join(map(str, counted.shape))))
    return table(rows)


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
