"""`descompress train` and `descompress distill`: patch networks from photographs and tours."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .build import parsed_arg, parsed_value
from .material import material, material_options

if TYPE_CHECKING:
    from ..recipes import Recipe
    from ..runs import Row, Run

_PATH, _STEPS = click.Path(path_type=Path), click.IntRange(1)
_OPTIONS = [  # of the recipe first: what is left out is taken from it, or is the default
    click.option("--steps", type=int, help="Changes of the weights.  [default: 4000]"),
    click.option("--lr", type=float, help="Highest learning rate (AdamW).  [default: 0.002]"),
    click.option("--schedule", help="linear or cosine, down to 0.  [default: linear]"),
    click.option("--warmup", type=int, help="Steps to the highest rate.  [default: 100]"),
    click.option("--weight-decay", type=float, help="[default: 0.0001]"),
    click.option("--ema", type=float, help="Decay of a moving average to keep.  [default: none]"),
    click.option(
        "--parts", type=int, help="Batches told apart in one step (gradient caching).  [default: 1]"
    ),
    click.option("--float32", is_flag=True, help="Compute in float32 throughout."),
    click.option("--batch", type=int, help="Pairs in a batch.  [default: 512]"),
    click.option(
        "--tour-share", type=float, help="Share of pairs of tours and releases.  [default: 0.3]"
    ),
    click.option("--batches", type=int, help="How many of a pack to learn from.  [default: all]"),
    click.option("--dropout", type=float, help="Where the network has it.  [default: 0.1]"),
    click.option("--seed", type=int, help="[default: 0]"),
    click.option(
        "--objective",
        "objectives",
        multiple=True,
        metavar="NAME[:SETTING=VALUE,...]",
        help="triplet, second_order, similarity, imitation, desdis or itrd, with a weight and "
        "settings of its own: imitation:weight=2. May be repeated.",
    ),
    click.option(
        "--arg",
        "args",
        multiple=True,
        metavar="NAME=VALUE",
        help="An argument of a network called by name, e.g. widths=16,32,48,64; may be repeated.",
    ),
    click.option("--pack", type=_PATH, help="What `pack` made, in place of photographs and all."),
    click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, ..."),
    click.option(
        "--workers",
        type=click.IntRange(0),
        default=1,
        show_default=True,
        help="Processes that make batches.",
    ),
    click.option("--validate-every", type=_STEPS, default=500, show_default=True, help="In steps."),
    click.option(
        "--checkpoint-every", type=_STEPS, default=100, show_default=True, help="In steps."
    ),
    click.option("--tensorboard", type=_PATH, help="Folder for TensorBoard's logs."),
    click.option("--force", is_flag=True, help="Replace OUT."),
]
_OF_PLAN = ("steps", "lr", "schedule", "warmup", "weight_decay", "ema", "parts")


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return material_options(command)


@click.command()
@click.argument("net")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@_options
def train(net: str, out: Path, **options: Any) -> None:
    """Train NET and write OUT.

    NET is the name of a patch network, such as l2net or strided, a file to start from (see
    `build`), or a recipe (.toml). The objective is HardNet's if no other is asked for.

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
@_options
def distill(
    student: str, out: Path, teacher: str | None, calibrate: int | None, **options: Any
) -> None:
    """Train STUDENT to do what TEACHER does, and write OUT.

    STUDENT is a recipe of `convert` for the teacher, such as cdp5 or depthwise@5-7; the name of a
    patch network; a file to start from; or a training recipe (.toml). It learns to imitate the
    teacher's descriptors if no other objective is asked for.

    Files, interruptions and several processes: as `train`.
    """
    _train(student, out, {"teacher": teacher, "calibrate": calibrate}, options)


