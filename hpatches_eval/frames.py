"""Local frames on images, and the patches they cut out.

A frame is a 3x3 matrix that maps the square [-1, 1] x [-1, 1] (the patch, y down) to pixels
(x, y) of an image, the centre of whose first pixel is (0, 0). Affine frames have the last row
(0, 0, 1); composed with a homography a frame becomes projective and is still cut exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

LEVELS_PER_OCTAVE = 2
SMOOTHING = 0.7  # standard deviation, in pixels, of what every level is smoothed by in all
CORNERS = np.array([[-1, 1, 1, -1], [-1, -1, 1, 1], [1, 1, 1, 1]], dtype=np.float64)


class Pyramid(NamedTuple):
    """An image and its smoothed, smaller copies, half an octave apart."""

    levels: list[UInt8[np.ndarray, "h w"]]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image itself."""
        return self.levels[0].shape[0], self.levels[0].shape[1]


def pyramid(image: UInt8[np.ndarray, "h w"], smallest: int = 16) -> Pyramid:
    """Prepare `image` for `cut`.

    Each level is smoothed before it is sampled, so that it holds nothing its pixels cannot show.

    Args:
        smallest: Stop before a side is shorter than this, in pixels.
    """
    levels, factor = [image], 1.0
    while True:
        factor *= 2 ** (1 / LEVELS_PER_OCTAVE)
        size = [round(side / factor) for side in image.shape[::-1]]
        if min(size) < smallest:
            return Pyramid(levels)
        # From the level an octave up; what is left of a wave too short to show is under 5 %.
        above = levels[max(len(levels) - LEVELS_PER_OCTAVE, 0)]
        ratio = above.shape[1] / size[0]
        blurred = cv2.GaussianBlur(above, (0, 0), SMOOTHING * float(np.sqrt(ratio**2 - 1)))
        levels.append(cv2.resize(blurred, size, interpolation=cv2.INTER_LINEAR))


def similarity(x: float, y: float, radius: float, angle: float) -> Float[np.ndarray, "3 3"]:
    """The frame of a square of half-width `radius` pixels, turned by `angle` radians."""
    c, s = radius * np.cos(angle), radius * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y], [0, 0, 1]])


def inside(frame: Float[np.ndarray, "3 3"], shape: tuple[int, int]) -> bool:
    """Whether the whole patch lies on an image of this (height, width).

    A projective frame that folds over the horizon is not inside.
    """
    points = frame @ CORNERS
    if (points[2] <= 1e-9).any():
        return False
    xy = points[:2] / points[2]
    limit = np.array([[shape[1] - 1], [shape[0] - 1]])
    return bool((xy >= 0).all() and (xy <= limit).all())


def _step(matrix: Float[np.ndarray, "3 3"]) -> float:
    """How many pixels apart two neighbours near (0, 0) lie after `matrix`, at the most."""
    w = matrix[2, 2]
    (a, b), (c, d) = (matrix[:2, :2] - np.outer(matrix[:2, 2] / w, matrix[2, :2])) / w
    squares, twist = a * a + b * b + c * c + d * d, 2 * (a * d - b * c)
    # The larger singular value of a 2 x 2 matrix, written out.
    largest = (np.sqrt(squares + abs(twist)) + np.sqrt(max(squares - abs(twist), 0.0))) / 2
    return float(largest)


def cut(
    source: Pyramid, frame: Float[np.ndarray, "3 3"], size: int
) -> UInt8[np.ndarray, "size size"]:
    """Cut the patch of `frame`, `size` pixels wide, without aliasing.

    Patch pixel i covers [-1 + 2 i / size, -1 + 2 (i + 1) / size] of the frame. The level is the
    finest whose pixels are at least as large as the patch's. Outside the image its border repeats.
    """
    grid = np.array([[2 / size, 0, 1 / size - 1], [0, 2 / size, 1 / size - 1], [0, 0, 1]])
    return _sampled(source, frame @ grid, _step(frame) * 2 / size, (size, size))


