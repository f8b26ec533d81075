"""Plain values as this package writes them, read back from files that anyone may have changed."""

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import ArtifactError

_MISFITS = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)


@contextmanager
def as_written(what: object, verb: str) -> Iterator[None]:
    """Have whatever comes up in the block, or the function, where values do not fit be one error.

    Args:
        what: What holds the values.
        verb: Of `descompress`, which writes it.

    Raises:
        ArtifactError: Something is missing, or of another type.
    """
    try:
        yield
    except _MISFITS as error:
        raise ArtifactError(f"{what}: not as `descompress {verb}` writes it") from error
