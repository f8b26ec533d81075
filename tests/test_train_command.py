import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner

import descompress
from descompress.cli import main
from descompress.data.photographs import held_out
from descompress.spec import Spec

ROOT = Path(__file__).resolve().parents[1]
STEPS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory, discs) -> Path:
    """A small network and photographs of discs, enough of them to hold some back."""
    root = tmp_path_factory.mktemp("training")
    (root / "photographs").mkdir()
    for seed in range(30):
        picture = discs(seed, (130, 130), 120, 8)
        cv2.imwrite(str(root / "photographs" / f"{seed}.png"), picture)
    net = descompress.build(Spec("l2net", {"widths": (4, 4, 4, 4, 4, 4), "dim": 8}))
    descompress.save(net, root / "start.safetensors")
    return root


def command(folder: Path, out: str) -> list[str]:
    return [
        *("train", str(folder / "start.safetensors"), str(folder / out)),
        *("--photographs", str(folder / "photographs"), "--cache", str(folder / "cache")),
        *("--steps", str(STEPS), "--batch", "16", "--checkpoint-every", "10"),
        *("--validate-every", "30", "--workers", "0"),
    ]


def launch(args: list[str]) -> "subprocess.Popen[str]":
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "descompress", *args], stderr=subprocess.PIPE, text=True, env=env
    )


def test_interrupted_it_says_how_to_go_on_and_then_does(folder):
    process = launch(command(folder, "net.safetensors"))
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step 20/"):
            process.send_signal(signal.SIGINT)
            break
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 130
    assert "stopped; the same command goes on from step 2" in said
    assert "Traceback" not in said
    assert not (folder / "net.safetensors").exists()
    assert (folder / "net.safetensors.ckpt").exists()

    resumed = CliRunner().invoke(main, command(folder, "net.safetensors"))
    assert resumed.exit_code == 0, resumed.stderr
    whole = CliRunner().invoke(main, command(folder, "whole.safetensors"))
    assert whole.exit_code == 0
    assert "held out: matching 0." in whole.stderr
    curves = [
        list(csv.reader((folder / f"{name}.safetensors.csv").read_text().splitlines()))
        for name in ("net", "whole")
    ]
    assert curves[0] == curves[1]
    assert len(curves[0]) == STEPS + 1
    files = [(folder / f"{name}.safetensors").read_bytes() for name in ("net", "whole")]
    assert files[0] == files[1]
    assert not (folder / "net.safetensors.ckpt").exists()


def test_batches_are_made_of_the_views_asked_for(folder):
    losses = []
    for jitter in ("0.0", "0.9"):
        extra = ("--steps", "1", "--least-jitter", jitter)
        result = CliRunner().invoke(main, [*command(folder, f"{jitter}.safetensors"), *extra])
        assert result.exit_code == 0, result.stderr
        losses.append((folder / f"{jitter}.safetensors.csv").read_text())
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({0: "hardnot"}, 2, "hardnot"),
        ({0: "vgg16"}, 2, "vgg16 is a classifier: it needs --labelled"),
        ({0: "gone.safetensors"}, 1, "gone.safetensors"),
        ({"--photographs": "nowhere"}, 1, "nowhere: there is no such folder"),
        ({"--steps": "0"}, 2, "steps >= 1"),
        ({"--batch": "1"}, 2, "batch >= 2"),
        ({"--workers": "-1"}, 2, "--workers"),
        ({"--validate-every": "0"}, 2, "--validate-every"),
        ({"--checkpoint-every": "0"}, 2, "--checkpoint-every"),
    ],
)
def test_bad_requests_get_one_line_and_leave_nothing(folder, change, status, message):
    args = command(folder, "new.safetensors")
    for key, value in change.items():
        args[args.index(key) + 1 if isinstance(key, str) else key + 1] = value
    result = CliRunner().invoke(main, args)
    assert result.exit_code == status
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert message in last
    assert not list(folder.glob("new*"))


def test_a_network_that_exists_is_not_trained_over(folder):
    (folder / "mine.safetensors").write_text("mine")
    result = CliRunner().invoke(main, command(folder, "mine.safetensors"))
    assert result.exit_code == 1
    assert "exists already; --force" in result.stderr
    assert (folder / "mine.safetensors").read_text() == "mine"


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        (("--device", "meta"), 2, "device 'meta'"),
        (("--tensorboard", "start.safetensors"), 1, "no folder for TensorBoard's logs"),
        (("--photographs", "held"), 2, "held: 1 of its kind are too few to hold some back"),
    ],
)
def test_what_shows_late_is_one_line_as_well(folder, more, status, message):
    (folder / "held").mkdir(exist_ok=True)
    name = next(f"{i}.png" for i in range(999) if held_out(f"{i}.png"))
    shutil.copy(next((folder / "photographs").iterdir()), folder / "held" / name)
    words = [str(folder / word) if (folder / word).exists() else word for word in more]
    result = CliRunner().invoke(main, [*command(folder, "late.safetensors"), *words])
    assert result.exit_code == status, result.stderr
    assert message in result.stderr.strip().splitlines()[-1]
    assert not (folder / "late.safetensors").exists()
