"""What a search has measured so far, in a file: nothing is ever measured twice."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpatches_eval.files import save_text
from hpatches_eval.terminal import to_json

from ..errors import ArtifactError, RequestError

FILE, FORMAT = "measurements.json", 1
PARTS = ("asked", "whole", "layers", "verified", "answered")


class Notebook:
    """Measurements of one network on one target; every change is on disk at once.

    Args:
        folder: Of the search. Where it holds none, a new one is begun.
        asked: Tells what is measured from other measurements.

    Raises:
        RequestError: The folder holds measurements of something else.
        ArtifactError: Its file is damaged.
    """

    def __init__(self, folder: Path, asked: Mapping[str, Any]) -> None:
        self.path = folder / FILE
        empty = {part: {} for part in PARTS} | {"asked": dict(asked)}
        self._held = _read(self.path) if self.path.exists() else empty
        for name, value in asked.items():
            if (before := self._held["asked"].get(name)) != value:
                raise RequestError(
                    f"{folder}: was begun with {name} {before}, not {value}; use another folder"
                )

    def __getitem__(self, part: str) -> dict[str, Any]:
        """One of `PARTS`."""
        return self._held[part]

    def note(self, part: str, values: Mapping[str, Any]) -> None:
        """Put values into a part."""
        self._held[part].update(values)
        self._write()

    def note_choice(self, layer: str, method: str, found: Mapping[str, Any]) -> None:
        """Add what was measured of a method for a layer."""
        self._held["layers"].setdefault(layer, {}).setdefault(method, {}).update(found)
        self._write()

    def choice(self, layer: str, method: str) -> dict[str, Any]:
        """What is known of a method for a layer."""
        return self._held["layers"].get(layer, {}).get(method, {})

    def _write(self) -> None:
        save_text(self.path, to_json({"format": FORMAT, **self._held}), force=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        held = None
    if not isinstance(held, dict) or held.pop("format", None) != FORMAT or not _fits(held):
        raise ArtifactError(f"{path}: damaged, or of another version; use another folder")
    return held


def _fits(held: Mapping[str, Any]) -> bool:
    if held.keys() != set(PARTS) or not all(isinstance(held[part], dict) for part in PARTS):
        return False
    own = [*held["layers"].values()]
    if not all(isinstance(methods, dict) for methods in own):
        return False
    found = [*(choice for methods in own for choice in methods.values()), held["whole"]]
    return all(
        isinstance(choice, dict) and all(map(_is_number, choice.values())) for choice in found
    )


def _is_number(value: Any) -> bool:
    return value is None or type(value) in (int, float)
