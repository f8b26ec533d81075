"""Values of settings, as files and command lines give them."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from .errors import RequestError

_WANTED = {float: "a finite number", int: "a whole number", bool: "true or false", str: "a text"}


def kinds_of(settings: type) -> dict[str, Any]:
    """The kind of each field of a dataclass, by name."""
    return {field.name: field.type for field in fields(settings)}


def require_known(content: Mapping[str, Any], known: Collection[str], what: str) -> None:
    """Refuse names that `what` has not.

    Raises:
        RequestError: It says which there are.
    """
    if unknown := sorted(content.keys() - set(known)):
        raise RequestError(f"{what} has no {unknown[0]!r}; it has {', '.join(known)}")


def fitted(kind: type, value: Any, what: str) -> Any:
    """`value` as a float, int, bool or str, whichever `kind` is; an int is a float too.

    Raises:
        RequestError: It is of another kind, or a number that is not finite.
    """
    fits = type(value) is kind or (kind is float and type(value) is int)
    if fits and kind in (float, int):
        fits = abs(value) <= sys.float_info.max
    if not fits:
        raise RequestError(f"{what} must be {_WANTED[kind]}, not {value!r}")
    return kind(value)
