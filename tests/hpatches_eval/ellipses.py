"""How much of a region a jitter leaves."""

import numpy as np
from jaxtyping import Float


def overlap(jitter: Float[np.ndarray, "3 3"], samples: int = 200) -> float:
    """Intersection over union of the unit circle and the ellipse that `jitter` makes of it."""
    reach = np.abs(jitter[:2]).sum() + 1
    line = np.linspace(-reach, reach, samples)
    points = np.stack([*np.meshgrid(line, line), np.ones((samples, samples))])
    back = np.einsum("ij,jhw->ihw", np.linalg.inv(jitter), points)
    circle, ellipse = (np.hypot(p[0], p[1]) <= 1 for p in (points, back))
    return float((circle & ellipse).sum() / (circle | ellipse).sum())
