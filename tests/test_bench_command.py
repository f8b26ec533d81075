"""`descompress bench` from the command line: a tiny run, its outputs, its refusals."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from calls import run
from click.testing import CliRunner

from descompress.artifacts import save
from descompress.benching import asking, cold, networks, pages, running
from descompress.cli import main
from descompress.errors import ArtifactError, RequestError
from descompress.nets import build
from descompress.shelf import sha256
from descompress.spec import Spec

SIZE = (64, 96)


@pytest.fixture(scope="module")
def nets(tmp_path_factory) -> tuple[Path, Path]:
    """A tiny patch network and a tiny image network, as files."""
    root = tmp_path_factory.mktemp("nets")
    torch.manual_seed(0)
    save(build(Spec("l2net", {"widths": (4, 4, 8, 8, 8, 8), "dim": 16})), root / "net.safetensors")
    widths = (4, 4, 4, 4, 4, 4, 4, 4, 8, 8)
    save(build(Spec("superpoint", {"widths": widths, "dim": 8})), root / "sp.safetensors")
    return root / "net.safetensors", root / "sp.safetensors"


@pytest.fixture(scope="module")
def measured(nets, tmp_path_factory):
    """A run of both on two targets beside OpenCV: the folder of what was written, what was said."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("run")
    outputs = ("--json", "run.json", "--markdown", "run.md", "--plot", "run.png")
    outputs = [folder / word if "." in word else word for word in outputs]
    options = "--on eager-fp32,onnxruntime-fp32 --against sift,orb,nobody.onnx --batch 3,1"
    options += " --rounds 2 --keypoints 20 --size 64x96"
    (folder / "nobody.onnx").write_bytes(b"nothing")
    options = options.replace("nobody.onnx", str(folder / "nobody.onnx"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "STARTS", 1)
        result = CliRunner().invoke(
            main, ["bench", *map(str, nets), *options.split(), *map(str, outputs)]
        )
    assert result.exit_code == 0, result.stderr
    return folder, result


@pytest.fixture(scope="module")
def record(measured) -> dict:
    return json.loads((measured[0] / "run.json").read_text())


def test_the_record_says_where_and_how_it_was_made(record, nets):
    assert record["format"] == 1
    words = record["command"].split()
    assert words[:4] == ["descompress", "bench", *(net.name for net in nets)]
    assert "--json" not in words
    assert record["settings"] == {
        "on": ["eager-fp32", "onnxruntime-fp32"],
        "batches": [1, 3],
        "threads": [1],
        "size": [64, 96],
        "keypoints": 20,
        "rounds": 2,
        "calibrated_on": "generated texture, seed 0",
    }
    assert record["versions"].keys() >= {"python", "numpy", "torch", "onnxruntime"}
    assert record["machine"].keys() == {"cpu", "cpus", "system", "load_before", "load_after"}
    assert [(peak["precision"], peak["threads"]) for peak in record["peaks"]] == [("fp32", 1)]


def test_every_contestant_has_an_entry_that_holds_together(record, nets):
    entries = {(e["name"], e["on"], e["kind"]): e for e in record["entries"]}
    assert list(entries) == [
        ("net", "eager-fp32", "patches"),
        ("net", "onnxruntime-fp32", "patches"),
        ("sp", "eager-fp32", "images"),
        ("sp", "onnxruntime-fp32", "images"),
        ("sift", "opencv", "patches"),
        ("sift", "opencv", "images"),
        ("orb", "opencv", "patches"),
        ("orb", "opencv", "images"),
    ]
    net = entries["net", "onnxruntime-fp32", "patches"]
    assert (net["file"], net["sha256"]) == ("net.safetensors", sha256(nets[0]))
    times = {int(b): t["median"] for b, t in net["microseconds_per_patch"].items()}
    assert times[net["best_batch"]] == min(times.values())
    assert all(len(t["rounds"]) == 2 for t in net["microseconds_per_patch"].values())
    assert net["times_as_fast_as"].keys() == {"first", "first_same_backend", "sift", "orb"}
    assert 0 < net["share_of_peak"]["median"] < 1
    image = entries["sp", "eager-fp32", "images"]["milliseconds_per_image"]
    assert image["total"]["rounds"] == pytest.approx(
        np.sum([image[part]["rounds"] for part in ("maps", "selection", "sampling")], axis=0)
    )
    assert entries["sift", "opencv", "images"]["share_of_peak"] is None


def test_every_entry_was_started_in_a_process_of_its_own(record):
    for entry in record["entries"]:
        assert "failed" not in entry["fresh"], entry
        assert 0 < entry["fresh"]["opened_seconds"] < entry["fresh"]["seconds"]
    sizes = {(e["name"], e["on"]): e["fresh"]["peak_bytes"] for e in record["entries"]}
    if None not in sizes.values():
        assert sizes["net", "onnxruntime-fp32"] < sizes["net", "eager-fp32"]  # no PyTorch in it


def test_who_cannot_run_is_named_with_the_reason(record):
    (left,) = record["left_out"]
    assert (left["name"], left["kind"]) == ("nobody.onnx", "images")
    assert "not an ONNX model" in left["reason"]


def test_what_is_done_around_a_patch_network_is_timed(record):
    parts = [step["part"] for step in record["around"]]
    assert parts == ["detection by OpenCV's SIFT", "cutting patches", "matching two images, 16-d"]
    assert all(step["milliseconds"]["median"] > 0 for step in record["around"])


def test_tables_and_the_plot_are_written_and_shown(measured, record):
    folder, result = measured
    assert (folder / "run.md").read_text() == pages.markdown(record)
    assert (folder / "run.png").read_bytes()[:4] == b"\x89PNG"
    assert "best: us a patch" in result.stdout
    assert "Left out: nobody.onnx: " in result.stdout
    assert "fresh processes" in result.stderr
    assert "writing net in fp32" in result.stderr


def test_the_table_of_a_stored_run_goes_into_a_page(measured, record, tmp_path, monkeypatch):
    page, stored = tmp_path / "page.md", measured[0] / "run.json"
    begin, end = pages.MARKS
    page.write_text(f"# A\n{begin}old{end}\nrest\n")
    assert run("bench", "--into", page, "--from", stored)[0] == 0
    table = pages.markdown(record, brief=True)
    assert page.read_text() == f"# A\n{begin}{table}{end}\nrest\n"
    (tmp_path / "bench.json").write_bytes(stored.read_bytes())
    page.write_text(f"{begin}{end}\n")
    monkeypatch.setenv("DESCOMPRESS_WEIGHTS", str(tmp_path))
    assert run("bench", "--into", page)[0] == 0
    assert page.read_text() == f"{begin}{table}{end}\n"


def test_a_page_without_a_place_is_left_alone(measured, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("no marks")
    status, said = run("bench", "--into", page, "--from", measured[0] / "run.json")
    assert (status, page.read_text()) == (1, "no marks")
    assert "<!-- bench table -->" in said


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("", 2, "Missing argument 'NET...'"),
        ("nobody", 1, "nobody: no such file, nor a shipped network"),
        ("NET --against nobody", 1, "peers by name are sift, orb, teblid, kornia-hardnet"),
        ("NET --on tpu", 2, "--on 'tpu': there are eager-fp32"),
        ("NET NET", 2, "net: two of this name"),
        ("NET --batch 0", 2, "'0' is no whole number from 1"),
        ("NET --threads 1,x", 2, "'x' is no whole number from 1"),
        ("NET --size 100x96", 2, "size 100x96: sides must be multiples of 8, and 64 or more"),
        ("NET --size 64x56", 2, "multiples of 8, and 64 or more"),
        ("NET --size big", 2, "'big' is not HEIGHTxWIDTH"),
        ("NET SP --calibrate .", 2, "learn from different files"),
        ("NET --calibrate nowhere", 1, "nowhere"),
        ("NET --json there.json", 1, "there.json: exists already"),
        ("NET --into page.md", 2, "--into takes a stored run"),
        ("NET --from run.json", 2, "--from is for --into"),
        ("--into page.md --from gone.json", 1, "gone.json: cannot be read"),
        ("--into page.md --from there.json", 1, "there.json: not a run of this version"),
    ],
)
def test_a_request_that_does_not_fit_is_one_line(
    nets, tmp_path, monkeypatch, words, status, message
):
    monkeypatch.chdir(tmp_path)
    Path("there.json").write_text("{}")
    paths = {"NET": nets[0], "SP": nets[1]}
    found, said = run("bench", *(paths.get(word, word) for word in words.split()))
    assert (found, message in " ".join(said.split())) == (status, True), said
    assert "Traceback" not in said


