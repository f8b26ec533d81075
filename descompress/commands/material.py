"""The options that say what to learn from."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ..data.mixture import Material

C = TypeVar("C", bound=Callable[..., None])
_PATH = click.Path(path_type=Path)
_OPTIONS = [
    click.option(
        "--photographs",
        "--images",
        type=_PATH,
        help="A folder of images to learn from. Detectors also learn from drawings: shapes.",
    ),
    click.option(
        "--points",
        metavar="NET",
        help="An image network that finds the points to learn.  [default: corners]",
    ),
    click.option(
        "--phototour",
        type=_PATH,
        multiple=True,
        help="A folder in the PhotoTour layout to learn from; may be repeated.",
    ),
    click.option("--hpatches", type=_PATH, help="A patch release to learn from."),
    click.option("--split", help="Of the release only what split a, b or c trains on."),
    click.option("--cache", type=_PATH, help="Folder to keep found points in."),
]


def material_options(command: C) -> C:
    """Give `command` the options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def material(options: Mapping[str, Any]) -> "Material":
    """What the options say."""
    from ..data.mixture import Material

    names = ("photographs", "phototour", "hpatches", "split", "cache")
    return Material(
        *(options[name] for name in names),
        labelled=options.get("labelled"),
        points=options["points"],
    )
