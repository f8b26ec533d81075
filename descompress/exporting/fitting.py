"""int8 within a budget of accuracy: which layers have to stay in float."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hpatches_eval.progress import Progress, silent

from ..errors import RequestError
from ..runtimes import Runtime, open_model
from .checks import cosine
from .judges import Judge, worst_drop
from .quantised import layers, quantised

if TYPE_CHECKING:
    from onnx import ModelProto

JUDGED = 256  # inputs, at most, that the sensitivity of a layer is measured on


@dataclass(frozen=True)
class Fitted:
    """A quantised network and what it cost.

    Args:
        floats: Convolutions that were kept in float because int8 in them cost too much.
        before, after: The measures of the network and of the quantised one, in per cent.
    """

    model: "ModelProto"
    floats: tuple[str, ...] = ()
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)


def fitted(
    model: "ModelProto",
    inputs: Sequence[np.ndarray],
    judge: Judge,
    max_drop: float,
    keep: Collection[str] = (),
    progress: Progress = silent,
) -> Fitted:
    """`model` in int8 but for as many layers as `max_drop` asks for, the most sensitive first.

    How sensitive a layer is says the mean cosine of descriptors to those of the network, when it
    alone is quantised.

    Args:
        max_drop: By how many points each of the judge's measures may fall.
        keep: Layers that stay in float in any case.

    Raises:
        RequestError: Even one layer in int8 costs more.
    """
    whole, names = _opened(model), layers(model)
    before = judge(whole)
    order = _by_sensitivity(model, whole, inputs, progress)
    order = [*keep, *(name for name in order if name not in keep)]
    closest = float("inf")
    for count in range(len(keep), len(names)):
        floats = set(order[:count])
        made = quantised(model, inputs, floats)
        after = judge(_opened(made))
        drop = worst_drop(before, after)
        if drop <= max_drop:
            return Fitted(made, tuple(n for n in names if n in floats), before, after)
        closest = min(closest, drop)
    raise RequestError(
        f"--max-drop {max_drop:g}: int8 costs {closest:.2f} points at least, whichever of its "
        f"{len(names)} layers stay in float"
    )


def _by_sensitivity(
    model: "ModelProto", whole: Runtime, inputs: Sequence[np.ndarray], progress: Progress
) -> list[str]:
    names, some = layers(model), _some(inputs)
    found = {}
    for done, name in enumerate(names, 1):
        alone = quantised(model, inputs, [other for other in names if other != name])
        found[name] = cosine(whole, _opened(alone), some)
        progress("layers", done, len(names))
    return sorted(names, key=lambda name: found[name])


def _some(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    some, count = [], 0
    for batch in inputs:
        some.append(batch)
        count += len(batch)
        if count >= JUDGED:
            break
    return some


def _opened(model: "ModelProto") -> Runtime:
    return open_model(model.SerializeToString(), threads=0)
