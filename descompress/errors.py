"""Errors of the package: one readable line each, classed by whose fault it is.

DescompressError            anything below
|- RequestError             what was asked for cannot be done (exit status 2)
|  |- SpecError             a network, method, recipe or argument does not exist or does not fit
|  `- InputError            patches or images of another shape, type or content
|- TrainingError            a training went wrong (exit status 1)
`- FileError                a file is not what it should be (exit status 1)
   |- ArtifactError         not an artifact of this package, or a damaged one
   |- CheckpointError       not the published checkpoint it was said to be
   `- FetchError            an address gives nothing, or not what is published there
"""

from hpatches_eval.messages import plain


class DescompressError(Exception):
    """Base of all errors of this package; its text is one line for the user."""

    exit_code = 1

    def __str__(self) -> str:
        return plain(super().__str__())


class RequestError(DescompressError):
    """The request itself does not fit."""

    exit_code = 2


class SpecError(RequestError):
    """A network, method, recipe or argument that does not exist or does not fit."""


class InputError(RequestError):
    """Patches or images that a network cannot read: their shape, type or content."""


class TrainingError(DescompressError):
    """A training left the numbers a network can have."""


class FileError(DescompressError):
    """A file is missing, broken, or not what it was said to be."""


class ArtifactError(FileError):
    """Not a network written by this package, or a damaged one."""


class CheckpointError(FileError):
    """Not the published checkpoint it was said to be."""


class FetchError(FileError):
    """An address that gives nothing, or not what is published there."""
