"""`descompress data`: published data sets."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..fetching import Got

_INTO = click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    help="Folder of all sets.",
)


@click.group()
def data() -> None:
    """Fetch published data sets, and unpack them."""


@data.command("list")
@_INTO
def list_(into: Path) -> None:
    """Say which sets there are, how much is fetched, and what is there already."""
    from ..fetching import SETS, state
    from .tables import table

    rows = [(name, each.amount, state(name, into), each.about) for name, each in SETS.items()]
    click.echo(table([("name", "fetches", "state", "about"), *rows]))


@data.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_INTO
@click.option("--from", "source", metavar="FILE|URL", help="An archive fetched by hand, or a copy.")
@click.option("--trust", is_flag=True, help="Take an archive that no known checksum fits.")
@click.option("--discard", is_flag=True, help="Delete the archive beside the set in the end.")
def get(
    names: tuple[str, ...], into: Path, source: str | None, *, trust: bool, discard: bool
) -> None:
    """Fetch the sets called NAME, check and unpack each into a folder of its name.

    Stopped at any moment, the same command goes on. Proxies are those of the environment
    (https_proxy, http_proxy, no_proxy). An archive that was fetched by hand is found in the folder
    of all sets, or with --from. `descompress data list` has the names.
    """
    from hpatches_eval.terminal import shown_progress

    from .. import fetching

    if source and len(names) > 1:
        raise click.UsageError("--from is the archive of one set")
    for name in names:
        fetching.find_set(name)
    for name in names:
        with shown_progress() as progress:
            got = fetching.get(fetching.Order(name, into, source, trust), progress)
        _report(got, fetching.SETS[name].page)
        if discard and got.archive and got.archive.parent == into:
            got.archive.unlink()


def _report(got: "Got", page: str) -> None:
    if got.record is None:
        click.echo(f"{got.folder}: there already")
        return
    click.echo(f"{got.folder}: from {got.record.origin}")
    click.echo(f"  sha256 {got.record.sha256} ({got.record.checked})")
    click.echo(f"  terms of use and what to cite: {page}")
