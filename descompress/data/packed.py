"""Batches made once and read many times: a pack.

A pack is a folder: `patches.npy`, all batches as they were made; `held.npz`, the validation part;
`pack.json`, written last, what was asked for; and for each teacher `teacher-HASH.npy`, its
descriptors of the patches. Everything is a plain array that NumPy maps into memory, so reading a
batch costs next to nothing, and a pack stopped half-way goes on where it was.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from hpatches_eval.errors import DataError, OutputError
from hpatches_eval.files import is_vacant, replacing, save_text
from hpatches_eval.numpyfiles import archived, mapped
from hpatches_eval.progress import Progress, silent

from ..errors import RequestError
from ..locks import locked
from ..sizing import SIZE
from . import Source, fingerprint, stream
from .filling import fill

VERSION = 1
BEGUN = "asked.json"  # is called pack.json when all is there


@dataclass(frozen=True)
class Pack:
    """A finished pack.

    Args:
        patches: Batch, side, pair, row, column.
        asked: The settings it was made with.
    """

    root: Path
    patches: UInt8[np.ndarray, "n 2 b 32 32"]
    asked: Mapping[str, Any]

    @classmethod
    def read(cls, root: str | Path) -> "Pack":
        """Map the pack in the folder `root`.

        Raises:
            DataError: There is none, it is unfinished, or damaged.
        """
        root = Path(root)
        if not all((root / name).is_file() for name in ("pack.json", "patches.npy")):
            raise DataError(f"{root}: no finished pack; make one with descompress pack")
        try:
            asked = json.loads((root / "pack.json").read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{root}: a damaged pack ({str(error)[:100]})") from None
        with damage_of(root):
            patches = mapped(root / "patches.npy")
        fits = patches.ndim == 5 and patches.shape[1::2] == (2, SIZE) and patches.shape[4] == SIZE
        fits = fits and patches.dtype == np.uint8 and 0 not in patches.shape
        if not fits or not isinstance(asked, dict) or asked.get("version") != VERSION:
            raise DataError(f"{root}: not a pack of version {VERSION}; make it anew")
        return cls(root, patches, asked)

    @property
    def batch(self) -> int:
        """Pairs in a batch."""
        return self.patches.shape[2]

    @property
    def shaped_by(self) -> list[str]:
        """The settings of a recipe's [data] that its pairs depend on."""
        drawn = bool(self.asked.get("photographs"))
        mixed = drawn and bool(self.asked.get("tours") or self.asked.get("sequences"))
        return ["tour_share"] * mixed + ["least_jitter"] * drawn

    def pairs(self, number: int, rows: slice = slice(None)) -> Float[np.ndarray, "2 b 32 32"]:
        """A batch of patches in [0, 1], or some of its rows."""
        return self.patches[number, :, rows].astype(np.float32) / 255

    def source(
        self,
        seed: int = 0,
        teacher: np.ndarray | None = None,
        pairs: int | None = None,
        batches: int | None = None,
    ) -> "PackBatches":
        """All batches in an order drawn anew for each time through.

        Args:
            teacher: Descriptors of the patches, from `teacher_descriptors`.
            pairs: In a batch, if batches are to be cut into equal ones.
            batches: Only so many, from the first on.

        Raises:
            RequestError: They cannot, or there are not so many.
        """
        pairs = self.batch if pairs is None else pairs
        if pairs < 2 or self.batch % pairs:
            raise RequestError(f"{self.root}: batches of {self.batch} pairs, not cut into {pairs}")
        count = len(self.patches) if batches is None else batches
        if not 1 <= count <= len(self.patches):
            raise RequestError(f"{self.root}: {len(self.patches)} batches, not {batches}")
        return PackBatches(self, seed, teacher, self.batch // pairs, count)

    def held(self) -> dict[str, np.ndarray]:
        """The arrays of the validation part."""
        with damage_of(self.root):
            return archived(self.root / "held.npz")

    def digest(self) -> str:
        """Tells it from other packs."""
        return fingerprint([self.asked, self.patches.shape])


@contextmanager
def damage_of(root: Path) -> Iterator[None]:
    """Say of errors within the block that the pack is damaged."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{root}: a damaged pack ({error})") from error


@dataclass(frozen=True)
class PackBatches:
    """The batches of a pack as a source; see `Pack.source`.

    Args:
        cuts: How many batches each of the pack is cut into.
        count: Batches of the pack.
    """

    pack: Pack
    seed: int
    teacher: np.ndarray | None
    cuts: int
    count: int

    def __call__(self, number: int) -> Any:
        """Anchors, positives and, if there is a teacher, its descriptors."""
        turn, place = divmod(number, self.count * self.cuts)
        rng = np.random.default_rng([self.seed, turn, 3])
        chosen, cut = divmod(int(rng.permutation(self.count * self.cuts)[place]), self.cuts)
        pairs = self.pack.batch // self.cuts
        rows = slice(cut * pairs, (cut + 1) * pairs)
        first, second = self.pack.pairs(chosen, rows)
        if self.teacher is None:
            return first, second
        return first, second, self.teacher[chosen, :, rows].astype(np.float32)


def write_pack(
    root: str | Path,
    source: Source,
    batches: int,
    asked: Mapping[str, Any],
    held: Mapping[str, np.ndarray],
    *,
    workers: int = 1,
    progress: Progress = silent,
) -> Pack:
    """Make `batches` batches of `source` and keep them in the folder `root`.

    Where `root` holds the beginning of the same pack, only the rest is made.

    Args:
        asked: What tells this pack from another: kept in `pack.json`.

    Raises:
        DataError: `root` holds the beginning of another pack.
        FileError: Another process writes a pack there.
    """
    root = Path(root)
    asked = {"version": VERSION, **asked}
    with locked(root, wait=False):
        _claim(root, asked)
        _fill(root, source, batches, workers, progress)
        with replacing(root / "held.npz", force=True) as new, new.open("wb") as file:
            np.savez(file, **held)  # pyright: ignore[reportArgumentType]
        (root / BEGUN).replace(root / "pack.json")
    return Pack.read(root)


def _fill(root: Path, source: Source, batches: int, workers: int, progress: Progress) -> None:
    first, second = source(0)[:2]
    shape = (batches, 2, len(first), *second.shape[1:])

    def made(start: int) -> Iterable[np.ndarray]:
        for batch in stream(source, range(start, batches), workers):
            sides = np.stack([batch.anchors.numpy(), batch.positives.numpy()])[:, :, 0]
            yield np.rint(sides * 255).astype(np.uint8)

    fill(root / "patches.npy", shape, np.uint8, made, progress)


def _claim(root: Path, asked: Mapping[str, Any]) -> None:
    """Say whose unfinished files these are, or find that they are another's."""
    note, wanted = root / BEGUN, json.dumps(asked, indent=2)
    try:
        root.mkdir(parents=True, exist_ok=True)
        begun = note.read_bytes().decode(errors="replace") if note.exists() else None
    except OSError as error:
        raise OutputError(f"{root}: cannot be written ({error.strerror or error})") from error
    if begun is None and not is_vacant(root):
        raise DataError(f"{root}: not empty, and no pack that was begun; name another folder")
    if begun is not None and begun != wanted:
        raise DataError(f"{root}: the beginning of another pack; delete it, or name another folder")
    save_text(note, wanted, force=True)
