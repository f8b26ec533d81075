"""The clock of `descompress bench`: turns, arithmetic, tables, and what is said of the machine."""

import json
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descompress import machine
from descompress.benching import cold, contestants, fresh, inputs, pages, peers
from descompress.benching.classical import ENGINES, scattered
from descompress.benching.columns import best, first_name, number, quickest, spread
from descompress.benching.contestants import Contestant, Work, image_works, patch_works
from descompress.benching.networks import Course
from descompress.benching.products import MACS, products
from descompress.benching.results import (
    Timed,
    entry_json,
    faster,
    ratios,
    share,
    timed,
    told,
    whole,
)
from descompress.clock import Timing, Turns, in_turns
from descompress.errors import ArtifactError, RequestError
from hpatches_eval.maps import Picking
from hpatches_eval.provenance import versions


class Clock:
    """Time that passes only while a call runs; it keeps the order of the calls."""

    def __init__(self) -> None:
        self.time, self.calls = 0.0, []

    def call(self, name: str, *seconds: float):
        """A call that takes so long, the last of these ever after."""
        left = list(seconds)

        def run() -> None:
            self.calls.append(name)
            self.time += left.pop(0) if len(left) > 1 else left[0]

        return run

    def now(self) -> float:
        return self.time


def test_every_call_has_its_turn_in_every_round_and_one_round_does_not_count():
    clock, done = Clock(), []
    calls = [clock.call("a", 9, 1, 2, 3), clock.call("b", 9, 5)]
    seconds = in_turns(calls, Turns(3, now=clock.now), done.append)
    assert "".join(clock.calls) == "abababab"
    assert seconds.tolist() == [[1, 5], [2, 5], [3, 5]]
    assert done == [1, 2, 3, 4]


def test_a_short_call_is_repeated_until_its_turn_is_long_enough():
    clock = Clock()
    calls = [clock.call("a", 8, 2), clock.call("b", 30)]
    seconds = in_turns(calls, Turns(1, least=10.0, now=clock.now))
    assert "".join(clock.calls) == "aabb" + "a" + 5 * "a" + "b"  # one that does not count, and 5
    assert seconds.tolist() == [[2, 30]]


def test_a_timing_is_the_median_and_the_middle_half():
    assert Timing.of(np.array([5.0, 1, 2, 4, 3])) == Timing(3.0, 2.0, 4.0)


def entrant(name: str, on: str = "eager-fp32", kind: str = "patches", **more) -> Contestant:
    precision = "" if on == "opencv" else on.split("-")[1]
    return Contestant(name, on, kind, more.pop("works", ()), precision, **more)


def measured(name: str, on: str = "eager-fp32", **seconds: float | list[float]) -> Timed:
    """Of patches: seconds a patch by b1, b64..."""
    parts = {k[1:]: np.broadcast_to(v, 3).astype(float) for k, v in seconds.items()}
    return Timed(entrant(name, on), parts)


def test_seconds_of_a_call_become_seconds_of_a_patch():
    works = [Work("1", print, 1), Work("64", print, 64)]
    first, second = timed(
        [entrant("a", works=works), entrant("b", works=works[:1])],
        np.array([[3.0, 128, 7], [4, 64, 8]]),
    )
    assert {k: v.tolist() for k, v in first.seconds.items()} == {"1": [3, 4], "64": [2, 1]}
    assert second.seconds["1"].tolist() == [7, 8]
    assert (first.best, first.fastest.tolist()) == ("64", [2, 1])


def test_what_is_told_has_the_unit_the_spread_and_the_rounds():
    said = told(np.array([1e-6, 3e-6, 2e-6]), 1e6)
    assert said.pop("rounds") == pytest.approx([1, 3, 2])
    assert said == pytest.approx({"median": 2, "low": 1.5, "high": 2.5})


