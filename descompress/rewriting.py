"""Networks rewritten for the machines they run on: the same outputs, from a faster graph."""

from collections.abc import Collection
from copy import deepcopy

import torch
from torch import nn

from .folding import folded
from .methods import Layer
from .methods.stages import absorb_norm_
from .nets import Net, PatchNet, SuperPoint
from .observation import inputs_of

REWRITES = ("norms", "layers", "dense")


def rewritten(net: Net, only: Collection[str] = REWRITES) -> nn.Module:
    """A copy that computes what `net` does in eval mode, to rounding, and takes the same input.

    * Batch norms that follow a convolution are merged into it.
    * Layers take the form that runtimes are fastest with; see `methods.Layer.rewritten`.
    * A convolution whose kernel is as large as what it reads becomes a matrix product.

    What comes out is to be run or exported; it has no spec and cannot be saved or trained on.

    Args:
        only: Some of these, by `REWRITES` in this order: to see what each buys.
    """
    norms = "norms" in only
    normed = isinstance(net, SuperPoint) and net.batch_norm
    copied = folded(net) if norms and normed else deepcopy(net)
    copied.eval().requires_grad_(requires_grad=False)
    for part in list(copied.modules()) if norms else []:
        if isinstance(part, nn.Sequential):
            _merge_norms_(part)
    for name, layer in list(copied.named_modules()) if "layers" in only else []:
        if isinstance(layer, Layer):
            copied.set_submodule(name, layer.rewritten())
    if isinstance(copied, PatchNet) and "dense" in only:
        _flatten_whole_(copied)
    del copied.spec
    return copied.eval().requires_grad_(requires_grad=False)


def _merge_norms_(chain: nn.Sequential) -> None:
    """Merge each batch norm right behind a convolution into it, and drop what does nothing."""
    kept: list[nn.Module] = []
    for part in chain:
        target = kept[-1] if kept else None
        conv = target.mixer if isinstance(target, Layer) else target
        if isinstance(part, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d):
            absorb_norm_(conv, part)
        elif not isinstance(part, nn.Dropout | nn.Identity):
            kept.append(part)
    del chain[:]
    chain.extend(kept)


def _flatten_whole_(net: PatchNet) -> None:
    """Convolutions that see their whole input at once, as dense layers."""
    patch = torch.zeros(1, *(1, net.patch_size, net.patch_size))
    patch = patch.to(next(net.parameters()).device)
    for name, conv in list(net.named_modules()):
        if isinstance(conv, nn.Conv2d) and conv.groups == 1 and conv.kernel_size != (1, 1):
            read = next(inputs_of(conv, net, patch)).shape[-2:]
            if tuple(read) == conv.kernel_size and set(conv.padding) == {0}:
                net.set_submodule(name, _dense(conv))


def _dense(conv: nn.Conv2d) -> nn.Sequential:
    weight = conv.weight.detach().flatten(1)
    dense = nn.Linear(weight.shape[1], len(weight), bias=conv.bias is not None).to(weight)
    dense.weight = nn.Parameter(weight)
    if conv.bias is not None:
        dense.bias = nn.Parameter(conv.bias.detach())
    return nn.Sequential(nn.Flatten(), dense, nn.Unflatten(1, (len(weight), 1, 1)))
