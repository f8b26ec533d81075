"""What commands that train have in common: options, recipe, run, lines of progress."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .build import parsed_arg, parsed_value
from .material import material_options

if TYPE_CHECKING:
    from ..data import Source
    from ..recipes import Recipe
    from ..runs import Measures, Row, Run
    from ..training import Training

_PATH, _STEPS = click.Path(path_type=Path), click.IntRange(1)
_CLASSES = [
    click.option(
        "--task",
        type=click.Choice(["describe", "classify"]),
        default="describe",
        show_default=True,
        help="What the network is for.",
    ),
    click.option(
        "--labelled",
        metavar="digits|FOLDER",
        help="What a classifier learns from: scikit-learn's digits, or CIFAR's binary files.",
    ),
]
_OPTIONS = [  # of the recipe first: what is left out is taken from it, or is the default
    click.option("--steps", type=int, help="Changes of the weights.  [default: 4000]"),
    click.option("--lr", type=float, help="Highest learning rate.  [default: 0.002]"),
    click.option("--schedule", help="linear or cosine, down to 0, or constant.  [default: linear]"),
    click.option("--warmup", type=int, help="Steps to the highest rate.  [default: 100]"),
    click.option("--optimizer", help="adamw or muon.  [default: adamw]"),
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
    click.option(
        "--least-jitter",
        type=float,
        help="Least jitter of the second views of photographs, as a share of the strongest.  "
        "[default: 0]",
    ),
    click.option("--views", type=int, help="Of image networks: pairs in a batch.  [default: 8]"),
    click.option("--height", type=int, help="Of a view, in pixels.  [default: 240]"),
    click.option("--width", type=int, help="Of a view, in pixels.  [default: 320]"),
    click.option(
        "--zoom", type=float, help="Of the second view, at most; in octaves.  [default: 0.5]"
    ),
    click.option("--batches", type=int, help="How many of a pack to learn from.  [default: all]"),
    click.option("--dropout", type=float, help="Where the network has it.  [default: 0.1]"),
    click.option("--seed", type=int, help="[default: 0]"),
    click.option(
        "--objective",
        "objectives",
        multiple=True,
        metavar="NAME[:SETTING=VALUE,...]",
        help="Of patches: triplet, second_order, similarity, imitation, desdis, itrd, bkd, srm, "
        "hierarchical, pcl or sequence; of images: detection, correspondence, imitation, "
        "soft_labels or hierarchical. With a weight and settings of its own: imitation:weight=2. "
        "May be repeated.",
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
_OF_DATA = ("batch", "tour_share", "least_jitter", "batches", "views", "height", "width", "zoom")
_OF_PLAN = ("steps", "lr", "schedule", "warmup", "optimizer", "weight_decay", "ema", "parts")


def training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` the options of a training, and those of what it learns from."""
    for option in reversed([*_CLASSES, *_OPTIONS]):
        command = option(command)
    return material_options(command)


def recipe_of(
    start: str,
    taught: Mapping[str, Any],
    options: Mapping[str, Any],
    prune: Mapping[str, Any] | None = None,
) -> "Recipe":
    """The recipe that a file or a name says, completed and changed by options."""
    if (options["task"] == "classify") != (options["labelled"] is not None):
        raise click.UsageError("--task classify and --labelled digits|FOLDER go together")
    from ..pruning.budgets import KINDS
    from ..recipes import Recipe, merged, read_recipe

    content: dict[str, Any] = (
        read_recipe(start) if Path(start).suffix == ".toml" else {"start": start}
    )
    said = {
        **taught,
        "seed": options["seed"],
        "dropout": options["dropout"],
        "net": dict(parsed_arg(arg) for arg in options["args"]),
        "plan": _given(options, _OF_PLAN) | ({"bf16": False} if options["float32"] else {}),
        "data": _given(options, _OF_DATA),
        "objectives": _objectives(options["objectives"]),
        "prune": prune or {},
    }
    if prune is None and "prune" in content:
        raise click.UsageError(f"{start} has a table [prune]: use descompress prune")
    if prune and set(prune) & set(KINDS) and isinstance(content.get("prune"), dict):
        content["prune"] = {n: v for n, v in content["prune"].items() if n not in KINDS}
    content = merged(content, {n: v for n, v in said.items() if v is not None and v != {}})
    if not content.get("objectives"):
        content["objectives"] = _default_objectives(
            content, taught=bool(taught), classes=options["labelled"] is not None
        )
    return Recipe.from_dict(content)


