"""Small image sequences with known homographies, and features known in advance."""

from pathlib import Path

import cv2
import numpy as np

from hpatches_eval.features import Features

SHAPE = (160, 240)


def picture(seed: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Random discs: something to detect."""
    rng = np.random.default_rng(seed)
    image = np.full(shape, 128, np.uint8)
    for _ in range(150):
        centre = [int(v) for v in rng.uniform(0, 1, 2) * shape[::-1]]
        cv2.circle(image, centre, int(rng.integers(2, 10)), int(rng.integers(0, 256)), -1)
    return image


def write_sequences(root: Path, names: tuple[str, ...] = ("i_one", "v_two")) -> Path:
    """Sequences whose image k is image 1 moved by (4, 2) (k - 1) pixels; i_... do not move."""
    for seed, name in enumerate(names):
        (root / name).mkdir(parents=True)
        image = picture(seed)
        for k in range(1, 7):
            step = 0 if name.startswith("i_") else k - 1
            moved = np.array([[1.0, 0, 4 * step], [0, 1, 2 * step], [0, 0, 1]])
            seen = cv2.warpPerspective(image, moved, SHAPE[::-1], borderValue=128)
            cv2.imwrite(str(root / name / f"{k}.png"), seen)
            if k > 1:
                np.savetxt(root / name / f"H_1_{k}", moved)
    return root


def grid(step: int = 20, shift: tuple[float, float] = (0, 0)) -> Features:
    """Points of a grid, each with a descriptor of its own, and scores that fall."""
    y, x = np.mgrid[10 : SHAPE[0] - 20 : step, 10 : SHAPE[1] - 30 : step]
    points = np.column_stack([x.ravel(), y.ravel()]) + np.array(shift)
    rows = np.random.default_rng(0).normal(size=(len(points), 8))
    scores = np.linspace(1, 0.1, len(points))
    return Features(*(a.astype(np.float32) for a in (points, rows, scores)))
