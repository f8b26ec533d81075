"""Task lists of a split, drawn as the published generator draws them.

The published verification files are too large to ship, but their generator is legacy NumPy, seed
42, whose streams are frozen: the same split and the same numbers of patches give the same files,
row by row. Source of the order of draws: `gen_verif` and `gen_retrieval` of
hpatches/hpatches-benchmark, python/utils/tasks.py, commit e0c993c.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, UInt8

from .errors import DataError, OutputError, RequestError
from .patches import PatchRelease
from .progress import Progress, silent
from .splits import Split, read_splits
from .tasklists import (
    Retrieval,
    Tasks,
    Verification,
    read_retrieval,
    read_verification,
    retrieval_paths,
    verification_paths,
    write_retrieval,
    write_verification,
)

PAIRS = 1_000_000  # of the published splits
FEWER_PAIRS = 200_000  # of other splits, which are small
QUERIES, DISTRACTORS = 10_000, 20_000
_SEED = 42
_IMAGES = 5  # numbered 0 to 4 in verification pairs: e5, h5 and t5 are never drawn
_TEXTURE = 10  # grey standard deviation a patch needs to be a query or a distractor
_STEP = 20_000  # draws between two reports of progress


def obtain_tasks(
    split: Split,
    counts: Mapping[str, int],
    release: PatchRelease | None = None,
    *,
    folder: str | Path | None = None,
    pairs: int | None = None,
    progress: Progress = silent,
) -> Tasks:
    """The tasks of a split: read from `folder` where they are there, and else generated.

    Args:
        counts: Patches in each strip of every test sequence.
        release: Its ref patches say what can be a query; only needed to generate retrieval.
        folder: What is generated is also written here. Without one nothing is read or written.
        pairs: In each verification list, if it is generated; 1,000,000 for the published splits
            and 200,000 for others if not given.

    Raises:
        DataError: The files are incomplete or broken, or do not fit `counts`.
        RequestError: Something must be generated and cannot be.
    """
    missing = [name for name in split.test if name not in counts]
    if missing:
        raise DataError(f"split {split.name!r}: sequence {missing[0]} is not there")
    if len(split.test) < 2:
        raise RequestError(f"split {split.name!r}: one test sequence has no distractors; use two")
    folder = None if folder is None else _folder(folder)
    if folder and _complete(verification_paths(folder, split)):
        verification, source = read_verification(folder, split, counts), "files"
    else:
        verification = generate_verification(split, counts, pairs, progress=progress)
        source = "published generator"
        if folder:
            write_verification(folder, split, verification)
    if folder and _complete(retrieval_paths(folder, split)):
        retrieval, origin = read_retrieval(folder, split, counts), "files"
    else:
        retrieval, origin = _generate_retrieval(split, counts, release)
        if folder:
            write_retrieval(folder, split, retrieval)
    return Tasks(split, verification, retrieval, {"verification": source, "retrieval": origin})


def generate_verification(
    split: Split,
    counts: Mapping[str, int],
    pairs: int | None = None,
    *,
    progress: Progress = silent,
) -> Verification:
    """The published verification lists of a split.

    Args:
        counts: Patches in each strip of every test sequence.
        pairs: In each list; see `obtain_tasks`.

    Raises:
        DataError: A sequence has a single patch.
    """
    if pairs is None:
        pairs = PAIRS if split.name in read_splits() else FEWER_PAIRS
    lengths = np.array([counts[name] for name in split.test])
    if lengths.min() < 2:
        raise DataError(f"{split.test[lengths.argmin()]}: one patch; a sequence needs two or more")
    rng = np.random.RandomState(_SEED)
    sequence = rng.randint(len(lengths), size=pairs, dtype=np.int64)
    patch = two_of_each(rng, lengths[sequence], "drawing patches", progress)
    image = two_of_each(rng, np.full(pairs, _IMAGES), "drawing images", progress)
    other = rng.randint(len(lengths), size=pairs, dtype=np.int64)
    of_other = rng.randint(lengths[other], dtype=np.int64)
    left = (sequence, image[:, 0], patch[:, 0])
    return Verification(
        positives=_table(*left, sequence, image[:, 1], patch[:, 0]),
        inter=_table(*left, other, image[:, 1], of_other),
        intra=_table(*left, sequence, image[:, 1], patch[:, 1]),
    )


def two_of_each(
    rng: np.random.RandomState,
    lengths: Int[np.ndarray, " n"],
    stage: str = "",
    progress: Progress = silent,
) -> Int[np.ndarray, "n 2"]:
    """Two different numbers below each length, as legacy `choice` without replacement draws."""
    pairs = np.empty((len(lengths), 2), np.int64)
    for i, length in enumerate(lengths.tolist()):
        pairs[i] = rng.permutation(length)[:2]
        if i % _STEP == 0:
            progress(stage, i, len(lengths))
    progress(stage, len(lengths), len(lengths))
    return pairs


def generate_retrieval(
    split: Split, textured: Mapping[str, Bool[np.ndarray, " n"]]
) -> tuple[Retrieval, str]:
    """The published retrieval lists of a split, and how they were made.

    The published generator asks for 10,000 queries before it looks for distractors, and a small
    release has no patch left then. So where fewer than 30,000 patches qualify, a third of them
    at most are queries and all others drawn are distractors.

    Args:
        textured: Which ref patches qualify, for every test sequence; see `textured_patches`.

    Raises:
        DataError: Fewer than three patches qualify.
    """
    lengths = np.array([len(textured[name]) for name in split.test])
    rng = np.random.RandomState(_SEED)
    wanted, others = _draw(rng, lengths, 4 * QUERIES), _draw(rng, lengths, 10 * DISTRACTORS)
    offsets = np.cumsum(lengths) - lengths
    good = np.concatenate([textured[name] for name in split.test])
    drawn, spare = (
        _first_of_each(flat[good[flat]])
        for flat in (offsets[t[:, 0]] + t[:, 1] for t in (wanted, others))
    )
    count, source = QUERIES, "published generator"
    if (eligible := int(good.sum())) < QUERIES + DISTRACTORS:
        count = min(QUERIES, eligible // 3)
        source += f", but {count} queries: only {eligible} patches qualify"
    if count < 1:
        raise DataError(f"split {split.name!r}: {eligible} patches with texture; retrieval needs 3")
    queries = drawn[:count]
    distractors = spare[~np.isin(spare, queries)][:DISTRACTORS]
    place = np.repeat(np.arange(len(lengths)), lengths)
    tables = (_table(place[flat], flat - offsets[place[flat]]) for flat in (queries, distractors))
    return Retrieval(*tables), source


def textured_patches(patches: UInt8[np.ndarray, "n h w"]) -> Bool[np.ndarray, " n"]:
    """Which patches have a grey standard deviation above 10, in exact arithmetic."""
    grey = patches.reshape(len(patches), -1)
    size = grey.shape[1]
    total = grey.sum(axis=1, dtype=np.int64)
    squares = np.square(grey, dtype=np.uint16).sum(axis=1, dtype=np.int64)
    return size * squares - total**2 > (_TEXTURE * size) ** 2


def _generate_retrieval(
    split: Split, counts: Mapping[str, int], release: PatchRelease | None
) -> tuple[Retrieval, str]:
    if release is None:
        raise RequestError(
            f"split {split.name!r}: to generate its retrieval queries the patches are needed "
            "(--patches), or the published files (--tasks)"
        )
    textured = {name: textured_patches(release.strip(name, "ref")) for name in split.test}
    for name, found in textured.items():
        if len(found) != counts[name]:
            raise DataError(
                f"{release.root / name}: {len(found)} patches, but {counts[name]} descriptors"
            )
    return generate_retrieval(split, textured)


def _draw(
    rng: np.random.RandomState, lengths: Int[np.ndarray, " s"], count: int
) -> Int[np.ndarray, "c 2"]:
    sequence = rng.randint(len(lengths), size=count, dtype=np.int64)
    return np.stack([sequence, rng.randint(lengths[sequence], dtype=np.int64)], axis=1)


def _first_of_each(values: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    _, first = np.unique(values, return_index=True)
    return values[np.sort(first)]


def _table(*columns: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n c"]:
    return np.stack(columns, axis=1).astype(np.int32)


def _folder(folder: str | Path) -> Path:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
    return Path(folder)


def _complete(paths: Mapping[str, Path]) -> bool:
    """Where only some are there, a process that wrote them may have been killed."""
    return all(path.exists() for path in paths.values())
