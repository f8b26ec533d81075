"""One training loop: any network, any source, any objectives; stops and goes on anywhere.

    training = Training(net, Weighted.read({"triplet": {}}), Plan(steps=4000))
    for terms in training.run(stream(source, training.numbers)):
        ...  # print, evaluate, training.save("run.ckpt"), stop

Dropout and batches depend on their number alone, so a training that was stopped and restored gives
the curve of one that was not.

Objectives see the descriptors of a whole batch, which may be larger than what a network can be
trained on at once: it is described in `parts`, the gradient of the loss is taken with respect to
the descriptors, and each part is described again to carry its share of it to the weights
(gradient caching: L. Gao et al., "Scaling deep contrastive learning batch size under memory limited
setup", RepL4NLP 2021). Batch norms see one part at a time, and take the mean of what the parts make
of their statistics. The parts may lie in several processes.

What objectives need beside descriptors is appended to them by companions of the network: together
they are the learner.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from reprlib import repr as brief
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hpatches_eval.files import replacing

from . import processes
from .checkpointfiles import read_checkpoint
from .errors import FileError, RequestError, TrainingError
from .interrupts import interrupts_held
from .looks import AnyBatch, look, sides
from .objectives import Learner, Weighted, follow_
from .objectives.companions import in_rows
from .optimizers import OPTIMIZERS
from .plans import Plan

_UNFIT = (LookupError, RuntimeError, ValueError, TypeError, AttributeError, OverflowError)


class Training:
    """A network on its way: with its optimisers, at some step of a plan.

    Args:
        net: Trained in place.
        objective: The terms whose sum is minimised.
        teacher: Describes the batches that come without a teacher's descriptors.
        origin: Says what else makes this training; a checkpoint of another is refused.
        seed: Of dropout.

    Raises:
        RequestError: The parts of the plan do not divide among the processes, or an objective
            needs something that network or teacher have not.
    """

    def __init__(
        self,
        net: nn.Module,
        objective: Weighted,
        plan: Plan,
        teacher: nn.Module | None = None,
        origin: str = "",
        seed: int = 0,
    ) -> None:
        if plan.parts % processes.count():
            raise RequestError(
                f"{plan.parts} parts do not divide among {processes.count()} processes: ask for "
                f"as many, or for a multiple"
            )
        self.net, self.objective, self.plan, self.origin = net, objective, plan, origin
        self.teacher = teacher.eval().requires_grad_(False) if teacher else None
        self.average = deepcopy(net).requires_grad_(False) if plan.ema else None
        self.seed, self.step = seed, 0
        self.terms: dict[str, float] = {}  # of the last step
        self.torn = False  # in the middle of a step, or left there by an error
        with _seeded(seed, device=next(net.parameters()).device):
            self.learner = Learner(net, objective.companions(net, self.teacher))
        how = {"lr": plan.lr, "weight_decay": plan.weight_decay}
        self.optimizers = OPTIMIZERS[plan.optimizer](self.learner, self.learner.weights, **how)

    @property
    def numbers(self) -> list[int]:
        """The numbers of the batches that are still to learn from."""
        return self.plan.numbers(self.step)

    @property
    def result(self) -> nn.Module:
        """The network to validate and to keep: the moving average if there is one."""
        return self.learner.deployed if self.average is None else self.average

    def run(self, batches: Iterable[AnyBatch]) -> Iterator[dict[str, float]]:
        """Learn from `batches`, those of the numbers `self.numbers`.

        Yields the weighted terms of the objective after each step. The caller may evaluate the
        network, save, or stop in between.

        Raises:
            TrainingError: A term is not finite. The weights are as the last step left them, the
                statistics of batch norms are not.
            RequestError: An objective needs a teacher and there is none.
        """
        own = self.plan.parts // processes.count()
        for parts in zip(*[iter(batches)] * own, strict=True):
            if self.step >= self.plan.steps:
                return
            with interrupts_held():
                self._learn(parts)
            yield self.terms

    def _learn(self, parts: tuple[AnyBatch, ...]) -> None:
        self.torn = True
        self.learner.train()
        self.learner.begin_(self.step, self.plan.steps)
        device = next(self.net.parameters()).device
        on_device = [_moved(part, device) for part in parts]
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        terms = self._backward(on_device)
        loss = sum(terms.values())
        if not math.isfinite(loss):
            raise TrainingError(f"step {self.step}: the loss is {loss}; lower the rate")
        processes.share_gradients_(self.learner)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.plan.rate(self.step)
            optimizer.step()
        processes.share_statistics_(self.learner)
        self.step, self.terms = self.step + 1, terms
        self._follow()
        self.torn = False

    def _backward(self, parts: list[AnyBatch]) -> dict[str, float]:
        """Gradients of this process's share of the loss, and the terms of the whole loss."""
        several = len(parts) > 1
        before = _statistics(self.learner) if several else []
        with torch.set_grad_enabled(not several):
            rows = [self._learned(part, i) for i, part in enumerate(parts)]
        told_apart = processes.gathered(torch.stack([row.detach() for row in rows]))
        terms, gradient = self._gradient(parts, told_apart, self._taught(parts))
        first = processes.rank() * len(parts)
        if not several:
            rows[0].backward(gradient[first])
            return terms
        after: list[list[Tensor]] = []
        for i, part in enumerate(parts):
            _set_statistics_(self.learner, before)
            self._learned(part, i).backward(gradient[first + i])
            after.append(_statistics(self.learner))
        _set_statistics_(self.learner, [_mean(values) for values in zip(*after, strict=True)])
        return terms

    def _learned(self, part: AnyBatch, place: int) -> Float[Tensor, "s b w"]:
        """What the learner makes of a part, with the dropout that belongs to it."""
        number = processes.rank() * self.plan.parts // processes.count() + place
        with _seeded(self.seed, self.step, number, device=part[0].device):
            return self._described(self.learner, part)

    def _gradient(
        self,
        parts: list[AnyBatch],
        rows: Float[Tensor, "n s b w"],
        taught: Float[Tensor, "n s b e"] | None,
    ) -> tuple[dict[str, float], Float[Tensor, "n s b w"]]:
        """The terms of the objective, and the gradient of their sum in the rows."""
        rows.requires_grad_()
        own, beside = self.learner.split(sides(rows))
        told = None if taught is None else sides(taught)
        seen = look(parts, own, told, beside, self.step / self.plan.steps)
        terms = self.objective(seen)
        torch.stack(list(terms.values())).sum().backward()
        assert rows.grad is not None
        return {name: term.item() for name, term in terms.items()}, rows.grad

    def _taught(self, parts: list[AnyBatch]) -> Float[Tensor, "n s b e"] | None:
        if not self.objective.needs_teacher:
            return None
        known = [part.teacher for part in parts if part.teacher is not None]
        if len(known) < len(parts):
            if self.teacher is None:
                return None
            with torch.no_grad():
                known = [self._described(self.teacher, part) for part in parts]
        return processes.gathered(torch.stack(known))

    def _described(self, net: nn.Module, part: AnyBatch) -> Float[Tensor, "s b d"]:
        inputs = part.inputs
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.plan.bf16):
            rows = in_rows(net(inputs))
        return rows.float().unflatten(0, (-1, part.per_side))

    def _follow(self) -> None:
        """Move all averages towards what they are of."""
        if self.average is not None:
            follow_(self.average, self.net, self.plan.ema, self.step)
        self.learner.follow_(self.step)

    def _told(self) -> dict[str, Any]:
        plan, objective = asdict(self.plan), self.objective.to_json()
        return {"plan": plan, "objective": objective, "origin": self.origin, "seed": self.seed}

    def save(self, path: str | Path) -> None:
        """Write a checkpoint, whole or not at all, in place of the one before."""
        state = {
            **self._told(),
            "step": self.step,
            "net": self.net.state_dict(),
            "companions": self.learner.companions.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        with replacing(path, force=True) as new:
            torch.save(state, new)

    def restore(self, path: str | Path) -> None:
        """Go on from a checkpoint that `save` wrote. Nothing in the file is executed.

        Raises:
            FileError: Not such a file, of another plan, or of another network.
        """
        state = _read(Path(path))
        for name, own in self._told().items():
            if state.get(name) != own:
                raise FileError(
                    f"{path}: a checkpoint of {_shown(state.get(name))}, not of {own}; ask for the "
                    f"same, or delete it to start anew"
                )
        try:
            self.net.load_state_dict(state["net"])
            self.learner.companions.load_state_dict(state.get("companions", {}))
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(kept)
            self.step = int(state["step"])
        except _UNFIT as error:
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise FileError(f"{path}: a checkpoint of another network ({line})") from None


def is_final(path: Path) -> bool:
    """Whether a file is the checkpoint of a training's last step."""
    try:
        state = _read(path)
        return state["step"] == state["plan"]["steps"]
    except (FileError, KeyError, TypeError):
        return False


def _moved(batch: AnyBatch, device: torch.device) -> AnyBatch:
    return type(batch)(*(None if part is None else part.to(device) for part in batch))  # pyright: ignore


def _statistics(net: nn.Module) -> list[Tensor]:
    """Copies of the buffers: running means and variances, and how many batches they are of."""
    return [buffer.clone() for buffer in net.buffers()]


def _set_statistics_(net: nn.Module, values: list[Tensor]) -> None:
    for buffer, value in zip(net.buffers(), values, strict=True):
        buffer.copy_(value)


def _mean(values: tuple[Tensor, ...]) -> Tensor:
    return torch.stack(values).mean(0) if values[0].is_floating_point() else values[0]


@contextmanager
def _seeded(*numbers: int, device: torch.device) -> Iterator[None]:
    """Random numbers that depend on `numbers` alone; those outside go on as if none were drawn."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _shown(value: Any) -> str:
    """What a checkpoint says, which may be nested for ever."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{brief(k)}: {brief(v)}' for k, v in islice(value.items(), 20))}}}"
    return value[:200] if isinstance(value, str) else brief(value)


def _read(path: Path) -> dict[str, Any]:
    state = read_checkpoint(path)
    if not isinstance(state, dict):
        raise FileError(f"{path}: not a checkpoint")
    return state
