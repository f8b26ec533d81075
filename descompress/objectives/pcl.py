"""Peer collaborative learning: networks with one stem that learn from each other; one is kept.

Source: G. Wu, S. Gong, "Peer collaborative learning for online knowledge distillation", AAAI 2021,
arXiv 2006.04147. Peers p_i share their first layers and see different views of an image; an
ensemble reads the features of all, and each has a moving average EMA_i:

    task(ensemble) + sum over i of [ task(p_i) + w KL(ensemble || p_i)
                                               + w mean over j != i of KL(EMA_j || p_i) ]

    w = exp(-5 (1 - progress / ramp)^2) until `ramp` of the training is done, then 1

For descriptors: the task is the triplet loss; similarities in the batch take the place of classes
(see `similarity`); views are the patches of one point, so that every second peer takes the positive
for the anchor and the other way round; the ensemble is a linear layer of the peers' descriptors,
scaled to length 1. Targets take no gradient. The moving average of the first peer is what is kept.
"""

import math
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import RequestError
from .base import Objective, Rows, Seen
from .companions import Companion, Passage, follow_, outputs_of, tried
from .similarity import divergences
from .stems import Tail, stem_of
from .triplet import hardest_in_batch

Sides = tuple[Rows, Rows]
MOST_PEERS = 64


@dataclass(frozen=True)
class PCL(Objective):
    """Triplet losses of peers and of their ensemble, and peers that agree; needs no teacher.

    Args:
        peers: How many; the network that is trained is the first.
        shared: Layers with weights that all of them share, from the input on.
        views: 2: every second peer has anchors and positives swapped; 1: none has.
        spread: Noise that the peers' own layers start apart by, as a share of their weights.
        temperature: What similarities are divided by.
        ema: Decay of the moving averages.
        ramp: Share of the training after which the peers' agreement has its full weight.
    """

    peers: int = 3
    shared: int = 2
    views: int = 2
    spread: float = 0.1
    temperature: float = 0.1
    ema: float = 0.999
    ramp: float = 0.27
    name: ClassVar[str] = "pcl"

    def __post_init__(self) -> None:
        if not 2 <= self.peers <= MOST_PEERS:
            raise RequestError(f"pcl: needs 2 to {MOST_PEERS} peers, not {self.peers}")
        if self.shared < 0 or self.views not in (1, 2) or self.spread < 0:
            raise RequestError(f"pcl: needs shared >= 0, views 1 or 2 and spread >= 0, not {self}")
        if self.temperature <= 0 or not 0 <= self.ema < 1 or not 0 <= self.ramp <= 1:
            raise RequestError(
                f"pcl: needs temperature > 0, 0 <= ema < 1 and 0 <= ramp <= 1, not {self}"
            )

    def companion(self, net: nn.Module, teacher: nn.Module | None) -> "Peers":
        """The other peers, the ensemble and the moving averages."""
        return Peers(self, net)

    def __call__(self, seen: Seen) -> Float[Tensor, ""]:
        """The losses of all peers, and that of the ensemble."""
        others = self.beside(seen).unflatten(2, (2 * self.peers, -1)).unbind(2)
        anchors, positives = seen.sides
        rows = [(anchors, positives), *((side[0], side[1]) for side in others)]
        peers, ensemble, averages = rows[: self.peers], rows[self.peers], rows[self.peers + 1 :]
        loss = hardest_in_batch(*ensemble)
        for i, peer in enumerate(peers):
            told = divergences(peer, _fixed(ensemble), self.temperature).mean()
            means = [_fixed(mean) for j, mean in enumerate(averages) if j != i]
            agreed = [divergences(peer, mean, self.temperature).mean() for mean in means]
            kept = told + torch.stack(agreed).mean()
            loss = loss + hardest_in_batch(*peer) + self.agreement(seen.progress) * kept
        return loss

    def agreement(self, progress: float) -> float:
        """The weight w when so much of the training is done."""
        if progress >= self.ramp:
            return 1.0
        return math.exp(-5 * (1 - progress / self.ramp) ** 2)


class Peers(Companion):
    """Appends descriptors of the peers but the first, of the ensemble, and of all averages.

    Raises:
        RequestError: The layers to be shared are not a plain chain.
    """

    def __init__(self, asked: PCL, net: nn.Module) -> None:
        super().__init__()
        self.decay, self.views = asked.ema, asked.views
        stem = _stem(net, asked.shared)
        self.last = stem[-1] if stem else None
        self.watched = _ends(net, self.last)
        self.tails = nn.ModuleList(Tail(net, stem) for _ in range(asked.peers - 1))
        _disturb_(self.tails, asked.spread)
        self.average = deepcopy(net).requires_grad_(False)
        self.average_tails = deepcopy(self.tails).requires_grad_(False)
        length = tried(net).rows.shape[1]
        self.ensemble = nn.Linear(asked.peers * length, length, bias=False)
        self.ensemble.weight.data = torch.eye(length).repeat(1, asked.peers) / asked.peers

    def forward(self, passage: Passage) -> Float[Tensor, "n w"]:
        """Of every peer in its own view."""
        patches = passage.patches
        ends = [maps for module, maps in passage.outputs if module in self.watched]
        peers = [passage.rows, *_tails(self.tails, patches, ends)]
        with torch.no_grad(), outputs_of(_ends(self.average, self.last)) as outputs:
            first = self.average(patches).float()
            means = [first, *_tails(self.average_tails, patches, [maps for _, maps in outputs])]
        peers, means = self._viewed(peers), self._viewed(means)
        with torch.autocast(patches.device.type, enabled=False):
            ensemble = F.normalize(self.ensemble(torch.cat(peers, 1)), dim=1)
        return torch.cat([*peers[1:], ensemble, *means], 1)

    def follow_(self, net: nn.Module, step: int) -> None:
        """Move the averages towards the peers."""
        follow_(self.average, net, self.decay, step)
        follow_(self.average_tails, self.tails, self.decay, step)

    @property
    def deployed(self) -> nn.Module:
        """The average of the first peer."""
        return self.average

    def _viewed(self, rows: list[Rows]) -> list[Rows]:
        """The rows of every second peer with anchors and positives swapped."""
        swapped = self.views == 2
        return [r.roll(len(r) // 2, 0) if swapped and i % 2 else r for i, r in enumerate(rows)]


def _stem(net: nn.Module, shared: int) -> list[str]:
    try:
        return stem_of(net, shared)
    except RequestError as error:
        raise RequestError(f"pcl: {error}") from None


def _ends(net: nn.Module, last: str | None) -> tuple[nn.Module, ...]:
    return () if last is None else (net.get_submodule(last),)


def _tails(tails: nn.ModuleList, patches: Tensor, ends: list[Tensor]) -> list[Rows]:
    return [tail(patches, ends[0] if ends else None).float() for tail in tails]


@torch.no_grad()
def _disturb_(net: nn.Module, spread: float) -> None:
    for weight in net.parameters():
        weight += spread * weight.square().mean().sqrt() * torch.randn(weight.shape).to(weight)


def _fixed(sides: Sides) -> Sides:
    return sides[0].detach(), sides[1].detach()
