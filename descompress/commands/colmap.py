"""`descompress colmap`: features, matched, as a database of COLMAP."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..featurefiles import StoredFeatures
    from ..integrations.colmap import Pairs

_PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class Settings:
    """The options of `colmap`; see its help."""

    features: Path
    database: Path
    pairs: Path | None
    overlap: int | None
    shared_camera: bool
    text: Path | None
    force: bool


@click.command()
@click.argument("features", metavar="H5", type=_PATH)
@click.argument("database", metavar="DB", type=_PATH)
@click.option("--pairs", type=_PATH, metavar="TXT", help="Match these: two names on a line.")
@click.option(
    "--overlap",
    type=click.IntRange(min=1),
    help="Match each image with this many that follow it by name.  [default: all with all]",
)
@click.option("--shared-camera", is_flag=True, help="All images are of one camera.")
@click.option("--text", type=_PATH, metavar="DIR", help="Also write files for feature_importer.")
@click.option("--force", is_flag=True, help="Replace outputs that exist.")
def colmap(**options: object) -> None:
    """Match the features of H5, written by `describe` or hloc, and write COLMAP's database DB.

    Matches are each other's nearest neighbours. COLMAP verifies them (`colmap geometric_verifier`,
    pycolmap.geometric_verification) and reconstructs (`colmap mapper`).
    """
    settings = Settings(**options)  # pyright: ignore[reportArgumentType]
    from hpatches_eval.files import refuse_around, refuse_existing
    from hpatches_eval.terminal import shown_progress

    from ..featurefiles import StoredFeatures
    from ..integrations.colmap import write_database, write_text

    for path in (settings.database, settings.text):
        if path is not None:
            refuse_existing(path, force=settings.force)
            refuse_around(path, settings.features)
    images = StoredFeatures(settings.features)
    pairs = _pairs(settings, images)
    if settings.text is not None:
        write_text(settings.text, images, force=settings.force)
    with shown_progress() as progress:
        matches = write_database(
            settings.database,
            images,
            pairs,
            shared_camera=settings.shared_camera,
            force=settings.force,
            progress=progress,
        )
    click.echo(f"{len(images)} images, {len(pairs)} pairs, {matches} matches")


def _pairs(settings: Settings, images: "StoredFeatures") -> "Pairs":
    from ..errors import RequestError
    from ..integrations.colmap import every_pair, neighbouring_pairs, read_pairs

    if settings.pairs is not None and settings.overlap is not None:
        raise RequestError("--pairs and --overlap: give one of them")
    if settings.pairs is not None:
        return read_pairs(settings.pairs)
    if settings.overlap is not None:
        return neighbouring_pairs(images, settings.overlap)
    return every_pair(images)
