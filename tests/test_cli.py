import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import descompress
from descompress import artifacts, cli
from descompress.cli import VERBS, main
from descompress.methods import CDP, Depthwise
from descompress.nets import build
from descompress.spec import Spec

SMALL = Spec("l2net", {"widths": (8, 8, 12, 12, 16, 16), "dim": 16})


def run(*args: object):
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.safetensors"
    artifacts.save(build(SMALL), path)
    return path


def test_convert_writes_a_smaller_network_and_says_how_much(file, tmp_path):
    out = tmp_path / "small"
    result = run("convert", file, out, "-l", "features.*", "depthwise", "-l", "1", "keep",
                 "-l", "2", "cdp:alpha=3")  # fmt: skip
    assert result.exit_code == 0
    small = descompress.load(out)
    assert small.spec.layers["features.3"] == CDP(3)
    assert small.spec.layers["features.19"] == Depthwise(1)
    before, after = descompress.cost(descompress.load(file)), descompress.cost(small)
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        "params", f"{before.params:,}", "->", f"{after.params:,}",
        f"({before.params / after.params:.2f}x)",
    ]  # fmt: skip
    assert lines[1].split()[:4] == ["MACs", f"{before.macs:,}", "->", f"{after.macs:,}"]


def test_convert_takes_presets_with_layers_on_top(file, tmp_path):
    result = run("convert", file, tmp_path / "a", "--preset", "cdp5", "-l", "7", "keep")
    assert result.exit_code == 0
    spec = descompress.load(tmp_path / "a").spec
    assert set(spec.layers.values()) == {CDP(5)}
    assert len(spec.layers) == 5


def test_convert_calibrates(file, tmp_path):
    np.save(tmp_path / "patches.npy", np.random.default_rng(0).random((64, 32, 32)))
    calibrate = ["--calibrate", tmp_path / "patches.npy"]
    assert run("convert", file, tmp_path / "plain", "--preset", "cdp2").exit_code == 0
    assert run("convert", file, tmp_path / "fit", "--preset", "cdp2", *calibrate).exit_code == 0
    polished = run(
        "convert", file, tmp_path / "more", "--preset", "cdp2", *calibrate, "--polish", 2
    )
    assert polished.exit_code == 0
    nets = [descompress.load(tmp_path / name) for name in ("plain", "fit", "more")]
    weights = [net.get_submodule("features.3.pointwise").weight for net in nets]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


def test_convert_stores_half_precision(file, tmp_path):
    assert run("convert", file, tmp_path / "full", "--preset", "cdp2").exit_code == 0
    result = run("convert", file, tmp_path / "half", "--preset", "cdp2", "--dtype", "float16")
    assert result.exit_code == 0
    assert (tmp_path / "half").stat().st_size < 0.7 * (tmp_path / "full").stat().st_size


