"""A network with some of its convolutions replaced by smaller layers."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TypeAlias, TypeVar

import torch
from torch import nn

from .errors import SpecError
from .methods import Layer, Method, parse
from .nets import Net
from .presets import preset

KEEP = "keep"  # written for a method: leave these layers as they are
Recipe: TypeAlias = str | Mapping[str, Method | str] | Iterable[tuple[str, Method | str]]
N = TypeVar("N", bound=nn.Module)


def convert(net: N, recipe: Recipe) -> N:
    """A smaller copy of `net` that imitates it as closely as its new layers allow.

    Args:
        net: Any module that holds plain convolutions. It is left unchanged.
        recipe: A method for each pattern of layer names, such as ``{"features.*": CDP(2)}`` or
            ``[("*", "depthwise"), ("features.0", "keep")]``; later patterns win. For networks of
            this package a pattern also matches the numbers papers give the layers, ``{"[2-7]":
            "cdp:alpha=5"}``, and the name of a preset, ``"cdp5"``, is a recipe. Layers that were
            replaced already are not matched.

    Raises:
        SpecError: A pattern matches no convolution, or a method does not fit one.
    """
    methods = _resolved(net, _pairs(net, recipe))
    small = deepcopy(net)
    for name, method in methods.items():
        small = _replaced(small, name, method)
    if isinstance(small, Net) and hasattr(small, "spec"):
        small.spec = replace(small.spec, layers={**small.spec.layers, **methods})
    return small


def _pairs(net: nn.Module, recipe: Recipe) -> Sequence[tuple[str, Method | str]]:
    if isinstance(recipe, str):
        return preset(recipe, net)
    pairs = tuple(recipe.items() if isinstance(recipe, Mapping) else recipe)
    if not pairs:
        raise SpecError("the recipe is empty: name a pattern of layers and a method")
    return pairs  # pyright: ignore[reportReturnType]


def _resolved(net: nn.Module, pairs: Sequence[tuple[str, Method | str]]) -> dict[str, Method]:
    """The method of each convolution, all its settings being numbers that fit."""
    convs = _convolutions(net)
    chosen: dict[str, Method | None] = {}
    for pattern, method in pairs:
        wanted = parse(method) if isinstance(method, str) and method != KEEP else method
        chosen |= dict.fromkeys(
            _matching(net, convs, pattern), None if isinstance(wanted, str) else wanted
        )
    return {name: _fitted(name, convs[name], method) for name, method in chosen.items() if method}


def _convolutions(net: nn.Module) -> dict[str, nn.Conv2d]:
    """Those that no converted layer holds."""
    modules = dict(net.named_modules())
    done = tuple(f"{name}." for name, module in modules.items() if isinstance(module, Layer))
    return {
        name: module
        for name, module in modules.items()
        if isinstance(module, nn.Conv2d) and not name.startswith(done)
    }


def _matching(net: nn.Module, convs: Mapping[str, nn.Conv2d], pattern: str) -> list[str]:
    numbers = net.layer_numbers() if isinstance(net, Net) else {}
    called = {name: number for number, name in numbers.items()}
    names = [
        name
        for name in convs
        if fnmatchcase(name, pattern) or fnmatchcase(called.get(name, ""), pattern)
    ]
    if not names:
        raise SpecError(
            f"{pattern!r} matches none of the convolutions {', '.join(convs)}{_done(net)}"
        )
    return names


def _done(net: nn.Module) -> str:
    done = [name for name, module in net.named_modules() if isinstance(module, Layer)]
    return f" ({', '.join(done)} were replaced already)" if done else ""


def _fitted(name: str, conv: nn.Conv2d, method: Method) -> Method:
    if not conv.weight.is_meta and not torch.isfinite(conv.weight).all():
        raise SpecError(f"{name}: its weights hold NaN or infinity")
    try:
        return method.resolve(conv)
    except SpecError as error:
        raise SpecError(f"{name}: {error}") from None


def _replaced(net: N, name: str, method: Method) -> N:
    """`net` with its convolution `name` replaced, wherever else it may be used too."""
    conv = net.get_submodule(name)
    assert isinstance(conv, nn.Conv2d)
    layer = method.layer(conv).project_(conv).train(conv.training)
    layer.requires_grad_(conv.weight.requires_grad)
    if net is conv:
        return layer  # pyright: ignore[reportReturnType]
    for alias, module in list(net.named_modules(remove_duplicate=False)):
        if module is conv:
            net.set_submodule(alias, layer)
    return net