def view(
    source: Pyramid, matrix: Float[np.ndarray, "3 3"], shape: tuple[int, int]
) -> UInt8[np.ndarray, "h w"]:
    """What the image shows where `matrix` takes the pixels of a view of (height, width) to.

    Without aliasing at the centre of the view; as `cut` otherwise.
    """
    centre = np.array([[1, 0, (shape[1] - 1) / 2], [0, 1, (shape[0] - 1) / 2], [0, 0, 1]])
    return _sampled(source, matrix, _step(matrix @ centre), shape)


def _sampled(
    source: Pyramid, matrix: Float[np.ndarray, "3 3"], step: float, shape: tuple[int, int]
) -> UInt8[np.ndarray, "h w"]:
    """The pixels that `matrix` takes those of the result to, `step` pixels of the image apart."""
    octaves = np.log2(max(step, 1.0))
    number = min(int(np.ceil(octaves * LEVELS_PER_OCTAVE - 1e-6)), len(source.levels) - 1)
    level = source.levels[number]
    fx, fy = (b / a for a, b in zip(source.shape[::-1], level.shape[::-1], strict=True))
    to_level = np.array([[fx, 0, (fx - 1) / 2], [0, fy, (fy - 1) / 2], [0, 0, 1]])
    matrix, size = to_level @ matrix, shape[::-1]
    flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    if np.abs(matrix[2, :2]).max() == 0:
        affine = matrix[:2] / matrix[2, 2]
        return cv2.warpAffine(level, affine, size, flags=flags, borderMode=border)
    return cv2.warpPerspective(level, matrix, size, flags=flags, borderMode=border)


@dataclass(frozen=True, slots=True)
class Jitter:
    """Bounds of a random affine error of a detection; each part is uniform within its bounds.

    Args:
        translation: In half-widths of the patch, for x and for y.
        rotation: In degrees.
        scale: In octaves.
        anisotropy: In octaves, between the two axes; their direction is uniform.
    """

    translation: float
    rotation: float
    scale: float
    anisotropy: float

    def times(self, strength: float) -> "Jitter":
        """The same, stronger or weaker."""
        return Jitter(
            self.translation * strength,
            self.rotation * strength,
            self.scale * strength,
            self.anisotropy * strength,
        )

    def draw(self, rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
        """A matrix to put to the right of a frame."""
        tx, ty, turn, zoom, stretch = rng.uniform(-1, 1, 5)
        axis = rng.uniform(0, np.pi)
        long = 2 ** (stretch * self.anisotropy / 2)
        linear = _rotation(axis) @ np.diag([long, 1 / long]) @ _rotation(-axis)
        linear = linear @ _rotation(np.deg2rad(turn * self.rotation)) * 2 ** (zoom * self.scale)
        matrix = np.eye(3)
        matrix[:2, :2] = linear
        matrix[:2, 2] = tx * self.translation, ty * self.translation
        return matrix


#: Strengths whose median overlaps are about .85, .72 and .60: easy, hard (as in HPatches), tough.
DIFFICULTIES = {
    "e": Jitter(0.11, 12.0, 0.17, 0.17),
    "h": Jitter(0.23, 25.0, 0.355, 0.355),
    "t": Jitter(0.36, 39.0, 0.55, 0.55),
}


def _rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def circle_overlaps(
    circle: Sequence[float], others: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, " n"]:
    """Intersection over union of one circle (x, y, radius) with each of `others`."""
    x, y, r = circle
    d = np.hypot(others[:, 0] - x, others[:, 1] - y)
    s = others[:, 2]
    d_safe = np.maximum(d, 1e-12)
    a = np.arccos(np.clip((d**2 + r**2 - s**2) / (2 * d_safe * r), -1, 1))
    b = np.arccos(np.clip((d**2 + s**2 - r**2) / (2 * d_safe * s), -1, 1))
    within = np.pi * np.minimum(r, s) ** 2
    lens = r**2 * (a - np.sin(2 * a) / 2) + s**2 * (b - np.sin(2 * b) / 2)
    shared = np.where(d >= r + s, 0.0, np.where(d <= abs(r - s), within, lens))
    return shared / (np.pi * (r**2 + s**2) - shared)
