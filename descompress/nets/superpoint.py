"""SuperPoint's dense maps; keypoints are found in them elsewhere.

Source: D. DeTone, T. Malisiewicz, A. Rabinovich, "SuperPoint", CVPR workshops 2018.
"""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ..errors import InputError, SpecError
from ..wiring import Wire, Wiring
from .base import Net, unit_rows

CELL = 8  # pixels of the image on a side of one cell of the maps
BINS = CELL * CELL + 1  # a place for each pixel of the cell, and "no keypoint"
ENCODER: tuple[str, ...] = ("1a", "1b", "2a", "2b", "3a", "3b", "4a", "4b")
NUMBERED: tuple[str, ...] = (*ENCODER, "Pa", "Da", "Pb", "Db")
POOLED = ("1b", "2b", "3b")
STRIDES = (1, 2, 4)  # of the first convolution


class DenseMaps(NamedTuple):
    """What SuperPoint says of every 8 x 8 cell of an image.

    logits: Detector scores before the softmax; bin 8 y + x is pixel (x, y) of the cell, the last
        one "no keypoint".
    descriptors: Unit vectors along the channels.
    """

    logits: Float[Tensor, "b 65 h w"]
    descriptors: Float[Tensor, "b d h w"]


class SuperPoint(Net):
    """Score and describe every 8 x 8 cell of grey images.

    Args:
        widths: Output channels of conv1a, 1b, 2a, 2b, 3a, 3b, 4a, 4b, Pa and Da.
        dim: Length of the descriptors.
        batch_norm: Whether batch norm stands between these convolutions and their ReLU; the
            published network has none.
        stride: Of conv1a. With 2 or 4 the image is at once shrunk as much, and the first one or two
            poolings are left out; the published network has 1.
    """

    input_shape = (1, None, None)

    def __init__(
        self,
        widths: Sequence[int] = (64, 64, 64, 64, 128, 128, 128, 128, 256, 256),
        dim: int = 256,
        *,
        batch_norm: bool = False,
        stride: int = 1,
    ) -> None:
        super().__init__()
        if stride not in STRIDES:
            raise SpecError(f"stride must be one of {', '.join(map(str, STRIDES))}, not {stride}")
        out = dict(zip(NUMBERED, (*widths, BINS, dim), strict=True))
        for name, reads in _inputs().items():
            kernel = 1 if name in ("Pb", "Db") else 3
            step = 1 if reads else stride
            into = out[reads] if reads else 1
            conv = nn.Conv2d(into, out[name], kernel, step, padding=kernel // 2)
            self.add_module(f"conv{name}", conv)
            if batch_norm and kernel == 3:
                self.add_module(f"norm{name}", nn.BatchNorm2d(out[name]))
        self.batch_norm = batch_norm
        self.pooled = POOLED[STRIDES.index(stride) :]
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)

    def wired(self, wiring: Wiring) -> list[Wire]:
        """The encoder, and both heads that read what it ends with."""
        ends: dict[str | None, Wire] = {None: wiring.source(1)}
        for name, reads in _inputs().items():
            x = wiring.through(f"conv{name}", ends[reads])
            normed = self.batch_norm and hasattr(self, f"norm{name}")
            ends[name] = wiring.through(f"norm{name}", x) if normed else x
        return [ends["Pb"], ends["Db"]]

    def widths(self) -> dict[str, tuple[str, int | None]]:
        """Of all layers but the two last."""
        return {f"conv{name}": ("widths", i) for i, name in enumerate(NUMBERED[:-2])}

    def layer_numbers(self) -> dict[str, str]:
        """Numbers "1" to "8" are the encoder, then Pa, Da, Pb, Db."""
        return {str(i + 1): f"conv{name}" for i, name in enumerate(NUMBERED)}

    def forward(self, images: Tensor) -> DenseMaps:
        """The maps of images whose sides are multiples of 8.

        Args:
            images: (b, 1, h, w) floats, grey, in [0, 1].

        Raises:
            InputError: Another shape or type; or, in eval mode, NaN or infinity.
        """
        x = self._to_weights(_whole_cells(self._checked(images)))
        for name in ENCODER:
            x = self._block(name, x)
            x = self.pool(x) if name in self.pooled else x
        logits = self.get_submodule("convPb")(self._block("Pa", x))
        descriptors = self.get_submodule("convDb")(self._block("Da", x))
        return DenseMaps(logits, unit_rows(descriptors))

    def _block(self, name: str, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n h2 w2"]:
        x = self.get_submodule(f"conv{name}")(x)
        return self.relu(self.get_submodule(f"norm{name}")(x) if self.batch_norm else x)


def _inputs() -> dict[str, str | None]:
    """The layer each layer reads; the first reads the image."""
    chain: dict[str, str | None] = dict(zip(ENCODER, (None, *ENCODER[:-1]), strict=True))
    return chain | {"Pa": "4b", "Da": "4b", "Pb": "Pa", "Db": "Da"}


def _whole_cells(images: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    height, width = images.shape[-2:]
    if height % CELL or width % CELL or not height * width:
        raise InputError(f"image sides must be multiples of {CELL}, not {height} x {width}")
    return images
