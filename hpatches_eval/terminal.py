"""What commands show and write: progress, tables, result files."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from .errors import OutputError
from .files import refuse_existing, save_text
from .progress import Progress
from .report import Row, markdown, table

_EVERY = 10.0  # seconds between two lines of progress where no bar can be drawn
_WIDTH = 160  # of tables that go into a file or a pipe


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Progress on the terminal's stderr as bars; as a few plain lines where it is no terminal."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    layout = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn())
    with Bars(*layout, TimeElapsedColumn(), console=Console(stderr=True)) as bars:
        stages: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=total)
            bars.update(stages[stage], completed=done, total=total)

        yield show


class _Lines:
    """A line when a stage ends, and now and then before."""

    def __init__(self) -> None:
        self.begun: dict[str, float] = {}
        self.last = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        begin = self.begun.setdefault(stage, now)
        if done == total or now - self.last > _EVERY:
            self.last = now
            click.echo(f"{stage}: {done} of {total}, {now - begin:.0f} s", err=True)


def check_outputs(paths: Sequence[str | None], *, force: bool) -> None:
    """Refuse outputs that exist before the work is done; `-` and None are none.

    Raises:
        OutputError: One exists, or its folder does not, or two are the same file.
    """
    taken: set[Path] = set()
    for path in (Path(path) for path in paths if path not in (None, "-")):
        if path.resolve() in taken:
            raise OutputError(f"{path}: two outputs would be written there; name another for one")
        taken.add(path.resolve())
        refuse_existing(path, force=force)


def present(
    rows: Sequence[Row],
    results: Any,
    *,
    json_path: str | None,
    markdown_path: str | None,
    force: bool,
) -> None:
    """Write what was asked for, and print the table unless stdout is for the JSON.

    Args:
        results: What the JSON file holds.
        json_path: A file, or `-` for stdout.
        markdown_path: A file.
    """
    give_json(results, json_path, force=force)
    if markdown_path:
        save_text(markdown_path, markdown(rows), force=force)
    if json_path != "-":
        from rich.console import Console

        Console(width=None if sys.stdout.isatty() else _WIDTH).print(table(rows))


def to_json(results: Any) -> str:
    """Results as a JSON text."""
    return json.dumps(results, indent=1, allow_nan=False) + "\n"


def give_json(results: Any, path: str | None, *, force: bool) -> None:
    """Write results where they were asked for: a file, `-` for stdout, or None for nowhere.

    Raises:
        OutputError: The file exists and `force` is not set, or it cannot be written.
    """
    if path == "-":
        click.echo(to_json(results), nl=False)
    elif path:
        save_text(path, to_json(results), force=force)
