"""Kills commands at random moments, runs them again, and compares what comes out.

    python benchmarks/kills.py [--times 30] [--seed 0] [--only train] [--together]

Each command works on inputs as small as can be, in a folder of its own. It is sent SIGKILL at a
moment drawn evenly from the time it usually takes, up to three times in a row. After each kill,
every file at its final name must be readable. Then the same command must come to its end, and leave
what an undisturbed run leaves: the same files with the same content, times apart, and nothing else;
and no process that it had started may live on.

--together starts two commands that write one output, a moment apart: what is left must be what one
of them leaves, and the other may only have been refused in a line.
"""

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import click
import torch
from forks import command, ended, killed, outlived, started, warm
from verbs import VERBS, Verb, Words, archive, contents, prepare, published
from wholeness import faults

ROW = 3  # kills in a row at most
REFUSED = (1, 2)  # exit statuses


@dataclass
class Tally:
    """What became of the trials of a command.

    Args:
        refused: Of the runs after a kill, those that found the output there, whole.
    """

    kills: int = 0
    late: int = 0
    resumed: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass
class Site:
    """A folder with inputs, and a folder for each trial."""

    root: Path
    count: int = 0

    def place(self) -> Path:
        """A new folder with `in` and an empty `out`."""
        self.count += 1
        place = self.root / f"trial{self.count}"
        (place / "out").mkdir(parents=True)
        (place / "in").symlink_to(self.root / "in")
        return place

    def run(self, words: Words, place: Path) -> tuple[int, str]:
        """Exit status of a command, and what it said."""
        told = place / "told.txt"
        status = ended(started(command(words, place), told))
        return status, told.read_text(errors="replace")


class Subject:
    """A command with what it leaves and how long it takes if nobody disturbs it."""

    def __init__(self, site: Site, verb: Verb) -> None:
        self.site, self.verb = site, verb
        place = site.place()
        status = warm(verb.first, place, place / "modules.txt")
        if status:
            raise SystemExit((place / "modules.txt").read_text())
        self.wanted, self.seconds = self._undisturbed(verb.first)

    @cached_property
    def other(self) -> dict[str, Any]:
        """What the other command leaves."""
        return self._undisturbed(self.verb.second)[0]

    def _undisturbed(self, words: Words) -> tuple[dict[str, Any], float]:
        place, begin = self.site.place(), time.perf_counter()
        status, said = self.site.run(words, place)
        if status:
            raise SystemExit(f"{' '.join(words)}: {said}")
        return contents(place / "out"), time.perf_counter() - begin

    def checked(self, place: Path) -> list[str]:
        """What is broken in the folder, found by another process."""
        told = place / "faults.txt"
        found = partial(_noted, place / "out", told)
        if status := ended(started(found, place / "check.txt")):
            return [f"the check ended with {status}"]
        return told.read_text().splitlines()

    def differences(self, place: Path, *wanted: dict[str, Any]) -> list[str]:
        """How a folder differs from all of those wanted."""
        try:
            found = contents(place / "out")
        except Exception as error:
            return [f"cannot be read: {error}"]
        if any(found == each for each in wanted):
            return []
        names = {n for n in found | wanted[0] if found.get(n, 0) != wanted[0].get(n, 0)}
        empty = [str(p.name) for p in (place / "out").rglob("*") if p.is_dir() and p.name[0] == "."]
        return [f"differ: {', '.join(sorted(names))} {' '.join(empty)}"]


def _noted(folder: Path, told: Path) -> int:
    told.write_text("\n".join(faults(folder)))
    return 0


def trial(subject: Subject, draw: random.Random, tally: Tally) -> None:
    """Kill a command up to `ROW` times, bring it to its end, and compare."""
    place = subject.site.place()
    words, gone = subject.verb.first, list[int]()
    for _ in range(draw.randint(1, ROW)):
        number = started(command(words, place), place / "told.txt")
        if not killed(number, draw.uniform(0, subject.seconds)):
            tally.late += 1
            break
        tally.kills += 1
        gone.append(number)
        tally.faults += subject.checked(place)
    status, said = subject.site.run(words, place)
    if status == 0:
        tally.resumed += 1
    elif status in REFUSED and "exists already" in said and "Traceback" not in said:
        tally.refused += 1
    else:
        tally.faults.append(f"exit {status}: {said.strip().splitlines()[-1:]}")
    tally.faults += subject.differences(place, subject.wanted)
    tally.faults += leftovers(place / "out")
    tally.faults += ["a process it had started lives on" for n in gone if outlived(n)]
    if not tally.faults:
        shutil.rmtree(place)


