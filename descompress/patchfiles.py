"""Patches and images to calibrate a network with, from whatever files hold them."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from hpatches_eval.errors import DataError
from hpatches_eval.numpyfiles import mapped
from hpatches_eval.patches import TYPES, PatchRelease
from hpatches_eval.sequences import find_images

from .errors import FileError
from .images import read_image
from .sizing import shrunk

STRIPS = 64  # of a patch release that are looked at
IMAGE_SIZE = (240, 320)


def read_patches(path: str | Path, count: int = 4096, seed: int = 0) -> Tensor:
    """Up to `count` patches, (n, 1, 32, 32), drawn at random; other sizes are resized.

    Args:
        path: A patch release of HPatches' layout, a folder of PNG strips (columns of square
            patches), or an .npy file of (n, s, s) or (n, 1, s, s) numbers.

    Raises:
        FileError: It is none of these.
        DataError: It is a patch release, and a damaged one.
    """
    path, draw = Path(path), np.random.default_rng(seed)
    if path.suffix == ".npy":
        patches = [_array(path)]
    elif is_release(path):
        patches = _release(path, draw)
    else:
        patches = [_strip(file) for file in _strips(path)]
    quota = -(-count // len(patches))
    drawn = [p[np.sort(draw.permutation(len(p))[:quota])] for p in patches]
    return torch.from_numpy(np.concatenate([_scaled(p, path) for p in drawn]))[:count, None]


def read_images(path: str | Path, count: int = 16) -> Tensor:
    """The middles of up to `count` images of a folder, (n, 1, 240, 320), grey in [0, 1].

    Raises:
        DataError: There are none.
        FileError: One is smaller, or cannot be read.
    """
    files = some_images(Path(path), count)
    return torch.from_numpy(np.stack([_middle(file) for file in files]))[:, None].float() / 255


def is_release(path: Path) -> bool:
    """Whether a folder is laid out as a patch release of HPatches."""
    return any(path.glob("*/ref.png"))


def some_images(folder: Path, count: int) -> list[Path]:
    """Up to `count` image files in and below a folder, evenly spread over their order by path.

    Raises:
        DataError: There are none.
    """
    files = find_images(folder)
    return files[:: -(-len(files) // count)]


def _strips(folder: Path) -> list[Path]:
    if not folder.exists():
        raise FileError(f"{folder}: no such file or folder")
    files = sorted(folder.glob("*.png"))
    if not files:
        raise FileError(f"{folder}: holds no *.png")
    return files


def _release(path: Path, draw: np.random.Generator) -> list[UInt8[np.ndarray, "n 65 65"]]:
    release = PatchRelease(path)
    strips = [(sequence, kind) for sequence in release.sequences for kind in TYPES]
    chosen = draw.permutation(len(strips))[:STRIPS]
    return [release.strip(*strips[i]) for i in sorted(chosen)]


def _array(path: Path) -> np.ndarray:
    try:
        array = mapped(path)
    except DataError as error:
        raise FileError(str(error)) from error
    array = array[:, 0] if array.ndim == 4 and array.shape[1] == 1 else array
    if array.ndim != 3 or not len(array) or array.dtype.kind not in "uif":
        raise FileError(
            f"{path}: holds {array.dtype} of shape {array.shape}, not (n, side, side) patches"
        )
    return array


def _strip(file: Path) -> UInt8[np.ndarray, "n s s"]:
    pixels = read_image(file)
    height, width = pixels.shape
    if height % width:
        raise FileError(f"{file}: {width} x {height} pixels are no column of square patches")
    return pixels.reshape(-1, width, width)


def _middle(file: Path) -> UInt8[np.ndarray, "240 320"]:
    pixels = read_image(file)
    (height, width), (h, w) = pixels.shape, IMAGE_SIZE
    if height < h or width < w:
        raise FileError(f"{file}: {width} x {height} pixels are fewer than {w} x {h}")
    top, left = (height - h) // 2, (width - w) // 2
    return pixels[top : top + h, left : left + w]


def _scaled(patches: np.ndarray, path: Path) -> np.ndarray:
    if patches.shape[-2] != patches.shape[-1]:
        raise FileError(f"{path}: patches of {patches.shape[-1]} x {patches.shape[-2]}, not square")
    return shrunk(patches if patches.dtype == np.uint8 else patches.astype(np.float32))
