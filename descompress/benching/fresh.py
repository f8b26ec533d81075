"""A new process that does one thing and says when it was done and what memory it took.

    python -m descompress.benching.fresh '{"opener": "exported", "file": "net.onnx", ...}'

Only what the thing itself needs is imported: the time from the start of the process to the first
result is what its users wait for. `cold` starts such processes and reads their line of JSON.
"""

import time

BEGUN = time.monotonic()

import json  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Mapping  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, TypeAlias  # noqa: E402

import numpy as np  # noqa: E402

Job: TypeAlias = Mapping[str, Any]
Call: TypeAlias = Callable[[np.ndarray], object]
STATUS = Path("/proc/self/status")


def exported(job: Job) -> Call:
    """An exported network."""
    from ..runtimes import open_file

    return open_file(job["file"], job["backend"], threads=job["threads"], bf16=job["bf16"])


def module(job: Job) -> Call:
    """A network in PyTorch."""
    from ..deployment import deploy
    from ..shelf import load

    return deploy(load(job["file"]), job["on"], threads=job["threads"])


def kornia(job: Job) -> Call:
    """kornia's HardNet in eager PyTorch."""
    from .peers import kornia_hardnet

    return kornia_hardnet(job["threads"])[1]


def opencv(job: Job) -> Call:
    """Descriptors of OpenCV at keypoints of an image: as many as the array has rows."""
    import cv2

    from .classical import ENGINES, scattered

    cv2.setNumThreads(job["threads"])
    engine = ENGINES[job["name"]](job["keypoints"])
    return lambda image: engine.compute(image, scattered(image.shape, job["keypoints"]))


def features(job: Job) -> Call:
    """Keypoints and descriptors of OpenCV."""
    import cv2

    from .classical import ENGINES

    cv2.setNumThreads(job["threads"])
    return ENGINES[job["name"]](job["keypoints"]).both


def maps(job: Job) -> Call:
    """Maps of an ONNX file of others."""
    from hpatches_eval.maps import OnnxFinder

    return OnnxFinder(job["file"], threads=job["threads"]).maps


OPENERS = {f.__name__: f for f in (exported, module, kornia, opencv, features, maps)}


def peak_bytes(status: Path = STATUS) -> int | None:
    """The most memory this process had at once (VmHWM of Linux); None where nobody says.

    Not `ru_maxrss`: a child inherits there what its parent had.
    """
    try:
        lines = status.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return 1024 * int(kilobytes[0]) if kilobytes else None


def main(text: str) -> None:
    """Run the job: open, once on the first batch, once on the largest."""
    job = json.loads(text)
    run = OPENERS[job["opener"]](job)
    opened = time.monotonic()
    first, most = (np.load(path) for path in job["inputs"])
    run(first)
    done = time.monotonic()
    run(most)
    said = {"begun": BEGUN, "opened": opened, "done": done, "peak_bytes": peak_bytes()}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