def test_build_gives_the_same_network_for_the_same_seed(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        arguments = ["--arg", "widths=8,8,12,12,16,16", "--arg", "dim=16", "--seed", seed]
        result = run("build", "l2net", tmp_path / name, *arguments)
        assert result.exit_code == 0
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c
    assert descompress.load(tmp_path / "a").spec == build(SMALL).spec
    assert run("build", "superpoint", tmp_path / "d", "--arg", "batch_norm=true").exit_code == 0
    assert descompress.load(tmp_path / "d").spec.args["batch_norm"] is True
    assert run("build", "tfeat", tmp_path / "e", "--arg", "output=unit").exit_code == 0


def test_show_tells_the_spec_and_the_layers(file, tmp_path):
    run("convert", file, tmp_path / "small", "-l", "2", "cdp:alpha=3")
    shown = run("show", tmp_path / "small").stdout
    for text in (
        "net     l2net",
        "widths = (8, 8, 12, 12, 16, 16)",
        "layer   features.3: CDP(alpha=3, inner='linear', width=0)",
        "features.3.depthwise  depthwise 3x3",
        "input 1x32x32",
    ):
        assert text in shown
    params = descompress.cost(descompress.load(tmp_path / "small")).params
    assert shown.splitlines()[-1].split()[:2] == ["all", f"{params:,}"]


def test_cost_counts_several_files(file, tmp_path):
    run("convert", file, tmp_path / "small", "--preset", "cdp2")
    result = run("cost", file, tmp_path / "small", "--json")
    entries = json.loads(result.stdout)
    for entry, path in zip(entries, (file, tmp_path / "small"), strict=True):
        counted = descompress.cost(descompress.load(path))
        assert entry["file"] == str(path)
        assert (entry["params"], entry["macs"]) == (counted.params, counted.macs)
        assert entry["bytes"] == path.stat().st_size
        assert sum(layer["params"] for layer in entry["layers"]) == entry["params"]
        assert set(entry["layers"][0]) == {"name", "kind", "params", "macs", "shape"}
    lines = run("cost", file, tmp_path / "small").stdout.splitlines()
    assert len(lines) == 3
    assert f"{entries[0]['macs']:,}" in lines[1]


def test_cost_of_image_networks_is_at_a_size(tmp_path):
    run("build", "superpoint", tmp_path / "net")
    result = run("cost", tmp_path / "net", "--size", "240x320", "--json")
    entry = json.loads(result.stdout)[0]
    assert (entry["params"], entry["input"]) == (1_300_865, [1, 240, 320])
    assert round(entry["macs"] / 1e9, 2) == 6.51  # R. Miles' thesis, ch. 2


def test_import_reads_desdis(shared, tmp_path):
    source = shared / "weights" / "desdis-8.pth"
    result = run("import", "desdis", source, tmp_path / "desdis8")
    assert result.exit_code == 0
    assert "80,712 parameters" in result.stdout
    assert result.stderr == ""
    assert descompress.load(tmp_path / "desdis8").spec == Spec("desdis", {"dim": 8})


def test_import_of_superpoint_says_that_its_licence_forbids_redistribution(tmp_path):
    torch.save(build("superpoint").state_dict(), tmp_path / "superpoint_v1.pth")
    result = run("import", "superpoint", tmp_path / "superpoint_v1.pth", tmp_path / "out")
    assert result.exit_code == 0
    assert "forbids redistributing" in result.stderr


def test_the_demo_does_not_replace_the_folder_of_the_network_it_shows(file, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    net = Path(shutil.copy(file, mine / "net"))
    result = run("demo", mine, "--net", net, "--force")
    assert (result.exit_code, "what it is made of" in result.stderr) == (1, True)
    assert net.read_bytes() == file.read_bytes()


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["convert", "FILE", "OUT"], 2, "the recipe is empty"),
        (["convert", "FILE", "OUT", "-l", "conv1a", "depthwise"], 2, "'conv1a' matches none of"),
        (["convert", "FILE", "OUT", "-l", "2", "cdp:alpha=99"], 2, "needs 0 < alpha < 8"),
        (["convert", "FILE", "OUT", "-l", "2", "svd"], 2, "unknown method 'svd'"),
        (["convert", "FILE", "OUT", "--preset", "best"], 2, "unknown preset 'best'"),
        (["convert", "FILE", "FILE", "--preset", "cdp2"], 1, "exists already; --force replaces"),
        (["convert", "JUNK", "FILE", "--preset", "cdp2"], 1, "exists already"),
        (["convert", "FILE", "TMP/no/out", "--preset", "cdp2"], 1, "there is no folder"),
        (
            ["convert", "MISSING", "OUT", "--preset", "cdp2"],
            1,
            "no such file, nor a shipped network",
        ),
        (["convert", "JUNK", "OUT", "--preset", "cdp2"], 1, "not a safetensors file"),
        (
            ["convert", "FILE", "OUT", "--preset", "cdp2", "--calibrate", "TMP/no"],
            1,
            "no: no such file or folder",
        ),
        (
            ["convert", "FILE", "OUT", "--preset", "cdp2", "--polish", "5"],
            2,
            "--polish is of --calibrate",
        ),
        (["cost", "TMP"], 1, "cannot be read (it is a folder)"),
        (["build", "l2net", "OUT", "--seed", str(2**63)], 2, "'--seed': 9223372036854775808"),
        (["demo", "OUT", "--net", "superpoint"], 2, "superpoint: a superpoint; the demo shows"),
        (["show", "JUNK"], 1, "not a safetensors file"),
        (["cost", "FILE", "MISSING"], 1, "no such file, nor a shipped network"),
        (["cost", "FILE", "--size", "240x320"], 2, "sizes are for images"),
        (["cost", "FILE", "--size", "big"], 2, "'big' is not HEIGHTxWIDTH"),
        (["cost"], 2, "Missing argument"),
        (["build", "resnet", "OUT"], 2, "unknown network 'resnet'"),
        (["build", "l2net", "FILE"], 1, "exists already"),
        (["build", "l2net", "OUT", "--arg", "dim"], 2, "'dim' is not NAME=VALUE"),
        (["build", "l2net", "OUT", "--arg", "dim=big"], 2, "dim must be like its default 128"),
        (["import", "orb", "JUNK", "OUT"], 2, "unknown kind 'orb'"),
        (["import", "hardnet", "JUNK", "OUT"], 1, "not a checkpoint of tensors alone"),
        (["import", "hardnet", "JUNK", "FILE"], 1, "exists already"),
        (["squash"], 2, "No such command 'squash'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_refusal_is_one_line_with_its_status_and_leaves_nothing(
    args, status, message, file, tmp_path
):
    (tmp_path / "junk").write_bytes(b"junk")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    named = {
        "FILE": file,
        "OUT": tmp_path / "out",
        "MISSING": tmp_path / "no",
        "JUNK": tmp_path / "junk",
    }
    result = run(*(named.get(a, a.replace("TMP", str(tmp_path))) for a in args))
    assert result.exit_code == status
    errors = [line for line in result.stderr.splitlines() if not line.startswith(("Usage", "Try"))]
    assert len([line for line in errors if line]) == 1
    assert errors[-1].startswith("Error: ")
    assert message in errors[-1]
    assert result.stdout == ""
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_force_replaces(file):
    assert run("convert", file, file, "--preset", "cdp2", "--force").exit_code == 0
    assert descompress.load(file).spec.layers


def test_a_network_that_does_not_fit_into_memory_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise RuntimeError("not enough memory: you tried to allocate 9 TB")

    monkeypatch.setattr("descompress.nets.build", full)
    result = run("build", "l2net", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr == "Error: l2net: so large a network does not fit into memory\n"


def test_ctrl_c_is_one_line_and_status_130(file, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(artifacts, "load", interrupted)
    result = run("convert", file, tmp_path / "out", "--preset", "cdp2")
    assert result.exit_code == 130
    assert result.stderr == "Interrupted\n"
    assert not (tmp_path / "out").exists()


# -- lightness ----------------------------------------------------------------------------------


def test_help_needs_no_heavy_module():
    program = """
import sys
import descompress
from descompress.cli import VERBS, main
for args in ([], *([verb] for verb in VERBS)):
    main([*args, "--help"], standalone_mode=False)
heavy = {"torch", "scipy", "cv2", "kornia", "h5py", "tensorly", "numpy"} & sys.modules.keys()
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    for verb, (_, _, text) in VERBS.items():
        assert f"  {verb}" in done.stdout
        assert text in done.stdout


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "descompress", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: descompress ")


def test_the_package_offers_its_main_names():
    assert {"load", "save", "convert", "cost", "build"} <= set(dir(descompress))
    for name in descompress.__all__:
        assert callable(getattr(descompress, name))
    with pytest.raises(AttributeError, match="has no attribute 'prune'"):
        _ = descompress.prune
    assert cli.main.name == "main"
