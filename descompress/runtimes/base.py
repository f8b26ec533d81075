"""One interface for everything that can run a network: arrays in, arrays out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..errors import ArtifactError, InputError
from .facts import Facts

Run: TypeAlias = Callable[[np.ndarray], Sequence[np.ndarray]]
SIDE = 32  # of a patch


@dataclass(frozen=True)
class Session:
    """A network that a backend holds.

    Args:
        label: The backend and the precision it computes in, such as "onnxruntime int8".
        run: Computes the outputs of a batch.
        where: What errors call it.
    """

    facts: Facts
    label: str
    run: Run
    where: str = "the model"


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
            ArtifactError: The model cannot be run, or writes something else than its facts say.
        """
        self._check(batch)
        outputs = tuple(self._session.run(np.ascontiguousarray(batch)))
        wanted = _written(self.facts, batch.shape)
        found = [getattr(output, "shape", None) for output in outputs]
        if found != wanted or any(output.dtype != np.float32 for output in outputs):
            raise ArtifactError(f"{self._session.where}: gives {found}, not {wanted} as it says")
        return outputs

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


def _written(facts: Facts, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes of what is written of a batch of this shape."""
    if facts.kind == "patches":
        return [(shape[0], facts.dim)]
    cells = (shape[0], facts.dim, shape[2] // facts.cell, shape[3] // facts.cell)
    return [shape, cells]


@contextmanager
def refusing(where: str, what: str) -> Iterator[None]:
    """Whatever a backend raises in the block, which has no common class, is one error.

    Raises:
        ArtifactError: It says `where` the model is from and `what` cannot be done with it.
    """
    try:
        yield
    except Exception as error:
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise ArtifactError(f"{where}: {what} ({said})") from error


def _whole(shape: tuple[int, ...], cell: int) -> bool:
    sides = shape[2:]
    return len(shape) == 4 and shape[1] == 1 and all(n and n % cell == 0 for n in sides)
