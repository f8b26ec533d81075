"""What every compression method has in common."""

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar, TypeAlias

from jaxtyping import Float
from torch import Tensor, nn

from ..errors import SpecError
from ..whole import WholeConv2d
from ..wiring import Wire, Wiring

Setting: TypeAlias = int | float | str  # a number, or the name of a rule that finds one


class Layer(nn.Module, ABC):
    """A chain of plain convolutions that stands in for one convolution."""

    @abstractmethod
    def project_(self, conv: nn.Conv2d) -> "Layer":
        """Set the weights to the best imitation of `conv`, and return the layer."""

    @property
    @abstractmethod
    def mixer(self) -> nn.Conv2d:
        """The last 1x1 convolution: the outputs are linear in its weights."""

    @abstractmethod
    def mixed(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b m h2 w2"]:
        """What the mixer reads when the layer reads `x`."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n h2 w2"]:
        """The outputs of the chain."""
        return self.mixer(self.mixed(x))

    def rewritten(self) -> nn.Module:
        """What computes the same in eval mode, as runtimes are fastest with; `self` is used up."""
        return self

    def wire(self, wiring: Wiring, name: str, x: Wire) -> Wire:
        """How channels run through: from stage to stage, unless overridden."""
        for stage, _ in self.named_children():
            x = wiring.through(f"{name}.{stage}", x)
        return x


class Method(ABC):
    """How a convolution becomes a smaller layer: a frozen dataclass of JSON scalars.

    Settings may be automatic, such as a rule that reads the weights; `resolve` makes numbers of
    them, and only those are ever stored.
    """

    name: ClassVar[str]

    @property
    def explicit(self) -> bool:
        """Whether the settings can be resolved without looking at weights."""
        return True

    @abstractmethod
    def resolve(self, conv: nn.Conv2d) -> "Method":
        """The same method with explicit numbers for `conv`.

        Raises:
            SpecError: It does not fit `conv`; the text says what would.
        """

    @abstractmethod
    def layer(self, conv: nn.Conv2d) -> Layer:
        """A layer of the shape of `conv`, its weights not yet set. `self` is resolved."""

    def narrowed(self, layer: Layer) -> "Method":
        """The method with the numbers that `layer`, made by it, was narrowed to."""
        del layer
        return self

    def to_json(self) -> dict[str, Any]:
        """The settings and the name, as JSON holds them."""
        return {"method": self.name, **asdict(self)}  # pyright: ignore[reportArgumentType]


def require_plain(conv: nn.Conv2d, method: Method) -> None:
    """Refuse convolutions whose structure no method of this package imitates.

    Raises:
        SpecError: `conv` is grouped, dilated, or of a class of its own.
    """
    if type(conv) not in (nn.Conv2d, WholeConv2d) or conv.groups != 1 or set(conv.dilation) != {1}:
        raise SpecError(
            f"{method} replaces plain convolutions (one group, no dilation), not {conv}"
        )


def require_weights(conv: nn.Conv2d, method: Method) -> None:
    """Refuse to apply a rule that reads the weights where there are none.

    Raises:
        SpecError: `conv` has a shape only.
    """
    if conv.weight.is_meta:
        raise SpecError(f"{method} reads trained weights: use it in convert, not in build")


def number(value: Setting, limit: int, what: str) -> int:
    """A count given as a number 1..limit, or as a share of `limit` (a float in 0..1].

    Raises:
        SpecError: Anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= limit:
        return value
    if isinstance(value, float) and 0 < value <= 1:
        return max(1, round(value * limit))
    raise SpecError(f"{what} must be 1..{limit}, or a share such as 0.375, not {value!r}")


def copy_bias_(mixer: nn.Conv2d, conv: nn.Conv2d) -> None:
    """Give `mixer` the bias of `conv`, if they have one."""
    if mixer.bias is not None and conv.bias is not None:
        mixer.bias.copy_(conv.bias)
