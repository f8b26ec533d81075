"""Commands in copies of a process that has imported what they need, so that they start at once."""

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from descompress.cli import main


def started(work: Callable[[], int], told: Path) -> int:
    """Begin some work in a copy of this process; the number of the copy.

    Args:
        work: Gives the exit status.
        told: A file for what it says.
    """
    number = os.fork()
    if number:
        return number
    status = 70  # of an error that is not the command's own
    try:
        os.setpgid(0, 0)  # to find what it starts itself
        out = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        status = work()
    except BaseException as error:
        sys.stderr.write(f"Traceback: {type(error).__name__}: {error}\n")
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def ended(number: int) -> int:
    """Wait for a copy; its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def killed(number: int, seconds: float) -> bool:
    """Kill a copy after a time; whether it was still at work."""
    time.sleep(seconds)
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)
    return ended(number) == -signal.SIGKILL


def outlived(number: int, seconds: float = 10.0) -> bool:
    """Whether what a killed copy had started is still there after a time; it is ended then."""
    end = time.monotonic() + seconds
    with suppress(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(number, 0)
            time.sleep(0.02)
        os.killpg(number, signal.SIGKILL)
        return True
    return False


def command(words: Iterable[str], folder: Path) -> Callable[[], int]:
    """The work of a command in a folder."""

    def work() -> int:
        os.chdir(folder)
        try:
            main([*words])
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 1
        return 0

    return work


def warm(words: Iterable[str], folder: Path, notes: Path) -> int:
    """Run a command, and import what it imported; its exit status."""
    run = command(words, folder)

    def work() -> int:
        status = run()
        notes.write_text("\n".join(sys.modules))
        return status

    status = ended(started(work, notes.with_suffix(".txt")))
    for name in notes.read_text().split() if notes.exists() else ():
        if name not in sys.modules and not name.startswith("__"):
            with suppress(Exception):
                importlib.import_module(name)
    return status
