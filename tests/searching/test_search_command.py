"""`descompress search`, of a network as small as can be."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from calls import run

import descompress
from descompress.errors import RequestError
from descompress.locks import locked
from descompress.nets import build
from descompress.recipes import Recipe, read_recipe
from descompress.searching import measuring, searches, verifying
from descompress.spec import Spec

TINY = Spec("strided", {"widths": (6, 8), "strides": (4, 4), "kernels": (3, 3), "bottleneck": 6,
                        "dim": 8})  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("search <&>")
    torch.manual_seed(0)
    descompress.save(build(TINY).eval(), root / "net.safetensors")
    np.save(root / "patches.npy", np.random.default_rng(0).random((96, 32, 32)))
    return root


@pytest.fixture(scope="module")
def searched(folder) -> Path:
    status, said = run(*command(folder, "whole", "--max-macs", "0.8"))
    assert status == 0, said
    return folder / "whole"


def command(root: Path, out: str, *extra: object) -> list[object]:
    given = ("--calibrate", root / "patches.npy", "--on", "eager-fp32", "--trials", "40")
    sizes = ("--verify", "2", "--methods", "cdp,depthwise")
    return ["search", root / "net.safetensors", root / out, *given, *sizes, *extra]


def front(out: Path) -> dict:
    """What was found, without what a clock says and where it was asked for."""
    found = json.loads((out / "front.json").read_text())
    del found["provenance"]["command"]
    for entry in (found["whole"], *(entry["measured"] for entry in found["verified"])):
        for name in ("seconds", "share"):
            entry.pop(name, None)
    return found


def never(*_: object) -> float:
    raise AssertionError("measured again")


def test_the_winner_is_the_best_of_all_under_the_budget(folder, searched):
    whole, best = (descompress.load(p) for p in (folder / "net.safetensors",
                                                 searched / "best.safetensors"))  # fmt: skip
    limit = 0.8 * descompress.cost(whole).macs
    assert descompress.cost(best).macs <= limit
    measured = json.loads((searched / "measurements.json").read_text())
    costs = measured["whole"]["macs"]
    losses = {
        (a, b): own["loss"] + other["loss"]
        for a, own in measured["layers"]["2"].items()
        for b, other in measured["layers"]["4"].items()
        if own["macs"] + other["macs"] - costs <= limit
    }
    losses |= {
        (layer, method): found["loss"]
        for layer, own in measured["layers"].items()
        for method, found in own.items()
        if found["macs"] <= limit
    }
    expected = sorted(e["expected"]["loss"] for e in front(searched)["verified"])
    assert expected == pytest.approx(sorted(losses.values())[:2])


def test_verified_networks_are_measured_and_the_least_loss_wins(folder, searched):
    found = front(searched)
    x = torch.from_numpy(np.load(folder / "patches.npy")[3::4, None]).float()
    whole = descompress.load(folder / "net.safetensors")
    for entry in found["verified"]:
        small = descompress.load(searched / entry["file"])
        with torch.no_grad():
            loss = 1 - (small(x) * whole(x)).sum(1).mean()
        assert entry["measured"]["loss"] == pytest.approx(float(loss), abs=1e-5)
        assert entry["measured"]["macs"] == descompress.cost(small).macs
        assert entry["measured"]["macs"] == entry["expected"]["cost"]
    losses = [entry["measured"]["served"] for entry in found["verified"]]
    assert losses == sorted(losses)
    best = (searched / found["verified"][0]["file"]).read_bytes()
    assert (searched / "best.safetensors").read_bytes() == best


def test_the_recipe_is_one_that_distill_and_convert_read(folder, searched, tmp_path):
    recipe = Recipe.from_dict(read_recipe(searched / "recipe.toml"))
    assert Path(recipe.teacher) == folder / "net.safetensors"
    given = ["convert", recipe.teacher, tmp_path / "same", "--preset", recipe.start]
    assert run(*given)[0] == 0
    best = descompress.load(searched / "best.safetensors")
    assert descompress.load(tmp_path / "same").spec == best.spec
    assert "--max-macs 0.8" in tomllib.loads((searched / "recipe.toml").read_text())["about"]


def test_the_same_command_measures_nothing_twice(folder, searched, monkeypatch):
    before = front(searched)

    def never(*_):
        raise AssertionError("measured again")

    for name in ("layer_costs", "sensitivity", "measured_whole"):
        monkeypatch.setattr(searches, name, never)
    monkeypatch.setattr(verifying, "made", never)
    assert run(*command(folder, "whole", "--max-macs", "0.8"))[0] == 0
    assert front(searched) == before


@pytest.mark.parametrize(
    ("module", "name", "calls"),
    [(searches, "layer_costs", 1), (searches, "sensitivity", 3), (verifying, "made", 1)],
)
def test_stopped_in_the_middle_it_goes_on_to_the_same_answer(
    folder, searched, monkeypatch, module, name, calls
):
    args, real, seen = command(folder, f"stopped at {name}", "--max-macs", "0.8"), [], []
    real.append(getattr(module, name))

    def stopping(*given):
        seen.append(given)
        if len(seen) > calls:
            raise KeyboardInterrupt
        return real[0](*given)

    monkeypatch.setattr(module, name, stopping)
    assert run(*args)[0] == 130
    assert not (folder / f"stopped at {name}" / "best.safetensors").exists()
    monkeypatch.setattr(module, name, real[0])
    assert run(*args)[0] == 0
    assert front(folder / f"stopped at {name}") == front(searched)


def test_killed_in_the_middle_it_goes_on_to_the_same_answer(folder, searched):
    args = [str(word) for word in command(folder, "killed", "--max-macs", "0.8")]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "descompress", *args], env=env)
    notes = folder / "killed" / "measurements.json"
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        if notes.exists() and '"loss"' in notes.read_text():
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert run(*args)[0] == 0
    assert front(folder / "killed") == front(searched)


@pytest.mark.parametrize("budget", ["params", "latency"])
def test_other_budgets_are_met_from_the_same_measurements(folder, searched, monkeypatch, budget):
    monkeypatch.setattr(searches, "sensitivity", never)
    text = {"params": "0.9", "latency": "10s"}[budget]
    args = command(folder, "whole", f"--max-{budget}", text)
    status, said = run(*args)
    assert status == 2
    assert "holds the answer for 0.8 of what there is (macs); --force replaces it" in said
    before = {file: file.read_bytes() for file in searched.iterdir() if file.is_file()}
    status, said = run(*args, "--force")
    assert status == 0, said
    best, whole = (descompress.load(p) for p in (searched / "best.safetensors",
                                                 folder / "net.safetensors"))  # fmt: skip
    if budget == "params":
        assert descompress.cost(best).params <= 0.9 * descompress.cost(whole).params
    else:
        assert best.spec == whole.spec  # ten seconds are enough for it as it is
        assert tomllib.loads((searched / "recipe.toml").read_text())["start"].endswith(
            "net.safetensors"
        )
    for file, content in before.items():
        file.write_bytes(content)


@pytest.fixture
def clock(monkeypatch):
    """A whole network takes 10 ms; each layer that is replaced saves a fifth, it is said."""
    shares = []

    def alone(whole, runtimes, x):
        return 0.01, [0.8] * len(runtimes)

    def verified(whole, runtimes, x):
        return 0.01, [shares.pop(0) for _ in runtimes]

    monkeypatch.setattr(measuring, "timed_shares", alone)
    monkeypatch.setattr(verifying, "timed_shares", verified)
    return shares


def test_slower_networks_than_expected_tighten_the_budget(folder, clock):
    clock += [0.95, 0.9, 0.62, 0.63]
    status, said = run(*command(folder, "tight", "--max-latency", "0.85x"))
    assert status == 0, said
    found = json.loads((folder / "tight/front.json").read_text())["verified"]
    shares = {entry["measured"]["share"]: entry["expected"]["cost"] for entry in found}
    one_layer, two_layers = pytest.approx(0.008), pytest.approx(0.006)
    assert shares == {0.95: one_layer, 0.9: one_layer, 0.62: two_layers, 0.63: two_layers}
    assert found[0]["measured"]["share"] < 0.7
    assert not clock


def test_a_latency_that_no_network_has_is_refused_with_the_nearest(folder, clock):
    clock += [0.97, 0.96, 0.95, 0.94, 0.93, 0.92]
    status, said = run(*command(folder, "slow", "--max-latency", "8.5ms"))
    assert status == 2
    assert "no network came out that fast; the nearest of" in said
    assert "ms, asked: 8.5 ms" in said
    assert not (folder / "slow/best.safetensors").exists()


def test_a_budget_out_of_reach_says_the_nearest_before_accuracy_is_measured(folder, monkeypatch):
    monkeypatch.setattr(searches, "sensitivity", never)
    status, said = run(*command(folder, "far", "--max-macs", "0.01"))
    assert status == 2
    assert "0.01 of what there is (macs): out of reach with cdp, depthwise; the least" in said
    held = json.loads((folder / "far/measurements.json").read_text())
    least = held["whole"]["macs"] - sum(
        held["whole"]["macs"] - min(found["macs"] for found in own.values())
        for own in held["layers"].values()
    )
    assert f"{least:,} MACs" in said


@pytest.mark.parametrize(
    ("extra", "status", "said"),
    [
        ([], 2, "give one budget of --max-latency, --max-macs, --max-params"),
        (["--max-macs", "1", "--max-params", "1"], 2, "give one budget"),
        (["--max-macs", "much"], 2, "--max-macs 'much'"),
        (["--max-latency", "5"], 2, "--max-latency '5': say the unit"),
        (["--max-macs", "0.5", "--on", "abacus"], 2, "--on 'abacus': there are eager-fp32"),
        (["--max-macs", "0.5", "--methods", "magic"], 2, "no method 'magic'"),
        (["--max-macs", "0.5", "--samples", "3"], 2, "too few to hold some back"),
        (["--max-macs", "0.5", "--validate", "nowhere"], 1, "nowhere"),
    ],
)
def test_requests_that_do_not_fit_are_refused(folder, extra, status, said):
    found = run(*command(folder, "refused", *extra))
    assert found[0] == status, found
    assert said in found[1]
    assert not (folder / "refused/best.safetensors").exists()


def test_a_method_that_is_not_there_leaves_no_folder(folder):
    status, said = run(*command(folder, "clean", "--max-macs", "0.5", "--methods", "magic"))
    assert (status, "no method 'magic'" in said) == (2, True)
    assert not (folder / "clean").exists()


def test_another_network_in_the_same_folder_is_refused(folder, searched):
    torch.manual_seed(1)
    descompress.save(build(TINY).eval(), folder / "other.safetensors", force=True)
    args = command(folder, "whole", "--max-macs", "0.8")
    args[1] = folder / "other.safetensors"
    status, said = run(*args)
    assert status == 2
    assert "was begun with network" in said


def test_a_folder_of_something_else_is_left_alone(folder):
    (folder / "photos").mkdir()
    (folder / "photos/cat.jpg").write_text("miaow")
    status, said = run(*command(folder, "photos", "--max-macs", "0.8"))
    assert status == 2
    assert "holds something else than a search" in said
    assert [file.name for file in (folder / "photos").iterdir()] == ["cat.jpg"]


def test_damaged_measurements_are_refused(folder):
    (folder / "damaged").mkdir()
    for text in ("{", "[]", '{"format": 1}', '{"format": 2, "asked": {}}'):
        (folder / "damaged/measurements.json").write_text(text)
        status, said = run(*command(folder, "damaged", "--max-macs", "0.8"))
        assert status == 1
        assert "damaged, or of another version" in said


def test_two_processes_do_not_share_a_folder(folder):
    with locked(folder / "shared", wait=False):
        status, said = run(*command(folder, "shared", "--max-macs", "0.8"))
    assert status == 1
    assert "another process is writing it" in said


def test_classifiers_are_refused(folder, tmp_path):
    torch.manual_seed(0)
    descompress.save(build(Spec("resnet50", {})).eval(), tmp_path / "c.safetensors")
    args = command(folder, "classes", "--max-macs", "0.8")
    args[1] = tmp_path / "c.safetensors"
    status, said = run(*args)
    assert status == 2
    assert "describes neither patches nor images" in said


@pytest.mark.parametrize(("package", "extra"), [("optuna", "search"), ("ray", "ray")])
def test_what_is_missing_is_said(folder, monkeypatch, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    engine = ["--engine", "ray"] if package == "ray" else []
    status, said = run(*command(folder, "missing", "--max-macs", "0.8", *engine))
    assert status == 2
    assert f"pip install 'descompress[{extra}]'" in said
    assert not (folder / "missing").exists()


def test_the_target_is_what_is_timed_and_run(folder, release):
    args = command(folder, "int8", "--max-latency", "30s", "--validate", release)
    args[args.index("eager-fp32")] = "onnxruntime-int8"
    args[args.index("cdp,depthwise")] = "depthwise"
    status, said = run(*args)
    assert status == 0, said
    found = json.loads((folder / "int8/front.json").read_text())
    assert found["whole"]["served"] > 0  # what int8 alone does
    assert 0 < found["whole"]["matching"] < 1
    assert found["verified"][0]["measured"]["loss"] < 1e-6  # nothing was replaced
    assert found["verified"][0]["measured"]["served"] > 0


def test_images_are_searched_for_too(folder, discs, tmp_path):
    import cv2

    (tmp_path / "images").mkdir()
    for seed in range(4):
        cv2.imwrite(str(tmp_path / f"images/{seed}.png"), discs(seed, (240, 320), 40, 12))
    torch.manual_seed(0)
    spec = Spec("superpoint", {"widths": (4,) * 10, "dim": 8, "stride": 4})
    descompress.save(build(spec).eval(), tmp_path / "net.safetensors")
    args = ["search", tmp_path / "net.safetensors", tmp_path / "out", "--max-params", "0.95"]
    args += ["--calibrate", tmp_path / "images", "--on", "eager-fp32", "--methods", "depthwise"]
    status, said = run(*args, "--verify", "1", "--trials", "3")
    assert status == 0, said
    small, whole = (descompress.load(tmp_path / p) for p in ("out/best.safetensors",
                                                             "net.safetensors"))  # fmt: skip
    assert descompress.cost(small).params <= 0.95 * descompress.cost(whole).params


def test_scores_that_move_are_counted_by_cell():
    wanted, found = np.zeros((1, 1, 8, 16), np.float32), np.zeros((1, 1, 8, 16), np.float32)
    wanted[0, 0, 0, 0], found[0, 0, 0, 1] = 0.5, 0.5  # within the first cell
    found[0, 0, 0, 8] = 0.25  # from "no keypoint" of the second
    unit = np.ones((1, 1, 1, 2), np.float32)
    assert measuring.moved((found, unit), (wanted, unit)) == pytest.approx((0.5 + 0.25) / 2)
    assert measuring.moved((found, -unit), (wanted, unit)) == pytest.approx(2 + (0.5 + 0.25) / 2)


def test_a_budget_of_another_kind_is_refused(folder):
    from descompress.pruning.budgets import Budget
    from descompress.searching import Search

    net = descompress.load(folder / "net.safetensors")
    with pytest.raises(RequestError, match="a budget of channels"):
        Search(net, "net", Budget("channels", 0.5, share=True))
    with pytest.raises(RequestError, match="at least one trial"):
        Search(net, "net", Budget("macs", 0.5, share=True), trials=0)
