"""A run of the clock: who takes part, the rounds, the fresh processes, the record."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hpatches_eval.errors import EvalError
from hpatches_eval.maps import Picking
from hpatches_eval.progress import Progress, silent
from hpatches_eval.provenance import versions

from .. import machine
from ..clock import Turns, in_turns, threads_set
from ..errors import DescompressError, RequestError
from . import cold, inputs, networks, peers, results
from .around import steps
from .asking import Settings, calibration, competitors
from .contestants import PATCHES, Contestant, Work
from .networks import Course, Exports, Network
from .products import HOW, products

FORMAT = 1
LEAST = 0.02  # seconds of a turn
STARTS = 3  # fresh processes of each contestant
THRESHOLD = 0.005  # of scores that may become keypoints
METHODS = {
    "time": "Interleaved rounds: one turn of every contestant after the other, shorter calls "
    f"repeated to {1000 * LEAST:.0f} ms; median of the rounds, and their middle half.",
    "ratio": "Round by round, each at its best batch; the median is told.",
    "peers_by_keypoint": "OpenCV's descriptors: of the detections of one image, with the work on "
    "the image that their compute() does, for each keypoint described. Networks: of patches that "
    "are cut already.",
    "images": "Detection is maps and choice of keypoints; description is reading descriptors at "
    "keypoints; total is both; matching is mutual nearest neighbours of two images. OpenCV: total "
    "is detectAndCompute (TEBLID: detect, then compute), description what it takes beyond detect.",
    "share_of_peak": "Multiply-accumulates of the network as it was given, of its maps for images, "
    "by time, as a share of those of a matrix product in the same rounds. Kernels that need fewer "
    "(Winograd's) can exceed 1.",
    "fresh": "A new process for each: from its start to the first result (one patch or image), "
    "files being in the system's cache; the most memory it had at once (VmHWM of Linux, libraries "
    "included) when it had also run the largest batch. "
    f"Median of {STARTS} processes; the first number of threads.",
}


def run(settings: Settings, command: str, progress: Progress = silent) -> dict[str, Any]:
    """Time everything and tell it as plain values.

    Args:
        command: How others can ask for the same.

    Raises:
        RequestError: None of the networks can run; see `competitors`, too.
        ArtifactError: See `competitors`.
    """
    before, (found, others) = machine.load(), competitors(settings)

    def tell(what: str, done: int) -> None:
        progress(f"writing {what}", done, 1)

    with networks.exports(calibration(settings, found), tell) as exports:
        bench = Bench(settings, found, others, exports, progress)
        record = bench.measured()
    return {
        "format": FORMAT,
        "command": command,
        "settings": _told(settings),
        "machine": machine.described() | {"load_before": before, "load_after": machine.load()},
        "versions": versions(),
        "methods": METHODS,
        **record,
    }


@dataclass
class Bench:
    """Contestants on the same course."""

    settings: Settings
    found: Sequence[Network]
    others: Sequence[str]
    exports: Exports
    progress: Progress
    left_out: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def measured(self) -> dict[str, Any]:
        """Entries, peaks and steps at every number of threads."""
        record: dict[str, list[Any]] = {"entries": [], "peaks": [], "around": []}
        fresh: list[dict[str, Any]] = []
        for threads in self.settings.threads:
            with threads_set(threads):
                contestants = list(self.contestants(threads))
                self._refuse_none(contestants)
                for key, values in self.rounds(contestants, threads).items():
                    record[key] += values
            if not fresh:
                fresh = self.starts(contestants)
        for entry, said in zip(record["entries"], fresh, strict=False):
            entry["fresh"] = said
        reasons = [(*who, reason) for who, reason in self.left_out.items()]
        keys = ("name", "on", "kind", "reason")
        left_out = [dict(zip(keys, each, strict=True)) for each in reasons]
        return {**record, "left_out": left_out}

    def contestants(self, threads: int) -> Iterator[Contestant]:
        """Those that can run here; the others are noted with the reason."""
        course, kinds = self.course(), sorted({n.kind for n in self.found}, reverse=True)
        if not self.settings.on:
            self.left_out["all networks", "compile-fp32", ""] = networks.COMPILED
        for name in self.others:
            if not peers.kinds_of(name, kinds):
                self.left_out[Path(name).name, "", ""] = "no network of its kind takes part"
        todo = [
            (n.name, on, n.kind, partial(networks.contestant, n, on, threads, course, self.exports))
            for n in self.found
            for on in self.settings.on or networks.USUAL
        ]
        todo += [
            (Path(name).name, "", kind, partial(peers.peer, name, kind, threads, course))
            for name in self.others
            for kind in peers.kinds_of(name, kinds)
        ]
        for number, (name, on, kind, make) in enumerate(todo):
            self.progress("opening", number + 1, len(todo))
            try:
                contestant = make()
                contestant.works[0].run()
            except Exception as error:  # backends have no common class of errors
                self.left_out[name, on, kind] = _reason(error)
            else:
                yield contestant

    def course(self) -> Course:
        """What all have to do."""
        settings, size = self.settings, self.settings.size
        batches = {count: inputs.patches(count) for count in settings.batches}
        pair = inputs.texture(size), inputs.texture(size, 1)
        return Course(batches, pair, Picking(settings.keypoints, threshold=THRESHOLD))

    def rounds(self, contestants: Sequence[Contestant], threads: int) -> dict[str, list[Any]]:
        """Entries, peaks and steps of one number of threads."""
        settings = self.settings
        peaks, missing = products({c.precision for c in contestants}, threads)
        patches = any(n.kind == PATCHES for n in self.found)
        others = steps(self.course(), self.found) if patches else []
        works: list[Work] = [work for c in contestants for work in c.works]
        seconds = in_turns(
            [work.run for work in (*works, *peaks, *others)],
            Turns(settings.rounds, LEAST),
            lambda done: self.progress(f"rounds, threads {threads}", done, settings.rounds + 1),
        )
        entries = results.timed(contestants, seconds[:, : len(works)])
        rest = dict(zip((*peaks, *others), seconds[:, len(works) :].T, strict=True))
        per_mac = {work.part: rest[work] / work.units for work in peaks}
        return {
            "entries": [results.entry_json(e, entries, per_mac, threads) for e in entries],
            "peaks": [_peak(w.part, threads, rest[w] / w.units) for w in peaks]
            + [{"precision": p, "threads": threads, "reason": r} for p, r in missing.items()],
            "around": [_step(work, threads, rest[work]) for work in others],
        }

    def starts(self, contestants: Sequence[Contestant]) -> list[dict[str, Any]]:
        """What fresh processes say."""
        total = STARTS * len(contestants)
        told = partial(self._told_starts, total)
        return cold.starts(contestants, STARTS, told)

    def _told_starts(self, total: int, done: int) -> None:
        self.progress("fresh processes", done, total)

    def _refuse_none(self, contestants: Sequence[Contestant]) -> None:
        own = {n.name for n in self.found if not n.peer}
        if not own & {c.name for c in contestants}:
            who, reason = next((w, r) for w, r in self.left_out.items() if w[0] in own)
            raise RequestError(f"no network can run here; {who[0]} on {who[1]}: {reason}")


def _told(settings: Settings) -> dict[str, Any]:
    said = asdict(settings)
    del said["calibration"], said["nets"], said["against"]
    return said


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    own = isinstance(error, DescompressError | EvalError)
    return text if own else f"{type(error).__name__}: {text}"


def _peak(precision: str, threads: int, seconds: np.ndarray) -> dict[str, Any]:
    """Seconds a multiply-accumulate as how many there are a second."""
    rates = {k: v for k, v in results.told(1e-9 / seconds, 1.0).items() if k != "rounds"}
    how = HOW[precision]
    said = {"precision": precision, "threads": threads, "how": how}
    return {**said, "gigamacs_per_second": rates}


def _step(work: Work, threads: int, seconds: np.ndarray) -> dict[str, Any]:
    told = results.told(seconds, results.MILLI)
    return {"part": work.part, "threads": threads, "keypoints": work.units, "milliseconds": told}
