"""Image networks in the one training loop, from photographs as small as can be."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from calls import run

import descompress
from descompress import students
from descompress.data import stream
from descompress.data.mixture import Material
from descompress.data.scenes import Scene, ViewPairs, images_of
from descompress.errors import RequestError
from descompress.features import finder
from descompress.keypoints import padded
from descompress.nets import build
from descompress.nets.superpoint import DenseMaps
from descompress.objectives import Weighted
from descompress.plans import Plan
from descompress.recipes import Recipe
from descompress.spec import Spec
from descompress.students import prepare
from descompress.training import Training
from descompress.viewing import CHANGES, Views
from hpatches_eval.frames import pyramid

SMALL = {"widths": [4, 4, 4, 4, 8, 8, 8, 8, 8, 8], "dim": 8, "batch_norm": True}
TERMS = {"detection": {}, "correspondence": {}}


def small(**changes: object) -> descompress.Net:
    torch.manual_seed(0)
    return build(Spec("superpoint", {**SMALL, **changes}))


@pytest.fixture(scope="module")
def scenes(discs) -> list[Scene]:
    made = []
    for i in range(4):
        image, grid = discs(i, (120, 160), 60, 12), np.mgrid[6:114:12, 6:154:12]
        points = np.column_stack([grid[1].ravel(), grid[0].ravel(), np.ones(grid[0].size)])
        made.append(Scene(str(i), pyramid(image), points.astype(np.float64)))
    return made


def training(scenes: list[Scene], steps: int = 6, parts: int = 1, **terms: dict) -> Training:
    plan = Plan(steps=steps, lr=5e-3, warmup=0, bf16=False, parts=parts)
    return Training(small(), Weighted.read(terms or TERMS), plan, small(dim=8).eval())


def source(scenes: list[Scene], pairs: int = 2) -> ViewPairs:
    return ViewPairs(scenes, pairs, (48, 64), matches=24)


def finish(own: Training, scenes: list[Scene]) -> list[float]:
    batches = stream(source(scenes), own.numbers)
    return [sum(terms.values()) for terms in own.run(batches)]


def test_it_learns_to_find_and_to_describe(scenes):
    own = training(scenes, steps=120)
    rows = list(own.run(stream(source(scenes), own.numbers)))
    for name in TERMS:
        first, last = ([row[name] for row in part] for part in (rows[:20], rows[-20:]))
        assert np.mean(last) < 0.97 * np.mean(first)


def test_a_training_that_was_stopped_goes_on_to_the_same_end(scenes, tmp_path: Path):
    whole, first, second = (training(scenes) for _ in range(3))
    losses = finish(whole, scenes)
    run_ = first.run(stream(source(scenes), first.numbers))
    begun = [sum(next(run_).values()) for _ in range(3)]
    first.save(tmp_path / "run.ckpt")
    second.restore(tmp_path / "run.ckpt")
    assert losses == pytest.approx(begun + finish(second, scenes), rel=1e-6)


def test_two_parts_are_one_batch_to_the_objective(scenes):
    """Without batch norm, whose statistics are those of a part, the gradients are the same."""
    pairs = ViewPairs(scenes, 4, (48, 64), matches=24)(0)
    halves = [type(pairs)(*(t[:, i : i + 2] if t.shape[0] == 2 else t[i : i + 2] for t in pairs))
              for i in (0, 2)]  # fmt: skip
    slopes = []
    for parts, batches in ((1, [pairs]), (2, halves)):
        plan = Plan(steps=1, lr=0.0, warmup=0, bf16=False, parts=parts)
        net = small(batch_norm=False)
        own = Training(net, Weighted.read(TERMS), plan)
        next(own.run(batches))
        slopes.append([weight.grad.clone() for weight in net.parameters()])
    for one, two in zip(*slopes, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-3)


def test_a_student_comes_closer_to_its_teacher(scenes):
    taught = {"soft_labels": {"temperature": 1.0}, "imitation": {}, "hierarchical": {}}
    own = training(scenes, steps=40, **taught)
    with torch.no_grad():
        for weight in own.net.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    rows = list(own.run(stream(source(scenes), own.numbers)))
    for name in taught:
        first, last = ([row[name] for row in part] for part in (rows[:4], rows[-4:]))
        assert np.mean(last) < np.mean(first)


def test_what_is_validated_is_named_and_between_0_and_1(scenes):
    views = Views.of(images_of(scenes))
    assert len(views.scenes) == 4
    found = views.measured(small())
    assert tuple(found) == Views.names
    assert all(0 <= value <= 1 for value in found.values())


def test_nothing_changed_is_measured_as_perfect(scenes):
    image = scenes[0].levels.levels[0]
    views = Views([(image, [(image, np.eye(3))])])
    assert views.measured(small()) == pytest.approx(dict.fromkeys(Views.names, 1.0))


def test_several_radii_look_once_at_each_image(scenes):
    asked, net = [], small()

    def find(image):
        asked.append(image)
        return finder(net)(image)

    views = Views.of(images_of(scenes[:1]))
    found = views.found(find, [1.0, 3.0])
    assert len(asked) == 1 + len(CHANGES)
    one, three = views.found(find, [1.0]), views.found(find, [3.0])
    assert found == one | three
    assert 0 < found["repeatability at 1 px"] < found["repeatability at 3 px"]


def test_the_mode_of_the_network_stays(scenes):
    net = small().train()
    Views.of(images_of(scenes[:1])).measured(net)
    assert net.training


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_the_stride_of_the_first_layer_takes_the_place_of_poolings(stride):
    net = small(stride=stride, batch_norm=False).eval()
    maps = net(torch.rand(1, 1, 48, 64))
    assert isinstance(maps, DenseMaps)
    assert maps.logits.shape == (1, 65, 6, 8)
    whole = descompress.cost(small(batch_norm=False), input_shape=(1, 48, 64)).macs
    own = descompress.cost(net, input_shape=(1, 48, 64)).macs
    assert own == whole if stride == 1 else own < whole
    assert padded(torch.rand(1, 1, 3, 5)).shape == (1, 1, 8, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, discs) -> Path:
    root = tmp_path_factory.mktemp("images")
    (root / "photographs").mkdir()
    for seed in range(30):
        cv2.imwrite(str(root / f"photographs/{seed}.png"), discs(seed, (100, 120), 100, 8))
    descompress.save(small().eval(), root / "net.safetensors")
    return root


def train(root: Path, out: str, *extra: object, start: object = None) -> list[object]:
    data = ("--images", root / "photographs", "--cache", root / "cache", "--workers", "0")
    sizes = ("--steps", "4", "--views", "2", "--height", "48", "--width", "64", "--float32")
    return [start or "superpoint", root / out, *data, *sizes, "--validate-every", "4", *extra]


def args_of(net: dict) -> list[str]:
    words = [f"{name}={','.join(map(str, v)) if isinstance(v, list) else str(v).lower()}"
             for name, v in net.items()]  # fmt: skip
    return [word for pair in words for word in ("--arg", pair)]


def test_one_command_trains_superpoint_on_ones_own_photographs(folder):
    status, said = run("train", *train(folder, "own.safetensors", *args_of(SMALL)))
    assert status == 0, said
    assert "held out: homography" in said
    net = descompress.load(folder / "own.safetensors")
    assert net.spec.args["dim"] == 8
    rows = list(csv.DictReader((folder / "own.safetensors.csv").read_text().splitlines()))
    assert list(rows[0]) == ["step", "loss", "detection", "correspondence", *Views.names]


def test_views_are_as_far_apart_in_scale_as_asked(folder):
    """The second view's pixels on one of the first: shifts and tilts move it less than a zoom."""
    spread = []
    for zoom in (0.0, 2.0):
        content = {"start": "superpoint", "net": SMALL, "objectives": TERMS}
        data = {"views": 2, "height": 48, "width": 64, "zoom": zoom}
        asked = Recipe.from_dict({**content, "data": data})
        material = Material(photographs=folder / "photographs", cache=folder / "cache")
        _, batches, _ = prepare(asked, material, None)
        rows = [row[row[:, 4] > 0, :4].numpy() for n in range(20) for row in batches(n).matches]
        covers = [np.cov(row.T) for row in rows]
        areas = [[np.sqrt(np.linalg.det(c[i : i + 2, i : i + 2])) for i in (0, 2)] for c in covers]
        spread.append(np.diff(np.log2(areas)).std() / 2)
    assert spread[0] < 0.35
    assert spread[1] > 0.75


