import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import settings

from descompress.cli import main

try:  # what needs no PyTorch is tested without it as well
    import torch
except ModuleNotFoundError:
    torch = None
else:
    torch.set_num_threads(1)

settings.register_profile("descompress", deadline=None, derandomize=True)
settings.load_profile("descompress")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def discs() -> Callable[[int, tuple[int, int], int, int], np.ndarray]:
    """Pictures with points to detect: (seed, shape, discs, largest radius) -> grey image."""

    def draw(seed: int, shape: tuple[int, int], count: int, largest: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        image = np.full(shape, 128, np.uint8)
        for _ in range(count):
            centre = [int(v) for v in rng.uniform(0, max(shape), 2)]
            cv2.circle(image, centre, int(rng.integers(2, largest)), int(rng.integers(0, 256)), -1)
        return image

    return draw


@pytest.fixture(scope="session")
def torchrun() -> "Callable[..., subprocess.CompletedProcess[str]]":
    """Run a script or a module in two processes: words of its command line -> what became of it."""

    def launch(*words: object) -> "subprocess.CompletedProcess[str]":
        launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
        command = [sys.executable, *launcher, *map(str, words)]
        env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)

    return launch


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of evaluation data and peers' weights beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs the data folder ../shared, which is not here")
    return SHARED


@pytest.fixture(scope="session")
def release(tmp_path_factory) -> Path:
    """Two sequences of 40 patches: noise that gets more and more of other noise."""
    root, rng = tmp_path_factory.mktemp("release"), np.random.default_rng(0)
    for name in ("i_one", "v_two"):
        (root / name).mkdir()
        patches = rng.random((40, 65, 65))
        for kind in ("ref", *(f"{d}{k}" for d in "eht" for k in range(1, 6))):
            share = {"r": 0.0, "e": 0.2, "h": 0.4, "t": 0.6}[kind[0]]
            mixed = (1 - share) * patches + share * rng.random(patches.shape)
            strip = (mixed * 255).astype(np.uint8).reshape(-1, 65)
            cv2.imwrite(str(root / name / f"{kind}.png"), strip)
    return root


@pytest.fixture(scope="session")
def tour(tmp_path_factory) -> Path:
    """A PhotoTour set of 128 points in two noisy photographs, with 64 test pairs."""
    root, rng = tmp_path_factory.mktemp("tour"), np.random.default_rng(0)
    patches = np.repeat(rng.random((128, 64, 64)), 2, axis=0) + rng.random((256, 64, 64))
    grid = (patches * 127).astype(np.uint8).reshape(16, 16, 64, 64).swapaxes(1, 2)
    cv2.imwrite(str(root / "patches0000.png"), grid.reshape(1024, 1024))
    (root / "info.txt").write_text("".join(f"{i // 2} {i % 2}\n" for i in range(256)))
    pairs = [(4 * i, 2 * i, 4 * i + j, (4 * i + j) // 2) for i in range(32) for j in (1, 2)]
    lines = [f"{a} {p} 0 {b} {q} 0 0\n" for a, p, b, q in pairs]
    (root / "m50_64_64_0.txt").write_text("".join(lines))
    return root


RECIPE = """
about = "{name} in a word"
steps = 7

[card]
title = "The network {name}"
licence = "none"
trained_on = "noise"
environment = "a test"
command = "descompress train l2net {name}.safetensors"
"""


@pytest.fixture(scope="session")
def measured_weights(release, tour, tmp_path_factory) -> Path:
    """A folder for `descompress weights index`: net, net.dw in float16, a peer, and SIFT."""
    from descompress.artifacts import save
    from descompress.converter import convert
    from descompress.nets import build
    from descompress.spec import Spec

    root = tmp_path_factory.mktemp("shelf")
    folder, peer = root / "weights", root / "other.safetensors"
    (folder / "recipes").mkdir(parents=True)
    torch.manual_seed(0)
    net = build(Spec("l2net", {"widths": (4, 4, 8, 8, 8, 8), "dim": 16}))
    save(net, folder / "net.safetensors")
    save(convert(net, "depthwise"), folder / "net.dw.safetensors", dtype="float16")
    save(build(Spec("desdis", {"dim": 4})), peer)
    for name in ("net", "net.dw"):
        (folder / "recipes" / f"{name}.toml").write_text(RECIPE.format(name=name))
    files = [folder / "net.dw.safetensors", folder / "net.safetensors", peer]
    settings = ["--patches", release, "--pairs", 300, "--phototour", tour, "--baseline", "sift"]
    arguments = ["eval", *files, *settings, "--json", folder / "measured.json"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def shelf_folder(measured_weights, tmp_path, monkeypatch) -> Path:
    """A copy of it, with an index, which is where the shipped networks are now."""
    from descompress.shelf.gathering import gather
    from descompress.shelf.pages import write

    folder = tmp_path / "shipped"
    shutil.copytree(measured_weights, folder)
    monkeypatch.setenv("DESCOMPRESS_WEIGHTS", str(folder))
    write(gather(folder), folder)
    return folder