def test_a_ratio_is_taken_round_by_round_each_at_its_best_batch():
    slow = measured("slow", b1=[9.0, 90, 9], b64=[8.0, 80, 4])
    quick = measured("quick", b1=[2.0, 20, 2], b64=[5.0, 50, 5])
    assert faster(quick, slow) == Timing(4.0, 3.0, 4.0)  # 8 / 2, 80 / 20, 4 / 2
    assert faster(slow, quick).median == 0.25


def test_ratios_are_to_the_first_network_at_its_best_and_on_the_same_backend_and_to_peers():
    entries = [
        measured("net", "eager-fp32", b1=12, b64=6),
        measured("net", "onnxruntime-fp32", b1=3),
        measured("small", "eager-fp32", b1=2),
        measured("sift", "opencv", b1000=8),
    ]
    found = {name: timing["median"] for name, timing in ratios(entries[2], entries).items()}
    assert found == {"first": 1.5, "first_same_backend": 3, "net": 1.5, "sift": 4}
    assert ratios(entries[0], entries)["first"]["median"] == 0.5
    assert "net" not in ratios(entries[0], entries)
    assert "first_same_backend" not in ratios(entries[3], entries)


def test_entries_of_another_kind_are_no_part_of_the_ratios():
    parts = {part: np.ones(3) for part in ("maps", "selection", "sampling", "matching")}
    image = Timed(entrant("sp", kind="images"), parts)
    assert ratios(image, [image, measured("net", b1=1)]) == {
        "first": {"median": 1, "low": 1, "high": 1},
        "first_same_backend": {"median": 1, "low": 1, "high": 1},
    }


def test_the_parts_of_an_image_add_up_without_the_matching():
    ones = {"maps": 5.0, "selection": 2.0, "sampling": 1.0, "matching": 40.0}
    parts = whole({name: np.full(2, value) for name, value in ones.items()})
    assert {name: value[0] for name, value in parts.items()} == {
        **ones,
        "detection": 7,
        "description": 1,
        "total": 8,
    }


def test_description_of_an_engine_is_what_it_takes_beyond_detection():
    given_ = {"detection": [4.0, 5], "features": [7.0, 4], "matching": [1.0, 1]}
    parts = whole({name: np.array(value) for name, value in given_.items()})
    assert parts["description"].tolist() == [3, 0]
    assert parts["total"].tolist() == [7, 4]


def test_the_share_of_the_peak_is_of_the_product_in_the_same_rounds():
    entry = measured("net", b1=[2.0, 4, 2])
    entry = Timed(entrant("net", facts={"macs": 100}), entry.seconds)
    product = np.array([0.01, 0.02, 0.005])  # seconds a multiply-accumulate
    assert share(entry, {"fp32": product}) == Timing(0.5, 0.375, 0.5)
    assert share(entry, {"int8": product}) is None
    assert share(measured("sift", "opencv", b1=1), {"fp32": product}) is None


def test_the_share_of_an_image_network_is_that_of_its_maps():
    parts = {"maps": 4.0, "selection": 9.0, "sampling": 9.0, "matching": 9.0}
    contestant = entrant("sp", kind="images", facts={"macs": 100})
    entry = Timed(contestant, {k: np.full(2, v) for k, v in parts.items()})
    assert share(entry, {"fp32": np.full(2, 0.02)}) == Timing(0.5, 0.5, 0.5)


def line(name: str, on: str = "eager-fp32", threads: int = 1, **seconds: float) -> dict:
    entry = measured(name, on, **seconds)
    said = entry_json(entry, [entry], {}, threads)
    return said | {"peer": name == "sift"}


def record(*entries: dict, threads: tuple[int, ...] = (1,)) -> dict:
    return {
        "format": 1,
        "command": "descompress bench net",
        "settings": {
            "threads": list(threads),
            "batches": [1, 64],
            "rounds": 3,
            "calibrated_on": "noise",
        },
        "machine": {"cpu": "Abacus", "cpus": 2, "load_before": [0.5, 1, 1]},
        "versions": {"python": "3", "torch": "2.0"},
        "peaks": [
            {"precision": "fp32", "threads": 1, "gigamacs_per_second": {"median": 51.2}},
            {"precision": "int8", "threads": 1, "reason": "onnx is not installed"},
        ],
        "around": [
            {
                "part": "cutting patches",
                "threads": 1,
                "keypoints": 1000,
                "milliseconds": {"median": 12.34},
            }
        ],
        "left_out": [{"name": "teblid", "on": "", "kind": "patches", "reason": "not here"}],
        "entries": list(entries),
    }


