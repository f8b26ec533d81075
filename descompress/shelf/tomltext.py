"""Plain values as TOML; the standard library only reads it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

WIDTH = 120  # of a table on one line


def to_toml(table: Mapping[str, Any]) -> str:
    """The text that `tomllib` reads as `table`.

    Args:
        table: Of strings, numbers, truth values, lists of these, and tables; its keys are strings.

    Raises:
        TypeError: TOML has no such value, such as None.
    """
    return "\n".join(_lines(table, ())).strip("\n") + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """The values of a table first, then the tables in it, each under its own header."""
    below = {}
    for key, value in table.items():
        line = None if isinstance(value, Mapping) and not path else _line(key, value)
        if line is None or (isinstance(value, Mapping) and len(line) > WIDTH):
            below[key] = value
        else:
            yield line
    for key, value in below.items():
        yield f"\n[{'.'.join(map(_key, (*path, key)))}]"
        yield from _lines(value, (*path, key))


def _line(key: str, value: Any) -> str:
    return f"{_key(key)} = {_value(value)}"


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(_line(k, v) for k, v in value.items())} }}" if value else "{}"
    raise TypeError(f"TOML has no {type(value).__name__}")
