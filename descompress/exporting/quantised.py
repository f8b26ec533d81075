"""Exported networks in int8: static, a scale for each channel of the weights."""

import logging
import tempfile
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RequestError
from ..runtimes.facts import Facts
from .graphs import say

if TYPE_CHECKING:
    from onnx import ModelProto


def quantised(
    model: "ModelProto", inputs: Sequence[np.ndarray], keep: Collection[str] = ()
) -> "ModelProto":
    """A copy whose convolutions compute in 8-bit integers (QDQ), its facts saying so.

    Weights are signed, with a scale for each output channel; what layers read is unsigned, with one
    scale for each layer, from the least to the greatest value that `inputs` bring about. The first
    layer stays in float: it reads one channel, for which no runtime has a fast kernel. So do dense
    layers at the end.

    Args:
        model: From `to_onnx`.
        inputs: Batches of the kind to be described.
        keep: More convolutions to keep in float, by `layers`.

    Raises:
        RequestError: The network has no layer to quantise, or all are kept.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    chosen = [name for name in layers(model) if name not in keep]
    if not chosen:
        raise RequestError("int8: no layer is left to quantise")
    nodes = [node.name for node in model.graph.node if node.name in chosen]
    nodes += [node.name for node in _followers(model, chosen)]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "model.onnx"
        quantize_static(
            _copied(model),
            path,
            _Reader(model.graph.input[0].name, inputs),  # pyright: ignore[reportArgumentType]
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Relu"],
            nodes_to_quantize=nodes,
        )
        return _said(path.read_bytes(), model)


def layers(model: "ModelProto") -> list[str]:
    """The convolutions that can be quantised, from the input on: all but the first."""
    return [node.name for node in model.graph.node if node.op_type == "Conv"][1:]


def _followers(model: "ModelProto", chosen: Collection[str]) -> Iterator[Any]:
    """The activations of the chosen layers."""
    written = {out for node in model.graph.node if node.name in chosen for out in node.output}
    for node in model.graph.node:
        if node.op_type == "Add" and set(node.input) & written:
            written |= set(node.output)
        if node.op_type == "Relu" and set(node.input) & written:
            yield node


def _copied(model: "ModelProto") -> "ModelProto":
    from onnx import ModelProto

    copied = ModelProto()
    copied.CopyFrom(model)
    return copied


def _said(content: bytes, model: "ModelProto") -> "ModelProto":
    """The quantised model, with the facts of the other and nothing else said."""
    from onnx import load_model_from_string

    made = load_model_from_string(content)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    facts = replace(Facts.from_metadata(metadata, "the model"), precision="int8")
    return say(made, facts)


class _Reader:
    """Batches as the calibration asks for them."""

    def __init__(self, name: str, inputs: Sequence[np.ndarray]) -> None:
        self.batches = ({name: batch} for batch in inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser from giving advice that does not apply."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
