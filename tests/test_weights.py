"""The weights that are shipped are what their index says."""

import json
import re
import tomllib
from pathlib import Path

import pytest

import descompress
from descompress.data.phototour import PhotoTour
from descompress.evaluation import Entry, baseline, compare, fpr95, network
from descompress.imageevaluation import compare_on_sequences, image_baseline, image_network
from descompress.selection import Selection
from descompress.shelf import of_images, pages
from descompress.shelf.gathering import gather
from hpatches_eval.extraction import Extraction, extract
from hpatches_eval.generation import obtain_tasks
from hpatches_eval.imageevaluation import ImageSettings
from hpatches_eval.patches import PatchRelease
from hpatches_eval.sequences import find_sequences
from hpatches_eval.splits import whole

REPOSITORY = Path(__file__).resolve().parents[1]
WEIGHTS = REPOSITORY / "weights"
INDEX = tomllib.loads((WEIGHTS / "index.toml").read_text())
NETWORKS = INDEX["networks"]
IMAGES = [name for name, entry in NETWORKS.items() if of_images(entry)]


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
    for marks, table in pages.tables(INDEX).items():
        assert page == pages.inserted(page, table, marks)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_found_by_its_name_and_is_what_the_index_says(name):
    entry, net = NETWORKS[name], descompress.load(name)
    spent = descompress.cost(net)
    assert (spent.params, spent.macs) == (entry["params"], entry["macs"])
    assert (net.spec.net, net.spec.to_json()) == (entry["net"], entry["spec"])
    for key in ("about", "licence", "trained_on", "command", "environment"):
        assert entry[key].strip(), key


def test_the_command_of_a_card_makes_what_every_stage_starts_from():
    for name, entry in NETWORKS.items():
        made: list[str] = []
        for words in map(str.split, entry["command"].split("; ")):
            files = [word for word in words if word.endswith(".safetensors")]
            for recipe in (word for word in words if word.endswith(".toml")):
                start = tomllib.loads((REPOSITORY / recipe).read_text())["start"]
                assert start in made or not start.endswith(".safetensors"), (name, recipe)
                files = [words[words.index(recipe) + 1]]
            made += files
        assert made[-1] == f"{name}.safetensors"


def test_make_trains_every_stage_before_what_starts_from_it():
    text = (REPOSITORY / "Makefile").read_text().replace("\\\n", " ")
    stages = re.findall(r"^IMAGE_STAGES = (.*)$", text, re.MULTILINE)[0].split()
    patches = sorted(WEIGHTS.glob("recipes/hardnet.*.toml"))  # make's wildcard sorts as well
    for order in (stages, [path.stem for path in patches]):
        for place, name in enumerate(order):
            start = tomllib.loads((WEIGHTS / f"recipes/{name}.toml").read_text())["start"]
            before = Path(start).stem.replace("folded", "first")  # which make folds at once
            assert before in order[:place] or not start.endswith(".safetensors"), name
    assert set(stages) == {path.stem for path in WEIGHTS.glob("recipes/superpoint*.toml")}


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


@pytest.mark.skipif(not IMAGES, reason="no image networks are shipped")
def test_image_networks_were_measured_in_one_run_on_all_pairs_of_the_eleven_sequences():
    found = INDEX["image_measurement"]
    assert found["counts"] == {"sequences": 11, "images": 66, "pairs": 55}
    assert found["sequences"] == list(INDEX["measurement"]["sequences"])
    assert found["settings"]["repeats"] >= 10, "homographies of one seed are noise"
    assert {"rootsift", "orb"} <= INDEX["image_peers"].keys()


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
    names = [name for name in NETWORKS if name not in IMAGES]
    for entry in measured(shared, tmp_path / "patches", 600, 200_000, names):
        name = entry.contestant.name
        said = {**NETWORKS, **INDEX["peers"]}[name]["measured"]
        for task, means in entry.hpatches["summary"].items():
            assert 100 * means["mean"] == pytest.approx(said[task]["mean"], abs=0.05), (name, task)
        rate = 100 * fpr95(entry.contestant, tour)
        assert rate == pytest.approx(said["fpr95"]["herzjesu"], abs=0.021), name


@pytest.mark.slow
@pytest.mark.skipif(not IMAGES, reason="no image networks are shipped")
def test_every_score_of_images_is_measured_again(shared):
    """Elsewhere a match or two of a pair are others, and so are the homographies of some."""
    settings = INDEX["image_measurement"]["settings"]
    size, most, repeats = (settings[key] for key in ("size", "keypoints", "repeats"))
    selection = Selection(**settings["selection"])
    networks = [image_network(WEIGHTS / f"{name}.safetensors", selection) for name in IMAGES]
    for entry in compare_on_sequences(
        [*networks, image_baseline("rootsift", most)],
        find_sequences(shared / "sequences"),
        ImageSettings(size, keypoints=most, repeats=repeats),
    ):
        name, found = entry.contestant.name, entry.result["summary"]["overall"]
        said = {**NETWORKS, **INDEX["image_peers"]}[name]["measured"]
        for key, share, within in (
            ("mma3", found["mma"][2], 0.2),
            ("repeatability3", found["repeatability"], 0.2),
            ("homography3", found["homography"][2], 1.5),
        ):
            assert 100 * share == pytest.approx(said[key]["overall"], abs=within), (name, key)
