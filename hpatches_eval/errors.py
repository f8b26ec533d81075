"""Errors of the evaluator: one readable line each.

EvalError                 anything below
|- RequestError           what was asked for cannot be done (exit status 2)
`- DataError              a file or folder is not what it should be (exit status 1)
   `- OutputError         an output cannot be written
"""

from .messages import plain


class EvalError(Exception):
    """Base of all errors of this package; its text is one line for the user."""

    exit_code = 1

    def __str__(self) -> str:
        return plain(super().__str__())


class RequestError(EvalError):
    """The request itself does not fit: an unknown split, distance or baseline, a bad option."""

    exit_code = 2


class DataError(EvalError):
    """A file or folder is missing, broken, or does not fit the others."""


class OutputError(DataError):
    """An output exists already, or its place cannot be written."""
