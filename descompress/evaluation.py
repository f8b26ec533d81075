"""Networks beside classical baselines on a patch release: accuracy, size, work and time."""

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from hpatches_eval.baselines import find_baseline
from hpatches_eval.descriptors import describe_release
from hpatches_eval.evaluation import evaluate
from hpatches_eval.generation import obtain_tasks
from hpatches_eval.metrics import fpr_at_recall
from hpatches_eval.patches import PATCH, PatchRelease
from hpatches_eval.progress import Progress, silent
from hpatches_eval.report import Row
from hpatches_eval.splits import Split
from hpatches_eval.tasklists import Tasks
from hpatches_eval.terminal import shown_progress

from .artifacts import load
from .clock import Timing, on_threads
from .costs import cost
from .data.phototour import PhotoTour
from .description import describe
from .errors import RequestError
from .nets import PatchNet
from .shelf import sha256

TIMED = 256  # patches
FORMAT = 1  # of `record`


@dataclass(frozen=True)
class File:
    """The file of a network, as one can know it again elsewhere."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Contestant:
    """Something that describes patches.

    Args:
        describe: uint8 (n, s, s) -> (n, d).
        file: Of a network; None for a baseline, which has no params and MACs either.
    """

    name: str
    describe: Callable[[np.ndarray], np.ndarray]
    file: File | None = None
    params: int | None = None
    macs: int | None = None


@dataclass(frozen=True)
class Entry:
    """A contestant and how it did.

    Args:
        timing: Of `TIMED` patches from uint8 to descriptors on one thread.
        fpr95: False positive rate at 95 % recall, by the name of the PhotoTour set.
    """

    contestant: Contestant
    hpatches: dict[str, Any]
    timing: Timing
    fpr95: dict[str, float] = field(default_factory=dict)

    @property
    def microseconds(self) -> float:
        """A patch, on one thread, median."""
        return self.timing.median / TIMED * 1e6

    def to_json(self) -> dict[str, Any]:
        """Plain numbers: an entry of `record`."""
        contestant, timing = self.contestant, self.timing
        spread = [t / TIMED * 1e6 for t in (timing.median, timing.low, timing.high)]
        nowhere = dict.fromkeys(File.__dataclass_fields__)
        return {
            **(asdict(contestant.file) if contestant.file else nowhere),
            "name": contestant.name,
            "params": contestant.params,
            "macs": contestant.macs,
            "microseconds_per_patch": dict(zip(("median", "low", "high"), spread, strict=True)),
            "fpr95": self.fpr95,
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
    spent, file = cost(net), File(path.name, path.stat().st_size, sha256(path))
    return Contestant(path.stem, partial(describe, net), file, spent.params, spent.macs)


def baseline(name: str) -> Contestant:
    """A classical descriptor by name.

    Raises:
        RequestError: There is none of that name.
    """
    return Contestant(name, partial(_at_size, find_baseline(name).describe))


def _at_size(describe: Callable[[np.ndarray], np.ndarray], patches: np.ndarray) -> np.ndarray:
    """Descriptors of patches at the one size that the baselines take."""
    if patches.shape[1:] != (PATCH, PATCH):
        patches = np.stack([cv2.resize(patch, (PATCH, PATCH)) for patch in patches])
    return describe(patches)


def compare_release(
    contestants: Sequence[Contestant],
    release: PatchRelease,
    split: Split,
    *,
    folder: Path | None = None,
    pairs: int | None = None,
    tours: Sequence[PhotoTour] = (),
    distance: str | None = None,
) -> list[Entry]:
    """`compare` on the tasks of a split, found in `folder` or generated; progress on stderr.

    Args:
        pairs: Verification pairs of each kind, where they are generated.
    """
    counts = {name: release.count(name) for name in split.test}
    with shown_progress() as progress:
        tasks = obtain_tasks(split, counts, release, folder=folder, pairs=pairs, progress=progress)
        return compare(
            contestants, release, tasks, tours=tours, distance=distance, progress=progress
        )


def compare(
    contestants: Sequence[Contestant],
    release: PatchRelease,
    tasks: Tasks,
    *,
    tours: Sequence[PhotoTour] = (),
    distance: str | None = None,
    progress: Progress = silent,
) -> list[Entry]:
    """Evaluate all on the same tasks, and time all in the same rounds on one thread.

    Args:
        tours: PhotoTour sets to measure the false positive rate at 95 % recall on as well.
    """
    results, rates = [], []
    for contestant in contestants:
        described = describe_release(
            release,
            contestant.describe,
            tasks.split.test,
            name=contestant.name,
            progress=progress,
        )
        results.append(evaluate(described, tasks, distance=distance, progress=progress))
        rates.append({tour.root.name: fpr95(contestant, tour) for tour in tours})
    patches = _some_patches(release, tasks)
    timings = on_threads(1, [partial(c.describe, patches) for c in contestants])
    return [Entry(*parts) for parts in zip(contestants, results, timings, rates, strict=True)]


def fpr95(contestant: Contestant, tour: PhotoTour) -> float:
    """False positive rate at 95 % recall on the test pairs of a PhotoTour set.

    Raises:
        DataError: The set has no test pairs.
    """
    pairs, same = tour.test_pairs()
    numbers, places = np.unique(pairs, return_inverse=True)
    rows = contestant.describe(tour.patches[numbers])
    if rows.dtype == np.uint8:
        rows = np.unpackbits(rows, axis=1)
    first, second = rows.astype(np.float32)[places.reshape(pairs.shape).T]
    return fpr_at_recall(-np.linalg.norm(first - second, axis=1).astype(np.float64), same)


def record(
    entries: Sequence[Entry],
    release: PatchRelease,
    tours: Sequence[PhotoTour] = (),
    *,
    command: str,
) -> dict[str, Any]:
    """One run as plain numbers: what `descompress eval --json` writes.

    Args:
        command: How others can ask for the same.
    """
    return {
        "format": FORMAT,
        "command": command,
        "patches": {
            "extraction": _extraction(release.root / "extraction.json"),
            "sequences": {name: release.count(name) for name in release.sequences},
        },
        "phototour": {
            tour.root.name: {"patches": len(tour.patches), "pairs": len(tour.test_pairs()[0])}
            for tour in tours
        },
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            **(entries[0].hpatches["versions"] if entries else {}),
        },
        "entries": [entry.to_json() for entry in entries],
    }


def _extraction(path: Path) -> dict[str, Any] | None:
    """The settings a release was extracted with; None for one that comes from elsewhere."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("settings") if isinstance(content, dict) else None


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
    rates = {f"FPR95 {name}": f"{100 * rate:.2f}" for name, rate in entry.fpr95.items()}
    if first is None:
        return {"us/patch": time, **rates}
    time += f" ({first.microseconds / entry.microseconds:.2f}x)"
    if not params or not first.contestant.params:
        return {"params": "", "compression": "", "MMACs": "", "us/patch": time, **rates}
    return {
        "params": f"{params:,}",
        "compression": f"{first.contestant.params / params:.2f}x",
        "MMACs": f"{(macs or 0) / 1e6:.2f}",
        "us/patch": time,
        **rates,
    }
