"""ONNX files that are nearly right."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from mutations import NUMBERS, of_bytes, of_json
from onnx import TensorProto, helper, numpy_helper

from descompress.runtimes import open_file
from descompress.runtimes.facts import KEY, Facts

OPERATORS = ("Identity", "Reshape", "Tile", "Loop", "If", "Conv", "Gemm", "Nothing", "Expand")


def run(folder: Path, backend: str = "onnxruntime") -> None:
    """Open the file and give it the batch that it says it reads."""
    runtime = open_file(folder / "net.onnx", backend)
    shape = (2, 1, 32, 32) if runtime.facts.kind == "patches" else (1, 1, 16, 24)
    runtime(np.zeros(shape, np.float32))


def patches(folder: Path) -> None:
    """A network of patches as `descompress export` writes them: one dense layer."""
    weight = numpy_helper.from_array(np.full((1024, 4), 0.5, np.float32), "weight")
    nodes = [
        helper.make_node("Flatten", ["patches"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "weight"], ["descriptors"]),
    ]
    shapes = {"patches": ("b", 1, 32, 32)}, {"descriptors": ("b", 4)}
    made = _model(nodes, *shapes, [weight])
    _say(made, Facts("patches", "{}", 4))
    onnx.save(made, str(folder / "net.onnx"))


def images(folder: Path) -> None:
    """A network of images likewise: scores are the image, descriptors its mean in each cell."""
    sides = {"kernel_shape": [8, 8], "strides": [8, 8]}
    nodes = [
        helper.make_node("Identity", ["images"], ["scores"]),
        helper.make_node("AveragePool", ["images"], ["mean"], **sides),
        helper.make_node("Neg", ["mean"], ["negative"]),
        helper.make_node("Concat", ["mean", "negative"], ["descriptors"], axis=1),
    ]
    outputs = {"scores": ("b", 1, "h", "w"), "descriptors": ("b", 2, "y", "x")}
    made = _model(nodes, {"images": ("b", 1, "h", "w")}, outputs)
    _say(made, Facts("images", "{}", 2, cell=8))
    onnx.save(made, str(folder / "net.onnx"))


def maps(folder: Path) -> None:
    """A network of maps as other programs write them."""
    nodes = [
        helper.make_node("Neg", ["x"], ["negative"]),
        helper.make_node("Identity", ["x"], ["score"]),
        helper.make_node("Concat", ["x", "negative"], ["descriptor"], axis=1),
    ]
    made = _model(nodes, {"x": (1, 1, "h", "w")}, {"score": None, "descriptor": None})
    onnx.save(made, str(folder / "net.onnx"))


def _model(
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    tensors: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """A model of floats; inputs and outputs by name, with their shapes."""
    ends = [
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in side.items()
        ]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "g", *ends, list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _say(model: onnx.ModelProto, facts: Facts) -> None:
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, facts.to_json()


def changed(content: bytes, random: Random) -> bytes:
    """Another dimension, number, name, operator, metadata or place of a tensor."""
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        return of_bytes(content, random)
    random.choice((_dimension, _tensor, _node, _facts, _gone, _outside))(model, random)
    return model.SerializeToString()


def _dimension(model: onnx.ModelProto, random: Random) -> None:
    shape = random.choice((*model.graph.input, *model.graph.output)).type.tensor_type.shape
    if shape.dim:
        random.choice(shape.dim).dim_value = random.choice(NUMBERS) % 2**62


def _tensor(model: onnx.ModelProto, random: Random) -> None:
    if model.graph.initializer:
        tensor = random.choice(model.graph.initializer)
        tensor.dims[:] = [random.choice(NUMBERS) % 2**62 for _ in range(random.choice((1, 4)))]
        tensor.data_type = random.choice((1, 1, 1, 2, 7, 8, 11, 16, 99))


def _node(model: onnx.ModelProto, random: Random) -> None:
    node = random.choice(model.graph.node)
    kind = random.choice(("type", "input", "output", "attributes"))
    if kind == "type":
        node.op_type = random.choice(OPERATORS)
    elif kind == "attributes":
        del node.attribute[:]
    else:
        names = node.input if kind == "input" else node.output
        names[:] = [random.choice(("", "x", "patches", name)) for name in names]


def _facts(model: onnx.ModelProto, random: Random) -> None:
    for entry in model.metadata_props:
        if entry.key == KEY:
            entry.value = of_json(entry.value.encode(), random).decode()


def _gone(model: onnx.ModelProto, random: Random) -> None:
    part = random.choice((model.graph.input, model.graph.output, model.graph.node))
    del part[random.randrange(len(part)) :]


def _outside(model: onnx.ModelProto, random: Random) -> None:
    """Weights that lie in another file, which is none of theirs."""
    if model.graph.initializer:
        tensor = random.choice(model.graph.initializer)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        place = tensor.external_data.add()
        place.key, place.value = "location", random.choice(("/etc/hostname", "../x", "net.onnx"))
