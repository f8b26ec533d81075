"""Time and memory of the evaluator on synthetic descriptors of the size of HPatches.

    python benchmarks/evaluator.py [--distance L1] [--dim 256] [--packed] [--pairs 100000]

116 sequences of 1,350 points on average, some of more than 3,000; 1,000,000 pairs of each kind at
each difficulty; 10,000 queries and 20,000 distractors. Descriptors are made by another process, so
that its memory does not count.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from hpatches_eval.descriptors import load
from hpatches_eval.evaluation import evaluate
from hpatches_eval.generation import generate_retrieval, generate_verification
from hpatches_eval.hdf5file import Hdf5File
from hpatches_eval.patches import TYPES
from hpatches_eval.splits import find_split
from hpatches_eval.tasklists import Tasks

_MEAN = 1350
_NOISE = {"r": 0.0, "e": 1.5, "h": 2.2, "t": 3.0}  # of values of deviation 1


def sizes(sequences: int) -> list[int]:
    """Points of each sequence: 1,350 on average, a few of more than 3,000."""
    spread = np.random.default_rng(0).lognormal(0, 0.55, sequences)
    return np.maximum(2, spread * _MEAN / spread.mean()).astype(int).tolist()


def make(path: str, names: tuple[str, ...], dim: int, packed: bool) -> None:  # noqa: FBT001
    """Write descriptors of random points, seen with more noise the harder the type is."""
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        for name, count in zip(names, sizes(len(names)), strict=True):
            points = rng.standard_normal((count, dim), np.float32)
            for kind in TYPES:
                noise = rng.standard_normal((count, dim), np.float32)
                rows = points + np.float32(_NOISE[kind[0]]) * noise
                if packed:
                    file[f"{name}/{kind}"] = np.packbits(rows > 0, axis=1)
                else:
                    file[f"{name}/{kind}"] = rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Clock:
    """Prints the wall and processor time of what happened since the last line."""

    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def line(self, what: str) -> None:
        """Print and start again."""
        wall, processor = time.perf_counter(), time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(  # noqa: T201
            f"{what:<22}{wall - self.wall:8.1f} s wall "
            f"{processor - self.processor:8.1f} s processor   peak {peak:5.2f} GiB",
            flush=True,
        )
        self.wall, self.processor = wall, processor


def main() -> None:
    """Make the data, evaluate it, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--distance")
    parser.add_argument("--dim", type=int, default=128, help="values, or bits with --packed")
    parser.add_argument("--packed", action="store_true", help="packed binary descriptors")
    parser.add_argument("--pairs", type=int, default=1_000_000)
    asked = parser.parse_args()
    split = find_split("full")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "synthetic.h5"
        spawn = multiprocessing.get_context("spawn")
        maker = spawn.Process(target=make, args=(str(path), split.test, asked.dim, asked.packed))
        maker.start()
        maker.join()
        clock = Clock()
        descriptors = load(Hdf5File(path))
        clock.line("reading descriptors")
    pairs = generate_verification(split, descriptors.counts, asked.pairs)
    textured = {name: np.ones(count, bool) for name, count in descriptors.counts.items()}
    retrieval, _ = generate_retrieval(split, textured)
    clock.line("generating tasks")
    result = evaluate(descriptors, Tasks(split, pairs, retrieval), distance=asked.distance)
    clock.line("all three tasks")
    for stage, seconds in result["seconds"].items():
        print(f"  {stage:<20}{seconds:8.1f} s wall")  # noqa: T201
    for task, means in result["summary"].items():
        print(f"{task:<26}", {level: round(mean, 4) for level, mean in means.items()})  # noqa: T201


if __name__ == "__main__":
    main()
