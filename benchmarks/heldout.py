"""How networks do on the held-out part of a pack, in more than a training logs.

    python benchmarks/heldout.py PACK NET...

Matching mAP by difficulty, in per cent, and how many of 10,000 wrong pairs of held-out tracks are
taken for right ones, at several recalls: at 95 % so few that chance decides between like networks.
"""

from pathlib import Path

import click
import numpy as np

import descompress
from descompress.data.packed import Pack
from descompress.validation import Validation
from hpatches_eval.frames import DIFFICULTIES

RECALLS = (0.95, 0.98, 0.99)


@click.command()
@click.argument("pack", type=click.Path(path_type=Path, exists=True))
@click.argument("nets", nargs=-1, required=True)
def main(pack: Path, nets: tuple[str, ...]) -> None:
    """Measure NETS on what PACK holds back."""
    validation = Validation.from_arrays(Pack.read(pack).held())
    columns = ["matching", *DIFFICULTIES] if validation.views else []
    columns += [f"{recall:.0%}" for recall in RECALLS] if validation.tour else []
    click.echo(f"| network | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}")
    for name in nets:
        net = descompress.load(name)
        found = [*validation.matching_by_difficulty(net).values()]
        cells = [f"{100 * value:.2f}" for value in ([np.mean(found), *found] if found else [])]
        rates = validation.false_positive_rates(net, RECALLS)
        cells += [f"{1e4 * rate:.1f}" for rate in rates]
        click.echo(f"| `{Path(name).name}` | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
