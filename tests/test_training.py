import csv
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from descompress.artifacts import save
from descompress.data import Batch, stream
from descompress.description import describe
from descompress.errors import FileError, RequestError, TrainingError
from descompress.nets import build
from descompress.objectives import Weighted
from descompress.optimizers import OPTIMIZERS
from descompress.plans import Plan
from descompress.processes import processes
from descompress.runs import Run
from descompress.settling import TRAINED, parts_of, settle
from descompress.spec import Spec
from descompress.training import Training
from descompress.validation import Validation

ROOT = Path(__file__).resolve().parents[1]
SMALL = Spec("l2net", {"widths": (4, 4, 8, 8, 8, 8), "dim": 16})


def source(step: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([7, step])
    anchors = rng.random((24, 32, 32)).astype(np.float32)
    return anchors, (anchors + rng.normal(0, 0.2, anchors.shape)).astype(np.float32)


TRIPLET = Weighted.read({"triplet": {}})


def training(steps: int = 6, **plan: Any) -> Training:
    torch.manual_seed(0)
    return Training(build(SMALL), TRIPLET, Plan(steps, warmup=2, **plan))


def losses(run: Training, until: int | None = None) -> list[float]:
    numbers = [number for number in run.numbers if until is None or number < until]
    return [terms["triplet"] for terms in run.run(stream(source, numbers))]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_loss_goes_down(optimizer):
    run = training(40, lr=1e-2, optimizer=optimizer)
    curve = [t["triplet"] for t in run.run(stream(lambda step: source(0), run.numbers))]
    assert np.mean(curve[-5:]) < 0.8 * np.mean(curve[:5])


@pytest.mark.parametrize(
    ("stop", "optimizer"), [(1, "adamw"), (3, "adamw"), (5, "adamw"), (3, "muon")]
)
def test_a_training_stopped_at_any_step_goes_on_to_the_same_curve(tmp_path, stop, optimizer):
    whole = training(optimizer=optimizer)
    expected = losses(whole)
    first = training(optimizer=optimizer)
    begun = losses(first, stop)
    first.save(tmp_path / "run.ckpt")
    torch.manual_seed(99)
    second = Training(build(SMALL), TRIPLET, Plan(6, warmup=2, optimizer=optimizer))
    second.restore(tmp_path / "run.ckpt")
    assert begun + losses(second) == expected
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
    losses(run)
    assert all(p.equal(before[n]) for n, p in run.net.named_parameters())


def test_a_loss_that_is_no_number_stops_the_training():
    net = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2))
    run = Training(net, TRIPLET, Plan(3, bf16=False))
    before = net[1].weight.clone()
    broken = torch.full((2, 1, 32, 32), torch.nan)
    with pytest.raises(TrainingError, match="step 0: the loss is nan"):
        list(run.run([Batch(broken, broken)]))
    assert net[1].weight.equal(before)


def test_foreign_checkpoints_are_refused(tmp_path):
    path = tmp_path / "run.ckpt"
    with pytest.raises(FileError, match="cannot be read"):
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
    other = Training(build(Spec("l2net", {"dim": 8})), TRIPLET, Plan(6, warmup=2))
    other.save(path)
    with pytest.raises(FileError, match="a checkpoint of another network"):
        training(6).restore(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FileError, match="not a checkpoint"):
        training(6).restore(path)


@pytest.mark.parametrize(
    "bad",
    [{"steps": 0}, {"steps": 5, "lr": -1.0}, {"steps": 5, "lr": 1e300}, {"steps": 5, "warmup": -1}],
)
def test_a_plan_that_leads_nowhere_is_refused(bad):
    with pytest.raises(RequestError, match="steps >= 1"):
        Plan(**bad)


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
    assert [not row.held for row in rows] == [True, True, False, True, True, False]
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


