"""What the objectives have in common that find out which channels to keep."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import RequestError
from ..objectives import Judged, Look, Objective, Seen, Viewed, Weighted
from ..objectives.companions import Companion
from .budgets import Budget


@dataclass(frozen=True)
class Learned(Objective):
    """An objective around others, with a companion that switches channels of the network.

    Args:
        terms: What is learned anyway.
        budget: What the network may cost.
    """

    terms: Weighted
    budget: Budget
    looks_at: ClassVar[Any] = (Seen, Judged, Viewed)

    @property
    def needs_teacher(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether what is learned anyway does."""
        return self.terms.needs_teacher

    def companion(self, net: nn.Module, teacher: nn.Module | None) -> Companion:
        """What is put into `net`.

        Raises:
            RequestError: See `switches`; or `terms` has companions of its own.
        """
        if own := self.terms.companions(net, teacher):
            raise RequestError(f"{next(iter(own))}: does not go with pruning; train with it after")
        return self.switches(net)

    @abstractmethod
    def switches(self, net: nn.Module) -> Companion:
        """What switches channels of `net`.

        Raises:
            RequestError: It cannot be, for the budget or the network.
        """

    def task(self, seen: Look) -> Float[Tensor, ""]:
        """The sum of the terms."""
        return torch.stack(list(self.terms(seen).values())).sum()


def by_channel(factors: Float[Tensor, " n"], y: Tensor) -> Tensor:
    """`factors`, one a channel, in the shape and precision to multiply `y` (b, n, ...) with."""
    return factors.to(y).view(1, -1, *[1] * (y.ndim - 2))
