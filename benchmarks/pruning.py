"""Ways to choose channels, and how many assistants help: the tables of docs/pruning.md.

    descompress pack PACK --photographs PHOTOGRAPHS --phototour STRECHA --batches 1600
    python benchmarks/pruning.py PACK OUT
    descompress eval OUT/*.safetensors --patches PATCHES     # the three HPatches tasks

Every row of a table is one `descompress prune` of HardNet with as many steps in all. A run that was
interrupted goes on; one that is finished is not repeated. Numbers are those of the held-out part of
the training data.
"""

from pathlib import Path
from statistics import mean

import click
from trainings import called, chosen, file_of, log_of, told

COMMON = ("--batch", "128", "--dropout", "0")
LONG = ("--joint-steps", "300", "--steps", "900")
SHORT = ("--joint-steps", "150", "--steps", "450")  # assistants learn along: dearer steps
CRITERIA = (
    "cascade",
    "structure",
    "balanced",
    "uniform",
    "magnitude",
    "taylor",
    "median",
    "random",
)
SEEDS = (0, 1, 2)
SHARES = ("0.5", "0.25", "0.1")
ASSISTANTS = (0, 1, 2, 3)


def rows() -> dict[str, list[str]]:
    """Options by row."""
    found = {
        f"{criterion}, seed {seed}": ["0.1", *LONG, "--criterion", criterion, "--seed", str(seed)]
        for criterion in CRITERIA
        for seed in SEEDS
    }
    for share in SHARES:
        for count in ASSISTANTS:
            name = f"{count} assistants, {share} of the MACs"
            found[name] = [share, *SHORT, "--assistants", str(count)]
    return found


@click.command()
@click.argument("pack", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--net", default="hardnet", show_default=True)
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="A PNG of curves.")
@click.option("--only", multiple=True, help="Rows to run; all if left out.")
def main(pack: Path, out: Path, net: str, plot: Path | None, only: tuple[str, ...]) -> None:
    """Prune NET in every way from PACK, the files going to the folder OUT."""
    out.mkdir(parents=True, exist_ok=True)
    wanted = chosen(rows(), only)
    for name, (share, *options) in wanted.items():
        file = file_of(out, name)
        if not file.exists():
            given = ("--pack", str(pack), "--workers", "0", "--validate-every", "150")
            called("prune", net, str(file), "--macs", share, *COMMON, *options, *given)
    logs = {name: log_of(file_of(out, name)) for name in wanted}
    told(logs, plot)
    _by_criterion({name: log[-1][1] for name, log in logs.items()})


def _by_criterion(matching: dict[str, float]) -> None:
    click.echo(
        "\n| criterion | seeds | mean | lowest | highest |\n| --- | ---: | ---: | ---: | ---: |"
    )
    for criterion in CRITERIA:
        own = [value for name, value in matching.items() if name.startswith(f"{criterion}, seed")]
        if own:
            cells = " | ".join(f"{value:.4f}" for value in (mean(own), min(own), max(own)))
            click.echo(f"| {criterion} | {len(own)} | {cells} |")


if __name__ == "__main__":
    main()
