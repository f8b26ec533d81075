"""`descompress eval`: networks on HPatches."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

_PATH = click.Path(path_type=Path)
_OUTPUTS = ("json_path", "markdown_path", "force")


@dataclass(frozen=True)
class Settings:
    """The options of `eval`; see its help."""

    nets: tuple[Path, ...]
    patches: Path
    baseline: tuple[str, ...]
    phototour: tuple[Path, ...]
    split: str | None
    splits: Path | None
    tasks: Path | None
    pairs: int | None
    distance: str | None
    json_path: str | None
    markdown_path: str | None
    force: bool


@click.command()
@click.argument("nets", metavar="NET...", type=_PATH, nargs=-1, required=True)
@click.option("--patches", type=_PATH, required=True, metavar="ROOT", help="The patch release.")
@click.option(
    "--baseline",
    multiple=True,
    metavar="NAME",
    help="Beside them sift, rootsift, orb or brief; may be repeated.",
)
@click.option(
    "--phototour",
    type=_PATH,
    multiple=True,
    metavar="DIR",
    help="Also the false positive rate at 95 % recall on a PhotoTour set; may be repeated.",
)
@click.option(
    "--split",
    metavar="NAME",
    help="a, b, c, full, illum, view, or one of --splits; all of ROOT if left out.",
)
@click.option("--splits", type=_PATH, metavar="FILE", help="Other splits, as JSON.")
@click.option(
    "--tasks",
    type=_PATH,
    metavar="DIR",
    help="Where the task files are; those missing are generated and kept there.",
)
@click.option("--pairs", type=click.IntRange(min=10), help="Verification pairs, where generated.")
@click.option("--distance", metavar="NAME", help="L2, L1 or Hamming; what fits if left out.")
@click.option("--json", "json_path", metavar="OUT", help="Write the numbers; - is stdout.")
@click.option("--markdown", "markdown_path", metavar="OUT", help="Write the table.")
@click.option("--force", is_flag=True, help="Replace outputs that exist.")
def evaluate(**options: object) -> None:
    """Verification, matching and retrieval mAP of networks, with params, MACs and time.

    NET is a file or the name of a shipped network (see `descompress weights list`).
    Compression and speed are relative to the first NET. Time is from 65 x 65 grey patches to
    descriptors, in eager PyTorch on one thread, median of interleaved rounds.
    """
    settings = Settings(**options)  # pyright: ignore[reportArgumentType]
    from hpatches_eval.terminal import check_outputs, present

    outputs = settings.json_path, settings.markdown_path
    check_outputs(outputs, force=settings.force)
    shown, numbers = _evaluated(settings, _said(click.get_current_context()))
    present(
        shown,
        numbers,
        json_path=settings.json_path,
        markdown_path=settings.markdown_path,
        force=settings.force,
    )


def _evaluated(settings: Settings, command: str) -> tuple[list[Any], dict[str, Any]]:
    """Lines of the table, and the record."""
    from hpatches_eval.patches import PatchRelease
    from hpatches_eval.splits import choose_split

    from ..data.phototour import PhotoTour
    from ..evaluation import baseline, compare_release, network, record, rows
    from ..shelf import find

    contestants = [network(find(net)) for net in settings.nets]
    contestants += [baseline(name) for name in settings.baseline]
    tours = [PhotoTour.read(folder) for folder in settings.phototour]
    release = PatchRelease(settings.patches)
    entries = compare_release(
        contestants,
        release,
        choose_split(settings.split, settings.splits, release.sequences),
        folder=settings.tasks,
        pairs=settings.pairs,
        tours=tours,
        distance=settings.distance,
    )
    return rows(entries), record(entries, release, tours, command=command)


def _said(context: click.Context) -> str:
    """The command as others can give it: paths by their last names, without the outputs."""
    words = (
        word
        for parameter in context.command.params
        if parameter.name not in _OUTPUTS
        for word in _words(parameter, context)
    )
    return shlex.join(["descompress", "eval", *words])


def _words(parameter: click.Parameter, context: click.Context) -> Iterator[str]:
    name = str(parameter.name)
    if context.get_parameter_source(name) is ParameterSource.DEFAULT:
        return
    value = context.params[name]
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(parameter, click.Option):
            yield parameter.opts[0]
        yield one.absolute().name if isinstance(one, Path) else str(one)
