"""`descompress train` and `descompress distill`: networks from photographs and tours."""

from pathlib import Path
from typing import Any

import click

from .material import material
from .training import made_run, recipe_of, show_training, training_options


@click.command()
@click.argument("net")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@training_options
def train(net: str, out: Path, **options: Any) -> None:
    """Train NET and write OUT.

    NET is the name of a network, such as l2net, strided or superpoint, a file to start from (see
    `build`), or a recipe (.toml). If no objective is asked for, a patch network learns HardNet's,
    an image network to find points and to tell them apart.

    A checkpoint OUT.ckpt and a log OUT.csv lie beside OUT. Stopped at any moment, the same command
    goes on from the last checkpoint, to the same curve. `torchrun -m descompress train ...` trains
    in several processes, each with its share of --parts.
    """
    _train(net, out, {}, options)


@click.command()
@click.argument("student")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--teacher", help="A network file, or a shipped network.")
@click.option(
    "--calibrate", type=int, help="Patches to refit a converted start on.  [default: 4096]"
)
@training_options
def distill(
    student: str, out: Path, teacher: str | None, calibrate: int | None, **options: Any
) -> None:
    """Train STUDENT to do what TEACHER does, and write OUT.

    STUDENT is a recipe of `convert` for the teacher, such as cdp5 or depthwise@5-7; the name of a
    network; a file to start from; or a training recipe (.toml). If no objective is asked for, it
    learns to imitate the teacher's descriptors, and an image network its task as well.

    Files, interruptions and several processes: as `train`.
    """
    _train(student, out, {"teacher": teacher, "calibrate": calibrate}, options)


def _train(start: str, out: Path, taught: dict[str, Any], options: dict[str, Any]) -> None:
    from hpatches_eval.files import refuse_existing
    from hpatches_eval.terminal import shown_progress

    from ..memory import keep_freed_memory
    from ..processes import processes
    from ..runs import checkpoint_of
    from ..settling import settle
    from ..students import prepare

    settle(out)
    refuse_existing(out, force=options["force"])  # before the photographs are read
    keep_freed_memory()
    recipe = recipe_of(start, taught, options)
    with processes(options["device"]) as device:
        with shown_progress() as progress:
            prepared = prepare(
                recipe,
                material(options),
                options["pack"],
                device=device,
                fresh=not checkpoint_of(out).exists(),
                progress=progress,
            )
        run = made_run(out, prepared, options)
        show_training(run, run.rows, recipe, force=options["force"])
