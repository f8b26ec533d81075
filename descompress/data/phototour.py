"""The Brown/UBC PhotoTour layout: patches of the same 3-D point in several photographs.

`patchesNNNN.bmp` (or .png, .jpg), each 16 x 16 patches of 64 x 64; `info.txt`, a line a patch,
"<point id> <image id>"; `m50_*.txt`, test pairs, "<patch> <point> 0 <patch> <point> 0 0".

Source: M. Brown, G. Hua, S. Winder, "Discriminative learning of local image descriptors",
PAMI 2011.
"""

import warnings
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8

from hpatches_eval.errors import DataError
from hpatches_eval.frames import Jitter
from hpatches_eval.sequences import read_grey

from ..sizing import shrunk
from .photographs import turned_alike
from .photometric import Photometric

GRID, SIDE = 16, 64
SUFFIXES = (".bmp", ".png", ".jpg")
MILD = Photometric(  # for patches whose light differs already
    blur=0.8, noise=0.02, gamma=0.3, contrast=0.6, jpeg=0.0, shadow=0.1, occlusion=0.03
)


@dataclass(frozen=True)
class PhotoTour:
    """A set read into memory.

    Args:
        patches: All patches in the order of the files, row by row.
        points: The 3-D point of each patch.
    """

    root: Path
    patches: UInt8[np.ndarray, "n 64 64"]
    points: Int64[np.ndarray, " n"]

    @classmethod
    def read(cls, root: str | Path) -> "PhotoTour":
        """Read the set in the folder `root`.

        Raises:
            DataError: A file is missing, broken or does not fit the others.
        """
        root = Path(root)
        points = _table(root / "info.txt", columns=2)[:, 0]
        sheets = sorted(p for suffix in SUFFIXES for p in root.glob(f"patches[0-9]*{suffix}"))
        twice = [a for a, b in pairwise(sheets) if a.stem == b.stem]
        if twice:
            raise DataError(f"{twice[0]}: there is another file of that name; keep one")
        if len(sheets) * GRID * GRID < len(points):
            raise DataError(
                f"{root}: {len(sheets)} files of patches hold {len(sheets) * GRID * GRID} patches, "
                f"and info.txt names {len(points)}"
            )
        patches = np.concatenate([_sheet(path) for path in sheets])[: len(points)]
        return cls(root, patches, points)

    def test_pairs(
        self, name: str | None = None
    ) -> tuple[Int64[np.ndarray, "m 2"], Bool[np.ndarray, " m"]]:
        """Patch numbers of the test pairs, and whether both show the same point.

        Args:
            name: File of the pairs; the first `m50_*.txt` by name if left out.

        Raises:
            DataError: There is no such file, or it names patches that do not exist.
        """
        names = [name] if name else sorted(p.name for p in self.root.glob("m50_*.txt"))
        if not names:
            raise DataError(f"{self.root}: no test pairs m50_*.txt")
        table = _table(self.root / names[0], columns=7)
        pairs = table[:, [0, 3]]
        if pairs.min() < 0 or pairs.max() >= len(self.patches):
            raise DataError(
                f"{self.root / names[0]}: names patch {pairs.max()} of {len(self.patches)}"
            )
        return pairs, table[:, 1] == table[:, 4]


def _table(path: Path, columns: int) -> Int64[np.ndarray, "n c"]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is nothing in it: said below
            table = np.loadtxt(path, dtype=np.int64, ndmin=2)
    except OSError:
        raise DataError(f"{path}: no such file, or not readable") from None
    except ValueError as error:
        raise DataError(f"{path}: not a table of whole numbers ({error})") from None
    if table.shape[1] < columns or not len(table):
        raise DataError(f"{path}: {table.shape[1]} columns, not {columns}")
    return table


def _sheet(path: Path) -> UInt8[np.ndarray, "256 64 64"]:
    image = read_grey(path)
    if image.shape != (GRID * SIDE, GRID * SIDE):
        raise DataError(f"{path}: not an image of {GRID} x {GRID} patches of {SIDE} x {SIDE}")
    grid = image.reshape(GRID, SIDE, GRID, SIDE)
    return grid.swapaxes(1, 2).reshape(-1, SIDE, SIDE)


@dataclass(frozen=True)
class TourPairs:
    """Pairs of patches that show the same 3-D point in two photographs.

    Args:
        points: Patch numbers of every point that has at least two, from `tracks`.
        neighbours: Points taken in a row of the point list: they come from the same part of a
            scene, which makes the closest wrong match hard.
    """

    tour: PhotoTour
    points: list[np.ndarray]
    pairs: int = 256
    neighbours: int = 8
    seed: int = 0
    jitter: Jitter = field(default_factory=lambda: Jitter(0.08, 8.0, 0.1, 0.1))
    photometric: Photometric = field(default_factory=lambda: MILD)

    def __call__(
        self, step: int
    ) -> tuple[Float[np.ndarray, "b 32 32"], Float[np.ndarray, "b 32 32"]]:
        """The batch of this step: two arrays of grey patches in [0, 1]."""
        rng = np.random.default_rng([self.seed, step, 2])
        rows = np.array([rng.permutation(self.points[i])[:2] for i in self._chosen(rng)])
        first, second = (
            np.stack([self._view(patch, rng) for patch in self.tour.patches[column]])
            for column in rows.T
        )
        sides = turned_alike((first.astype(np.float32) / 255, second.astype(np.float32) / 255), rng)
        first, second = (self.photometric.apply(side, rng) for side in sides)
        return first, second

    @property
    def room(self) -> int:
        """How many pairs a batch can hold."""
        return len(self.points) // self.neighbours * self.neighbours

    def _chosen(self, rng: np.random.Generator) -> Int64[np.ndarray, " pairs"]:
        """Distinct points: a point twice in a batch would be its own false negative."""
        runs = len(self.points) // self.neighbours
        wanted = -(-self.pairs // self.neighbours)
        starts = rng.choice(runs, min(wanted, runs), replace=False) * self.neighbours
        return (starts[:, None] + np.arange(self.neighbours)).ravel()[: self.pairs]

    def _view(
        self, patch: UInt8[np.ndarray, "64 64"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "32 32"]:
        matrix = self.jitter.draw(rng)[:2]
        to_pixels = np.array([[SIDE / 2, 0, (SIDE - 1) / 2], [0, SIDE / 2, (SIDE - 1) / 2]])
        centre = np.linalg.inv(np.vstack([to_pixels, [0, 0, 1]]))
        full = to_pixels @ np.vstack([matrix, [0, 0, 1]]) @ centre
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(
            patch, full, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REFLECT
        )
        return shrunk(moved[None])[0]


def tracks(tour: PhotoTour) -> list[np.ndarray]:
    """Patch numbers by 3-D point, points with at least two patches, in the order of their ids."""
    order = np.argsort(tour.points, kind="stable")
    starts = np.flatnonzero(np.diff(tour.points[order])) + 1
    return [numbers for numbers in np.split(order, starts) if len(numbers) > 1]
