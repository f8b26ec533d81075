"""What helps a small network to learn: the table and the plot of docs/training.md.

    descompress pack PACK --photographs PHOTOGRAPHS --phototour STRECHA --batches 1600
    python benchmarks/ablation.py PACK OUT

Every row is one `descompress distill` of the same small network that differs in one thing. A run
that was interrupted goes on; one that is finished is not repeated. Numbers are those of the
held-out part of the training data.
"""

import csv
import subprocess
import sys
from pathlib import Path

import click

SMALL = ("strided", "--steps", "1200", "--lr", "3e-3", "--dropout", "0", "--float32")
OBJECTIVES = {
    "triplet": ("triplet",),
    "imitation": ("imitation",),
    "similarity": ("similarity",),
    "triplet + imitation": ("triplet", "imitation"),
    "triplet + similarity": ("triplet", "similarity:weight=0.5"),
    "triplet + second order": ("triplet", "second_order"),
    "triplet + DesDis": ("triplet", "desdis"),
    "triplet + ITRD": ("triplet", "itrd:weight=0.05"),
    "imitation + similarity": ("imitation", "similarity"),
}
CHANGES = {  # of triplet + imitation
    "cosine": ("--schedule", "cosine"),
    "moving average, 0.99": ("--ema", "0.99"),
    "a third of the steps": ("--steps", "400"),
    "three times the steps": ("--steps", "3600"),
    "batches of 128, four times the steps": ("--batch", "128", "--steps", "4800"),
    "batches of 2,048 in 4 parts, a quarter of the steps": ("--parts", "4", "--steps", "300"),
    "an eighth of the data": ("--batches", "200"),
    "a 64th of the data": ("--batches", "25"),
    "strides 2, 2, 2, 1": (
        *("--arg", "strides=2,2,2,1", "--arg", "widths=16,32,48,56", "--arg", "bottleneck=24"),
    ),
}
CDP = ("--batch", "128", "--steps", "600", "--lr", "1e-3", "--dropout", "0")
STARTS = {  # of HardNet with CDP, alpha 5
    "linear, projected and refitted, imitation": ("cdp5", "imitation"),
    "linear, projected, imitation": ("cdp5", "imitation", "--calibrate", "0"),
    "linear, random weights, imitation": ("RANDOM", "imitation"),
    "linear, random weights, triplet": ("RANDOM", "triplet"),
    "linear, projected and refitted, triplet": ("cdp5", "triplet"),
    "batch norm and ReLU, refitted, imitation": ("cdp:alpha=5,inner=bn_relu", "imitation"),
}


@click.command()
@click.argument("pack", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--teacher", default="hardnet", show_default=True)
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="A PNG of curves.")
@click.option("--only", multiple=True, help="Rows to run; all if left out.")
def main(pack: Path, out: Path, teacher: str, plot: Path | None, only: tuple[str, ...]) -> None:
    """Run the ablation on PACK, its files going to the folder OUT."""
    out.mkdir(parents=True, exist_ok=True)
    rows = {name: [*SMALL, *_terms(terms)] for name, terms in OBJECTIVES.items()}
    both = _terms(("triplet", "imitation"))
    rows |= {name: [*SMALL, *both, *change] for name, change in CHANGES.items()}
    for name, (start, term, *more) in STARTS.items():
        student = _random(out) if start == "RANDOM" else start
        rows[name] = [student, *CDP, *_terms((term,)), *more]
    if unknown := sorted(set(only) - rows.keys()):
        raise click.BadParameter(f"{unknown[0]!r} is no row", param_hint="--only")
    rows = {name: words for name, words in rows.items() if not only or name in only}
    for name, words in rows.items():
        _run(_file(out, name), words, pack, teacher)
    logs = {name: _read(_file(out, name)) for name in rows}
    click.echo("| row | held-out matching | held-out FPR95 |\n| --- | ---: | ---: |")
    for name, log in logs.items():
        click.echo(f"| {name} | {log[-1][1]:.4f} | {log[-1][2]:.4f} |")
    if plot is not None:
        _draw(logs, plot)


def _random(out: Path) -> str:
    """A CDP network with random weights."""
    dense, small = out / "dense.safetensors", out / "random.safetensors"
    if not small.exists():
        _call("build", "l2net", str(dense), "--force")
        _call("convert", str(dense), str(small), "--preset", "cdp5")
    return str(small)


def _call(*words: str) -> None:
    click.echo(" ".join(["descompress", *words]), err=True)
    subprocess.run([sys.executable, "-m", "descompress", *words], check=True)


def _terms(terms: tuple[str, ...]) -> list[str]:
    return [word for term in terms for word in ("--objective", term)]


def _file(out: Path, name: str) -> Path:
    return out / f"{name.replace(' ', '-').replace(',', '')}.safetensors"


def _run(file: Path, words: list[str], pack: Path, teacher: str) -> None:
    student, *options = words
    given = ("--teacher", teacher, "--pack", str(pack), "--workers", "0", "--validate-every", "100")
    if not file.exists():
        _call("distill", student, str(file), *given, *options)


def _read(file: Path) -> list[tuple[int, float, float]]:
    """Steps, matching and FPR95 of the validations."""
    with file.with_name(f"{file.name}.csv").open(newline="") as log:
        rows = [row for row in csv.DictReader(log) if row["matching"]]
    return [(int(row["step"]), float(row["matching"]), float(row["fpr95"])) for row in rows]


def _draw(logs: dict[str, list[tuple[int, float, float]]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, log in logs.items():
        axes.plot([row[0] for row in log], [row[1] for row in log], label=name)
    axes.set(xlabel="steps", ylabel="held-out matching mAP")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
