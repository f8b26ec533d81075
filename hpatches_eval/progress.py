"""How a long job says where it is, without printing anything itself."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]  # (what is being done, done, total)


def silent(stage: str, done: int, total: int) -> None:
    """The progress of a job nobody watches."""
