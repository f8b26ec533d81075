"""`descompress pack`: batches made once, for many trainings."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .material import material, material_options
from .numbers import FiniteRange

if TYPE_CHECKING:
    from ..data.mixture import Mixture

_SHARE: dict[str, Any] = {"type": FiniteRange(0, 1), "show_default": True}


@click.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--batches", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--batch", type=click.IntRange(2), default=512, show_default=True, help="Pairs.")
@click.option("--tour-share", default=0.3, help="Share of pairs of tours and releases.", **_SHARE)
@click.option(
    "--least-jitter",
    default=0.0,
    help="Least jitter of the second views of photographs, as a share of the strongest.",
    **_SHARE,
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--workers", type=click.IntRange(0), default=2, show_default=True, help="Processes.")
@material_options
def pack(out: Path, **options: Any) -> None:
    """Write the folder OUT: batches of training pairs and the validation part.

    `train` and `distill` read it with --pack, many times faster than they could warp photographs.
    A batch of 512 pairs takes 1 MiB. Stopped at any moment, the same command goes on.
    """
    from hpatches_eval.files import refuse_existing
    from hpatches_eval.terminal import shown_progress

    from ..data.mixture import read_mixture
    from ..data.packed import write_pack
    from ..validation import held_out_validation

    if out.is_dir():
        refuse_existing(out / "pack.json", force=False)
    with shown_progress() as progress:
        mixture = read_mixture(material(options), progress)
        source = mixture.source(
            options["batch"], options["tour_share"], options["seed"], options["least_jitter"]
        )
        made = write_pack(
            out,
            source,
            options["batches"],
            _asked(options, mixture),
            held_out_validation(mixture).arrays(),
            workers=options["workers"],
            progress=progress,
        )
    size = made.patches.nbytes / 2**20
    click.echo(f"{out}: {len(made.patches)} batches of {made.batch} pairs, {size:.0f} MiB")


def _asked(options: dict[str, Any], mixture: "Mixture") -> dict[str, Any]:
    """What tells one pack from another, without the places things lie at."""
    numbers = ("batches", "batch", "tour_share", "least_jitter", "seed")
    return {**{name: options[name] for name in numbers}, **mixture.names()}
