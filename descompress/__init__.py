"""Compress learned local descriptors and detectors, and prove what it cost.

    import descompress

    net = descompress.load("hardnet")     # a file or a shipped network: (b, 1, 32, 32) -> (b, 128)
    small = descompress.convert(net, "cdp5")
    print(descompress.cost(net).params / descompress.cost(small).params)
    descompress.save(small, "hardnet.cdp5.safetensors")

Names are imported when they are first used: `import descompress` is light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .artifacts import save
    from .calibration import calibrate_
    from .converter import convert
    from .costs import Cost, cost
    from .features import finder
    from .methods import CDP, TDW, Depthwise, Tucker
    from .nets import Net, build
    from .selection import Selection
    from .shelf import load
    from .slimming import slim
    from .spec import Spec
    from .upstream import import_checkpoint

_HOMES = {
    "save": "artifacts",
    "calibrate_": "calibration",
    "convert": "converter",
    "Cost": "costs",
    "cost": "costs",
    "finder": "features",
    "Selection": "selection",
    "CDP": "methods",
    "Depthwise": "methods",
    "TDW": "methods",
    "Tucker": "methods",
    "Net": "nets",
    "build": "nets",
    "load": "shelf",
    "slim": "slimming",
    "Spec": "spec",
    "import_checkpoint": "upstream",
}

__all__ = [
    "CDP",
    "TDW",
    "Cost",
    "Depthwise",
    "Net",
    "Selection",
    "Spec",
    "Tucker",
    "build",
    "calibrate_",
    "convert",
    "cost",
    "finder",
    "import_checkpoint",
    "load",
    "save",
    "slim",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