def test_the_table_has_a_line_for_each_entry_and_says_what_it_was_measured_on():
    entries = [line("net", b1=4e-4, b64=2e-4), line("sift", "opencv", b900=5e-5)]
    entries[0]["fresh"] = {"seconds": 0.1234, "peak_bytes": 98_700_000}
    entries[0]["share_of_peak"] = {"median": 0.456}
    titles, rule, net, sift, _, *rest = pages.markdown(record(*entries)).splitlines()
    assert titles == (
        "| network | backend | best: us a patch | in batches of | us, batch 1 | us, batch 64 | "
        "x net | same backend | x SIFT | share of peak | peak MB | cold start, ms |"
    )
    assert rule == "| --- | --- |" + 10 * " ---: |"
    assert net == (
        "| net | eager-fp32 | 200 (200-200) | 64 | 400 | 200 | 1.00 | 1.00 |  | 0.46 | 99 | 123 |"
    )
    assert sift == "| sift (peer) | opencv | 50.0 (50.0-50.0) | 900 |  |  |  |  |  |  |  |  |"
    text = "\n".join(rest)
    assert "Abacus (2 CPUs, load 0.5), 1 thread(s), 3 interleaved rounds" in text
    assert "int8 was calibrated on noise. torch 2.0." in text
    assert "fp32 51.2; int8: onnx is not installed." in text
    assert "cutting patches 12.3 (1,000)." in text
    assert "Left out: teblid: not here." in text


def test_the_brief_table_keeps_the_fastest_of_each_name_on_the_fewest_threads():
    entries = [
        line("net", "eager-fp32", b1=4.0),
        line("net", "openvino-int8", b1=1.0),
        line("net", "openvino-int8", threads=2, b1=0.5),
        line("small", "eager-fp32", b1=3.0),
    ]
    chosen = quickest(entries)
    assert [(e["name"], e["on"], e["threads"]) for e in chosen] == [
        ("net", "openvino-int8", 1),
        ("small", "eager-fp32", 1),
    ]
    (table,) = pages.tables(record(*entries, threads=(1, 2)), brief=True)
    assert [row[:3] for row in table] == [
        ["network", "backend", "threads"],
        ["net", "openvino-int8", "1"],
        ["small", "eager-fp32", "1"],
    ]
    assert "same backend" not in table[0]
    assert "us, batch 64" not in table[0]


def test_images_have_a_table_of_their_own_with_their_parts():
    parts = {"maps": 30e-3, "selection": 5e-3, "sampling": 1e-3, "matching": 40e-3}
    contestant = entrant("sp", kind="images", facts={"keypoints": 1000, "size": [480, 640]})
    entry = Timed(contestant, {k: np.full(3, v) for k, v in parts.items()})
    said = entry_json(entry, [entry], {}, 1)
    first, second = pages.tables(record(said, line("net", b1=1.0)))
    assert first[1][0] == "net"
    assert dict(zip(*second, strict=True)) == {
        "network": "sp",
        "backend": "eager-fp32",
        "ms an image": "36.0 (36.0-36.0)",
        "detection (its maps)": "35.0 (30.0)",
        "description": "1.00",
        "matching": "40.0",
        "keypoints": "1,000",
        "size": "480x640",
        "x sp": "1.00",
        "same backend": "1.00",
        "share of peak": "",
        "peak MB": "",
        "cold start, ms": "",
    }