def test_a_validation_that_was_broken_off_is_made_up_for(tmp_path, monkeypatch):
    whole = Run(tmp_path / "a.safetensors", training(), source, NOTHING, 0, 100, 3)
    whole.start(force=False)
    expected = list(whole.rows())
    for stop in (3, 6):  # the last one too
        out = tmp_path / f"{stop}.safetensors"
        first = Run(out, training(), source, NOTHING, 0, 100, 3)
        first.start(force=False)
        with monkeypatch.context() as patch:
            patch.setattr(Validation, "measured", broken_off_at(first, stop))
            with pytest.raises(KeyboardInterrupt):
                list(first.rows())
        second = Run(out, training(), source, NOTHING, 0, 100, 3)
        assert second.start(force=False) == stop
        assert list(second.rows()) == expected[stop - 1 :]
        assert second.log.read_text() == whole.log.read_text()
        assert out.read_bytes() == whole.out.read_bytes()


def broken_off_at(run: Run, step: int):
    plain = Validation.measured

    def measured(validation, net):
        if run.training.step == step:
            raise KeyboardInterrupt
        return plain(validation, net)

    return measured


def test_a_training_that_never_began_leaves_the_log_of_the_one_before(tmp_path):
    first = Run(tmp_path / "net.safetensors", training(), source, NOTHING, 0, 2, 3)
    first.start(force=False)
    list(first.rows())
    before = first.log.read_text()

    def broken(step: int):
        raise OSError("the disk is gone")

    second = Run(tmp_path / "net.safetensors", training(), broken, NOTHING, 0, 2, 3)
    second.start(force=True)
    with pytest.raises(OSError, match="the disk is gone"):
        list(second.rows())
    assert second.log.read_text() == before
    third = Run(tmp_path / "net.safetensors", training(2), source, NOTHING, 0, 2, 3)
    third.start(force=True)
    list(third.rows())
    assert third.log.read_text().splitlines() != before.splitlines()
    assert len(third.log.read_text().splitlines()) == 1 + 2


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


