"""Networks as ONNX files: rewritten for speed, checked, in full precision or in int8."""

from .graphs import OPSETS, Maps, facts_of, to_onnx
from .quantised import layers, quantised

__all__ = ["OPSETS", "Maps", "facts_of", "layers", "quantised", "to_onnx"]
