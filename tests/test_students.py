"""From recipes and data to trainings."""

from pathlib import Path

import numpy as np
import pytest
import torch

import descompress
from descompress.data.mixture import Material
from descompress.data.packed import Pack, write_pack
from descompress.description import describe
from descompress.errors import FileError, RequestError
from descompress.nets import build
from descompress.recipes import Recipe
from descompress.spec import Spec
from descompress.students import prepare
from descompress.teachers import teacher_descriptors

ASKED = {"batch": 64, "tour_share": 0.0, "batches": 2, "seed": 0}
MIXED = {"photographs": ["a.jpg"], "tours": [["scene", 7]], "sequences": []}
DATA = {"batch": 64, "tour_share": 0.0}
VIEWS = ("ref", "e", "h", "t")


def source(number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([5, number])
    coarse = rng.random((64, 8, 8)).astype(np.float32)
    anchors = np.kron(coarse, np.ones((4, 4), np.float32)).astype(np.float32)
    noisy = np.clip(anchors + rng.normal(0, 0.05, anchors.shape), 0, 1)
    return anchors, noisy.astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("students")
    held = {f"{name}/0": (source(9)[0][:20] * 255).astype(np.uint8) for name in VIEWS}
    write_pack(root / "pack", source, 2, ASKED | MIXED, held, workers=0)
    torch.manual_seed(0)
    teacher = build(Spec("l2net", {"widths": (4, 4, 8, 8, 8, 8), "dim": 16}))
    descompress.save(teacher.eval(), root / "teacher.safetensors")
    return root


def recipe(folder: Path, **content: object) -> Recipe:
    base = {"teacher": str(folder / "teacher.safetensors"), "objectives": {"imitation": {}}}
    return Recipe.from_dict({"data": DATA, "calibrate": 64, "start": "cdp2", **base, **content})


def test_a_preset_of_the_teacher_starts_as_the_teacher_refitted(folder):
    fitted, _, _ = prepare(recipe(folder, calibrate=256), Material(), folder / "pack")
    bare, _, _ = prepare(recipe(folder, calibrate=0), Material(), folder / "pack")
    teacher = descompress.load(folder / "teacher.safetensors")
    wanted = describe(teacher, source(1)[0])
    gaps = [np.linalg.norm(describe(t.net, source(1)[0]) - wanted) for t in (fitted, bare)]
    assert gaps[0] < 0.95 * gaps[1]
    assert fitted.net.spec.layers.keys() == bare.net.spec.layers.keys() != {}


def test_the_teacher_describes_a_pack_once(folder):
    pack, teacher = Pack.read(folder / "pack"), descompress.load(folder / "teacher.safetensors")
    found = teacher_descriptors(pack, teacher)
    for number in range(2):
        for side in range(2):
            wanted = describe(teacher, pack.pairs(number)[side])
            assert np.abs(found[number, side] - wanted).max() < 0.02  # bfloat16
    files = sorted(p.name for p in pack.root.glob("teacher-*"))
    assert len(files) == 1
    stamp = (pack.root / files[0]).stat().st_mtime_ns
    assert np.array_equal(teacher_descriptors(pack, teacher), found)
    assert (pack.root / files[0]).stat().st_mtime_ns == stamp
    with torch.no_grad():
        next(teacher.parameters()).mul_(-1)
    assert not np.array_equal(teacher_descriptors(pack, teacher), found)


def test_a_students_batches_carry_what_the_teacher_made_of_them(folder):
    training, batches, validation = prepare(recipe(folder), Material(), folder / "pack")
    anchors, _, teacher = batches(0)
    wanted = describe(descompress.load(folder / "teacher.safetensors"), anchors)
    assert np.abs(teacher[0] - wanted).max() < 0.02
    assert training.teacher is not None
    assert 0 <= validation.matching(training.net) <= 1
    assert validation.fpr95(training.net) is None


def test_a_teacher_whose_maps_are_needed_runs_beside_the_descriptors_of_the_pack(folder):
    objectives = {"hierarchical": {}, "srm": {}, "pcl": {}}
    asked = recipe(folder, objectives=objectives)
    training, batches, _ = prepare(asked, Material(), folder / "pack")
    assert len(batches(0)) == 3
    assert training.learner.companions["srm"].sizes == [(8, 8), (16, 16)]
    assert training.result is training.learner.companions["pcl"].average
    assert training.result.spec == training.net.spec
    for name in ("hierarchical", "srm"):
        plain = {"start": "strided", "data": DATA, "objectives": {name: {}}}
        with pytest.raises(RequestError, match=f"{name}: needs a teacher; use descompress distill"):
            Recipe.from_dict(plain)


def test_a_network_by_name_takes_its_arguments(folder):
    net = {"widths": (2, 3, 4, 5), "dim": 8}
    made = recipe(folder, start="strided", net=net, objectives={"triplet": {}}, dropout=0.25)
    training, batches, _ = prepare(made, Material(), folder / "pack")
    assert training.net.spec.args["widths"] == (2, 3, 4, 5)
    assert len(batches(0)) == 2
    assert [m.p for m in training.net.modules() if isinstance(m, torch.nn.Dropout)] == [0.25]
    again, _, _ = prepare(made, Material(), folder / "pack")
    for first, second in zip(training.net.parameters(), again.net.parameters(), strict=True):
        assert first.equal(second)


def test_another_teacher_or_other_data_are_another_training(folder, tmp_path):
    started, _, _ = prepare(recipe(folder), Material(), folder / "pack")
    started.save(tmp_path / "run.ckpt")
    prepare(recipe(folder), Material(), folder / "pack")[0].restore(tmp_path / "run.ckpt")
    write_pack(tmp_path / "pack", source, 2, ASKED | {"seed": 1}, Pack.read(folder / "pack").held())
    teacher = descompress.load(folder / "teacher.safetensors")
    with torch.no_grad():
        next(teacher.parameters()).mul_(-1)
    descompress.save(teacher, tmp_path / "other.safetensors")
    for other, pack in (
        (recipe(folder, teacher=str(tmp_path / "other.safetensors")), folder / "pack"),
        (recipe(folder), tmp_path / "pack"),
        (recipe(folder, calibrate=32), folder / "pack"),
    ):
        with pytest.raises(FileError, match="a checkpoint of"):
            prepare(other, Material(), pack)[0].restore(tmp_path / "run.ckpt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"start": "cdp2", "net": {"dim": 8}}, r"\[net\] has arguments, and 'cdp2'"),
        ({"start": "superpoint"}, "a pack holds patches: image networks learn from --photographs"),
        ({"start": "vgg16"}, "vgg16 is a classifier: it needs --labelled"),
        ({"data": {"batch": 64, "tour_share": 0.5}}, "with --tour-share 0.0, and 0.5 is asked"),
        (
            {"data": DATA | {"least_jitter": 0.5}},
            "make a pack with --least-jitter 0.5, or ask for 0",
        ),
        ({"data": {"batch": 48, "tour_share": 0.0}}, "batches of 64 pairs, not cut into 48"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(folder, content, message):
    with pytest.raises(RequestError, match=message):
        prepare(recipe(folder, **content), Material(), folder / "pack")


@pytest.mark.parametrize(
    ("lacking", "data"),
    [
        ("photographs", {"tour_share": 0.5, "least_jitter": 0.5}),
        ("tours", {"tour_share": 0.5}),
    ],
)
def test_a_pack_fits_every_share_of_what_it_has_not(folder, lacking, data, tmp_path):
    held = Pack.read(folder / "pack").held()
    write_pack(tmp_path / "pack", source, 2, {**ASKED, **MIXED, lacking: []}, held, workers=0)
    other = recipe(folder, data={"batch": 64, **data})
    assert prepare(other, Material(), tmp_path / "pack")[0].step == 0


def test_a_pack_and_photographs_are_not_mixed(folder):
    with pytest.raises(RequestError, match="one or the other"):
        prepare(recipe(folder), Material(folder), folder / "pack")


def test_what_is_no_start_is_told_what_would_be(folder):
    plain = Recipe.from_dict({"start": "hardnot", "data": DATA})
    with pytest.raises(RequestError, match=r"'hardnot' is no file.*l2net, tfeat"):
        prepare(plain, Material(), folder / "pack")
    with pytest.raises(RequestError, match=r"a recipe of convert needs a --teacher"):
        prepare(Recipe.from_dict({"start": "cdp5", "data": DATA}), Material(), folder / "pack")


def test_a_shipped_name_is_no_preset_of_the_teacher(folder):
    named = recipe(folder, start="hardnet.nano", teacher="hardnet")
    training, _, _ = prepare(named, Material(), folder / "pack")
    assert training.net.spec.net == "strided"
