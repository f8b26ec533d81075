"""A little of `benchmarks/kills.py`: commands that are killed, and two at one output."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import wholeness

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and kills by signals")


def told(verbs: tuple[str, ...], *options: str) -> list[list[str]]:
    """The rows of the table that the harness prints, in a process without the threads of tests."""
    only = [word for name in verbs for word in ("--only", name)]
    command = [sys.executable, str(ROOT / "benchmarks" / "kills.py"), *only, *options]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == [*verbs]
    return rows


def test_commands_that_are_killed_go_on_to_the_same_end():
    for name, count, _, went_on, refused, faults, _ in told(("train", "convert"), "--times", "3"):
        assert int(count) >= 3, name
        assert int(went_on) + int(refused) >= 1
        assert faults == "0"


def test_two_commands_at_one_output_leave_the_whole_result_of_one():
    for name, count, _, ended_well, refused, faults, _ in told(
        ("describe", "data get"), "--times", "1", "--together"
    ):
        assert (count, faults) == ("1", "0"), name
        assert int(ended_well) + int(refused) == 2
        assert int(ended_well) >= 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.safetensors", b"half"),
        ("a.json", b'{"half": '),
        ("a.h5", b"\x89HDF half"),
        ("a.onnx", b"half"),
        ("a.npz", b"PK half"),
        ("a.png", b"\x89PNG half"),
        ("a.ckpt", b"half"),
        ("a.html", b"<html>half"),
    ],
)
def test_the_harness_sees_a_broken_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    (fault,) = wholeness.faults(tmp_path)
    assert fault.startswith(f"{name}: ")


def test_the_harness_overlooks_what_is_not_final(tmp_path):
    (tmp_path / ".a.json.abcdefgh.new").mkdir()
    (tmp_path / ".a.json.abcdefgh.new" / "a.json").write_bytes(b"half")
    (tmp_path / "set.zip.part").write_bytes(b"half")
    assert wholeness.faults(tmp_path) == []
