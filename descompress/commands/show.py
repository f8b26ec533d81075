"""`descompress show`: what a file holds."""

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def show(file: Path) -> None:
    """Say what the network in FILE, or the shipped one of that name, is and costs."""
    from ..artifacts import load
    from ..costs import cost
    from ..shelf import find
    from .tables import layer_table

    file = find(file)
    net = load(file)
    click.echo(f"net     {net.spec.net}")
    for name, value in net.spec.args.items():
        click.echo(f"  {name} = {value}")
    for name, _ in net.named_modules():
        if name in net.spec.layers:
            click.echo(f"layer   {name}: {net.spec.layers[name]}")
    counted = cost(net)
    size = file.stat().st_size
    click.echo(f"file    {size:,} bytes; input {'x'.join(map(str, counted.shape))}\n")
    click.echo(layer_table(counted))
