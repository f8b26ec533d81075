"""Scale-covariant points: what HPatches' patches are centred on.

Source: V. Balntas et al., "HPatches", CVPR 2017, sec. 3: Hessian, Harris and Difference of
Gaussians; D. Lowe, IJCV 2004, sec. 5, for the orientation.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from .frames import Pyramid, cut, pyramid, similarity

SIGMA = 1.6
SCALES_PER_OCTAVE = 3
MEASUREMENT = 5.0  # half-width of the measured region, in units of the detection's scale
BORDER = 5
DOG_CONTRAST = 0.03  # OpenCV divides it by the 3 scales of an octave
HESSIAN_PEAK, HARRIS_PEAK = 1e-3, 5e-7  # grey values in [0, 1]


def detect(image: UInt8[np.ndarray, "h w"], most: int = 1000) -> Float[np.ndarray, "n 4"]:
    """Points with scale and orientation: rows (x, y, radius, angle), by detector, strongest first.

    `radius` is the half-width of the region to describe, in pixels: 5 times the scale. `angle` is
    in radians. Regions reach wholly inside the image.

    Args:
        most: Keep this many of each of the three detectors.
    """
    found = [_dog(image, most)]
    found += [points[:most] for points in _hessian_and_harris(image)]
    points = np.concatenate(found)
    points = points[_fits(points, image.shape)]
    levels = pyramid(image)
    angles = [_orientation(levels, *point) for point in points.tolist()]
    return np.column_stack([points, np.array(angles).reshape(-1)])


def _fits(points: Float[np.ndarray, "n 3"], shape: tuple[int, ...]) -> np.ndarray:
    x, y, radius = points.T
    reach = radius * np.sqrt(2)  # any turn of the square
    return (x >= reach) & (y >= reach) & (x + reach <= shape[1] - 1) & (y + reach <= shape[0] - 1)


def _dog(image: UInt8[np.ndarray, "h w"], most: int) -> Float[np.ndarray, "n 3"]:
    keypoints = cv2.SIFT.create(nfeatures=0, contrastThreshold=DOG_CONTRAST).detect(image, None)
    rows = {(k.pt[0], k.pt[1], MEASUREMENT * k.size / 2): k.response for k in keypoints}
    rows = {row: response for row, response in rows.items() if row[2] >= MEASUREMENT * SIGMA}
    ordered = sorted(rows, key=lambda row: (-rows[row], row))[:most]
    return np.array(ordered, dtype=np.float64).reshape(-1, 3)


def _hessian_and_harris(image: UInt8[np.ndarray, "h w"]) -> list[Float[np.ndarray, "n 3"]]:
    """Maxima over space and scale of det(Hessian) and of Harris' measure, scale-normalised."""
    rows: list[list[Float[np.ndarray, "n 4"]]] = [[np.empty((0, 4))], [np.empty((0, 4))]]
    for factor, octave in _octaves(image):
        responses = [_responses(octave, SIGMA * 2 ** (i / SCALES_PER_OCTAVE)) for i in range(5)]
        for kind, peak in enumerate((HESSIAN_PEAK, HARRIS_PEAK)):
            stack = np.stack([r[kind] for r in responses])
            rows[kind].append(_maxima(stack, factor, peak))
    return [_strongest_first(np.concatenate(found)) for found in rows]


def _octaves(image: UInt8[np.ndarray, "h w"]) -> Iterator[tuple[int, Float[np.ndarray, "h w"]]]:
    factor, octave = 1, image.astype(np.float32) / 255
    while min(octave.shape) >= 32:
        yield factor, octave
        smooth = cv2.GaussianBlur(octave, (0, 0), 1.0)
        factor, octave = factor * 2, smooth[::2, ::2]


