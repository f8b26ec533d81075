import csv
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from descompress.data import stream
from descompress.description import describe
from descompress.errors import FileError, RequestError, TrainingError
from descompress.nets import build
from descompress.objectives import hardest_in_batch, triplet
from descompress.runs import Run
from descompress.spec import Spec
from descompress.training import Plan, Training
from descompress.validation import Validation

ROOT = Path(__file__).resolve().parents[1]
SMALL = Spec("l2net", {"widths": (4, 4, 8, 8, 8, 8), "dim": 16})


def source(step: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([7, step])
    anchors = rng.random((24, 32, 32)).astype(np.float32)
    return anchors, (anchors + rng.normal(0, 0.2, anchors.shape)).astype(np.float32)


def training(steps: int = 6, **plan: float) -> Training:
    torch.manual_seed(0)
    return Training(build(SMALL), triplet, Plan(steps, warmup=2, **plan))


def losses(run: Training, until: int) -> list[float]:
    return [terms["triplet"] for terms in run.run(stream(source, run.step, until))]


def test_the_loss_goes_down():
    run = training(40, lr=1e-2)
    curve = [t["triplet"] for t in run.run(stream(lambda step: source(0), 0, 40))]
    assert np.mean(curve[-5:]) < 0.8 * np.mean(curve[:5])


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_training_stopped_at_any_step_goes_on_to_the_same_curve(tmp_path, stop):
    whole = training()
    expected = losses(whole, 6)
    first = training()
    begun = losses(first, stop)
    first.save(tmp_path / "run.ckpt")
    torch.manual_seed(99)
    second = Training(build(SMALL), triplet, Plan(6, warmup=2))
    second.restore(tmp_path / "run.ckpt")
    assert begun + losses(second, 6) == expected
    for name, tensor in whole.net.state_dict().items():
        assert tensor.equal(second.net.state_dict()[name]), name


def test_the_rate_rises_then_falls_to_nothing():
    plan = Plan(steps=100, lr=1.0, warmup=9)
    rates = [plan.rate(i) for i in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[50] == pytest.approx(0.5)
    assert rates[100] == 0
    assert max(rates) == pytest.approx(1 * (1 - 9 / 100))


def test_weights_stay_where_they_are_at_rate_nothing():
    run = training(3, lr=0.0)
    before = {n: p.clone() for n, p in run.net.named_parameters()}
    losses(run, 3)
    assert all(p.equal(before[n]) for n, p in run.net.named_parameters())


def test_a_loss_that_is_no_number_stops_the_training():
    net = nn.Linear(2, 2)
    run = Training(net, lambda n, b: {"broken": n(b[0]).sum() * torch.nan}, Plan(3, bf16=False))
    before = net.weight.clone()
    with pytest.raises(TrainingError, match="step 0: the loss is nan"):
        list(run.run([(torch.ones(1, 2), torch.ones(1, 2))]))
    assert net.weight.equal(before)


def test_foreign_checkpoints_are_refused(tmp_path):
    path = tmp_path / "run.ckpt"
    with pytest.raises(FileError, match="not a checkpoint"):
        training().restore(path)
    path.write_bytes(b"nothing of use")
    with pytest.raises(FileError, match="not a checkpoint"):
        training().restore(path)
    path.write_bytes(pickle.dumps(os.getpid, protocol=2))
    with pytest.raises(FileError, match="not a checkpoint"):
        training().restore(path)
    training(7).save(path)
    with pytest.raises(FileError, match=r"a checkpoint of .*'steps': 7"):
        training(6).restore(path)
    other = Training(build(Spec("l2net", {"dim": 8})), triplet, Plan(6, warmup=2))
    other.save(path)
    with pytest.raises(FileError, match="a checkpoint of another network"):
        training(6).restore(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FileError, match="not a checkpoint"):
        training(6).restore(path)


@pytest.mark.parametrize(
    "bad", [{"steps": 0}, {"steps": 5, "lr": -1.0}, {"steps": 5, "warmup": -1}]
)
def test_a_plan_that_leads_nowhere_is_refused(bad):
    with pytest.raises(RequestError, match="steps >= 1"):
        Plan(**bad)


def unit(*rows: tuple[float, float]) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.tensor(rows), dim=1)


def test_the_triplet_loss_takes_the_closest_wrong_match_of_both_sides():
    # Angles of 0, 90 and 180 degrees; positives turned by 60, 0 and 0.
    anchors = unit((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0))
    positives = unit((0.5, 3**0.5 / 2), (0.0, 1.0), (-1.0, 0.0))
    thirty, sixty, right = (2 * np.sin(np.radians(a) / 2) for a in (30, 60, 90))
    # Row 1: own 60 degrees; closest wrong: its positive and anchor 2, 30 degrees.
    # Row 2: own 0; closest wrong: its anchor and positive 1, 30. Row 3: own 0; closest: 90.
    own, wrong = np.array([sixty, 0, 0]), np.array([thirty, thirty, right])
    expected = np.maximum(1 + own - wrong, 0).mean()
    assert hardest_in_batch(anchors, positives).item() == pytest.approx(expected, abs=2e-3)


def test_duplicates_are_no_negatives():
    anchors = unit((1.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    right = 2**0.5  # what is left to tell apart is at right angles
    expected = max(1 - right, 0)
    assert hardest_in_batch(anchors, anchors.clone()).item() == pytest.approx(expected, abs=2e-3)


def test_the_gradient_is_finite_where_descriptors_coincide():
    anchors = unit((1.0, 0.0), (0.0, 1.0)).requires_grad_()
    hardest_in_batch(anchors, anchors.detach().clone(), margin=2.0).backward()
    assert torch.isfinite(anchors.grad).all()


def test_validation_tells_a_good_descriptor_from_a_bad_one():
    patches = np.random.default_rng(0).random((30, 32, 32)).astype(np.float32)
    noisy = patches + np.random.default_rng(1).normal(0, 0.05, patches.shape).astype(np.float32)
    views = [{"ref": patches, "e": noisy, "h": noisy, "t": noisy}]
    tour = (
        np.concatenate([patches, patches]),
        np.concatenate([noisy, np.roll(noisy, 1, axis=0)]),
        np.arange(60) < 30,
    )
    validation = Validation(views, tour)

    class Pixels(nn.Module):
        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = nn.Parameter(torch.tensor(share))

        def forward(self, x):
            x = x.flatten(1) - x.flatten(1).mean(1, keepdim=True)
            x = nn.functional.normalize(x, dim=1)
            noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(len(x)))
            return self.share * x + (1 - self.share) * noise

    assert validation.matching(Pixels(1.0)) == pytest.approx(1.0, abs=1e-6)
    assert validation.fpr95(Pixels(1.0)) == 0
    assert validation.matching(Pixels(0.0)) < 0.15
    assert validation.fpr95(Pixels(0.0)) > 0.5


def test_describing_leaves_the_mode_of_the_network():
    net = build(SMALL).train()
    rows = describe(net, np.random.default_rng(0).random((5, 32, 32)))
    assert rows.shape == (5, 16)
    assert net.training


NOTHING = Validation([{n: source(0)[0][:4] for n in ("ref", "e", "h", "t")}])


def test_a_run_keeps_a_log_and_ends_with_the_network(tmp_path):
    run = Run(tmp_path / "net.safetensors", training(), source, NOTHING, 0, 2, 3)
    assert run.start(force=False) == 0
    rows = list(run.rows())
    assert [row.step for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.matching is None for row in rows] == [True, True, False, True, True, False]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "net.safetensors",
        "net.safetensors.csv",
    ]
    logged = list(csv.DictReader(run.log.read_text().splitlines()))
    assert [float(line["loss"]) for line in logged] == [row.loss for row in rows]


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_an_interrupted_run_goes_on_and_its_log_is_that_of_a_whole_one(tmp_path, stop):
    whole = Run(tmp_path / "a.safetensors", training(), source, NOTHING, 0, 2, 3)
    whole.start(force=False)
    expected = list(whole.rows())
    first = Run(tmp_path / "b.safetensors", training(), source, NOTHING, 0, 2, 3)
    first.start(force=False)
    rows = first.rows()
    for _ in range(stop):
        next(rows)
    rows.close()
    with first.log.open("a") as log:
        log.write("9,1.5,,\n")  # written after the checkpoint, by a process that was killed
    second = Run(tmp_path / "b.safetensors", training(), source, NOTHING, 0, 2, 3)
    assert second.start(force=False) == stop
    assert list(second.rows()) == expected[stop:]
    assert second.log.read_text() == whole.log.read_text()
    assert second.out.read_bytes() == whole.out.read_bytes()


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import test_training as t
from pathlib import Path
run = t.Run(Path({out!r}), t.training(40), t.source, t.NOTHING, 0, 5, 100)
run.start(force=False)
for row in run.rows():
    print(row.step, flush=True)
"""


def test_a_killed_run_goes_on_from_its_checkpoint_to_the_same_curve(tmp_path):
    def launch(out: Path) -> subprocess.Popen:
        script = SCRIPT.format(tests=str(ROOT / "tests"), out=str(out))
        env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=env
        )

    whole = launch(tmp_path / "whole.safetensors")
    assert whole.wait(120) == 0
    killed = launch(tmp_path / "killed.safetensors")
    for line in killed.stdout:
        if int(line) == 13:
            killed.send_signal(signal.SIGKILL)
            break
    killed.wait(60)
    killed.stdout.close()
    whole.stdout.close()
    assert (tmp_path / "killed.safetensors.ckpt").exists()
    assert not (tmp_path / "killed.safetensors").exists()
    resumed = launch(tmp_path / "killed.safetensors")
    steps = [int(line) for line in resumed.stdout]
    resumed.stdout.close()
    assert resumed.wait(120) == 0
    assert steps[0] in (11, 16)  # the first after a multiple of 5
    assert steps[-1] == 40
    names = ("whole.safetensors", "killed.safetensors")
    assert len({(tmp_path / name).read_bytes() for name in names}) == 1
    assert len({(tmp_path / f"{name}.csv").read_text() for name in names}) == 1
