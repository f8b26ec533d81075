"""What results files say they rest on."""

import hashlib
import os
import platform
import re
from pathlib import Path

import numpy as np
import pytest

from hpatches_eval.errors import DataError
from hpatches_eval.provenance import checksum, made, versions


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "data"
    (root / "b").mkdir(parents=True)
    (root / "b" / "x.png").write_bytes(b"123")
    (root / "a.txt").write_bytes(b"")
    return root


def test_the_checksum_of_a_file_is_its_sha256(folder):
    assert checksum(folder / "b" / "x.png") == digest(b"123")


def test_the_checksum_of_a_folder_is_of_its_list_of_files(folder):
    lines = f"a.txt 0 {digest(b'')}\nb/x.png 3 {digest(b'123')}\n"
    assert checksum(folder) == digest(lines.encode())


def test_it_stays_where_nothing_of_the_data_changes(folder):
    before = checksum(folder)
    (folder / ".hidden").write_bytes(b"x")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(b"x")
    (folder / "empty").mkdir()
    os.utime(folder / "a.txt", (1, 1))
    assert checksum(folder.rename(folder.with_name("elsewhere"))) == before


@pytest.mark.parametrize("change", ["content", "name", "more", "less"])
def test_it_changes_with_the_data(folder, change):
    before, file = checksum(folder), folder / "b" / "x.png"
    if change == "content":
        file.write_bytes(b"124")
    elif change == "name":
        file.rename(folder / "x.png")
    elif change == "more":
        (folder / "b" / "y.png").write_bytes(b"")
    else:
        file.unlink()
    assert checksum(folder) != before


def test_links_are_followed_and_may_lead_in_circles(folder, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "set").symlink_to(folder)
    (folder / "b" / "up").symlink_to(folder)
    lines = f"set/a.txt 0 {digest(b'')}\nset/b/x.png 3 {digest(b'123')}\n"
    assert checksum(tmp_path / "root") == digest(lines.encode())


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: cannot be read"):
        checksum(tmp_path / "nowhere")


def test_numbers_rest_on_the_command_the_versions_the_weights_and_the_data(folder):
    weights = {"net": folder / "b" / "x.png"}
    assert made("a command", weights, {"patches": folder, "splits": None}) == {
        "command": "a command",
        "versions": versions(),
        "weights": {"net": digest(b"123")},
        "data": {"patches": checksum(folder)},
    }


def test_versions_are_of_python_and_of_what_is_installed():
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["numpy"] == np.__version__
    assert all(re.match(r"\d", number) for number in found.values())
    assert "tensorflow" not in found
