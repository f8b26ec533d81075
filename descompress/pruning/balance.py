"""In which order channels go when every layer is to keep enough of them.

One threshold over all layers takes whole layers away: a score says little about other layers, and
nothing about costs. Here a layer whose kept scores sum up to a share k of all has lost k^-2 - 1.
Again and again those channels go that lose least for the cost they save, at the widths that all
layers have by then. Layers near the input, whose channels are expensive, become narrow, and none
becomes a bottleneck: the loss grows without limit as k falls.

Our own; the price of a channel at the current widths is MorphNet's (A. Gordon et al., CVPR 2018).
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

Prices: TypeAlias = Callable[[np.ndarray], np.ndarray]  # by group, from the shares that are on

ROUNDS = 400  # about: in large networks several channels of a layer go at once
LEAST = 1e-6  # of a score beside the largest of its group


def order(
    scores: Mapping[int, Float[np.ndarray, " _"]], groups: int, prices: Prices
) -> dict[int, Int[np.ndarray, " _"]]:
    """The place of each channel, 0 for the one that stays longest.

    Args:
        scores: By group, of the channels that may go; those below 0 count as 0.
        groups: How many there are, those whose channels stay included.
        prices: What a channel of each group costs; see `Resources.prices`.
    """
    falling = {g: np.argsort(-own, kind="stable") for g, own in scores.items()}
    losses = {g: _losses(own[falling[g]]) for g, own in scores.items()}
    left = {g: len(own) for g, own in scores.items()}
    shares = np.ones(groups)
    places = {g: np.zeros(len(own), np.int64) for g, own in scores.items()}
    place, several = sum(left.values()), max(sum(left.values()) // ROUNDS, 1)
    while place:
        own = prices(shares)
        _, group, count = min(_offer(losses[g], left[g], float(own[g]), several, g) for g in left)
        start = left[group] - count
        places[group][falling[group][start : left[group]]] = np.arange(place - count, place)
        place, left[group] = place - count, start
        shares[group] = start / len(places[group])
        if not start:
            del left[group]
    return places


def _losses(falling: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n1"]:
    """What a layer has lost with its first 0 to n channels left."""
    clipped = np.maximum(falling, max(float(falling[0]), 1e-12) * LEAST)
    kept = np.cumsum(clipped)
    return np.concatenate([[np.inf], (kept[-1] / kept) ** 2])


def _offer(
    losses: Float[np.ndarray, " n1"], left: int, price: float, several: int, group: int
) -> tuple[float, int, int]:
    """Loss by cost of the next channels of a layer; the last channels of all go at the very end."""
    count = min(several, left - 1) or left
    saved = max(price * count, 1e-12)
    return float((losses[left - count] - losses[left]) / saved), group, count
