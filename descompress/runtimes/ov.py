"""OpenVINO, on the CPU."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import RequestError
from .base import Session, refusing
from .facts import Facts

BACKEND = "openvino"
_ALONE = threading.Lock()
_KEPT: list[Any] = []  # what OpenVINO is asked through


@dataclass(frozen=True)
class OpenVino:
    """Opens an exported network in OpenVINO.

    Args:
        model: The content of the ONNX file.
        threads: That it computes on; 0 for as many as there are processors.
        where: What errors call it.
        bf16: Compute what is not quantised in bfloat16.
    """

    model: bytes
    threads: int = 1
    where: str = "the model"
    bf16: bool = False

    def __call__(self) -> Session:
        """The session.

        Raises:
            RequestError: OpenVINO is not installed.
            ArtifactError: The model is not what `descompress export` writes.
        """
        core = _core()
        with refusing(self.where, "OpenVINO cannot read it"):
            model = core.read_model(self.model)
            compiled = core.compile_model(model, "CPU", self._settings())
            outputs = range(len(compiled.outputs))
            request = compiled.create_infer_request()
        facts = Facts.from_metadata(_metadata(model), self.where)

        def run(batch: np.ndarray) -> Sequence[np.ndarray]:
            with refusing(self.where, "OpenVINO cannot run it"):
                found = request.infer([batch], share_inputs=True)
                return [found[i] for i in outputs]

        precision = "bf16" if self.bf16 and facts.precision == "fp32" else facts.precision
        return Session(facts, f"{BACKEND} {precision}", run, self.where)

    def _settings(self) -> dict[str, Any]:
        hint = "bf16" if self.bf16 else "f32"
        threads = {"INFERENCE_NUM_THREADS": self.threads} if self.threads else {}
        return {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY", **threads}


def _core() -> Any:
    """OpenVINO, once in a process and for as long as that lives.

    Its CPU plugin gives the thread that loads it a stack for signal handlers, and takes it away in
    whatever thread lets go of it last: in another one, the next signal that the first thread
    handles (a child's end will do) finds no stack and kills the process without a word.
    """
    try:
        import openvino
    except ImportError:
        raise RequestError("this needs OpenVINO: pip install 'descompress[openvino]'") from None
    with _ALONE:
        if not _KEPT:
            _KEPT.append(openvino.Core())
        return _KEPT[0]


def _metadata(model: Any) -> Mapping[str, str]:
    """The ONNX metadata, which OpenVINO keeps as runtime information."""
    try:
        return {k: v.value for k, v in model.rt_info["framework"].items()}
    except (KeyError, RuntimeError, AttributeError):
        return {}
