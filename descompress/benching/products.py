"""Matrix products: what the machine can do at most, measured beside what networks make of it."""

from collections.abc import Callable, Collection

import numpy as np

from .. import machine
from ..errors import RequestError
from .contestants import Work

SIDE = 1024  # of the matrices: large enough for full speed, small enough for the caches
MACS = SIDE**3


def _fp32(threads: int) -> Callable[[], object]:
    import torch

    a, b = torch.rand(2, SIDE, SIDE)
    return lambda: a @ b


def _bf16(threads: int) -> Callable[[], object]:
    import torch

    if not machine.has_bf16():
        raise RequestError("this processor does not compute in bfloat16")
    a, b = torch.rand(2, SIDE, SIDE, dtype=torch.bfloat16)
    return lambda: a @ b


def _int8(threads: int) -> Callable[[], object]:
    try:
        import onnx.helper as make
        import onnx.numpy_helper as tensors
        import onnxruntime
    except ImportError as error:
        raise RequestError(f"{error.name} is not installed") from None
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
    weight = tensors.from_array(rng.integers(-128, 128, (SIDE, SIDE)).astype(np.int8), "b")
    graph = make.make_graph(
        [make.make_node("MatMulInteger", ["a", "b"], ["y"])],
        "product",
        [make.make_tensor_value_info("a", 2, [SIDE, SIDE])],  # uint8
        [make.make_tensor_value_info("y", 6, [SIDE, SIDE])],  # int32
        [weight],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"a": a})


PRODUCTS: dict[str, Callable[[int], Callable[[], object]]] = {
    "fp32": _fp32,
    "bf16": _bf16,
    "int8": _int8,
}
HOW = {
    "fp32": f"PyTorch, {SIDE} x {SIDE} by {SIDE} x {SIDE}",
    "bf16": f"PyTorch, {SIDE} x {SIDE} by {SIDE} x {SIDE}",
    "int8": f"ONNX Runtime's MatMulInteger, unsigned by signed, {SIDE} x {SIDE} by {SIDE} x {SIDE}",
}


def products(precisions: Collection[str], threads: int) -> tuple[list[Work], dict[str, str]]:
    """The products in these precisions, and why others cannot be measured."""
    works, reasons = [], {}
    for precision, make in PRODUCTS.items():
        if precision not in precisions:
            continue
        try:
            works.append(Work(precision, make(threads), MACS))
        except RequestError as error:
            reasons[precision] = str(error)
    return works, reasons
