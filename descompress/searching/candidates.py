"""What each layer of a network could become."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields

from torch import nn

from ..converter import KEEP
from ..errors import RequestError, SpecError
from ..methods import CDP, METHODS, TDW, Depthwise, Method, Tucker
from ..nets import Net
from ..presets import default_layers

ALPHAS = (2, 5, 10, 15)  # of the paper's tables
SHARES = (0.125, 0.25, 0.375, 0.5)  # of the channels, as ranks


def candidates(net: Net, methods: Sequence[str] = tuple(METHODS)) -> dict[str, tuple[str, ...]]:
    """By layer number, the methods that could replace it, as `methods.parse` reads them.

    Layers are those of presets: wider than 1x1, and not the first. "keep" always comes first.

    Args:
        methods: Names of those to consider.

    Raises:
        RequestError: Another method, or no layer can be replaced by any.
    """
    if unknown := sorted(set(methods) - METHODS.keys()):
        raise RequestError(f"no method {unknown[0]!r}; there are {', '.join(METHODS)}")
    numbers = net.layer_numbers()
    convs = {number: net.get_submodule(numbers[number]) for number in default_layers(net)}
    found = {
        number: (KEEP, *dict.fromkeys(_fitting(conv, methods)))
        for number, conv in convs.items()
        if isinstance(conv, nn.Conv2d)
    }
    found = {number: choices for number, choices in found.items() if len(choices) > 1}
    if not found:
        raise RequestError(f"{net.spec.net}: no layer is left that {', '.join(methods)} can shrink")
    return found


def told(method: Method) -> str:
    """A method as `methods.parse` reads it, without the settings that are defaults."""
    settings = {
        f.name: getattr(method, f.name)
        for f in fields(method)  # pyright: ignore[reportArgumentType]
        if f.default is MISSING or f.default != getattr(method, f.name)
    }
    return f"{method.name}:{','.join(f'{name}={value}' for name, value in settings.items())}"


def as_preset(recipe: Mapping[str, str]) -> str:
    """A recipe by layer numbers as the name of a preset; empty where all layers are kept."""
    return "+".join(f"{method}@{layer}" for layer, method in recipe.items() if method != KEEP)


def replaced(recipe: Mapping[str, str]) -> dict[str, str]:
    """What `converter.convert` is to do."""
    return {layer: method for layer, method in recipe.items() if method != KEEP}


def _fitting(conv: nn.Conv2d, methods: Sequence[str]) -> Iterator[str]:
    """Those that fit the layer and have fewer weights than it."""
    for wanted in _wanted(conv):
        if wanted.name not in methods:
            continue
        try:
            method = wanted.resolve(conv)
        except SpecError:
            continue
        if _weights(method.layer(conv)) < _weights(conv):
            yield told(method)


def _wanted(conv: nn.Conv2d) -> Iterator[Method]:
    c = conv.in_channels
    yield from map(CDP, sorted({*ALPHAS, c // 4, c // 2}))
    yield from (Depthwise(1), Depthwise("auto"))
    yield from map(Tucker, SHARES)
    yield from map(TDW, SHARES[1:])


def _weights(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