def test_a_run_without_any_network_says_what_kept_them_out(nets, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    settings = asking.Settings([str(nets[0])], ["openvino-fp32"], [])
    monkeypatch.setattr(networks.Exports, "file", lambda *_: nets[0])
    monkeypatch.setattr(networks, "open_file", _no_openvino)
    with pytest.raises(RequestError, match="no network can run here; net on openvino-fp32: this"):
        running.run(settings, "")


def _no_openvino(*_, **__):
    raise RequestError("this needs OpenVINO")


def test_targets_that_do_not_fit_say_why(nets, monkeypatch):
    net = networks.network(str(nets[0]))
    exported = networks.Network("net.onnx", nets[0], net.net, net.facts, exported=True)
    written = networks.Exports(nets[0].parent, {})
    monkeypatch.setattr(networks.machine, "has_bf16", lambda: False)
    for network, on, reason in (
        (net, "eager-bf16", "does not compute in bfloat16"),
        (exported, "eager-fp32", "an exported file runs in ONNX Runtime and OpenVINO only"),
        (exported, "onnxruntime-int8", "the file is in fp32"),
    ):
        with pytest.raises(RequestError, match=reason):
            networks.opened(network, on, 1, written)


def test_what_breaks_a_backend_leaves_it_out_with_the_name_of_the_error(nets, monkeypatch):
    def broken(network, on, *_):
        if on == "openvino-int8":
            raise OSError("no such\nluck")
        return _contestant(network, on)

    monkeypatch.setattr(networks, "contestant", broken)
    net = networks.network(str(nets[0]))
    settings = asking.Settings([str(nets[0])], against=["kornia-hardnet"], size=SIZE, batches=[1])
    written = networks.Exports(nets[0].parent, {})
    monkeypatch.setattr(running.peers, "kinds_of", lambda name, kinds: [])
    bench = running.Bench(settings, [net], ["kornia-hardnet"], written, lambda *_: None)
    ran = [contestant.on for contestant in bench.contestants(1)]
    assert ran == [on for on in networks.USUAL if on != "openvino-int8"]
    assert bench.left_out == {
        ("all networks", "compile-fp32", ""): networks.COMPILED,
        ("kornia-hardnet", "", ""): "no network of its kind takes part",
        ("net", "openvino-int8", "patches"): "OSError: no such luck",
    }


def _contestant(network, on):
    return running.Contestant(network.name, on, "patches", [running.Work("1", lambda: None)])


def test_files_of_others_are_told_from_those_of_this_package(tmp_path):
    (tmp_path / "other.onnx").write_bytes(b"nothing of ours")
    settings = asking.Settings([], (), [str(tmp_path / "other.onnx"), "sift"])
    assert asking.competitors(settings) == ([], [str(tmp_path / "other.onnx"), "sift"])
    with pytest.raises(ArtifactError, match=r"gone\.onnx: cannot be read"):
        asking.competitors(asking.Settings([], (), [str(tmp_path / "gone.onnx")]))


def test_int8_learns_from_what_is_given_or_from_texture(nets, tmp_path):
    np.save(tmp_path / "mine.npy", np.full((70, 32, 32), 7, np.uint8))
    settings = asking.Settings([str(nets[0])], (), [])
    given = asking.calibrated(settings, tmp_path / "mine.npy")
    found, _ = asking.competitors(given)
    batches = asking.calibration(given, found)["patches"]
    assert [batch.shape for batch in batches] == [(64, 1, 32, 32), (6, 1, 32, 32)]
    assert {float(batch.mean()) for batch in batches} == {7}
    assert {batch.dtype for batch in batches} == {np.dtype(np.float32)}
    assert given.calibrated_on == "mine.npy"
    usual = asking.calibration(settings, found)
    assert (usual.keys(), len(usual["patches"]), settings.calibrated_on) == (
        {"patches"},
        8,
        "generated texture, seed 0",
    )
    images = asking.calibration(settings, [networks.network(str(nets[1]))])["images"]
    assert [image.shape for image in images] == 4 * [(1, 1, 240, 320)]


def test_a_network_is_written_once_for_all_backends(nets, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    from onnx import ModelProto

    made: list[str] = []

    def to_onnx(net, name):
        made.append(name)
        return ModelProto()

    monkeypatch.setattr(networks, "to_onnx", to_onnx)
    monkeypatch.setattr(networks, "quantised", lambda model, inputs: model)
    told: list[tuple[str, int]] = []
    network = networks.network(str(nets[0]))
    written = networks.Exports(tmp_path, {"patches": []}, lambda *said: told.append(said))
    paths = [written.file(network, p) for p in ("fp32", "int8", "fp32", "int8")]
    assert [path.name for path in paths[:2]] == ["net.fp32.onnx", "net.int8.onnx"]
    assert paths[2:] == paths[:2]
    assert made == ["net"]
    assert told == [("net in fp32", 0), ("net in fp32", 1), ("net in int8", 0), ("net in int8", 1)]


def test_the_first_threads_are_those_of_the_fresh_processes(nets, monkeypatch):
    used: list[int] = []
    started: list[int] = []

    def contestant(network, on, threads, *_):
        work = running.Work("1", lambda: used.append(torch.get_num_threads()))
        return running.Contestant("net", on, "patches", [work], job={"threads": threads})

    def starts(contestants, times, done):
        started.extend(c.job["threads"] for c in contestants)
        return [{"seconds": 1.0} for _ in contestants]

    monkeypatch.setattr(networks, "contestant", contestant)
    monkeypatch.setattr(cold, "starts", starts)
    monkeypatch.setattr(running, "steps", lambda *_: [])
    monkeypatch.setattr(running, "LEAST", 0.0)
    settings = asking.Settings([str(nets[0])], ["eager-fp32"], [], [1], [1, 2], SIZE, rounds=1)
    before = torch.get_num_threads()
    made = running.run(settings, "")
    assert used == [1, 1, 1, 2, 2, 2]  # tried, not counted, counted
    assert torch.get_num_threads() == before
    assert started == [1]
    assert [(e["threads"], e["fresh"]) for e in made["entries"]] == [
        (1, {"seconds": 1.0}),
        (2, None),
    ]
