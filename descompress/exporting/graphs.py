"""Networks as ONNX graphs."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .. import keypoints
from ..errors import RequestError
from ..nets import Classifier, Net, PatchNet
from ..nets.base import evaluating
from ..nets.superpoint import CELL
from ..rewriting import rewritten
from ..runtimes.facts import KEY, Facts

if TYPE_CHECKING:
    from onnx import ModelProto

OPSETS = (18, 23)  # that are written, from the first to the last
OUTPUTS = {"patches": ("descriptors",), "images": ("scores", "descriptors")}


class Maps(nn.Module):
    """The scores and descriptors of an image network."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, images: Float[Tensor, "b 1 h w"]
    ) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b d h8 w8"]]:
        logits, descriptors = self.net(images)
        return keypoints.score_maps(logits), descriptors


def to_onnx(net: Net, *, name: str = "", opset: int = OPSETS[0]) -> "ModelProto":
    """The graph of `net` in eval mode, rewritten (see `rewriting`), with its `Facts` in it.

    Normalisation of the input is inside, the choice of keypoints is not. Batches may be of any
    size, images of any that is a multiple of 8.

    Args:
        name: Put into the facts.

    Raises:
        RequestError: Another opset, a network that describes neither patches nor images, or
            the packages that write ONNX are missing.
    """
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise RequestError(f"opset {opset}: {OPSETS[0]} to {OPSETS[1]} can be written")
    kind = facts_of(net, name)
    patches = kind.kind == "patches"
    module = rewritten(net) if patches else Maps(rewritten(net))
    batch = torch.export.Dim("batch")
    if patches:
        example, shape = torch.rand(2, *net.input_shape), {0: batch}  # pyright: ignore
    else:
        rows, columns = (CELL * torch.export.Dim(side, min=2) for side in ("rows", "columns"))
        example, shape = torch.rand(2, 1, 6 * CELL, 8 * CELL), {0: batch, 2: rows, 3: columns}
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            (example,),
            dynamo=True,
            verbose=False,
            dynamic_shapes=(shape,),
            input_names=[kind.kind],
            output_names=list(OUTPUTS[kind.kind]),
            opset_version=opset,
        )
    assert program is not None
    return _cleaned(program.model_proto, kind)


def facts_of(net: Net, name: str = "") -> Facts:
    """What an export of `net` says of itself.

    Raises:
        RequestError: It describes neither patches nor images.
    """
    if isinstance(net, Classifier):
        raise RequestError(f"{net.spec.net} describes neither patches nor images")
    patches = isinstance(net, PatchNet)
    device = next(net.parameters()).device
    with torch.inference_mode(), evaluating(net):
        found = net(torch.zeros(1, 1, 32, 32, device=device))
    dim, spec = (found if patches else found.descriptors).shape[1], net.spec.to_json()
    if patches:
        return Facts("patches", spec, dim, name=name)
    return Facts("images", spec, dim, name=name, cell=CELL)


def _cleaned(model: "ModelProto", facts: Facts) -> "ModelProto":
    """Without what an exporter notes of the code it read; with the facts."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    for tensor in graph.initializer:
        del tensor.metadata_props[:]
    del model.functions[:]
    graph.name = facts.name or KEY
    return say(model, facts)


def say(model: "ModelProto", facts: Facts) -> "ModelProto":
    """Put the facts into a model, in the place of all that it says of itself; return it."""
    del model.metadata_props[:]
    model.producer_name, model.producer_version = KEY, ""
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, facts.to_json()
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter from talking, and say what is missing if something is."""
    try:
        import onnx
        import onnxscript
    except ImportError as error:
        raise RequestError(
            f"writing ONNX needs {error.name}: pip install 'descompress[export]'"
        ) from None
    del onnx, onnxscript
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    silence = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(silence), redirect_stderr(silence):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
