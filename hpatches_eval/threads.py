"""Work spread over the processors."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from .progress import Progress

Job = TypeVar("Job")
Result = TypeVar("Result")


def spread(
    work: Callable[[Job], Result], jobs: Sequence[Job], stage: str, progress: Progress
) -> list[Result]:
    """The results of all jobs, in order, from a thread for each processor.

    Matrix products inside use one thread each: several that use all processors at a time wait for
    one another, up to ten times as long.
    """
    results: list[Result] = []
    with threadpool_limits(1), ThreadPoolExecutor(_processors()) as threads:
        try:
            for result in threads.map(work, jobs):
                results.append(result)
                progress(stage, len(results), len(jobs))
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    return results


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
