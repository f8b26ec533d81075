"""`descompress weights`, shipped names as arguments of other verbs, and the installed folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import descompress
from descompress import shelf
from descompress.cli import main
from descompress.shelf.pages import BEGIN, END, rows, table

REPOSITORY = Path(__file__).resolve().parents[1]


def run(*args: object):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def refusal(*args: object) -> tuple[int, str]:
    result = run(*args)
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith("Error: ")
    return result.exit_code, lines[-1]


def test_list_names_what_there_is_and_what_it_is_for(shelf_folder):
    header, *lines = run("weights", "list").stdout.splitlines()
    assert header.split() == ["name", "params", "bytes", "about"]
    for name, line in zip(("net", "net.dw"), lines, strict=True):
        net, file = descompress.load(name), shelf_folder / f"{name}.safetensors"
        params, size = descompress.cost(net).params, file.stat().st_size
        assert line.split() == [name, f"{params:,}", f"{size:,}", name, "in", "a", "word"]


def test_list_of_an_empty_shelf_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("DESCOMPRESS_WEIGHTS", str(tmp_path))
    status, line = refusal("weights", "list")
    assert status == 1
    assert f"no networks are shipped here: {tmp_path / 'index.toml'} is missing or empty" in line
    assert refusal("weights", "table") == (status, line)


def test_path_prints_where_a_network_lies(shelf_folder):
    assert run("weights", "path", "net.dw").stdout == f"{shelf_folder / 'net.dw.safetensors'}\n"
    status, line = refusal("weights", "path", "net.dv")
    assert (status, "there are net.dw, net" in line) == (1, True)


def test_table_prints_markdown_or_json_and_goes_into_a_page(shelf_folder, tmp_path):
    index, page = shelf.read_index(), tmp_path / "page.md"
    assert run("weights", "table").stdout == table(index)
    assert json.loads(run("weights", "table", "--json").stdout) == rows(index)
    page.write_text(f"# é\n{BEGIN}{END}\nrest\n", encoding="utf-8")
    assert run("weights", "table", "--into", page).exit_code == 0
    assert page.read_text(encoding="utf-8") == f"# é\n{BEGIN}{table(index)}{END}\nrest\n"


def test_a_page_that_cannot_take_the_table_is_left_alone(shelf_folder, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("no marks")
    status, line = refusal("weights", "table", "--into", page)
    assert (status, f"{page}: no place for the table" in line) == (1, True)
    assert page.read_text() == "no marks"
    status, line = refusal("weights", "table", "--into", tmp_path / "gone.md")
    assert (status, "gone.md: No such file" in line) == (1, True)
    page.write_bytes(b"\xff")
    assert refusal("weights", "table", "--into", page)[0] == 1
    assert refusal("weights", "table", "--into", page, "--json")[0] == 2


def test_index_writes_the_index_and_the_cards(measured_weights, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(measured_weights, folder)
    result = run("weights", "index", folder)
    assert result.stdout == f"{folder / 'index.toml'}: net, net.dw\n"
    assert {path.name for path in (folder / "cards").iterdir()} == {"net.md", "net.dw.md"}
    assert (folder / "index.toml").read_text().startswith("# Written by")


def test_index_leaves_everything_as_it_was_where_it_refuses(shelf_folder):
    before = (shelf_folder / "index.toml").read_bytes()
    (shelf_folder / "recipes" / "net.toml").unlink()
    assert refusal("weights", "index")[0] == 1
    assert (shelf_folder / "index.toml").read_bytes() == before
    assert {path.name for path in (shelf_folder / "cards").iterdir()} == {"net.md", "net.dw.md"}


# --- names where files go


def test_show_and_cost_take_names(shelf_folder):
    file = shelf_folder / "net.dw.safetensors"
    assert run("show", "net.dw").stdout == run("show", file).stdout
    by_name, by_path = (json.loads(run("cost", x, "--json").stdout) for x in ("net.dw", file))
    assert by_name[0].pop("file") == "net.dw"
    assert by_path[0].pop("file") == str(file)
    assert by_name == by_path
    assert f"{file.stat().st_size:,}" in run("cost", "net.dw").stdout


def test_eval_takes_names_and_says_them_in_its_record(shelf_folder, release, tmp_path):
    out = tmp_path / "out.json"
    result = run("eval", "net.dw", "--patches", release, "--pairs", 300, "--json", out)
    assert result.exit_code == 0, result.stderr
    found = json.loads(out.read_text())
    assert found["command"] == f"descompress eval net.dw --patches {release.name} --pairs 300"
    assert found["entries"][0]["name"] == "net.dw"


def test_convert_takes_names(shelf_folder, tmp_path):
    assert run("convert", "net", tmp_path / "small", "--preset", "cdp2").exit_code == 0
    assert descompress.load(tmp_path / "small").spec.layers


def test_convert_with_nothing_but_float16_stores_the_same_network_in_half_the_bytes(
    shelf_folder, tmp_path
):
    out = tmp_path / "half.safetensors"
    assert run("convert", "net", out, "--dtype", "float16").exit_code == 0
    full, half = descompress.load("net"), descompress.load(out)
    assert half.spec == full.spec
    for name, weight in full.state_dict().items():
        if weight.is_floating_point():
            weight = weight.half().float()
        assert torch.equal(half.state_dict()[name], weight)
    data = 4 * descompress.cost(full).params
    saved = (shelf_folder / "net.safetensors").stat().st_size - out.stat().st_size
    assert saved > 0.45 * data
    status, line = refusal("convert", "net", tmp_path / "other")
    assert (status, "the recipe is empty" in line) == (2, True)


@pytest.mark.parametrize("verb", ["show", "cost"])
def test_an_unknown_name_is_one_line(shelf_folder, verb):
    status, line = refusal(verb, "nett")
    assert (status, line) == (
        1,
        "Error: nett: no such file, nor a shipped network; there are net, net.dw",
    )


def test_an_unknown_name_is_one_line_elsewhere_too(shelf_folder, release, tmp_path):
    for args in (
        ("convert", "nett", tmp_path / "out", "--preset", "cdp2"),
        ("eval", "nett", "--patches", release),
        ("demo", tmp_path / "demo", "--net", "nett"),
    ):
        status, line = refusal(*args)
        assert (status, "nett: no such file, nor a shipped network" in line) == (1, True)


# --- installation


def test_a_build_puts_the_networks_and_their_index_into_the_package(tmp_path):
    stale = tmp_path / "lib" / "descompress" / "weights" / "gone.safetensors"
    stale.parent.mkdir(parents=True)
    stale.touch()
    script = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", tmp_path]
    command = [*script, "build_py", "--build-lib", tmp_path / "lib"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    weights = REPOSITORY / "weights"
    networks = {path.name for path in weights.glob("*.safetensors")}
    cards = {f"cards/{Path(name).stem}.md" for name in networks}
    found = [path for path in stale.parent.rglob("*") if path.is_file()]
    copied = {path.relative_to(stale.parent).as_posix(): path.read_bytes() for path in found}
    records = {path.name for path in weights.glob("measured*.json")} | {"bench.json"}
    assert copied.keys() == networks | cards | records | {"index.toml", "README.md"}
    assert all(content == (weights / name).read_bytes() for name, content in copied.items())
    code = "from descompress import shelf; print(shelf.folder(), *shelf.names(), sep='\\n')"
    seen = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "lib",
        env={"PYTHONPATH": str(tmp_path / "lib")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.splitlines() == [str(stale.parent), *shelf.names()]
