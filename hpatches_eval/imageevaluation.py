"""The full-image protocols for a set of finders, as dictionaries of plain numbers."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

import cv2
import numpy as np
from jaxtyping import Float, Int

from .errors import DataError, EvalError, RequestError
from .featurefiles import StoredFeatures
from .features import MOST_KEYPOINTS, Features, Finder
from .geometry import Estimation, Shape, adapted, corner_error, fitted, resized, scaling, warp
from .imagemetrics import (
    View,
    matching_accuracy,
    matching_score,
    nearest_neighbour_ap,
    repeatability,
    symmetric_repeatability,
)
from .imagesummary import intervals, summarise
from .intervals import Bootstrap
from .matching import neighbours
from .progress import Progress, silent
from .sequences import COUNT, ImageSequence

Source: TypeAlias = Finder | StoredFeatures

LARGE = (  # D2-Net leaves these out of the 116: their images are too large for some methods
    "i_contruction",
    "i_crownnight",
    "i_dc",
    "i_pencils",
    "i_whitebuilding",
    "v_artisans",
    "v_astronautis",
    "v_talent",
)
LARGEST = 16_384  # pixels on the side that images are resized to
_PACKAGES = ("descompress", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """How features are measured.

    Args:
        size: Images are resized so that their long or short side has this many pixels, and
            homographies adapted; 0 leaves them as they are.
        side: "long" or "short".
        keypoints: At most this many of an image count, the strongest.
        repeats: Each homography is estimated this often, with the seed and those after it.
        within: Pixels within which a point repeats and a match is true, where a measure has no
            thresholds of its own.
        estimation: How homographies are estimated.
        bootstrap: How confidence intervals are made.

    Raises:
        RequestError: A value is out of its range.
    """

    size: int = 640
    side: str = "long"
    keypoints: int = 1000
    repeats: int = 1
    within: float = 3.0
    estimation: Estimation = field(default_factory=Estimation)
    bootstrap: Bootstrap = field(default_factory=Bootstrap)

    def __post_init__(self) -> None:
        if self.side not in ("long", "short"):
            raise RequestError(f"side {self.side!r}: there are long, short")
        if self.size and not 16 <= self.size <= LARGEST:
            raise RequestError(f"size {self.size}: 0, or 16 to {LARGEST:,} pixels")
        if not 1 <= self.keypoints <= MOST_KEYPOINTS:
            raise RequestError(f"keypoints {self.keypoints}: 1 to {MOST_KEYPOINTS:,}")
        if self.repeats < 1:
            raise RequestError(f"repeats {self.repeats}: at least 1")


@dataclass(frozen=True, slots=True)
class _Seen:
    """One image: its shape on disk, the shape it was resized to, and what was found."""

    before: Shape
    after: Shape
    features: Features
    seconds: dict[str, float]


def evaluate_images(
    finders: Mapping[str, Source],
    sequences: Sequence[ImageSequence],
    settings: ImageSettings | None = None,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """All measures of each finder over all pairs (1, k) of the sequences, ready for JSON.

    A result holds `summary` (overall, illumination, viewpoint; see `imagesummary`), its
    `intervals`, `pairs`, a record for each, and `seconds`: of detection and description an image,
    as far as the finder says, of finding, which is both by the clock, and of matching and
    estimation a pair.

    Args:
        finders: By name: a finder, or features stored in files.
        settings: `ImageSettings()` if not given.

    Raises:
        DataError: An image or homography is missing, or what was found is not what it should be.
        RequestError: There are no sequences.
    """
    if not sequences:
        raise RequestError("no sequences to evaluate on")
    settings = settings or ImageSettings()
    return [_evaluate(n, f, sequences, settings, progress) for n, f in finders.items()]


def without_large(sequences: Sequence[ImageSequence]) -> list[ImageSequence]:
    """The sequences that D2-Net's protocol keeps, 108 of HPatches' 116.

    Source: M. Dusmanu et al., "D2-Net", CVPR 2019, sec. 5.1, and its repository.
    """
    return [sequence for sequence in sequences if sequence.name not in LARGE]


def _evaluate(
    name: str,
    finder: Source,
    sequences: Sequence[ImageSequence],
    settings: ImageSettings,
    progress: Progress,
) -> dict[str, Any]:
    pairs: list[dict[str, Any]] = []
    images: list[_Seen] = []
    for done, sequence in enumerate(sequences, 1):
        try:
            seen = [_see(finder, sequence, k, settings) for k in range(1, COUNT + 1)]
            pairs += [_pair(seen, sequence, k, settings) for k in range(2, COUNT + 1)]
        except EvalError as error:
            raise type(error)(f"{name}: {error}") from error
        images += seen
        progress(f"images of {name}", done, len(sequences))
    rows = images[0].features.descriptors
    packed = rows.dtype == np.uint8
    return {
        "name": name,
        "summary": summarise(pairs),
        "intervals": intervals(pairs, settings.bootstrap),
        "distance": "Hamming" if packed else "L2",
        "dim": rows.shape[1] * (8 if packed else 1),
        "counts": {"sequences": len(sequences), "images": len(images), "pairs": len(pairs)},
        "seconds": _seconds([i.seconds for i in images]) | _seconds([p["seconds"] for p in pairs]),
        "settings": asdict(settings),
        "versions": {p: _version(p) for p in _PACKAGES} | {"opencv": cv2.__version__},
        "pairs": pairs,
    }


def _see(finder: Source, sequence: ImageSequence, number: int, settings: ImageSettings) -> _Seen:
    image, where = sequence.image(number), f"{sequence.name}/{number}"
    before = (image.shape[0], image.shape[1])
    after = fitted(before, settings.size, settings.side)
    if isinstance(finder, StoredFeatures):
        found = finder.features(sequence.name, number, before)
        points = warp(scaling(before, after), found.keypoints).astype(np.float32)
        found, seconds = Features(points, found.descriptors, found.scores), {}
    else:
        small = resized(image, after)
        begin = time.perf_counter()
        found = finder(small)
        seconds = {**found.seconds, "finding": time.perf_counter() - begin}
    return _Seen(before, after, _strongest(found, settings.keypoints, where), seconds)


def _strongest(found: Features, count: int, where: str) -> Features:
    sizes = {len(found.keypoints), len(found.descriptors), len(found.scores)}
    if len(sizes) > 1:
        raise DataError(f"{where}: numbers of keypoints, descriptors and scores differ")
    for what in ("keypoints", "descriptors", "scores"):
        if not np.isfinite(getattr(found, what)).all():
            raise DataError(f"{where}: {what} that are not finite")
    kept = np.lexsort((*found.keypoints.T[::-1], -found.scores))[:count]
    return Features(found.keypoints[kept], found.descriptors[kept], found.scores[kept])


def _pair(
    seen: Sequence[_Seen], sequence: ImageSequence, number: int, settings: ImageSettings
) -> dict[str, Any]:
    first, second = seen[0], seen[number - 1]
    true = adapted(
        sequence.homography(number), (first.before, first.after), (second.before, second.after)
    )
    points = first.features.keypoints, second.features.keypoints
    view, seconds = View(points, (first.after, second.after), true), {}
    found = _timed(
        seconds,
        "matching",
        lambda: neighbours(first.features.descriptors, second.features.descriptors),
    )
    matches = found.mutual()
    guesses = _timed(seconds, "estimation", lambda: _guesses(points, matches, settings))
    seconds["estimation"] /= settings.repeats
    repeated, apart = repeatability(view, settings.within)
    return {
        "sequence": sequence.name,
        "image": number,
        "keypoints": [len(p) for p in points],
        "common": [int(np.count_nonzero(c)) for c in view.common],
        "matches": len(matches),
        "inliers": [inliers for _, inliers in guesses],
        "repeatability": repeated,
        "symmetric_repeatability": symmetric_repeatability(view, settings.within)[0],
        "localisation_error": apart,
        "accuracy": matching_accuracy(view.errors(matches)),
        "nn_map": nearest_neighbour_ap(view, found, settings.within),
        "matching_score": matching_score(view, matches, settings.within),
        "corner_errors": [_finite(corner_error(h, true, first.after)) for h, _ in guesses],
        "outer_corner_errors": [
            _finite(corner_error(h, true, first.after, outer=True)) for h, _ in guesses
        ],
        "seconds": seconds,
    }


def _guesses(
    points: tuple[np.ndarray, np.ndarray],
    matches: Int[np.ndarray, "k 2"],
    settings: ImageSettings,
) -> list[tuple[Float[np.ndarray, "3 3"] | None, int]]:
    first, second = points[0][matches[:, 0]], points[1][matches[:, 1]]
    seed = settings.estimation.seed
    return [
        replace(settings.estimation, seed=seed + k)(first, second) for k in range(settings.repeats)
    ]


def _timed(seconds: dict[str, float], stage: str, work: Callable[[], Any]) -> Any:
    begin = time.perf_counter()
    result = work()
    seconds[stage] = time.perf_counter() - begin
    return result


def _seconds(records: Sequence[Mapping[str, float]]) -> dict[str, float]:
    stages = dict.fromkeys(stage for record in records for stage in record)
    return {s: round(float(np.mean([r[s] for r in records if s in r])), 6) for s in stages}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
