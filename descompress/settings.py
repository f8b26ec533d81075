"""Values of settings, as files and command lines give them."""

import sys
from typing import Any

from .errors import RequestError

_WANTED = {float: "a finite number", int: "a whole number", bool: "true or false", str: "a text"}


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
