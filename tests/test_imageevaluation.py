import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import descompress
from descompress import imageevaluation
from descompress.cli import main
from descompress.selection import Selection
from descompress.shelf.gathering import gather
from descompress.spec import Spec


def run(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def nets(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("nets")
    torch.manual_seed(0)
    made = {
        "image": descompress.build(Spec("superpoint", {"widths": [8] * 10, "dim": 16})),
        "thin": descompress.build(Spec("superpoint", {"widths": [4] * 10, "dim": 8})),
        "patch": descompress.build(Spec("l2net", {"widths": (4, 4, 8, 8, 8, 8), "dim": 16})),
    }
    for name, net in made.items():
        descompress.save(net, folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in made}


@pytest.fixture(scope="module")
def sequences(tmp_path_factory, discs) -> Path:
    """Two sequences of the same image, moved by 2 k pixels to the left, and ever darker."""
    root = tmp_path_factory.mktemp("sequences")
    for seed, name in enumerate(("i_dark", "v_moved")):
        (root / name).mkdir()
        whole = cv2.GaussianBlur(discs(seed, (120, 172), 60, 10), (0, 0), 1)
        for k in range(1, 7):
            moved = 2 * k * (name == "v_moved")
            image = whole[:, moved : moved + 160] * (1 - 0.05 * k * (name == "i_dark"))
            cv2.imwrite(str(root / name / f"{k}.png"), image.astype(np.uint8))
            matrix = np.eye(3)
            matrix[0, 2] = -2 * (k - 1) * (name == "v_moved")
            np.savetxt(root / name / f"H_1_{k}", matrix)
    return root


def test_networks_and_baselines_are_evaluated_on_sequences(nets, sequences, tmp_path):
    out, text, curves = tmp_path / "r.json", tmp_path / "t.md", tmp_path / "c.png"
    words = ("--size", 160, "--keypoints", 150, "--json", out, "--markdown", text, "--plot", curves)
    status, shown, errors = run(
        *("eval", nets["patch"], nets["image"], "--sequences", sequences),
        *("--baseline", "rootsift", *words),
    )
    assert status == 0, errors
    record = json.loads(out.read_text())
    assert record["command"] == (
        f"descompress eval patch.safetensors image.safetensors --sequences {sequences.name} "
        "--baseline rootsift --size 160 --keypoints 150"
    )
    found = record["images"]
    assert found["sequences"] == ["i_dark", "v_moved"]
    assert found["counts"]["pairs"] == 10
    assert found["settings"]["selection"]["most"] == found["settings"]["keypoints"] == 150
    assert found["versions"]["torch"] == torch.__version__
    assert [entry["name"] for entry in found["entries"]] == ["patch", "image", "rootsift"]
    patch, image, rootsift = found["entries"]
    nets_cost = {name: descompress.cost(descompress.load(path)) for name, path in nets.items()}
    assert (patch["params"], image["params"]) == tuple(
        nets_cost[name].params for name in ("patch", "image")
    )
    assert image["macs"] == nets_cost["image"].macs
    assert patch["macs"] == 150 * nets_cost["patch"].macs
    assert rootsift["file"] is rootsift["params"] is rootsift["macs"] is None
    assert image["file"] == "image.safetensors"
    assert image["bytes"] == nets["image"].stat().st_size
    for entry in found["entries"]:
        assert "pairs" not in entry
        assert {"detection", "description", "matching"} <= entry["seconds"].keys()
    # SIFT's points of a moved image are the moved points, as far as they are not at the edge.
    overall = patch["summary"]["overall"]
    assert overall["mma"][2] > 0.8
    assert overall["homography"][2] == 1.0
    for shape in (shown, text.read_text()):
        for word in ("patch", "rootsift", "GMACs", "compression", "MMA@3", "repeatability"):
            assert word in shape
    assert cv2.imread(str(curves)) is not None


def test_patches_and_sequences_in_one_run(nets, sequences, release, tmp_path):
    """Patch networks on both, image networks on sequences alone."""
    out, text = tmp_path / "r.json", tmp_path / "t.md"
    status, shown, errors = run(
        *("eval", nets["image"], nets["patch"], "--patches", release, "--sequences", sequences),
        *("--pairs", 300, "--size", 160, "--baseline", "sift", "--json", out, "--markdown", text),
    )
    assert status == 0, errors
    record = json.loads(out.read_text())
    assert [entry["name"] for entry in record["entries"]] == ["patch", "sift"]
    assert [entry["name"] for entry in record["images"]["entries"]] == ["image", "patch", "sift"]
    for shape in (shown, text.read_text()):
        assert "verification" in shape
        assert "MMA@3" in shape


def test_repeats_reach_the_evaluation_and_the_record_makes_an_index(nets, sequences, tmp_path):
    """What is written of image networks is what `descompress weights index` reads of them."""
    out, text = tmp_path / "measured.images.json", tmp_path / "t.md"
    card = "title='t'\nlicence='l'\ntrained_on='o'\nenvironment='e'\ncommand='c'"
    (tmp_path / "recipes").mkdir()
    for name in ("image", "thin"):
        shutil.copy(nets[name], tmp_path)
        (tmp_path / "recipes" / f"{name}.toml").write_text(f"about='a'\n[card]\n{card}")
    words = ("--size", 160, "--keypoints", 50, "--repeats", 3, "--json", out, "--markdown", text)
    files = [tmp_path / nets[name].name for name in ("image", "thin")]
    status, _, errors = run(
        *("eval", *files, nets["patch"], "--sequences", sequences, "--baseline", "orb", *words),
    )
    assert status == 0, errors
    record = json.loads(out.read_text())
    assert record["command"].endswith(" --size 160 --keypoints 50 --repeats 3")
    assert record["images"]["settings"]["repeats"] == 3
    assert "RANSAC at 3 px, 3 times a pair." in text.read_text()
    index = gather(tmp_path)
    assert list(index["networks"]) == ["image", "thin"]
    assert list(index["image_peers"]) == ["patch", "orb"]
    found = {**index["networks"], **index["image_peers"]}
    for entry in record["images"]["entries"]:
        said, overall = found[entry["name"]]["measured"], entry["summary"]["overall"]
        for key, share in (
            ("mma3", overall["mma"][2]),
            ("homography1", overall["homography"][0]),
            ("homography3", overall["homography"][2]),
            ("homography5", overall["homography"][4]),
            ("repeatability3", overall["repeatability"]),
        ):
            assert said[key]["overall"] == round(100 * share, 2)
        for key, name in (("mma3", "mma_3"), ("homography3", "homography_3")):
            assert said[key]["interval"] == [
                round(100 * end, 2) for end in entry["intervals"][name]
            ]
        assert said["matches"]["viewpoint"] == pytest.approx(
            entry["summary"]["viewpoint"]["matches"], abs=0.05
        )
    settings = index["image_measurement"]["settings"]
    assert settings == record["images"]["settings"]


def test_compression_and_speed_are_relative_to_the_first_network(nets):
    def entry(name: str, seconds: float) -> imageevaluation.ImageEntry:
        if name == "sift":
            contestant = imageevaluation.image_baseline(name, 10)
        else:
            contestant = imageevaluation.image_network(nets[name], Selection())
        return imageevaluation.ImageEntry(contestant, {"seconds": {"finding": seconds}})

    rows = imageevaluation.sizes([entry("sift", 0.5), entry("image", 0.1), entry("thin", 0.05)])
    full, thin = (descompress.cost(descompress.load(nets[name])) for name in ("image", "thin"))
    assert rows[0] == ("", "params", "compression", "GMACs", "ms an image")
    assert rows[1] == ("sift", "", "", "", "500.0 (0.20x)")
    assert rows[2][1:3] == (f"{full.params:,}", "1.00x")
    assert rows[3] == (
        *("thin", f"{thin.params:,}", f"{full.params / thin.params:.2f}x"),
        *(f"{thin.macs / 1e9:.3f}", "50.0 (2.00x)"),
    )


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["{image}"], 2, "give --patches ROOT, --sequences ROOT, or both"),
        (["{image}", "--sequences", "nowhere"], 1, "nowhere: no such folder"),
        (["{image}", "--sequences", "{root}", "--baseline", "surf"], 2, "surf"),
        (["{image}", "{image}", "--sequences", "{root}"], 2, "image: two of this name"),
        (["{patch}", "--patches", "x", "--plot", "p.png"], 2, "--plot draws curves"),
        (["{image}", "--sequences", "{root}", "--size", "3"], 2, "size 3"),
        (["{image}", "--sequences", "{root}", "--repeats", "0"], 2, "'--repeats': 0 is not in"),
        (["{image}", "--sequences", "{root}", "--patches", "x"], 2, "none of the networks"),
        (["{image}", "--sequences", "{root}", "--markdown", "no/t.md"], 1, "there is no folder"),
    ],
)
def test_bad_requests_get_one_line(nets, sequences, words, status, message):
    found, _, said = run("eval", *(word.format(**nets, root=sequences) for word in words))
    assert found == status
    assert said.strip().splitlines()[-1].startswith("Error: ")
    assert message in said


def test_networks_for_other_things_are_refused(sequences, tmp_path):
    path = tmp_path / "classes.safetensors"
    descompress.save(descompress.build("mobilenetv2"), path)
    status, _, said = run("eval", path, "--sequences", sequences)
    assert status == 2
    assert "mobilenetv2 describes neither images nor patches" in said
