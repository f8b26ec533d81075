"""Pictures of what compression does: matches between two images, before and after."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from hpatches_eval.detection import detect
from hpatches_eval.files import replacing
from hpatches_eval.frames import cut, pyramid, similarity

from .sizing import SIZE

CLOSE = 3.0  # pixels
GREEN, RED, GREY = (60, 200, 60), (60, 60, 220), (235, 235, 235)
Describe = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class View:
    """An image, its points and their patches.

    Args:
        points: Rows (x, y, radius, angle).
    """

    image: UInt8[np.ndarray, "h w"]
    points: Float[np.ndarray, "n 4"]
    patches: UInt8[np.ndarray, "n 32 32"]


def view(image: UInt8[np.ndarray, "h w"], most: int = 300) -> View:
    """Find at most `most` points of each of three detectors and cut their patches."""
    points, levels = detect(image, most), pyramid(image)
    patches = [cut(levels, similarity(*point.tolist()), SIZE) for point in points]
    return View(
        image, points, np.stack(patches) if patches else np.empty((0, SIZE, SIZE), np.uint8)
    )


def mutual_matches(
    first: Float[np.ndarray, "n d"], second: Float[np.ndarray, "m d"]
) -> Int[np.ndarray, "k 2"]:
    """Pairs of descriptors, of length 1, each of which is the other's nearest neighbour."""
    if not len(first) or not len(second):
        return np.empty((0, 2), np.int64)
    likeness = first @ second.T
    there, back = likeness.argmax(1), likeness.argmax(0)
    mutual = back[there] == np.arange(len(first))
    return np.column_stack([np.flatnonzero(mutual), there[mutual]])


def correct(
    matches: Int[np.ndarray, "k 2"], views: tuple[View, View], homography: Float[np.ndarray, "3 3"]
) -> Bool[np.ndarray, " k"]:
    """Which matches lie within 3 pixels of where the homography leads."""
    points = views[0].points[matches[:, 0], :2]
    mapped = np.column_stack([points, np.ones(len(points))]) @ homography.T
    there = mapped[:, :2] / mapped[:, 2:]
    return np.linalg.norm(there - views[1].points[matches[:, 1], :2], axis=1) <= CLOSE


def write_matches(
    named: Sequence[tuple[str, Describe]],
    views: tuple[View, View],
    homography: Float[np.ndarray, "3 3"],
    path: str | Path,
    *,
    force: bool = False,
) -> dict[str, tuple[int, int]]:
    """Draw the matches of each descriptor, one below the other: right ones green, wrong ones red.

    Returns how many matches are right and how many there are, by name.
    """
    panels, counts = [], {}
    for name, describe in named:
        first, second = (describe(v.patches) for v in views)
        matches = mutual_matches(first, second)
        right = correct(matches, views, homography)
        counts[name] = (int(right.sum()), len(right))
        panels.append(_panel(f"{name}: {right.sum()} of {len(right)} right", views, matches, right))
    _write(path, np.vstack(panels), force=force)
    return counts


def _panel(
    title: str, views: tuple[View, View], matches: Int[np.ndarray, "k 2"], right: np.ndarray
) -> UInt8[np.ndarray, "h w 3"]:
    height = max(v.image.shape[0] for v in views)
    sides = [np.pad(v.image, ((0, height - v.image.shape[0]), (0, 0))) for v in views]
    canvas = cv2.cvtColor(np.hstack(sides), cv2.COLOR_GRAY2BGR)
    offset = views[0].image.shape[1]
    for colour, wanted in ((RED, False), (GREEN, True)):
        for i, j in matches[right == wanted]:
            a, b = views[0].points[i, :2], views[1].points[j, :2] + [offset, 0]
            ends = [tuple(int(v) for v in p.round()) for p in (a, b)]
            cv2.line(canvas, ends[0], ends[1], colour, 1, cv2.LINE_AA)
    bar = np.full((28, canvas.shape[1], 3), GREY, np.uint8)
    cv2.putText(bar, title, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (30, 30, 30), 1, cv2.LINE_AA)
    return np.vstack([bar, canvas])


def _write(path: str | Path, picture: UInt8[np.ndarray, "h w 3"], *, force: bool) -> None:
    with replacing(path, force=force) as new:
        new.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