def test_a_student_is_distilled(folder):
    extra = ("--teacher", folder / "net.safetensors")
    status, said = run("distill", *train(folder, "cdp.safetensors", *extra, start="cdp2"))
    assert status == 0, said
    rows = list(csv.DictReader((folder / "cdp.safetensors.csv").read_text().splitlines()))
    assert {"soft_labels", "imitation"} < set(rows[0])
    assert descompress.load(folder / "cdp.safetensors").spec.layers


def test_a_detector_of_drawn_shapes_finds_the_points_another_learns(folder):
    """The published way: shapes, then homographic adaptation, then photographs."""
    args = train(folder, "magic.safetensors", "--images", "shapes", *args_of(SMALL))
    status, said = run("train", *args, "--objective", "detection")
    assert status == 0, said
    extra = ("--points", folder / "magic.safetensors", *args_of(SMALL))
    few = folder / "few"
    few.mkdir()
    for seed in (0, 14):
        (few / f"{seed}.png").write_bytes((folder / f"photographs/{seed}.png").read_bytes())
    status, said = run("train", *train(folder, "by.safetensors", *extra, "--images", few))
    # An untrained detector is sure of nothing, and two photographs are few: either is said.
    assert status in (1, 2), said
    assert "points to find" in said or "too few to hold some back" in said
    status, said = run("train", *train(folder, "by.safetensors", "--points", "hardnet"))
    assert status == 2
    assert "hardnet finds no points: --points takes an image network" in said


