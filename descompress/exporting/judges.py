"""How well exported networks still do: what int8 may cost is said in these measures."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from hpatches_eval.descriptors import describe_release
from hpatches_eval.evaluation import evaluate
from hpatches_eval.generation import obtain_tasks
from hpatches_eval.patches import PatchRelease
from hpatches_eval.progress import Progress, silent
from hpatches_eval.splits import choose_split

from ..images import read_image
from ..patchfiles import some_images
from ..runtimes import Runtime
from ..runtimes.finders import describe, finder
from ..viewing import PHOTOGRAPHS, Views

TASKS = {
    "verification": "verification",
    "matching": "matching",
    "retrieval_mean_of_pools": "retrieval",
}
PIXELS = (1.0, 3.0)  # at which keypoints and matches of images are judged


Judge: TypeAlias = Callable[[Runtime], dict[str, float]]  # measures in per cent; more is better


class ReleaseJudge:
    """HPatches' three tasks on a patch release.

    Raises:
        DataError: The release cannot be read.
    """

    def __init__(self, path: Path, progress: Progress = silent) -> None:
        self.release, self.progress = PatchRelease(path), progress
        split = choose_split(None, None, self.release.sequences)
        counts = {name: self.release.count(name) for name in split.test}
        self.tasks = obtain_tasks(split, counts, self.release, progress=progress)

    def __call__(self, runtime: Runtime) -> dict[str, float]:
        """mAP, the mean of Easy, Hard and Tough; of retrieval also of its pools."""
        described = describe_release(
            self.release,
            partial(describe, runtime),
            self.tasks.split.test,
            name=runtime.label,
            progress=self.progress,
        )
        found: dict[str, Any] = evaluate(described, self.tasks)["summary"]
        return {name: 100 * found[task]["mean"] for task, name in TASKS.items()}


class ViewsJudge:
    """Photographs seen in other light and from elsewhere.

    Raises:
        DataError: The folder holds no images.
        FileError: One cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.views = Views.of([read_image(file) for file in some_images(folder, PHOTOGRAPHS)])

    def __call__(self, runtime: Runtime) -> dict[str, float]:
        """As `viewing.Views` does; matches and keypoints within 1 and 3 pixels."""
        found = self.views.found(finder(runtime), PIXELS)
        return {name: 100 * share for name, share in found.items()}


def worst_drop(before: dict[str, float], after: dict[str, float]) -> float:
    """By how many points the measure fell that fell most; negative if all rose."""
    return max(before[name] - after[name] for name in before)
