import json
import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from hpatches_eval.cli import main
from hpatches_eval.patches import TYPES

START = "from hpatches_eval.cli import main; main()"


def run(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def golden(shared):
    folder = shared / "golden"
    return (
        "patches",
        "--descriptors",
        folder / "descriptors" / "coarse",
        "--tasks",
        folder / "tasks",
        "--splits",
        folder / "splits.json",
    )


def test_the_json_of_one_descriptor_has_the_shape_and_numbers_of_the_reference(
    golden, shared, tmp_path
):
    result = run(*golden, "--split", "golden", "--distance", "l1", "--json", tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out.json").read_text())
    expected = json.loads((shared / "golden" / "expected.json").read_text())["coarse-L1"]
    for task, numbers in expected.items():
        assert found[task].keys() == numbers.keys()
    assert found["matching"] == pytest.approx(expected["matching"], abs=1e-9)
    pools = found["retrieval"]["h"]
    assert pools == pytest.approx(expected["retrieval"]["h"], abs=1e-9)
    assert (found["name"], found["distance"], found["split"]) == ("coarse", "L1", "golden")
    assert found["tasks"] == {"verification": "files", "retrieval": "files"}
    assert "reading" in found["seconds"]


def test_json_on_stdout_is_alone_there(golden):
    result = run(*golden, "--json", "-")
    assert json.loads(result.stdout)["name"] == "coarse"
    assert "matching: 75 of 75" in result.stderr


def test_the_table_is_printed_and_written(golden, tmp_path):
    result = run(*golden, "--markdown", tmp_path / "out.md")
    for text in (result.stdout, (tmp_path / "out.md").read_text()):
        text = " ".join(text.split())
        assert "retrieval (mean of pools)" in text
        assert "Split golden: 5 sequences, 480 points, 20,000 pairs" in text


def test_several_descriptors_give_a_list(golden, shared):
    more = ("--patches", shared / "golden" / "patches", "--baseline", "orb")
    result = run(*golden, "--split", "golden", *more, "--json", "-")
    found = json.loads(result.stdout)
    assert [(one["name"], one["distance"]) for one in found] == [
        ("coarse", "L2"),
        ("orb", "Hamming"),
    ]


def test_baselines_of_a_release_need_no_split_and_no_task_files(folder, tmp_path):
    words = ("patches", "--patches", folder, "--baseline", "brief", "--pairs", 50)
    result = run(*words, "--tasks", tmp_path / "tasks", "--json", "-")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["split"] == "all"
    assert found["counts"]["pairs"] == 50
    assert found["tasks"]["retrieval"].startswith("published generator, but 6 queries")
    again = run(*words, "--tasks", tmp_path / "tasks", "--json", "-")
    assert json.loads(again.stdout)["tasks"]["retrieval"] == "files"
    assert json.loads(again.stdout)["matching"] == found["matching"]


def test_packed_descriptors_in_csv_and_hdf5(folder, tmp_path):
    rng = np.random.default_rng(0)
    for sequence, count in (("i_sky", 7), ("v_sea", 5), ("v_tree", 6)):
        (tmp_path / "bits" / sequence).mkdir(parents=True)
        for kind in TYPES:
            rows = rng.integers(0, 256, (count, 4))
            np.savetxt(tmp_path / "bits" / sequence / f"{kind}.csv", rows, "%d", ";")
    assert run("pack", tmp_path / "bits", tmp_path / "bits.h5", "--packed").exit_code == 0
    words = ("--patches", folder, "--pairs", 50, "--json", "-")
    one = run("patches", "--descriptors", tmp_path / "bits", "--distance", "hamming", *words)
    other = run("patches", "--descriptors", tmp_path / "bits.h5", *words)
    one, other = (json.loads(result.stdout) for result in (one, other))
    assert one["dim"] == other["dim"] == 32
    assert one["sha256"] == other["sha256"]
    assert one["verification"] == other["verification"]


def test_the_pca_variant_learns_on_the_train_sequences(shared, tmp_path):
    split = {"test": ["v_boat", "i_pool"], "train": ["v_graffiti", "i_leuven", "v_churchill"]}
    (tmp_path / "splits.json").write_text(json.dumps({"mine": split}))
    words = ("--patches", shared / "golden" / "patches", "--splits", tmp_path / "splits.json")
    words = ("patches", "--descriptors", shared / "golden" / "descriptors" / "sift", *words)
    plain, pca = (
        json.loads(run(*words, "--pairs", 500, "--json", "-", *more).stdout)
        for more in ((), ("--pca",))
    )
    assert pca["name"] == "sift +PCA/PL"
    assert pca["summary"]["matching"]["mean"] > plain["summary"]["matching"]["mean"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("patches", 2, "nothing to evaluate: give --descriptors or --baseline"),
        ("patches --baseline sift", 2, "--baseline needs the patches to describe: --patches ROOT"),
        ("patches --patches {release} --baseline surf", 2, "baseline 'surf': there are sift"),
        ("patches --patches {release} --baseline sift --split x", 2, "split 'x': there are a, b"),
        ("patches --patches {release} --baseline sift --split a", 1, "i_ajuntament of split 'a'"),
        ("patches --patches {release} --baseline sift --distance cos", 2, "distance 'cos': there"),
        ("patches --patches {release} --baseline sift --pca", 2, "--pca needs a split with train"),
        ("patches --patches {release} --baseline orb --distance L2", 2, "need Hamming"),
        ("patches --patches {none} --baseline sift", 1, "none: there is no such folder"),
        ("patches --descriptors {none} --split a", 1, "none: no such file"),
        ("patches --patches {release} --baseline sift --json x --markdown ./x", 1, "two outputs"),
        ("patches --descriptors {release} --split a", 1, "no sequence folders with a ref.csv"),
        ("patches --patches {release} --baseline sift --json {release}", 1, "exists already"),
        ("patches --patches {release} --baseline sift --json {none}/x.json", 1, "is no folder"),
        ("pack {none} {none}.h5", 1, "none: there is no such folder"),
        ("pack {release} {release}", 1, "release: exists already; --force replaces it"),
    ],
)
def test_a_request_that_cannot_be_met_gets_one_line(folder, tmp_path, words, status, message):
    names = {"release": folder, "none": tmp_path / "none"}
    result = run(*words.format(**names).split())
    assert result.exit_code == status
    lines = [line for line in result.stderr.splitlines() if not line.startswith("reading")]
    lines = [line for line in lines if not line.startswith("drawing")]
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    assert message in lines[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("patches --pairs 99999999", "99999999 is not in the range"),
        ("extract {release} out --seed -1", "'--seed': -1"),
        ("synthesize {release} out --seed -1", "'--seed': -1"),
    ],
)
def test_a_number_out_of_range_is_a_wrong_use(folder, words, message):
    result = run(*words.format(release=folder).split())
    assert result.exit_code == 2
    assert message in result.stderr


