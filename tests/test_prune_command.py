"""`descompress prune`, from a pack as small as can be."""

import csv
import hashlib
import json
import re
from pathlib import Path

import cv2
import pytest
import torch
from calls import run

import descompress
from descompress import pipelines
from descompress.errors import RequestError, TrainingError
from descompress.nets import build
from descompress.pipelines import Pipeline
from descompress.pruning import Pruning, Relay, latency
from descompress.runs import Run
from descompress.spec import Spec
from descompress.training import Training


@pytest.fixture(scope="module")
def folder(tmp_path_factory, discs) -> Path:
    root = tmp_path_factory.mktemp("pruning")
    (root / "photographs").mkdir()
    for seed in range(30):
        cv2.imwrite(str(root / f"photographs/{seed}.png"), discs(seed, (130, 130), 120, 8))
    torch.manual_seed(0)
    net = build(Spec("l2net", {"widths": (4, 6, 8, 8, 8, 8), "dim": 16}))
    descompress.save(net.eval(), root / "net.safetensors")
    sizes = ("--batches", "4", "--batch", "16", "--workers", "0")
    status, said = run("pack", root / "pack", "--photographs", root / "photographs", *sizes)
    assert status == 0, said
    return root


def prune(root: Path, out: str, *extra: object, net: object = None) -> list[object]:
    sizes = ("--steps", "4", "--joint-steps", "4", "--batch", "16", "--validate-every", "2")
    own = ("--pack", root / "pack", "--workers", "0", "--float32", *sizes)
    return ["prune", net or root / "net.safetensors", root / out, *own, *extra]


def costs(root: Path, name: str) -> descompress.Cost:
    return descompress.cost(descompress.load(root / name))


def test_a_network_is_pruned_to_its_budget(folder):
    status, said = run(*prune(folder, "p.safetensors", "--macs", "0.3", "--assistants", "2"))
    assert status == 0, said
    whole, small = costs(folder, "net.safetensors"), costs(folder, "p.safetensors")
    assert 0.2 * whole.macs < small.macs <= 0.3 * whole.macs
    assert f"{small.macs:,} MACs ({small.macs / whole.macs:.1%})" in said
    assert f"asked: at most {0.3 * whole.macs:,.6g} macs, measured: {small.macs:,.6g}" in said
    assert not (folder / "p.safetensors.parts").exists()
    rows = list(csv.DictReader((folder / "p.safetensors.csv").read_text().splitlines()))
    assert list(rows[0])[:4] == ["step", "loss", "triplet", "imitation"]
    assert len(rows) == 4


@pytest.mark.parametrize(
    "criterion", ["magnitude", "taylor", "median", "random", "uniform", "balanced"]
)
def test_other_criteria_take_as_many_steps(folder, criterion):
    name = f"{criterion}.safetensors"
    status, said = run(*prune(folder, name, "--params", "0.3", "--criterion", criterion))
    assert status == 0, said
    assert costs(folder, name).params <= 0.3 * costs(folder, "net.safetensors").params
    assert len((folder / f"{name}.csv").read_text().splitlines()) == 1 + 8
    widths = descompress.load(folder / name).spec.args["widths"]
    assert widths[0] == 4  # the first layer stays
    if criterion == "uniform":
        shares = [n / whole for n, whole in zip(widths[1:], (6, 8, 8, 8, 8), strict=True)]
        assert max(shares) - min(shares) < 0.21


def test_a_budget_of_time_is_met(folder, monkeypatch):
    def by_macs(small, whole, shape):
        return tuple(1e-9 * descompress.cost(net, input_shape=shape).macs for net in (small, whole))

    monkeypatch.setattr(latency, "timed", by_macs)
    monkeypatch.setattr(pipelines, "timed", by_macs)
    args = prune(folder, "fast.safetensors", "--latency", "0.6", "--assistants", "0")
    status, said = run(*args, "--prune-first")
    assert status == 0, said
    whole, fast = costs(folder, "net.safetensors"), costs(folder, "fast.safetensors")
    assert 0.5 * whole.macs < fast.macs <= 0.6 * whole.macs
    assert f"measured: {1e-6 * fast.macs:,.6g}" in said


def test_a_recipe_is_pruned_and_the_command_line_wins(folder):
    (folder / "p.toml").write_text(
        f'start = "{folder / "net.safetensors"}"\n[prune]\nmacs = 0.5\nassistants = 1\n'
        "[plan]\nlr = 1e-3\n[objectives.triplet]\n"
    )
    args = prune(folder, "recipe.safetensors", "--assistants", "0", net=folder / "p.toml")
    status, said = run(*args)
    assert status == 0, said
    assert costs(folder, "recipe.safetensors").macs <= 0.5 * costs(folder, "net.safetensors").macs


def test_structure_is_learned_and_trained_again(folder):
    name = "structure.safetensors"
    status, said = run(*prune(folder, name, "--macs", "0.4", "--criterion", "structure"))
    assert status == 0, said
    assert "student.safetensors: step 0 of 4" in said
    assert costs(folder, name).macs <= 0.4 * costs(folder, "net.safetensors").macs


