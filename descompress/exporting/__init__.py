"""Networks as ONNX files: rewritten for speed, checked, in full precision or in int8."""

from .checks import OpenCV, cosine, difference, require_equal
from .fitting import Fitted, fitted
from .graphs import OPSETS, OUTPUTS, Maps, facts_of, to_onnx
from .judges import Judge, ReleaseJudge, ViewsJudge
from .quantised import layers, quantised

__all__ = [
    "OPSETS",
    "OUTPUTS",
    "Fitted",
    "Judge",
    "Maps",
    "OpenCV",
    "ReleaseJudge",
    "ViewsJudge",
    "cosine",
    "difference",
    "facts_of",
    "fitted",
    "layers",
    "quantised",
    "require_equal",
    "to_onnx",
]
