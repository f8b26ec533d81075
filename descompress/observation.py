"""What the layers of a network read and write when it runs over data."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .errors import InputError

PIXELS = 256 * 32 * 32  # in one batch: 256 patches, or an image


class _Reached(Exception):
    """Ends a forward pass where nothing more is needed of it."""


def inputs_of(module: nn.Module, net: nn.Module, data: Tensor) -> Iterator[Float[Tensor, "..."]]:
    """What `module` reads, at its first call, while `net` reads `data` batch by batch."""
    return _seen(module, net, data, before=True)


def outputs_of(module: nn.Module, net: nn.Module, data: Tensor) -> Iterator[Float[Tensor, "..."]]:
    """What `module` writes, at its first call, while `net` reads `data` batch by batch."""
    return _seen(module, net, data, before=False)


def call_order(modules: Iterable[nn.Module], net: nn.Module, data: Tensor) -> list[nn.Module]:
    """Those of the modules that `net` calls, in the order of their first calls."""
    order: list[nn.Module] = []
    with _hooked(modules, lambda module, _: order.append(module), before=True), torch.no_grad():
        net(next(_batches(net, data)))
    return list(dict.fromkeys(order))


def _seen(
    module: nn.Module, net: nn.Module, data: Tensor, *, before: bool
) -> Iterator[Float[Tensor, "..."]]:
    found: list[Tensor] = []

    def take(_: nn.Module, value: Tensor) -> None:
        found.append(value)
        raise _Reached

    for batch in _batches(net, data):
        with _hooked([module], take, before=before), suppress(_Reached), torch.no_grad():
            net(batch)
        yield found.pop()


@contextmanager
def _hooked(
    modules: Iterable[nn.Module], see: Callable[[nn.Module, Tensor], None], *, before: bool
) -> Iterator[None]:
    """Call `see` with what each of the modules reads (or writes) while the block runs them."""
    if before:
        handles = [m.register_forward_pre_hook(lambda m, args: see(m, args[0])) for m in modules]
    else:
        handles = [m.register_forward_hook(lambda *seen: see(seen[0], seen[2])) for m in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _batches(net: nn.Module, data: Tensor) -> Iterator[Float[Tensor, "b c h w"]]:
    """In the precision of the weights.

    Raises:
        InputError: There is nothing in `data`, or it has not four axes.
    """
    if data.ndim != 4 or not data.numel():
        raise InputError(f"patches must be (n, 1, height, width), not {tuple(data.shape)}")
    weight = next(net.parameters())
    for batch in data.split(max(1, PIXELS // data[0, 0].numel())):
        yield batch.to(weight)
