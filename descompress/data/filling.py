"""Large arrays on disk, written row by row."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from hpatches_eval.files import replacing
from hpatches_eval.progress import Progress, silent

OFTEN = 50  # rows after which an unfinished file is made safe


def fill(
    path: Path,
    shape: tuple[int, ...],
    dtype: type[np.generic],
    rows: Callable[[int], Iterable[np.ndarray]],
    progress: Progress = silent,
) -> Shaped[np.ndarray, "..."]:
    """The array at `path`, mapped read-only; what is missing of it is written first.

    Unfinished, it is called .part, and beside it a file .done holds the number of rows that are
    safe.

    Args:
        rows: Gives the rows from a number on.
    """
    if not path.exists():
        part, note = path.with_suffix(".part"), path.with_suffix(".done")
        done = int(note.read_text()) if note.exists() and part.exists() else 0
        array = np.lib.format.open_memmap(part, "r+" if done else "w+", dtype, shape)
        for number, row in enumerate(rows(done), done):
            array[number] = row
            if (number + 1) % OFTEN == 0:
                array.flush()
                with replacing(note, force=True) as new:
                    new.write_text(str(number + 1))
            progress(f"writing {path.name}", number + 1, shape[0])
        array.flush()
        part.replace(path)
        note.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r", allow_pickle=False)
