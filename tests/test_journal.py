import os
import random
from pathlib import Path

import pytest

from descompress.journal import MAGIC, PAGE, JournalledFile


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(250)) * 100)  # 25,000 bytes: six pages and a bit
    return path


def test_reads_writes_and_truncations_are_those_of_a_file(path, tmp_path):
    """The same random operations on an ordinary file, committed now and then."""
    twin, rng = tmp_path / "twin", random.Random(0)
    twin.write_bytes(path.read_bytes())
    with JournalledFile(path) as file, twin.open("r+b", buffering=0) as other:
        for _ in range(400):
            action = rng.choice(["read", "read", "write", "write", "truncate", "commit"])
            place, data = rng.randrange(40_000), rng.randbytes(rng.randrange(1, 9000))
            assert file.seek(place) == other.seek(place)
            if action == "read":
                assert file.read(len(data)) == other.read(len(data))
            elif action == "write":
                assert file.write(data) == other.write(data) == len(data)
            elif action == "truncate":
                assert file.truncate(place) == other.truncate(place)
            else:
                file.commit()
                assert path.read_bytes() == twin.read_bytes()
            assert file.tell() == other.tell()
            assert file.seek(0, os.SEEK_END) == other.seek(0, os.SEEK_END)
            assert file.seek(5) == 5
            assert file.seek(3, os.SEEK_CUR) == 8
        file.commit()
    assert path.read_bytes() == twin.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "twin"]


def test_nothing_changes_before_the_commit(path):
    before = path.read_bytes()
    with JournalledFile(path) as file:
        file.write(b"x" * 30_000)
        file.truncate(10)
        assert path.read_bytes() == before
    assert path.read_bytes() == before


class Killed(BaseException):
    """Stands for a process that ends at once."""


def killed_after(writes: int, path: Path, monkeypatch) -> bool:
    """Commit a change; die at the n-th change of a file on the disk. Whether it was done before."""
    left = writes

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    file = JournalledFile(path)
    monkeypatch.setattr(file, "_file", Watched(file._file, count))
    monkeypatch.setattr(os, "fsync", count)
    file.seek(3000)
    file.write(b"new" * 8000)
    try:
        file.commit()
    except Killed:
        return False
    finally:
        monkeypatch.undo()
        file.close()
    return True


class Watched:
    """A raw file that tells of every change before it is made."""

    def __init__(self, file, count) -> None:
        self.file, self.count = file, count

    def __getattr__(self, name: str):
        if name in ("write", "truncate"):
            self.count()
        return getattr(self.file, name)


def test_a_process_killed_while_it_commits_leaves_all_of_it(path, monkeypatch):
    before = path.read_bytes()
    after = before[:3000] + b"new" * 8000
    for writes in range(100):
        path.write_bytes(before)
        done = killed_after(writes, path, monkeypatch)
        assert done or path.with_name("file.journal").exists()
        with JournalledFile(path) as file:
            assert file.read() == after
        assert path.read_bytes() == after
        assert not path.with_name("file.journal").exists()
        if done:
            break
    assert done
    assert writes > 8  # died at the journal, at every page, and at the end


def test_a_process_killed_before_leaves_nothing_of_it(path, monkeypatch):
    before = path.read_bytes()
    killed_after(0, path, monkeypatch)
    journal = path.with_name("file.journal")
    whole = journal.read_bytes()
    for length in (*range(0, len(whole), 997), len(whole) - 1):
        journal.write_bytes(whole[:length])
        with JournalledFile(path) as file:
            assert file.read() == before
        assert not journal.exists()
        assert path.read_bytes() == before


def test_a_journal_of_something_else_is_forgotten(path):
    before, journal = path.read_bytes(), path.with_name("file.journal")
    for content in (MAGIC + b"\0\0\0\0" + b"x" * PAGE, b"something else"):
        journal.write_bytes(content)
        with JournalledFile(path) as file:
            assert file.read() == before
        assert not journal.exists()
