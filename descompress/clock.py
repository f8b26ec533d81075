"""Measured time, told as a ratio to a peer in the same run."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds a call: the median of the rounds, and the range of their middle half."""

    median: float
    low: float
    high: float


def interleaved(calls: Sequence[Callable[[], object]], rounds: int = 7) -> list[Timing]:
    """Time every call `rounds` times, in turn, so that a slow spell of the machine hits them all.

    One round more comes first and is not counted.
    """
    seconds = np.array([[_seconds(call) for call in calls] for _ in range(rounds + 1)])[1:]
    low, median, high = np.quantile(seconds, [0.25, 0.5, 0.75], axis=0).tolist()
    return [Timing(*row) for row in zip(median, low, high, strict=True)]


def on_threads(threads: int, calls: Sequence[Callable[[], object]]) -> list[Timing]:
    """`interleaved` with this many threads of PyTorch and OpenCV; their settings are put back."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    try:
        return interleaved(calls)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
