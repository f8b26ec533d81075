"""How long and how fast a network learns."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from . import processes
from .errors import RequestError
from .optimizers import OPTIMIZERS

MOST_STEPS, MOST_PARTS, HIGHEST = 10_000_000, 1024, 1e3  # far above every use
SCHEDULES: dict[
    str, Callable[[float], float]
] = {  # from the share that is done to that of the rate
    "linear": lambda done: 1 - done,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "constant": lambda done: 1.0,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast to learn.

    Args:
        steps: Changes of the weights in all.
        lr: The highest learning rate, reached after `warmup` steps and then lowered to 0.
        schedule: How it is lowered: "linear", along a straight line, as HardNet's was, "cosine",
            along half a cosine, or "constant": not at all.
        optimizer: "adamw", or "muon": see `optimizers`.
        weight_decay: Decoupled from the gradient.
        ema: Decay of the moving average of the weights that is validated and kept, 0 for none.
        parts: Batches of the source whose pairs are told apart in one step.
        bf16: Run the network in bfloat16 where that is safe (autocast); the loss stays in float32.
    """

    steps: int
    lr: float = 2e-3
    schedule: str = "linear"
    warmup: int = 100
    optimizer: str = "adamw"
    weight_decay: float = 1e-4
    ema: float = 0.0
    parts: int = 1
    bf16: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.lr <= HIGHEST or self.warmup < 0:
            raise RequestError(
                f"{self}: steps >= 1, lr of 0 to {HIGHEST:g} and warmup >= 0 are needed"
            )
        if self.steps > MOST_STEPS or self.parts > MOST_PARTS:
            raise RequestError(f"{self}: at most {MOST_STEPS:,} steps of {MOST_PARTS:,} parts")
        if self.schedule not in SCHEDULES:
            raise RequestError(f"schedule {self.schedule!r}: there are {', '.join(SCHEDULES)}")
        if self.optimizer not in OPTIMIZERS:
            raise RequestError(f"optimizer {self.optimizer!r}: there are {', '.join(OPTIMIZERS)}")
        if not 0 <= self.ema < 1 or not 0 <= self.weight_decay <= HIGHEST:
            raise RequestError(
                f"{self}: 0 <= ema < 1 and weight_decay of 0 to {HIGHEST:g} are needed"
            )
        if self.parts < 1:
            raise RequestError(f"{self.parts} parts: at least one is needed")

    def rate(self, step: int) -> float:
        """The learning rate of step 0, 1, ..."""
        rising, done = (step + 1) / (self.warmup + 1), min(step / self.steps, 1.0)
        return self.lr * min(rising, 1.0) * SCHEDULES[self.schedule](done)

    def numbers(self, step: int) -> list[int]:
        """The numbers of the batches that this process learns from, from `step` on."""
        own = self.parts // processes.count()
        first = processes.rank() * own
        starts = range(step * self.parts + first, self.steps * self.parts, self.parts)
        return [start + i for start in starts for i in range(own)]
