"""Small networks of every kind that can be exported, with batch norms that have seen data."""

import numpy as np
import torch
from torch import nn

from descompress import CDP, TDW, Depthwise, Tucker, build, convert
from descompress.nets import Net
from descompress.spec import Spec

PATCH = Spec("l2net", {"widths": (4, 4, 8, 8, 8, 8), "dim": 16})
STRIDED = Spec("strided", {"widths": (4, 6, 8, 8), "bottleneck": 3, "dim": 8})
IMAGE = Spec("superpoint", {"widths": [8] * 10, "dim": 16, "batch_norm": True})

MADE = {
    "l2net": (PATCH, {}),
    "instance": (Spec("l2net", {**PATCH.args, "input_norm": "instance"}), {}),
    "strided": (STRIDED, {}),
    "desdis": (Spec("desdis", {"dim": 2}), {}),
    "tfeat": (Spec("tfeat", {"widths": (4, 6), "dim": 8}), {}),
    "cdp": (PATCH, {"[3-7]": CDP(2)}),
    "cdp bn_relu": (PATCH, {"[2-7]": CDP(2, "bn_relu")}),
    "cdp width": (PATCH, {"[3-6]": CDP(2, width=3)}),
    "depthwise": (PATCH, {"[2-7]": Depthwise()}),
    "depthwise bn_relu": (PATCH, {"[2-7]": Depthwise(inner="bn_relu")}),
    "tucker": (PATCH, {"[3-7]": Tucker(0.5)}),
    "tdw": (PATCH, {"[3-7]": TDW(0.5)}),
    "superpoint": (IMAGE, {}),
    "superpoint folded": (Spec("superpoint", {**IMAGE.args, "batch_norm": False}), {}),
    "superpoint cdp": (IMAGE, {"[2-9]": CDP(3)}),
}


def made(name: str, seed: int = 0) -> Net:
    """A network of `MADE` in eval mode."""
    spec, recipe = MADE[name]
    torch.manual_seed(seed)
    net = build(spec)
    net = convert(net, recipe) if recipe else net
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)  # pyright: ignore
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # pyright: ignore
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 2.0)
                nn.init.uniform_(module.bias, -0.5, 0.5)
    return net.eval()


def inputs(net: Net, count: int = 3, seed: int = 0) -> np.ndarray:
    """Textured inputs of the kind the network reads."""
    draw = np.random.default_rng(seed)
    if None in net.input_shape:
        return draw.random((count, 1, 48, 64), np.float32)
    return 255 * draw.random((count, 1, 32, 32), np.float32)
