"""`descompress prune`: narrower networks, found and trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .material import material
from .training import made_run, recipe_of, show_training, training_options

if TYPE_CHECKING:
    from ..costs import Cost
    from ..pipelines import Pipeline

_OWN = [
    click.option("--macs", help="Multiply-accumulates to be left: a share (0.25) or 1.5M."),
    click.option("--params", help="Parameters to be left: a share or 200k."),
    click.option(
        "--latency", help="Time for 64 patches, measured here: a share, or 2ms (eager PyTorch)."
    ),
    click.option("--channels", help="Channels to be left, of those that can be removed."),
    click.option(
        "--criterion",
        help="cascade or structure, which learn what to keep; balanced, magnitude, taylor, median, "
        "random or uniform, which choose before any training.  [default: cascade]",
    ),
    click.option(
        "--assistants", type=int, help="Models between student and teacher.  [default: 0]"
    ),
    click.option(
        "--joint-steps", type=int, help="Steps in which channels are found.  [default: 600]"
    ),
    click.option("--hints", type=float, help="Weight of teachers' maps.  [default: 0]"),
    click.option("--prune-first", is_flag=True, help="Let the first layer lose channels too."),
]


def _options(command: Any) -> Any:
    for option in reversed(_OWN):
        command = option(command)
    return command


@click.command()
@click.argument("net")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@_options
@training_options
def prune(net: str, out: Path, **options: Any) -> None:
    """Remove channels of NET, train what is left, and write OUT.

    NET is a network file, a shipped network, or a recipe (.toml) with a table [prune]. It is the
    teacher too. First student, assistants and teacher learn together and channels are chosen on
    the way (--joint-steps); then the student is trained alone (--steps), its teacher being the next
    larger assistant until it has caught up.

    Give one budget. The folder OUT.parts holds what was found so far; stopped at any moment, the
    same command goes on.
    """
    from hpatches_eval.files import refuse_existing

    from ..locks import locked
    from ..memory import keep_freed_memory
    from ..processes import count, processes
    from ..settling import parts_of, settle

    settle(out)
    refuse_existing(out, force=options["force"])
    keep_freed_memory()
    recipe = recipe_of(net, {}, options, _table(options))
    with processes(options["device"]) as device:
        if count() > 1:
            raise click.UsageError("prune runs in one process")
        with locked(parts_of(out), wait=False):
            _prune(_pipeline(recipe, out, options | {"device": device}), options)


def _prune(pipeline: "Pipeline", options: Mapping[str, Any]) -> None:
    from .. import artifacts
    from ..costs import cost

    recipe = pipeline.recipe
    pipeline.begin()
    before = cost(pipeline.net)
    try:
        if (joint := pipeline.learned()) is not None:
            show_training(joint, lambda: pipeline.together(joint), recipe, force=True)
        pipeline.choose()
        run, relay = pipeline.finetune()
        show_training(run, lambda: pipeline.last(run, relay), recipe, force=options["force"])
    except BaseException:
        pipeline.leave()
        raise
    small = artifacts.load(pipeline.out)
    own, allowed = pipeline.measured(small)
    pipeline.end()
    _tell(pipeline, before, cost(small), own, allowed)


def _tell(pipeline: "Pipeline", before: "Cost", after: "Cost", own: float, allowed: float) -> None:
    kind = pipeline.asked.budget.kind
    told = (own, allowed) if kind != "latency" else (1000 * own, 1000 * allowed)
    unit = "ms for 64 inputs" if kind == "latency" else kind
    click.echo(
        f"{pipeline.out}: {after.params:,} parameters ({after.params / before.params:.1%}), "
        f"{after.macs:,} MACs ({after.macs / before.macs:.1%}); asked: at most {told[1]:,.6g} "
        f"{unit}, measured: {told[0]:,.6g}",
        err=True,
    )
    if own > allowed and kind != "latency":
        raise click.ClickException(f"{pipeline.out}: over the budget")  # never seen; to be sure
    if own > 1.1 * allowed:
        click.echo("slower than asked: ask for a smaller share", err=True)


def _table(options: Mapping[str, Any]) -> dict[str, Any]:
    from ..pruning.budgets import KINDS

    named = {name: options[name] for name in (*KINDS, "criterion", "assistants", "hints")}
    named |= {"steps": options["joint_steps"], "prune_first": options["prune_first"] or None}
    return {name: value for name, value in named.items() if value is not None}


def _pipeline(recipe: Any, out: Path, options: Mapping[str, Any]) -> "Pipeline":
    from ..pipelines import Pipeline

    return Pipeline(
        recipe,
        out,
        material(options),
        options["pack"],
        options["device"],
        lambda path, prepared: made_run(path, prepared, options),
    )
