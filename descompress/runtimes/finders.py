"""Runtimes as finders: from a grey image to keypoints and descriptors, without PyTorch."""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from hpatches_eval.features import Features, Finder
from hpatches_eval.maps import pick, sample

from ..detections import Detect, PatchFinder, checked_grey, sift
from ..selection import Selection
from ..sizing import batched, shrunk
from .base import Runtime

BATCH = 64  # patches in a call: their maps stay in the caches


def finder(runtime: Runtime, selection: Selection | None = None, detect: Detect = sift) -> Finder:
    """What finds and describes the keypoints of an image: what `features.finder` does with nets.

    Args:
        selection: Of keypoints, `Selection()` if not given; for patch networks `most` alone counts.
        detect: What a patch network describes; see `detections.PatchFinder`.
    """
    selection = selection or Selection()
    if runtime.facts.kind == "patches":
        return PatchFinder(partial(describe, runtime), selection.most, detect)
    return MapFinder(runtime, selection)


def describe(
    runtime: Runtime, patches: Shaped[np.ndarray, "n s s"], batch: int = BATCH
) -> Float[np.ndarray, "n d"]:
    """Descriptors of square grey patches of any size.

    Args:
        patches: In any grey unit; sizes other than 32 x 32 are resized by area.
        batch: Patches in a call.
    """
    rows = [np.empty((0, runtime.facts.dim), np.float32)]
    for part in batched(patches, batch):
        rows += runtime(shrunk(part).astype(np.float32)[:, None])
    return np.concatenate(rows)


@dataclass(frozen=True, slots=True)
class MapFinder:
    """Keypoints and descriptors from the maps that a runtime makes of an image.

    The time of the maps, from which both come, is counted as detection.
    """

    runtime: Runtime
    selection: Selection

    def __call__(self, image: np.ndarray) -> Features:
        begin = time.perf_counter()
        height, width = checked_grey(image).shape
        whole = _padded(image, self.runtime.facts.cell)
        scores, descriptors = self.runtime(whole[None, None].astype(np.float32) / 255)
        points, strengths = pick(scores[0, 0, :height, :width], self.selection.picking())
        between = time.perf_counter()
        rows = sample(descriptors[0], points, (whole.shape[0], whole.shape[1]))
        return Features(
            points.astype(np.float32),
            rows,
            strengths.astype(np.float32),
            {"detection": between - begin, "description": time.perf_counter() - between},
        )


def _padded(image: UInt8[np.ndarray, "h w"], cell: int) -> UInt8[np.ndarray, "h2 w2"]:
    """The last row and column repeated until both sides are multiples of a cell."""
    return np.pad(image, [(0, -side % cell) for side in image.shape], mode="edge")
