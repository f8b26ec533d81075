"""One training loop: any network, any source of batches, any objective; stops and goes on anywhere.

    training = Training(net, triplet, Plan(steps=4000))
    for terms in training.run(stream(source, training.step, 4000)):
        ...  # print, evaluate, training.save("run.ckpt"), stop

The random state is part of a checkpoint and batches depend on their step alone, so a training that
was stopped and restored gives the curve of one that was not.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from hpatches_eval.files import replacing

from .errors import FileError, RequestError, TrainingError
from .objectives import Objective


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast to learn.

    Args:
        steps: Batches in all.
        lr: The highest learning rate, reached after `warmup` steps and then lowered to 0 along a
            straight line, as HardNet's was.
        weight_decay: AdamW's, decoupled from the gradient.
        bf16: Run the network in bfloat16 where that is safe (autocast); the loss stays in float32.
    """

    steps: int
    lr: float = 2e-3
    warmup: int = 100
    weight_decay: float = 1e-4
    bf16: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.lr < math.inf or self.warmup < 0:
            raise RequestError(f"{self}: steps >= 1, lr >= 0 and warmup >= 0 are needed")

    def rate(self, step: int) -> float:
        """The learning rate of step 0, 1, ..."""
        rising = (step + 1) / (self.warmup + 1)
        return self.lr * min(rising, 1.0) * max(1 - step / self.steps, 0.0)


class Training:
    """A network on its way: with its optimiser, at some step of a plan.

    Args:
        net: Trained in place.
        objective: The terms whose sum is minimised.
    """

    def __init__(self, net: nn.Module, objective: Objective, plan: Plan) -> None:
        self.net, self.objective, self.plan = net, objective, plan
        self.step = 0
        self.optimizer = torch.optim.AdamW(
            net.parameters(), lr=plan.lr, weight_decay=plan.weight_decay
        )

    def run(self, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[dict[str, float]]:
        """Learn from `batches`, the first of which is that of step `self.step`.

        Yields the terms of the objective after each step. The caller may evaluate the network,
        save, or stop in between.

        Raises:
            TrainingError: A term is not finite; the network is left as the last step made it.
        """
        for batch in batches:
            if self.step >= self.plan.steps:
                return
            yield self._learn(batch)

    def _learn(self, batch: tuple[Tensor, Tensor]) -> dict[str, float]:
        self.net.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate(self.step)
        device = next(self.net.parameters()).device
        moved = (batch[0].to(device), batch[1].to(device))
        with torch.autocast(device.type, torch.bfloat16, enabled=self.plan.bf16):
            terms = self.objective(self.net, moved)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            raise TrainingError(f"step {self.step}: the loss is {loss.item()}; lower the rate")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        return {name: term.item() for name, term in terms.items()}

    def save(self, path: str | Path) -> None:
        """Write a checkpoint, whole or not at all, in place of the one before."""
        state = {
            "plan": asdict(self.plan),
            "step": self.step,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        with replacing(path, force=True) as new:
            torch.save(state, new)

    def restore(self, path: str | Path) -> None:
        """Go on from a checkpoint that `save` wrote. Nothing in the file is executed.

        Raises:
            FileError: Not such a file, of another plan, or of another network.
        """
        state = _read(Path(path))
        if state.get("plan") != asdict(self.plan):
            raise FileError(
                f"{path}: a checkpoint of {state.get('plan')}, not of {asdict(self.plan)}; "
                f"ask for the same, or delete it to start anew"
            )
        try:
            self.net.load_state_dict(state["net"])
            self.optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["random"])
            self.step = int(state["step"])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            line = str(error).splitlines()[0]
            raise FileError(f"{path}: a checkpoint of another network ({line})") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, UnpicklingError, EOFError, ValueError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise FileError(f"{path}: not a checkpoint ({line})") from None
    if not isinstance(state, dict):
        raise FileError(f"{path}: not a checkpoint")
    return state
