"""Ways to a network as small as `hardnet.tiny`: the last table of docs/pruning.md.

    descompress pack PACK --photographs PHOTOGRAPHS --phototour STRECHA --batches 1600
    python benchmarks/composed.py PACK OUT

Trained from nothing; trained wider and pruned; pruned, converted and distilled. A run that was
interrupted goes on; one that is finished is not repeated.
"""

from collections.abc import Sequence
from pathlib import Path

import click
from trainings import called, chosen, file_of, log_of, told

COMMON = ("--dropout", "0", "--workers", "0")
LEARNS = (
    *("--teacher", "hardnet", "--objective", "triplet", "--objective", "imitation"),
    *("--schedule", "cosine"),
)
FAST = ("--lr", "3e-3", "--float32")
STRIDED = ("--arg", "strides=4,1,2", "--arg", "kernels=7,3,3", "--arg", "bottleneck=32")
STEPS = 3000


def _made(name: str, pack: Path, out: Path) -> Path:
    """The file at the end of a way."""
    before = Path()
    for number, (verb, start, *words) in enumerate(WAYS[name]):
        file = file_of(out, f"{name} {number}")
        if not file.exists():
            training = () if verb == "convert" else (*COMMON, "--pack", str(pack))
            called(verb, start.format(before), str(file), *words, *training)
        before = file
    return before


def _anew(widths: str, steps: int = STEPS) -> Sequence[str]:
    shape = (*STRIDED, "--arg", f"widths={widths}")
    return ("distill", "strided", *LEARNS, *FAST, *shape, "--steps", str(steps))


# The words of commands that each write a file, their outputs apart; `{}` is the file before.
WAYS = {
    "16-48-48": (_anew("16,48,48"),),
    "pruned": (
        (
            _anew("24,64,64", 1200),
            (
                *("prune", "{}", "--macs", "914k", "--prune-first", *FAST),
                *("--joint-steps", "300", "--steps", "300"),
            ),
            ("distill", "{}", *LEARNS, *FAST, "--steps", "1200"),
        )
    ),
    "18-40-60": (_anew("18,40,60"),),
    "16-40-60": (_anew("16,40,60"),),
    "converted": (
        (
            (
                *("prune", "hardnet.p90", "--macs", "0.8", "--batch", "128"),
                *("--joint-steps", "150", "--steps", "150"),
            ),
            (
                *("convert", "{}", "-l", "[3-6]", "cdp:alpha=2", "-l", "2", "depthwise"),
                *("-l", "7", "tdw:rank=0.75"),
            ),
            ("distill", "{}", *LEARNS, "--lr", "2e-3", "--batch", "128", "--steps", "6000"),
        )
    ),
}


@click.command()
@click.argument("pack", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--only", multiple=True, help="Ways to go; all if left out.")
def main(pack: Path, out: Path, only: tuple[str, ...]) -> None:
    """Make the networks from PACK in the folder OUT."""
    out.mkdir(parents=True, exist_ok=True)
    wanted = chosen({name: [name] for name in WAYS}, only)
    told({name: log_of(_made(name, pack, out)) for name in wanted}, None)


if __name__ == "__main__":
    main()
