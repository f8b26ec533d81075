"""Changes of light, sharpness and sensor that a descriptor has to live with."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

Images = Float[np.ndarray, "b h w"]


@dataclass(frozen=True, slots=True)
class Photometric:
    """Random photometric changes; each patch draws its own.

    Args:
        blur: Largest standard deviation, in pixels of the patch.
        noise: Largest standard deviation, with grey values in [0, 1].
        gamma: Largest natural logarithm of the exponent.
        contrast: Least factor; the largest is its inverse to the power of 1/4.
        jpeg, shadow: Share of the patches that are coded, shaded.
        occlusion: Share of the patches, if they are square, that are partly covered by another.
    """

    blur: float = 1.6
    noise: float = 0.03
    gamma: float = 0.7
    contrast: float = 0.3
    jpeg: float = 0.2
    shadow: float = 0.25
    occlusion: float = 0.1

    def apply(self, patches: Images, rng: np.random.Generator) -> Images:
        """A changed copy of `patches`; grey values in [0, 1] before and after, float32."""
        x = self._shaded(self._covered(patches, rng), rng)
        x = self._blurred(x, rng) ** np.exp(_each(rng, x, -self.gamma, self.gamma))
        contrast = _each(rng, x, self.contrast, self.contrast**-0.25)
        room = np.maximum(1 - contrast, 0)
        x = (x - 0.5) * contrast + 0.5 + room * _each(rng, x, -0.5, 0.5)
        noise = rng.standard_normal(x.shape, dtype=np.float32) * _each(rng, x, 0.0, self.noise)
        x = np.clip(x + noise, 0, 1).astype(np.float32)
        return self._coded(x, rng)

    def _covered(self, patches: Images, rng: np.random.Generator) -> Images:
        """Some patches with a rectangle at a side replaced by that of another patch."""
        x = patches.copy()
        size = x.shape[1]
        for i in np.flatnonzero(rng.random(len(x)) < self.occlusion):
            wide, turns = int(rng.integers(size // 8, size * 2 // 5)), int(rng.integers(4))
            view = np.rot90(x[i], turns)
            view[:wide] = patches[rng.integers(len(x))][:wide]
        return x

    def _shaded(self, x: Images, rng: np.random.Generator) -> Images:
        """Some patches darker on one side of a soft random line."""
        chosen = rng.random(len(x)) < self.shadow
        angle, offset = _each(rng, x, 0.0, 2 * np.pi), _each(rng, x, -0.8, 0.8)
        sharp, dark = _each(rng, x, 2.0, 20.0), _each(rng, x, 0.3, 0.9)
        down, right = (np.linspace(-1, 1, side, dtype=np.float32) for side in x.shape[1:])
        side = np.cos(angle) * right + np.sin(angle) * down[:, None] - offset
        factor = 1 - (1 - dark) / (1 + np.exp(-sharp * side))
        return np.where(chosen[:, None, None], x * factor, x).astype(np.float32)

    def _blurred(self, x: Images, rng: np.random.Generator) -> Images:
        """Half of the patches blurred, small blurs more often than large ones."""
        sigmas = np.maximum(rng.uniform(-1, 1, len(x)), 0) ** 2 * self.blur
        for i in np.flatnonzero(sigmas > 0.15):
            x[i] = cv2.GaussianBlur(x[i], (0, 0), sigmas[i])
        return np.maximum(x, 0)

    def _coded(self, x: Images, rng: np.random.Generator) -> Images:
        """Some patches after JPEG, with quality 15 to 90."""
        for i in np.flatnonzero(rng.random(len(x)) < self.jpeg):
            quality = int(rng.integers(15, 91))
            _, code = cv2.imencode(
                ".jpg", np.rint(x[i] * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality]
            )
            x[i] = np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.float32) / 255
        return x


def _each(
    rng: np.random.Generator, like: Images, low: float, high: float
) -> Float[np.ndarray, "b 1 1"]:
    return rng.uniform(low, high, (len(like), 1, 1)).astype(np.float32)
