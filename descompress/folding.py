"""Batch norms merged into the convolutions before them: the same outputs, in fewer steps."""

from dataclasses import replace

import torch
from torch import nn

from .errors import RequestError
from .methods import Layer
from .methods.stages import absorb_norm_
from .nets import Net, SuperPoint, build


@torch.no_grad()
def folded(net: Net) -> Net:
    """A copy without batch norm, in eval mode, that computes what `net` does in eval mode.

    Of SuperPoint it has the published structure, and the published names of weights.

    Raises:
        RequestError: The structure of the network has no place for the biases that come of it.
    """
    if not isinstance(net, SuperPoint):
        raise RequestError(
            f"{net.spec.net}: its convolutions have no biases to fold batch norms into; only "
            f"superpoint's do"
        )
    plain = build(replace(net.spec, args={**net.spec.args, "batch_norm": False}))
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if not k.startswith("norm")})
    for name, norm in net.named_children():
        if isinstance(norm, nn.BatchNorm2d):
            layer = plain.get_submodule(name.replace("norm", "conv"))
            conv = layer.mixer if isinstance(layer, Layer) else layer
            assert isinstance(conv, nn.Conv2d)
            absorb_norm_(conv, norm)
    return plain.eval()
