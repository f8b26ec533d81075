"""What helps a small network to learn: the table and the plot of docs/training.md.

    descompress pack PACK --photographs PHOTOGRAPHS --phototour STRECHA --batches 1600
    python benchmarks/ablation.py PACK OUT

Every row is one `descompress distill` of the same small network that differs in one thing. A run
that was interrupted goes on; one that is finished is not repeated. Numbers are those of the
held-out part of the training data.
"""

from collections.abc import Sequence
from pathlib import Path

import click
from trainings import called, chosen, file_of, log_of, told

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
    "triplet + imitation + SRM": ("triplet", "imitation", "srm:weight=0.1"),
    "PCL": ("pcl",),
    "triplet + BKD": ("triplet", "bkd:weight=0.5"),
    "instance sequence": ("sequence",),
    "triplet + hierarchical": ("triplet", "hierarchical"),
}
CHANGES = {  # of triplet + imitation
    "cosine": ("--schedule", "cosine"),
    "moving average, 0.99": ("--ema", "0.99"),
    "three times the rate": ("--lr", "9e-3"),
    "Muon": ("--optimizer", "muon"),
    "Muon, three times the rate": ("--optimizer", "muon", "--lr", "9e-3"),
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
MICRO = ("--steps", "1500", "--schedule", "cosine")
STRUCTURES = {  # for the price of hardnet.micro: widths, strides, kernels, bottleneck
    "3 x 3, strides 2, 2, 1, 2": ("10,16,20,26", "2,2,1,2", "3,3,3,3", "10"),
    "7 x 7 of stride 4, 32 channels": ("16,16,32", "4,1,2", "7,3,3", "10"),
    "7 x 7 of stride 4, 48 channels": ("16,16,48", "4,1,2", "7,3,3", "10"),
    "7 x 7 of stride 4, 64 channels": ("16,16,64", "4,1,2", "7,3,3", "9"),
    "7 x 7 of stride 4, then of stride 2": ("16,32,32", "4,2,1", "7,3,3", "8"),
    "7 x 7 of stride 4, four layers": ("16,16,32,16", "4,1,2,1", "7,3,3,3", "9"),
    "9 x 9 of stride 4, 32 channels": ("16,16,32", "4,1,2", "9,3,3", "10"),
    "9 x 9 of stride 4, 48 channels": ("16,16,48", "4,1,2", "9,3,3", "10"),
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
    rows |= {name: [*SMALL, *both, *MICRO, *_built(shape)] for name, shape in STRUCTURES.items()}
    for name, (start, term, *more) in STARTS.items():
        rows[name] = [start, *CDP, *_terms((term,)), *more]
    rows = chosen(rows, only)
    for name, words in rows.items():
        _run(file_of(out, name), words, pack, teacher)
    logs = {name: log_of(file_of(out, name)) for name in rows}
    told(logs, plot)


def _built(shape: tuple[str, ...]) -> list[str]:
    names = ("widths", "strides", "kernels", "bottleneck")
    words = (("--arg", f"{name}={value}") for name, value in zip(names, shape, strict=True))
    return [word for pair in words for word in pair]


def _random(out: Path) -> str:
    """A CDP network with random weights."""
    dense, small = out / "dense.safetensors", out / "random.safetensors"
    if not small.exists():
        called("build", "l2net", str(dense), "--force")
        called("convert", str(dense), str(small), "--preset", "cdp5")
    return str(small)


def _terms(terms: tuple[str, ...]) -> list[str]:
    return [word for term in terms for word in ("--objective", term)]


def _run(file: Path, words: Sequence[str], pack: Path, teacher: str) -> None:
    student, *options = words
    given = ("--teacher", teacher, "--pack", str(pack), "--workers", "0", "--validate-every", "100")
    if not file.exists():
        student = _random(file.parent) if student == "RANDOM" else student
        called("distill", student, str(file), *given, *options)


if __name__ == "__main__":
    main()
