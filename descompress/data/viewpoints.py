"""Random views of a photograph, as homographies: turned, scaled, stretched, tilted, shifted."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hpatches_eval.frames import similarity

Matrix = Float[np.ndarray, "3 3"]


@dataclass(frozen=True, slots=True)
class Viewpoints:
    """How far views lie from the photograph seen upright.

    Args:
        turn: Standard deviation in degrees.
        any_turn: Share of the views that are turned by up to `most_turn` degrees instead, all
            angles being equally likely.
        most_turn: In degrees.
        zoom: Largest change of scale, in octaves.
        stretch: Largest quotient of the scales of both axes, in octaves.
        tilt: Largest change of scale from the middle to an edge by perspective.
        shift: Largest distance from the middle, in half-widths of the view.
    """

    turn: float = 15.0
    any_turn: float = 0.25
    most_turn: float = 90.0
    zoom: float = 0.5
    stretch: float = 0.35
    tilt: float = 0.3
    shift: float = 0.35

    def draw(self, rng: np.random.Generator) -> Matrix:
        """A matrix from the frame of the view to that of the photograph.

        Frames map [-1, 1] to half-widths; see `hpatches_eval.frames`.
        """
        usual = rng.normal(0, self.turn) if self.turn else 0.0
        free = rng.uniform(-self.most_turn, self.most_turn)
        angle = np.deg2rad(free if rng.random() < self.any_turn else usual)
        size = 2 ** rng.uniform(-self.zoom, self.zoom)
        x, y = (rng.uniform(-1, 1, 2) * self.shift).tolist()
        matrix = similarity(x, y, size, float(angle))
        axis, ratio = rng.uniform(0, np.pi), 2 ** (rng.uniform(-1, 1) * self.stretch / 2)
        along = similarity(0.0, 0.0, 1.0, axis)
        stretched = along @ np.diag([ratio, 1 / ratio, 1]) @ along.T
        tilted = np.eye(3)
        tilted[2, :2] = rng.uniform(-1, 1, 2) * self.tilt / np.sqrt(2)
        return matrix @ stretched @ tilted


UPRIGHT = Viewpoints(turn=5.0, any_turn=0.0, zoom=0.3, stretch=0.1, tilt=0.1, shift=0.2)
FOR_POINTS = Viewpoints(turn=0.0, any_turn=1.0, most_turn=180.0, stretch=0.2, tilt=0.2, shift=0.3)


def middle(shape: tuple[int, int], radius: float | None = None) -> Matrix:
    """The frame around the middle of an image of (height, width), upright.

    Args:
        radius: Pixels of a half-width; half of the longer side if left out.
    """
    height, width = shape
    half = max(shape) / 2 if radius is None else radius
    return similarity((width - 1) / 2, (height - 1) / 2, half, 0.0)


def moved(matrix: Matrix, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Points (x, y) after a homography; those beyond its horizon become NaN."""
    x = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.where(x[:, 2:] > 1e-9, x[:, :2] / np.maximum(x[:, 2:], 1e-9), np.nan)


def within(
    points: Float[np.ndarray, "n 2"], shape: tuple[int, int], border: float = 0.0
) -> np.ndarray:
    """Which points lie on an image of (height, width), `border` pixels from its edges."""
    limit = np.array([shape[1] - 1, shape[0] - 1]) - border
    with np.errstate(invalid="ignore"):
        return np.logical_and.reduce((points >= border) & (points <= limit), axis=1)
