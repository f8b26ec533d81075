"""Whether a command of a page would be understood by its program, without running it."""

import importlib.util
import re
import sys
import tomllib
from collections.abc import Callable
from types import ModuleType

import click
from page_blocks import ROOT, Command

from descompress.cli import main as descompress
from hpatches_eval.cli import main as hpatches_eval

FOREIGN = {  # programs of others, and what of them the pages call
    "colmap": ("geometric_verifier", "mapper"),
    "hf": ("upload", "download"),
    "pytest": ("tests/fuzzing",),
    "scp": ("tiny.onnx",),
}


def understood(command: Command) -> None:
    """Parse a command as its program does.

    Raises:
        AssertionError: No program of this name is expected in a page, or it lacks what is asked.
        UsageError: The program refuses the words.
    """
    program, *words = command.words
    assert program in PROGRAMS, f"{program}: neither a program of the package nor one of FOREIGN"
    PROGRAMS[program](words)


def parse(command: click.Command, words: list[str]) -> None:
    """Have click read the words, down to the last verb, and do nothing."""
    while isinstance(command, click.Group):
        assert words, f"{command.name}: a verb is missing"
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"{command.name} has no verb {words[0]!r}"
        command, words = found, words[1:]
    command.make_context(command.name, list(words))


def script(path: str) -> ModuleType:
    """A file of Python, read as a module that is not the main one."""
    spec = importlib.util.spec_from_file_location(path.replace("/", "_"), ROOT / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str((ROOT / path).parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def _python(words: list[str]) -> None:
    if words[:2] == ["-m", "venv"]:
        return
    main = getattr(script(words[0]), "main", None)
    if isinstance(main, click.Command):
        parse(main, words[1:])
    else:
        assert not words[1:], f"{words[0]} is no command that reads {words[1:]}"


def _make(words: list[str]) -> None:
    text = (ROOT / "Makefile").read_text()
    for target in (word for word in words if "=" not in word):
        assert re.search(rf"^{target}:", text, re.MULTILINE), f"there is no target {target}"
    for variable in (word.partition("=")[0] for word in words if "=" in word):
        assert f"$({variable})" in text, f"nothing reads {variable}"


def _pip(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert words[0] in ("install", "wheel")
    for word in words[1:]:
        found = re.fullmatch(r"(?:\.|descompress)(?:\[(.*)\])?|\S+\.whl|-\S+|dist", word)
        assert found, f"{word} is not this package"
        for extra in filter(None, (found[1] or "").split(",")):
            assert extra in project["optional-dependencies"], f"there is no extra {extra}"


def _foreign(name: str) -> Callable[[list[str]], None]:
    def check(words: list[str]) -> None:
        assert words[0] in FOREIGN[name], f"{name} {words[0]} is not expected in a page"

    return check


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "descompress": lambda words: parse(descompress, words),
    "hpatches-eval": lambda words: parse(hpatches_eval, words),
    "python": _python,
    "python3": _python,
    "make": _make,
    "pip": _pip,
    **{name: _foreign(name) for name in FOREIGN},
}
