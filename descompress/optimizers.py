"""What changes the weights, given their gradients.

AdamW scales each number by itself. Muon changes the weights of a layer as the matrix that they are:
the momentum M of an (out, in k k) matrix, gradients mixed in by Nesterov's rule, is replaced by
the nearest matrix with orthonormal rows or columns, so that directions with small gradients are
learned as fast as the few with large ones. With M = U S V^T a step is

    W <- (1 - lr decay) W - lr 0.2 sqrt(max(out, in k k)) U V^T,

whose numbers are as large as those of a step of AdamW, so that rates can be compared. U V^T is
found by five Newton-Schulz iterations, which leave singular values of 0.7 to 1.2.

Sources: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024
(kellerjordan.github.io/posts/muon), for the step and the iteration; J. Liu et al., "Muon is
scalable for LLM training", arXiv 2502.16982, eq. 4, for its size.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

Weights = list[nn.Parameter]

MOMENTUM = 0.95
SIZE = 0.2  # root mean square of AdamW's steps, about
QUINTIC, ITERATIONS = (3.4445, -4.7750, 2.0315), 5  # of Jordan et al.


class Muon(torch.optim.Optimizer):
    """See above.

    Args:
        weights: Each with the outputs of a layer first, and at least two dimensions.
    """

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore
        """Change all weights that have a gradient."""
        del closure
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._step(weight, weight.grad, group)

    def _step(self, weight: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        ahead = gradient.lerp(momentum, MOMENTUM).flatten(1)
        direction = orthogonal(ahead) * SIZE * math.sqrt(max(ahead.shape))
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.sub_(direction.view_as(weight), alpha=group["lr"])


def orthogonal(matrix: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
    """U V^T of the matrix U S V^T, about: singular values of 0.7 to 1.2; those that are 0 stay."""
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    x, (a, b, c) = wide / (wide.norm() + 1e-12), QUINTIC
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x if wide is matrix else x.T


def adamw(
    learner: nn.Module, weights: Weights, lr: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """AdamW for all weights."""
    return [torch.optim.AdamW(weights, lr=lr, weight_decay=weight_decay)]


def muon(
    learner: nn.Module, weights: Weights, lr: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """Muon for what mixes channels in convolutions and linear layers, AdamW for the rest.

    The rest are kernels of single channels, those that read the image among them, biases, batch
    norms, and what objectives learn for themselves that is no layer.
    """
    mixing = {
        layer.weight
        for layer in learner.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.shape[1] > 1
    }
    matrices = [weight for weight in weights if weight in mixing]
    others = [weight for weight in weights if weight not in mixing]
    pairs = (Muon, matrices), (torch.optim.AdamW, others)
    return [kind(own, lr=lr, weight_decay=weight_decay) for kind, own in pairs if own]


OPTIMIZERS: dict[str, Callable[..., list[torch.optim.Optimizer]]] = {"adamw": adamw, "muon": muon}
