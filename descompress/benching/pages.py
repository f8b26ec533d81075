"""A run as tables: for a terminal, as Markdown, in the README, as a plot."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpatches_eval.files import replacing
from hpatches_eval.imagereport import check_plots
from hpatches_eval.report import piped

from ..errors import ArtifactError
from ..written import as_written
from .columns import Entry, Record, best, columns, number, quickest
from .contestants import IMAGES, PATCHES

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

FORMATS = (1,)  # that are read
STORED = "bench.json"  # among the shipped networks
MARKS = "<!-- bench table -->\n", "<!-- /bench table -->"
UNITS = {PATCHES: "microseconds a patch, best batch", IMAGES: "milliseconds an image"}


def read(path: Path) -> Record:
    """A record that `descompress bench --json` wrote.

    Raises:
        ArtifactError: It cannot be read, or is something else.
    """
    advice = "write it with `descompress bench NET... --json`"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); {advice}") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: not JSON ({error}); {advice}") from None
    known = isinstance(record, dict) and record.get("format") in FORMATS
    if not known or not record.get("entries") or "around" not in record:
        raise ArtifactError(f"{path}: not a run of this version; {advice}")
    return record


def tables(record: Record, *, brief: bool = False) -> Iterator[list[list[str]]]:
    """A table for patches, one for images: a line of titles, and the cells of each entry.

    Args:
        brief: Only the fastest entry of each name.
    """
    for kind in (PATCHES, IMAGES):
        entries = [entry for entry in record["entries"] if entry["kind"] == kind]
        if entries:
            chosen = columns(record, entries, brief=brief)
            shown = quickest(entries) if brief else entries
            lines = [[column.cell(entry) for column in chosen] for entry in shown]
            yield [[column.title for column in chosen], *lines]


damaged = as_written("the record of a run", "bench NET... --json")


@damaged
def markdown(record: Record, *, brief: bool = False) -> str:
    """The tables for a page, and what they were measured on."""
    parts = [piped(titles, lines, 2) for titles, *lines in tables(record, brief=brief)]
    return "\n\n".join([*parts, *caption(record)]) + "\n"


@damaged
def terminal(record: Record) -> "RenderableType":
    """The same to print with rich."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Table | Text] = []
    for titles, *lines in tables(record):
        table = Table(box=SIMPLE_HEAD)
        for number_, title in enumerate(titles):
            table.add_column(title, justify="right" if number_ > 1 else "left", overflow="fold")
        for line in lines:
            table.add_row(*line)
        parts.append(table)
    return Group(*parts, *map(Text, caption(record)))


def caption(record: Record) -> Iterator[str]:
    """What the numbers mean and what they were measured on."""
    settings, machine, versions = (record[k] for k in ("settings", "machine", "versions"))
    packages = ", ".join(f"{k} {versions[k]}" for k in _SAID if k in versions)
    load = "" if machine["load_before"] is None else f", load {machine['load_before'][0]:.1f}"
    yield (
        f"One run on {machine['cpu']} ({machine['cpus']} CPUs{load}), "
        f"{_listed(settings['threads'])} thread(s), {settings['rounds']} interleaved rounds: "
        "medians, in brackets the middle half. x: how many times as fast, each in its best batch "
        f"and backend. int8 was calibrated on {settings['calibrated_on']}. {packages}."
    )
    if rates := [p for p in record["peaks"] if "gigamacs_per_second" in p]:
        said = (f"{p['precision']} {_rate(p)}{_threads(record, p)}" for p in rates)
        missing = (f"{p['precision']}: {p['reason']}" for p in record["peaks"] if "reason" in p)
        yield (
            "; ".join(
                [
                    "Matrix products, 10^9 multiply-accumulates a second: " + ", ".join(said),
                    *missing,
                ]
            )
            + "."
        )
    if record["around"]:
        said = (f"{step['part']}{_threads(record, step)} {_ms(step)}" for step in record["around"])
        yield "Around a patch network, ms (keypoints): " + ", ".join(said) + "."
    for each in record["left_out"]:
        where = f" on {each['on']}" if each["on"] else ""
        yield f"Left out: {each['name']}{where}: {each['reason']}."


def draw(record: Record) -> "Figure":
    """Bars of the time of every entry, a panel for each kind.

    Raises:
        RequestError: matplotlib is not installed.
    """
    check_plots()
    from matplotlib.figure import Figure

    groups = [[e for e in record["entries"] if e["kind"] == kind] for kind in UNITS]
    groups = [group for group in groups if group]
    heights = [len(group) + 2 for group in groups]
    figure = Figure(figsize=(9, 0.3 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)
    for panel, group in zip(panels[:, 0], groups, strict=True):
        timings = [best(entry) for entry in group]
        medians = [t["median"] for t in timings]
        errors = [
            [t["median"] - t["low"] for t in timings],
            [t["high"] - t["median"] for t in timings],
        ]
        labels = [f"{e['name']}, {e['on']}{_threads(record, e)}" for e in group]
        panel.barh(range(len(group)), medians, xerr=errors)
        panel.set_yticks(range(len(group)), labels)
        panel.invert_yaxis()
        panel.set_xscale("log")
        panel.set_xlabel(UNITS[group[0]["kind"]])
    return figure


def plot(record: Record, path: Path, *, force: bool) -> None:
    """Write `draw` as a PNG file.

    Raises:
        RequestError: matplotlib is not installed.
        OutputError: The file exists, or cannot be written.
    """
    figure = draw(record)
    with replacing(path, force=force) as new:
        figure.savefig(new, format="png", dpi=120)


_SAID = ("torch", "onnxruntime", "openvino", "kornia", "opencv-python-headless")


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def _threads(record: Record, said: Entry) -> str:
    several = len(record["settings"]["threads"]) > 1
    return f" on {said['threads']} thread(s)" if several else ""


def _rate(peak: Entry) -> str:
    return number(peak["gigamacs_per_second"]["median"])


def _ms(step: Entry) -> str:
    return f"{number(step['milliseconds']['median'])} ({step['keypoints']:,})"
