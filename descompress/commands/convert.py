"""`descompress convert`: smaller networks."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from torch import Tensor

    from ..costs import Cost
    from ..nets import Net

EXAMPLES = """\b
Examples of -l:
  -l '[2-7]' cdp:alpha=5               by the layer numbers of papers
  -l 'features.*' depthwise            by name
  -l features.19 tucker:rank=0.375     ranks as shares of the channels
  -l '*' cdp:alpha=variance -l 1 keep  later ones win; keep leaves a layer
\b
Methods and their settings:
  cdp        alpha (a number, or variance), inner (linear, or bn_relu)
  depthwise  multiplier (a number, or auto)
  tucker     rank, rank_out (numbers, shares such as 0.375, or vbmf)
  tdw        rank (likewise), multiplier
\b
Presets: cdp2, cdp5, cdp10, cdp15, cdp-variance, cdp-2-4-4-8-8-16 (an alpha a layer), depthwise,
tucker, tucker-vbmf, tdw, tdw-vbmf; depthwise@7+tucker-vbmf@2-6 for parts.
"""


@click.command(epilog=EXAMPLES)
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "-l",
    "--layer",
    "pairs",
    type=(str, str),
    multiple=True,
    metavar="PATTERN METHOD",
    help="Replace the layers that match by METHOD; may be repeated, later ones win.",
)
@click.option("--preset", metavar="NAME", help="A recipe by name; -l options come on top.")
@click.option(
    "--calibrate",
    "data",
    type=click.Path(path_type=Path),
    metavar="PATCHES",
    help="Refit the new layers and re-estimate batch norms from patches: a patch release, a folder "
    "of PNG strips or an .npy file (for image networks, a folder of images).",
)
@click.option(
    "--polish",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="With --calibrate: L-BFGS steps.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="How weights are stored.",
)
@click.option(
    "--fold", is_flag=True, help="Merge batch norms into the convolutions (image networks)."
)
@click.option("--force", is_flag=True, help="Replace OUT.")
def convert(
    source: Path,
    out: Path,
    pairs: tuple[tuple[str, str], ...],
    preset: str | None,
    **options: object,
) -> None:
    """Write OUT, a copy of SOURCE with some layers replaced by smaller ones.

    SOURCE is a file or the name of a shipped network (see `descompress weights list`). The new
    weights are the best approximation of the old ones under the new structure. With nothing but
    `--dtype float16` or `--fold` the layers stay what they are.
    """
    from hpatches_eval.files import refuse_existing

    from .. import converter, presets
    from ..artifacts import save
    from ..costs import cost
    from ..folding import folded
    from ..shelf import load

    force = bool(options["force"])
    refuse_existing(out, force=force)
    if options["polish"] and options["data"] is None:
        raise click.UsageError("--polish is of --calibrate: give the patches to refit on")
    net = load(source)
    recipe = [*(presets.preset(preset, net) if preset else []), *pairs]
    other = options["dtype"] == "float16" or options["fold"]
    kept = not recipe and options["data"] is None and other
    small = net if kept else converter.convert(net, recipe)
    _calibrate(small, net, options["data"], options["polish"])  # pyright: ignore
    small = folded(small) if options["fold"] else small
    save(small, out, dtype=options["dtype"], force=force)  # pyright: ignore[reportArgumentType]
    _report(cost(net), cost(small))


def _calibrate(small: "Net", net: "Net", data: Path | None, polish: int) -> None:
    from hpatches_eval.terminal import shown_progress

    from ..calibration import calibrate_

    if data is not None:
        with shown_progress() as progress:
            calibrate_(small, net, _read(net, data), polish=polish, progress=progress)


def _read(net: "Net", data: Path) -> "Tensor":
    from ..nets import PatchNet
    from ..patchfiles import read_images, read_patches

    return read_patches(data) if isinstance(net, PatchNet) else read_images(data)


def _report(before: "Cost", after: "Cost") -> None:
    for name in ("params", "macs"):
        old, new = getattr(before, name), getattr(after, name)
        label = {"params": "params", "macs": "MACs"}[name]
        click.echo(f"{label:6}  {old:,} -> {new:,} ({old / new:.2f}x)")
