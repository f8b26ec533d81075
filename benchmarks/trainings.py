"""Trainings as rows of a table: run once each, read from their logs."""

import csv
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

Log = list[tuple[int, float, float]]  # steps, matching and FPR95 of each validation


def called(*words: str) -> None:
    """Run a command of descompress, and show it."""
    click.echo(" ".join(["descompress", *words]), err=True)
    subprocess.run([sys.executable, "-m", "descompress", *words], check=True)


def chosen(rows: Mapping[str, Any], only: Sequence[str]) -> dict[str, Any]:
    """The rows to run: all, or those named."""
    if unknown := sorted(set(only) - rows.keys()):
        raise click.BadParameter(f"{unknown[0]!r} is no row", param_hint="--only")
    return {name: words for name, words in rows.items() if not only or name in only}


def file_of(out: Path, name: str) -> Path:
    """The network of a row."""
    return out / f"{name.replace(' ', '-').replace(',', '').replace('%', '')}.safetensors"


def log_of(file: Path) -> Log:
    """What was validated while a network was trained."""
    with file.with_name(f"{file.name}.csv").open(newline="") as log:
        rows = [row for row in csv.DictReader(log) if row["matching"]]
    return [(int(row["step"]), float(row["matching"]), float(row["fpr95"])) for row in rows]


def told(logs: Mapping[str, Log], plot: Path | None) -> None:
    """A table of the last validation of each row, and the picture if it is asked for."""
    click.echo("| row | held-out matching | held-out FPR95 |\n| --- | ---: | ---: |")
    for name, log in logs.items():
        click.echo(f"| {name} | {log[-1][1]:.4f} | {log[-1][2]:.4f} |")
    if plot is not None:
        drawn(logs, plot)


def drawn(logs: Mapping[str, Log], path: Path) -> None:
    """A PNG of matching mAP by step."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    colours, dashes = len(rcParams["axes.prop_cycle"]), ("-", "--", ":", "-.")
    best_first = sorted(logs.items(), key=lambda row: -row[1][-1][1])
    for number, (name, log) in enumerate(best_first):
        axes.plot(
            [row[0] for row in log],
            [row[1] for row in log],
            label=name,
            ls=dashes[number // colours % 4],
        )
    axes.set(xlabel="steps", ylabel="held-out matching mAP")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
