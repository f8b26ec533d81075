"""What a killed process leaves goes with the next output in the same folder."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hpatches_eval import holders
from hpatches_eval.errors import OutputError
from hpatches_eval.files import is_vacant, replacing, save_text

ROOT = Path(__file__).resolve().parents[2]
WRITING = """
import sys, time
from hpatches_eval.files import replacing
with replacing(sys.argv[1], force=True) as new:
    new.mkdir() if sys.argv[2] == "folder" else new.write_text("half")
    print("begun", flush=True)
    time.sleep(60)
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no locks on folders there")


def writer(out: Path, kind: str = "file") -> "subprocess.Popen[str]":
    """A process that has begun to write `out`."""
    command = [sys.executable, "-c", WRITING, str(out), kind]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.stdout.close()
    return process


def killed(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_goes_with_the_next_output(tmp_path, kind):
    killed(writer(tmp_path / "one", kind))
    assert len(names(tmp_path)) == 1
    save_text(tmp_path / "two", "whole")
    assert names(tmp_path) == ["two"]


def test_what_a_living_process_writes_stays(tmp_path):
    process = writer(tmp_path / "one")
    save_text(tmp_path / "two", "whole")
    assert len(names(tmp_path)) == 2
    assert not is_vacant(tmp_path)
    killed(process)


def test_a_folder_with_nothing_but_such_leftovers_is_vacant(tmp_path):
    killed(writer(tmp_path / "one"))
    assert is_vacant(tmp_path)
    assert names(tmp_path) == []
    assert is_vacant(tmp_path / "missing")
    save_text(tmp_path / "one", "whole")
    assert not is_vacant(tmp_path)


def open_files() -> int:
    return len([*Path("/dev/fd").iterdir()]) if Path("/dev/fd").exists() else 0


def left(root: Path, *entries: str) -> Path:
    """A holder that a killed process left, with some files."""
    holder = root / ".out.abcd_123.new"
    holder.mkdir()
    for entry in entries:
        (holder / entry).mkdir()
    return holder


def test_a_folder_half_replaced_comes_back(tmp_path):
    """Killed between the two moves: the old folder lies in the holder, the new one too."""
    holder = left(tmp_path, "out.old", "out")
    (holder / "out.old" / "kept").write_text("old")
    assert not is_vacant(tmp_path)
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["kept"]


def test_folders_that_only_look_like_it_stay(tmp_path):
    left(tmp_path, "something else")
    (tmp_path / ".out.new").mkdir()
    (tmp_path / ".out.abcdefgh.new").write_text("a file")
    before = names(tmp_path)
    save_text(tmp_path / "two", "whole")
    assert names(tmp_path) == sorted([*before, "two"])


def test_an_output_that_another_process_wrote_meanwhile_is_not_replaced(tmp_path):
    def write() -> None:
        with replacing(tmp_path / "out") as new:
            new.write_text("mine")
            (tmp_path / "out").write_text("another's")

    with pytest.raises(OutputError, match="exists already; --force replaces it"):
        write()
    assert (tmp_path / "out").read_text() == "another's"
    assert names(tmp_path) == ["out"]


def test_a_folder_called_as_what_it_replaces_is_set_aside_by_another_name(tmp_path):
    for text in ("first", "second"):
        with replacing(tmp_path / "old", force=True) as new:
            new.mkdir()
            (new / "file").write_text(text)
    assert (tmp_path / "old" / "file").read_text() == "second"


def test_two_processes_that_replace_a_folder_take_turns(tmp_path):
    command = """
import sys
from hpatches_eval.files import replacing
for turn in range(40):
    with replacing(sys.argv[1], force=True) as new:
        new.mkdir()
        for name in "abc":
            (new / name).write_text(sys.argv[2])
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    out = tmp_path / "out"
    both = [
        subprocess.Popen([sys.executable, "-c", command, str(out), text], env=environment)
        for text in ("first", "second")
    ]
    assert [process.wait() for process in both] == [0, 0]
    assert len({(out / name).read_text() for name in "abc"}) == 1
    assert names(tmp_path) == ["out"]


def test_a_holder_that_its_process_deletes_meanwhile_is_no_fault(tmp_path, monkeypatch):
    vanishing = left(tmp_path, "out")
    read = Path.iterdir

    def deleted_just_before(path):
        if path == vanishing:
            shutil.rmtree(path, ignore_errors=True)
        return read(path)

    monkeypatch.setattr(Path, "iterdir", deleted_just_before)
    save_text(tmp_path / "two", "whole")
    monkeypatch.undo()
    assert names(tmp_path) == ["two"]


def test_what_ends_puts_nothing_in_a_place_that_another_is_filling(tmp_path):
    """Who replaces a folder moves it away first: that the place is empty then means nothing."""
    out = tmp_path / "out"
    replaced = threading.Event()
    go_on = threading.Event()

    def replace() -> None:
        with holders.holder(out) as place:
            holders.old_of(place, out).mkdir()
            replaced.set()
            go_on.wait()

    replacing_it = threading.Thread(target=replace)
    replacing_it.start()
    replaced.wait()
    with holders.alone(tmp_path):
        go_on.set()
        replacing_it.join(0.2)
        assert replacing_it.is_alive()
        assert not out.exists()
    replacing_it.join()
    assert names(tmp_path) == ["out"]


def test_without_locks_nothing_is_deleted(tmp_path, monkeypatch):
    left(tmp_path, "out")
    monkeypatch.setattr(holders, "fcntl", None)
    save_text(tmp_path / "two", "whole")
    assert names(tmp_path) == [".out.abcd_123.new", "two"]
    assert not is_vacant(tmp_path)


def test_outputs_leave_no_open_files_behind(tmp_path):
    before = open_files()
    for number in range(20):
        save_text(tmp_path / str(number), "whole")
    assert open_files() == before
