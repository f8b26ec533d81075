"""Every block of every page: Python runs, commands run small or are read by their programs."""

import doctest
import shutil
import tomllib
from collections import OrderedDict
from functools import partial
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
import skimage.data
import torch
from click.testing import CliRunner
from page_blocks import (
    CARDS,
    PAGES,
    ROOT,
    Block,
    Command,
    blocks,
    commands,
    commands_within,
    name_of,
    unfenced,
)
from page_programs import PROGRAMS, understood
from page_readers import HAS, SMALL, UNTRIED, chosen, reduced
from torch import nn

from descompress import shelf
from descompress.artifacts import save
from descompress.cli import main as descompress
from descompress.methods import METHODS
from descompress.nets import NETS, build
from descompress.shelf.tomltext import to_toml
from descompress.spec import Spec
from hpatches_eval import generation
from hpatches_eval.cli import main as hpatches_eval

kornia = pytest.importorskip("kornia")
pytest.importorskip("kornia.feature")

MAINS = {"descompress": descompress, "hpatches-eval": hpatches_eval}
PHOTOGRAPHS = ["astronaut", "brick", "camera", "chelsea", "coffee", "coins", "gravel", "rocket"]
IDS = [name_of(page) for page in PAGES]


@pytest.fixture(scope="session")
def material(tmp_path_factory, discs, tour) -> dict[str, Path]:
    """What pages say the reader has, by the name they give it."""
    root = tmp_path_factory.mktemp("material")
    whole = cv2.GaussianBlur(discs(5, (256, 340), 200, 12), (0, 0), 0.8)
    for name, image in {"a": whole[6:, 10:], "b": whole[:250, :330]}.items():
        cv2.imwrite(str(root / f"{name}.jpg"), image)
    (root / "photographs").mkdir()
    for k in range(4):
        cv2.imwrite(str(root / "photographs" / f"{k}.png"), discs(k, (250, 330), 160, 12))
    (root / "few").mkdir()
    cv2.imwrite(str(root / "few" / "a.png"), whole[:150, :200])
    _done(hpatches_eval, f"synthesize {root / 'few'} {root / 'sequences'}")
    _done(hpatches_eval, f"extract {root / 'sequences'} {root / 'patches'} --patches 12")
    photographs = f"--photographs {root / 'photographs'}"
    _done(descompress, f"pack {root / 'pack'} {photographs} {SMALL['descompress', 'pack']}")
    made = ("photographs", "sequences", "patches", "pack", "data", "a.jpg", "b.jpg")
    (root / "data").mkdir()
    (root / "data" / "hpatches").symlink_to(root / "patches")
    (root / "data" / "phototour-liberty").symlink_to(tour)
    found = {name: root / name for name in made}
    found |= {"STRECHA": tour, "weights": ROOT / "weights"}
    return found | {name.upper(): path for name, path in found.items()}


PATCHES = Spec("l2net", {"widths": (8, 8, 16, 16, 16, 16)})
IMAGES = Spec("superpoint", {"widths": (8,) * 10, "dim": 16})


@pytest.fixture(scope="session")
def shelf_of_narrow(tmp_path_factory) -> Path:
    """The shipped networks' index and times, with narrow networks of random weights."""
    target, index = tmp_path_factory.mktemp("narrow"), shelf.read_index()
    torch.manual_seed(0)
    for name, entry in index["networks"].items():
        path = target / f"{name}.safetensors"
        save(build(IMAGES if shelf.of_images(entry) else PATCHES), path)
        entry["sha256"] = shelf.sha256(path)
    (target / shelf.INDEX).write_text(to_toml(index))
    shutil.copy(ROOT / "weights" / "bench.json", target)
    return target


def _done(main: click.Command, words: str) -> None:
    result = CliRunner().invoke(main, words.split())
    assert result.exit_code == 0, result.output


@pytest.fixture
def folder(material, shelf_of_narrow, tmp_path, monkeypatch):
    """Go to the folder a page is read in, with what its reader has: page -> shelf for commands."""

    def furnish(page: Path) -> Path:
        for name in HAS.get(name_of(page), "").split():
            (tmp_path / name).symlink_to(material[name])
        monkeypatch.chdir(tmp_path)
        return shelf_of_narrow

    return furnish


@pytest.fixture(autouse=True)
def registries():
    """As they were, when a page has added to them."""
    kept = [(table, dict(table)) for table in (METHODS, NETS)]
    yield
    for table, entries in kept:
        table.clear()
        table.update(entries)


@pytest.fixture
def hurried(monkeypatch) -> None:
    """Fewer pairs than there would be to compare where no option says how many."""
    monkeypatch.setattr(generation, "FEWER_PAIRS", 300)


