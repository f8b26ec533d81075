"""`descompress search`: the best recipe under a budget, from measurements."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..searching import Answer

_PATH, _COUNT = click.Path(path_type=Path), click.IntRange(1)
_OPTIONS = [
    click.option("--max-latency", help="Time at most: a share (0.5x) or 2ms, as --on takes."),
    click.option("--max-macs", help="Multiply-accumulates at most: a share (0.25) or 10M."),
    click.option("--max-params", help="Parameters at most: a share or 200k."),
    click.option(
        "--on",
        default="onnxruntime-fp32",
        show_default=True,
        help="Where it is to run: onnxruntime, openvino, eager or compile, then -fp32, -bf16 or "
        "-int8.",
    ),
    click.option(
        "--calibrate",
        type=_PATH,
        required=True,
        metavar="PATCHES_OR_IMAGES",
        help="What new layers are refitted on (and int8 is calibrated on): as for convert.",
    ),
    click.option(
        "--validate",
        type=_PATH,
        metavar="PATCHES_OR_IMAGES",
        help="What outputs are compared on; of a patch release matching is measured too.  "
        "[default: a quarter of --calibrate, held back]",
    ),
    click.option(
        "--methods",
        metavar="NAME,...",
        help="Methods to consider.  [default: cdp,depthwise,tucker,tdw]",
    ),
    click.option(
        "--samples", type=_COUNT, default=1024, show_default=True, help="Patches to use at most."
    ),
    click.option(
        "--trials", type=_COUNT, default=200, show_default=True, help="Recipes that Optuna tries."
    ),
    click.option(
        "--verify",
        type=_COUNT,
        default=4,
        show_default=True,
        help="How many of the best are made, calibrated and timed.",
    ),
    click.option(
        "--engine",
        type=click.Choice(["optuna", "ray"]),
        default="optuna",
        show_default=True,
        help="ray: layers are measured by Ray Tune, on as many machines as RAY_ADDRESS has.",
    ),
    click.option("--threads", type=_COUNT, default=1, show_default=True, help="When timed."),
    click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True),
    click.option("--force", is_flag=True, help="Replace what was found there for another budget."),
]


def _options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("net")
@click.argument("out_folder", type=click.Path(path_type=Path, file_okay=False))
@_options
def search(net: str, out_folder: Path, **options: Any) -> None:
    """Find how to replace the layers of NET with the least loss under a budget.

    Give one budget. Every layer and method is measured alone: how far the outputs move on inputs it
    was not calibrated on, and what it saves on the target. From these a search finds recipes; the
    best are made in earnest, and the winner is written.

    OUT_FOLDER holds best.safetensors, recipe.toml (for `distill`), the front (front.json,
    front.png), report.html, and all measurements. Stopped at any moment, the same command goes on;
    another budget in the same folder measures nothing twice.
    """
    from hpatches_eval.provenance import made
    from hpatches_eval.saying import said
    from hpatches_eval.terminal import shown_progress

    from ..locks import locked
    from ..memory import keep_freed_memory
    from ..searching import prepared, searched
    from ..searching.reports import write_answer
    from ..shelf import find

    keep_freed_memory()
    asked, material = _asked(net, options)
    data = {name: options[name] for name in ("calibrate", "validate")}
    command = said(click.get_current_context(), ("out_folder", "force"))
    rests_on = made(command, {Path(net).name: find(net)}, data)
    with locked(out_folder, wait=False):
        notebook = prepared(asked, material, out_folder, force=options["force"])
        with shown_progress() as progress:
            answer = searched(asked, material, out_folder, notebook, progress)
        write_answer(answer, out_folder, _command(net, out_folder, options), rests_on)
    _tell(answer, out_folder)


def _asked(net: str, options: dict[str, Any]) -> Any:
    """What is searched for, and on what it is measured."""
    from ..methods import METHODS
    from ..searching import Search, budget_of, read_material
    from ..shelf import load

    budget = budget_of({kind: options[f"max_{kind}"] for kind in ("latency", "macs", "params")})
    methods = options["methods"].split(",") if options["methods"] else METHODS
    names = ("on", "trials", "verify", "engine", "seed", "threads")
    network = load(net)
    asked = Search(
        network, net, budget, **{name: options[name] for name in names}, methods=tuple(methods)
    )
    paths = options["calibrate"], options["validate"]
    return asked, read_material(network, *paths, options["samples"], options["seed"])


def _command(net: str, out: Path, options: dict[str, Any]) -> str:
    """How the same can be asked for again."""
    said = {name: value for name, value in options.items() if name != "force" and value is not None}
    words = (w for n, value in said.items() for w in (f"--{n.replace('_', '-')}", str(value)))
    return shlex.join(["descompress", "search", net, str(out), *words])


def _tell(answer: "Answer", out: Path) -> None:
    from ..searching.candidates import as_preset
    from ..searching.outcomes import front_rows
    from ..searching.verifying import amount, verified_cost
    from .tables import table

    kind, name = answer.search.budget.kind, as_preset(answer.winner)
    own, found = verified_cost(answer.notebook, answer.winner, kind), answer.notebook["verified"]
    click.echo(table(front_rows(answer)))
    click.echo(
        f"{out / 'best.safetensors'}: {amount(own, kind)}, asked: at most "
        f"{amount(answer.limit, kind)}; outputs move by {found[name]['served']:.4f}: "
        f"{name or 'nothing is replaced'}\nsee {out / 'report.html'}",
        err=True,
    )
