"""A converted network adjusted to data, without training.

Two things are set from patches alone, layer by layer from the input on:

* the last 1x1 convolution of every replaced layer, so that its outputs come nearest to those the
  original layer has in the original network, given the inputs the layer really gets (so that it
  makes up for the errors of the layers before it);
* the statistics of every batch norm behind the first replaced layer: mean and variance of what it
  reads, exactly.

Source: the reconstruction of Y. He, X. Zhang, J. Sun, "Channel pruning for accelerating very deep
neural networks", ICCV 2017, section 3.1, here for the 1x1 convolutions of replaced layers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hpatches_eval.progress import Progress, silent

from .errors import InputError, SpecError
from .methods import Layer
from .observation import call_order, inputs_of, outputs_of

RIDGE = 1e-6  # of the mean squared input: how hard the refit holds on to the present weights
POLISHED = 2**25  # numbers of a layer's input that `polish` keeps in memory


def calibrate_(
    small: nn.Module,
    reference: nn.Module,
    patches: Tensor,
    *,
    polish: int = 0,
    progress: Progress = silent,
) -> nn.Module:
    """Refit the replaced layers and re-estimate the batch norms of `small`; return it.

    In the order of the layers, so that each is adjusted to what it will really read.

    Args:
        small: A conversion of `reference`; changed in place, left in eval mode.
        patches: (n, 1, h, w), of the kind to be described; a few thousand patches of 32 x 32.
        polish: Steps of L-BFGS on all weights of each replaced layer, after its refit and towards
            the same outputs. Helps the methods with few weights most, and takes a few times as
            long as the rest.

    Raises:
        InputError: The patches do not fit the network, or are too few.
        SpecError: No layer was replaced, or one has no counterpart in `reference`.
    """
    job = _Job(small, reference, patches, progress)
    return _adjust_(job, _behind_first_layer(small, patches), polish)


def refit_(small: nn.Module, reference: nn.Module, patches: Tensor) -> nn.Module:
    """Only the first part of `calibrate_`; batch norms within replaced layers are set too."""
    steps = [step for step in _behind_first_layer(small, patches) if step.layer]
    return _adjust_(_Job(small, reference, patches), steps)


def reestimate_norms_(net: nn.Module, patches: Tensor) -> nn.Module:
    """Set the statistics of every batch norm of `net` to those of what it reads; return `net`.

    Mean and (unbiased) variance over all patches and places, not a moving average; each norm is
    set before the next is looked at.

    Args:
        net: Changed in place, left in eval mode.
        patches: (n, 1, h, w), of the kind to be described.

    Raises:
        InputError: The patches do not fit the network, or are too few.
    """
    steps = [step for step in _steps(net, patches) if isinstance(step.module, nn.BatchNorm2d)]
    return _adjust_(_Job(net, net, patches), steps)


@dataclass(frozen=True)
class _Step:
    """Something to set: a batch norm, or the last convolution of a replaced layer.

    Args:
        layer: Name of the replaced layer that `module` is part of, if any.
    """

    module: nn.Module
    layer: str = ""


def _steps(net: nn.Module, patches: Tensor) -> list[_Step]:
    """All there is to set, in the order in which a forward pass comes to it."""
    layers = {name: m for name, m in net.named_modules() if isinstance(m, Layer)}
    owner = {m: name for name, layer in layers.items() for m in layer.modules()}
    mixers = [layer.mixer for layer in layers.values()]
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats]
    order = call_order([*mixers, *norms], net.eval(), patches)
    return [_Step(module, owner.get(module, "")) for module in order]


def _behind_first_layer(net: nn.Module, patches: Tensor) -> list[_Step]:
    steps = _steps(net, patches)
    replaced = [i for i, step in enumerate(steps) if step.layer]
    if not replaced:
        raise SpecError("no layer of this network was replaced: there is nothing to calibrate")
    return steps[replaced[0] :]


@dataclass(frozen=True)
class _Job:
    """A network to adjust, the one to imitate, and what both read."""

    small: nn.Module
    reference: nn.Module
    patches: Tensor
    progress: Progress = silent

    def pairs(
        self, module: nn.Module, layer: str, count: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """What `module` of `small` reads, and what `reference` writes at the layer `layer`."""
        some = self.patches[:count]
        read = inputs_of(module, self.small, some)
        wanted = outputs_of(_counterpart(self.reference, layer), self.reference, some)
        return zip(read, wanted, strict=True)


def _adjust_(job: _Job, steps: list[_Step], polish: int = 0) -> nn.Module:
    was_training = job.reference.training
    job.small.eval()
    job.reference.eval()
    with torch.no_grad():
        for done, step in enumerate(steps):
            job.progress("calibrating", done, len(steps))
            if isinstance(step.module, nn.BatchNorm2d):
                _set_statistics_(step.module, job)
                continue
            _set_mixer_(step, job)
            if polish:
                _polish_(step.layer, job, polish)
        job.progress("calibrating", len(steps), len(steps))
    job.reference.train(was_training and job.reference is not job.small)
    return job.small


def _counterpart(reference: nn.Module, name: str) -> nn.Module:
    try:
        return reference.get_submodule(name)
    except AttributeError:
        raise SpecError(f"the reference network has no layer {name!r}") from None


def _set_statistics_(norm: nn.BatchNorm2d, job: _Job) -> None:
    total = _Moments()
    for x in inputs_of(norm, job.small, job.patches):
        total.add(_columns(x))
    if total.count < 2:
        raise InputError("one patch has no variance: calibrate with more")
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(total.mean)
    norm.running_var.copy_(total.squares / (total.count - 1))


@dataclass
class _Moments:
    """Mean and squared deviations of rows that come in batches (Chan et al., 1979)."""

    count: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    squares: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, rows: Float[Tensor, "r c"]) -> None:
        mean, count = rows.mean(0), self.count + len(rows)
        gap, share = mean - self.mean.to(mean), len(rows) / count
        within = (rows - mean).square().sum(0)
        self.squares = self.squares.to(mean) + within + gap.square() * self.count * share
        self.mean, self.count = self.mean.to(mean) + gap * share, count


def _set_mixer_(step: _Step, job: _Job) -> None:
    """Least squares for a 1x1 convolution, held to its present weights by a small ridge.

    With P the present weights, A the inputs and Y the wanted outputs, the minimiser of
    |A W - Y|^2 + r |W - P|^2 is P + (A'A + r)^-1 A'(Y - A P): never worse than P.
    """
    mixer = step.module
    assert isinstance(mixer, nn.Conv2d)
    size = mixer.in_channels + (mixer.bias is not None)
    gram = mixer.weight.new_zeros(size, size, dtype=torch.float64)
    pull = mixer.weight.new_zeros(size, mixer.out_channels, dtype=torch.float64)
    for x, y in job.pairs(mixer, step.layer):
        inputs, missing = _columns(x), _columns(y) - _columns(mixer(x))
        if mixer.bias is not None:
            inputs = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)
        gram += inputs.T @ inputs
        pull += inputs.T @ missing
    gram.diagonal().add_(RIDGE * gram.diagonal().mean() + 1e-30)
    change = torch.linalg.solve(gram, pull).to(mixer.weight)
    mixer.weight += change[: mixer.in_channels].T[:, :, None, None]
    if mixer.bias is not None:
        mixer.bias += change[-1]


def _polish_(name: str, job: _Job, steps: int) -> None:
    """Bring all weights of a layer nearer to the wanted outputs, by L-BFGS with line search."""
    layer = job.small.get_submodule(name)
    one, _ = next(job.pairs(layer, name, 1))
    pairs = list(job.pairs(layer, name, max(1, POLISHED // one.numel())))
    scale = sum(y.square().sum() for _, y in pairs)
    flags = [weight.requires_grad for weight in layer.parameters()]
    search = torch.optim.LBFGS(layer.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def error() -> Tensor:
        search.zero_grad()
        total = one.new_zeros(())
        for x, y in pairs:
            loss = (layer(x) - y).square().sum() / scale
            loss.backward()
            total += loss.detach()
        return total

    with torch.enable_grad():
        layer.requires_grad_()
        search.step(error)  # pyright: ignore[reportArgumentType]
    search.zero_grad()
    for weight, flag in zip(layer.parameters(), flags, strict=True):
        weight.requires_grad_(flag)


def _columns(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "p c"]:
    """One row a place, in double precision."""
    return x.double().permute(0, 2, 3, 1).flatten(0, 2)
