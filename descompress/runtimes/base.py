"""One interface for everything that can run a network: arrays in, arrays out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..errors import InputError
from .facts import Facts

Run: TypeAlias = Callable[[np.ndarray], Sequence[np.ndarray]]
SIDE = 32  # of a patch


@dataclass(frozen=True)
class Session:
    """A network that a backend holds.

    Args:
        label: The backend and the precision it computes in, such as "onnxruntime int8".
        run: Computes the outputs of a batch.
    """

    facts: Facts
    label: str
    run: Run


class Runtime:
    """A network ready to run: what its `facts` say it reads to what they say it writes.

    A deep copy, or what comes out of a pickle, has a session of its own.

    Args:
        open_session: Can be copied and pickled, which a session cannot.
    """

    def __init__(self, open_session: Callable[[], Session]) -> None:
        self._open, self._session = open_session, open_session()

    @property
    def facts(self) -> Facts:
        """What it reads and writes."""
        return self._session.facts

    @property
    def label(self) -> str:
        """The backend and the precision it computes in, such as "onnxruntime int8"."""
        return self._session.label

    def __call__(self, batch: np.ndarray) -> tuple[np.ndarray, ...]:
        """The outputs of a batch, float32, in the order of the facts.

        Raises:
            InputError: Another shape or type.
        """
        self._check(batch)
        return tuple(self._session.run(np.ascontiguousarray(batch)))

    def __reduce__(self) -> tuple[type["Runtime"], tuple[Callable[[], Session]]]:
        return Runtime, (self._open,)

    def __deepcopy__(self, _: dict[int, object]) -> "Runtime":
        return Runtime(self._open)

    def _check(self, batch: np.ndarray) -> None:
        facts, shape = self.facts, batch.shape
        if batch.dtype != np.float32:
            raise InputError(f"{facts.kind} must be float32, not {batch.dtype}")
        if facts.kind == "patches" and shape[1:] != (1, SIDE, SIDE):
            raise InputError(f"patches must be (b, 1, {SIDE}, {SIDE}), not {shape}")
        if facts.kind == "images" and not _whole(shape, facts.cell):
            sides = f"h and w multiples of {facts.cell}"
            raise InputError(f"images must be (b, 1, h, w), {sides}, not {shape}")


def _whole(shape: tuple[int, ...], cell: int) -> bool:
    sides = shape[2:]
    return len(shape) == 4 and shape[1] == 1 and all(n and n % cell == 0 for n in sides)
