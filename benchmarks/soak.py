"""Long runs, and whether memory stays what it was.

    python benchmarks/soak.py describe [--images 20000]
    python benchmarks/soak.py search [--trials 5000]
    python benchmarks/soak.py evaluate

describe: a network describes many images, 200 different ones under many names; memory is looked at
after every twentieth of them. search: recipes of a network with a table of invented costs and
losses are tried, in runs that are stopped and go on. Both fail where the second half needs much
more than the first: `GROWTH` MiB; of a search, whose sampler looks at all trials, `A_TRIAL` MiB for
each more. evaluate: the three tasks at HPatches' full size
(`evaluator.py`) in a process that may not have more than 4 GiB.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import torch

GROWTH = 48  # MiB
A_TRIAL = 1 / 32  # MiB
LOOKS = 20
DIFFERENT = 200  # images
SIZE = (48, 64)
GIB = 2**30


class Memory:
    """What this process has in memory, from look to look."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self.begin = time.perf_counter()

    def look(self, done: int, more: str = "") -> None:
        """Note it, and say it."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.seen.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        seconds = time.perf_counter() - self.begin
        click.echo(f"{done:>8,} done  {seconds:7.0f} s  {self.seen[-1]:7.0f} MiB  {more}")

    def judge(self, most: float = GROWTH) -> None:
        """Fail if the second half needs much more than the first."""
        half = len(self.seen) // 2
        growth = max(self.seen[half:]) - max(self.seen[:half])
        click.echo(f"the second half needs {growth:+.1f} MiB")
        if growth > most:
            raise click.ClickException(f"more than the {most:.0f} MiB that are allowed")


def images(folder: Path, count: int) -> dict[str, Path]:
    """Links to a few different images, by name."""
    for number in range(min(DIFFERENT, count)):
        noise = np.random.default_rng(number).integers(0, 256, SIZE).astype(np.uint8)
        cv2.imwrite(str(folder / f"image{number}.png"), cv2.GaussianBlur(noise, (0, 0), 1.5))
    names = {
        f"{number:06}.png": folder / f"image{number % DIFFERENT}.png" for number in range(count)
    }
    for name, path in names.items():
        (folder / name).hardlink_to(path)
    return {name: folder / name for name in names}


@click.group(help=__doc__)
def main() -> None:
    """See the head of this file."""
    torch.set_num_threads(1)


@main.command()
@click.option("--images", "count", default=20_000, show_default=True)
def describe(count: int) -> None:
    """Describe many images into one file."""
    import descompress
    from descompress.featurefiles import StoredFeatures, add_images, feature_file
    from descompress.spec import Spec

    net = descompress.build(Spec("superpoint", {"widths": [8] * 10, "dim": 16})).eval()
    find = descompress.finder(net, descompress.Selection(most=50))
    memory, every = Memory(), max(1, count // LOOKS)
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "features.h5"
        (Path(place) / "images").mkdir()
        found = images(Path(place) / "images", count)
        with feature_file(out, {"by": "a soak"}) as file:
            for done, error in enumerate(add_images(file, found, find, 640), 1):
                if error is not None:
                    raise click.ClickException(str(error))
                if done % every == 0:
                    memory.look(done, f"{out.stat().st_size / 1e6:.0f} MB of features")
        if len(StoredFeatures(out)) != count:
            raise click.ClickException("images are missing in the file")
    memory.judge()


@main.command()
@click.option("--trials", default=5000, show_default=True)
def search(trials: int) -> None:
    """Try many recipes, stopping now and then."""
    from descompress.searching.studies import Asked, studied

    memory, table = Memory(), invented()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "study.db"
        for reached in stops(trials):
            tried = studied(table, Asked(0.6 * table.whole, reached, 0), path, "soak")
            memory.look(reached, f"{path.stat().st_size / 1e6:.1f} MB, {len(tried):,} recipes")
    memory.judge(A_TRIAL * trials / 2)


def stops(trials: int) -> Iterator[int]:
    """How many trials there are at the end of each run."""
    yield from (trials * (turn + 1) // LOOKS for turn in range(LOOKS))


def invented() -> Any:
    """Costs and losses of five methods for each of seven layers."""
    from descompress.converter import KEEP
    from descompress.searching.tables import Choice, Table

    rng = np.random.default_rng(0)
    layers = {
        str(layer): [
            Choice(KEEP, 0.0, 0.0),
            *(Choice(f"method{m}", rng.random(), 100 * rng.random()) for m in range(5)),
        ]
        for layer in range(7)
    }
    return Table(700.0, layers)


@main.command()
def evaluate() -> None:
    """The tasks at full size in 4 GiB."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (4 * GIB, 4 * GIB))

    script = Path(__file__).with_name("evaluator.py")
    done = subprocess.run([sys.executable, str(script)], preexec_fn=limit)
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
