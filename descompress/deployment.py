"""Networks on the backends people ship on, and on PyTorch for comparison."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from .errors import RequestError
from .exporting import Maps, facts_of, quantised, to_onnx
from .nets import Net
from .rewriting import rewritten
from .runtimes import Runtime, Session, open_model

# What `--on` names: the backend and the precision it computes in.
TARGETS = (
    "eager-fp32",
    "eager-bf16",
    "compile-fp32",
    "onnxruntime-fp32",
    "onnxruntime-int8",
    "openvino-fp32",
    "openvino-bf16",
    "openvino-int8",
)


def deploy(net: Net, on: str, *, threads: int = 1, inputs: Sequence[np.ndarray] = ()) -> Runtime:
    """`net` ready to run.

    Args:
        on: One of `TARGETS`; eager runs it as it is, the others as `rewriting` makes it.
        threads: That it computes on. For PyTorch this is a setting of the whole process.
        inputs: Batches to calibrate int8 on, float32.

    Raises:
        RequestError: Another target, a network that describes neither patches nor images, int8
            without inputs, or a package is missing.
    """
    if on not in TARGETS:
        raise RequestError(f"{on!r}: there are {', '.join(TARGETS)}")
    backend, precision = on.split("-")
    if backend in ("eager", "compile"):
        return Runtime(partial(_torch, net, backend, precision, threads))
    model = to_onnx(net)
    if precision == "int8":
        if not inputs:
            raise RequestError(f"{on}: needs patches or images to calibrate on")
        model = quantised(model, inputs)
    content = model.SerializeToString()
    return open_model(content, backend, threads=threads, bf16=precision == "bf16")


@dataclass(frozen=True)
class _Torch:
    """Runs a module on arrays."""

    module: nn.Module
    precision: str
    threads: int

    @torch.inference_mode()
    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            outputs = self.module(torch.from_numpy(batch))
        outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
        return [output.float().numpy() for output in outputs]


def _torch(net: Net, backend: str, precision: str, threads: int) -> Session:
    facts = facts_of(net)
    module = net.eval() if backend == "eager" else rewritten(net)
    module = module if facts.kind == "patches" else Maps(module).eval()
    if backend == "compile":
        module = torch.compile(module, dynamic=False)  # pyright: ignore
    run = _Torch(module, precision, threads or torch.get_num_threads())  # pyright: ignore
    return Session(facts, f"{backend} {precision}", run)
