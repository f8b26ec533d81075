"""Image sequences out of single photographs, where no real ones are at hand.

The first image is the photograph; five more change its light (`i_...`) or its viewpoint (`v_...`)
more and more, in the layout of HPatches. They tell descriptors apart, but they are easier than
real scenes: a plane, no other camera, no other day.
"""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from .errors import DataError, RequestError
from .files import refuse_around, replacing
from .progress import Progress, silent
from .sequences import COUNT, find_images, read_grey

Image = UInt8[np.ndarray, "h w"]
LEAST = 128  # pixels of the shorter side


def write_sequence(image: Image, target: str | Path, seed: int = 0, *, force: bool = False) -> None:
    """Write a sequence of `image`; the name of `target` begins with `i_` or `v_`.

    Raises:
        RequestError: Another name.
        DataError: The image is smaller than 128 pixels.
        OutputError: See `files.replacing`.
    """
    target = Path(target)
    makers = {"i_": relit, "v_": seen_from_elsewhere}
    if target.name[:2] not in makers:
        raise RequestError(f"{target}: name the sequence i_... (illumination) or v_... (viewpoint)")
    if min(image.shape) < LEAST:
        raise DataError(
            f"{target.name}: an image of {image.shape} pixels is too small; {LEAST} fit"
        )
    rng = np.random.default_rng(seed)
    with replacing(target, force=force) as folder:
        folder.mkdir()
        cv2.imwrite(str(folder / "1.png"), image)
        for number in range(2, COUNT + 1):
            strength = (number - 1) / (COUNT - 1)
            other, homography = makers[target.name[:2]](image, strength, rng)
            cv2.imwrite(str(folder / f"{number}.png"), other)
            np.savetxt(folder / f"H_1_{number}", homography, fmt="%.10g")


def synthesise_folder(
    photographs: str | Path,
    target: str | Path,
    seed: int = 0,
    *,
    force: bool = False,
    progress: Progress = silent,
) -> None:
    """Write sequences `i_NAME` and `v_NAME` of every photograph in and below a folder.

    Raises:
        DataError: There is none, two have the same name, or one is too small or broken.
        OutputError: The photographs lie in `target`; or see `files.replacing`.
    """
    paths = find_images(photographs)
    names = [path.stem for path in paths]
    if twice := {name for name in names if names.count(name) > 1}:
        raise DataError(f"{photographs}: {min(twice)} is the name of two photographs")
    refuse_around(target, photographs)
    with replacing(target, force=force) as folder:
        folder.mkdir()
        for done, (path, name) in enumerate(zip(paths, names, strict=True)):
            progress("synthesising", done, len(paths))
            for kind in ("i", "v"):
                write_sequence(read_grey(path), folder / f"{kind}_{name}", seed + done)
        progress("synthesising", len(paths), len(paths))


def relit(
    image: Image, strength: float, rng: np.random.Generator
) -> tuple[Image, Float[np.ndarray, "3 3"]]:
    """The same view in other light: shaded, darker or brighter, less sharp, noisier.

    Args:
        strength: 0 to 1.
    """
    height, width = image.shape
    angle, gamma = rng.uniform(0, 2 * np.pi), np.exp(rng.choice([-1, 1]) * 0.8 * strength)
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    slope = 1 + 0.5 * strength * (np.cos(angle) * x + np.sin(angle) * y)
    shaded = (image / 255) ** gamma * np.clip(slope, 0.1, None) * (1 - 0.5 * strength)
    return _photographed(shaded * 255, 0.3 + 1.2 * strength, 6 * strength, rng), np.eye(3)


def seen_from_elsewhere(
    image: Image, strength: float, rng: np.random.Generator
) -> tuple[Image, Float[np.ndarray, "3 3"]]:
    """Another view of the photograph as a plane, and the homography that leads there.

    Args:
        strength: 0 to 1; at 1 turned by up to 40 degrees, tilted by up to a quarter of a side.
    """
    height, width = image.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32) - 0.5
    centre = corners.mean(0)
    turn = np.deg2rad(rng.choice([-1, 1]) * 40 * strength)
    zoom = np.exp(rng.uniform(-0.35, 0.1) * strength)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    tilt = rng.uniform(-0.5, 0.5, (4, 2)) * 0.25 * strength * np.array([width, height])
    moved = (corners - centre + tilt) @ rotation * zoom + centre
    homography = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    other = cv2.warpPerspective(image, homography, (width, height), flags=cv2.INTER_AREA)
    return _photographed(other, 0.3, 3 * strength, rng), np.asarray(homography, np.float64)


def _photographed(
    image: Float[np.ndarray, "h w"] | Image, blur: float, noise: float, rng: np.random.Generator
) -> Image:
    soft = cv2.GaussianBlur(image.astype(np.float32), (0, 0), blur)
    return np.clip(soft + rng.normal(0, noise, image.shape), 0, 255).round().astype(np.uint8)
