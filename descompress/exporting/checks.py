"""What an exported network is held against before it is kept."""

from collections.abc import Callable, Sequence

import numpy as np

from ..errors import ArtifactError
from ..runtimes import Facts, Runtime
from .graphs import OUTPUTS

LARGEST = 1e-4  # by which an output of the graph may differ from the network's, in full precision


def difference(
    first: Callable[[np.ndarray], Sequence[np.ndarray]],
    second: Callable[[np.ndarray], Sequence[np.ndarray]],
    inputs: Sequence[np.ndarray],
) -> float:
    """The largest difference of any output, of two that should compute the same."""
    return max(
        float(np.abs(a - b).max())
        for batch in inputs
        for a, b in zip(first(batch), second(batch), strict=True)
    )


def require_equal(runtime: Runtime, reference: Runtime, inputs: Sequence[np.ndarray]) -> float:
    """The difference of two runtimes.

    Raises:
        ArtifactError: It is above `LARGEST`.
    """
    found = difference(runtime, reference, inputs)
    if not found <= LARGEST:
        raise ArtifactError(
            f"{runtime.label} gives outputs that differ by {found:.1g} from {reference.label}'s, "
            f"more than {LARGEST:.0e}: the export is not to be trusted"
        )
    return found


def cosine(first: Runtime, second: Runtime, inputs: Sequence[np.ndarray]) -> float:
    """The mean cosine between the descriptors of two runtimes, both being unit vectors."""
    found = [(first(x)[-1] * second(x)[-1]).sum(axis=1) for x in inputs]
    return float(np.mean(np.concatenate([cosines.ravel() for cosines in found])))


class OpenCV:
    """An exported network in OpenCV's `cv2.dnn`.

    Raises:
        ArtifactError: OpenCV cannot read it.
    """

    def __init__(self, model: bytes, facts: Facts) -> None:
        import cv2

        self.outputs = OUTPUTS[facts.kind]
        try:
            self.net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
        except cv2.error as error:
            raise ArtifactError(f"OpenCV cannot read it ({_first_line(error)})") from None

    def __call__(self, batch: np.ndarray) -> Sequence[np.ndarray]:
        """The outputs.

        Raises:
            ArtifactError: OpenCV cannot compute them.
        """
        import cv2

        try:
            self.net.setInput(batch)
            return self.net.forward(list(self.outputs))
        except cv2.error as error:
            raise ArtifactError(f"OpenCV cannot run it ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
