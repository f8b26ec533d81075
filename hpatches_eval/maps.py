"""Dense maps of a network, a score for each pixel and descriptors, turned into features.

Everything is NumPy on one image. Maps of any resolution cover the whole image: a pixel p of the
image is at (p + .5) s - .5 in a map that is s times as large.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from .errors import DataError, RequestError
from .features import MOST_KEYPOINTS, Features
from .geometry import Shape, resized, scaling, warp

WIDEST = 1_024  # pixels of a radius of suppression
REACH = 2  # pixels: scores so far from a keypoint tell where between pixels it lies
_STEP = 8  # networks with a free input size want multiples of this
_LARGEST = 8192  # pixels on a side of a fixed one


@dataclass(frozen=True, slots=True)
class Picking:
    """Which pixels of a score map become keypoints.

    Args:
        keypoints: At most this many, the strongest.
        radius: Of the non-maximum suppression: no two keypoints are nearer than or at this many
            pixels in both x and y, at most 1,024. 0 suppresses nothing.
        border: Pixels along the edges that are left out.
        threshold: Scores must be above it.
        refine: Move each keypoint, by at most a pixel, to where the scores around it have their
            mean; see `offsets`.

    Raises:
        RequestError: A number is out of its range.
    """

    keypoints: int = 1000
    radius: int = 4
    border: int = 4
    threshold: float = 0.0
    refine: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.keypoints <= MOST_KEYPOINTS:
            raise RequestError(f"{self.keypoints} keypoints: 1 to {MOST_KEYPOINTS:,}")
        if not 0 <= self.radius <= WIDEST or self.border < 0:
            raise RequestError(
                f"radius {self.radius}, border {self.border}: at least 0 pixels, the radius at "
                f"most {WIDEST:,}"
            )


def pick(
    scores: Float[np.ndarray, "h w"], picking: Picking
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Keypoints (x, y) of a score map and their scores, strongest first; ties in raster order."""
    peaks = local_maxima(scores, picking.radius, picking.threshold)
    edge = picking.border
    inner = np.zeros_like(peaks)
    inner[edge : scores.shape[0] - edge, edge : scores.shape[1] - edge] = True
    y, x = np.nonzero(peaks & inner)
    kept = np.argsort(-scores[y, x], kind="stable")[: picking.keypoints]
    y, x = y[kept], x[kept]
    points = np.column_stack([x, y]).astype(np.float64)
    if picking.refine:
        points += offsets(scores, x, y, min(REACH, picking.radius))
    return points, scores[y, x]


def local_maxima(
    scores: Float[np.ndarray, "h w"], radius: int, threshold: float = 0.0
) -> np.ndarray:
    """Greedy non-maximum suppression: which pixels are kept, a boolean map.

    The highest score above the threshold is kept and the square of side 2 radius + 1 around it
    suppressed, and so on with what is left; of equal scores the first in raster order goes first.
    All pixels that are highest in their own square are taken at once, which comes to the same.

    Source: D. DeTone et al., "SuperPoint", CVPRW 2018, its demonstration's `nms_fast`.
    """
    alive = scores > threshold
    if not radius:
        return alive
    square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    left = np.where(alive, scores, -np.inf).astype(scores.dtype)
    kept = np.zeros_like(alive)
    while alive.any():
        peaks = alive & (left == cv2.dilate(left, square)) & (left > _before(left, radius))
        kept |= peaks
        alive &= cv2.dilate(peaks.astype(np.uint8), square) == 0
        left[~alive] = -np.inf
    return kept


def _before(scores: Float[np.ndarray, "h w"], radius: int) -> Float[np.ndarray, "h w"]:
    """The highest score among those pixels of each square that come first in raster order."""
    out = np.full_like(scores, -np.inf)
    above = np.ones((radius, 2 * radius + 1), np.uint8)
    out[1:] = cv2.dilate(scores, above, anchor=(radius, radius - 1))[:-1]
    left = cv2.dilate(scores, np.ones((1, radius), np.uint8), anchor=(radius - 1, 0))
    out[:, 1:] = np.maximum(out[:, 1:], left[:, :-1])
    return out


def offsets(
    scores: Float[np.ndarray, "h w"], x: Int[np.ndarray, " n"], y: Int[np.ndarray, " n"], reach: int
) -> Float[np.ndarray, "n 2"]:
    """From each pixel to the mean place of the square around it, weighted by the scores.

    A score that is shared out among the four pixels around a place, as the labels are that
    detectors learn from, has its mean at that place. 0 where the pixel is not the highest of the
    square, and along an axis in which the square goes beyond the map; negative scores count as 0.
    The square cuts a broad peak off: it is placed between its pixel and its top.

    Args:
        reach: The square's side is 2 reach + 1.

    Source: the differentiable keypoint detection of X. Zhao et al., "ALIKE", IEEE Transactions on
    Multimedia 2022, whose soft arg-max is over exponentials of the scores.
    """
    if not reach or not len(x):
        return np.zeros((len(x), 2))
    step = np.arange(-reach, reach + 1)
    squares = np.pad(scores.astype(np.float64).clip(0), reach)[
        (y[:, None] + reach + step)[:, :, None], (x[:, None] + reach + step)[:, None]
    ]
    total = squares.sum((1, 2))
    highest = (squares.max((1, 2)) == squares[:, reach, reach]) & (total > 0)
    out = np.zeros((len(x), 2))
    for axis, (place, side) in enumerate(zip((x, y), scores.shape[::-1], strict=True)):
        whole = highest & (place >= reach) & (place < side - reach)
        out[whole, axis] = (squares.sum(1 + axis) @ step)[whole] / total[whole]
    return out


