"""Who takes part: networks on the backends they run on, each with the work that is timed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import UInt8

from hpatches_eval.maps import Picking, pick, sample
from hpatches_eval.matching import neighbours

from ..runtimes import Runtime

Job: TypeAlias = Mapping[str, Any]
Image: TypeAlias = UInt8[np.ndarray, "h w"]
Pair: TypeAlias = tuple[Image, Image]
Maps: TypeAlias = Callable[[Image], tuple[np.ndarray, np.ndarray]]

PATCHES, IMAGES = "patches", "images"


@dataclass(frozen=True)
class Work:
    """Something that is timed.

    Args:
        part: What it is of the whole: the patches of a call, or a part of what is done to an image.
        units: Patches, keypoints or images that a call deals with.
    """

    part: str
    run: Callable[[], object]
    units: int = 1


@dataclass(frozen=True)
class Contestant:
    """Something that describes patches or images.

    Args:
        on: A target of `deployment`, or whose code it is.
        kind: `PATCHES` or `IMAGES`.
        works: Of patches one for each size of a batch; of images the parts, see `whole`.
        precision: That most of it computes in; "" for what is no network.
        facts: What else is said of it, as plain values: params, macs of a unit, bytes, file.
        job: For a fresh process; see `fresh`.
        inputs: That process's first input, and its largest.
        peer: Whether it only stands beside what is measured.
    """

    name: str
    on: str
    kind: str
    works: Sequence[Work]
    precision: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    job: Job = field(default_factory=dict)
    inputs: tuple[np.ndarray, ...] = ()
    peer: bool = False


def patch_works(
    run: Callable[[np.ndarray], object], batches: Mapping[int, np.ndarray]
) -> list[Work]:
    """The description of each batch."""
    return [Work(str(count), partial(run, batch), count) for count, batch in batches.items()]


def maps_of(runtime: Runtime) -> Maps:
    """The maps of one image: scores (h, w) and descriptors (d, h / cell, w / cell)."""

    def maps(image: Image) -> tuple[np.ndarray, np.ndarray]:
        scores, descriptors = runtime(image[None, None].astype(np.float32) / 255)
        return scores[0, 0], descriptors[0]

    return maps


def image_works(maps: Maps, pair: Pair, picking: Picking) -> tuple[list[Work], int]:
    """Maps, choice of keypoints and descriptors of an image; matches of two; keypoints found."""
    dense = [maps(image) for image in pair]
    rows = [sample(d, pick(s, picking)[0], _shape(s)) for s, d in dense]
    scores, descriptors = dense[0]
    points = pick(scores, picking)[0]
    works = [
        Work("maps", partial(maps, pair[0])),
        Work("selection", partial(pick, scores, picking)),
        Work("sampling", partial(sample, descriptors, points, _shape(scores))),
        Work("matching", partial(matched, *rows)),
    ]
    return works, len(points)


def matched(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mutual nearest neighbours of two images."""
    return neighbours(first, second).mutual()


def _shape(scores: np.ndarray) -> tuple[int, int]:
    return scores.shape[0], scores.shape[1]