def _default_objectives(
    content: Mapping[str, Any], *, taught: bool, classes: bool
) -> dict[str, Any]:
    """What a network learns if nothing else is asked for: the task, from a teacher, or both."""
    has_teacher = taught or "prune" in content
    if classes:
        return {"cross_entropy": {}} | ({"soft_labels": {"weight": 0.4}} if has_teacher else {})
    if _is_for_images(content):
        soft = {"soft_labels": {"temperature": 1.0}, "imitation": {}} if has_teacher else {}
        return {"detection": {}, "correspondence": {}, **soft}
    return ({} if taught else {"triplet": {}}) | ({"imitation": {}} if has_teacher else {})


def _is_for_images(content: Mapping[str, Any]) -> bool:
    """Whether a recipe, as far as it is known, trains an image network."""
    from ..nets import SuperPoint
    from ..shelf import load
    from ..students import kind_of

    start, teacher = content.get("start"), content.get("teacher")
    if not isinstance(start, str) or not isinstance(teacher, (str, type(None))):
        return False  # which is refused later
    taught = load(teacher) if teacher else None
    return issubclass(kind_of(start, taught, anew="prune" not in content), SuperPoint)


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


def made_run(
    out: Path, prepared: "tuple[Training, Source, Measures]", options: Mapping[str, Any]
) -> "Run":
    """A prepared training, and the files it keeps."""
    from ..runs import Run

    return Run(
        out,
        *prepared,
        workers=options["workers"],
        checkpoint_every=options["checkpoint_every"],
        validate_every=options["validate_every"],
        tensorboard=options["tensorboard"],
    )


def show_training(
    run: "Run", rows: Callable[[], "Iterable[Row]"], recipe: "Recipe", *, force: bool
) -> None:
    """Start a run of `recipe`, and show its progress."""
    from ..processes import rank

    worth = {}  # of what it starts from: whoever trains on sees what training adds
    if rank() == 0 and not (recipe.anew or run.checkpoint.exists()):
        worth = run.validation.measured(run.training.result)
    first = run.start(force=force)
    if rank() == 0:
        click.echo(f"{run.out}: step {first} of {run.training.plan.steps}{_held(worth)}", err=True)
    try:
        _show(run, first, rows(), _a_step(run, recipe))
    except KeyboardInterrupt:
        if rank() == 0:
            step = run.training.step
            click.echo(f"stopped; the same command goes on from step {step}", err=True)
        raise


def _a_step(run: "Run", recipe: "Recipe") -> tuple[int, str]:
    """How many inputs a step learns from, and what they are."""
    from ..nets import Classifier, SuperPoint

    net, data, parts = run.training.net, recipe.data, recipe.plan.parts
    if isinstance(net, SuperPoint):
        return 2 * data.views * parts, "images"
    if isinstance(net, Classifier):
        return data.batch * parts, "images"
    return 2 * data.batch * parts, "patches"


def _show(
    run: "Run", first: int, rows: "Iterable[Row]", a_step: tuple[int, str], every: int = 20
) -> None:
    from ..processes import rank

    losses: list[float] = []
    start = time.perf_counter()
    for row in rows:
        losses = [*losses[-99:], row.loss]
        if rank() == 0 and (row.step % every == 0 or row.held):
            pace = (time.perf_counter() - start) / max(row.step - first, 1)
            left = round(pace * (run.training.plan.steps - row.step) / 60)
            steps = f"step {row.step}/{run.training.plan.steps}"
            speed = f"{a_step[0] / pace:,.0f} {a_step[1]}/s  {left} min left"
            loss = f"loss {sum(losses) / len(losses):.4f}"
            click.echo(f"{steps}  {loss}  {speed}{_held(row.held)}", err=True)


def _held(held: Mapping[str, float]) -> str:
    called = {"fpr95": "FPR95"}
    said = ", ".join(f"{called.get(name, name)} {value:.4f}" for name, value in held.items())
    return f"  held out: {said}" if said else ""
