"""What every finder of keypoints gives, whoever wrote it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

MOST_KEYPOINTS = 2**24  # of an image, to be asked for: more than any use, less than C's integers


@dataclass(frozen=True, slots=True)
class Features:
    """What was found on one image.

    Args:
        keypoints: (x, y) in pixels; the centre of the first pixel is (0, 0). Strongest first.
        descriptors: A row for each keypoint, float32, or uint8 of packed bits.
        scores: Of the keypoints, falling.
        seconds: Of the stages "detection" and "description", as far as known.
    """

    keypoints: Float32[np.ndarray, "n 2"]
    descriptors: Shaped[np.ndarray, "n d"]
    scores: Float32[np.ndarray, " n"]
    seconds: Mapping[str, float] = field(default_factory=dict)


Finder: TypeAlias = Callable[[UInt8[np.ndarray, "h w"]], Features]  # a grey image -> features
