"""Processes that end with the one that started them, however that ends."""

import os
import threading
import time

OFTEN = 0.5  # seconds between two looks


def end_with(parent: int, _: int = 0) -> None:
    """Have this process end soon after its parent.

    What pools and PyTorch's loaders start waits for work for ever where the process that would
    give it was killed: in a pool always, in a loader if it was killed early.

    Args:
        parent: The number of the process that started this one, as that knows it.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(OFTEN)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
