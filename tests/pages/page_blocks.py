"""Pages of the documentation as blocks of code, and those of a shell as commands."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "weights/README.md"]
CARDS = sorted((ROOT / "weights/cards").glob("*.md"))
SPAN = re.compile(r"`([^`]*)`")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"\n\n((?: {4}|\t)\S.*)")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Code between fences.

    Args:
        line: Of the page, from 1 on, that its first line is.
    """

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """A line of a shell: its words, without comments."""

    words: tuple[str, ...]
    line: int

    def begins_with(self, *words: str) -> bool:
        """Whether these are its first words."""
        return self.words[: len(words)] == words


def blocks(text: str) -> list[Block]:
    """The blocks of a page, in order."""
    return [
        Block(found[1], found[2], text[: found.start(2)].count("\n") + 1)
        for found in FENCE.finditer(text)
    ]


def unfenced(text: str) -> list[str]:
    """Lines that Markdown would show as code although no fence says in which language."""
    return INDENTED.findall(COMMENT.sub("", FENCE.sub("", text)))


def name_of(page: Path) -> str:
    """A page by what tells it from the others: those of docs by their names alone."""
    return page.relative_to(ROOT).as_posix().removeprefix("docs/")


def commands_within(text: str) -> list[Command]:
    """Commands of this project that a text holds in spans of code, `;` between them.

    Two words name a command and are none.
    """
    return [
        Command(words, text[: span.start()].count("\n") + 1)
        for span in SPAN.finditer(text)
        for part in span[1].split(";")
        if len(words := tuple(part.split())) > 2 and words[0] in ("descompress", "hpatches-eval")
    ]


def commands(block: Block) -> list[Command]:
    """What a block gives to the shell; a line that ends in a backslash goes on in the next."""
    found, begun, first = [], "", block.line
    for number, line in enumerate(block.text.splitlines(), block.line):
        first = first if begun else number
        begun += line.removesuffix("\\") + " "
        if not line.endswith("\\"):
            words = tuple(shlex.split(begun, comments=True))
            found += [Command(words, first)] if words else []
            begun = ""
    return found
