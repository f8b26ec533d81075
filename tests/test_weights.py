"""The weights that are shipped are what their index says."""

import json
import re
import tomllib
from pathlib import Path

import pytest

import descompress
from descompress.data.phototour import PhotoTour
from descompress.evaluation import Entry, baseline, compare, fpr95, network
from descompress.shelf import pages
from descompress.shelf.gathering import gather
from hpatches_eval.extraction import Extraction, extract
from hpatches_eval.generation import obtain_tasks
from hpatches_eval.patches import PatchRelease
from hpatches_eval.sequences import find_sequences
from hpatches_eval.splits import whole

REPOSITORY = Path(__file__).resolve().parents[1]
WEIGHTS = REPOSITORY / "weights"
INDEX = tomllib.loads((WEIGHTS / "index.toml").read_text())
NETWORKS = INDEX["networks"]


def test_every_file_has_its_line_its_recipe_and_its_card():
    for pattern in ("*.safetensors", "recipes/*.toml", "cards/*.md"):
        found = {path.stem for path in WEIGHTS.glob(pattern)}
        assert NETWORKS.keys() <= found if "recipes" in pattern else NETWORKS.keys() == found


def test_index_and_cards_are_what_the_files_recipes_and_measurements_give():
    """`descompress weights index` would change nothing; hash, params, MACs and spec included."""
    for path, text in pages.texts(gather(WEIGHTS)).items():
        assert (WEIGHTS / path).read_text() == text, path


def test_the_readme_shows_the_table_of_the_index():
    """`descompress weights table --into README.md` would change nothing."""
    page = (REPOSITORY / "README.md").read_text()
    assert page == pages.inserted(page, pages.table(INDEX))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_found_by_its_name_and_is_what_the_index_says(name):
    entry, net = NETWORKS[name], descompress.load(name)
    spent = descompress.cost(net)
    assert (spent.params, spent.macs) == (entry["params"], entry["macs"])
    assert (net.spec.net, net.spec.to_json()) == (entry["net"], entry["spec"])
    for key in ("about", "licence", "trained_on", "command", "environment"):
        assert entry[key].strip(), key


def test_nothing_that_is_written_down_names_a_place_of_one_machine():
    texts = [path.read_text() for path in WEIGHTS.rglob("*.*") if path.suffix != ".safetensors"]
    assert not re.findall(r"(?:/home|/root|/tmp|/work|/Users|[A-Z]:\\)[\w/\\.-]*", "\n".join(texts))


def test_all_were_measured_in_one_run_on_the_eleven_sequences():
    run = json.loads((WEIGHTS / "measured.json").read_text())
    assert sum(run["patches"]["sequences"].values()) == 11 * 600
    assert run["patches"]["extraction"] == {"patches": 600, "seed": 0}
    assert run["phototour"] == {"herzjesu": {"patches": 16_003, "pairs": 10_000}}
    results = [entry["hpatches"] for entry in run["entries"]]
    assert len({result["sha256"]["tasks"] for result in results}) == 1


def measured(shared: Path, folder: Path, patches: int, pairs: int, names: list[str]) -> list[Entry]:
    """The shipped networks of these names, and RootSIFT, on the shared sequences."""
    extract(find_sequences(shared / "sequences"), folder, Extraction(patches))
    release = PatchRelease(folder)
    counts = {name: release.count(name) for name in release.sequences}
    tasks = obtain_tasks(whole(release.sequences), counts, release, pairs=pairs)
    contestants = [network(WEIGHTS / f"{name}.safetensors") for name in names]
    return compare([*contestants, baseline("rootsift")], release, tasks)


def test_hardnet_is_clearly_better_than_rootsift_on_images_it_never_saw(shared, tmp_path):
    entries = measured(shared, tmp_path / "patches", 60, 20_000, ["hardnet"])
    ours, theirs = (entry.hpatches["summary"] for entry in entries)
    for task in ("verification", "matching", "retrieval_mean_of_pools"):
        assert ours[task]["mean"] > theirs[task]["mean"] + 0.04, task
    assert ours["matching"]["mean"] > theirs["matching"]["mean"] + 0.1
    tour = PhotoTour.read(shared / "phototour" / "herzjesu")
    assert fpr95(entries[0].contestant, tour) < 0.5 * fpr95(entries[1].contestant, tour)


@pytest.mark.slow
def test_every_score_is_measured_again(shared, tmp_path):
    """Other processors and versions move them in the second decimal of a per cent."""
    tour = PhotoTour.read(shared / "phototour" / "herzjesu")
    for entry in measured(shared, tmp_path / "patches", 600, 200_000, list(NETWORKS)):
        name = entry.contestant.name
        said = {**NETWORKS, **INDEX["peers"]}[name]["measured"]
        for task, means in entry.hpatches["summary"].items():
            assert 100 * means["mean"] == pytest.approx(said[task]["mean"], abs=0.05), (name, task)
        rate = 100 * fpr95(entry.contestant, tour)
        assert rate == pytest.approx(said["fpr95"]["herzjesu"], abs=0.021), name
