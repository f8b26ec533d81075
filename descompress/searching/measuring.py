"""What replacing one layer costs in accuracy and saves in time, each measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..calibration import calibrate_
from ..clock import interleaved
from ..converter import convert
from ..costs import Cost, cost
from ..deployment import deploy
from ..nets import Net, PatchNet
from ..runtimes import Runtime
from ..sizing import batched
from .candidates import replaced
from .tables import Recipe

ROUNDS = 15
PATCHES = 64  # in a call
QUANTISED = 16  # batches at most that int8 is calibrated on
TIMED = 2  # where only time is looked at


@dataclass(frozen=True)
class Target:
    """Where a network is to run.

    Args:
        on: One of `deployment.TARGETS`.
        inputs: Batches to calibrate int8 on; the first is what is timed.
    """

    on: str
    threads: int
    inputs: Sequence[np.ndarray]

    def runs(self, net: Net, batches: int = QUANTISED) -> Runtime:
        """`net`, ready to run there."""
        return deploy(net, self.on, threads=self.threads, inputs=self.inputs[:batches])


@dataclass(frozen=True)
class Inputs:
    """What a search measures accuracy on.

    Args:
        fitting: That replaced layers are refitted on.
        held: Others, that outputs are compared on.
        wanted: What the original network makes of those.
    """

    fitting: Tensor
    held: np.ndarray
    wanted: tuple[np.ndarray, ...]


def batches_of(inputs: np.ndarray, net: Net) -> list[np.ndarray]:
    """As many at a time as are timed: `PATCHES`, or one image."""
    size = PATCHES if isinstance(net, PatchNet) else 1
    return batched(inputs, size)


def outputs(runtime: Runtime, batches: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Those of all batches."""
    made = [runtime(batch) for batch in batches]
    return tuple(np.concatenate(part) for part in zip(*made, strict=True))


def moved(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """How far outputs are from others: 0 where they are the same.

    Of descriptors one minus the cosine, on average; of scores the probability that is elsewhere in
    a cell of 8 x 8 pixels, on average. Image networks: the sum of both.
    """
    product = (found[-1] * wanted[-1]).sum(1)
    loss = float(np.mean(1 - product, dtype=np.float64))
    return max(0.0, loss) + (_elsewhere(found[0], wanted[0]) if len(found) > 1 else 0.0)


def sensitivity(net: Net, inputs: Inputs, layer: str, method: str) -> float:
    """How far the outputs move if one layer alone is replaced, and what can be is refitted."""
    small = calibrate_(convert(net, {layer: method}), net, inputs.fitting)
    return moved(eager_outputs(small, inputs.held), inputs.wanted)  # pyright: ignore


def eager_outputs(net: Net, held: np.ndarray) -> tuple[np.ndarray, ...]:
    """What PyTorch computes, in full precision."""
    return outputs(deploy(net, "eager-fp32"), batches_of(held, net))


def layer_costs(
    net: Net, layer: str, methods: Sequence[str], target: Target
) -> dict[str, dict[str, int | float]]:
    """For each method what the network costs with that one layer replaced, weights as projected.

    `share` is the time it takes of the whole network's in the same rounds: layers are timed where
    they are, for what surrounds them decides how they are computed.
    """
    nets = [convert(net, {layer: method}) for method in methods]
    runtimes = [target.runs(each, TIMED) for each in nets]
    _, shares = timed_shares(target.runs(net, TIMED), runtimes, target.inputs[0])
    return {
        method: {**counted(cost(each)), "share": share}
        for method, each, share in zip(methods, nets, shares, strict=True)
    }


def timed_shares(
    whole: Runtime, runtimes: Sequence[Runtime], x: np.ndarray
) -> tuple[float, list[float]]:
    """Seconds a call of `whole`, and what share of them the others take, in the same rounds."""
    calls = [lambda run=run: run(x) for run in (whole, *runtimes)]
    first, *others = interleaved(calls, rounds=ROUNDS)
    return first.median, [other.median / first.median for other in others]


def counted(found: Cost) -> dict[str, int]:
    """What there is no need to measure."""
    return {"macs": found.macs, "params": found.params}


def made(net: Net, recipe: Recipe, fitting: Tensor) -> Net:
    """The network of a recipe, calibrated."""
    if not replaced(recipe):
        return net
    return calibrate_(convert(net, replaced(recipe)), net, fitting)  # pyright: ignore


def _elsewhere(found: np.ndarray, wanted: np.ndarray) -> float:
    """Half the absolute differences of the 65 probabilities of a cell, averaged over cells."""
    b, _, h, w = found.shape
    change = (found - wanted).reshape(b, h // 8, 8, w // 8, 8)
    total = np.abs(change).sum((2, 4)) + np.abs(change.sum((2, 4)))
    return float(np.mean(total, dtype=np.float64)) / 2
