"""What a killed process had started ends too."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
POOL = """
import os
from pathlib import Path
from descompress.data.points import _found
def find(path):
    return os.getpid()
found = _found([Path(str(n)) for n in range(40)], find, 1)
print(next(found), flush=True)
os.kill(os.getpid(), 9)
"""
LOADER = """
import os
import numpy as np
from descompress.data import stream
def source(number):
    print(os.getpid(), flush=True)
    return np.zeros((2, 32, 32), np.float32), np.zeros((2, 32, 32), np.float32)
batches = iter(stream(source, range(1000), 1))
next(batches)
os.kill(os.getpid(), 9)
"""


def is_alive(number: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("script", [POOL, LOADER], ids=["of points", "of batches"])
def test_workers_end_with_a_process_that_is_killed(script):
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -9
    worker = int(done.stdout.split()[0])
    end = time.monotonic() + 20
    while is_alive(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_alive(worker)
