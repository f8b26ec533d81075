"""Options of the commands that find keypoints."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .numbers import FiniteRange

if TYPE_CHECKING:
    from hpatches_eval.features import Finder

    from ..selection import Selection

_OPTIONS = (
    click.option(
        "--size",
        type=click.IntRange(min=16),
        default=1024,
        show_default=True,
        help="Pixels of the long side that are searched; smaller images stay as they are.",
    ),
    click.option(
        "--keypoints",
        type=click.IntRange(min=1),
        default=2048,
        show_default=True,
        help="At most this many an image, the strongest.",
    ),
    click.option(
        "--threshold",
        type=FiniteRange(min=0),
        default=0.005,
        show_default=True,
        help="Scores of image networks must be above it.",
    ),
    click.option(
        "--radius",
        type=click.IntRange(min=0),
        default=4,
        show_default=True,
        help="Of non-maximum suppression, in pixels, for image networks.",
    ),
    click.option(
        "--border",
        type=click.IntRange(min=0),
        default=4,
        show_default=True,
        help="Pixels along the edges without keypoints, for image networks.",
    ),
)


@dataclass(frozen=True)
class Finding:
    """The options above."""

    size: int
    keypoints: int
    threshold: float
    radius: int
    border: int

    def selection(self) -> "Selection":
        """Which keypoints they ask for."""
        from ..selection import Selection

        return Selection(self.radius, self.border, self.threshold, self.keypoints)


def opened(net: Path, selection: "Selection") -> "tuple[Finder, Path]":
    """What finds keypoints with a network, and the file it is in.

    Args:
        net: A network file, the name of a shipped network, or an exported file; the last needs
            no PyTorch.
    """
    from ..runtimes import SUFFIX

    if net.suffix == SUFFIX:
        from ..runtimes import open_file
        from ..runtimes.finders import finder as exported

        return exported(open_file(net, threads=0), selection), net
    from ..artifacts import load
    from ..features import finder
    from ..shelf import find

    path = find(net)
    return finder(load(path), selection), path


def finding_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which keypoints are looked for."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
