"""Jobs done one after the other here, or by Ray Tune on as many machines as it has."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from hpatches_eval.progress import Progress

from ..errors import DescompressError, RequestError

Job: TypeAlias = tuple[str, str]  # a layer and a method
Work: TypeAlias = Callable[[str, str], float]
Note: TypeAlias = Callable[[str, str, float], None]

STAGE = "measuring accuracy"


def here(jobs: Sequence[Job], work: Work, note: Note, progress: Progress) -> None:
    """Do every job and note what came out, in this process."""
    for done, job in enumerate(jobs):
        progress(STAGE, done, len(jobs))
        note(*job, work(*job))
    progress(STAGE, len(jobs), len(jobs))


def on_ray(jobs: Sequence[Job], work: Work, note: Note, progress: Progress, folder: Path) -> None:
    """The same by Ray Tune: a trial is a job, and what came out is noted as soon as it is there.

    The cluster is the one that the environment variable RAY_ADDRESS names, or this machine.

    Args:
        work: Pickled, and sent once to every machine.
        folder: For Tune's own files.

    Raises:
        RequestError: Ray is not installed.
        DescompressError: A job failed.
    """
    ray, tune = imported_ray()
    if not jobs:
        return
    owned = not ray.is_initialized()
    if owned:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        grid = _tuner(tune, jobs, work, _Noting(jobs, note, progress), folder).fit()
    finally:
        if owned:
            ray.shutdown()
    if grid.errors:
        raise DescompressError(f"a job on the cluster failed: {str(grid.errors[0])[-400:]}")


def imported_ray() -> tuple[Any, Any]:
    """Ray and its Tune.

    Raises:
        RequestError: They are not installed.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
        from ray import tune  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise RequestError(
            f"--engine ray needs Ray Tune ({error}): pip install 'descompress[ray]'"
        ) from None
    return ray, tune


class _Noting:
    """Notes what a trial reports, as it reports it."""

    def __init__(self, jobs: Sequence[Job], note: Note, progress: Progress) -> None:
        self.jobs, self.note, self.progress, self.done = jobs, note, progress, 0

    def __call__(self, number: int, value: float) -> None:
        self.note(*self.jobs[number], value)
        self.done += 1
        self.progress(STAGE, self.done, len(self.jobs))


def _tuner(tune: Any, jobs: Sequence[Job], work: Work, noting: _Noting, folder: Path) -> Any:
    class Reported(tune.Callback):
        def on_trial_result(
            self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any
        ) -> None:
            noting(trial.config["number"], result["loss"])

    def trial(config: dict[str, int], jobs: Sequence[Job], work: Work) -> None:
        tune.report({"loss": work(*jobs[config["number"]])})

    return tune.Tuner(
        tune.with_parameters(trial, jobs=list(jobs), work=work),
        param_space={"number": tune.grid_search(list(range(len(jobs))))},
        run_config=tune.RunConfig(
            name="jobs", storage_path=str(folder.resolve()), verbose=0, callbacks=[Reported()]
        ),
    )