def _train(start: str, out: Path, taught: dict[str, Any], options: dict[str, Any]) -> None:
    from hpatches_eval.files import refuse_existing

    from ..memory import keep_freed_memory
    from ..processes import processes, rank

    refuse_existing(out, force=options["force"])  # before the photographs are read
    keep_freed_memory()
    recipe = _recipe(start, taught, options)
    with processes(options["device"]) as device:
        run = _run(recipe, out, options | {"device": device})
        first = run.start(force=options["force"])
        if rank() == 0:
            click.echo(f"{out}: step {first} of {recipe.plan.steps}", err=True)
        try:
            _show(run, first, 2 * recipe.data.batch * recipe.plan.parts)
        except KeyboardInterrupt:
            if rank() == 0:
                step = run.training.step
                click.echo(f"stopped; the same command goes on from step {step}", err=True)
            raise


def _recipe(start: str, taught: Mapping[str, Any], options: Mapping[str, Any]) -> "Recipe":
    from ..recipes import Recipe, merged, read_recipe

    content = read_recipe(start) if Path(start).suffix == ".toml" else {"start": start}
    said = {
        **taught,
        "seed": options["seed"],
        "dropout": options["dropout"],
        "net": dict(parsed_arg(arg) for arg in options["args"]),
        "plan": _given(options, _OF_PLAN) | ({"bf16": False} if options["float32"] else {}),
        "data": _given(options, ("batch", "tour_share", "batches")),
        "objectives": _objectives(options["objectives"]),
    }
    content = merged(content, {n: v for n, v in said.items() if v is not None and v != {}})
    if taught and not content.get("objectives"):
        content["objectives"] = {"imitation": {}}
    return Recipe.from_dict(content)


def _given(options: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: options[name] for name in names if options[name] is not None}


def _objectives(texts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    terms = [_objective(text) for text in texts]
    names = [name for name, _ in terms]
    if twice := [name for name in names if names.count(name) > 1]:
        raise click.BadParameter(f"{twice[0]} is asked for twice", param_hint="--objective")
    return dict(terms)


def _objective(text: str) -> tuple[str, dict[str, Any]]:
    name, _, settings = text.partition(":")
    pairs = [item.partition("=") for item in settings.split(",") if item]
    if not all(equals and value for _, equals, value in pairs):
        raise click.BadParameter(
            f"{text!r} is not NAME:SETTING=VALUE,...", param_hint="--objective"
        )
    return name, {key: parsed_value(value) for key, _, value in pairs}


def _run(recipe: "Recipe", out: Path, options: Mapping[str, Any]) -> "Run":
    from hpatches_eval.terminal import shown_progress

    from ..runs import Run, checkpoint_of
    from ..students import prepare

    fresh = not checkpoint_of(out).exists()
    with shown_progress() as progress:
        prepared = prepare(
            recipe,
            material(options),
            options["pack"],
            device=options["device"],
            fresh=fresh,
            progress=progress,
        )
    return Run(
        out,
        *prepared,
        workers=options["workers"],
        checkpoint_every=options["checkpoint_every"],
        validate_every=options["validate_every"],
        tensorboard=options["tensorboard"],
    )


def _show(run: "Run", first: int, patches: int, every: int = 20) -> None:
    """Lines of progress; `patches` is how many a step learns from."""
    from ..processes import rank

    losses: list[float] = []
    start = time.perf_counter()
    for row in run.rows():
        losses = [*losses[-99:], row.loss]
        if rank() == 0 and (row.step % every == 0 or _held(row)):
            pace = (time.perf_counter() - start) / (row.step - first)
            left = round(pace * (run.training.plan.steps - row.step) / 60)
            steps = f"step {row.step}/{run.training.plan.steps}"
            speed = f"{patches / pace:.0f} patches/s  {left} min left"
            loss = f"loss {sum(losses) / len(losses):.4f}"
            click.echo(f"{steps}  {loss}  {speed}{_held(row)}", err=True)


def _held(row: "Row") -> str:
    held = {"matching": row.matching, "FPR95": row.fpr95}
    said = ", ".join(f"{name} {value:.4f}" for name, value in held.items() if value is not None)
    return f"  held out: {said}" if said else ""