def flat(steps: int = 4, **plan: float | str) -> Training:
    """A network whose descriptors do not depend on the rest of the batch."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(1024, 16), Unit())
    return Training(net, TRIPLET, Plan(steps, warmup=0, bf16=False, lr=1e-2, **plan))


class Unit(nn.Module):
    def forward(self, x):
        return nn.functional.normalize(x, dim=1)


def joined(step: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = source(2 * step), source(2 * step + 1)
    return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])


def test_a_batch_in_two_parts_gives_the_curve_of_the_whole_batch():
    whole, parts = flat(), flat(parts=2)
    expected = [terms["triplet"] for terms in whole.run(stream(joined, whole.numbers))]
    assert losses(parts) == pytest.approx(expected, rel=1e-4)
    assert len(set(expected)) == 4
    alone = losses(flat())
    assert alone[0] < 0.99 * expected[0]  # fewer to tell apart: an easier task


def normed(steps: int = 3, **plan: float) -> Training:
    """A network with all that looks at the rest of the batch, or draws."""
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Dropout(0.3), nn.Linear(1024, 16), nn.BatchNorm1d(16), Unit()]
    net = nn.Sequential(*layers)
    return Training(net, TRIPLET, Plan(steps, warmup=0, bf16=False, lr=1e-3, **plan))


def test_parts_see_the_same_dropout_both_times():
    run = normed(1, parts=2)
    seen: list[torch.Tensor] = []
    run.net[1].register_forward_hook(lambda _, __, out: seen.append(out.detach().clone()))
    losses(run)
    assert len(seen) == 4
    assert seen[0].equal(seen[2])
    assert seen[1].equal(seen[3])
    assert not (seen[0] == 0).equal(seen[1] == 0)


def test_statistics_move_once_a_step_to_the_mean_of_the_parts():
    run = normed(1, parts=2)
    for module in run.net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    linear = run.net[2]
    means = []
    for number in (0, 1):
        sides = np.concatenate(source(number))
        means.append(linear(torch.from_numpy(sides).flatten(1)).mean(0).detach())
    losses(run)
    expected = 0.1 * (means[0] + means[1]) / 2  # from 0, with torch's momentum of 0.1
    torch.testing.assert_close(run.net[3].running_mean, expected, atol=1e-5, rtol=1e-4)


def test_training_draws_nothing_from_everybodys_random_numbers():
    torch.manual_seed(5)
    expected = torch.rand(3)
    run = normed(2)
    torch.manual_seed(5)
    losses(run)
    assert torch.rand(3).equal(expected)


def test_the_seed_decides_the_dropout():
    curves = []
    for seed in (0, 0, 1):
        run = normed(3)
        run.seed = seed
        curves.append(losses(run))
    assert curves[0] == curves[1] != curves[2]


def test_the_average_is_the_weights_mean_with_falling_shares():
    run = flat(3, ema=0.5)
    kept = [run.net[1].weight.detach().clone()]
    for _ in run.run(stream(source, run.numbers)):
        kept.append(run.net[1].weight.detach().clone())
    average = kept[0]
    for step, weight in enumerate(kept[1:], 1):
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
    assert torch.allclose(run.result[1].weight, average, atol=1e-6)
    assert not torch.allclose(run.result[1].weight, kept[-1], atol=1e-4)
    assert flat().result is not None


def test_the_average_is_in_the_checkpoint(tmp_path):
    run = flat(3, ema=0.9)
    next(run.run(stream(source, run.numbers)))
    run.save(tmp_path / "run.ckpt")
    again = flat(3, ema=0.9)
    again.restore(tmp_path / "run.ckpt")
    assert again.result[1].weight.equal(run.result[1].weight)
    assert losses(again) == losses(run)
    assert again.result[1].weight.equal(run.result[1].weight)


def test_a_constant_rate_rises_and_stays():
    plan = Plan(steps=10, lr=2.0, warmup=3, schedule="constant")
    assert [plan.rate(step) for step in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert plan.rate(9) == 2.0


def test_a_cosine_falls_slowly_then_fast_then_slowly():
    plan = Plan(steps=100, lr=2.0, warmup=0, schedule="cosine")
    assert [plan.rate(i) for i in (0, 50, 100)] == pytest.approx([2, 1, 0])
    assert plan.rate(25) == pytest.approx(1 + 0.5**0.5)


def test_a_teacher_is_asked_where_batches_come_without_its_descriptors():
    taught = Weighted.read({"imitation": {}})
    torch.manual_seed(3)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(1024, 16), Unit())
    run, silent = flat(), flat()
    run = Training(run.net, taught, Plan(30, lr=1e-2, bf16=False), teacher)
    curve = [terms["imitation"] for terms in run.run(stream(source, run.numbers))]
    assert curve[-1] < 0.5 * curve[0]
    with torch.no_grad():
        known = [
            Batch(b.anchors, b.positives, torch.stack([teacher(b.anchors), teacher(b.positives)]))
            for b in stream(source, range(30))
        ]
    told = Training(silent.net, taught, Plan(30, lr=1e-2, bf16=False))
    assert [terms["imitation"] for terms in told.run(known)] == pytest.approx(curve, rel=1e-4)
    with pytest.raises(RequestError, match="needs a teacher"):
        next(Training(silent.net, taught, Plan(1)).run(stream(source, [0])))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"schedule": "stairs"}, "there are linear, cosine, constant"),
        ({"ema": 1.0}, "ema < 1"),
        ({"parts": 0}, "0 parts"),
        ({"weight_decay": -1.0}, "weight_decay of 0 to 1000"),
        ({"optimizer": "sgd"}, "optimizer 'sgd': there are adamw, muon"),
    ],
)
def test_settings_that_make_no_sense_are_refused(bad, message):
    with pytest.raises(RequestError, match=message):
        Plan(5, **bad)


def test_another_origin_is_another_training(tmp_path):
    first = Training(build(SMALL), TRIPLET, Plan(6), origin="seed 0")
    first.save(tmp_path / "run.ckpt")
    with pytest.raises(FileError, match="a checkpoint of seed 0, not of seed 1"):
        Training(build(SMALL), TRIPLET, Plan(6), origin="seed 1").restore(tmp_path / "run.ckpt")


WORKER = """
import sys
sys.path.insert(0, {tests!r})
import torch
import test_training as t
from descompress.processes import processes, rank
torch.set_num_threads(1)
with processes("cpu"):
    run = getattr(t, sys.argv[1])(parts=2)
    curve = t.losses(run)
    if rank() == 0:
        print(repr(curve))
        torch.save(run.net.state_dict(), {out!r})
