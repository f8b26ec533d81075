"""`descompress import`: published checkpoints."""

from pathlib import Path

import click


@click.command("import")
@click.argument("kind")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace OUT.")
def import_(kind: str, checkpoint: Path, out: Path, *, force: bool) -> None:
    """Read the published CHECKPOINT of a network and write OUT.

    KIND is one of hardnet, sosnet, tfeat (as kornia publishes them), desdis, and superpoint (Magic
    Leap's superpoint_v1.pth). Nothing in the checkpoint is executed.
    """
    from hpatches_eval.files import refuse_existing

    from ..artifacts import save
    from ..costs import cost
    from ..upstream import KINDS, import_checkpoint

    refuse_existing(out, force=force)
    net = import_checkpoint(kind, checkpoint)
    save(net, out, force=force)
    click.echo(f"{out}: {net.spec.net}, {cost(net).params:,} parameters")
    if KINDS[kind].notice:
        click.echo(KINDS[kind].notice, err=True)
