"""The weights that are shipped are what their index says."""

import hashlib
import tomllib
from pathlib import Path

import pytest

import descompress
from descompress.data.phototour import PhotoTour
from descompress.evaluation import baseline, compare, fpr95, network
from hpatches_eval.extraction import Extraction, extract
from hpatches_eval.generation import obtain_tasks
from hpatches_eval.patches import PatchRelease
from hpatches_eval.sequences import find_sequences
from hpatches_eval.splits import whole

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
INDEX = tomllib.loads((WEIGHTS / "index.toml").read_text())


def test_every_file_has_its_line_and_every_line_its_file():
    assert {f"{name}.safetensors" for name in INDEX} == {
        path.name for path in WEIGHTS.glob("*.safetensors")
    }


@pytest.mark.parametrize("name", INDEX)
def test_a_file_is_the_one_the_numbers_were_measured_on(name):
    path, entry = WEIGHTS / f"{name}.safetensors", INDEX[name]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
    spent = descompress.cost(descompress.load(path))
    assert (spent.params, spent.macs) == (entry["params"], entry["macs"])
    assert {"licence", "trained_on", "command", "measured"} <= entry.keys()


def test_hardnet_is_clearly_better_than_rootsift_on_images_it_never_saw(shared, tmp_path):
    extract(find_sequences(shared / "sequences"), tmp_path / "patches", Extraction(60))
    release = PatchRelease(tmp_path / "patches")
    counts = {name: release.count(name) for name in release.sequences}
    tasks = obtain_tasks(whole(release.sequences), counts, release, pairs=20_000)
    contestants = [network(WEIGHTS / "hardnet.safetensors"), baseline("rootsift")]
    ours, theirs = (entry.hpatches["summary"] for entry in compare(contestants, release, tasks))
    for task in ("verification", "matching", "retrieval_mean_of_pools"):
        assert ours[task]["mean"] > theirs[task]["mean"] + 0.04, task
    assert ours["matching"]["mean"] > theirs["matching"]["mean"] + 0.1
    tour = PhotoTour.read(shared / "phototour" / "herzjesu")
    assert fpr95(contestants[0], tour) < 0.5 * fpr95(contestants[1], tour)