"""


@pytest.mark.parametrize("kind", ["flat", "normed"])
def test_two_processes_give_the_curve_of_one_with_the_doubled_batch(tmp_path, kind, torchrun):
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(tests=str(ROOT / "tests"), out=str(tmp_path / "net.pt")))
    done = torchrun(script, kind)
    assert done.returncode == 0, done.stderr
    whole = {"flat": flat, "normed": normed}[kind](parts=2)
    expected = losses(whole)
    found = [float(v) for v in done.stdout.strip().strip("[]").split(",")]
    assert found == pytest.approx(expected, rel=1e-4)
    weights = torch.load(tmp_path / "net.pt", weights_only=True)
    for name, tensor in whole.net.state_dict().items():
        gap = (tensor.float() - weights[name].float()).abs().mean()
        assert gap < 1e-4, name  # Adam magnifies rounding


ABORTING = """
import os, resource, sys
from descompress.processes import processes
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
class Held:
    end = os.abort  # called when Python is taken apart
    def __del__(self):
        self.end()
with processes("cpu"):
    held = sys.held = Held()
    if sys.argv[1] == "wrong":
        raise SystemExit(3)
sys.stdout.write("done\\n")  # in one piece, for two write at once
"""


@pytest.mark.parametrize(("kind", "ends_well"), [("right", True), ("wrong", False)])
def test_what_processes_still_hold_at_their_end_does_no_harm(tmp_path, torchrun, kind, ends_well):
    script = tmp_path / "aborting.py"
    script.write_text(ABORTING)
    done = torchrun(script, kind)
    assert (done.returncode == 0) is ends_well, done.stderr
    assert done.stdout.split() == ["done", "done"] * ends_well


def test_parts_that_do_not_divide_among_processes_are_refused(tmp_path, torchrun):
    script = tmp_path / "worker.py"
    script.write_text(
        WORKER.format(tests=str(ROOT / "tests"), out="-").replace("parts=2", "parts=3")
    )
    done = torchrun(script, "flat")
    assert done.returncode != 0
    assert "3 parts do not divide among 2 processes" in done.stderr
    assert "[" not in done.stdout


def test_a_device_that_is_not_there_is_refused():
    for device in ("cuda:7", "abacus"):
        with pytest.raises(RequestError, match=f"device '{device}'"), processes(device):
            pass


def test_an_interrupt_waits_for_the_end_of_a_step(tmp_path):
    run = Run(tmp_path / "a.safetensors", training(), source, NOTHING, 0, 100, 100)
    run.start(force=False)
    inner = run.training.optimizers[0].step

    def interrupted() -> None:
        if run.training.step == 2:
            signal.raise_signal(signal.SIGINT)
        inner()

    run.training.optimizers[0].step = interrupted
    with pytest.raises(KeyboardInterrupt):
        list(run.rows())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    second = Run(tmp_path / "a.safetensors", training(), source, NOTHING, 0, 100, 100)
    assert second.start(force=False) == 3
    list(second.rows())
    whole = Run(tmp_path / "b.safetensors", training(), source, NOTHING, 0, 100, 100)
    whole.start(force=False)
    list(whole.rows())
    assert second.out.read_bytes() == whole.out.read_bytes()
    assert second.log.read_bytes() == whole.log.read_bytes()


def test_an_error_within_a_step_leaves_the_checkpoint_before(tmp_path):
    def poisoned(number: int) -> tuple[np.ndarray, np.ndarray]:
        anchors, positives = source(number)
        return anchors * np.float32(np.nan if number == 4 else 1), positives

    run = Run(tmp_path / "a.safetensors", training(), poisoned, NOTHING, 0, 2, 100)
    run.start(force=False)
    with pytest.raises(TrainingError, match="step 4"):
        list(run.rows())
    assert not run.out.exists()
    second = Run(tmp_path / "a.safetensors", training(), source, NOTHING, 0, 2, 100)
    assert second.start(force=False) == 4
    assert all(torch.isfinite(t).all() for t in second.training.net.state_dict().values())


def test_an_error_in_the_first_step_leaves_nothing(tmp_path):
    run = Run(
        tmp_path / "a.safetensors",
        training(),
        lambda number: tuple(side * np.float32(np.nan) for side in source(number)),
        NOTHING,
        0,
    )
    run.start(force=False)
    with pytest.raises(TrainingError):
        list(run.rows())
    assert not list(tmp_path.iterdir())


def test_two_trainings_do_not_write_one_network(tmp_path):
    first, second = (
        Run(tmp_path / "a.safetensors", training(), source, NOTHING, 0) for _ in range(2)
    )
    first.start(force=False)
    second.start(force=False)
    rows = first.rows()
    next(rows)
    with pytest.raises(FileError, match="another process is writing it"):
        next(second.rows())
    rows.close()
    assert first.checkpoint.exists()


def test_a_second_training_leaves_the_log_of_the_first_alone(tmp_path):
    first, second = (
        Run(tmp_path / "a.safetensors", training(), source, NOTHING, 0) for _ in range(2)
    )
    first.start(force=False)
    rows = first.rows()
    next(rows)
    with pytest.raises(FileError, match="another process is writing it"):
        second.start(force=False)
    for _ in rows:
        pass
    assert len(first.log.read_text().splitlines()) == 1 + first.training.plan.steps


def ended(folder: Path, steps: int) -> Run:
    """A training that was killed after it had written its network."""
    run = Run(folder / "a.safetensors", training(), source, NOTHING, 0)
    run.start(force=False)
    rows = run.rows()
    for _ in range(steps):
        next(rows)
    rows.close()
    save(run.training.net.eval(), run.out)
    return run


def test_the_last_checkpoint_of_a_training_that_ended_goes(tmp_path):
    run = ended(tmp_path, 6)
    settle(run.out)
    assert not run.checkpoint.exists()
    assert run.out.exists()


@pytest.mark.parametrize("why", ["not the last step", "the network is older", "no network"])
def test_other_checkpoints_stay(tmp_path, why):
    run = ended(tmp_path, 5 if why == "not the last step" else 6)
    if why == "the network is older":  # of an earlier training, which this one is to replace
        os.utime(run.out, (1, 1))
    elif why == "no network":
        run.out.unlink()
    settle(run.out)
    assert run.checkpoint.exists()


def test_the_parts_of_a_pruning_that_ended_go(tmp_path):
    out = tmp_path / "a.safetensors"
    parts_of(out).mkdir()
    settle(out)
    out.write_bytes(b"")
    settle(out)
    assert parts_of(out).exists()  # its fine-tuning is not done
    (parts_of(out) / TRAINED).touch()
    settle(out)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_batches_that_end_too_early_write_no_network(tmp_path):
    run = Run(tmp_path / "a.safetensors", training(), source, NOTHING, 0)
    run.start(force=False)
    run.training.plan = Plan(9, warmup=2)
    run.training.run = lambda batches: iter(())
    with pytest.raises(TrainingError, match="the batches end at step 0"):
        list(run.rows())
    assert not run.out.exists()
