"""Patches at the size that networks read."""

import cv2
import numpy as np
from jaxtyping import Shaped

SIZE = 32


def batched(inputs: Shaped[np.ndarray, "n *rest"], size: int) -> list[Shaped[np.ndarray, "..."]]:
    """All inputs in their order, `size` at a time; the last batch may be smaller."""
    return [inputs[start : start + size] for start in range(0, len(inputs), size)]


def shrunk(patches: Shaped[np.ndarray, "b s s"]) -> Shaped[np.ndarray, "b 32 32"]:
    """Square patches of any size, uint8 or float32, at 32 x 32 pixels.

    Every pixel is the mean of the area it covers, so that nothing aliases; smaller patches are
    interpolated.
    """
    if patches.shape[1:] == (SIZE, SIZE):
        return patches
    sized = [cv2.resize(patch, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for patch in patches]
    return np.stack(sized) if sized else np.empty((0, SIZE, SIZE), patches.dtype)