def test_ratios_are_to_the_first_network_that_is_no_peer():
    entries = [line("sift", "opencv", b1=1.0), line("other", b1=1.0), line("net", b1=1.0)]
    assert first_name(entries) == "other"
    entries[1]["peer"] = True
    assert first_name(entries) == "net"


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (99.96, "100.0"), (12.34, "12.3"), (0.123, "0.12")]
)
def test_numbers_keep_about_three_digits(value, text):
    assert number(value) == text


def test_a_spread_is_the_median_and_both_ends():
    assert spread({"median": 10.04, "low": 9.5, "high": 12.0}) == "10.0 (9.50-12.0)"
    assert best(line("net", b1=3e-6, b64=2e-6))["median"] == pytest.approx(2)


def test_the_plot_has_a_bar_for_each_entry():
    entries = [line("net", b1=2e-6), line("sift", "opencv", b9=1e-6)]
    (panel,) = pages.draw(record(*entries)).axes
    assert [bar.get_width() for bar in panel.patches] == pytest.approx([2, 1])
    assert [t.get_text() for t in panel.get_yticklabels()] == ["net, eager-fp32", "sift, opencv"]
    assert panel.get_xlabel() == "microseconds a patch, best batch"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ("[]", "not a run of this version"),
        ('{"format": 2, "entries": [1], "around": []}', "not a run of this version"),
        ('{"format": 1, "entries": [], "around": []}', "not a run of this version"),
        ('{"format": 1, "entries": [1]}', "not a run of this version"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path, content, message):
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ArtifactError, match=message) as caught:
        pages.read(path)
    assert str(path) in str(caught.value)


def test_peak_memory_is_what_linux_says_of_the_process_itself(tmp_path):
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t    1000 kB\n")
    assert fresh.peak_bytes(tmp_path / "status") == 1234 * 1024
    (tmp_path / "status").write_text("Name:\tx\n")
    assert fresh.peak_bytes(tmp_path / "status") is None
    assert fresh.peak_bytes(tmp_path / "gone") is None


def test_a_fresh_process_tells_its_times_and_its_memory(tmp_path):
    image = inputs.texture((96, 128))
    job = {"opener": "opencv", "name": "sift", "threads": 1, "keypoints": 20}
    contestant = Contestant("sift", "opencv", "patches", [], "", {}, job, (image, image))
    done: list[int] = []
    (said,) = cold.starts([contestant], 2, done.append)
    assert done == [1, 2]
    assert 0 < said["opened_seconds"] < said["seconds"]
    assert said["low"] <= said["seconds"] <= said["high"]
    if fresh.STATUS.exists():
        assert 10e6 < said["peak_bytes"] < 1e9


def test_a_fresh_process_that_fails_says_why():
    job = {"opener": "opencv", "name": "nothing", "threads": 1, "keypoints": 1}
    image = np.zeros((8, 8), np.uint8)
    (said,) = cold.starts(
        [Contestant("x", "opencv", "patches", [], "", {}, job, (image, image))], 1, lambda n: None
    )
    assert said == {"failed": "KeyError: 'nothing'"}


def test_starts_are_told_by_their_medians():
    each = [
        {"seconds": s, "opened_seconds": s / 2, "peak_bytes": b}
        for s, b in ((3.0, 10), (1.0, None), (2.0, 30))
    ]
    assert cold.summary(each) == {
        "seconds": 2,
        "low": 1,
        "high": 3,
        "opened_seconds": 1,
        "peak_bytes": 20,
    }
    assert cold.summary([*each, {"failed": "so"}]) == {"failed": "so"}
    assert cold.summary(each[1:2])["peak_bytes"] is None


def test_a_fresh_process_imports_no_pytorch_for_what_needs_none():
    modules = "descompress.benching.fresh, descompress.benching.classical, descompress.runtimes"
    script = f"import {modules}, hpatches_eval.maps, sys; print('torch' in sys.modules)"
    said = cold.subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=cold._environment(1),
        check=True,
    )
    assert said.stdout == "False\n"


