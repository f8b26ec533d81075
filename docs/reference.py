"""Pages of the site that are generated: the reference, and the networks that are shipped.

A hook of mkdocs, named in `mkdocs.yml`. Python's part is directives for mkdocstrings, which reads
docstrings without importing anything; the commands' part is what click knows of them.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parents[1]
TABLES = re.compile(r"<!-- ([a-z ]*table) -->\n(.*?)<!-- /\1 -->", re.DOTALL)
OUTSIDE = re.compile(  # what a browser would fetch from elsewhere
    r"""<(?:script|img|iframe|source|audio|video|embed)\b[^>]*?\ssrc=["']?(?:https?:)?//[^\s>]+"""
    r"""|<link\b[^>]*?\shref=["']?(?:https?:)?//[^\s>]+"""
)
MODULES = {  # by page: its title, and the modules whose docstrings it shows
    "methods": ("Methods", "methods", "base cdp depthwise tucker tdw"),
    "objectives": (
        "Objectives",
        "objectives",
        "base triplet second_order imitation similarity desdis itrd bkd srm hierarchical pcl "
        "sequence classes detection correspondence",
    ),
    "runtimes": ("Runtimes", "runtimes", "base ort ov facts finders"),
    "integrations": (
        "Integrations",
        "integrations",
        "opencv kornia hloc lightglue colmap huggingface vismatch extraction",
    ),
}
EVALUATOR = (
    "patches descriptors splits tasklists generation distances tasks evaluation report extraction "
    "synthesis features featurefiles finders maps geometry matching imagemetrics imageevaluation "
    "imagesummary imagereport errors"
)
COMMANDS = {
    "commands": ("descompress", "descompress.cli"),
    "evaluator-commands": ("hpatches-eval", "hpatches_eval.cli"),
}


def pages() -> dict[str, str]:
    """The generated pages, by their paths in the site."""
    cards = {f"networks/{p.stem}.md": p.read_text() for p in sorted(cards_of_networks())}
    return {
        "networks.md": networks(),
        **cards,
        "reference/descompress.md": names(),
        **{
            f"reference/{page}.md": listing(title, f"descompress.{package}", modules)
            for page, (title, package, modules) in MODULES.items()
        },
        "reference/errors.md": listing("Errors", "descompress", "errors"),
        "reference/evaluator.md": listing("Python: hpatches_eval", "hpatches_eval", EVALUATOR),
        **{f"reference/{page}.md": commands(*program) for page, program in COMMANDS.items()},
    }


# -- Python -------------------------------------------------------------------------------------


def names() -> str:
    """What `import descompress` offers."""
    package = importlib.import_module("descompress")
    homes = package._HOMES
    parts = [f"::: descompress.{homes[name]}.{name}" for name in sorted(homes, key=str.lower)]
    about = "What `import descompress` offers. Names are imported when they are first used."
    return "\n\n".join(["# Python: descompress", about, *parts]) + "\n"


def listing(title: str, package: str, modules: str) -> str:
    """A page of modules, by their last names."""
    parts = [f"::: {package}.{module}" for module in modules.split()]
    return "\n\n".join([f"# {title}", *parts]) + "\n"


# -- commands -----------------------------------------------------------------------------------


def commands(program: str, module: str) -> str:
    """The help of a program and of all its verbs."""
    main = importlib.import_module(module).main
    about = "The same as `--help` says."
    return (
        "\n\n".join([f"# Commands: {program}", plain(main.help), about, *verbs(main, program)])
        + "\n"
    )


def verbs(group: click.Group, path: str) -> Iterator[str]:
    """A section for each verb of a group, and for the verbs of those that have some."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield section(command, f"{path} {name}")
        if isinstance(command, click.Group):
            yield from verbs(command, f"{path} {name}")


def section(command: click.Command, path: str) -> str:
    """What a verb is for, how it is called, its options."""
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"## {path}", *prose(command.help), f"```text\n{usage}\n```"]
    options = (p for p in command.get_params(context) if isinstance(p, click.Option))
    records = (option.get_help_record(context) for option in options)
    rows = [
        f"| {code(option)} | {plain(text, cell=True)} |" for option, text in filter(None, records)
    ]
    table = "\n".join(["| option | |", "| --- | --- |", *rows])
    return "\n\n".join([*parts, table, *prose(command.epilog)])


def prose(text: str | None) -> Iterator[str]:
    """Paragraphs; those that click is told not to wrap are shown as they are."""
    for part in inspect.cleandoc(text or "").split("\n\n"):
        if part.startswith("\b"):
            yield "```text\n" + part.removeprefix("\b").strip("\n") + "\n```"
        elif part:
            yield plain(part)


def code(text: str) -> str:
    """As code in a cell of a table."""
    return "`" + text.replace("|", "\\|") + "`"


def plain(text: str | None, *, cell: bool = False) -> str:
    """Text that Markdown shows as it is, code between backticks apart."""
    pieces = (text or "").split("`")
    pieces[::2] = [re.sub(r"([\\*_<>|#\[\]])", r"\\\1", piece) for piece in pieces[::2]]
    if cell:
        pieces[1::2] = [piece.replace("|", "\\|") for piece in pieces[1::2]]
    return "`".join(pieces)


# -- networks -----------------------------------------------------------------------------------


def cards_of_networks() -> list[Path]:
    """The model cards."""
    return list((ROOT / "weights" / "cards").glob("*.md"))


def networks() -> str:
    """The tables of the README, and links to the cards."""
    tables = dict(TABLES.findall((ROOT / "README.md").read_text()))
    links = ", ".join(f"[{p.stem}](networks/{p.stem}.md)" for p in sorted(cards_of_networks()))
    return "\n\n".join(
        [
            "# Networks",
            f"What comes with the package. Each has a card: {links}.",
            "## Of patches",
            tables["weights table"],
            "## Of images",
            tables["image weights table"],
            "## Their time",
            tables["bench table"],
        ]
    )


# -- mkdocs -------------------------------------------------------------------------------------


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Put the generated pages among the others."""
    from mkdocs.structure.files import File

    for path, content in pages().items():
        files.append(File.generated(config, path, content=content))
    return files


def on_post_page(output: str, **_: object) -> str:
    """Refuse a page that a browser would fetch something from elsewhere for."""
    from mkdocs.exceptions import PluginError

    if found := OUTSIDE.search(output):
        raise PluginError(f"fetches from elsewhere: {found[0]}")
    return output
