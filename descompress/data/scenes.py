"""Photographs with labelled points, and pairs of views of them: what image networks learn from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from hpatches_eval.errors import DataError
from hpatches_eval.frames import Pyramid, pyramid, view
from hpatches_eval.sequences import read_grey

from ..errors import RequestError
from ..nets.superpoint import CELL
from . import ViewBatch
from .adaptation import Adaptation, FindPoints, corners
from .photometric import Photometric
from .points import FEWEST, pointed
from .viewpoints import UPRIGHT, Viewpoints, middle, moved, within

LONGEST = 640  # pixels of the longer side: larger photographs are shrunk
VERSION = "corners 1"  # of the way points are found
MOST_POINTS = 1024  # of a view


@dataclass(frozen=True)
class Finds:
    """A way to find points, and a name that tells it from others."""

    name: str
    find: FindPoints


@dataclass(frozen=True)
class Scene:
    """A photograph and the points on it that a detector is to find.

    Args:
        points: Rows (x, y, strength), see `adaptation`.
    """

    name: str
    levels: Pyramid
    points: Float[np.ndarray, "n 3"]


def images_of(scenes: Sequence[Scene]) -> list[UInt8[np.ndarray, "h w"]]:
    """The photographs themselves."""
    return [scene.levels.levels[0] for scene in scenes]


def read_scenes(
    folder: str | Path,
    cache: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    workers: int = 2,
    finds: Finds | None = None,
) -> list[Scene]:
    """Read all photographs below `folder` on which there are at least 16 points.

    Args:
        cache: A folder to keep the points in; they cost half a second a photograph to find.
        progress: Called with the photographs done and their total.
        workers: Processes that find corners.
        finds: What finds points in place of `adaptation.corners`.

    Raises:
        DataError: There are none, or one cannot be read.
    """
    if finds is None:
        find, version = _points_of, VERSION
    else:
        find, version, workers = partial(_points_of, find=finds.find), f"{VERSION} {finds.name}", 0
    found = pointed(folder, find, version, cache=cache, progress=progress, workers=workers)
    scenes = [Scene(name, pyramid(read_shrunk(path)), points) for name, path, points in found]
    if not scenes:
        raise DataError(f"{folder}: no photograph has {FEWEST} points to find")
    return scenes


def read_shrunk(path: Path) -> UInt8[np.ndarray, "h w"]:
    """A photograph in grey, its longer side at most 640 pixels.

    Raises:
        DataError: It cannot be read.
    """
    image = read_grey(path)
    factor = LONGEST / max(image.shape)
    if factor >= 1:
        return image
    size = [max(round(side * factor), 1) for side in image.shape[::-1]]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _points_of(path: Path, find: FindPoints = corners) -> Float[np.ndarray, "n 3"]:
    return Adaptation().points(read_shrunk(path), find)


@dataclass(frozen=True)
class ViewPairs:
    """Pairs of views of photographs, warped and changed at random: a source of `ViewBatch`.

    The first view is nearly upright, the second seen from elsewhere.

    Args:
        pairs: In a batch; a photograph gives one.
        size: Height and width of the views, multiples of 8.
        matches: Points of a pair that are told to be the same in both views.
        nearest, farthest: Pixels of the photograph on one of the view, before a view is drawn.

    Raises:
        RequestError: A size that is no multiple of 8.
    """

    scenes: list[Scene]
    pairs: int = 8
    size: tuple[int, int] = (240, 320)
    seed: int = 0
    matches: int = 256
    nearest: float = 0.8
    farthest: float = 1.2
    viewpoints: Viewpoints = field(default_factory=Viewpoints)
    photometric: Photometric = field(default_factory=partial(Photometric, occlusion=0.0))

    def __post_init__(self) -> None:
        if any(side % CELL or side < CELL for side in self.size):
            raise RequestError(f"views of {self.size} pixels: both sides must be multiples of 8")

    def __call__(self, number: int) -> ViewBatch:
        """The batch of this number."""
        rng = np.random.default_rng([self.seed, number, 5])
        chosen = rng.choice(len(self.scenes), self.pairs, replace=self.pairs > len(self.scenes))
        made = [self._pair(self.scenes[i], rng) for i in chosen]
        images, points, matches, inside = (list(part) for part in zip(*made, strict=True))
        sides = np.stack(images, 1).astype(np.float32) / 255
        changed = np.stack([self.photometric.apply(side, rng) for side in sides])
        return ViewBatch(
            torch.from_numpy(changed[:, :, None]),
            torch.from_numpy(np.stack(points, 1)),
            torch.from_numpy(np.stack(matches)),
            torch.from_numpy(np.stack(inside, 1)),
        )

    def _pair(self, scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Both views, their points, their matches, and the cells that are on the photograph."""
        matrices = self._matrices(scene.levels.shape, rng)
        images = [view(scene.levels, matrix, self.size) for matrix in matrices]
        points = [self._points(scene, matrix) for matrix in matrices]
        inside = [self._inside(scene.levels.shape, matrix) for matrix in matrices]
        matches = self._matches(points[0], matrices, scene.levels.shape, rng)
        return np.stack(images), np.stack(points), matches, np.stack(inside)

    def _matrices(self, shape: tuple[int, int], rng: np.random.Generator) -> list[np.ndarray]:
        """From pixels of both views to those of the photograph."""
        scale = np.exp(rng.uniform(np.log(self.nearest), np.log(self.farthest)))
        half = max(self.size) / 2
        widest = min(side / own for side, own in zip(shape, self.size, strict=True))
        radius = half * min(scale, max(widest, self.nearest))
        room = np.maximum(
            np.array(shape[::-1]) / 2 - radius * np.array(self.size[::-1]) / max(self.size), 0
        )
        frame = middle(shape, radius)
        frame[:2, 2] += rng.uniform(-1, 1, 2) * room
        back = np.linalg.inv(middle(self.size))
        return [frame @ kind.draw(rng) @ back for kind in (UPRIGHT, self.viewpoints)]

    def _points(self, scene: Scene, matrix: np.ndarray) -> Float[np.ndarray, "p 3"]:
        """The points on the view, the strongest first, and zeros behind them."""
        places = moved(np.linalg.inv(matrix), scene.points[:, :2])
        on = within(places, self.size)
        rows = np.column_stack([places, scene.points[:, 2]])[on][:MOST_POINTS]
        return np.pad(rows, ((0, MOST_POINTS - len(rows)), (0, 0))).astype(np.float32)

    def _inside(self, shape: tuple[int, int], matrix: np.ndarray) -> Bool[np.ndarray, "h w"]:
        """Which cells lie on the photograph with all four corners."""
        height, width = (side // CELL for side in self.size)
        x, y = np.meshgrid(np.arange(width + 1) * CELL - 0.5, np.arange(height + 1) * CELL - 0.5)
        corner = within(moved(matrix, np.column_stack([x.ravel(), y.ravel()])), shape).reshape(
            x.shape
        )
        return corner[:-1, :-1] & corner[1:, :-1] & corner[:-1, 1:] & corner[1:, 1:]

    def _matches(
        self,
        points: Float[np.ndarray, "p 3"],
        matrices: list[np.ndarray],
        shape: tuple[int, int],
        rng: np.random.Generator,
    ) -> Float[np.ndarray, "n 5"]:
        """Rows (x, y, x', y', 1): labelled points first, then any others, then zeros."""
        limit = np.array(self.size[::-1]) - 1
        anywhere = rng.uniform(0, 1, (4 * self.matches, 2)) * limit
        labelled = points[points[:, 2] > 0, :2]
        labelled = labelled[rng.permutation(len(labelled))[: self.matches * 3 // 4]]
        first = np.concatenate([labelled, anywhere])
        middle_ = moved(matrices[0], first)
        second = moved(np.linalg.inv(matrices[1]), middle_)
        on = within(middle_, shape) & within(second, self.size)
        rows = np.column_stack([first, second, np.ones(len(first))])[on][: self.matches]
        return np.pad(rows, ((0, self.matches - len(rows)), (0, 0))).astype(np.float32)
