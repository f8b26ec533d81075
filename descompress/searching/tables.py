"""What replacing each layer costs and saves, and the best of all recipes if these add up.

The assumption of additivity: what several replaced layers lose is the sum of what each loses alone,
and so is what they save. Multiply-accumulates and parameters do add up; time and accuracy nearly.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import RequestError

MOST = 4000  # partial recipes that are followed at a time

Recipe: TypeAlias = Mapping[str, str]  # a method by layer number, "keep" included


@dataclass(frozen=True)
class Choice:
    """A method for one layer.

    Args:
        loss: How far outputs move if this layer alone is replaced by it.
        saved: Of what the whole network costs; less than 0 where it costs more.
    """

    method: str
    loss: float
    saved: float


@dataclass(frozen=True)
class Table:
    """The choices of every layer.

    Args:
        whole: What the network costs as it is, in the unit of `saved`.
        layers: By layer number; the first choice of each keeps it.
    """

    whole: float
    layers: Mapping[str, Sequence[Choice]]

    def loss(self, recipe: Recipe) -> float:
        """The expected loss."""
        return math.fsum(self._choice(n, recipe[n]).loss for n in self.layers)

    def cost(self, recipe: Recipe) -> float:
        """The expected cost, at least 0."""
        return max(0.0, self.whole - math.fsum(self._choice(n, recipe[n]).saved for n in recipe))

    def least(self) -> Recipe:
        """The recipe that costs least."""
        return {n: max(own, key=lambda c: c.saved).method for n, own in self.layers.items()}

    def front(self) -> list[Recipe]:
        """The recipes that none beats in both loss and cost, the least loss first.

        By dynamic programming over layers: exact as long as at most `MOST` partial recipes are
        worth following; beyond that, of those that save about the same the one of least loss is.
        """
        partial: list[tuple[float, float, tuple[str, ...]]] = [(0.0, 0.0, ())]
        for own in self.layers.values():
            grown = [
                (loss + c.loss, saved + c.saved, (*methods, c.method))
                for loss, saved, methods in partial
                for c in own
            ]
            partial = _thinned(_unbeaten(grown))
        return [dict(zip(self.layers, methods, strict=True)) for *_, methods in partial]

    def greedy(self, limit: float) -> Recipe:
        """From the whole network on, always the change that loses least for what it saves.

        Ends at the limit, or where nothing saves more.
        """
        recipe = {number: own[0].method for number, own in self.layers.items()}
        while self.cost(recipe) > limit and (steps := list(self._steps(recipe))):
            number, choice = min(steps, key=lambda step: step[0])[1]
            recipe[number] = choice.method
        return recipe

    def best(self, limit: float) -> Recipe:
        """The recipe of least expected loss that costs at most `limit`.

        Raises:
            RequestError: None does.
        """
        for recipe in self.front():
            if self.cost(recipe) <= limit:
                return recipe
        if self.cost(least := self.least()) <= limit:
            return least
        raise RequestError(f"out of reach: the least is {self.cost(least):g}")

    def _choice(self, number: str, method: str) -> Choice:
        return next(c for c in self.layers[number] if c.method == method)

    def _steps(self, recipe: Recipe) -> Iterable[tuple[float, tuple[str, Choice]]]:
        for number, own in self.layers.items():
            now = self._choice(number, recipe[number])
            for choice in own:
                if (gain := choice.saved - now.saved) > 0:
                    yield (choice.loss - now.loss) / gain, (number, choice)


def pareto(points: Iterable[tuple[float, float, Recipe]]) -> list[tuple[float, float, Recipe]]:
    """Those (loss, cost, recipe) that none beats in both, the least loss first."""
    kept: list[tuple[float, float, Recipe]] = []
    for point in sorted(points, key=lambda p: p[:2]):
        if not kept or point[1] < kept[-1][1]:
            kept.append(point)
    return kept


def _unbeaten(
    found: Iterable[tuple[float, float, tuple[str, ...]]],
) -> list[tuple[float, float, tuple[str, ...]]]:
    kept: list[tuple[float, float, tuple[str, ...]]] = []
    for point in sorted(found, key=lambda p: (p[0], -p[1])):
        if not kept or point[1] > kept[-1][1]:
            kept.append(point)
    return kept


def _thinned(
    found: list[tuple[float, float, tuple[str, ...]]],
) -> list[tuple[float, float, tuple[str, ...]]]:
    """At most about `MOST`: the first in each of as many equal steps of what is saved."""
    if len(found) <= MOST:
        return found
    low, high = found[0][1], found[-1][1]
    steps: dict[int, tuple[float, float, tuple[str, ...]]] = {}
    for point in found[:-1]:
        steps.setdefault(int((point[1] - low) / (high - low) * MOST), point)
    return [*steps.values(), found[-1]]