@pytest.mark.parametrize("criterion", ["cascade", "structure"])
def test_an_average_of_the_weights_is_one_of_the_student(folder, criterion):
    name = f"average.{criterion}.safetensors"
    args = prune(folder, name, "--macs", "0.4", "--criterion", criterion, "--ema", "0.5")
    status, said = run(*args)
    assert status == 0, said
    assert costs(folder, name).macs <= 0.4 * costs(folder, "net.safetensors").macs


def test_assistants_are_kept_however_the_first_phase_ended(folder, monkeypatch):
    args = prune(folder, "kept.safetensors", "--macs", "0.4", "--assistants", "1")
    keep = Pipeline._keep_assistants

    def stopped(self, run):
        raise KeyboardInterrupt

    monkeypatch.setattr(Pipeline, "_keep_assistants", stopped)
    status, _ = run(*args)
    assert status == 130, _
    monkeypatch.setattr(Pipeline, "_keep_assistants", keep)
    seen: list[Relay | None] = []
    finetune = Pipeline.finetune

    def watched(self):
        found = finetune(self)
        seen.append(found[1])
        return found

    monkeypatch.setattr(Pipeline, "finetune", watched)
    status, said = run(*args)
    assert status == 0, said
    assert len(seen[0].teachers) == 2


def test_a_budget_of_time_is_measured_once(folder, monkeypatch):
    args = prune(folder, "once.safetensors", "--latency", "1s", "--assistants", "0")
    args = [*args, "--prune-first", "--checkpoint-every", "1"]
    rows = Run.rows

    def interrupted(self):
        for i, row in enumerate(rows(self)):
            if i == 2:
                raise KeyboardInterrupt
            yield row

    monkeypatch.setattr(Run, "rows", interrupted)
    status, _ = run(*args)
    assert status == 130, _
    monkeypatch.setattr(Run, "rows", rows)
    status, said = run(*args)
    assert status == 0, said
    assert "ms for 64 inputs, measured:" in said


def test_only_prune_prunes(folder):
    file = folder / "table.toml"
    file.write_text(f'start = "{folder / "net.safetensors"}"\n[prune]\nmacs = 0.5\n')
    given = ("--pack", folder / "pack", "--steps", "2")
    status, said = run("distill", file, folder / "not.safetensors", *given)
    assert status == 2
    assert "has a table [prune]: use descompress prune" in said
    args = prune(folder, "instead.safetensors", "--params", "0.4", "--assistants", "0", net=file)
    status, said = run(*args)
    assert status == 0, said
    assert (
        costs(folder, "instead.safetensors").params <= 0.4 * costs(folder, "net.safetensors").params
    )


def test_a_start_that_is_no_network_is_refused_before_any_work(folder):
    (folder / "preset.toml").write_text('start = "cdp2"\n[prune]\nmacs = 0.5\n')
    status, said = run(*prune(folder, "preset.safetensors", net=folder / "preset.toml"))
    assert status in (1, 2)
    assert "cdp2" in said
    assert not (folder / "preset.safetensors.parts").exists()


@pytest.mark.parametrize("phase", ["together", "alone"])
def test_a_pruning_that_was_stopped_goes_on_to_the_same_network(folder, phase, monkeypatch):
    whole, stopped = f"{phase}.whole.safetensors", f"{phase}.stopped.safetensors"
    for name in (whole, stopped):
        args = prune(folder, name, "--macs", "0.4", "--assistants", "1", "--checkpoint-every", "1")
        if name == stopped:
            rows, wanted = Run.rows, "student" if phase == "together" else stopped

            def interrupted(self, rows=rows, wanted=wanted):
                for i, row in enumerate(rows(self)):
                    if wanted in self.out.name and i == 2:
                        raise KeyboardInterrupt
                    yield row

            monkeypatch.setattr(Run, "rows", interrupted)
            status, said = run(*args)
            assert status == 130, _
            assert "the same command goes on from step" in said
            other = [*args[:-4], "--assistants", "0", *args[-2:]]
            status, said = run(*other)
            assert status == 1
            assert "left by another pruning; ask for the same, or delete it" in said
            monkeypatch.setattr(Run, "rows", rows)
        status, said = run(*args)
        assert status == 0, said
    x = torch.rand(4, 1, 32, 32)
    nets = [descompress.load(folder / name) for name in (whole, stopped)]
    assert nets[0].spec == nets[1].spec
    torch.testing.assert_close(nets[0](x), nets[1](x))


@pytest.mark.parametrize(
    ("extra", "status", "message"),
    [
        ([], 2, "a pruning needs one budget of macs, params, channels, latency, not none"),
        (["--macs", "0.3", "--params", "0.3"], 2, "one budget .* not macs and params"),
        (["--macs", "0.0001"], 2, "out of reach; the least that can be is"),
        (["--macs", "much"], 2, "--macs 'much': a share such as 0.25, or an amount"),
        (["--macs", "0.3", "--criterion", "taste"], 2, "criterion 'taste': there are cascade, s"),
        (["--macs", "0.3", "--assistants", "-1"], 2, "assistants, hints >= 0"),
        (["--macs", "0.3", "--assistants", "99999"], 2, "99999 assistants: at most 64"),
        (["--macs", "0.3", "--hints", "-1"], 2, "assistants, hints >= 0"),
    ],
)
def test_requests_that_do_not_fit_leave_nothing_behind(folder, extra, status, message):
    before = sorted(folder.iterdir())
    found, said = run(*prune(folder, "no.safetensors", *extra))
    assert found == status
    assert re.search(message, said), said
    leftovers = [path.name for path in sorted(folder.iterdir()) if path not in before]
    assert [name for name in leftovers if "teacher" not in name] == []


