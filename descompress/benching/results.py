"""Seconds of rounds as the numbers that are told: per patch, per image, ratios, shares."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..clock import Timing
from .contestants import PATCHES, Contestant

MICRO, MILLI = 1e6, 1e3
DETECTION, DESCRIPTION = ("maps", "selection"), ("sampling",)


@dataclass(frozen=True)
class Timed:
    """A contestant and the seconds a unit of its works took, in every round.

    Args:
        seconds: By the part that a work is.
    """

    contestant: Contestant
    seconds: Mapping[str, Float[np.ndarray, " rounds"]]

    @property
    def best(self) -> str:
        """The size of a batch with the least time a patch; of images the whole."""
        if self.contestant.kind != PATCHES:
            return "total"
        return min(self.seconds, key=lambda part: float(np.median(self.seconds[part])))

    @property
    def fastest(self) -> Float[np.ndarray, " rounds"]:
        """Seconds a patch in its best batch, or an image without its matching."""
        return whole(self.seconds)["total"] if self.best == "total" else self.seconds[self.best]


def timed(
    contestants: Sequence[Contestant], seconds: Float[np.ndarray, "rounds works"]
) -> list[Timed]:
    """The columns of all works, in the order of the contestants, as seconds a unit."""
    columns = iter(seconds.T)
    return [
        Timed(c, {work.part: next(columns) / work.units for work in c.works}) for c in contestants
    ]


def whole(
    parts: Mapping[str, Float[np.ndarray, " rounds"]],
) -> dict[str, Float[np.ndarray, " rounds"]]:
    """The parts of an image summed up: detection, description, matching; total of the first two.

    OpenCV's engines share work between the first two: what both take together counts, and
    description is what is left when detection is taken off.
    """
    if "features" in parts:
        total, detection = parts["features"], parts["detection"]
        description = np.maximum(total - detection, 0)
    else:
        detection = np.sum([parts[part] for part in DETECTION], axis=0)
        description = np.sum([parts[part] for part in DESCRIPTION], axis=0)
        total = detection + description
    kept = {part: parts[part] for part in (*DETECTION, *DESCRIPTION) if part in parts}
    said = {"detection": detection, "description": description, "matching": parts["matching"]}
    return {**kept, **said, "total": total}


def faster(entry: Timed, other: Timed) -> Timing:
    """How many times as fast as another an entry is, each at its best, round by round."""
    return Timing.of(other.fastest / entry.fastest)


def quickest(entries: Sequence[Timed]) -> Timed | None:
    """The one with the least median."""
    return min(entries, key=lambda e: float(np.median(e.fastest)), default=None)


def ratios(entry: Timed, entries: Sequence[Timed]) -> dict[str, Any]:
    """`faster` than each other name of its kind, in the backend that is best for that.

    Of its kind the first network counts for "first" as well, and on the same backend for
    "first_same_backend".
    """
    kind = [e for e in entries if e.contestant.kind == entry.contestant.kind]
    names = list(dict.fromkeys(e.contestant.name for e in kind))
    found = {name: quickest([e for e in kind if e.contestant.name == name]) for name in names}
    first = [e for e in kind if e.contestant.name == first_of(kind)]
    same = [e for e in first if e.contestant.on == entry.contestant.on]
    chosen = {
        "first": quickest(first),
        "first_same_backend": quickest(same),
        **{name: e for name, e in found.items() if name != entry.contestant.name},
    }
    return {name: asdict(faster(entry, e)) for name, e in chosen.items() if e is not None}


def first_of(entries: Sequence[Timed]) -> str | None:
    """The name of the first network that is no peer, or else of the first network."""
    networks = [e.contestant for e in entries if e.contestant.precision]
    own = [c for c in networks if not c.peer]
    return next((c.name for c in [*own, *networks]), None)


def share(entry: Timed, products: Mapping[str, Float[np.ndarray, " rounds"]]) -> Timing | None:
    """Its multiply-accumulates a second as a share of those of a matrix product, round by round.

    Args:
        products: Seconds a multiply-accumulate, by precision.
    """
    contestant = entry.contestant
    product, macs = products.get(contestant.precision), contestant.facts.get("macs")
    if product is None or not macs:
        return None
    seconds = entry.fastest if contestant.kind == PATCHES else entry.seconds["maps"]
    return Timing.of(macs * product / seconds)


def entry_json(
    entry: Timed,
    entries: Sequence[Timed],
    products: Mapping[str, Float[np.ndarray, " rounds"]],
    threads: int,
) -> dict[str, Any]:
    """One line of the record: plain values."""
    contestant, part = entry.contestant, share(entry, products)
    return {
        "name": contestant.name,
        "on": contestant.on,
        "kind": contestant.kind,
        "peer": contestant.peer,
        "threads": threads,
        "precision": contestant.precision or None,
        **contestant.facts,
        **dict(_times(entry)),
        "times_as_fast_as": ratios(entry, entries),
        "share_of_peak": asdict(part) if part else None,
        "fresh": None,
    }


def told(seconds: Float[np.ndarray, " rounds"], unit: float) -> dict[str, Any]:
    """Median, middle half and rounds, in `unit` parts of a second."""
    return {
        **{name: value * unit for name, value in asdict(Timing.of(seconds)).items()},
        "rounds": (seconds * unit).tolist(),
    }


def _times(entry: Timed) -> Iterator[tuple[str, Any]]:
    if entry.contestant.kind == PATCHES:
        yield (
            "microseconds_per_patch",
            {part: told(seconds, MICRO) for part, seconds in entry.seconds.items()},
        )
        yield "best_batch", int(entry.best)
    else:
        parts = whole(entry.seconds)
        yield (
            "milliseconds_per_image",
            {part: told(seconds, MILLI) for part, seconds in parts.items()},
        )
