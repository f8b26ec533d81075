"""ONNX Runtime, on the CPU."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArtifactError, RequestError
from .base import Session, refusing
from .facts import Facts

BACKEND = "onnxruntime"


@dataclass(frozen=True)
class OnnxRuntime:
    """Opens an exported network in ONNX Runtime, in the precision of the file.

    Args:
        model: The content of the file.
        threads: That it computes on; 0 for as many as there are processors.
        where: What errors call it.
    """

    model: bytes
    threads: int = 1
    where: str = "the model"

    def __call__(self) -> Session:
        """The session.

        Raises:
            RequestError: ONNX Runtime is not installed.
            ArtifactError: The model is not what `descompress export` writes.
        """
        runtime = _imported()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        providers = ["CPUExecutionProvider"]
        with refusing(self.where, "ONNX Runtime cannot read it"):
            session = runtime.InferenceSession(self.model, options, providers, enable_fallback=0)
            metadata = session.get_modelmeta().custom_metadata_map
            name = session.get_inputs()[0].name
        facts = Facts.from_metadata(metadata, self.where)

        def run(batch: np.ndarray) -> Sequence[np.ndarray]:
            with refusing(self.where, "ONNX Runtime cannot run it"):
                return session.run(None, {name: batch})

        return Session(facts, f"{BACKEND} {facts.precision}", run, self.where)


def _imported() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise RequestError("this needs ONNX Runtime: pip install onnxruntime") from None
    return onnxruntime


def read_model(path: Path) -> bytes:
    """The content of an ONNX file.

    Raises:
        ArtifactError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from None
