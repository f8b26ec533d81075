"""The generated pages of the site say all there is, and nothing in the site is fetched."""

import ast
import importlib
import re
from pathlib import Path

import click
import pytest
from page_blocks import PAGES, ROOT
from page_programs import script

import descompress
from descompress.cli import VERBS
from descompress.methods import METHODS
from descompress.objectives import OBJECTIVES
from hpatches_eval.cli import main as hpatches_eval

LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(#[^)]*)?\)")


@pytest.fixture(scope="module")
def reference():
    return script("docs/reference.py")


@pytest.fixture(scope="module")
def pages(reference) -> dict[str, str]:
    return reference.pages()


def directives(text: str) -> list[str]:
    return re.findall(r"^::: (\S+)$", text, re.MULTILINE)


def test_every_public_name_is_in_the_reference_once(pages):
    shown = directives(pages["reference/descompress.md"])
    assert sorted(name.split(".")[-1] for name in shown) == sorted(descompress.__all__)
    for path in shown:
        home, _, name = path.rpartition(".")
        assert getattr(importlib.import_module(home), name) is getattr(descompress, name)


@pytest.mark.parametrize(("page", "table"), [("methods", METHODS), ("objectives", OBJECTIVES)])
def test_every_method_and_objective_is_in_the_reference(page, table, pages):
    shown = directives(pages[f"reference/{page}.md"])
    assert {kind.__module__ for kind in table.values()} <= set(shown)


def test_what_the_reference_names_has_a_docstring(pages):
    shown = [path for text in pages.values() for path in directives(text)]
    assert len(shown) == len(set(shown)) > 60
    for path in shown:
        file = ROOT / (path.replace(".", "/") + ".py")
        if file.is_file():
            assert file.read_text().startswith('"""'), path


def test_no_formula_of_a_docstring_is_read_as_emphasis(pages):
    shown = [path for text in pages.values() for path in directives(text)]
    files = [ROOT / (path.replace(".", "/") + ".py") for path in shown]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for file in filter(Path.is_file, files):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, kinds) and (text := ast.get_docstring(node)):
                assert not re.search(r"\w\*\w", re.sub(r"`[^`]*`", "", text)), (file, text)


def test_the_evaluator_s_modules_are_those_its_docstring_lists(pages):
    shown = {path.split(".")[1] for path in directives(pages["reference/evaluator.md"])}
    text = importlib.import_module("hpatches_eval").__doc__ or ""
    assert set(re.findall(r"^    (\w+)  ", text, re.MULTILINE)) <= shown
    for module in shown:
        assert (ROOT / "hpatches_eval" / f"{module}.py").is_file()


def test_every_verb_and_each_of_its_options_is_in_the_reference(pages):
    text = pages["reference/commands.md"]
    for verb in VERBS:
        assert f"\n## descompress {verb}\n" in text
    assert "\n## descompress data get\n" in text
    for option in ("--plot PNG", "--max-drop POINTS", "--help"):
        assert f"`{option}`" in text
    for name in hpatches_eval.list_commands(click.Context(hpatches_eval)):
        assert f"\n## hpatches-eval {name}\n" in pages["reference/evaluator-commands.md"]


def test_help_is_shown_as_text_and_what_click_does_not_wrap_as_it_is(reference):
    @click.command(epilog="\b\nA:\n  b  c")
    @click.option("--kind", type=click.Choice(["one", "two"]), help="Of *this*, or `a|b`.")
    def command(kind: str) -> None:
        """Do <it> once."""

    shown = reference.section(command, "verb")
    assert shown.startswith("## verb\n\nDo \\<it\\> once.\n\n```text\nverb [OPTIONS]\n```")
    assert "| `--kind [one\\|two]` | Of \\*this\\*, or `a\\|b`. |" in shown
    assert shown.endswith("```text\nA:\n  b  c\n```")


def test_the_networks_page_has_the_tables_of_the_readme_and_all_cards(pages):
    assert pages["networks.md"].count("| `hardnet.tiny` |") == 1
    assert "| hardnet.tiny | onnxruntime-int8 |" in pages["networks.md"]
    for card in (ROOT / "weights" / "cards").glob("*.md"):
        assert f"](networks/{card.name})" in pages["networks.md"]
        assert pages[f"networks/{card.name}"] == card.read_text()


@pytest.mark.parametrize(
    ("html", "fetches"),
    [
        ('<img alt="a" src="https://example.org/a.png">', True),
        ('<script async src=//example.org/a.js></script>', True),
        ('<link rel="stylesheet" href="https://fonts.example.org/css">', True),
        ('<a href="https://example.org">there</a>', False),
        ('<img src="gallery/a.png"><link href="site.css" rel="stylesheet">', False),
    ],
)  # fmt: skip
def test_what_a_browser_would_fetch_from_elsewhere_is_found(html, fetches, reference):
    assert bool(reference.OUTSIDE.search(html)) == fetches


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_of_a_page_lead_to_files(page):
    for path, _ in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / path).exists(), path


def test_pictures_are_small_and_shown():
    text = (ROOT / "docs" / "gallery.md").read_text()
    kept = {path.name for path in (ROOT / "docs" / "gallery").glob("*.png")}
    assert kept == set(re.findall(r"\(gallery/(\S+?)\)", text))
    assert max(path.stat().st_size for path in (ROOT / "docs").rglob("*.png")) < 150_000


def test_the_navigation_names_every_page(pages):
    text = (ROOT / "mkdocs.yml").read_text()
    listed = set(re.findall(r"\S+\.md$", text, re.MULTILINE))
    written = {path.name for path in PAGES if path.name != "README.md"}
    assert listed == written | {path for path in pages if not path.startswith("networks/")}


def test_every_stored_picture_has_its_page():
    shown = "".join(path.read_text() for path in PAGES)
    for path in (ROOT / "docs").rglob("*.png"):
        assert str(Path(path).relative_to(ROOT / "docs")) in shown