def _responses(
    octave: Float[np.ndarray, "h w"], sigma: float
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    smooth = cv2.GaussianBlur(octave, (0, 0), sigma)
    dxx, dyy, dxy, dx, dy = (
        cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3, scale=scale) for order, scale in _DERIVATIVES
    )
    hessian = sigma**4 * (dxx * dyy - dxy**2)
    a, b, c = (
        cv2.GaussianBlur(m, (0, 0), 1.4 * sigma) * sigma**2 for m in (dx * dx, dy * dy, dx * dy)
    )
    return hessian, a * b - c * c - 0.05 * (a + b) ** 2


def _maxima(
    stack: Float[np.ndarray, "s h w"], factor: int, peak: float
) -> Float[np.ndarray, "n 4"]:
    """Rows (x, y, radius, response) of the inner maxima above `peak`, refined by parabolas."""
    highest = np.stack([cv2.dilate(layer, np.ones((3, 3))) for layer in stack])
    inner = stack[1:-1]
    peaks = inner >= np.maximum(np.maximum(highest[:-2], highest[2:]), highest[1:-1])
    peaks &= inner > peak
    peaks[:, :BORDER] = peaks[:, -BORDER:] = peaks[:, :, :BORDER] = peaks[:, :, -BORDER:] = False
    s, y, x = np.nonzero(peaks)
    s = s + 1
    ds = vertex(stack[s - 1, y, x], stack[s, y, x], stack[s + 1, y, x])
    dy = vertex(stack[s, y - 1, x], stack[s, y, x], stack[s, y + 1, x])
    dx = vertex(stack[s, y, x - 1], stack[s, y, x], stack[s, y, x + 1])
    radius = MEASUREMENT * SIGMA * 2 ** ((s + ds) / SCALES_PER_OCTAVE) * factor
    return np.column_stack([(x + dx) * factor, (y + dy) * factor, radius, stack[s, y, x]])


def vertex(before: np.ndarray, at: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Offset of the top of the parabola through three neighbours, within half a step."""
    curve = np.minimum(before.astype(np.float64) - 2 * at + after, -1e-12)
    return np.clip((before - after) / (2 * curve), -0.5, 0.5)


def _strongest_first(rows: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 3"]:
    return rows[np.argsort(-rows[:, 3], kind="stable"), :3]


def _orientation(levels: Pyramid, x: float, y: float, radius: float) -> float:
    """Angle of the highest peak of the gradient histogram, 36 bins, Gaussian window of 1.5 scales.

    0 when the region is flat.
    """
    window = radius * 4.5 / MEASUREMENT  # three standard deviations of the window
    patch = cut(levels, similarity(x, y, window, 0.0), 25).astype(np.float32)
    dx, dy = cv2.Sobel(patch, cv2.CV_32F, 1, 0), cv2.Sobel(patch, cv2.CV_32F, 0, 1)
    weight = np.hypot(dx, dy) * _WINDOW
    bins = np.floor(np.arctan2(dy, dx) * 18 / np.pi).astype(np.int64) % 36
    histogram = np.bincount(bins.ravel(), weight.ravel(), 36)
    histogram = _SMOOTH @ histogram
    top = int(histogram.argmax())
    around = histogram[[top - 1, top, (top + 1) % 36]]
    return float((top + 0.5 + vertex(*around.reshape(3, 1))[0]) * np.pi / 18)


# Orders in x and y, and what makes Sobel's sums derivatives.
_DERIVATIVES = (((2, 0), 1 / 4), ((0, 2), 1 / 4), ((1, 1), 1 / 4), ((1, 0), 1 / 8), ((0, 1), 1 / 8))
_OFFSETS = (np.arange(25) - 12) / 12.5 * 3
_RING = np.eye(36)
_SMOOTH = np.linalg.matrix_power((np.roll(_RING, 1, 0) + _RING + np.roll(_RING, -1, 0)) / 3, 6)
_WINDOW = np.exp(-(_OFFSETS[:, None] ** 2 + _OFFSETS[None] ** 2) / 2).astype(np.float32)
