"""Signals in a process that used OpenVINO, whose CPU plugin moves the stack of their handlers."""

import subprocess
import sys
from pathlib import Path

from small_nets import made

from descompress.exporting import to_onnx

ROOT = Path(__file__).resolve().parents[2]
USED_UP_ELSEWHERE = """
import os, signal, sys, threading
from descompress.runtimes.ov import OpenVino

signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
sessions = [OpenVino(sys.stdin.buffer.read())()]
elsewhere = threading.Thread(target=sessions.clear)
elsewhere.start()
elsewhere.join()
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_a_session_that_ends_in_another_thread_takes_no_stack_away():
    done = subprocess.run(
        [sys.executable, "-c", USED_UP_ELSEWHERE],
        input=to_onnx(made("strided")).SerializeToString(),
        cwd=ROOT,
        capture_output=True,
    )
    assert (done.returncode, done.stdout) == (0, b"handled\n"), done.stderr.decode()
