import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from hpatches_eval.errors import OutputError
from hpatches_eval.files import replacing

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_appears_when_the_block_ends_well(tmp_path):
    with replacing(tmp_path / "out") as new:
        new.write_text("new")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("folder", [False, True])
def test_what_stood_there_stays_when_the_block_fails(tmp_path, folder):
    out = tmp_path / "out"
    if folder:
        out.mkdir()
        (out / "old").write_text("old")
    else:
        out.write_text("old")

    def fail() -> None:
        with replacing(out, force=True) as new:
            new.mkdir() if folder else new.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (out / "old" if folder else out).read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_existing_outputs_are_refused_without_force(tmp_path):
    (tmp_path / "out").write_text("old")
    with (
        pytest.raises(OutputError, match="exists already; --force replaces it"),
        replacing(tmp_path / "out"),
    ):
        pass
    with pytest.raises(OutputError, match="there is no folder"), replacing(tmp_path / "no/out"):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="/proc, which nobody may write to")
def test_a_folder_that_cannot_be_written_is_named():
    with pytest.raises(OutputError, match=r"/proc/out: cannot be written"), replacing("/proc/out"):
        pass


FULL = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from hpatches_eval.errors import OutputError
from hpatches_eval.files import replacing
try:
    with replacing(sys.argv[1], force=True) as new:
        new.write_bytes(bytes(5000))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="uses the limit on the size of files")
def test_no_room_left_leaves_the_old_file_and_one_line(tmp_path):
    (tmp_path / "out").write_text("old")
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    said = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env=env,
        check=True,
    ).stdout
    assert said.endswith("cannot be written (File too large)\n")
    assert (tmp_path / "out").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_ctrl_c_in_a_long_extraction_leaves_one_line_and_no_release(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (700, 900)).astype(np.uint8)
    for name in ("i_a", "i_b", "i_c", "i_d"):
        (tmp_path / "scenes" / name).mkdir(parents=True)
        for k in range(1, 7):
            cv2.imwrite(str(tmp_path / "scenes" / name / f"{k}.png"), cv2.blur(noise, (5, 5)))
            np.savetxt(tmp_path / "scenes" / name / f"H_1_{k}", np.eye(3))
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from hpatches_eval.cli import main; main()", "extract"),
            *(str(tmp_path / "scenes"), str(tmp_path / "out")),
        ],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    while not list(tmp_path.glob(".out.*/out/i_a")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said.strip().splitlines()[-1].lower().endswith("interrupted")
    assert "Traceback" not in said
    assert [p.name for p in tmp_path.iterdir()] == ["scenes"]
