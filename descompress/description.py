"""Descriptors of many patches, a batch at a time."""

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import nn

from .sizing import shrunk

BATCH = 256  # larger ones are slower on a CPU: their maps leave the caches


@torch.inference_mode()
def describe(net: nn.Module, patches: Shaped[np.ndarray, "b s s"]) -> Float[np.ndarray, "b d"]:
    """Descriptors of square grey patches of any size, in eval mode; the mode of `net` stays.

    Args:
        net: Maps (b, 1, 32, 32) to (b, d).
        patches: In any grey unit; sizes other than 32 x 32 are resized by area.
    """
    training = net.training
    net.eval()
    like = next(net.parameters())
    rows = []
    for start in range(0, max(len(patches), 1), BATCH):
        part = shrunk(patches[start : start + BATCH]).astype(np.float32)
        rows.append(net(torch.from_numpy(part)[:, None].to(like.device)).float().cpu())
    net.train(training)
    return torch.cat(rows).numpy()
