"""How one convolution becomes a smaller layer."""

from dataclasses import fields

from ..errors import SpecError
from .base import Layer, Method, Setting
from .cdp import CDP
from .depthwise import Depthwise
from .tdw import TDW
from .tucker import Tucker

METHODS: dict[str, type[Method]] = {
    "cdp": CDP,
    "depthwise": Depthwise,
    "tucker": Tucker,
    "tdw": TDW,
}


def parse(text: str) -> Method:
    """The method written as ``cdp:alpha=5,inner=bn_relu``: its name, then its settings.

    Raises:
        SpecError: An unknown method or setting; the text says which there are.
    """
    name, _, settings = text.partition(":")
    if name not in METHODS:
        raise SpecError(f"unknown method {name!r}; there are {', '.join(METHODS)}")
    known = [field.name for field in fields(METHODS[name])]  # pyright: ignore[reportArgumentType]
    values: dict[str, Setting] = {}
    for item in filter(None, settings.split(",")):
        key, equals, value = item.partition("=")
        if key not in known or not equals or key in values:
            raise SpecError(f"{text!r}: {name} takes {'=..., '.join(known)}=..., each once")
        values[key] = _value(value)
    try:
        return METHODS[name](**values)
    except TypeError:
        raise SpecError(f"{text!r}: {name} needs {known[0]}=...") from None


def _value(text: str) -> Setting:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


__all__ = ["CDP", "METHODS", "TDW", "Depthwise", "Layer", "Method", "Setting", "Tucker", "parse"]