def test_points_are_found_on_the_device_of_the_training(folder, monkeypatch):
    """The device that only knows shapes is one that every machine has."""
    on = []

    def noted(net, selection):
        on.append(next(net.parameters()).device.type)
        raise RequestError("that will do")

    monkeypatch.setattr(students, "finder", noted)
    content = {"start": "superpoint", "net": SMALL, "objectives": TERMS}
    material = Material(photographs=folder / "photographs", points=str(folder / "net.safetensors"))
    with pytest.raises(RequestError, match="that will do"):
        prepare(Recipe.from_dict(content), material, device="meta")
    assert on == ["meta"]


def test_a_folder_called_shapes_is_a_folder(folder, monkeypatch):
    (folder / "here/shapes").mkdir(parents=True)
    monkeypatch.chdir(folder / "here")
    cv2.imwrite("shapes/flat.png", np.full((90, 90), 128, np.uint8))
    args = train(folder, "here.safetensors", "--images", "shapes", *args_of(SMALL))
    status, said = run("train", *args)
    assert status == 1
    assert "no photograph has 16 points to find" in said


def test_patch_networks_find_no_points(folder):
    words = ("train", "tfeat", folder / "p.safetensors", "--images", folder / "photographs")
    status, said = run(*words, "--points", folder / "net.safetensors", "--steps", "1")
    assert status == 2
    assert "--points are for image networks" in said


def test_what_does_not_fit_is_refused_in_a_line(folder, tmp_path):
    wrong = {
        ("--phototour", tmp_path): "image networks learn from photographs alone",
        ("--objective", "triplet"): "an objective of descriptors of patches, not of image networks",
        ("--height", "50"): "both sides must be multiples of 8",
        ("--height", "0"): "both sides must be multiples of 8",
        ("--batches", "7"): "only a pack has a number of batches",
        ("--images", "shapes", "--points", "x"): "leave --points out",
        ("--views", "0"): "0 views in a batch",
        ("--zoom", "-1"): "a zoom of -1.0 octaves: 0 to 3",
        ("--zoom", "4"): "a zoom of 4.0 octaves: 0 to 3",
        ("--zoom", "nan"): "[data] zoom must be a finite number, not nan",
    }
    for extra, line in wrong.items():
        args = train(folder, "wrong.safetensors", *extra, start=folder / "net.safetensors")
        status, said = run("train", *args)
        assert (status, line in said) == (2, True), said
    args = train(folder, "w.safetensors", "--teacher", "hardnet", start=folder / "net.safetensors")
    status, said = run("distill", *args)
    assert status == 2
    assert "hardnet does not describe images" in said
    assert not (folder / "wrong.safetensors").exists()


def test_too_few_photographs_to_hold_some_back_are_refused(tmp_path, discs):
    (tmp_path / "photographs").mkdir()
    cv2.imwrite(str(tmp_path / "photographs/a.png"), discs(0, (100, 120), 100, 8))
    status, said = run("train", *train(tmp_path, "few.safetensors", *args_of(SMALL)))
    assert status == 2
    assert "1 photographs are too few to hold some back" in said