def leftovers(folder: Path) -> list[str]:
    """Hidden names that nobody will ever delete."""
    return [f"left: {path.name}" for path in folder.rglob(".*")]


def pair(subject: Subject, draw: random.Random, tally: Tally) -> None:
    """Run two commands at one output, and look what is left."""
    place = subject.site.place()
    verb = subject.verb
    tolds = place / "first.txt", place / "second.txt"
    first = started(command(verb.first, place), tolds[0])
    time.sleep(draw.choice([0.0, draw.uniform(0, subject.seconds)]))
    second = started(command(verb.second, place), tolds[1])
    statuses = ended(first), ended(second)
    tally.kills += 1
    said = [told.read_text(errors="replace") for told in tolds]
    for status, words in zip(statuses, said, strict=True):
        if status == 0:
            tally.resumed += 1
        elif status in REFUSED and "Traceback" not in words and "Error: " in words:
            tally.refused += 1
        else:
            tally.faults.append(f"exit {status}: {words.strip().splitlines()[-1:]}")
    if 0 not in statuses:
        tally.faults.append(f"both refused: {said}")
    tally.faults += subject.differences(place, subject.wanted, subject.other)
    tally.faults += leftovers(place / "out")


@contextmanager
def scratch() -> Iterator[Site]:
    """A site with inputs, and a server that has the data set, in a process of its own."""
    from http_site import serving

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        server = started(lambda: _serve(serving, root / "address"), root / "server.txt")
        try:
            while not (root / "address").exists():
                time.sleep(0.01)
            with published((root / "address").read_text()):
                prepare(root, lambda words, place: Site(root).run(words, place)[0])
                yield Site(root)
        finally:
            killed(server, 0)


def _serve(serving: Callable[[], Any], note: Path) -> int:
    with serving() as site:
        address = site.reset(archive())
        (note.with_suffix(".new")).write_text(address)
        note.with_suffix(".new").rename(note)
        time.sleep(10**6)
    return 0


def tallied(site: Site, name: str, times: int, seed: int, *, together: bool) -> Tally:
    """The trials of one command until it was killed so often; a fault ends them."""
    tally, subject, draw = Tally(), Subject(site, VERBS[name]), random.Random(f"{seed} {name}")
    while tally.kills < times and not tally.faults and tally.late < 2 * times:
        (pair if together else trial)(subject, draw, tally)
    return tally


@click.command(help=__doc__)
@click.option("--times", default=30, show_default=True, help="Kills (or pairs) of each command.")
@click.option("--seed", default=0, show_default=True)
@click.option("--only", multiple=True, type=click.Choice([*VERBS]), help="A command of these.")
@click.option("--together", is_flag=True, help="Two commands at one output, and no kills.")
def main(times: int, seed: int, only: tuple[str, ...], **options: bool) -> None:
    """See the head of this file."""
    names = ("pairs", "", "ended well") if options["together"] else ("kills", "too late", "went on")
    click.echo(f"| command | {' | '.join(names)} | refused | faults | s |")
    click.echo("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    bad = 0
    with scratch() as site:
        for name in only or VERBS:
            begin = time.perf_counter()
            tally = tallied(site, name, times, seed, together=options["together"])
            numbers = (tally.kills, tally.late, tally.resumed, tally.refused, len(tally.faults))
            cells = " | ".join(map(str, numbers))
            click.echo(f"| {name} | {cells} | {time.perf_counter() - begin:.0f} |")
            for fault in tally.faults[:5]:
                click.echo(f"  {name}: {fault}", err=True)
            bad += len(tally.faults)
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
