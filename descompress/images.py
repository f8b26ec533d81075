"""Images to describe: which there are, what they are called, and what is in them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hpatches_eval.greyimages import decoded
from hpatches_eval.sequences import find_images

from .errors import FileError, RequestError


def named(paths: Sequence[Path]) -> dict[str, Path]:
    """The images of files and folders by their names: from a folder on, or that of the file.

    Raises:
        FileError: A path is not there.
        DataError: A folder is without images.
        RequestError: Two images would have the same name.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise FileError(f"{path}: no such file or folder")
        files = find_images(path) if path.is_dir() else [path]
        for file in files:
            name = (file.relative_to(path) if path.is_dir() else Path(file.name)).as_posix()
            if found.setdefault(name, file) != file:
                raise RequestError(
                    f"{found[name]} and {file} would both be called {name}: give the folder that "
                    "holds both instead"
                )
    return found


def read_image(path: Path) -> UInt8[np.ndarray, "h w"]:
    """An image in grey, its pixels as they are stored: a note to turn them is not followed.

    Raises:
        FileError: It cannot be read to its end, or is far too large.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error
    image = decoded(content, upright=False)
    if image is None:
        raise FileError(f"{path}: cannot be read as an image")
    return image
