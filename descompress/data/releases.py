"""HPatches' own patches to learn from: the train part of a split, or a release of your own."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from hpatches_eval.errors import DataError
from hpatches_eval.patches import TYPES, PatchRelease
from hpatches_eval.splits import find_split

from ..sizing import shrunk
from .photographs import turned_alike
from .photometric import Photometric
from .phototour import MILD


@dataclass(frozen=True)
class Views:
    """A sequence: its points as they were cut from the first image and, disturbed, from five more.

    Args:
        patches: For each of the 16 types, `ref` first, the patches of all points.
    """

    name: str
    patches: UInt8[np.ndarray, "16 n 32 32"]


def read_release(root: str | Path, split: str | None = None) -> list[Views]:
    """The sequences to learn from, at 32 x 32 pixels; 16 KiB a point.

    Args:
        root: A patch release.
        split: Only the sequences to train on of this published split; all that are there if None.

    Raises:
        RequestError: No split has this name.
        DataError: A file is missing or broken; or the split has no sequences to train on.
    """
    release = PatchRelease(root)
    names = release.sequences if split is None else find_split(split).train
    if not names:
        raise DataError(f"split {split}: has no sequences to train on; a, b and c have")
    return [Views(name, _patches(release, name)) for name in names]


def _patches(release: PatchRelease, name: str) -> UInt8[np.ndarray, "16 n 32 32"]:
    return np.stack([shrunk(release.strip(name, kind)) for kind in TYPES])


@dataclass(frozen=True)
class ReleasePairs:
    """Pairs of any two views of a point, many points of few sequences.

    With few sequences a batch comes to one again, and may show a point twice.

    Args:
        pairs: In a batch.
        per_sequence: Points taken of one sequence.
    """

    sequences: list[Views]
    pairs: int = 256
    per_sequence: int = 32
    seed: int = 0
    photometric: Photometric = field(default_factory=lambda: MILD)

    def __call__(
        self, number: int
    ) -> tuple[Float[np.ndarray, "b 32 32"], Float[np.ndarray, "b 32 32"]]:
        """The batch of this number: two arrays of grey patches in [0, 1]."""
        rng = np.random.default_rng([self.seed, number, 4])
        parts: list[np.ndarray] = []
        order: list[int] = []
        while (left := self.pairs - sum(map(len, parts))) > 0:
            order = order or rng.permutation(len(self.sequences)).tolist()
            patches = self.sequences[order.pop()].patches
            points = rng.permutation(patches.shape[1])[: min(left, self.per_sequence)]
            kinds = np.array([rng.permutation(len(TYPES))[:2] for _ in points])
            parts.append(patches[kinds, points[:, None]])
        both = np.concatenate(parts).astype(np.float32) / 255
        first, second = turned_alike((both[:, 0], both[:, 1]), rng)
        return self.photometric.apply(first, rng), self.photometric.apply(second, rng)
