import hashlib
import json
import platform
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import descompress
from descompress.cli import main
from descompress.clock import on_threads
from descompress.data.phototour import PhotoTour
from descompress.description import describe
from descompress.evaluation import baseline, fpr95, network, record
from descompress.spec import Spec
from hpatches_eval.cli import main as hpatches
from hpatches_eval.patches import PatchRelease

SMALL = Spec("l2net", {"widths": (4, 4, 8, 8, 8, 8), "dim": 16})


@pytest.fixture(scope="module")
def nets(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("nets")
    torch.manual_seed(0)
    net = descompress.build(SMALL)
    descompress.save(net, folder / "small.safetensors")
    descompress.save(descompress.convert(net, "depthwise"), folder / "dw.safetensors")
    return [folder / "small.safetensors", folder / "dw.safetensors"]


def run(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(a) for a in args])
    return result.exit_code, result.stdout, result.stderr


def test_networks_and_baselines_are_listed_with_what_they_cost(nets, release, tmp_path):
    out, table = tmp_path / "r.json", tmp_path / "t.md"
    status, shown, errors = run(
        *("eval", *nets, "--patches", release, "--baseline", "sift", "--pairs", 500),
        *("--json", out, "--markdown", table),
    )
    assert status == 0, errors
    entries = json.loads(out.read_text())["entries"]
    assert [e["file"] for e in entries] == ["small.safetensors", "dw.safetensors", None]
    for entry, path in zip(entries, nets, strict=False):
        assert entry["bytes"] == path.stat().st_size
        assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    net = descompress.load(nets[1])
    assert (entries[1]["params"], entries[1]["macs"]) == (
        descompress.cost(net).params,
        descompress.cost(net).macs,
    )
    for entry in entries:
        assert set("eht") <= entry["hpatches"]["matching"].keys()
        assert entry["microseconds_per_patch"]["median"] > 0
    for text in (shown, table.read_text()):
        assert "small" in text
        assert "sift" in text
        assert "compression" in text


def test_a_run_is_recorded_so_that_others_can_repeat_it(nets, release, tour, tmp_path, monkeypatch):
    """Paths by their last names: where they lie here says nothing elsewhere."""
    monkeypatch.chdir(release.parent)
    (tmp_path / "r.json").write_text("of an earlier run")
    status, _, errors = run(
        *("eval", nets[0], "--patches", release.name, "--baseline", "sift", "--baseline", "orb"),
        *("--pairs", 300, "--phototour", tour, "--json", tmp_path / "r.json", "--force"),
    )
    assert status == 0, errors
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["format"] == 1
    assert found["command"] == (
        f"descompress eval small.safetensors --patches {release.name} --baseline sift "
        f"--baseline orb --phototour {tour.name} --pairs 300"
    )
    assert found["patches"] == {"extraction": None, "sequences": {"i_one": 40, "v_two": 40}}
    assert found["phototour"] == {tour.name: {"patches": 256, "pairs": 64}}
    assert found["versions"]["torch"] == torch.__version__
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["numpy"] == np.__version__
    assert [entry["name"] for entry in found["entries"]] == ["small", "sift", "orb"]
    for entry in found["entries"]:
        assert 0 <= entry["fpr95"][tour.name] <= 1
    assert str(tmp_path.parent) not in json.dumps(found)


def test_how_patches_were_extracted_is_recorded(release, tmp_path):
    shutil.copytree(release, tmp_path / "release")
    about = tmp_path / "release" / "extraction.json"
    about.write_text('{"settings": {"patches": 40, "seed": 3}, "jitter": {}}')
    patches = PatchRelease(tmp_path / "release")
    assert record([], patches, command="")["patches"]["extraction"] == {"patches": 40, "seed": 3}
    for other in ("[]", "{", '{"patches": 1}'):
        about.write_text(other)
        assert record([], patches, command="")["patches"]["extraction"] is None


