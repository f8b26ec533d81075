"""Options of the commands that find keypoints."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..keypoints import Selection

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
        type=click.FloatRange(min=0),
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
        from ..keypoints import Selection

        return Selection(self.radius, self.border, self.threshold, self.keypoints)


def finding_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which keypoints are looked for."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
