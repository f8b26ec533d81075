"""Recipes by name, in the notation of the paper's tables.

    cdp5                          CDP with alpha 5 on every layer but the first
    cdp-2-4-4-8-8-16              CDP with one alpha a layer
    depthwise@5-7                 depthwise-separable, layers 5 to 7 only
    depthwise@7+tucker-vbmf@2-6   two methods
    cdp:alpha=5,inner=bn_relu     a method with its settings

Which layers: those wider than 1x1, but not layer 1, as in R. Miles, K. Mikolajczyk, arXiv
2001.03102 (2..7 of HardNet, 2..10 of SuperPoint).
"""

import re

from torch import nn

from .errors import SpecError
from .methods import CDP, TDW, Depthwise, Method, Tucker, parse
from .nets import Net

PRESETS: dict[str, Method] = {
    "cdp2": CDP(2),
    "cdp5": CDP(5),
    "cdp10": CDP(10),
    "cdp15": CDP(15),
    "cdp-variance": CDP("variance"),
    "depthwise": Depthwise(),
    "tucker-vbmf": Tucker("vbmf"),
    "tucker": Tucker(0.375),
    "tdw-vbmf": TDW("vbmf"),
    "tdw": TDW(0.375),
}


def preset(name: str, net: nn.Module) -> list[tuple[str, Method]]:
    """The layers of `net`, by number, and the method of each.

    Raises:
        SpecError: No such preset, or it does not fit `net`.
    """
    if not isinstance(net, Net):
        raise SpecError(f"the preset {name!r} needs a network with numbered layers: name layers")
    return [item for part in name.split("+") for item in _part(part, net)]


def _part(text: str, net: Net) -> list[tuple[str, Method]]:
    name, _, where = text.partition("@")
    layers = _layers(where, net) if where else default_layers(net)
    if name in PRESETS or ":" in name:
        method = PRESETS[name] if name in PRESETS else parse(name)
        return [(layer, method) for layer in layers]
    if not re.fullmatch(r"cdp(-\d{1,5})+", name):
        raise SpecError(
            f"unknown preset {name!r}; there are {', '.join(PRESETS)}, cdp-2-4-... with an alpha a "
            f"layer, METHOD:SETTING=..., @2-6 behind them for some of the layers, and + between "
            f"two of them"
        )
    alphas = [int(alpha) for alpha in name.split("-")[1:]]
    if len(alphas) != len(layers):
        raise SpecError(
            f"preset {name!r}: {len(alphas)} alphas for the {len(layers)} layers "
            f"{', '.join(layers)}"
        )
    return [(layer, CDP(alpha)) for layer, alpha in zip(layers, alphas, strict=True)]


def default_layers(net: Net) -> list[str]:
    """The numbers of the layers that presets replace, where none are named."""
    return [number for number, name in net.layer_numbers().items() if _is_wide(number, name, net)]


def _is_wide(number: str, name: str, net: Net) -> bool:
    module = net.get_submodule(name)
    return number != "1" and not (isinstance(module, nn.Conv2d) and set(module.kernel_size) == {1})


def _layers(where: str, net: Net) -> list[str]:
    numbers = list(net.layer_numbers())
    first, _, last = where.partition("-")
    last = last or first
    if first not in numbers or last not in numbers[numbers.index(first) :]:
        raise SpecError(f"layers {where!r} are not within {numbers[0]}-{numbers[-1]}")
    return numbers[numbers.index(first) : numbers.index(last) + 1]
