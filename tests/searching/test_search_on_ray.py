"""Layers measured by Ray Tune on a cluster of this machine.

In processes of their own: what these tests add to functions, to check shapes, Ray cannot send.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import descompress
from descompress.nets import build
from descompress.spec import Spec

pytest.importorskip("ray", reason="needs Ray Tune: pip install 'descompress[ray]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


def test_a_cluster_measures_what_one_process_does(tmp_path):
    torch.manual_seed(0)
    spec = Spec("strided", {"widths": (6, 8), "strides": (4, 4), "kernels": (3, 3), "dim": 8})
    descompress.save(build(spec).eval(), tmp_path / "net.safetensors")
    np.save(tmp_path / "patches.npy", np.random.default_rng(0).random((64, 32, 32)))
    losses = []
    for engine in ("optuna", "ray"):
        args = ["search", tmp_path / "net.safetensors", tmp_path / engine, "--max-params", "0.95"]
        args += ["--calibrate", tmp_path / "patches.npy", "--on", "eager-fp32", "--trials", "2"]
        args += ["--methods", "depthwise", "--verify", "1", "--engine", engine]
        subprocess.run([sys.executable, "-m", "descompress", *map(str, args)], check=True)
        found = json.loads((tmp_path / engine / "measurements.json").read_text())["layers"]
        losses.append({(n, m): c["loss"] for n, own in found.items() for m, c in own.items()})
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)
    assert len(losses[0]) > 1
