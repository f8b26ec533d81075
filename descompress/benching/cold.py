"""How long a new process takes to its first result, and what memory it needs."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .contestants import Contestant, Job

ROOT = Path(__file__).resolve().parents[2]
MODULE = "descompress.benching.fresh"
LAST = 200  # letters of what a process said that failed


def starts(
    contestants: Sequence[Contestant], times: int, done: Callable[[int], None]
) -> list[dict[str, Any]]:
    """What each contestant's processes said, one contestant after the other, over and over.

    Args:
        times: Processes of each.
        done: Told how many processes there were.
    """
    said: list[list[dict[str, Any]]] = [[] for _ in contestants]
    with tempfile.TemporaryDirectory() as folder:
        jobs = [_stored(c, Path(folder, str(i))) for i, c in enumerate(contestants)]
        for number in range(times):
            for place, job in enumerate(jobs):
                said[place].append(start(job))
                done(number * len(jobs) + place + 1)
    return [summary(each) for each in said]


def start(job: Job) -> dict[str, Any]:
    """Run a job in a new process: `seconds` to its first result, and the rest of `fresh.main`."""
    begun = time.monotonic()
    command = [sys.executable, "-m", MODULE, json.dumps(job)]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=_environment(job["threads"]), check=False
    )
    try:
        said = json.loads(ended.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        lines = ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"]
        return {"failed": lines[-1][:LAST]}
    return {
        "seconds": said["done"] - begun,
        "opened_seconds": said["done"] - said["begun"],
        "peak_bytes": said["peak_bytes"],
    }


def summary(said: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the starts and their range; of failures the first."""
    failed = [each for each in said if "failed" in each]
    if failed:
        return failed[0]
    seconds = [each["seconds"] for each in said]
    peaks = [each["peak_bytes"] for each in said if each["peak_bytes"] is not None]
    return {
        "seconds": float(np.median(seconds)),
        "low": min(seconds),
        "high": max(seconds),
        "opened_seconds": float(np.median([each["opened_seconds"] for each in said])),
        "peak_bytes": int(np.median(peaks)) if peaks else None,
    }


def _stored(contestant: Contestant, stem: Path) -> Job:
    """Its job, the inputs as files."""
    paths = []
    for name, array in zip(("first", "most"), contestant.inputs, strict=True):
        path = Path(f"{stem}.{name}.npy")
        np.save(path, array)
        paths.append(str(path))
    return {**contestant.job, "inputs": paths}


def _environment(threads: int) -> dict[str, str]:
    """Where the package is found, and the threads that libraries start with."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(threads)}
