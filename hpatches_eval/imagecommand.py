"""The command `hpatches-eval images`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import RequestError

if TYPE_CHECKING:
    from .imageevaluation import Source
    from .maps import Picking

_PATH = click.Path(path_type=Path)
_OUTPUTS = ("json_path", "markdown_path", "plot_path", "force")
_WIDTH = 200  # of the table where stdout is no terminal


@click.command()
@click.argument("sequences", type=_PATH)
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="NAME",
    help="sift, rootsift, orb or akaze of OpenCV. Repeatable.",
)
@click.option(
    "--features",
    "stored",
    type=_PATH,
    multiple=True,
    metavar="DIR|FILE.h5",
    help="Features of the images on disk: a folder of D2-Net's <sequence>/1.ppm.d2-net or "
    ".npz, or hloc's HDF5 file. Repeatable.",
)
@click.option(
    "--onnx",
    "models",
    type=_PATH,
    multiple=True,
    metavar="FILE",
    help="A network that gives a score map and a dense descriptor map. Repeatable.",
)
@click.option(
    "--size", default=640, show_default=True, help="Pixels images are resized to; 0: as they are."
)
@click.option("--side", default="long", show_default=True, help="Which side gets it: long, short.")
@click.option("--keypoints", default=1000, show_default=True, help="At most this many an image.")
@click.option("--nms", default=4, show_default=True, help="Radius of suppression in score maps.")
@click.option("--refine", is_flag=True, help="Refine keypoints of score maps within a pixel.")
@click.option("--estimator", default="ransac", show_default=True, help="ransac or magsac.")
@click.option("--inliers", default=3.0, show_default=True, help="The estimator's threshold, px.")
@click.option("--seed", default=0, show_default=True, help="Of the estimator.")
@click.option(
    "--repeats",
    default=1,
    show_default=True,
    help="Estimate each homography with this many seeds and give the mean.",
)
@click.option("--d2net", is_flag=True, help="Leave out the 8 large sequences that D2-Net does.")
@click.option("--json", "json_path", metavar="OUT", help="Write the numbers; - is stdout.")
@click.option("--markdown", "markdown_path", metavar="OUT", help="Write the table.")
@click.option("--plot", "plot_path", metavar="OUT.png", help="Write the curves over 1..10 px.")
@click.option("--force", is_flag=True, help="Replace outputs that exist.")
def images(
    sequences: Path,
    baselines: tuple[str, ...],
    stored: tuple[Path, ...],
    models: tuple[Path, ...],
    size: int,
    side: str,
    keypoints: int,
    nms: int,
    refine: bool,  # noqa: FBT001 - click passes options by name
    estimator: str,
    inliers: float,
    seed: int,
    repeats: int,
    d2net: bool,  # noqa: FBT001
    json_path: str | None,
    markdown_path: str | None,
    plot_path: str | None,
    force: bool,  # noqa: FBT001
) -> None:
    """Repeatability, matching accuracy and homographies on SEQUENCES, a folder of them.

    A sequence is a folder with images 1 to 6 and the homographies H_1_2 to H_1_6; names that begin
    with i_ change illumination, with v_ viewpoint.
    """
    from .geometry import Estimation
    from .imageevaluation import ImageSettings, evaluate_images, without_large
    from .maps import Picking
    from .sequences import find_sequences
    from .terminal import shown_progress

    outputs = Outputs(json_path, markdown_path, plot_path, force)
    outputs.check()
    estimation = Estimation(estimator, inliers, seed)
    settings = ImageSettings(size, side, keypoints, repeats, estimation=estimation)
    finders = _finders(baselines, stored, models, Picking(keypoints, nms, refine=refine))
    found = find_sequences(sequences)
    with shown_progress() as progress:
        kept = without_large(found) if d2net else found
        results = evaluate_images(finders, kept, settings, progress)
    told = _told(sequences, stored, models)
    outputs.present([result | told for result in results])


def _told(sequences: Path, stored: tuple[Path, ...], models: tuple[Path, ...]) -> dict[str, Any]:
    """What results rest on."""
    from .provenance import made
    from .saying import said

    command = said(click.get_current_context(), _OUTPUTS, "hpatches-eval")
    data = {"sequences": sequences} | {f"features {path.name}": path for path in stored}
    rests_on = made(command, {path.name: path for path in models}, data)
    return {"command": sys.argv[1:], "provenance": rests_on}


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go, beside the table on stdout.

    Args:
        json: A file, or `-` for stdout, which then has no table. One result is written as it is,
            several as a list.
        markdown: A file for the table.
        plot: A file for the curves.
        force: Replace files that exist.
    """

    json: str | None = None
    markdown: str | None = None
    plot: str | None = None
    force: bool = False

    def check(self) -> None:
        """Refuse what cannot be written, before the work is done.

        Raises:
            OutputError: A file exists, or its folder does not.
            RequestError: A plot is wanted and matplotlib is not installed.
        """
        from .imagereport import check_plots
        from .terminal import check_outputs

        check_outputs((self.json, self.markdown, self.plot), force=self.force)
        if self.plot:
            check_plots()

    def present(self, results: list[dict[str, Any]]) -> None:
        """Write what was asked for, and print the table."""
        from .files import save_text
        from .imagereport import markdown, plot, table
        from .terminal import give_json

        give_json(results[0] if len(results) == 1 else results, self.json, force=self.force)
        if self.markdown:
            save_text(self.markdown, markdown(results), force=self.force)
        if self.plot:
            plot(results, self.plot, force=self.force)
        if self.json != "-":
            from rich.console import Console

            Console(width=None if sys.stdout.isatty() else _WIDTH).print(table(results))


def _finders(
    baselines: tuple[str, ...],
    stored: tuple[Path, ...],
    models: tuple[Path, ...],
    picking: "Picking",
) -> "dict[str, Source]":
    """What is to be evaluated, by a name for each.

    Raises:
        RequestError: There is nothing, or two of one name.
    """
    from .featurefiles import open_features
    from .finders import classical
    from .maps import OnnxFinder

    named: list[tuple[str, Source]] = [(n, classical(n, picking.keypoints)) for n in baselines]
    named += [(path.stem or str(path), open_features(path)) for path in stored]
    named += [(path.stem, OnnxFinder(path, picking)) for path in models]
    if not named:
        raise RequestError("nothing to evaluate: give --baseline, --features or --onnx")
    names = [name for name, _ in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise RequestError(f"{twice}: two of this name; results are told apart by it")
    return dict(named)
