"""What a training minimises: functions from descriptors or networks and batches to named terms."""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor, nn

from ..data import Batch
from .triplet import hardest_in_batch, triplet

Objective: TypeAlias = Callable[[nn.Module, Batch], dict[str, Tensor]]

__all__ = ["Objective", "hardest_in_batch", "triplet"]
