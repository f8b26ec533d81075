"""`descompress weights`: the networks that come with this package."""

import json
from pathlib import Path
from typing import Any

import click

_PATH = click.Path(path_type=Path)


@click.group()
def weights() -> None:
    """Name the shipped networks, and write their index.

    They lie inside the package (in a clone: in its folder weights), or where the environment
    variable DESCOMPRESS_WEIGHTS says. A name stands wherever a network file does.
    """


@weights.command("list")
def list_() -> None:
    """Say which networks there are, what they are for and how large they are."""
    from .tables import table

    found = [
        (name, f"{entry['params']:,}", f"{entry['bytes']:,}", entry["about"])
        for name, entry in _index()["networks"].items()
    ]
    click.echo(table([("name", "params", "bytes", "about"), *found]))


@weights.command()
@click.argument("name")
def path(name: str) -> None:
    """Print where the file of NAME lies, once its checksum was found right."""
    from ..shelf import find

    click.echo(find(name))


@weights.command("table")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@click.option("--into", type=_PATH, metavar="FILE", help="Replace the tables in this page.")
def table_(into: Path | None, *, as_json: bool) -> None:
    """Print the table of all networks and their peers, in Markdown.

    Image networks have a table of their own, behind that of patch networks. With --into the tables
    go between these lines of FILE, which needs them for the tables that there are:

    \b
      "<!-- weights table -->" and "<!-- /weights table -->"
      "<!-- image weights table -->" and "<!-- /image weights table -->"
    """
    from ..shelf import pages

    if as_json and into:
        raise click.UsageError("--json and --into exclude each other")
    index = _index()
    if as_json:
        click.echo(json.dumps(pages.rows(index), indent=1))
    elif into is None:
        click.echo(pages.table(index), nl=False)
    else:
        pages.insert(pages.tables(index), into)


@weights.command()
@click.argument("out", metavar="PNG", type=_PATH)
@click.option("--images", is_flag=True, help="Image networks in place of patch networks.")
@click.option(
    "--bench",
    type=_PATH,
    metavar="JSON",
    help="Times: a run of `descompress bench`; bench.json beside the networks if left out.",
)
@click.option("--force", is_flag=True, help="Replace PNG.")
def plot(out: Path, bench: Path | None, *, images: bool, force: bool) -> None:
    """Draw accuracy against work and against time, of all networks and their peers.

    Patch networks: matching mAP against multiply-accumulates and microseconds a patch. Image
    networks: matches at most 3 px off, against multiply-accumulates and milliseconds an image. The
    time is that of the fastest batch and backend of the run.
    """
    from .. import shelf
    from ..benching.pages import STORED, read
    from ..charts import plot_fronts
    from .fronts import image_chart, patch_chart

    record = read(bench or shelf.folder() / STORED)
    chart = (image_chart if images else patch_chart)(_index(), record)
    plot_fronts(chart, out, force=force)
    click.echo(f"{out}: {', '.join(point.name for point in chart.points)}")


@weights.command()
@click.argument("folder", type=_PATH, required=False)
def index(folder: Path | None) -> None:
    """Write index.toml and cards/ of FOLDER, or of the shipped networks: for maintainers.

    FOLDER holds NAME.safetensors, recipes/NAME.toml (with `about` and a table [card]) and what one
    `descompress eval` of all patch networks and their peers wrote, and one of all image networks:

    \b
      descompress eval NET... --patches PATCHES --phototour SET --json FOLDER/measured.json
      descompress eval NET... --sequences SEQUENCES --repeats 10 \\
          --json FOLDER/measured.images.json

    The folder cards is replaced as a whole.
    """
    from .. import shelf
    from ..shelf.gathering import gather
    from ..shelf.pages import write

    folder = folder or shelf.folder()
    found = gather(folder)
    write(found, folder)
    click.echo(f"{folder / shelf.INDEX}: {', '.join(found['networks'])}")


def _index() -> dict[str, Any]:
    from .. import shelf
    from ..errors import ArtifactError

    found = shelf.read_index()
    if not found["networks"]:
        path = shelf.folder() / shelf.INDEX
        raise ArtifactError(f"no networks are shipped here: {path} is missing or empty")
    return found
