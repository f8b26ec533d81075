"""What the C library does with freed memory."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let the process keep memory it frees, for the next step of a training to use again.

    By default glibc hands large blocks back to the system, which clears every page of them anew at
    each step; on a CPU that doubles the time of a training step. Whether it could be arranged:
    elsewhere than with glibc nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))
