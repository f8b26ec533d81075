"""Descriptors of many patches, a batch at a time."""

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import nn

from .nets.base import evaluating
from .sizing import batched, shrunk

BATCH = 256  # larger ones are slower on a CPU: their maps leave the caches


@torch.inference_mode()
def describe(net: nn.Module, patches: Shaped[np.ndarray, "b s s"]) -> Float[np.ndarray, "b d"]:
    """Descriptors of square grey patches of any size, in eval mode; the mode of `net` stays.

    Args:
        net: Maps (b, 1, 32, 32) to (b, d).
        patches: In any grey unit; sizes other than 32 x 32 are resized by area.
    """
    like = next(net.parameters())
    rows = []
    with evaluating(net):
        for part in batched(patches, BATCH) or [patches]:
            inputs = torch.from_numpy(shrunk(part).astype(np.float32))[:, None]
            rows.append(net(inputs.to(like.device)).float().cpu())
    return torch.cat(rows).numpy()
