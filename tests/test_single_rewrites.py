"""Rewrites of a graph, one at a time."""

import pytest
import torch
from torch import nn

from descompress import convert
from descompress.methods import Layer
from descompress.nets import build
from descompress.rewriting import REWRITES, rewritten
from descompress.spec import Spec


def kinds(net: nn.Module) -> dict[str, bool]:
    """What each rewrite takes away or brings, and whether it is there."""
    parts = list(net.modules())
    return {
        "norms": any(isinstance(part, nn.BatchNorm2d) for part in parts),
        "layers": any(isinstance(part, Layer) for part in parts),
        "dense": any(isinstance(part, nn.Linear) for part in parts),
    }


@pytest.mark.parametrize("only", [(), *((name,) for name in REWRITES), REWRITES])
def test_a_rewrite_does_its_own_part_and_nothing_else(only):
    torch.manual_seed(0)
    net = build(Spec("l2net", {"widths": (4, 4, 8, 8, 8, 8), "dim": 16}))
    net = convert(net, {"features.3": "cdp:alpha=2"}).eval()
    for norm in (part for part in net.modules() if isinstance(part, nn.BatchNorm2d)):
        norm.running_mean = torch.randn(norm.num_features) / 4
        norm.running_var = torch.rand(norm.num_features) + 0.5
    changed = rewritten(net, only)
    before, after = kinds(net), kinds(changed)
    assert {name for name in REWRITES if before[name] != after[name]} == set(only)
    patches = torch.rand(3, 1, 32, 32)
    torch.testing.assert_close(changed(patches), net(patches), atol=1e-5, rtol=1e-4)
