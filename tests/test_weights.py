"""The weights that are shipped are what their index says."""

import json
import re
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

import descompress
from descompress.data.phototour import PhotoTour
from descompress.evaluation import Entry, baseline, compare, fpr95, network
from descompress.imageevaluation import compare_on_sequences, image_baseline, image_network
from descompress.recipes import Data
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


class Made:
    """What commands have made so far: networks, and packs with the options that shape them."""

    def __init__(self, *teachers: str) -> None:
        self.teachers = teachers  # that are there from the first
        self.packs: dict[str, dict[str, float]] = {}
        self.networks: list[str] = []

    def after(self, words: list[str]) -> None:
        """One more command, which may need what others made."""
        options = dict(pairwise(words))
        recipes = [word for word in words if word.endswith(".toml")]
        files = [Path(word).name for word in words if word.endswith(".safetensors")]
        if "pack" in words[:2]:
            shaping = ("--batches", "--seed", "--tour-share", "--least-jitter")
            said = {name: float(options[name]) for name in shaping if name in options}
            self.packs[Path(options["pack"]).name] = said
        for recipe in (tomllib.loads((REPOSITORY / word).read_text()) for word in recipes):
            verb = "prune" if "prune" in recipe else "distill" if "teacher" in recipe else "train"
            assert verb in words
            start, data = recipe["start"], Data(**recipe.get("data", {}))
            assert start in self.networks or not start.endswith(".safetensors"), words
            teacher = options.get("--teacher", recipe.get("teacher"))
            assert teacher in (None, *self.teachers, *self.networks), words
            if "--images" not in options and "--photographs" not in options:
                pack = self.packs[options["--pack"]]
                shares = pack.get("--tour-share", 0.3), pack.get("--least-jitter", 0)
                assert shares == (data.tour_share, data.least_jitter), words
            files = files[:1]
        self.networks += files[-1:]


def made_by_card(name: str) -> Made:
    made = Made("hardnet", "superpoint", "superpoint.folded.safetensors")
    for command in NETWORKS[name]["command"].split("; "):
        made.after(command.split())
    return made


def made_by(target: str) -> Made:
    asked = ["make", "--dry-run", target, "OUT=none", "PHOTOGRAPHS=p", "PHOTOTOUR=t"]
    said = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    made = Made("hardnet")
    for line in said.replace("\\\n", " ").splitlines():
        made.after(line.split())
    return made


@pytest.mark.parametrize("name", NETWORKS)
def test_the_command_of_a_card_makes_what_every_stage_starts_from(name):
    assert made_by_card(name).networks[-1] == f"{name}.safetensors"


@pytest.mark.parametrize("target", ["weights", "image-weights"])
def test_make_trains_every_stage_before_what_starts_from_it(target):
    names = [Path(name).stem for name in made_by(target).networks if "folded" not in name]
    wanted = {path.stem for path in WEIGHTS.glob("recipes/*.toml")} - {"hardnet", "hardnet.first"}
    images = {name for name in wanted if name.startswith("superpoint")}
    assert sorted(names) == sorted(images if target == "image-weights" else wanted - images)


def test_make_packs_what_the_cards_say():
    made = made_by("weights").packs.values()
    said = [pack for name in NETWORKS for pack in made_by_card(name).packs.values()]
    assert len(made) > 1
    assert all(pack in made for pack in said)
    assert all(pack in said for pack in made)


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
