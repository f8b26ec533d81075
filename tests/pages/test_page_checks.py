"""What reads the pages sees what is wrong with them."""

import click
import pytest
from page_blocks import Block, Command, blocks, commands, unfenced
from page_programs import understood
from page_readers import reduced


def command(line: str) -> Command:
    (found,) = commands(Block("sh", line, 1))
    return found


@pytest.mark.parametrize(
    "line",
    [
        "descompress cost hardnet --size 240x320 --plot layers.png",
        "descompress data get hpatches --into sets",
        "hpatches-eval extract sequences/ patches/ --seed 3",
        "python benchmarks/step.py --compiled",
        "make weights PHOTOGRAPHS=photographs DEVICE=cuda",
        "pip install '.[export,kornia]'",
        "colmap mapper --database_path scene.db",
    ],
)
def test_what_a_program_reads_is_understood(line):
    understood(command(line))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("descompress cost hardnet --picture layers.png", "No such option"),
        ("descompress cost", "Missing argument"),
        ("descompress squash hardnet", "no verb 'squash'"),
        ("descompress data", "a verb is missing"),
        ("hpatches-eval extract one two three", "unexpected extra argument"),
        ("python benchmarks/step.py --fast", "No such option"),
        ("python benchmarks/evaluator.py --no-such-option", "no command that reads"),
        ("make everything", "no target everything"),
        ("make weights PICTURES=folder", "nothing reads PICTURES"),
        ("pip install '.[everything]'", "no extra everything"),
        ("pip install another", "not this package"),
        ("colmap dance", "not expected"),
        ("curl https://example.org", "neither a program of the package"),
    ],
)
def test_what_a_program_refuses_is_refused(line, message):
    with pytest.raises((AssertionError, click.UsageError)) as caught:
        understood(command(line))
    said = caught.value.format_message() if isinstance(caught.value, click.UsageError) else None
    assert message in (said or str(caught.value))


def test_a_page_is_cut_into_blocks_and_a_block_into_commands():
    shell = "```sh\none --a \\\n    --b 'c d'  # why\n\n# nothing\ntwo\n```\n"
    page = f"text\n\n{shell}\n```text\nx\n```\n"
    first, second = blocks(page)
    assert (first.language, first.line, second.text) == ("sh", 4, "x\n")
    assert commands(first) == [Command(("one", "--a", "--b", "c d"), 4), Command(("two",), 8)]


def test_code_without_a_fence_is_found():
    assert unfenced("say\n\n    descompress show net\n") == ["    descompress show net"]
    assert unfenced("```sh\na\n\n    b\n```\n\n* item\n  goes on\n") == []


def test_commands_are_made_small_by_their_longest_entry_or_left_out():
    assert reduced(command("descompress bench hardnet")) is None
    assert reduced(command("make demo")) is None
    small = reduced(command("descompress train l2net out --steps 9"))
    assert small[:6] == ["descompress", "train", "l2net", "out", "--steps", "9"]
    assert "--arg" in small
    assert "--arg" not in reduced(command("descompress train strided out"))
