"""What a pruning was asked for, as the table [prune] of a recipe.

[prune]
macs = 0.25                   # or params, latency, channels: see budgets.Budget.parse
criterion = "cascade"         # or "structure"; or one of criteria.CRITERIA, which choose at once
assistants = 0                # of the cascade
steps = 600                   # in which channels are found, before the plan's steps
prune_first = false           # whether the first layer may lose channels too
hints = 0.0                   # weight of the maps of teachers beside what they say, in a cascade
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import RequestError
from ..settings import fitted, kinds_of, require_known
from .budgets import KINDS, Budget
from .criteria import CRITERIA

CASCADE, STRUCTURE = "cascade", "structure"
LEARNED = (CASCADE, STRUCTURE)
MOST_ASSISTANTS = 64  # each is another network that learns along
BALANCED = (CASCADE, "balanced")  # every layer keeps enough channels: see balance


@dataclass(frozen=True)
class Pruning:
    """How many channels to remove, and how they are found.

    Args:
        criterion: "cascade" or "structure", which learn what to keep, or a name of
            `criteria.CRITERIA`.
        assistants: Models between student and teacher in a cascade.
        steps: How long it learns what to keep; the criteria that do not learn leave these steps to
            the fine-tuning.
        prune_first: Whether the first layer may lose channels.
        hints: See `cascade.Cascaded`.
    """

    budget: Budget
    criterion: str = CASCADE
    assistants: int = 0
    steps: int = 600
    prune_first: bool = False
    hints: float = 0.0

    def __post_init__(self) -> None:
        if self.criterion not in (*LEARNED, *CRITERIA):
            known = ", ".join((*LEARNED, *CRITERIA))
            raise RequestError(f"criterion {self.criterion!r}: there are {known}")
        if self.assistants < 0 or self.steps < 1 or not 0 <= self.hints < math.inf:
            raise RequestError(f"assistants, hints >= 0 and steps >= 1 are needed, not {self}")
        if self.assistants > MOST_ASSISTANTS:
            raise RequestError(f"{self.assistants} assistants: at most {MOST_ASSISTANTS}")

    @classmethod
    def read(cls, table: Mapping[str, Any]) -> "Pruning":
        """What a table says.

        Raises:
            RequestError: Not exactly one budget, an unknown setting, or a value that does not fit.
        """
        budgets = [kind for kind in KINDS if kind in table]
        if len(budgets) != 1:
            raise RequestError(
                f"a pruning needs one budget of {', '.join(KINDS)}, not "
                f"{' and '.join(budgets) or 'none'}"
            )
        settings = {name: value for name, value in table.items() if name not in KINDS}
        require_known(settings, (*KINDS, *_TYPES), "[prune]")
        own = {name: fitted(_TYPES[name], v, f"[prune] {name}") for name, v in settings.items()}
        return cls(Budget.parse(budgets[0], str(table[budgets[0]])), **own)

    def to_json(self) -> dict[str, Any]:
        """What `read` makes the same of."""
        amount = f"{self.budget.value!r}{'x' if self.budget.share else ''}"
        seconds = "s" if self.budget.kind == "latency" and not self.budget.share else ""
        own = {name: getattr(self, name) for name in _TYPES}
        return {self.budget.kind: amount + seconds, **own}


_TYPES = {name: kind for name, kind in kinds_of(Pruning).items() if name != "budget"}