def test_objectives_of_another_kind_are_refused_and_what_is_asked_then_is_not(folder):
    for criterion in ("cascade", "structure", "magnitude"):
        args = prune(folder, "kind.safetensors", "--macs", "0.5", "--criterion", criterion)
        status, said = run(*args, "--objective", "detection")
        assert status == 2
        assert "detection: an objective of image networks, not of descriptors of patches" in said
        assert not [*folder.glob("kind*")]
    status, said = run(*args, "--objective", "triplet")
    assert status == 0, said


def test_a_first_step_that_fails_leaves_nothing_to_delete(folder, monkeypatch):
    def fail(self, parts):
        raise TrainingError("the loss is nan")

    args = prune(folder, "nan.safetensors", "--macs", "0.5", "--criterion", "magnitude")
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_learn", fail)
        status, said = run(*args)
    assert (status, "the loss is nan" in said) == (1, True)
    assert not [*folder.glob("nan*")]
    assert run(*args, "--lr", "1e-4")[0] == 0


@pytest.mark.parametrize("criterion", ["cascade", "structure", "taylor", "magnitude"])
def test_a_shipped_network_with_the_name_of_a_kind_is_pruned_as_it_is(
    folder, criterion, tmp_path, monkeypatch
):
    """`superpoint`, say, is both: a structure to train, and weights to prune."""
    weights = tmp_path / "weights"
    weights.mkdir()
    content = (folder / "net.safetensors").read_bytes()
    (weights / "l2net.safetensors").write_bytes(content)
    numbers = 'about = "x"\nbytes = 1\nmacs = 1\nparams = 1\nmeasured = 1'
    (weights / "index.toml").write_text(
        f"[measurement]\n[peers]\n[networks.l2net]\n{numbers}\n"
        f'sha256 = "{hashlib.sha256(content).hexdigest()}"\n'
    )
    monkeypatch.setenv("DESCOMPRESS_WEIGHTS", str(weights))
    started: list[dict[str, torch.Tensor]] = []
    plain = Training.__init__

    def noted(self, net, *args, **kwargs):
        started.append({n: p.detach().clone() for n, p in net.named_parameters()})
        plain(self, net, *args, **kwargs)

    monkeypatch.setattr(Training, "__init__", noted)
    args = prune(folder, f"shipped.{criterion}.safetensors", "--macs", "0.9", net="l2net")
    status, said = run(*args, "--criterion", criterion)
    assert status == 0, said
    own = dict(descompress.load(folder / "net.safetensors").named_parameters())
    if criterion != "magnitude":  # which cuts before it trains
        assert started[0].keys() == own.keys()
        for name, weight in started[0].items():
            torch.testing.assert_close(weight, own[name])
    first = next(iter(own))  # the first layer keeps its channels
    torch.testing.assert_close(started[-1][first], own[first], atol=0.1, rtol=0)


def test_tables_say_what_they_mean():
    assert Pruning.read({"macs": 0.25, "hints": 0}) == Pruning.read({"macs": 0.25})
    for table in ({"macs": 0.25}, {"latency": "2ms", "criterion": "taylor"}, {"params": "200k"}):
        asked = Pruning.read(table)
        assert Pruning.read(asked.to_json()) == asked
        assert Pruning.read(json.loads(json.dumps(asked.to_json()))) == asked
    with pytest.raises(RequestError, match=r"\[prune\] has no 'mac'; it has macs, params"):
        Pruning.read({"macs": 0.25, "mac": 1})
    with pytest.raises(RequestError, match=r"\[prune\] assistants must be a whole number, not 1.5"):
        Pruning.read({"macs": 0.25, "assistants": 1.5})


def test_the_next_teacher_comes_when_the_student_has_caught_up():
    nets = [torch.nn.Linear(1, 1) for _ in range(3)]
    relay = Relay(nets, [0.5, 0.6, 0.7])
    x = torch.rand(1, 1)
    told = []
    for mark in (None, 0.4, 0.5, 0.55, 0.9, 0.1):
        relay.follow(mark)
        told.append(relay.current)
        assert torch.equal(relay(x), nets[relay.current](x))
    assert told == [0, 0, 1, 1, 2, 2]


def test_a_network_may_be_replaced_by_what_is_left_of_it(folder):
    name = "replaced.safetensors"
    (folder / name).write_bytes((folder / "net.safetensors").read_bytes())
    args = prune(folder, name, "--macs", "0.4", "--criterion", "uniform", net=folder / name)
    status, said = run(*args, "--force")
    assert status == 0, said
    assert costs(folder, name).macs <= 0.4 * costs(folder, "net.safetensors").macs
