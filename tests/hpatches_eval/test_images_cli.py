import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from tiny_onnx import write_model
from tiny_sequences import grid, write_sequences

from hpatches_eval.cli import main


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_sequences(tmp_path_factory.mktemp("sequences"))


def run(*words):
    result = CliRunner().invoke(main, ["images", *(str(word) for word in words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_everything_asked_for_is_written_and_the_table_printed(root, tmp_path):
    outputs = {"--json": "a.json", "--markdown": "a.md", "--plot": "a.png"}
    words = [word for option, name in outputs.items() for word in (option, tmp_path / name)]
    result = run(root, "--baseline", "orb", "--baseline", "sift", "--size", 100, *words)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "a.json").read_text())
    assert [one["name"] for one in found] == ["orb", "sift"]
    assert all(one["settings"]["size"] == 100 and "command" in one for one in found)
    mma = f"{100 * found[0]['summary']['overall']['mma'][2]:.1f}"
    for text in (result.stdout, (tmp_path / "a.md").read_text()):
        text = " ".join(text.split())
        for piece in ("orb", "sift", mma, "10 pairs of 2 sequences", "long side 100 px"):
            assert piece in text
    picture = cv2.imread(str(tmp_path / "a.png"))
    assert picture.shape[0] > 400
    assert "images of orb: 2 of 2" in result.stderr


def test_one_result_is_no_list_and_json_on_stdout_is_alone_there(root):
    result = run(root / "v_two", "--baseline", "orb", "--json", "-")
    found = json.loads(result.stdout)
    assert (found["name"], found["counts"]["sequences"]) == ("orb", 1)


def test_settings_reach_the_evaluation(root):
    words = ("--size", 90, "--side", "short", "--keypoints", 40, "--estimator", "magsac")
    more = ("--inliers", 2, "--seed", 5, "--repeats", 2, "--json", "-")
    settings = json.loads(run(root, "--baseline", "orb", *words, *more).stdout)["settings"]
    estimation = settings.pop("estimation")
    assert estimation == {"method": "magsac", "threshold": 2, "seed": 5}
    chosen = {k: settings[k] for k in ("size", "side", "keypoints", "repeats")}
    assert chosen == {"size": 90, "side": "short", "keypoints": 40, "repeats": 2}


def test_stored_features_and_networks_stand_beside_baselines(root, tmp_path):
    pytest.importorskip("onnxruntime")
    net = write_model(tmp_path / "net.onnx", (1, 1, 64, 96))
    for name in ("i_one", "v_two"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for k in range(1, 7):
            step = 0 if name == "i_one" else k - 1
            found = grid(shift=(4 * step, 2 * step))
            with (tmp_path / f"mine/{name}/{k}.png.mine").open("wb") as file:
                np.savez(file, keypoints=found.keypoints, descriptors=found.descriptors)
    words = ("--features", tmp_path / "mine", "--onnx", net, "--nms", 2, "--json", "-")
    mine, other = json.loads(run(root, *words).stdout)
    assert (mine["name"], other["name"]) == ("mine", "net")
    assert mine["summary"]["viewpoint"]["mma"] == [1] * 10
    assert other["summary"]["overall"]["keypoints"] > 10


def test_large_sequences_are_left_out_on_request(tmp_path):
    root = write_sequences(tmp_path / "s", ("i_dc", "v_two"))
    found = json.loads(run(root, "--baseline", "orb", "--d2net", "--json", "-").stdout)
    assert {pair["sequence"] for pair in found["pairs"]} == {"v_two"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "nothing to evaluate: give --baseline, --features or --onnx"),
        (("--baseline", "surf"), 2, "baseline 'surf': there are sift"),
        (("--baseline", "orb", "--baseline", "orb"), 2, "orb: two of this name"),
        (("--baseline", "orb", "--size", "7"), 2, "size 7"),
        (("--baseline", "orb", "--estimator", "lmeds"), 2, "estimator 'lmeds'"),
        (("--baseline", "orb", "--nms", "-1"), 2, "radius -1"),
        (("--features", "nowhere"), 1, "nowhere: no such file or folder"),
        (("--baseline", "orb", "--json", "no/where.json"), 1, "there is no folder no"),
    ],
)
def test_requests_that_cannot_be_met_are_one_line(root, words, code, message):
    result = run(root, *words)
    assert (result.exit_code, message in result.stderr) == (code, True), result.output
    assert result.stderr.strip().count("\n") == 0


def test_a_folder_without_sequences_is_one_line(tmp_path):
    result = run(tmp_path, "--baseline", "orb")
    assert (result.exit_code, "no folder with images" in result.stderr) == (1, True)


def test_existing_outputs_are_kept_unless_forced(root, tmp_path):
    (tmp_path / "a.png").write_text("mine")
    words = (root / "v_two", "--baseline", "orb", "--plot", tmp_path / "a.png")
    result = run(*words)
    assert (result.exit_code, "exists already" in result.stderr) == (1, True)
    assert (tmp_path / "a.png").read_text() == "mine"
    assert run(*words, "--force").exit_code == 0
    assert cv2.imread(str(tmp_path / "a.png")) is not None


def test_without_matplotlib_a_plot_is_refused_before_the_work(root, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run(root, "--baseline", "orb", "--plot", tmp_path / "a.png")
    assert (result.exit_code, "pip install matplotlib" in result.stderr) == (2, True)
    assert "images of orb" not in result.stderr


def test_help_loads_nothing_heavy():
    program = (
        "import sys; from click.testing import CliRunner; from hpatches_eval.cli import main;"
        "result = CliRunner().invoke(main, ['images', '--help']); assert 'SEQUENCES' in"
        " result.output; print([m for m in ('cv2', 'h5py', 'scipy', 'numpy', 'matplotlib')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
