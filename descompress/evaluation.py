"""Networks beside classical baselines on a patch release: accuracy, size, work and time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hpatches_eval.baselines import find_baseline
from hpatches_eval.descriptors import describe_release
from hpatches_eval.evaluation import evaluate
from hpatches_eval.patches import PatchRelease
from hpatches_eval.progress import Progress, silent
from hpatches_eval.report import Row
from hpatches_eval.tasklists import Tasks

from .artifacts import load
from .clock import Timing, on_threads
from .costs import cost
from .description import describe
from .errors import RequestError
from .nets import PatchNet

TIMED = 256  # patches


@dataclass(frozen=True)
class Contestant:
    """Something that describes patches.

    Args:
        describe: uint8 (n, 65, 65) -> (n, d).
        file: Of a network; None for a baseline, which has no params and MACs either.
    """

    name: str
    describe: Callable[[np.ndarray], np.ndarray]
    file: str | None = None
    params: int | None = None
    macs: int | None = None


@dataclass(frozen=True)
class Entry:
    """A contestant and how it did.

    Args:
        timing: Of `TIMED` patches from uint8 to descriptors on one thread.
    """

    contestant: Contestant
    hpatches: dict[str, Any]
    timing: Timing

    @property
    def microseconds(self) -> float:
        """A patch, on one thread, median."""
        return self.timing.median / TIMED * 1e6

    def to_json(self) -> dict[str, Any]:
        """Plain numbers: what `descompress eval --json` lists."""
        contestant, timing = self.contestant, self.timing
        spread = [t / TIMED * 1e6 for t in (timing.median, timing.low, timing.high)]
        return {
            "file": contestant.file,
            "name": contestant.name,
            "params": contestant.params,
            "macs": contestant.macs,
            "microseconds_per_patch": dict(zip(("median", "low", "high"), spread, strict=True)),
            "hpatches": self.hpatches,
        }


def network(path: Path) -> Contestant:
    """The patch network in a file.

    Raises:
        ArtifactError: See `artifacts.load`.
        RequestError: It does not describe patches.
    """
    net = load(path)
    if not isinstance(net, PatchNet):
        raise RequestError(f"{path}: {net.spec.net} does not describe patches")
    spent = cost(net)
    return Contestant(path.stem, partial(describe, net), str(path), spent.params, spent.macs)


def baseline(name: str) -> Contestant:
    """A classical descriptor by name.

    Raises:
        RequestError: There is none of that name.
    """
    return Contestant(name, find_baseline(name).describe)


def compare(
    contestants: Sequence[Contestant],
    release: PatchRelease,
    tasks: Tasks,
    *,
    distance: str | None = None,
    progress: Progress = silent,
) -> list[Entry]:
    """Evaluate all on the same tasks, and time all in the same rounds on one thread."""
    results = []
    for contestant in contestants:
        described = describe_release(
            release,
            contestant.describe,
            tasks.split.test,
            name=contestant.name,
            progress=progress,
        )
        results.append(evaluate(described, tasks, distance=distance, progress=progress))
    patches = _some_patches(release, tasks)
    timings = on_threads(1, [partial(c.describe, patches) for c in contestants])
    return [Entry(*parts) for parts in zip(contestants, results, timings, strict=True)]


def _some_patches(release: PatchRelease, tasks: Tasks) -> np.ndarray:
    strip = release.strip(tasks.split.test[0], "ref")
    return np.resize(strip, (TIMED, *strip.shape[1:]))


def rows(entries: Sequence[Entry]) -> list[Row]:
    """Lines of a table; compression and speed are relative to the first network."""
    first = next((e for e in entries if e.contestant.params), None)
    return [Row(entry.hpatches, _columns(entry, first)) for entry in entries]


def _columns(entry: Entry, first: Entry | None) -> dict[str, str]:
    params, macs = entry.contestant.params, entry.contestant.macs
    time = f"{entry.microseconds:.0f}"
    if first is None:
        return {"us/patch": time}
    time += f" ({first.microseconds / entry.microseconds:.2f}x)"
    if not params or not first.contestant.params:
        return {"params": "", "compression": "", "MMACs": "", "us/patch": time}
    return {
        "params": f"{params:,}",
        "compression": f"{first.contestant.params / params:.2f}x",
        "MMACs": f"{(macs or 0) / 1e6:.2f}",
        "us/patch": time,
    }
