"""Exported graphs, in ONNX Runtime, OpenCV and OpenVINO."""

import copy
import json
import pickle
from functools import cache

import numpy as np
import onnx
import pytest
import torch
from small_nets import MADE, inputs, made

from descompress import keypoints
from descompress.deployment import TARGETS, deploy
from descompress.errors import ArtifactError, InputError, RequestError
from descompress.exporting import (
    OpenCV,
    cosine,
    difference,
    facts_of,
    layers,
    quantised,
    require_equal,
    to_onnx,
)
from descompress.nets import build
from descompress.runtimes import Facts, Runtime, open_file, open_model
from descompress.runtimes.facts import KEY
from descompress.spec import Spec

SOME = ("l2net", "cdp", "desdis", "tfeat", "superpoint", "superpoint cdp")


@cache
def exported(name: str) -> onnx.ModelProto:
    return to_onnx(made(name), name=name)


@cache
def runtime(name: str) -> Runtime:
    return open_model(exported(name).SerializeToString())


def of_torch(name: str, x: np.ndarray) -> list[np.ndarray]:
    with torch.no_grad():
        found = made(name)(torch.from_numpy(x))
    if isinstance(found, torch.Tensor):
        return [found.numpy()]
    return [keypoints.scores(found.logits)[:, None].numpy(), found.descriptors.numpy()]


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("count", [1, 5])
def test_onnx_runtime_computes_what_the_network_does(name, count):
    x = inputs(made(name), count)
    for ours, theirs in zip(runtime(name)(x), of_torch(name, x), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize("name", SOME)
def test_opencv_computes_what_the_network_does(name):
    x = inputs(made(name), 2)
    found = OpenCV(exported(name).SerializeToString(), runtime(name).facts)
    assert difference(found, runtime(name), [x]) < 1e-5


@pytest.mark.parametrize("name", SOME)
def test_openvino_computes_what_the_network_does(name):
    x = inputs(made(name), 2)
    content = exported(name).SerializeToString()
    other = open_model(content, "openvino")
    assert other.label == "openvino fp32"
    assert other.facts == runtime(name).facts
    assert difference(other, runtime(name), [x]) < 1e-5


@pytest.mark.parametrize("shape", [(1, 1, 16, 16), (2, 1, 40, 88)])
def test_images_may_have_any_size_that_is_a_multiple_of_the_cells(shape):
    x = np.random.default_rng(0).random(shape, np.float32)
    scores, descriptors = runtime("superpoint")(x)
    assert scores.shape == shape
    assert descriptors.shape == (shape[0], 16, shape[2] // 8, shape[3] // 8)
    for ours, theirs in zip((scores, descriptors), of_torch("superpoint", x), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_a_uniform_patch_is_no_trouble():
    x = np.full((2, 1, 32, 32), 200, np.float32)
    assert np.isfinite(runtime("l2net")(x)[0]).all()


def test_the_file_says_what_it_reads_and_writes_and_nothing_else():
    model = exported("cdp")
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert set(said) == {KEY}
    facts = Facts.from_metadata(said, "it")
    assert facts == facts_of(made("cdp"), "cdp")
    assert json.loads(facts.spec)["layers"].keys() == made("cdp").spec.layers.keys()
    assert (facts.kind, facts.dim, facts.cell, facts.precision) == ("patches", 16, 0, "fp32")
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert model.SerializeToString() == to_onnx(made("cdp"), name="cdp").SerializeToString()


def test_no_slice_of_more_than_the_dense_channels_and_no_concatenation_is_left():
    kinds = [node.op_type for node in exported("cdp").graph.node]
    assert "Concat" not in kinds
    assert "BatchNormalization" not in kinds
    assert kinds.count("Slice") == 5
    assert kinds.count("LayerNormalization") == 1


@pytest.mark.parametrize("name", ["l2net", "strided", "cdp", "superpoint"])
def test_int8_gives_nearly_the_same_descriptors(name):
    x = [inputs(made(name), 16, seed) for seed in range(4)]
    made_ = quantised(exported(name), x)
    small = open_model(made_.SerializeToString())
    assert small.facts.precision == "int8"
    assert small.label == "onnxruntime int8"
    assert cosine(runtime(name), small, x) > 0.97
    assert difference(runtime(name), small, x) > 1e-5


def test_in_int8_all_convolutions_but_the_first_read_8_bits():
    model = quantised(exported("strided"), [inputs(made("strided"), 16)])
    writers = {out: node for node in model.graph.node for out in node.output}
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    reads = [writers[conv.input[0]].op_type == "DequantizeLinear" for conv in convs]
    assert reads == [False, True, True, True, True]
    scales = {t.name: t for t in model.graph.initializer}
    weight = writers[convs[1].input[1]]
    assert scales[weight.input[1]].dims == [6]  # one for each output channel


def test_layers_can_be_kept_in_float():
    x = [inputs(made("strided"), 16)]
    names = layers(exported("strided"))
    assert len(names) == 4
    closer = open_model(quantised(exported("strided"), x, names[1:]).SerializeToString())
    farther = open_model(quantised(exported("strided"), x).SerializeToString())
    whole = runtime("strided")
    assert cosine(whole, closer, x) > cosine(whole, farther, x)
    with pytest.raises(RequestError, match="no layer is left to quantise"):
        quantised(exported("strided"), x, names)


@pytest.mark.parametrize("on", [t for t in TARGETS if not t.startswith("compile")])
@pytest.mark.parametrize("name", ["strided", "superpoint"])
def test_every_target_describes_alike(name, on):
    net = made(name)
    x = inputs(net, 4)
    found = deploy(net, on, inputs=[x])
    assert found.label == on.replace("-", " ")
    near = 0.97 if on.endswith(("int8", "bf16")) else 1 - 1e-5
    assert cosine(runtime(name), found, [x]) > near


@pytest.mark.slow
@pytest.mark.parametrize("name", ["strided", "superpoint"])
def test_a_compiled_network_describes_alike(name):
    net = made(name)
    x = inputs(net, 4)
    assert difference(deploy(net, "compile-fp32"), runtime(name), [x]) < 1e-5


def test_a_runtime_can_be_copied_and_pickled():
    x = inputs(made("l2net"))
    whole = runtime("l2net")
    for other in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
        assert other is not whole
        np.testing.assert_array_equal(other(x)[0], whole(x)[0])


def test_what_cannot_be_deployed_is_refused():
    with pytest.raises(RequestError, match="'tpu': there are eager-fp32, "):
        deploy(made("l2net"), "tpu")
    with pytest.raises(RequestError, match="needs patches or images to calibrate on"):
        deploy(made("l2net"), "onnxruntime-int8")
    with pytest.raises(RequestError, match="vgg16 describes neither patches nor images"):
        deploy(build("vgg16"), "onnxruntime-fp32")  # pyright: ignore
    with pytest.raises(RequestError, match="opset 9: 18 to 23 can be written"):
        to_onnx(made("l2net"), opset=9)
    with pytest.raises(RequestError, match="backend 'tpu': there are onnxruntime, openvino"):
        open_model(b"", "tpu")
    with pytest.raises(RequestError, match="does not compute in bf16; openvino does"):
        open_model(b"", bf16=True)


@pytest.mark.parametrize(
    ("name", "x", "message"),
    [
        ("l2net", np.zeros((2, 32, 32), np.float32), r"\(b, 1, 32, 32\), not \(2, 32, 32\)"),
        ("l2net", np.zeros((2, 1, 32, 32)), "must be float32, not float64"),
        ("superpoint", np.zeros((1, 1, 60, 64), np.float32), "multiples of 8, not"),
        ("superpoint", np.zeros((1, 3, 64, 64), np.float32), r"must be \(b, 1, h, w\)"),
        ("superpoint", np.zeros((1, 1, 0, 64), np.float32), "multiples of 8, not"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(name, x, message):
    with pytest.raises(InputError, match=message):
        runtime(name)(x)


def test_an_export_that_computes_something_else_is_not_kept():
    other, x = open_model(to_onnx(made("l2net", seed=1)).SerializeToString()), inputs(made("l2net"))
    with pytest.raises(ArtifactError, match="more than 1e-04: the export is not to be trusted"):
        require_equal(other, runtime("l2net"), [x])


def without_facts(change) -> bytes:
    model = onnx.ModelProto()
    model.CopyFrom(exported("l2net"))
    change(model)
    return model.SerializeToString()


def said(model: onnx.ModelProto, **changes: object) -> None:
    entry = model.metadata_props[0]
    entry.value = json.dumps({**json.loads(entry.value), **changes})


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_files_of_others_are_named_and_refused(tmp_path, backend):
    with pytest.raises(ArtifactError, match=r"no\.onnx: cannot be read"):
        open_file(tmp_path / "no.onnx", backend)
    path = tmp_path / "x.onnx"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ArtifactError, match=r"x\.onnx: (ONNX Runtime|OpenVINO) cannot read it"):
        open_file(path, backend)
    path.write_bytes(without_facts(lambda model: model.metadata_props.pop()))
    with pytest.raises(ArtifactError, match="says nothing of what it reads and writes"):
        open_file(path, backend)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"kind": "sound"},
        {"dim": "16"},
        {"dim": -1},
        {"cell": 8},
        {"precision": "int3"},
        {"more": 1},
    ],
)
def test_damaged_facts_are_refused(changes):
    content = without_facts(lambda model: said(model, **changes))
    with pytest.raises(ArtifactError, match="the model: its metadata are not of format 1"):
        open_model(content)
    broken = without_facts(lambda m: setattr(m.metadata_props[0], "value", "{"))
    with pytest.raises(ArtifactError, match="not of format 1, or damaged"):
        open_model(broken)


def test_patch_networks_of_other_lengths_say_so():
    net = build(Spec("desdis", {"dim": 2})).eval()
    assert facts_of(net).dim == 128
