"""What is compressed: the networks, by name."""

import inspect
from dataclasses import replace
from reprlib import repr as brief
from typing import Any, get_args

import torch

from ..errors import SpecError
from ..spec import Spec
from .base import Net, PatchNet
from .classifier import Classifier
from .desdis import DesDis
from .l2net import L2Net
from .mobilenet import MobileNetV2
from .resnet import ResNet50
from .strided import Strided
from .superpoint import DenseMaps, SuperPoint
from .tfeat import TFeat
from .vgg import VGG16

NETS: dict[str, type[Net]] = {
    "l2net": L2Net,
    "tfeat": TFeat,
    "desdis": DesDis,
    "strided": Strided,
    "superpoint": SuperPoint,
    "vgg16": VGG16,
    "resnet50": ResNet50,
    "mobilenetv2": MobileNetV2,
}
LARGEST = 65_536  # of any number among the arguments
MOST_LAYERS = 64  # of networks that may have any number of them
MOST_WEIGHTS = 2**29  # of a network: four times those of the largest published one here


def build(spec: Spec | str) -> Net:
    """The network of `spec`, with fresh weights and in train mode; its own spec has no gaps.

    Args:
        spec: A spec, or the name of a network with all its defaults.

    Raises:
        SpecError: A network, argument, layer or method that does not exist or does not fit; or a
            network of more than `MOST_WEIGHTS` weights, for which no memory is taken.
    """
    spec = Spec(spec) if isinstance(spec, str) else spec
    if spec.net not in NETS:
        raise SpecError(f"unknown network {spec.net!r}; there are {', '.join(NETS)}")
    spec = replace(spec, args=_complete(spec))
    _require_room(spec)
    net = _assembled(spec)
    if not any(parameter.is_meta for parameter in net.parameters()):
        with torch.no_grad():
            net.initialise_()
    return net


def _assembled(spec: Spec) -> Net:
    """The network of a complete spec, with the weights that PyTorch draws."""
    net, methods = NETS[spec.net](**spec.args), {}
    for name, method in spec.layers.items():
        conv = net.conv(name)
        if not method.explicit:
            raise SpecError(f"{name}: {method} reads trained weights: use convert instead")
        methods[name] = method.resolve(conv)
        net.set_submodule(name, methods[name].layer(conv))
    net.spec = replace(spec, layers=methods)
    return net


def _require_room(spec: Spec) -> None:
    """Refuse absurd sizes before anything is as large as they say."""
    try:
        with torch.device("meta"):
            weights = sum(weight.numel() for weight in _assembled(spec).parameters())
    except (RuntimeError, OverflowError) as error:  # of numbers that PyTorch cannot multiply
        raise SpecError(f"{spec.net}: too large ({str(error).splitlines()[0][:80]})") from None
    if weights > MOST_WEIGHTS:
        raise SpecError(
            f"{spec.net}: {weights:,} weights; there may be {MOST_WEIGHTS:,}, so ask for less width"
        )


def _complete(spec: Spec) -> dict[str, Any]:
    """The arguments of `spec` with all defaults spelt out: a later default changes no file."""
    parameters = inspect.signature(NETS[spec.net]).parameters
    if unknown := sorted(spec.args.keys() - parameters.keys()):
        known = ", ".join(parameters)
        raise SpecError(f"{spec.net} has no argument {unknown[0]!r}; it has {known}")
    for name, value in spec.args.items():
        free = name in NETS[spec.net].any_length
        _check(f"{spec.net}: {name}", value, parameters[name], free=free)
    return {name: parameter.default for name, parameter in parameters.items()} | dict(spec.args)


def _check(what: str, value: Any, parameter: inspect.Parameter, *, free: bool) -> None:
    default = parameter.default
    if free and isinstance(value, tuple) and len(value) <= MOST_LAYERS:
        default = (default[0],) * len(value)
    if not _alike(value, default):
        raise SpecError(
            f"{what} must be like its default {parameter.default!r}, not {brief(value)}"
        )
    choices = get_args(parameter.annotation) if isinstance(value, str) else ()
    if choices and value not in choices:
        raise SpecError(f"{what} must be one of {', '.join(choices)}, not {brief(value)}")


def _alike(value: Any, default: Any) -> bool:
    if type(value) is not type(default):
        return False
    if isinstance(default, tuple):
        return len(value) == len(default) and all(map(_alike, value, default))
    return not isinstance(value, int) or isinstance(value, bool) or 1 <= value <= LARGEST


__all__ = [
    "NETS",
    "VGG16",
    "Classifier",
    "DenseMaps",
    "DesDis",
    "L2Net",
    "MobileNetV2",
    "Net",
    "PatchNet",
    "ResNet50",
    "Strided",
    "SuperPoint",
    "TFeat",
    "build",
]
