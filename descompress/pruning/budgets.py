"""What is left of a network, in the units people think in."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import RequestError
from ..slimming import Kept, best
from ..wiring import Layout
from .balance import order
from .resources import Resources

KINDS = ("macs", "params", "channels", "latency")
UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
AMOUNT = re.compile(r"((?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)\s*([a-zA-Z]*)")
TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0}

Scores: TypeAlias = Sequence[Float[Tensor, " _"]]
Measure: TypeAlias = Callable[[Kept], float]


@dataclass(frozen=True)
class Budget:
    """An upper limit of what a pruned network may cost.

    Args:
        kind: "macs", "params", "channels" (those that can be removed) or "latency" (seconds).
        value: The limit.
        share: Whether it is a share of what the whole network costs.
    """

    kind: str
    value: float
    share: bool

    def __post_init__(self) -> None:
        if not 0 < self.value < math.inf or (self.share and self.value > 1):
            raise RequestError(f"{self}: a share is in (0, 1], anything else above 0")

    def __str__(self) -> str:
        unit = " of what there is" if self.share else " s" if self.kind == "latency" else ""
        return f"{self.value:g}{unit} ({self.kind})"

    @classmethod
    def parse(cls, kind: str, text: str) -> "Budget":
        """The budget of ``--macs 0.25``, ``--params 200k`` or ``--latency 2ms``.

        Numbers up to 1 without a unit are shares; "0.5x" is one too.

        Raises:
            RequestError: It is no number with a unit that fits.
        """
        units = TIMES if kind == "latency" else UNITS
        match = AMOUNT.fullmatch(text.strip())
        if match is None or (match[2].lower() != "x" and match[2].lower() not in {**units, "": 1}):
            known = ", ".join(f"3{unit}" for unit in units if unit)
            raise RequestError(f"--{kind} {text!r}: a share such as 0.25, or an amount: {known}")
        number, unit = float(match[1]), match[2].lower()
        if unit == "x" or (not unit and number <= 1):
            return cls(kind, number, share=True)
        if kind == "latency" and not unit:
            raise RequestError(f"--latency {text!r}: say the unit: us, ms or s")
        return cls(kind, number * units[unit], share=False)

    def towards(self, part: float, whole: float) -> "Budget":
        """The budget `part` of the way to `whole`, what the whole network costs (0 is this one)."""
        own = self.value * whole if self.share else self.value
        return Budget(self.kind, own + part * (whole - own), share=False)


@dataclass(frozen=True)
class Chooser:
    """Finds which channels to keep under a budget.

    Args:
        protected: Groups of the layout, by index, that keep all their channels.
        time: Seconds of a network with those channels; only budgets of latency need it.
        balanced: Whether every layer keeps enough channels (see `balance`). Without it, and for
            budgets of channels, one threshold holds for the scores of all layers.
    """

    resources: Resources
    protected: frozenset[int] = frozenset()
    time: Measure | None = None
    balanced: bool = False

    def kept(self, scores: Scores, budget: Budget) -> Kept:
        """The channels of the highest scores that fit the budget.

        Of whatever a layer reads at least one channel stays.

        Raises:
            RequestError: Not even that fits; the text says the least that can be reached.
        """
        limit = budget.value * (self.whole(budget.kind) if budget.share else 1)
        if not self.free:
            raise RequestError("there are no channels that could be removed")
        balanced = self.balanced and budget.kind != "channels"
        ranks = self._balanced(scores, budget.kind) if balanced else self._ranks(scores)
        few, many = 0, sum(map(len, ranks.values()))
        if (least := self.measured(self._first(ranks, few), budget.kind)) > limit:
            raise RequestError(
                f"{budget}: out of reach; the least that can be is {_told(least, budget.kind)}, "
                f"with a channel of each layer"
            )
        while few < many:
            middle = (few + many + 1) // 2
            fits = self.measured(self._first(ranks, middle), budget.kind) <= limit
            few, many = (middle, many) if fits else (few, middle - 1)
        return self._first(ranks, few)

    def whole(self, kind: str) -> float:
        """What the network costs as it is."""
        return self.measured([on.nonzero()[:, 0] for on in self.resources.all_on], kind)

    def measured(self, kept: Kept, kind: str) -> float:
        """What a network with these channels costs."""
        if kind == "latency":
            if self.time is None:
                raise RequestError("a budget of latency needs a way to measure it")
            return self.time(kept)
        on = [
            torch.zeros(len(full)).index_fill(0, own, 1)
            for full, own in zip(self.resources.all_on, kept, strict=True)
        ]
        return float(getattr(self.resources, kind)(on))

    @property
    def free(self) -> list[int]:
        """The groups that may lose channels."""
        groups = enumerate(self.resources.layout.groups)
        return [i for i, group in groups if not group.fixed and i not in self.protected]

    def _ranks(self, scores: Scores) -> dict[int, Float[Tensor, " _"]]:
        """The place of each channel that may go, 0 for the highest score of all; no two are one."""
        free = self.free
        sizes = [len(scores[i]) for i in free]
        falling = torch.cat([scores[i].double() for i in free]).argsort(
            descending=True, stable=True
        )
        places = torch.empty_like(falling)
        places[falling] = torch.arange(len(falling))
        return dict(zip(free, places.double().split(sizes), strict=True))

    def _balanced(self, scores: Scores, kind: str) -> dict[int, Float[Tensor, " _"]]:
        own = {i: scores[i].double().numpy() for i in self.free}
        prices = partial(self.resources.prices, kind)
        places = order(own, len(self.resources.layout.groups), prices)
        return {i: torch.from_numpy(each).double() for i, each in places.items()}

    def _first(self, ranks: dict[int, Float[Tensor, " _"]], count: int) -> Kept:
        """The `count` channels of the highest scores, and those that must stay."""
        layout = self.resources.layout
        kept = [torch.arange(group.size) for group in layout.groups]
        for i, own in ranks.items():
            kept[i] = best(-own, int((own < count).sum()), layout.readings(i))
        return kept


def protected_groups(layout: Layout, *, prune_first: bool) -> frozenset[int]:
    """The groups that the first layers write, unless they may be pruned too."""
    if prune_first:
        return frozenset()
    written = (layout.axes.get((name, "out"), ()) for name in layout.first_layers)
    return frozenset(s.group for segments in written for s in segments)


def _told(value: float, kind: str) -> str:
    if kind == "latency":
        return f"{1000 * value:.3g} ms"
    return f"{value:,.0f} {kind}"
