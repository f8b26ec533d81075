"""How well a classifier does on images it was not trained on."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from .classification import accuracy
from .data.labelled import Images, Standard, in_order
from .nets.base import evaluating


@dataclass(frozen=True)
class Accuracy:
    """Images with their classes, to validate on."""

    images: Images
    standard: Standard
    names: ClassVar[tuple[str, ...]] = ("accuracy",)

    @torch.no_grad()
    def measured(self, net: nn.Module) -> dict[str, float]:
        """The share of images whose class is told right; the mode of the network stays."""
        device = next(net.parameters()).device
        batches = list(in_order(self.images, self.standard))
        with evaluating(net):
            right = [accuracy(net(b.images.to(device)), b.labels.to(device)) for b in batches]
        counts = torch.tensor([len(batch.labels) for batch in batches], dtype=torch.float64)
        return {"accuracy": float((torch.tensor(right).double() * counts).sum() / counts.sum())}