def test_outputs_are_refused_before_the_work_and_replaced_with_force(golden, tmp_path):
    target = tmp_path / "out.json"
    target.write_text("precious")
    result = run(*golden, "--json", target)
    assert result.exit_code == 1
    assert result.stderr == f"Error: {target}: exists already; --force replaces it\n"
    assert target.read_text() == "precious"
    assert run(*golden, "--json", target, "--force").exit_code == 0
    assert json.loads(target.read_text())["name"] == "coarse"


def test_a_pipe_or_a_device_is_never_replaced(golden, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    result = run(*golden, "--json", tmp_path / "pipe", "--force")
    assert result.exit_code == 1
    assert "pipe: neither a file nor a folder; it is never replaced" in result.stderr
    assert (tmp_path / "pipe").is_fifo()


def test_descriptors_that_do_not_fit_the_patches_are_refused(folder, tmp_path):
    (tmp_path / "d" / "v_sea").mkdir(parents=True)
    (tmp_path / "d" / "i_sky").mkdir()
    for kind in TYPES:
        (tmp_path / "d" / "v_sea" / f"{kind}.csv").write_text("1,2\n" * 5)
        (tmp_path / "d" / "i_sky" / f"{kind}.csv").write_text("1,2\n" * 8)
    (tmp_path / "s.json").write_text('{"x": {"test": ["v_sea", "i_sky"]}}')
    words = ("patches", "--descriptors", tmp_path / "d", "--splits", tmp_path / "s.json")
    result = run(*words, "--patches", folder)
    assert result.exit_code == 1
    assert "7 patches of i_sky, elsewhere 8" in result.stderr


def test_ctrl_c_ends_in_one_line(monkeypatch, golden):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("hpatches_eval.evaluation.matching", interrupt)
    result = run(*golden)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "Error: interrupted"


def test_help_answers_at_once_and_loads_nothing_heavy():
    begin = os.times()
    for words in (["--help"], ["patches", "--help"], ["pack", "--help"]):
        result = subprocess.run([sys.executable, "-c", START, *words], capture_output=True)
        assert result.returncode == 0
        assert b"Usage:" in result.stdout
    spent = os.times()
    user, system = (spent[i] - begin[i] for i in (2, 3))  # processor time of what has ended
    assert 0 < user + system < 3 * 0.5
    heavy = {"numpy", "scipy", "cv2", "h5py", "torch", "rich", "jaxtyping"}
    code = f"import sys, hpatches_eval.cli; sys.exit(len({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_evaluator_needs_no_torch(golden):
    code = f"import sys; sys.modules['torch'] = None; {START}"
    words = [str(word) for word in (*golden, "--json", "-")]
    result = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
