"""Locks last as long as their process, whatever it started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from descompress.errors import FileError
from descompress.locks import locked

ROOT = Path(__file__).resolve().parents[1]
WITH_A_CHILD = """
import os, sys, time
from descompress.locks import locked
with locked(sys.argv[1], wait=False):
    if not os.fork():
        print(os.getpid(), flush=True)
        time.sleep(20)  # as a process that makes batches does for a while
        os._exit(0)
    time.sleep(60)
"""


def test_names_need_not_be_text(tmp_path):
    with locked(tmp_path / os.fsdecode(b"caf\xe9"), wait=False):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="no forks there")
def test_a_lock_goes_with_a_killed_process_and_not_with_its_children(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", WITH_A_CHILD, str(out)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        with (
            pytest.raises(FileError, match="another process is writing it"),
            locked(out, wait=False),
        ):
            pass
        process.kill()
        process.wait()
        with locked(out, wait=False):
            os.kill(child, signal.SIGKILL)  # it was still there


def test_another_users_lock_is_one_line(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with (
        pytest.raises(FileError, match="out: another user's process"),
        locked(tmp_path / "out", wait=False),
    ):
        pass
