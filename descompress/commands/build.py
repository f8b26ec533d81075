"""`descompress build`: networks to start a training from."""

import json
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("net")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--arg",
    "args",
    multiple=True,
    metavar="NAME=VALUE",
    help="An argument of the network, e.g. widths=16,16,32,32,64,64; may be repeated.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Of the random weights.",
)
@click.option("--force", is_flag=True, help="Replace OUT.")
def build(net: str, out: Path, args: tuple[str, ...], *, seed: int, force: bool) -> None:
    """Write OUT: a network with random weights.

    NET is l2net, tfeat, desdis, strided (patches), superpoint (images), vgg16, resnet50 or
    mobilenetv2 (classifiers).
    """
    import torch

    from hpatches_eval.files import refuse_existing

    from .. import nets
    from ..artifacts import save
    from ..costs import cost
    from ..errors import RequestError
    from ..spec import Spec

    refuse_existing(out, force=force)
    torch.manual_seed(seed)
    try:
        built = nets.build(Spec(net, dict(parsed_arg(arg) for arg in args)))
    except (RuntimeError, MemoryError) as error:
        raise RequestError(f"{net}: so large a network does not fit into memory") from error
    save(built, out, force=force)
    click.echo(f"{out}: {net}, {cost(built).params:,} parameters")


def parsed_arg(arg: str) -> tuple[str, Any]:
    """An argument of a network, NAME=VALUE, the value as JSON or a list of such.

    Raises:
        BadParameter: It is not of that form.
    """
    name, equals, text = arg.partition("=")
    if not equals:
        raise click.BadParameter(f"{arg!r} is not NAME=VALUE", param_hint="--arg")
    values = [parsed_value(item) for item in text.split(",")]
    return name, tuple(values) if len(values) > 1 else values[0]


def parsed_value(text: str) -> Any:
    """A number, truth value or whatever else JSON knows; else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
