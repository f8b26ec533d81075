"""What is left where a process was killed after it had written its output, and before it went.

Whoever asks for the same output again is refused, as it is there; these go then.
"""

from pathlib import Path

from hpatches_eval.files import discard

from .runs import checkpoint_of
from .training import is_final

TRAINED = "trained"  # a file that says that nothing but the output of a pruning is missing


def parts_of(out: Path) -> Path:
    """The folder of intermediate results of a pruning that is to write `out`."""
    return out.with_name(f"{out.name}.parts")


def settle(out: Path) -> None:
    """Delete the last checkpoint of a training, and the parts of a pruning, that wrote `out`."""
    checkpoint, parts = checkpoint_of(out), parts_of(out)
    if not out.exists():
        return
    if checkpoint.exists() and _is_older(checkpoint, out) and is_final(checkpoint):
        checkpoint.unlink(missing_ok=True)
    if (parts / TRAINED).exists() and not checkpoint.exists():
        discard(parts)


def _is_older(path: Path, other: Path) -> bool:
    return path.stat().st_mtime_ns <= other.stat().st_mtime_ns
