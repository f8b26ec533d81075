"""What every network has in common: its spec, its channels, its checks of the input."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError, SpecError
from ..spec import Spec
from ..wiring import Layout, Wire, Wiring


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Have `net` in eval mode within the block, and in the mode it had behind it."""
    training = net.training
    net.eval()
    try:
        yield
    finally:
        net.train(training)


class Net(nn.Module, ABC):
    """A network with a spec; `descompress.build`, `load` and `convert` make them."""

    spec: Spec
    input_shape: ClassVar[tuple[int | None, ...]]
    any_length: ClassVar[frozenset[str]] = frozenset()  # arguments longer or shorter than defaults

    @abstractmethod
    def layer_numbers(self) -> dict[str, str]:
        """Layer name by the number, such as "2", that papers call the layer by."""

    @abstractmethod
    def wired(self, wiring: Wiring) -> Sequence[Wire]:
        """Run channels through all layers, from the input on; returns what leaves the network."""

    def widths(self) -> Mapping[str, tuple[str, int | None]]:
        """By convolution, the argument that holds how many channels it writes, and the place in it.

        The place is None where the argument is one number. A convolution whose channels follow
        from an argument together with others is left out: it cannot be narrowed alone.
        """
        return {}

    def layout(self) -> Layout:
        """Which layers share channels."""
        wiring = Wiring(self)
        return wiring.layout(*self.wired(wiring))

    def initialise_(self) -> None:
        """Draw the weights to start a training from; torch's own unless overridden."""

    def conv(self, name: str) -> nn.Conv2d:
        """The convolution called `name`.

        Raises:
            SpecError: There is none.
        """
        convs = {n: m for n, m in self.named_modules() if isinstance(m, nn.Conv2d)}
        if name not in convs:
            raise SpecError(f"{name!r} is none of the convolutions {', '.join(convs)}")
        return convs[name]

    def _checked(self, x: Tensor) -> Float[Tensor, "..."]:
        """`x`, if it is a float batch of the network's input shape without NaN."""
        if not torch.is_floating_point(x):
            raise InputError(f"{x.dtype} input: convert it to float32 (any grey unit) first")
        fits = len(x.shape) == 1 + len(self.input_shape) and all(
            want in (None, have) for want, have in zip(self.input_shape, x.shape[1:], strict=True)
        )
        if not fits:
            shape = ", ".join("any" if n is None else str(n) for n in self.input_shape)
            raise InputError(f"input must be (batch, {shape}), not {tuple(x.shape)}")
        if not self.training and not x.is_meta and not _is_recording():
            _require_finite(x)
        return x

    def _to_weights(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """A checked input in the precision of the weights and the layout the CPU is fast in."""
        x = x.to(next(self.parameters()).dtype)
        return x.to(memory_format=torch.channels_last) if x.device.type == "cpu" else x


class PatchNet(Net):
    """Describes grey patches of 32 x 32 pixels, one descriptor a patch."""

    input_shape = (1, 32, 32)
    patch_size: ClassVar[int] = 32  # read by kornia's LAFDescriptor

    def _prepared(self, patches: Tensor) -> Float[Tensor, "b 1 32 32"]:
        """Checked patches, in float32 or better, for the arithmetic of normalising them."""
        x = self._checked(patches)
        return x if x.dtype == torch.float64 else x.float()


def convolved(c: int, n: int, stride: int, size: int = 3) -> list[nn.Module]:
    """A convolution of an odd size without bias, a batch norm without weights, and ReLU."""
    conv = nn.Conv2d(c, n, size, stride, size // 2, bias=False)
    return [conv, nn.BatchNorm2d(n, affine=False), nn.ReLU()]


def standardised(patches: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Each patch with mean 0 and standard deviation 1 (n - 1 in its denominator).

    Mean and deviation take no gradient: through a patch sampler it is very noisy. In ONNX it is one
    node, of which 1e-12 is added to the variance in place of 1e-6 to the deviation.
    """
    if torch.onnx.is_in_onnx_export():
        pixels = patches[0].numel()
        weight = patches.new_full(patches.shape[1:], ((pixels - 1) / pixels) ** 0.5)
        return F.layer_norm(patches, patches.shape[1:], weight, eps=1e-12)
    with torch.no_grad():
        mean = patches.mean((1, 2, 3), keepdim=True)
        squares = (patches - mean).square().sum((1, 2, 3), keepdim=True)
        std = (squares / (patches[0].numel() - 1 if len(patches) else 1)).sqrt()
    return (patches - mean) / (std + 1e-6)


def instance_normalised(patches: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Each patch with mean 0 and variance 1 (+ 1e-5), as torch's InstanceNorm2d makes it.

    The 1e-5 is in squared grey units: a patch of low contrast in [0, 1] is not quite the same as
    that patch in [0, 255].
    """
    return F.instance_norm(patches, eps=1e-5)


def unit_rows(x: Float[Tensor, "b d *map"]) -> Float[Tensor, "b d *map"]:
    """Vectors along the channels, scaled to length 1, in float32 or better; zeros stay zeros.

    Written out because graph simplifiers stumble over `F.normalize`.
    """
    x = x if x.dtype == torch.float64 else x.float()
    return x * (x.square().sum(1, keepdim=True) + 1e-24).rsqrt()


def _is_recording() -> bool:
    """Whether a compiler, exporter or tracer is recording, so that values cannot be looked at."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def _require_finite(x: Float[Tensor, "b *shape"]) -> None:
    finite = torch.isfinite(x)
    if not finite.all():
        first = (~finite.flatten(1).all(1)).nonzero()[0].item()
        raise InputError(f"input {first} of the batch of {len(x)} holds NaN or infinity")