@pytest.mark.parametrize(
    ("content", "bf16", "name"),
    [
        ("model name\t: EPYC\nflags\t\t: fpu avx512_bf16 sse\n", True, "EPYC"),
        ("model name\t: i7\nflags\t\t: fpu sse xbf16\n", False, "i7"),
        ("Features\t: fp bf16 asimd\n", True, None),
        ("Features\t: fp asimd\n", False, None),
        ("", True, None),
    ],
)
def test_the_processor_says_what_it_can_do(tmp_path, content, bf16, name):
    path = tmp_path / "cpuinfo"
    path.write_text(content)
    assert machine.has_bf16(path) is bf16
    assert name is None or machine.processor(path) == name


def test_versions_are_of_what_is_installed():
    found = versions()
    assert found["numpy"] == np.__version__
    assert "tensorflow" not in found


@pytest.mark.parametrize("precisions", [("fp32",), ("int8",), ("fp32", "int8")])
def test_a_product_is_timed_for_each_precision_asked_for(precisions):
    pytest.importorskip("onnxruntime")
    works, reasons = products(precisions, 1)
    assert [work.part for work in works] == list(precisions)
    assert all(work.units == MACS == 1024**3 for work in works)
    assert reasons == {}
    for work in works:
        assert np.asarray(work.run()).squeeze().shape == (1024, 1024)


def test_a_product_that_cannot_be_computed_here_is_named(monkeypatch):
    monkeypatch.setattr(machine, "has_bf16", lambda: False)
    works, reasons = products({"bf16"}, 1)
    assert (works, reasons) == ([], {"bf16": "this processor does not compute in bfloat16"})


@given(st.integers(0, 5), st.sampled_from([(64, 64), (64, 96)]))
def test_texture_is_the_same_for_everybody_and_full_of_contrast(seed, size):
    picture = inputs.texture(size, seed)
    assert picture.shape == size
    assert (picture == inputs.texture(size, seed)).all()
    assert (picture != inputs.texture(size, seed + 1)).any()
    assert picture.std() > 30


def test_texture_has_a_thousand_keypoints_for_every_engine():
    picture = inputs.texture((480, 640))
    assert len(ENGINES["sift"](1000).detect(picture)) == 1000
    assert len(ENGINES["orb"](1000).detect(picture)) == 1000


def test_patches_are_pieces_of_texture_in_grey_values():
    patches = inputs.patches(3)
    assert (patches.shape, patches.dtype) == ((3, 1, 32, 32), np.float32)
    assert patches.max() > 128
    assert inputs.images(2, (64, 72)).shape == (2, 1, 64, 72)
    assert inputs.images(2, (64, 72)).max() <= 1


def course(size: tuple[int, int] = (128, 160), keypoints: int = 30) -> Course:
    pair = inputs.texture(size), inputs.texture(size, 1)
    batches = {1: inputs.patches(1), 3: inputs.patches(3)}
    return Course(batches, pair, Picking(keypoints))


def test_engines_are_timed_by_the_keypoints_they_describe():
    contestant = peers.peer("orb", "patches", 1, course())
    (work,) = contestant.works
    rows = work.run()
    assert isinstance(rows, np.ndarray)
    assert 0 < work.units == len(rows) <= 30
    assert (work.part, contestant.precision, contestant.peer) == (str(work.units), "", True)


@pytest.mark.parametrize("name", ["sift", "orb"])
def test_engines_on_images_detect_do_both_and_match(name):
    contestant = peers.peer(name, "images", 1, course())
    detection, features, matching = (work.run() for work in contestant.works)
    assert [work.part for work in contestant.works] == ["detection", "features", "matching"]
    assert 0 < len(features) == contestant.facts["keypoints"] <= len(detection)
    assert matching.shape[1] == 2


def test_an_image_without_keypoints_has_nothing_to_time():
    flat = np.zeros((64, 64), np.uint8)
    with pytest.raises(RequestError, match="sift finds no keypoint in 64 x 64"):
        peers.peer("sift", "patches", 1, Course({}, (flat, flat), Picking(10)))


