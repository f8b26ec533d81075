"""What runs beside a network, for objectives that need more than its descriptors.

A companion looks at every batch after the network has, and appends numbers of its own to each
descriptor: a loss of the patch's maps, say, or what another network makes of the patch. A row that
is longer passes through gradient caching, autocast and several processes as any other does; at the
end the objective finds its share of it in `Seen.beside`.

What a companion learns is trained with the network and kept in the checkpoint, but is no part of
the network that comes out.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..nets.base import evaluating

TRIED = 32  # pixels on a side of the patches that networks are tried with
Outputs: TypeAlias = list[tuple[nn.Module, Tensor]]  # in the order of the calls


@dataclass(frozen=True, slots=True)
class Passage:
    """Patches on their way through a network.

    Args:
        patches: The anchors of a batch, then their positives.
        outputs: Of the modules that a companion watches.
    """

    patches: Float[Tensor, "n c h w"]
    rows: Float[Tensor, "n d"]
    outputs: Outputs


class Companion(nn.Module, ABC):
    """Runs beside a network and says something of each patch."""

    watched: tuple[nn.Module, ...] = ()  # modules of the network whose outputs it needs

    @abstractmethod
    def forward(self, passage: Passage) -> Float[Tensor, "n w"]:
        """Numbers to append to the descriptors."""

    def begin_(self, net: nn.Module, step: int, steps: int) -> None:
        """Prepare for a step, the first being 0; it depends on nothing but its number."""

    def follow_(self, net: nn.Module, step: int) -> None:
        """Follow the weights after `step` steps."""

    @property
    def deployed(self) -> nn.Module | None:
        """The network to keep in place of the one that is trained, if it makes one."""
        return None

    def train(self, mode: bool = True) -> "Companion":  # noqa: FBT001, FBT002 (torch's own)
        """As any module, but copies of networks, which are not trained, stay in eval mode."""
        super().train(mode)
        for child in self.children():
            if not any(weight.requires_grad for weight in child.parameters()):
                child.eval()
        return self


class Learner(nn.Module):
    """A network and its companions: what is trained."""

    def __init__(self, net: nn.Module, companions: Mapping[str, Companion]) -> None:
        super().__init__()
        self.net = net
        self.companions = nn.ModuleDict(companions).to(next(net.parameters()).device)
        self.widths: list[int] = []  # of the pieces of a row, as the last batch had them

    @property
    def weights(self) -> list[nn.Parameter]:
        """What is optimised: those of the network, then those of its companions."""
        own = [weight for weight in self.companions.parameters() if weight.requires_grad]
        return list(dict.fromkeys([*self.net.parameters(), *own]))  # some may be shared

    @property
    def deployed(self) -> nn.Module:
        """The network to validate and to keep."""
        found = [companion.deployed for companion in self._all()]
        return next((net for net in found if net is not None), self.net)

    def forward(self, patches: Float[Tensor, "n c h w"]) -> Float[Tensor, "n row"]:
        """Descriptors (or maps, flattened), and what the companions append to them."""
        with outputs_of(module for each in self._all() for module in each.watched) as outputs:
            rows = in_rows(self.net(patches))
        passage = Passage(patches, rows.float(), outputs)
        pieces = [rows, *(companion(passage) for companion in self._all())]
        self.widths = [piece.shape[1] for piece in pieces]
        return torch.cat(pieces, 1) if self.companions else rows

    def split(
        self, rows: Float[Tensor, "s b row"]
    ) -> tuple[Float[Tensor, "s b d"], dict[str, Float[Tensor, "s b _"]]]:
        """The descriptors, and by name what each companion appended."""
        own, *pieces = rows.split(self.widths, dim=2)
        return own, dict(zip(self.companions, pieces, strict=True))

    def begin_(self, step: int, steps: int) -> None:
        """See `Companion.begin_`."""
        for companion in self._all():
            companion.begin_(self.net, step, steps)

    def follow_(self, step: int) -> None:
        """See `Companion.follow_`."""
        for companion in self._all():
            companion.follow_(self.net, step)

    def _all(self) -> list[Companion]:
        return list(self.companions.values())  # pyright: ignore[reportReturnType]


def in_rows(made: Tensor | Sequence[Tensor]) -> Float[Tensor, "n row"]:
    """What a network makes of each input, as one row: descriptors, logits, or maps one by one."""
    if isinstance(made, Tensor):
        return made
    return torch.cat([maps.flatten(1).float() for maps in made], 1)


@contextmanager
def outputs_of(modules: Iterable[nn.Module]) -> Iterator[Outputs]:
    """What the modules write while the block runs them, in the order of their calls."""
    found: Outputs = []
    handles = [
        module.register_forward_hook(lambda *seen: found.append((seen[0], seen[2])))
        for module in dict.fromkeys(modules)
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def tried(net: nn.Module, modules: Iterable[nn.Module] = ()) -> Passage:
    """What `net` makes of two random patches in eval mode; its mode stays."""
    patches = torch.rand(2, 1, TRIED, TRIED).to(next(net.parameters()))
    with outputs_of(modules) as outputs, evaluating(net):
        rows = in_rows(net(patches))
    return Passage(patches, rows, outputs)


@torch.no_grad()
def follow_(kept: nn.Module, net: nn.Module, decay: float, step: int) -> None:
    """Move an average of weights towards `net`; quickly at first, when it knows little."""
    share = 1 - min(decay, (1 + step) / (10 + step))
    for old, new in zip(kept.state_dict().values(), net.state_dict().values(), strict=True):
        old.lerp_(new, share) if old.is_floating_point() else old.copy_(new)
