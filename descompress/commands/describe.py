"""`descompress describe`: keypoints and descriptors of images, in one file."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .finding import Finding, finding_options, opened

if TYPE_CHECKING:
    from hpatches_eval.features import Finder

_PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class Settings(Finding):
    """The options of `describe`; see its help."""

    net: Path
    images: tuple[Path, ...]
    output: Path
    dtype: str
    force: bool


@click.command()
@click.argument("net", type=_PATH)
@click.argument("images", type=_PATH, nargs=-1, required=True)
@click.option("-o", "--output", type=_PATH, required=True, metavar="H5", help="File of features.")
@finding_options
@click.option(
    "--dtype",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="Of descriptors and scores; keypoints are kept in float32.",
)
@click.option("--force", is_flag=True, help="Start the file afresh.")
@click.pass_context
def describe(context: click.Context, **options: object) -> None:
    """Find and describe the keypoints of IMAGES, files or folders, in hloc's layout.

    NET is a file, the name of a shipped network, or an .onnx file of `descompress export`. Image
    networks find their keypoints themselves; patch networks describe OpenCV's SIFT detections.

    Stopped at any moment, the same command goes on: images that the file holds are skipped. An
    image that cannot be read is named and left out, and the exit status is then 1.
    """
    settings = Settings(**options)  # pyright: ignore[reportArgumentType]
    from hpatches_eval.terminal import shown_progress

    from ..featurefiles import add_images, feature_file
    from ..images import named

    find, said = _finder(settings)
    images = named(settings.images)
    broken = 0
    with (
        feature_file(settings.output, said, dtype=settings.dtype, force=settings.force) as file,
        shown_progress() as progress,
    ):
        there = sum(name in file for name in images)
        for done, error in enumerate(add_images(file, images, find, settings.size), 1):
            if error is not None:
                broken += 1
                click.echo(f"skipped: {error}", err=True)
            progress("images", done, len(images))
    new = len(images) - there - broken
    click.echo(f"{new} images described, {there} were there already, {broken} skipped")
    if broken:
        context.exit(1)


def _finder(settings: Settings) -> "tuple[Finder, dict[str, object]]":
    """What describes an image, and what is said of it in the file."""
    from ..shelf import sha256

    find, path = opened(settings.net, settings.selection())
    options = {option.name: getattr(settings, option.name) for option in fields(Finding)}
    return find, {"network": sha256(path)[:16], **options}