@pytest.fixture
def names(discs, tmp_path, monkeypatch) -> dict[str, object]:
    """What pages say Python has at hand."""
    for name in ("HardNet", "KeyNet"):  # whose weights would be fetched
        monkeypatch.setattr(
            kornia.feature, name, partial(_untrained, getattr(kornia.feature, name))
        )
    for name in PHOTOGRAPHS:
        small = getattr(skimage.data, name)()[100:270, 60:260]
        monkeypatch.setattr(skimage.data, name, partial(np.copy, small))
    image = discs(1, (90, 132), 40, 12)
    pictures = torch.stack([torch.from_numpy(discs(k, (90, 132), 40, 12)) for k in (1, 2)])
    block = nn.Sequential(
        nn.Conv2d(1, 24, 3), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 8, 3), nn.ReLU()
    )
    return {
        "image": image,
        "images": pictures[:, None].float() / 255,
        "patches": np.random.default_rng(0).integers(0, 256, (9, 65, 65)).astype(np.uint8),
        "folder": tmp_path,
        "clone": str(ROOT),
        "net": nn.Sequential(OrderedDict(block=block, last=nn.Conv2d(8, 4, 1))),
    }


def _untrained(kind: type[nn.Module], *, pretrained: bool) -> nn.Module:
    assert pretrained
    return kind(pretrained=False)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_block_of_a_page_runs_one_after_the_other(page, folder, names, hurried):
    names |= {"shelf": str(folder(page)), "page": page}
    for block in blocks(page.read_text(encoding="utf-8")):
        RUNS[block.language](block, names)
    assert EXPECTED.get(name_of(page), bool)(names)


def run_python(block: Block, names: dict[str, object]) -> None:
    """With the networks that are really shipped."""
    page = names["page"]
    if block.text.startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(
            block.text, names, name_of(page), None, block.line
        )
        test.globs = names
        assert not doctest.DocTestRunner().run(test, clear_globs=False).failed
    else:
        lines = "\n" * (block.line - 1) + block.text
        exec(compile(lines, str(page), "exec"), names)


def run_commands(block: Block, names: dict[str, object]) -> None:
    """With narrow networks by the names of the shipped ones."""
    page = names["page"]
    for command in commands(block):
        try:
            understood(command)
            run(command, {shelf.VARIABLE: names["shelf"]})
        except Exception as error:
            error.add_note(f"{name_of(page)}, line {command.line}: {' '.join(command.words)}")
            raise


def run(command: Command, environment: dict[str, str]) -> None:
    words = reduced(command)
    if words:
        result = CliRunner().invoke(MAINS[words[0]], words[1:], env=environment)
        assert result.exit_code == 0, result.output


EXPECTED = {  # of the names that a page leaves behind
    "integrations.md": lambda n: (
        len(n["keypoints"]) == len(n["matches"]) > 5 and len(n["seven"]) == 7
    ),
    "tutorial.md": lambda n: len(n["features"].keypoints) > 5,
}
RUNS = {
    "python": run_python,
    "sh": run_commands,
    "toml": lambda block, _: tomllib.loads(block.text),
    "text": lambda *_: None,  # what was printed; see below
}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_block_of_a_page_is_of_a_language_that_is_run(page):
    text = page.read_text(encoding="utf-8")
    found = blocks(text)
    assert 2 * len(found) == text.count("```"), "a fence is not closed, or not at the margin"
    assert {block.language for block in found} <= RUNS.keys()
    assert unfenced(text) == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_what_was_printed_holds_no_command(page):
    printed = (b for b in blocks(page.read_text(encoding="utf-8")) if b.language == "text")
    first = {line.split()[0] for block in printed for line in block.text.splitlines() if line}
    assert not first & PROGRAMS.keys()


def test_the_tables_name_only_what_pages_call():
    called = [
        command
        for page in PAGES
        for block in blocks(page.read_text(encoding="utf-8"))
        if block.language == "sh"
        for command in commands(block)
    ]
    for table in (SMALL, UNTRIED):
        used = {max(t for t in table if c.begins_with(*t)) for c in called if chosen(table, c)}
        assert used == table.keys()
    assert HAS.keys() <= set(IDS)


@pytest.mark.parametrize("card", CARDS, ids=[card.stem for card in CARDS])
def test_the_commands_of_a_card_are_understood(card, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = commands_within(card.read_text(encoding="utf-8"))
    assert {"train", "distill", "prune"} & {command.words[1] for command in found}
    for command in found:
        understood(command)