def sample(
    descriptors: Float[np.ndarray, "d hd wd"], points: Float[np.ndarray, "n 2"], shape: Shape
) -> Float[np.ndarray, "n d"]:
    """Descriptors at points of an image, bilinear between the pixels of the map, of length 1.

    Beyond the centres of the outermost pixels the map goes on as it ends.

    Args:
        shape: Height and width of the image the points are of.
    """
    height, width = descriptors.shape[1:]
    at = np.clip(warp(scaling(shape, (height, width)), points), 0, [width - 1, height - 1])
    low = np.minimum(at.astype(np.int64), [max(width - 2, 0), max(height - 2, 0)])
    (x, y), (fx, fy) = low.T, (at - low).T.astype(np.float32)[:, :, None]
    cells = np.ascontiguousarray(descriptors.reshape(len(descriptors), -1).T)
    right, below = np.minimum(x + 1, width - 1), np.minimum(y + 1, height - 1)
    y, below = y * width, below * width
    top = cells[y + x] * (1 - fx) + cells[y + right] * fx
    bottom = cells[below + x] * (1 - fx) + cells[below + right] * fx
    rows = (top * (1 - fy) + bottom * fy).astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


class OnnxFinder:
    """Features of an ONNX file that gives a score map and a dense descriptor map.

    The input is one image, 1 x (1 or 3) x h x w, grey values in [0, 1] (repeated for 3 channels).
    A file of fixed size gets the image resized to it, proportions or not, and keypoints are
    brought back by (p + .5) s - .5; otherwise the image is resized to the next multiples of 8.
    Of the two outputs, that with one channel is the score, (1, 1, h, w) or (1, h, w), in the
    resolution of the input; the other, (1, d, h2, w2), holds the descriptors. The network's own
    time counts as detection.

    Raises:
        RequestError: onnxruntime is not installed.
        DataError: The file is no ONNX model, or has other inputs or outputs.
    """

    def __init__(self, path: str | Path, picking: Picking | None = None, threads: int = 0) -> None:
        self.path = Path(path)
        self.picking = picking or Picking()
        self.session, inputs = _session(self.path, threads)
        shape = inputs[0][1] if len(inputs) == 1 else ()
        if len(shape) != 4 or shape[1] not in (1, 3):
            found = ", ".join(f"{name} {[*sides]}" for name, sides in inputs) or "none"
            raise DataError(f"{self.path}: needs one input, 1 x (1 or 3) x h x w, has {found}")
        self.name, self.channels = inputs[0][0], int(shape[1])
        self.size = tuple(n if isinstance(n, int) else None for n in shape[2:])
        if any(side is not None and not 0 < side <= _LARGEST for side in self.size):
            raise DataError(f"{self.path}: reads images of {self.size}; sides are 1 to {_LARGEST}")

    def __call__(self, image: UInt8[np.ndarray, "h w"]) -> Features:
        begin = time.perf_counter()
        before = (image.shape[0], image.shape[1])
        scores, descriptors = self.maps(image)
        inner = (scores.shape[0], scores.shape[1])
        points, strengths = pick(scores, self.picking)
        between = time.perf_counter()
        rows = sample(descriptors, points, inner)
        points = warp(scaling(inner, before), points)
        return Features(
            points.astype(np.float32),
            rows,
            strengths.astype(np.float32),
            {"detection": between - begin, "description": time.perf_counter() - between},
        )

    def maps(
        self, image: UInt8[np.ndarray, "_ _"]
    ) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "d h2 w2"]]:
        """The score map and the descriptor map of an image, in the size the network reads.

        Raises:
            DataError: It does not run, or its outputs are others.
        """
        height, width = (
            side or -(-old // _STEP) * _STEP
            for side, old in zip(self.size, image.shape, strict=True)
        )
        small = resized(image, (height, width)).astype(np.float32) / 255
        batch = np.repeat(small[None, None], self.channels, axis=1)
        try:
            outputs = self.session.run(None, {self.name: batch})
        except Exception as error:  # onnxruntime has no common class of errors
            raise DataError(f"{self.path}: {_line(error)}") from error
        return _sorted_out(self.path, [np.asarray(o) for o in outputs], (height, width))


def _sorted_out(
    path: Path, outputs: list[np.ndarray], shape: Shape
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "d h2 w2"]]:
    outputs = [o for o in outputs if o.dtype.kind == "f" and np.isfinite(o).all()]
    scores = [o for o in outputs if o.shape in ((1, 1, *shape), (1, *shape))]
    maps = [o for o in outputs if o.ndim == 4 and o.shape[0] == 1 and o.shape[1] > 1 and o.size]
    if len(outputs) != 2 or len(scores) != 1 or len(maps) != 1:
        found = ", ".join(str(o.shape) for o in outputs)
        raise DataError(f"{path}: needs a score map {shape} and a descriptor map, gives {found}")
    return scores[0].reshape(shape).astype(np.float32), maps[0][0].astype(np.float32)


def _session(path: Path, threads: int) -> tuple[Any, list[tuple[str, tuple[Any, ...]]]]:
    """The session of a file, and the names and shapes of its inputs."""
    try:
        import onnxruntime
    except ImportError as error:
        raise RequestError(
            "ONNX files need onnxruntime, which is not installed: pip install onnxruntime"
        ) from error
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    providers = ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers, enable_fallback=0)
        inputs = [(each.name, tuple(each.shape or ())) for each in session.get_inputs()]
    except Exception as error:  # onnxruntime has no common class of errors
        raise DataError(f"{path}: not an ONNX model ({_line(error)})") from error
    return session, inputs


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
