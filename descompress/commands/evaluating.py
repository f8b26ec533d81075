"""What `descompress eval` does: on patches, on image sequences, or on both."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpatches_eval import imagereport, report
from hpatches_eval.distances import named
from hpatches_eval.files import save_text
from hpatches_eval.imageevaluation import ImageSettings
from hpatches_eval.patches import PatchRelease
from hpatches_eval.provenance import made
from hpatches_eval.sequences import find_sequences
from hpatches_eval.splits import choose_split
from hpatches_eval.terminal import check_outputs, give_json

from .. import imageevaluation
from ..data.phototour import PhotoTour
from ..errors import RequestError
from ..evaluation import Contestant, baseline, compare_release, network, record, rows
from ..nets import PatchNet
from ..selection import Selection
from ..shelf import find, load
from .tables import table

if TYPE_CHECKING:
    from .evaluate import Settings

_WIDTH = 200  # of tables that go into a file or a pipe


@dataclass(frozen=True)
class Shown:
    """A part of the results, as a table for the terminal and as one for a README."""

    terminal: Any
    markdown: str


def check(settings: "Settings") -> None:
    """Refuse what cannot be done or written, before the work is done.

    Raises:
        RequestError: There is nothing to evaluate on, no such distance, or matplotlib is missing.
        OutputError: An output exists, or its folder does not.
    """
    if not settings.patches and not settings.sequences:
        raise RequestError("give --patches ROOT, --sequences ROOT, or both")
    if settings.plot_path and not settings.sequences:
        raise RequestError("--plot draws curves of --sequences")
    outputs = settings.json_path, settings.markdown_path, settings.plot_path
    check_outputs(outputs, force=settings.force)
    if settings.distance is not None:
        named(settings.distance)
    if settings.plot_path:
        imagereport.check_plots()


def evaluated(settings: "Settings", command: str) -> tuple[list[Shown], dict[str, Any]]:
    """Tables and the record; the plot is written.

    Args:
        command: How others can ask for the same.
    """
    nets = [find(net) for net in settings.nets]
    shown: list[Shown] = []
    numbers: dict[str, Any] = {"format": 1, "command": command}
    if settings.patches:
        part, numbers = _on_patches(settings, nets, command)
        shown.append(part)
    if settings.sequences:
        part, numbers["images"] = _on_sequences(settings, nets)
        shown.append(part)
    data = {"patches": settings.patches, "sequences": settings.sequences, "splits": settings.splits}
    data |= {f"phototour {path.name}": path for path in settings.phototour}
    return shown, numbers | {"provenance": made(command, {n.name: n for n in nets}, data)}


def show(settings: "Settings", shown: list[Shown], numbers: dict[str, Any]) -> None:
    """Write what was asked for, and print the tables unless stdout is for the JSON."""
    give_json(numbers, settings.json_path, force=settings.force)
    if settings.markdown_path:
        text = "\n".join(part.markdown for part in shown)
        save_text(settings.markdown_path, text, force=settings.force)
    if settings.json_path != "-":
        from rich.console import Console

        console = Console(width=None if sys.stdout.isatty() else _WIDTH)
        for part in shown:
            console.print(part.terminal)


def _on_patches(
    settings: "Settings", nets: list[Path], command: str
) -> tuple[Shown, dict[str, Any]]:
    contestants = [*_patch_networks(settings, nets), *map(baseline, settings.baseline)]
    tours = [PhotoTour.read(folder) for folder in settings.phototour]
    release = PatchRelease(Path(str(settings.patches)))
    entries = compare_release(
        contestants,
        release,
        choose_split(settings.split, settings.splits, release.sequences),
        folder=settings.tasks,
        pairs=settings.pairs,
        tours=tours,
        distance=settings.distance,
    )
    lines = rows(entries)
    shown = Shown(report.table(lines), report.markdown(lines))
    return shown, record(entries, release, tours, command=command)


def _patch_networks(settings: "Settings", nets: list[Path]) -> list[Contestant]:
    """Those that describe patches; where there are no sequences, all must."""
    if settings.sequences:
        nets = [net for net in nets if isinstance(load(net), PatchNet)]
    if not nets:
        raise RequestError("--patches: none of the networks describes patches")
    return [network(net) for net in nets]


def _on_sequences(settings: "Settings", nets: list[Path]) -> tuple[Shown, dict[str, Any]]:
    selection = Selection(threshold=settings.threshold, most=settings.keypoints)
    contestants = [imageevaluation.image_network(net, selection) for net in nets]
    contestants += [
        imageevaluation.image_baseline(name, settings.keypoints) for name in settings.baseline
    ]
    entries = imageevaluation.compare_on_sequences(
        contestants,
        find_sequences(Path(str(settings.sequences))),
        ImageSettings(settings.size, keypoints=settings.keypoints, repeats=settings.repeats),
    )
    results = [entry.result for entry in entries]
    if settings.plot_path:
        imagereport.plot(results, settings.plot_path, force=settings.force)
    return _tables(entries, results), imageevaluation.image_record(entries, selection)


def _tables(entries: list[imageevaluation.ImageEntry], results: list[dict[str, Any]]) -> Shown:
    from rich.console import Group

    cells = imageevaluation.sizes(entries)
    terminal = Group(table(cells), imagereport.table(results))
    text = report.piped(cells[0], cells[1:])
    return Shown(terminal, f"{text}\n\n{imagereport.markdown(results)}")
