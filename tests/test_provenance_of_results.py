"""Every results file says what it rests on."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from calls import run
from click.testing import CliRunner

import descompress
from descompress.nets import build
from descompress.spec import Spec
from hpatches_eval.cli import main as evaluator
from hpatches_eval.provenance import checksum, versions

SMALL = {"widths": (6, 8), "strides": (4, 4), "kernels": (3, 3), "bottleneck": 6, "dim": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, discs) -> Path:
    root = tmp_path_factory.mktemp("results")
    torch.manual_seed(0)
    descompress.save(build(Spec("strided", SMALL)).eval(), root / "net.safetensors")
    np.save(root / "patches.npy", np.random.default_rng(0).random((64, 32, 32)))
    sequence = root / "sequences" / "v_one"
    sequence.mkdir(parents=True)
    for number in range(1, 7):
        cv2.imwrite(str(sequence / f"{number}.png"), discs(0, (120, 160), 60, 9))
        np.savetxt(sequence / f"H_1_{number}", np.eye(3))
    return root


def rests_on(path: Path) -> dict:
    found = json.loads(path.read_text())["provenance"]
    assert found["versions"] == versions()
    assert str(path.parent) not in found["command"]
    return found


def called(*words: object) -> None:
    status, said = run(*words)
    assert status == 0, said


def test_eval(folder, release, tour):
    net, out = folder / "net.safetensors", folder / "eval.json"
    data = ("--patches", release, "--pairs", 100, "--phototour", tour)
    called("eval", net, *data, "--sequences", folder / "sequences", "--json", out)
    found = rests_on(out)
    assert found["command"].startswith("descompress eval net.safetensors --patches")
    assert found["weights"] == {"net.safetensors": checksum(net)}
    assert found["data"] == {
        "patches": checksum(release),
        "sequences": checksum(folder / "sequences"),
        f"phototour {tour.name}": checksum(tour),
    }


def test_export(folder):
    net, out, patches = folder / "net.safetensors", folder / "x.json", folder / "patches.npy"
    called("export", net, folder / "x.onnx", "--int8", "--calibrate", patches, "--json", out)
    found = rests_on(out)
    assert found["command"] == "descompress export net.safetensors --int8 --calibrate patches.npy"
    assert found["weights"] == {"net.safetensors": checksum(net)}
    assert found["data"] == {"calibrate": checksum(patches)}


def test_bench(folder):
    net, out = folder / "net.safetensors", folder / "bench.json"
    sizes = ("--on", "eager-fp32", "--batch", 1, "--rounds", 1, "--against", "orb")
    called("bench", net, *sizes, "--json", out)
    found = rests_on(out)
    assert found["command"].startswith("descompress bench net.safetensors --on eager-fp32")
    assert found["weights"] == {"net.safetensors": checksum(net)}
    assert found["data"] == {}


def test_search(folder):
    net, out, patches = folder / "net.safetensors", folder / "found", folder / "patches.npy"
    few = ("--on", "eager-fp32", "--trials", 5, "--verify", 1, "--methods", "cdp")
    called("search", net, out, "--max-macs", 0.95, "--calibrate", patches, *few)
    found = rests_on(out / "front.json")
    assert found["command"].startswith("descompress search net.safetensors --max-macs 0.95")
    assert found["weights"] == {"net.safetensors": checksum(net)}
    assert found["data"] == {"calibrate": checksum(patches)}


def test_the_evaluator_of_patches(folder, release):
    out = folder / "patches.json"
    words = ["patches", "--patches", release, "--baseline", "sift", "--pairs", 100, "--json", out]
    result = CliRunner().invoke(evaluator, [str(word) for word in words])
    assert result.exit_code == 0, result.stderr
    found = rests_on(out)
    assert found["command"].startswith("hpatches-eval patches --patches release")
    assert (found["weights"], found["data"]) == ({}, {"patches": checksum(release)})


def test_the_evaluator_of_images(folder):
    out = folder / "images.json"
    words = ["images", folder / "sequences", "--baseline", "orb", "--json", out]
    result = CliRunner().invoke(evaluator, [str(word) for word in words])
    assert result.exit_code == 0, result.stderr
    found = rests_on(out)
    assert found["command"] == "hpatches-eval images sequences --baseline orb"
    assert found["data"] == {"sequences": checksum(folder / "sequences")}
