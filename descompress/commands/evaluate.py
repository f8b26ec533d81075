"""`descompress eval`: networks on HPatches."""

from dataclasses import dataclass
from pathlib import Path

import click

from hpatches_eval.saying import said

from .numbers import FiniteRange

_PATH = click.Path(path_type=Path)
_OUTPUTS = ("json_path", "markdown_path", "plot_path", "force")


@dataclass(frozen=True)
class Settings:
    """The options of `eval`; see its help."""

    nets: tuple[Path, ...]
    patches: Path | None
    sequences: Path | None
    baseline: tuple[str, ...]
    phototour: tuple[Path, ...]
    split: str | None
    splits: Path | None
    tasks: Path | None
    pairs: int | None
    distance: str | None
    size: int
    keypoints: int
    threshold: float
    repeats: int
    json_path: str | None
    markdown_path: str | None
    plot_path: str | None
    force: bool


@click.command()
@click.argument("nets", metavar="NET...", type=_PATH, nargs=-1, required=True)
@click.option("--patches", type=_PATH, metavar="ROOT", help="A patch release.")
@click.option("--sequences", type=_PATH, metavar="ROOT", help="Image sequences.")
@click.option(
    "--baseline",
    multiple=True,
    metavar="NAME",
    help="Beside them sift, rootsift or orb; of patches also brief, of sequences akaze; may be "
    "repeated.",
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
@click.option(
    "--pairs",
    type=click.IntRange(10, 10_000_000),
    help="Verification pairs, where generated.",
)
@click.option("--distance", metavar="NAME", help="L2, L1 or Hamming; what fits if left out.")
@click.option(
    "--size",
    type=click.IntRange(min=0),
    default=640,
    show_default=True,
    help="Pixels of the long side of images of sequences; 0: as they are.",
)
@click.option(
    "--keypoints",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="At most this many an image of sequences.",
)
@click.option(
    "--threshold",
    type=FiniteRange(min=0),
    default=0.005,
    show_default=True,
    help="Scores of image networks must be above it.",
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Estimate each homography of sequences so often, the matches in other orders, and give "
    "the mean.",
)
@click.option("--json", "json_path", metavar="OUT", help="Write the numbers; - is stdout.")
@click.option("--markdown", "markdown_path", metavar="OUT", help="Write the table.")
@click.option("--plot", "plot_path", metavar="PNG", help="Draw the curves of sequences.")
@click.option("--force", is_flag=True, help="Replace outputs that exist.")
def evaluate(**options: object) -> None:
    """Verification, matching and retrieval mAP of networks; matches of whole images; their cost.

    NET is a file or the name of a shipped network (see `descompress weights list`). Of --patches,
    of --sequences (images 1 to 6 and homographies H_1_2 to H_1_6 in a folder each), or of both;
    image networks are evaluated on sequences alone, patch networks there on OpenCV's SIFT
    detections.

    Compression and speed are relative to the first NET. Time of patches is from 65 x 65 grey
    patches to descriptors, in eager PyTorch on one thread, median of interleaved rounds; of images
    from grey images to features, mean. MACs are of a patch, or of an image of 480 x 640 pixels or
    its patches.
    """
    settings = Settings(**options)  # pyright: ignore[reportArgumentType]
    from .evaluating import check, evaluated, show

    check(settings)
    show(settings, *evaluated(settings, said(click.get_current_context(), _OUTPUTS)))
