"""Make a patch release, in the layout of HPatches, out of image sequences.

Source: V. Balntas et al., "HPatches", CVPR 2017, sec. 3, and the benchmark's notes on extraction:
points are found in image 1, a random affine error is added to each, and the region so disturbed
is carried over to image k by the ground-truth homography and cut there.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from .detection import detect
from .errors import DataError, OutputError, RequestError
from .files import refuse_around, replacing
from .frames import DIFFICULTIES, Pyramid, circle_overlaps, cut, inside, pyramid, similarity
from .progress import Progress, silent
from .sequences import COUNT, ImageSequence

SIZE = 65
ATTEMPTS = 20
MOST_OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class Extraction:
    """Settings of an extraction.

    Args:
        patches: At most this many points a sequence.
        seed: Of the choice of points and of the jitter; the same seed gives the same bytes.

    Raises:
        RequestError: Fewer than one patch is asked for, or the seed is negative.
    """

    patches: int = 600
    seed: int = 0

    def __post_init__(self) -> None:
        if self.patches < 1:
            raise RequestError(f"--patches {self.patches}: at least 1 is needed")
        if self.seed < 0:
            raise RequestError(f"--seed {self.seed}: it must not be negative")


def extract(
    sequences: list[ImageSequence],
    target: str | Path,
    settings: Extraction | None = None,
    *,
    force: bool = False,
    progress: Progress = silent,
) -> dict[str, int]:
    """Write a patch release and return how many patches each sequence has.

    Args:
        target: The new folder, with `<sequence>/{ref,e1..t5}.png` and `extraction.json`.

    Raises:
        DataError: A sequence is incomplete, or no point of it is seen in all images.
        OutputError: A sequence lies in `target`; or see `files.replacing`.
    """
    settings = settings or Extraction()
    for sequence in sequences:
        refuse_around(target, sequence.path)
    counts: dict[str, int] = {}
    with replacing(target, force=force) as folder:
        folder.mkdir()
        for done, sequence in enumerate(sequences):
            progress("extracting", done, len(sequences))
            strips = extract_sequence(sequence, settings)
            _write_strips(folder / sequence.name, strips)
            counts[sequence.name] = len(strips["ref"])
        progress("extracting", len(sequences), len(sequences))
        about = {"settings": asdict(settings), "patches": counts}
        about["jitter"] = {name: asdict(jitter) for name, jitter in DIFFICULTIES.items()}
        (folder / "extraction.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")
    return counts


def extract_sequence(
    sequence: ImageSequence, settings: Extraction
) -> dict[str, UInt8[np.ndarray, "n 65 65"]]:
    """The patches of one sequence by type: `ref`, `e1` .. `e5`, `h1` .., `t1` ...

    Raises:
        DataError: See `extract`.
    """
    rng = np.random.default_rng([settings.seed, _number(sequence.name)])
    images = [pyramid(sequence.image(k)) for k in range(1, COUNT + 1)]
    homographies = [np.eye(3)] + [sequence.homography(k) for k in range(2, COUNT + 1)]
    points = detect(images[0].levels[0])
    chosen = _choose(points, images, homographies, settings.patches, rng)
    strips: dict[str, list[UInt8[np.ndarray, "65 65"]]] = {}
    for frames in chosen:
        for (name, number), frame in frames.items():
            strips.setdefault(name, []).append(cut(images[number], frame, SIZE))
    if not strips:
        raise DataError(f"{sequence.path}: no point found that all {COUNT} images show")
    return {name: np.stack(patches) for name, patches in strips.items()}


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "little")


Frames = dict[tuple[str, int], Float[np.ndarray, "3 3"]]


def _choose(
    points: Float[np.ndarray, "n 4"],
    images: list[Pyramid],
    homographies: list[Float[np.ndarray, "3 3"]],
    most: int,
    rng: np.random.Generator,
) -> Iterator[Frames]:
    """Points in random order, none covering more than half of one before, seen in all images."""
    kept = np.empty((0, 3))
    for point in rng.permutation(points):
        if len(kept) == most:
            return
        if (circle_overlaps(point[:3].tolist(), kept) > MOST_OVERLAP).any():
            continue
        frames = _views(point, images, homographies, rng)
        if frames:
            kept = np.vstack([kept, point[:3]])
            yield frames


def _views(
    point: Float[np.ndarray, " 4"],
    images: list[Pyramid],
    homographies: list[Float[np.ndarray, "3 3"]],
    rng: np.random.Generator,
) -> Frames:
    """The frames of a point in all images, by (type, image); none where one would not fit."""
    frame = similarity(*point.tolist())
    frames = {("ref", 0): frame}
    for number in range(1, len(images)):
        shape, homography = images[number].shape, homographies[number]
        if not inside(homography @ frame, shape):
            return {}
        for difficulty, jitter in DIFFICULTIES.items():
            draws = (homography @ frame @ jitter.draw(rng) for _ in range(ATTEMPTS))
            fitting = next((view for view in draws if inside(view, shape)), None)
            if fitting is None:
                return {}
            frames[f"{difficulty}{number}", number] = fitting
    return frames


def _write_strips(folder: Path, strips: dict[str, UInt8[np.ndarray, "n 65 65"]]) -> None:
    folder.mkdir()
    for name, patches in strips.items():
        if not cv2.imwrite(str(folder / f"{name}.png"), patches.reshape(-1, SIZE)):
            raise OutputError(f"{folder.parent}: {name}.png of {folder.name} cannot be written")
