"""What is timed: pictures with texture, the same for everybody and without any file."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from ..runtimes.base import SIDE

SCALES = (0.8, 1.6, 3.2, 6.4, 12.8)  # standard deviations of the blobs, in pixels
CONTRAST = 50.0  # standard deviation of the grey values
SAID = "generated texture, seed 0"


def texture(size: tuple[int, int], seed: int = 0) -> UInt8[np.ndarray, "h w"]:
    """A picture of random blobs of many sizes: plenty of keypoints for every detector."""
    rng = np.random.default_rng(seed)
    total = np.zeros(size, np.float32)
    for scale in SCALES:
        blobs = cv2.GaussianBlur(rng.standard_normal(size).astype(np.float32), (0, 0), scale)
        total += blobs / blobs.std()
    total *= CONTRAST / total.std()
    return np.clip(np.rint(total + 128), 0, 255).astype(np.uint8)


def patches(count: int, seed: int = 0) -> Float32[np.ndarray, "n 1 32 32"]:
    """Pieces of such a picture, grey in [0, 255]."""
    picture = texture((512, 512), seed)
    corners = np.random.default_rng(seed).integers(0, 512 - SIDE, (count, 2)).tolist()
    pieces = [picture[y : y + SIDE, x : x + SIDE] for y, x in corners]
    return np.stack(pieces).astype(np.float32)[:, None]


def images(count: int, size: tuple[int, int], seed: int = 0) -> Float32[np.ndarray, "n 1 h w"]:
    """Such pictures, grey in [0, 1]."""
    pictures = [texture(size, seed + i) for i in range(count)]
    return np.stack(pictures).astype(np.float32)[:, None] / 255
