"""What is done around a patch network: keypoints found, patches cut, two images matched."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from ..detections import patches_at, sift
from .contestants import PATCHES, Work, matched
from .networks import Course, Network


def steps(course: Course, found: Sequence[Network]) -> list[Work]:
    """On one image, and on two; matching for each length of descriptors that there is.

    `units` are keypoints.
    """
    image, most = course.pair[0], course.picking.keypoints
    points, _ = sift(image, most)
    works = [
        Work("detection by OpenCV's SIFT", partial(sift, image, most), len(points)),
        Work("cutting patches", partial(patches_at, image, points), len(points)),
    ]
    rng = np.random.default_rng(0)
    for dim in sorted({n.facts.dim for n in found if n.kind == PATCHES}):
        rows = rng.standard_normal((2, most, dim)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=2, keepdims=True)
        works.append(Work(f"matching two images, {dim}-d", partial(matched, *rows), most))
    return works
