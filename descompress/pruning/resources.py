"""What a network would cost with some of its channels removed, without building it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..costs import LayerCost, cost
from ..wiring import Layout, Segment

On: TypeAlias = Sequence[Float[Tensor, " _"]]
SIDES = ("out", "into")  # of a layer


@dataclass(frozen=True)
class _Layer:
    """One layer: parameters and MACs a channel written, or a pair of channels written and read."""

    out: tuple[Segment, ...]
    into: tuple[Segment, ...]
    weights: float
    macs: float
    alone: float  # parameters a channel written: biases, scales, slopes
    size: tuple[int, ...]  # of the map it writes

    def amount(self, kind: str, on: On) -> Float[Tensor, ""]:
        """Parameters ("params") or MACs ("macs")."""
        pair, alone = self.costs(kind)
        return _count(self.out, on) * (pair * _count(self.into, on) + alone)

    def pressure(self, kind: str, scales: On, alive: On) -> Float[Tensor, ""]:
        """MorphNet's regulariser: what `amount` would lose with the scales of its channels."""
        pair, alone = self.costs(kind)
        written = _count(self.out, scales) * (pair * _count(self.into, alive) + alone)
        return written + pair * _count(self.out, alive) * _count(self.into, scales)

    def costs(self, kind: str) -> tuple[float, float]:
        """Of a pair of channels, and of a channel that is written."""
        return (self.weights, self.alone) if kind == "params" else (self.macs, 0.0)


@dataclass(frozen=True)
class Block:
    """Layers that write maps of one size."""

    layers: tuple[_Layer, ...]
    all_on: On

    def amount(self, kind: str, on: On) -> Float[Tensor, ""]:
        """Parameters or MACs of all."""
        return torch.stack([layer.amount(kind, on) for layer in self.layers]).sum()

    def pressure(self, kind: str, scales: On, alive: On) -> Float[Tensor, ""]:
        """See `_Layer.pressure`."""
        return torch.stack([each.pressure(kind, scales, alive) for each in self.layers]).sum()

    def whole(self, kind: str) -> float:
        """What it costs with all channels."""
        return float(self.amount(kind, self.all_on))


class Resources:
    """Parameters and MACs of a network as sums over its layers (MorphNet's resource model).

    A layer has as many weights as channels it writes times channels it reads times pixels of its
    kernel, and as many MACs as that times pixels it writes (A. Gordon et al., "MorphNet", CVPR
    2018, eq. 2 to 4). Channels may be on in part, from 0 to 1: sums then have a gradient.

    Args:
        shape: Of the input without the batch, for modules that are not of this package.

    Raises:
        InputError: The shape is missing or does not fit.
    """

    def __init__(
        self, net: nn.Module, layout: Layout, shape: tuple[int, ...] | None = None
    ) -> None:
        self.layout = layout
        costs = {layer.name: layer for layer in cost(net, input_shape=shape).layers}
        self._layers = [
            _layer(net.get_submodule(name), name, layout, costs.get(name))
            for name in sorted({name for name, _ in layout.axes})
        ]
        self.all_on = [torch.ones(group.size) for group in layout.groups]

    def params(self, on: On) -> Float[Tensor, ""]:
        """Parameters when the channels of each group are on as `on` says."""
        return torch.stack([layer.amount("params", on) for layer in self._layers]).sum()

    def macs(self, on: On) -> Float[Tensor, ""]:
        """MACs for one input."""
        return torch.stack([layer.amount("macs", on) for layer in self._layers]).sum()

    def prices(self, kind: str, shares: Float[np.ndarray, " g"]) -> Float[np.ndarray, " g"]:
        """What a channel of each group costs when so large a share of every group is on.

        Args:
            kind: "params", or MACs for anything else.
        """
        out, into, pair, alone = self._products("params" if kind == "params" else "macs")
        written, read = (each[0] @ shares + each[1] for each in (out, into))
        slopes = out[0].T @ (pair * read + alone) + into[0].T @ (pair * written)
        return slopes / np.array([max(group.size, 1) for group in self.layout.groups])

    @cache  # noqa: B019 - as long as the network is looked at
    def _products(self, kind: str) -> tuple[Any, Any, np.ndarray, np.ndarray]:
        """Of all layers: places written and read by the groups' shares, and what they cost."""
        sides = [self._shares([getattr(layer, side) for layer in self._layers]) for side in SIDES]
        costs = np.array([layer.costs(kind) for layer in self._layers]).T
        return sides[0], sides[1], costs[0], costs[1]

    def _shares(
        self, layers: Sequence[tuple[Segment, ...]]
    ) -> tuple[Float[np.ndarray, "l g"], Float[np.ndarray, " l"]]:
        table = np.zeros((len(layers), len(self.layout.groups)))
        for row, segments in zip(table, layers, strict=True):
            for s in segments:
                row[s.group] += s.places
        return table, np.array([float(not segments) for segments in layers])

    def blocks(self) -> list[Block]:
        """The layers by the size of the maps they write, from the largest on."""
        sizes = sorted({layer.size for layer in self._layers if layer.macs}, reverse=True)
        return [
            Block(tuple(each for each in self._layers if each.size == size), self.all_on)
            for size in sizes
        ]

    def channels(self, on: On) -> Float[Tensor, ""]:
        """How many of the channels that can be removed are on."""
        groups = zip(self.layout.groups, on, strict=True)
        return torch.stack([values.sum() for group, values in groups if not group.fixed]).sum()


def _layer(module: nn.Module, name: str, layout: Layout, told: LayerCost | None) -> _Layer:
    out, into = (layout.axes.get((name, axis), ()) for axis in ("out", "in"))
    written = max(_places(out), 1)
    pairs = written * max(_places(into), 1)
    own = list(module.parameters(recurse=False))
    weights = sum(p.numel() for p in own if p.ndim > 1) / pairs
    alone = sum(p.numel() for p in own if p.ndim <= 1) / written
    macs, size = (told.macs / pairs, told.shape[1:]) if told else (0.0, ())
    return _Layer(out, into, weights, macs, alone, size)


def _places(segments: tuple[Segment, ...]) -> int:
    return sum(s.places for s in segments)


def _count(segments: tuple[Segment, ...], on: On) -> Float[Tensor, ""]:
    counts = [on[s.group][s.start : s.stop].sum() * s.each for s in segments]
    return torch.stack(counts).sum() if counts else torch.ones(())
