"""The same seed gives the same file, and a network the same numbers however it is run."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from calls import run
from skimage import data

import descompress
from descompress.deployment import deploy
from descompress.description import describe
from descompress.features import Selection, finder
from descompress.runtimes import finders
from descompress.spec import Spec
from hpatches_eval.frames import cut, pyramid, similarity

NETS = ("hardnet.cdp5", "hardnet.tiny")
RUNTIMES = ("eager-fp32", "onnxruntime-fp32", "openvino-fp32")
BATCHES = (1, 7, 64, 256)
CLOSE = 5e-6  # of a descriptor of length 1, whose entries are float32


@cache
def patches() -> np.ndarray:
    """256 patches of a photograph, grey values 0 to 255."""
    rng, levels = np.random.default_rng(0), pyramid(data.camera())
    frames = [similarity(x, y, 16.0, 0.0) for x, y in rng.uniform(60, 450, (256, 2))]
    return np.stack([cut(levels, frame, 32) for frame in frames])[:, None].astype(np.float32)


@cache
def alone(name: str) -> np.ndarray:
    """Descriptors of those patches by PyTorch, patch by patch."""
    net = descompress.load(name)
    return np.concatenate([describe(net, patch) for patch in patches()])


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("target", RUNTIMES)
def test_descriptors_depend_neither_on_the_batch_nor_on_the_runtime(name, target):
    runtime = deploy(descompress.load(name), target)
    for batch in BATCHES:
        parts = np.split(patches(), range(batch, 256, batch))
        found = np.concatenate([runtime(part)[0] for part in parts])
        assert np.abs(found - alone(name)).max() < CLOSE


@pytest.mark.parametrize("threads", [1, 2])
def test_nor_on_the_number_of_threads(threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = describe(descompress.load("hardnet.cdp5"), patches()[:, 0])
    finally:
        torch.set_num_threads(before)
    assert np.abs(found - alone("hardnet.cdp5")).max() < CLOSE


@pytest.mark.parametrize("name", ["superpoint", "superpoint.tiny"])
def test_keypoints_are_the_same_on_every_runtime(name):
    """Two pixels whose scores are as good as equal may change places: one in a hundred."""
    image, net = cv2.resize(data.camera(), (240, 160)), descompress.load(name)
    wanted = finder(net, Selection(most=300))(image)
    for target in RUNTIMES:
        found = finders.finder(deploy(net, target), Selection(most=300))(image)
        gaps = np.linalg.norm(found.keypoints[:, None] - wanted.keypoints[None], axis=2)
        same = gaps.min(1) < 1e-3
        assert same.mean() > 0.99
        nearest = wanted.descriptors[gaps.argmin(1)]
        assert np.abs(found.descriptors - nearest)[same].max() < 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory, discs) -> Path:
    root = tmp_path_factory.mktemp("numbers")
    (root / "photographs").mkdir()
    for seed in range(30):
        cv2.imwrite(str(root / f"photographs/{seed}.png"), discs(seed, (130, 130), 120, 8))
    net = descompress.build(Spec("l2net", {"widths": (4, 4, 4, 4, 4, 4), "dim": 8}))
    descompress.save(net, root / "start.safetensors")
    return root


def trained(folder: Path, out: str, *more: str) -> bytes:
    data = ("--photographs", folder / "photographs", "--cache", folder / "cache")
    plan = ("--steps", "6", "--batch", "16", "--force")
    start = folder / "start.safetensors"
    status, said = run("train", start, folder / out, *data, *plan, *more)
    assert status == 0, said
    return (folder / out).read_bytes()


def test_a_training_is_its_seed_whoever_makes_the_batches(folder):
    first = trained(folder, "first.safetensors", "--workers", "0")
    assert trained(folder, "again.safetensors", "--workers", "0") == first
    assert trained(folder, "helped.safetensors", "--workers", "2") == first
    other = trained(folder, "other.safetensors", "--workers", "0", "--seed", "1")
    assert other != first
