"""Measured time, told as a ratio to a peer in the same run."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float
from threadpoolctl import threadpool_limits

TICK = 1e-6  # seconds; no call is taken to be shorter


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds a call: the median of the rounds, and the range of their middle half."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Float[np.ndarray, " rounds"]) -> "Timing":
        """What the rounds come to."""
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
        return cls(median, low, high)


@dataclass(frozen=True, slots=True)
class Turns:
    """How calls take turns.

    Args:
        rounds: That count.
        least: Seconds that a turn takes at least: shorter calls are repeated, behind one that does
            not count.
        now: The clock, in seconds.
    """

    rounds: int = 7
    least: float = 0.0
    now: Callable[[], float] = time.perf_counter


def in_turns(
    calls: Sequence[Callable[[], object]],
    turns: Turns,
    done: Callable[[int], None] = lambda rounds: None,
) -> Float[np.ndarray, "rounds calls"]:
    """Seconds a call, every one once a round, so that a slow spell of the machine hits them all.

    One round more comes first and is not counted.

    Args:
        done: Told how many rounds are over, that one included.
    """
    repeats = [_repeats(call, turns) for call in calls]
    done(1)
    seconds = np.empty((turns.rounds, len(calls)))
    for number in range(turns.rounds):
        pairs = zip(calls, repeats, strict=True)
        seconds[number] = [_seconds(call, repeat, turns.now) for call, repeat in pairs]
        done(number + 2)
    return seconds


def interleaved(calls: Sequence[Callable[[], object]], rounds: int = 7) -> list[Timing]:
    """Time every call `rounds` times, in turn, so that a slow spell of the machine hits them all.

    One round more comes first and is not counted.
    """
    return [Timing.of(column) for column in in_turns(calls, Turns(rounds)).T]


def on_threads(threads: int, calls: Sequence[Callable[[], object]]) -> list[Timing]:
    """`interleaved` with this many threads; see `threads_set`."""
    with threads_set(threads):
        return interleaved(calls)


@contextmanager
def threads_set(threads: int) -> Iterator[None]:
    """This many threads of PyTorch, OpenCV and NumPy's products; settings are put back."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    with threadpool_limits(threads):
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            cv2.setNumThreads(before[1])


def _repeats(call: Callable[[], object], turns: Turns) -> int:
    """How often a call is repeated in a turn; the first is often slower than those to come."""
    seconds = _seconds(call, 1, turns.now)
    if turns.least:
        seconds = min(seconds, _seconds(call, 1, turns.now))
    return max(1, math.ceil(turns.least / max(seconds, TICK)))


def _seconds(call: Callable[[], object], repeats: int, now: Callable[[], float]) -> float:
    """Of one call, the mean over the repeats."""
    if repeats > 1:
        call()
    start = now()
    for _ in range(repeats):
        call()
    return (now() - start) / repeats