def test_a_network_is_evaluated_as_its_descriptors_are(nets, release, tmp_path):
    """What `eval` says of a network is what the evaluator says of its descriptors in files."""
    net, folder = descompress.load(nets[0]), tmp_path / "descriptors"
    import cv2

    for strip in release.glob("*/*.png"):
        patches = cv2.imread(str(strip), 0).reshape(-1, 65, 65)
        target = folder / strip.parent.name / f"{strip.stem}.csv"
        target.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(target, describe(net, patches), delimiter=",", fmt="%.9g")
    tasks = tmp_path / "tasks"
    assert (
        run(
            *("eval", nets[0], "--patches", release, "--pairs", 500, "--tasks", tasks),
            *("--json", tmp_path / "a.json"),
        )[0]
        == 0
    )
    result = CliRunner().invoke(
        hpatches,
        [
            *("patches", "--descriptors", str(folder), "--tasks", str(tasks)),
            *("--patches", str(release), "--json", str(tmp_path / "b.json")),
        ],
    )
    assert result.exit_code == 0, result.stderr
    ours = json.loads((tmp_path / "a.json").read_text())["entries"][0]["hpatches"]
    theirs = json.loads((tmp_path / "b.json").read_text())
    for task in ("verification", "matching", "retrieval"):
        assert ours[task] == theirs[task]


def test_describing_in_parts_is_describing(nets):
    net = descompress.load(nets[0])
    patches = np.random.default_rng(0).integers(0, 256, (300, 65, 65)).astype(np.uint8)
    rows = describe(net, patches)
    assert rows.shape == (300, 16)
    np.testing.assert_allclose(rows[256:260], describe(net, patches[256:260]), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert describe(net, patches[:0]).shape == (0, 16)


def test_peers_reach_their_known_false_positive_rates(shared, tmp_path):
    # Measured by others on this set: SIFT 1.36 %, RootSIFT 0.94 %, DesDis-8 0.24 %.
    tour = PhotoTour.read(shared / "phototour" / "herzjesu")
    desdis = descompress.import_checkpoint("desdis", shared / "weights" / "desdis-8.pth")
    descompress.save(desdis, tmp_path / "desdis.safetensors")
    assert fpr95(baseline("rootsift"), tour) == pytest.approx(0.0094, abs=0.004)
    assert fpr95(network(tmp_path / "desdis.safetensors"), tour) == pytest.approx(0.0024, abs=5e-4)


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["--patches", "nowhere"], 1, "nowhere"),
        (["--patches", "{release}", "--split", "z"], 2, "z"),
        (["--patches", "{release}", "--baseline", "surf"], 2, "surf"),
        (["--patches", "{release}", "--distance", "L9"], 2, "L9"),
        (["--patches", "{release}", "--split", "a"], 1, "i_ajuntament"),
    ],
)
def test_bad_requests_get_one_line(nets, release, args, status, message):
    found, _, errors = run("eval", nets[0], *(a.format(release=release) for a in args))
    assert found == status
    last = errors.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert message in last


def test_other_files_and_networks_are_refused(release, tmp_path):
    (tmp_path / "text.safetensors").write_text("no network")
    assert run("eval", tmp_path / "text.safetensors", "--patches", release)[0] == 1
    descompress.save(descompress.build("superpoint"), tmp_path / "sp.safetensors")
    status, _, errors = run("eval", tmp_path / "sp.safetensors", "--patches", release)
    assert status == 2
    assert "superpoint does not describe patches" in errors


def test_an_output_that_exists_is_kept(nets, release, tmp_path):
    (tmp_path / "r.json").write_text("mine")
    status, _, errors = run("eval", nets[0], "--patches", release, "--json", tmp_path / "r.json")
    assert status == 1
    assert "exists already" in errors
    assert (tmp_path / "r.json").read_text() == "mine"


def test_the_clock_calls_in_turn_and_puts_threads_back():
    calls: list[str] = []
    before = torch.get_num_threads()
    used: set[int] = set()

    def first() -> None:
        calls.append("a")
        used.add(torch.get_num_threads())

    timings = on_threads(before + 1, [first, lambda: calls.append("b")])
    assert used == {before + 1}
    assert torch.get_num_threads() == before
    assert calls[:4] == ["a", "b", "a", "b"]
    assert all(t.low <= t.median <= t.high for t in timings)
    assert len(timings) == 2
