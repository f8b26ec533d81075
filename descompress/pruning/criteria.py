"""Scores of channels without any training: what other ways of pruning would keep.

magnitude   mean absolute weight that writes a channel (H. Li et al., ICLR 2017)
taylor      |sum over pixels of dL/dY * Y|, mean over batches, of length 1 in each layer
            (P. Molchanov et al., "Pruning convolutional neural networks for resource efficient
            inference", ICLR 2017, eq. 7 and 8)
median      mean distance to the other filters of the layer, over its mean (Y. He et al., "Filter
            pruning via geometric median", CVPR 2019, eq. 6)
random      uniform random numbers
uniform     the same share of every layer, the largest weights first
balanced    as many of every layer as `balance` finds for a budget, the largest weights first

All but the last choose by one threshold for all layers, as published.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..slimming import filters
from ..wiring import Layout
from .masks import Masks

CRITERIA = ("magnitude", "taylor", "median", "random", "uniform", "balanced")
ScoreList = list[Float[Tensor, " _"]]


def magnitude(net: nn.Module, layout: Layout) -> ScoreList:
    """Mean absolute weights."""
    return [filters(net, layout, i).abs().mean(1) for i in range(len(layout.groups))]


def median(net: nn.Module, layout: Layout) -> ScoreList:
    """Mean distances to the other filters, over the mean of the layer."""
    rows = [filters(net, layout, i) for i in range(len(layout.groups))]
    scores = [torch.cdist(own, own).mean(1) for own in rows]
    return [score / score.mean().clamp(min=1e-12) for score in scores]


def uniform(net: nn.Module, layout: Layout) -> ScoreList:
    """Ranks by magnitude within a layer, from 0 to 1."""
    return [
        own.argsort().argsort().float() / max(len(own) - 1, 1) for own in magnitude(net, layout)
    ]


OF_WEIGHTS = {
    "magnitude": magnitude,
    "median": median,
    "uniform": uniform,
    "balanced": magnitude,
}


def random(layout: Layout, seed: int) -> ScoreList:
    """Uniform random numbers in [0, 1)."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(group.size, generator=generator) for group in layout.groups]


def taylor(masks: Masks, learn: Callable[[], bool]) -> ScoreList:
    """From the saliencies of some batches.

    Args:
        masks: In the network, with all channels on.
        learn: Runs a backward pass of the loss of another batch; false when there are no more.
    """
    sums = [torch.zeros(group.size) for group in masks.layout.groups]
    masks.forget_()
    while learn():
        for i in masks.active:
            sums[i] += masks.saliency(i).abs().cpu()
        masks.forget_()
    return [own / own.norm().clamp(min=1e-12) for own in sums]
