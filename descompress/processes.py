"""Several processes that train one network, as `torchrun` starts them; one is the usual case.

Each describes its share of a batch, all see the whole batch's descriptors, and gradients are
summed, so that the curve does not depend on how many there are.
"""

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Shaped
from torch import Tensor, distributed, nn

from .errors import RequestError


@contextmanager
def processes(device: str) -> Iterator[str]:
    """Join the processes of this training, if `torchrun` started several, and leave at the end.

    Yields the device of this process: each its own GPU where `device` is "cuda".

    Raises:
        RequestError: There is no such device.
    """
    try:
        torch.zeros(1, device=device).item()  # the device "meta" has no numbers to give
    except (RuntimeError, AssertionError) as error:
        line = (str(error).splitlines() or ["it cannot be used"])[0]
        raise RequestError(f"device {device!r}: {line}") from None
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    if device.startswith("cuda"):
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield device
        wait_for_all()  # who leaves first tears connections that others may still use
        atexit.register(_end_at_once)
    finally:
        distributed.destroy_process_group()


def _end_at_once() -> None:
    """End a process that did its part without taking Python apart.

    Threads of gloo may still hold tensors; one that lets go of them then aborts the process
    (pytorch/pytorch#179291).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def rank() -> int:
    """The number of this process; 0 reports and writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count() -> int:
    """How many there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def gathered(rows: Shaped[Tensor, "k *shape"]) -> Shaped[Tensor, "n *shape"]:
    """The rows of all processes, in the order of their numbers, without a graph."""
    if count() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(count())]
    distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def share_gradients_(net: nn.Module) -> None:
    """Add up the gradients of all processes, in each of them."""
    if count() > 1:
        for weight in net.parameters():
            if weight.grad is not None:
                distributed.all_reduce(weight.grad)


def share_statistics_(net: nn.Module) -> None:
    """Give every process the mean of all processes' running means and variances."""
    if count() > 1:
        for buffer in net.buffers():
            if buffer.is_floating_point():
                distributed.all_reduce(buffer)
                buffer /= count()


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if count() > 1:
        distributed.barrier()
