"""`descompress train`: a patch network from photographs and PhotoTour sets."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..nets import PatchNet
    from ..runs import Row, Run


@dataclass(frozen=True)
class Settings:
    """The options of `train`; see its help."""

    net: str
    out: Path
    photographs: Path | None
    phototour: tuple[Path, ...]
    steps: int
    batch: int
    tour_share: float
    lr: float
    dropout: float
    seed: int
    device: str
    workers: int
    cache: Path | None
    validate_every: int
    checkpoint_every: int
    force: bool


@click.command()
@click.argument("net")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--photographs", type=click.Path(path_type=Path), help="A folder of images.")
@click.option(
    "--phototour",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A folder in the PhotoTour layout; may be repeated.",
)
@click.option("--steps", default=4000, show_default=True, help="Batches in all.")
@click.option("--batch", default=512, show_default=True, help="Pairs in a batch.")
@click.option("--tour-share", default=0.3, show_default=True, help="Share of pairs from tours.")
@click.option("--lr", default=2e-3, show_default=True, help="Highest learning rate (AdamW).")
@click.option("--dropout", default=0.1, show_default=True, help="Where the network has it.")
@click.option("--seed", default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ...")
@click.option("--workers", default=1, show_default=True, help="Processes that make batches.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder to keep found points in.")
@click.option("--validate-every", default=500, show_default=True, help="In steps.")
@click.option("--checkpoint-every", default=100, show_default=True, help="In steps.")
@click.option("--force", is_flag=True, help="Replace OUT.")
def train(**options: object) -> None:
    """Train NET with HardNet's objective and write OUT.

    NET is the name of a patch network, such as l2net, or a file to start from (see `build`).

    A checkpoint OUT.ckpt and a log OUT.csv lie beside OUT. Stopped at any moment, the same command
    goes on from the last checkpoint, to the same curve.
    """
    settings = Settings(**options)  # pyright: ignore[reportArgumentType]
    from hpatches_eval.files import refuse_existing

    refuse_existing(settings.out, force=settings.force)  # before the photographs are read
    run = _run(settings)
    first = run.start(force=settings.force)
    click.echo(f"{settings.out}: step {first} of {settings.steps}", err=True)
    try:
        _show(run, first, settings.steps)
    except KeyboardInterrupt:
        click.echo(f"stopped; the same command goes on from step {run.training.step}", err=True)
        raise


def _run(settings: Settings) -> "Run":
    import torch

    from ..data.mixture import read_mixture
    from ..memory import keep_freed_memory
    from ..objectives import triplet
    from ..runs import Run
    from ..training import Plan, Training
    from ..validation import Validation, photograph_views, tour_pairs

    keep_freed_memory()
    plan = Plan(settings.steps, settings.lr)
    torch.manual_seed(settings.seed)
    net = _start(settings.net).to(settings.device)
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = settings.dropout
    mixture = read_mixture(
        settings.photographs, settings.phototour, settings.cache, _say_photographs
    )
    held = mixture.held_tracks[:1]
    validation = Validation(
        photograph_views(mixture.held_photographs[:24]),
        tour_pairs(*held[0]) if held else None,
    )
    source = mixture.source(settings.batch, settings.tour_share, settings.seed)
    return Run(
        settings.out,
        Training(net, triplet, plan),
        source,
        validation,
        settings.workers,
        settings.checkpoint_every,
        settings.validate_every,
    )


def _start(net: str) -> "PatchNet":
    from ..artifacts import load
    from ..errors import RequestError
    from ..nets import PatchNet, build
    from ..spec import Spec

    made = load(net) if Path(net).suffix == ".safetensors" else build(Spec(net))
    if not isinstance(made, PatchNet):
        raise RequestError(f"{net} does not describe patches: only patch networks are trained")
    return made


def _say_photographs(done: int, total: int) -> None:
    if done % 100 == 0 or done == total:
        click.echo(f"points of {done} of {total} photographs", err=True)


def _show(run: "Run", first: int, steps: int, every: int = 20) -> None:
    losses: list[float] = []
    start = time.perf_counter()
    for row in run.rows():
        losses = [*losses[-99:], row.loss]
        if row.step % every == 0 or row.matching is not None:
            pace = (time.perf_counter() - start) / (row.step - first)
            click.echo(_line(row, sum(losses) / len(losses), pace, steps), err=True)


def _line(row: "Row", loss: float, pace: float, steps: int) -> str:
    left = round(pace * (steps - row.step) / 60)
    line = f"step {row.step}/{steps}  loss {loss:.4f}  {pace:.2f} s a step  {left} min left"
    if row.matching is not None:
        line += f"  held out: matching {row.matching:.4f}"
    if row.fpr95 is not None:
        line += f", FPR95 {row.fpr95:.4f}"
    return line
