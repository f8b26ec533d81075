"""An extractor for hloc, the toolbox of hierarchical localisation, version 1.5.

`register` puts it among hloc's own; then `hloc.extract_features.main` runs it by its name:

    conf = {
        "output": "feats-descompress",
        "model": {"name": "descompress", "net": "hardnet"},
        "preprocessing": {"grayscale": True, "resize_max": 1600},
    }

`descompress describe` writes the same file without hloc.
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar

from jaxtyping import Float32
from torch import Tensor, nn

from ..errors import RequestError
from ..selection import Selection
from .extraction import ImageExtractor

NAME = "descompress"
CLASS = "Descompress"


class Extractor(nn.Module):
    """What hloc's `BaseModel` is to be: a configuration, `_init`, and `_forward`.

    Args:
        conf: Values in the place of those of `default_conf`; hloc's `name` is not read. `net` is
            the name of a shipped network or a file; the others are those of `Selection`.

    Raises:
        RequestError: An unknown setting, or one that does not fit.
        ArtifactError: No such network.
    """

    default_conf: ClassVar[dict[str, Any]] = {
        "net": "hardnet",
        "max_keypoints": 2048,
        "nms_radius": 4,
        "keypoint_threshold": 0.005,
        "remove_borders": 4,
    }
    required_inputs: ClassVar[list[str]] = ["image"]

    def __init__(self, conf: Mapping[str, Any]) -> None:
        nn.Module.__init__(self)  # not hloc's, which would run `_init` as well
        self.conf = {**self.default_conf, **conf}
        self._init(self.conf)

    def _init(self, conf: Mapping[str, Any]) -> None:
        known = {*self.default_conf, "name"}
        if unknown := sorted(conf.keys() - known):
            raise RequestError(f"no setting {unknown[0]!r}; there are {', '.join(sorted(known))}")
        self.extractor = ImageExtractor.from_pretrained(
            conf["net"],
            Selection(
                radius=conf["nms_radius"],
                border=conf["remove_borders"],
                threshold=conf["keypoint_threshold"],
                most=conf["max_keypoints"],
            ),
        )

    def forward(self, data: Mapping[str, Tensor]) -> dict[str, Float32[Tensor, "1 ..."]]:
        """The features of `data["image"]`, see `_forward`.

        Raises:
            RequestError: An input is missing.
        """
        if missing := [name for name in self.required_inputs if name not in data]:
            raise RequestError(f"the input {missing[0]!r} is missing")
        return self._forward(data)

    def _forward(self, data: Mapping[str, Tensor]) -> dict[str, Float32[Tensor, "1 ..."]]:
        """Of one image (1, 1 or 3, h, w) in [0, 1].

        Keypoints (1, n, 2), the centre of the first pixel being (0, 0); scores (1, n); and
        descriptors (1, d, n), a column for each keypoint.

        Raises:
            RequestError: More than one image.
            InputError: Not such an image.
        """
        if len(data["image"]) != 1:
            raise RequestError(f"one image at a time, not {len(data['image'])}")
        (found,) = self.extractor(data["image"])
        return {
            "keypoints": found.keypoints[None],
            "scores": found.detection_scores[None],
            "descriptors": found.descriptors.T[None],
        }


def register() -> type:
    """Make the extractor known to hloc as `descompress`; gives the class that hloc will find.

    Raises:
        RequestError: hloc cannot be imported.
    """
    try:
        extractors = import_module("hloc.extractors")
        base = import_module("hloc.utils.base_model").BaseModel
    except ImportError as error:
        where = "github.com/cvg/Hierarchical-Localization"
        raise RequestError(f"hloc cannot be imported ({error}): it is at {where}") from None
    module = ModuleType(f"{extractors.__name__}.{NAME}", __doc__)
    # hloc takes the one class of a module that is a BaseModel and says it is of that module.
    found = type(CLASS, (Extractor, base), {"__module__": module.__name__})
    setattr(module, CLASS, found)
    setattr(extractors, NAME, module)
    sys.modules[module.__name__] = module
    return found
