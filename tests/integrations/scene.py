"""A corner of two textured walls, and cameras that walk past it."""

from pathlib import Path

import cv2
import numpy as np

SHAPE = 270, 360  # of the images
FOCAL = 1.2 * 360
PIXELS = 320  # of a wall, on a side
UP = np.array([0, 1.0, 0])
WALLS = (  # upper left corner, and the sides to the right and down
    (np.array([-3.2, -2.6, 4.2]), np.array([3.2, 0, 1.8]), np.array([0, 5.2, 0])),
    (np.array([0, -2.6, 6.0]), np.array([3.2, 0, -1.8]), np.array([0, 5.2, 0])),
)


def texture(seed: int) -> np.ndarray:
    """Spots of all sizes, grey, float64."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.random((side, side)), (PIXELS, PIXELS), interpolation=cv2.INTER_CUBIC)
        for side in (10, 25, 60)
    ]
    total = np.sum(layers, axis=0)
    return (total - total.min()) / (total.max() - total.min()) * 255


def cameras(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rotation and centre of each, the first far to the left and the last far to the right."""
    found = []
    for i, x in enumerate(np.linspace(-1.5, 1.5, count)):
        centre = np.array([x, 0.3 * (-1) ** i, 0.2 * i % 0.5])
        forward = np.array([0, 0, 5.2]) - centre
        forward /= np.linalg.norm(forward)
        right = np.cross(UP, forward)
        right /= np.linalg.norm(right)
        found.append((np.stack([right, np.cross(forward, right), forward]), centre))
    return found


def photograph(rotation: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """What a camera sees, uint8."""
    height, width = SHAPE
    inner = np.array([[FOCAL, 0, width / 2 - 0.5], [0, FOCAL, height / 2 - 0.5], [0, 0, 1]])
    image = np.full(SHAPE, 90.0)
    for seed, (corner, across, down) in enumerate(WALLS):
        plane = np.stack([across / PIXELS, down / PIXELS, corner - centre], axis=1)
        homography = inner @ rotation @ plane
        seen = [
            cv2.warpPerspective(content, homography, (width, height), flags=cv2.INTER_LINEAR)
            for content in (texture(seed), np.ones((PIXELS, PIXELS)))
        ]
        image = np.where(seen[1] > 0.999, seen[0], image)
    return image.round().astype(np.uint8)


def photographs(folder: Path, count: int) -> dict[str, np.ndarray]:
    """Write what the cameras see; gives their centres by the names of the files."""
    centres = {}
    for i, (rotation, centre) in enumerate(cameras(count)):
        name = f"{i}.png"
        cv2.imwrite(str(folder / name), photograph(rotation, centre))
        centres[name] = centre
    return centres