def test_teblid_needs_opencv_s_contributed_modules(monkeypatch):
    monkeypatch.delattr(cv2, "xfeatures2d", raising=False)
    with pytest.raises(RequestError, match="without TEBLID: opencv-contrib-python-headless"):
        ENGINES["teblid"](10)


def test_teblid_describes_the_keypoints_of_orb_where_it_is_there(monkeypatch):
    class Teblid:
        """What OpenCV's does, as far as the clock looks."""

        @staticmethod
        def create(scale):
            return cv2.ORB.create() if scale == 1 else None

    class Contributed:
        TEBLID = Teblid

    monkeypatch.setattr(cv2, "xfeatures2d", Contributed, raising=False)
    engine, picture = ENGINES["teblid"](25), inputs.texture((128, 160))
    assert engine.both(picture).shape == (len(engine.detect(picture)), 32)


def test_scattered_keypoints_lie_inside_and_can_be_described():
    rows = ENGINES["sift"](40).compute(inputs.texture((96, 128)), scattered((96, 128), 40))
    assert rows.shape == (40, 128)


def test_kornia_s_hardnet_is_timed_on_every_batch_with_its_own_costs():
    pytest.importorskip("kornia")
    contestant = peers.peer("kornia-hardnet", "patches", 1, course())
    assert (contestant.name, contestant.on) == ("kornia-hardnet", "eager-fp32")
    assert contestant.facts == {"params": 1_334_560, "macs": 39_092_224}  # by hand, see test_costs
    assert [work.units for work in contestant.works] == [1, 3]
    rows = [np.asarray(work.run()) for work in contestant.works]
    assert [row.shape for row in rows] == [(1, 128), (3, 128)]
    assert np.linalg.norm(rows[1], axis=1) == pytest.approx(1, abs=1e-5)


def test_peers_stand_beside_networks_of_their_kind():
    both = ["patches", "images"]
    assert peers.kinds_of("sift", both) == both
    assert peers.kinds_of("sift", ["images"]) == ["images"]
    assert peers.kinds_of("kornia-hardnet", both) == ["patches"]
    assert peers.kinds_of("xfeat.onnx", both) == ["images"]
    assert peers.kinds_of("xfeat.onnx", ["patches"]) == []


def test_the_parts_of_an_image_network_are_timed_on_what_the_part_before_gives():
    seen: list[np.ndarray] = []

    def maps(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append(image)
        scores = np.zeros((64, 64), np.float32)
        scores[20, 30] = scores[40, 10] = 0.5 + image[0, 0]
        return scores, np.ones((4, 8, 8), np.float32)

    pair = np.zeros((64, 64), np.uint8), np.ones((64, 64), np.uint8)
    works, found = image_works(maps, pair, Picking(10))
    assert found == 2
    assert [work.part for work in works] == ["maps", "selection", "sampling", "matching"]
    assert [image[0, 0] for image in seen] == [0, 1]
    _, (points, strengths), rows, matches = (work.run() for work in works)
    assert seen[2] is pair[0]
    assert points.tolist() == [[30, 20], [10, 40]]
    assert strengths.tolist() == [0.5, 0.5]
    assert rows.shape == (2, 4)
    assert matches.tolist() == [[0, 0]]  # all descriptors are alike: the first is the nearest


def test_patches_are_described_a_batch_a_call():
    batches = {1: inputs.patches(1), 4: inputs.patches(4)}
    works = patch_works(len, batches)
    assert [(work.part, work.units, work.run()) for work in works] == [("1", 1, 1), ("4", 4, 4)]


def test_the_record_is_plain_json():
    entry = measured("net", b1=[1e-6, 2e-6, 3e-6])
    said = entry_json(entry, [entry], {}, 1)
    assert json.loads(json.dumps(said)) == said
    assert said["microseconds_per_patch"]["1"]["median"] == pytest.approx(2)
    assert said["kind"] == contestants.PATCHES
