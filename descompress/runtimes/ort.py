"""ONNX Runtime, on the CPU."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArtifactError, RequestError
from .base import Session
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
        session = self._session()
        facts = Facts.from_metadata(session.get_modelmeta().custom_metadata_map, self.where)
        name = session.get_inputs()[0].name

        def run(batch: np.ndarray) -> Sequence[np.ndarray]:
            return session.run(None, {name: batch})

        return Session(facts, f"{BACKEND} {facts.precision}", run)

    def _session(self) -> Any:
        try:
            import onnxruntime
        except ImportError:
            raise RequestError("this needs ONNX Runtime: pip install onnxruntime") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        providers = ["CPUExecutionProvider"]
        try:
            return onnxruntime.InferenceSession(self.model, options, providers)
        except Exception as error:  # it has no common class of errors
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ArtifactError(f"{self.where}: ONNX Runtime cannot read it ({said})") from None


def read_model(path: Path) -> bytes:
    """The content of an ONNX file.

    Raises:
        ArtifactError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from None
