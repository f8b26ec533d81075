"""`descompress pack`, then `descompress distill` and `train` from it."""

import csv
import json
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from calls import run

import descompress
from descompress.data.packed import Pack
from descompress.nets import build
from descompress.spec import Spec
from descompress.validation import Validation


@pytest.fixture(scope="module")
def folder(tmp_path_factory, discs) -> Path:
    root = tmp_path_factory.mktemp("distilling")
    (root / "photographs").mkdir()
    for seed in range(30):
        cv2.imwrite(str(root / f"photographs/{seed}.png"), discs(seed, (130, 130), 120, 8))
    torch.manual_seed(0)
    teacher = build(Spec("l2net", {"widths": (4, 4, 8, 8, 8, 8), "dim": 16}))
    descompress.save(teacher.eval(), root / "teacher.safetensors")
    status, said = run(*pack(root, "pack"))
    assert status == 0, said
    return root


def pack(root: Path, out: str) -> list[object]:
    sizes = ("--batches", "4", "--batch", "16", "--workers", "0")
    return ["pack", root / out, "--photographs", root / "photographs", *sizes]


def distill(root: Path, student: object, out: str, *extra: object) -> list[object]:
    given = ("--teacher", root / "teacher.safetensors", "--pack", root / "pack", "--workers", "0")
    sizes = ("--steps", "6", "--batch", "16", "--calibrate", "32", "--validate-every", "3")
    return ["distill", student, root / out, *given, *sizes, *extra]


def test_a_pack_holds_what_was_asked_for_and_is_not_made_again(folder):
    made = Pack.read(folder / "pack")
    assert made.patches.shape == (4, 2, 16, 32, 32)
    assert made.asked["batches"] == 4
    assert "ref/0" in made.held()
    assert str(folder) not in json.dumps(made.asked)
    status, said = run(*pack(folder, "pack"))
    assert status == 1
    assert "exists already" in said


def test_a_pack_of_strongly_disturbed_views_is_learned_from_as_such(folder):
    status, said = run(*pack(folder, "strong"), "--least-jitter", "0.9")
    assert status == 0, said
    weak, strong = (Pack.read(folder / name) for name in ("pack", "strong"))
    assert (weak.asked["least_jitter"], strong.asked["least_jitter"]) == (0.0, 0.9)
    assert not np.array_equal(weak.patches, strong.patches)
    args = distill(folder, "cdp2", "strong.safetensors", "--pack", folder / "strong")
    status, said = run(*args)
    assert (status, "make a pack with --least-jitter 0.0" in said) == (2, True)
    status, said = run(*args, "--least-jitter", "0.9")
    assert status == 0, said


def test_a_share_that_is_none_is_refused_before_anything_is_made(folder):
    for option, share in product(("--least-jitter", "--tour-share"), ("1.5", "nan")):
        status, said = run(*pack(folder, "none"), option, share)
        assert status == 2
        assert f"'{option}': {share}" in said
        assert not (folder / "none").exists()


def test_a_preset_of_the_teacher_is_distilled(folder):
    status, said = run(*distill(folder, "cdp2", "cdp2.safetensors"))
    assert status == 0, said
    assert "patches/s" in said
    assert "held out: matching 0." in said
    net = descompress.load(folder / "cdp2.safetensors")
    assert {m.name for m in net.spec.layers.values()} == {"cdp"}
    rows = list(csv.DictReader((folder / "cdp2.safetensors.csv").read_text().splitlines()))
    assert list(rows[0]) == ["step", "loss", "imitation", "matching", "fpr95"]
    assert [row["matching"] != "" for row in rows] == [False, False, True] * 2


def test_a_recipe_is_distilled_and_the_command_line_wins(folder):
    (folder / "small.toml").write_text(
        'start = "strided"\n[net]\nwidths = [2, 3, 4, 5]\nbottleneck = 3\ndim = 16\n'
        "[plan]\nlr = 1e-3\nema = 0.9\nparts = 2\n[objectives.triplet]\n"
        "[objectives.imitation]\nweight = 2\n[card]\nlicence = 'none'\n"
    )
    args = distill(folder, folder / "small.toml", "small.safetensors", "--arg", "bottleneck=2")
    status, said = run(*args)
    assert status == 0, said
    net = descompress.load(folder / "small.safetensors")
    assert net.spec.args["widths"] == (2, 3, 4, 5)
    assert net.spec.args["bottleneck"] == 2
    header = (folder / "small.safetensors.csv").read_text().splitlines()[0]
    assert header == "step,loss,triplet,imitation,matching,fpr95"


@pytest.mark.parametrize(
    ("objective", "name"),
    [
        ("bkd:neighbours=3,weight=0.5", "bkd"),
        ("srm:grid=2,settling=0.5", "srm"),
        ("hierarchical:levels=1", "hierarchical"),
        ("pcl:peers=2,shared=1", "pcl"),
        ("sequence:phases=2", "sequence"),
    ],
)
def test_the_distillation_family_is_asked_for_by_name(folder, objective, name):
    args = distill(folder, "cdp2", f"{name}.safetensors", "--objective", objective)
    status, said = run(*args, "--steps", "2", "--parts", "2", "--objective", "triplet")
    assert status == 0, said
    rows = list(csv.DictReader((folder / f"{name}.safetensors.csv").read_text().splitlines()))
    assert all(float(row[name]) > 0 for row in rows)
    made, plain = (descompress.load(folder / f"{n}.safetensors") for n in (name, "cdp2"))
    assert made.state_dict().keys() == plain.state_dict().keys()


