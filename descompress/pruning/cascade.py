"""Student, assistants and teacher: channels that are chosen while all of them learn.

Models T_0 (the student) to T_A share one set of convolution weights. T_A has all its channels; the
nearer to the student, the fewer. Each has scores of its own, batch norms, a first and a last layer,
and learns from the next; T_A learns from the network that all of them began as. The channels with
the highest scores are on, and scores follow the gradient of the next model, the teacher's:

    score_i -= a g_{i+1},   g = sum over batch and pixels of dL/dY * Y

so that channels that are off in T_i and on in T_{i+1} can come back. Without assistants the student
follows its own gradient.

Source: R. Miles, K. Mikolajczyk, "Cascaded channel pruning using hierarchical self-distillation",
BMVC 2020, arXiv 2008.06814; eq. 4.3 to 4.5 of ch. 4 of R. Miles' thesis. Our reading of it: scores
begin as the magnitudes of filters over the mean of their layer; g is divided by its root mean
square in each layer, so that the rate a, which falls to 0, means the same everywhere; under a
budget of costs it is not one threshold that decides but the order of `balance`, since a threshold
on saliencies takes whole layers away; the budgets of the models lie evenly between the student's
and the whole network; masks stand, and gradients are taken, behind the batch norm of a convolution
(before it the sum is 0 but for rounding, since a norm undoes every scale); of a converted last
layer its last stage alone is a model's own; masks follow the scores every 25 steps, and a channel
takes the place of another when it is clearly ahead, since those near the threshold would else come
and go (g of a batch is mostly noise where the teacher has converged); and the optimiser is that of
the plan, at its highest rate as long as masks move, where the paper has SGD with cosine cycles.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import RequestError
from ..objectives import Look
from ..objectives.companions import Companion, Outputs, Passage, in_rows, outputs_of
from ..objectives.maps import activations
from ..slimming import Kept, layout_of, narrowed
from .budgets import Budget, Chooser, Scores, protected_groups
from .criteria import magnitude
from .learned import Learned
from .masks import Masks, masked_, unmasked
from .resources import Resources

RATE = 0.002  # that scores change by at the first step, in means of their layer's magnitudes
EVERY = 25  # steps: how often masks follow the scores
AHEAD = 0.05  # of a channel that is on, by how much another must be to take its place


@dataclass(frozen=True)
class Cascaded(Learned):
    """The losses of all models of a cascade, each with the next as its teacher.

    Args:
        assistants: Models between the student and the original.
        prune_first: Whether channels of the first layer may go; in the paper they stay.
        hints: Weight of the mean squared difference of the maps behind the activations of each
            model and the next; 0.001 in the paper, where they do harm.
    """

    assistants: int = 2
    prune_first: bool = False
    hints: float = 0.0
    name: ClassVar[str] = "cascade"

    def __post_init__(self) -> None:
        if self.assistants < 0 or self.hints < 0:
            raise RequestError(f"{self.assistants} assistants, hints {self.hints}: at least 0")

    def switches(self, net: nn.Module) -> "Cascade":
        """The assistants, and the masks of all models; those of the student are put into `net`.

        Raises:
            RequestError: The budget is out of reach.
        """
        found = Cascade(net, self.budget, self.assistants, prune_first=self.prune_first)
        found.watched = activations(net) if self.hints else ()
        return found

    def __call__(self, seen: Look) -> Float[Tensor, ""]:
        """The sum over all models."""
        rows, hints = self.beside(seen), None
        if self.hints and self.assistants:
            rows, hints = rows[..., : -self.assistants], rows[..., -self.assistants :]
        losses = [self.task(model) for model in seen.chain(rows)]
        if hints is not None:
            losses.append(self.hints * hints.mean((0, 1)).sum())
        return torch.stack(losses).sum()


class Cascade(Companion):
    """The assistants of `net`, the student, and what each model has switched off."""

    def __init__(
        self, net: nn.Module, budget: Budget, assistants: int, *, prune_first: bool
    ) -> None:
        super().__init__()
        layout = layout_of(net)
        protected = protected_groups(layout, prune_first=prune_first)
        self.layout = layout
        self.chooser = Chooser(Resources(net, layout), protected, balanced=True)
        self.assistants = nn.ModuleList(deepcopy(net) for _ in range(assistants))
        self.masks = nn.ModuleList(masked_(each, layout) for each in (net, *self.assistants))
        for assistant in self.assistants:
            share_(assistant, net, layout.first_layers | layout.last_layers)
        whole = self.chooser.whole(budget.kind)
        steps = max(assistants, 1)
        self.budgets = [budget.towards(i / steps, whole) for i in range(assistants + 1)]
        self._student = [net]  # in a list, so that it is no part of this module
        for g, own in enumerate(magnitude(net, layout)):
            start = (own / own.mean().clamp(min=1e-12)).double()
            for i in range(len(self.budgets)):
                self.register_buffer(f"score{i}_{g}", start.clone())
        self.rate = RATE
        self.choose_()

    def forward(self, passage: Passage) -> Float[Tensor, "n w"]:
        """The descriptors of the assistants, side by side, and hints where they are asked for."""
        rows, maps = [passage.rows.new_zeros(len(passage.rows), 0)], [_maps(passage.outputs, self)]
        for assistant in self.assistants:
            with outputs_of(activations(assistant) if self.watched else ()) as outputs:
                rows.append(in_rows(assistant(passage.patches)))
            maps.append([output for _, output in outputs])
        pairs = pairwise(maps) if self.watched else ()
        return torch.cat([*rows, *(hint(*pair)[:, None] for pair in pairs)], dim=1)

    def begin_(self, net: nn.Module, step: int, steps: int) -> None:
        """Set the rate of the step."""
        del net
        self.rate = RATE * (1 - step / steps)

    def follow_(self, net: nn.Module, step: int) -> None:
        """Change scores by the gradients of the step, and now and then masks by the scores."""
        del net
        models = self._all_masks()
        for i, teacher in enumerate([*models[1:], models[-1]]):
            for g in teacher.active:
                gradient = teacher.saliency(g).double()
                size = gradient.square().mean().sqrt().clamp(min=1e-30)
                self.get_buffer(f"score{i}_{g}").sub_(self.rate * gradient / size)
        for masks in models:
            masks.forget_()
        if step % EVERY == 0:
            self.choose_()

    def choose_(self) -> None:
        """Switch on, in every model, the channels of the highest scores that fit its budget."""
        for i, masks in enumerate(self._all_masks()):
            on = [torch.zeros(len(own)) for own in self.scores(i)]
            for g in masks.active:
                on[g] = masks.mask(g).cpu()
            scores = [own + AHEAD * mask for own, mask in zip(self.scores(i), on, strict=True)]
            masks.keep_(self.chooser.kept(scores, self.budgets[i]))

    def scores(self, model: int) -> Scores:
        """Of the student (0) or an assistant, by group."""
        return [
            self.get_buffer(f"score{model}_{g}").cpu().clone()
            for g in range(len(self.layout.groups))
        ]

    def kept(self, model: int) -> Kept:
        """The channels that a model has switched on."""
        return self._all_masks()[model].kept()

    def model(self, number: int) -> nn.Module:
        """The student (0) or an assistant, as an ordinary network without what is switched off."""
        nets = (self._student[0], *self.assistants)
        return narrowed(unmasked(nets[number]), self.layout, self.kept(number))

    @property
    def deployed(self) -> nn.Module:
        """The student."""
        return self.model(0)

    def _all_masks(self) -> list[Masks]:
        return list(self.masks)  # pyright: ignore[reportReturnType]


def hint(
    maps: Sequence[Float[Tensor, "n _ _ _"]], taught: Sequence[Float[Tensor, "n _ _ _"]]
) -> Float[Tensor, " n"]:
    """Mean squared difference of maps from those of a teacher, mean over layers."""
    apart = [
        (own.float() - other.detach().float()).square().flatten(1).mean(1)
        for own, other in zip(maps, taught, strict=True)
    ]
    return torch.stack(apart).mean(0)


def _maps(outputs: Outputs, cascade: Companion) -> list[Tensor]:
    return [output for module, output in outputs if module in cascade.watched]


def share_(net: nn.Module, other: nn.Module, apart: frozenset[str]) -> None:
    """Let `net` have the convolution weights of `other`, but not those of the layers `apart`."""
    for name, module in other.named_modules():
        is_layer = any(parameter.ndim > 1 for parameter in module.parameters(recurse=False))
        if is_layer and name not in apart:
            for called, parameter in module.named_parameters(recurse=False):
                net.get_submodule(name).register_parameter(called, parameter)
