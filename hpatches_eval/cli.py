"""The command `hpatches-eval`. Heavy modules are imported by the commands that need them."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import DataError, EvalError, RequestError
from .imagecommand import images

if TYPE_CHECKING:
    from .descriptors import Source
    from .patches import PatchRelease
    from .progress import Progress
    from .splits import Split
    from .tasklists import Tasks

_PATH = click.Path(path_type=Path)


class _Refused(click.ClickException):
    exit_code = 2


class _Interrupted(click.ClickException):
    exit_code = 130


class Commands(click.Group):
    """Show our own errors, and Ctrl-C, as one line without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EvalError as error:
            kind = _Refused if error.exit_code == _Refused.exit_code else click.ClickException
            raise kind(str(error)) from error
        except KeyboardInterrupt as error:
            raise _Interrupted("interrupted") from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Evaluate patch descriptors, and features of full images, by the HPatches protocols."""


main.add_command(images)


@main.command()
@click.option(
    "--descriptors",
    "paths",
    type=_PATH,
    multiple=True,
    metavar="DIR|FILE.h5",
    help="A folder of <sequence>/<type>.csv, or an HDF5 file of them. Repeatable.",
)
@click.option(
    "--patches",
    "root",
    type=_PATH,
    metavar="ROOT",
    help="The patch release: <sequence>/<type>.png. For --baseline, and to draw retrieval queries.",
)
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="NAME",
    help="sift, rootsift, orb or brief, computed from --patches. Repeatable.",
)
@click.option(
    "--split",
    "name",
    metavar="NAME",
    help="a, b, c, full, illum, view, or one of --splits. Default: all of --patches.",
)
@click.option("--splits", "splits", type=_PATH, metavar="FILE", help="Other splits, as JSON.")
@click.option(
    "--tasks",
    "folder",
    type=_PATH,
    metavar="DIR",
    help="Where the task files are; those missing are generated and kept there.",
)
@click.option(
    "--pairs",
    type=click.IntRange(10, 10_000_000),
    metavar="N",
    help="Verification pairs of each kind, where they are generated. Default: 1000000 for "
    "the published splits, 200000 for others.",
)
@click.option(
    "--distance",
    metavar="NAME",
    help="L2, L1 or Hamming. Default: what fits, Hamming for packed bits and L2 else.",
)
@click.option(
    "--pca",
    is_flag=True,
    help="Evaluate the PCA/power-law variant, learned on the split's train sequences.",
)
@click.option("--json", "json_path", metavar="OUT", help="Write the numbers; - is stdout.")
@click.option("--markdown", "markdown_path", metavar="OUT", help="Write the table.")
@click.option("--force", is_flag=True, help="Replace outputs that exist.")  # fmt: skip
def patches(
    paths: tuple[Path, ...],
    root: Path | None,
    baselines: tuple[str, ...],
    name: str | None,
    splits: Path | None,
    folder: Path | None,
    pairs: int | None,
    distance: str | None,
    pca: bool,  # noqa: FBT001 - click passes options by name
    json_path: str | None,
    markdown_path: str | None,
    force: bool,  # noqa: FBT001
) -> None:
    """Verification, matching and retrieval mAP of descriptors."""
    from .distances import named
    from .generation import obtain_tasks
    from .patches import PatchRelease
    from .provenance import made
    from .report import Row
    from .splits import choose_split
    from .terminal import check_outputs, present, shown_progress

    check_outputs((json_path, markdown_path), force=force)
    packed = distance is not None and named(distance) == "Hamming"
    release = None if root is None else PatchRelease(root)
    sources = _sources(paths, baselines, release, packed=packed)
    split = choose_split(name, splits, release.sequences if release else None)
    if pca and not split.train:
        raise RequestError(f"split {split.name!r}: --pca needs a split with train sequences")
    counts = _counts(sources, split, release)
    with shown_progress() as progress:
        tasks = obtain_tasks(split, counts, release, folder=folder, pairs=pairs, progress=progress)
        results = [_result(source, tasks, distance, progress, pca=pca) for source in sources]
    data = {"patches": root, "splits": splits} | {f"descriptors {p.name}": p for p in paths}
    rests_on = made(_command(), {}, data)
    results = [result | {"provenance": rests_on} for result in results]
    present([Row(result) for result in results], results[0] if len(results) == 1 else results,
            json_path=json_path, markdown_path=markdown_path, force=force)  # fmt: skip


@main.command()
@click.argument("source", type=_PATH)
@click.argument("target", type=_PATH)
@click.option("--packed", is_flag=True, help="The numbers are bytes of packed binary descriptors.")
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
def pack(
    source: Path,
    target: Path,
    packed: bool,  # noqa: FBT001
    force: bool,  # noqa: FBT001
) -> None:
    """Turn SOURCE, a folder of CSV files, into TARGET, one HDF5 file that reads much faster."""
    from .csvfolder import CsvFolder
    from .hdf5file import write_hdf5
    from .terminal import check_outputs, shown_progress

    check_outputs((str(target),), force=force)
    with shown_progress() as progress:
        write_hdf5(CsvFolder(source, packed=packed), target, force=force, progress=progress)


@main.command()
@click.argument("sequences", type=_PATH)
@click.argument("target", metavar="OUT", type=_PATH)
@click.option("--patches", default=600, show_default=True, help="At most this many a sequence.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="The same seed gives the same bytes.",
)
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def extract(
    sequences: Path,
    target: Path,
    patches: int,
    seed: int,
    force: bool,  # noqa: FBT001
) -> None:
    """Make a patch release, OUT, out of SEQUENCES, a folder of image sequences.

    A sequence is a folder with images 1 to 6 and the homographies H_1_2 to H_1_6. Points are those
    of Hessian, Harris and Difference of Gaussians in image 1; each patch is disturbed as easy, hard
    and tough detections are, with median overlaps of .85, .72 and .60.
    """
    from .extraction import Extraction
    from .extraction import extract as make
    from .sequences import find_sequences
    from .terminal import shown_progress

    asked, found = Extraction(patches, seed), find_sequences(sequences)
    with shown_progress() as progress:
        counts = make(found, target, asked, force=force, progress=progress)
    short = [f"{name} ({count})" for name, count in counts.items() if count < patches]
    click.echo(f"{target}: {sum(counts.values())} points of {len(counts)} sequences", err=True)
    if short:
        click.echo(f"fewer than {patches} points: {', '.join(short)}", err=True)


@main.command()
@click.argument("photographs", type=_PATH)
@click.argument("target", metavar="OUT", type=_PATH)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def synthesize(photographs: Path, target: Path, seed: int, force: bool) -> None:  # noqa: FBT001
    """Make image sequences, OUT, out of a folder of single PHOTOGRAPHS.

    Each gives one sequence of changing light (i_NAME) and one of changing viewpoint (v_NAME).
    """
    from .synthesis import synthesise_folder
    from .terminal import shown_progress

    with shown_progress() as progress:
        synthesise_folder(photographs, target, seed, force=force, progress=progress)


def _command() -> str:
    from .saying import said

    outputs = ("json_path", "markdown_path", "force")
    return said(click.get_current_context(), outputs, "hpatches-eval")


def _sources(
    paths: tuple[Path, ...],
    baselines: tuple[str, ...],
    release: "PatchRelease | None",
    *,
    packed: bool,
) -> list["Source"]:
    from .baselines import find_baseline
    from .csvfolder import CsvFolder
    from .descriptors import Described
    from .hdf5file import Hdf5File

    if not paths and not baselines:
        raise RequestError("nothing to evaluate: give --descriptors or --baseline")
    if baselines and release is None:
        raise RequestError("--baseline needs the patches to describe: --patches ROOT")
    files = [CsvFolder(p, packed=packed) if p.is_dir() else Hdf5File(p) for p in paths]
    computed = [Described(b, release, find_baseline(b).describe) for b in baselines if release]
    return [*files, *computed]


def _counts(
    sources: list["Source"], split: "Split", release: "PatchRelease | None"
) -> dict[str, int]:
    """Patches in each strip of every test sequence, the same everywhere."""
    counts: dict[str, int] = {}
    for holder in (*sources, *([release] if release else [])):
        where = getattr(holder, "name", None) or str(getattr(holder, "root", ""))
        for name in split.test:
            if name not in holder.sequences:
                raise DataError(f"{where}: sequence {name} of split {split.name!r} is not there")
            found = holder.count(name)
            if counts.setdefault(name, found) != found:
                raise DataError(f"{where}: {found} patches of {name}, elsewhere {counts[name]}")
    return counts


def _result(
    source: "Source", tasks: "Tasks", distance: str | None, progress: "Progress", *, pca: bool
) -> dict[str, Any]:
    from .descriptors import load, load_refs
    from .evaluation import evaluate
    from .transforms import pca_power_law

    begin = time.perf_counter()
    descriptors = load(source, tasks.split.test, progress=progress)
    if pca:
        descriptors = pca_power_law(descriptors, load_refs(source, tasks.split.train))
    reading = time.perf_counter() - begin
    result = evaluate(descriptors, tasks, distance=distance, progress=progress)
    return result | {"seconds": {"reading": round(reading, 2)} | result["seconds"]}