def test_a_recipe_asks_for_them_in_tables(folder):
    (folder / "family.toml").write_text(
        'start = "strided"\n[net]\nwidths = [2, 3, 4, 5]\nbottleneck = 3\ndim = 16\n'
        "[objectives.pcl]\nshared = 1\n[objectives.srm]\nlevels = 1\nweight = 0.1\n"
    )
    args = distill(folder, folder / "family.toml", "family.safetensors", "--steps", "2")
    status, said = run(*args)
    assert status == 0, said
    header = (folder / "family.safetensors.csv").read_text().splitlines()[0]
    assert header == "step,loss,pcl,srm,matching,fpr95"


def test_trainings_from_a_pack_need_no_photographs_and_log_to_tensorboard(folder):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    args = ["train", folder / "teacher.safetensors", folder / "more.safetensors"]
    options = ("--pack", folder / "pack", "--batch", "16", "--steps", "3", "--workers", "0")
    status, said = run(*args, *options, "--tensorboard", folder / "board")
    assert status == 0, said
    events = EventAccumulator(str(folder / "board")).Reload()
    rows = list(csv.DictReader((folder / "more.safetensors.csv").read_text().splitlines()))
    logged = [event.value for event in events.Scalars("train/triplet")]
    assert logged == pytest.approx([float(row["triplet"]) for row in rows])
    assert [event.step for event in events.Scalars("held_out/matching")] == [3]


def test_what_a_training_starts_from_is_measured_before_it(folder):
    held = Validation.from_arrays(Pack.read(folder / "pack").held())
    worth = held.measured(descompress.load(folder / "teacher.safetensors"))["matching"]
    options = ("--pack", folder / "pack", "--batch", "16", "--steps", "1", "--workers", "0")
    out = folder / "known.safetensors"
    status, said = run("train", folder / "teacher.safetensors", out, *options)
    assert status == 0, said
    assert f"known.safetensors: step 0 of 1  held out: matching {worth:.4f}\n" in said
    status, said = run("train", "strided", folder / "drawn.safetensors", *options)
    assert status == 0, said
    assert "drawn.safetensors: step 0 of 1\n" in said  # of random weights nothing is to be told


def test_two_processes_distil_one_network_as_one_process_does(folder, torchrun):
    args = distill(folder, "cdp2", "two.safetensors", "--parts", "2", "--objective", "triplet")
    done = torchrun("-m", "descompress", *args)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("step 6/6") == 1
    args[2] = folder / "one.safetensors"
    status, said = run(*args)
    assert status == 0, said
    logs = [
        [float(row["loss"]) for row in csv.DictReader(path.read_text().splitlines())]
        for path in (folder / "two.safetensors.csv", folder / "one.safetensors.csv")
    ]
    assert logs[0] == pytest.approx(logs[1], rel=2e-2)  # bfloat16
    assert len(logs[0]) == 6


def test_processes_without_parts_for_all_are_refused(folder, torchrun):
    done = torchrun("-m", "descompress", *distill(folder, "cdp2", "new.safetensors"))
    assert done.returncode != 0
    assert "1 parts do not divide among 2 processes" in done.stderr
    assert not list(folder.glob("new*"))


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (["--objective", "hinge"], 2, "unknown objective 'hinge'"),
        (["--objective", "triplet:margin"], 2, "NAME:SETTING=VALUE"),
        (["--objective", "triplet:margin=wide"], 2, "margin"),
        (["--schedule", "stairs"], 2, "there are linear, cosine, constant"),
        (["--batch", "12"], 2, "batches of 16 pairs, not cut into 12"),
        (["--teacher", "nobody"], 1, "nobody"),
        (["--pack", "nowhere"], 1, "nowhere: no finished pack"),
        (["--photographs", "nowhere"], 2, "one or the other"),
        (["--arg", "dim=8"], 2, "[net] has arguments"),
        (["--parts", "0"], 2, "0 parts"),
        (["--calibrate", "9" * 20], 2, "patches: at most 1,048,576"),
        (["--device", "abacus"], 2, "device 'abacus'"),
        (["--split", "a"], 2, "one or the other"),
        (["--objective", "triplet", "--objective", "triplet"], 2, "triplet is asked for twice"),
        (["--objective", "srm:levels=0"], 2, "levels and grid of at least 1"),
        (["--objective", "pcl:shared=7"], 2, "cannot share 7 layers of a network of 7"),
        (["--objective", "sequence:phases=1"], 2, "phases >= 2"),
    ],
)
def test_bad_requests_get_one_line_and_leave_nothing(folder, change, status, message):
    found, said = run(*distill(folder, "cdp2", "new.safetensors"), *change)
    assert found == status
    last = said.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert message in last
    assert not list(folder.glob("new*"))


def test_a_recipe_that_is_none_is_refused(folder):
    (folder / "bad.toml").write_text("start = [")
    for name, message in (("bad.toml", "not TOML"), ("gone.toml", "cannot be read")):
        status, said = run(*distill(folder, folder / name, "new.safetensors"))
        assert status == 1
        assert message in said


def test_imitation_without_a_teacher_says_where_to_get_one(folder):
    args = ("train", "strided", folder / "new.safetensors", "--pack", folder / "pack")
    status, said = run(*args, "--objective", "imitation")
    assert status == 2
    assert "descompress distill --teacher NET" in said
