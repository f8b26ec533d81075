"""What a small board has: NumPy, OpenCV and ONNX Runtime, and none of what trains."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_nets import made

from descompress.cli import TORCH
from descompress.exporting import to_onnx

ROOT = Path(__file__).resolve().parents[2]
ABSENT = ("torch", "scipy", "safetensors", "tensorly", "kornia", "onnx", "openvino", "matplotlib")
MAIN = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {ABSENT}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from descompress.cli import main
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, discs):
    folder = tmp_path_factory.mktemp("board")
    for name, of in (("patches", "strided"), ("images", "superpoint")):
        (folder / f"{name}.onnx").write_bytes(to_onnx(made(of)).SerializeToString())
    image = discs(1, (120, 160), 60, 12)
    cv2.imwrite(str(folder / "a.png"), image)
    cv2.imwrite(str(folder / "b.png"), np.roll(image, 8, axis=1))
    return folder


def run(folder: Path, *args: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", MAIN, *map(str, args)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=ENV)


ENV = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("net", ["patches.onnx", "images.onnx"])
def test_exported_networks_describe_and_match_images(folder, net):
    done = run(folder, "match", "a.png", "b.png", net, "-o", f"{net}.png", "--threshold", "0")
    assert done.returncode == 0, done.stderr
    assert "matches fit a homography" in done.stdout
    assert (folder / f"{net}.png").is_file()
    done = run(folder, "describe", net, "a.png", "b.png", "-o", f"{net}.h5", "--threshold", "0")
    assert done.returncode == 0, done.stderr
    assert "2 images described" in done.stdout


@pytest.mark.parametrize(
    "args", [("cost", "net.safetensors"), ("convert", "a.safetensors", "b.safetensors")]
)
def test_what_needs_pytorch_says_so(folder, args):
    done = run(folder, *args)
    assert done.returncode == 2
    assert ", which is not installed: pip install 'descompress[torch]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_absent_there_is_no_plain_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plain = {re.split("[><=]", line)[0] for line in project["dependencies"]}
    assert not plain & {*ABSENT, "onnxscript"}
    extra = {re.split("[><=]", line)[0] for line in project["optional-dependencies"]["torch"]}
    assert extra == set(TORCH)


def test_the_list_of_verbs_needs_nothing(folder):
    assert run(folder, "--help").returncode == 0
