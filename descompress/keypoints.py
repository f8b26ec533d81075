"""From dense maps to keypoints and their descriptors: pure functions, the same on every runtime.

Pixels are (x, y) and the centre of the first one is (0, 0). Cell (i, j) of a map covers the pixels
x from 8 j to 8 j + 7 and y from 8 i to 8 i + 7, so that its centre is (8 j + 3.5, 8 i + 3.5).
Everything is computed in float32, whatever the precision of the network.

Source: D. DeTone, T. Malisiewicz, A. Rabinovich, "SuperPoint", CVPR workshops 2018.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from hpatches_eval.maps import REACH

from .errors import InputError
from .nets.base import unit_rows
from .nets.superpoint import BINS, CELL
from .selection import Selection


class Keypoints(NamedTuple):
    """Of one image, strongest first; equally strong ones in the order of reading.

    xy: In pixels.
    """

    xy: Float[Tensor, "n 2"]
    scores: Float[Tensor, " n"]


def padded(images: Tensor) -> Tensor:
    """Images with their last row and column repeated until both sides are multiples of 8.

    Pixels keep their coordinates; give `keypoints` the size there was before.

    Raises:
        InputError: Not (b, c, h, w), or without pixels.
    """
    if images.ndim != 4 or not images.shape[-1] * images.shape[-2]:
        raise InputError(f"images must be (b, c, h, w), not {tuple(images.shape)}")
    down, right = (-side % CELL for side in images.shape[-2:])
    return F.pad(images, (0, right, 0, down), mode="replicate") if down or right else images


def scores(logits: Tensor) -> Float[Tensor, "b h8 w8"]:
    """The probability, by SuperPoint, that a pixel is a keypoint.

    Args:
        logits: (b, 65, h, w); bin 8 y + x is pixel (x, y) of the cell, the last is "no keypoint".

    Raises:
        InputError: Another shape.
    """
    return score_maps(logits)[:, 0]


def score_maps(logits: Tensor) -> Float[Tensor, "b 1 h8 w8"]:
    """As `scores`, with a channel; in ONNX the softmax is written out, for runtimes are slow at it.

    Raises:
        InputError: Another shape.
    """
    if logits.ndim != 4 or logits.shape[1] != BINS:
        raise InputError(f"logits must be (b, {BINS}, h, w), not {tuple(logits.shape)}")
    logits = logits.float()
    if torch.onnx.is_in_onnx_export():
        shares = (logits - logits.amax(1, keepdim=True)).exp()
        places = shares[:, :-1] / shares.sum(1, keepdim=True)
    else:
        places = logits.softmax(1)[:, :-1]
    return F.pixel_shuffle(places, CELL)


def nms(scores: Float[Tensor, "b h w"], radius: int) -> Float[Tensor, "b h w"]:
    """Scores of the pixels that no stronger kept pixel is near; all others become 0.

    Strongest first, each pixel that is kept rules out the others of the (2 radius + 1)-wide square
    around it, and of equals the first in the order of reading wins. This is what the published
    greedy loop does; the max-pooling one, which stops after two rounds, is repeated here until
    nothing changes. Scores that are not positive are never kept.
    """
    kept, free = torch.zeros_like(scores, dtype=torch.bool), scores > 0
    while free.any():
        peaks = _peaks(torch.where(free, scores, 0), radius)
        kept |= peaks
        free &= _highest(peaks.to(scores.dtype), radius) == 0
    return torch.where(kept, scores, 0)


def keypoints(
    scores: Tensor, selection: Selection | None = None, size: tuple[int, int] | None = None
) -> list[Keypoints]:
    """The keypoints of each score map, as if it had been the only one.

    Args:
        scores: (b, h, w), see `scores`.
        selection: `Selection()` if not given.
        size: Height and width of the images without padding; no keypoint lies outside.

    Raises:
        InputError: Another shape, or a larger size.
    """
    selection = selection or Selection()
    height, width = size or tuple(scores.shape[-2:])
    if scores.ndim != 3 or height > scores.shape[1] or width > scores.shape[2]:
        where = f"with images of {height} x {width}"
        raise InputError(f"scores must be (b, h, w), not {tuple(scores.shape)} {where}")
    maps = scores[:, :height, :width].float()
    thinned = nms(torch.where(maps > selection.threshold, maps, 0), selection.radius)
    inner = torch.zeros_like(thinned)
    edge = slice(selection.border, -selection.border or None)
    inner[:, edge, edge] = thinned[:, edge, edge]
    return [_strongest(*pair, selection) for pair in zip(inner, maps, strict=True)]


def descriptors_at(
    descriptors: Tensor, points: Sequence[Tensor], cell: int = CELL
) -> list[Float[Tensor, "n d"]]:
    """Unit descriptors of the keypoints of each image, interpolated between cell centres.

    Outside of the centres of the outermost cells these cells' descriptors are kept. Published code
    stretches the grid instead, so that the last cell lies at the last pixel: up to half a cell
    from here.

    Args:
        descriptors: (b, d, h, w).
        points: (n, 2) of each image, (x, y) in pixels.
        cell: Pixels on a side of a cell.

    Raises:
        InputError: Another shape, or not as many sets of points as maps.
    """
    if descriptors.ndim != 4 or len(points) != len(descriptors):
        shape = tuple(descriptors.shape)
        raise InputError(f"descriptors must be (b, d, h, w), not {shape} for {len(points)} images")
    pairs = zip(descriptors.float(), points, strict=True)
    return [unit_rows(_interpolated(*pair, cell)) for pair in pairs]


def _peaks(scores: Float[Tensor, "b h w"], radius: int) -> Bool[Tensor, "b h w"]:
    """Positive pixels that are highest in their square, and above what comes first in it."""
    highest = (scores == _highest(scores, radius)) & (scores > 0)
    if not radius:
        return highest
    around, (height, width) = F.pad(scores, (radius, radius, radius, 0))[:, None], scores.shape[1:]
    above = F.max_pool2d(around, (radius, 2 * radius + 1), 1)[:, 0, :height]
    left = F.max_pool2d(around[:, :, radius:, :-radius], (1, radius), 1)[:, 0, :, :width]
    return highest & (scores > torch.maximum(above, left))


def _highest(maps: Float[Tensor, "b h w"], radius: int) -> Float[Tensor, "b h w"]:
    """The maximum over the square around each pixel."""
    side = 2 * radius + 1
    rows = F.max_pool2d(maps[:, None], (1, side), 1, (0, radius))
    return F.max_pool2d(rows, (side, 1), 1, (radius, 0))[:, 0]


def _strongest(
    thinned: Float[Tensor, "h w"], scores: Float[Tensor, "h w"], selection: Selection
) -> Keypoints:
    places = thinned.flatten().nonzero()[:, 0]
    found = thinned.flatten()[places]
    order = found.argsort(descending=True, stable=True)[: selection.most]
    places, width = places[order], thinned.shape[1]
    yx = torch.stack([places // width, places % width], 1)
    xy = yx.flip(1).float()
    if selection.subpixel:
        xy = xy + _offsets(scores, yx, min(REACH, selection.radius))
    return Keypoints(xy, found[order])


def _offsets(
    scores: Float[Tensor, "h w"], yx: Int[Tensor, "n 2"], reach: int
) -> Float[Tensor, "n 2"]:
    """What `hpatches_eval.maps.offsets` finds, by axis x, y."""
    if not reach or not len(yx):
        return scores.new_zeros(len(yx), 2)
    step = torch.arange(-reach, reach + 1, device=yx.device)
    rows, columns = (yx[:, None] + reach + step[:, None]).unbind(2)
    around = F.pad(scores.clamp(min=0), (reach,) * 4)
    squares = around[rows[:, :, None], columns[:, None]]
    total = squares.sum((1, 2))
    highest = (squares.amax((1, 2)) == squares[:, reach, reach]) & (total > 0)
    means = torch.stack([squares.sum(side) @ step.to(squares) for side in (1, 2)], 1)
    xy, limit = yx.flip(1), torch.tensor(scores.shape[::-1], device=yx.device)
    whole = highest[:, None] & (xy >= reach) & (xy < limit - reach)
    return torch.where(whole, means / total[:, None], 0)


def _interpolated(
    grid: Float[Tensor, "d h w"], xy: Float[Tensor, "n 2"], cell: int
) -> Float[Tensor, "n d"]:
    size = torch.tensor(grid.shape[:0:-1], device=xy.device) * cell
    places = (xy.float() + 0.5) / size * 2 - 1  # -1 and 1 are the outer edges of the cells
    sampled = F.grid_sample(
        grid[None], places[None, None], padding_mode="border", align_corners=False
    )
    return sampled[0, :, 0].T
