"""Images with the class of each, for training classifiers.

data = read_labelled("digits")                        # or a folder of CIFAR
source = Labelled(data.train, data.standard, batch=64, augmentation=data.augmentation)
for batch in stream(source, range(source.per_epoch)): ...
for batch in in_order(data.test, data.standard): ...
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8

from ..errors import RequestError
from ..sizing import SIZE
from . import LabelledBatch
from .cifar import Cifar

DIGITS = "digits"  # the name of scikit-learn's set
Pixels = UInt8[np.ndarray, "b c h w"]


@dataclass(frozen=True)
class Images:
    """Images as they were stored, and the class of each."""

    pixels: UInt8[np.ndarray, "n c h w"]
    labels: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: Int64[np.ndarray, " m"]) -> "Images":
        """The images of these rows."""
        return Images(self.pixels[rows], self.labels[rows])


@dataclass(frozen=True)
class Standard:
    """How pixels become what a network reads: (pixel / 255 - mean) / deviation, by channel."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def of(cls, images: Images) -> "Standard":
        """That which gives `images` mean 0 and deviation 1; constant channels are not scaled up."""
        count = images.pixels[:, 0].size
        mean, squares = np.zeros((2, images.pixels.shape[1]))
        for start in range(0, len(images), 1000):  # all at once would take eight times the memory
            part = images.pixels[start : start + 1000] / 255
            mean += part.sum((0, 2, 3)) / count
            squares += np.square(part).sum((0, 2, 3)) / count
        deviation = np.sqrt(np.maximum(squares - mean**2, 0))
        deviation[deviation < 1e-3] = 1
        return cls(tuple(mean.tolist()), tuple(deviation.tolist()))

    def apply(self, pixels: Pixels) -> Float32[np.ndarray, "b c h w"]:
        """Standardised images."""
        mean, deviation = (
            np.asarray(values, np.float32)[:, None, None] for values in (self.mean, self.deviation)
        )
        return (pixels.astype(np.float32) / 255 - mean) / deviation


@dataclass(frozen=True)
class Augmentation:
    """A random crop of the padded image, and a random mirror image, by image.

    Args:
        pad: Pixels of black on each side, so that the crop moves by up to as many.
        flip: Whether half of the images are mirrored left to right; wrong for digits and letters.
    """

    pad: int = 4
    flip: bool = True

    def apply(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """A changed copy, of the same size."""
        count, _, height, width = pixels.shape
        sides = ((0, 0), (0, 0), (self.pad, self.pad), (self.pad, self.pad))
        padded = np.pad(pixels, sides)
        tops, lefts = rng.integers(0, 2 * self.pad + 1, (2, count))
        mirrored = rng.random(count) < 0.5 if self.flip else np.zeros(count, bool)
        changed = np.empty_like(pixels)
        for i, (top, left, mirror) in enumerate(zip(tops, lefts, mirrored, strict=True)):
            crop = padded[i, :, top : top + height, left : left + width]
            changed[i] = crop[..., ::-1] if mirror else crop
        return changed


@dataclass(frozen=True)
class Labelled:
    """A source of batches: a pure function of its settings, its seed and a number 0, 1, ...

    Each epoch shows every image once, in an order of its own, but for those left over that do not
    fill a batch.

    Raises:
        RequestError: A batch larger than the set, or empty.
    """

    images: Images
    standard: Standard
    batch: int = 128
    seed: int = 0
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= len(self.images):
            raise RequestError(f"a batch holds 1 to {len(self.images)} images, not {self.batch}")

    @property
    def per_epoch(self) -> int:
        """How many batches there are in an epoch."""
        return len(self.images) // self.batch

    def __call__(self, number: int) -> LabelledBatch:
        """The batch of this number."""
        epoch, place = divmod(number, self.per_epoch)
        order = np.random.default_rng([self.seed, epoch, 0]).permutation(len(self.images))
        chosen = self.images.part(order[place * self.batch :][: self.batch])
        pixels = chosen.pixels
        if self.augmentation:
            pixels = self.augmentation.apply(pixels, np.random.default_rng([self.seed, number, 1]))
        return _tensors(self.standard.apply(pixels), chosen.labels)


@dataclass(frozen=True)
class LabelledSet:
    """Images to train on, to choose by, and to report on.

    Args:
        augmentation: What makes sense for these images.
    """

    name: str
    classes: int
    train: Images
    validation: Images
    test: Images
    augmentation: Augmentation

    @cached_property
    def standard(self) -> Standard:
        """That of the images to train on; for the other parts too."""
        return Standard.of(self.train)

    @property
    def channels(self) -> int:
        """Of each image: the network's `in_channels`."""
        return self.train.pixels.shape[1]


def read_labelled(source: str | Path, *, held: float = 0.1, seed: int = 0) -> LabelledSet:
    """A set by name ("digits": scikit-learn's, at 32 x 32), or CIFAR in a folder.

    Args:
        held: Share of the images to train on that the validation gets, of every class alike.
        seed: Of the choice of the parts.

    Raises:
        DataError: The folder is no set.
        RequestError: scikit-learn is missing, or the share leaves one part empty.
    """
    if str(source) == DIGITS:
        pixels, labels = _digits()
        rest, test = split(Images(pixels, labels), 0.2, seed)
        train, validation = split(rest, held, seed)
        return LabelledSet(DIGITS, 10, train, validation, test, Augmentation(pad=2, flip=False))
    cifar = Cifar.read(source)
    train, validation = split(Images(cifar.images, cifar.labels), held, seed)
    test = Images(cifar.test_images, cifar.test_labels)
    return LabelledSet(cifar.name, cifar.classes, train, validation, test, Augmentation())


def split(images: Images, share: float, seed: int) -> tuple[Images, Images]:
    """What is left of the images, and `share` of every class drawn from them.

    Raises:
        RequestError: One of the two would be empty.
    """
    rng = np.random.default_rng([seed, 0, 2])
    drawn = np.zeros(len(images), bool)
    for label in np.unique(images.labels):
        rows = rng.permutation(np.flatnonzero(images.labels == label))
        drawn[rows[: max(round(share * len(rows)), 0)]] = True
    if drawn.all() or not drawn.any():
        raise RequestError(f"a share of {share} of {len(images)} images leaves one part empty")
    return images.part(np.flatnonzero(~drawn)), images.part(np.flatnonzero(drawn))


def in_order(images: Images, standard: Standard, batch: int = 256) -> Iterator[LabelledBatch]:
    """All images once, unchanged, for measuring."""
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        yield _tensors(standard.apply(images.pixels[part]), images.labels[part])


def _tensors(
    images: Float32[np.ndarray, "b c h w"], labels: Int64[np.ndarray, " b"]
) -> LabelledBatch:
    return LabelledBatch(torch.from_numpy(images), torch.from_numpy(labels))


def _digits() -> tuple[UInt8[np.ndarray, "n 1 32 32"], Int64[np.ndarray, " n"]]:
    """1,797 handwritten digits of 8 x 8 pixels and 17 greys, interpolated to 32 x 32.

    Source: E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI, 1998.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise RequestError(
            f"scikit-learn cannot be imported ({error}): pip install 'descompress[digits]'"
        ) from error
    bunch = load_digits()
    small = bunch.images.astype(np.float32) * (255 / 16)  # pyright: ignore
    large = [cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR) for image in small]
    return np.rint(np.stack(large)).astype(np.uint8)[:, None], bunch.target.astype(np.int64)  # pyright: ignore
