"""What a training minimises: weighted sums of losses of descriptors, one file each."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from ..errors import RequestError
from ..settings import fitted, kinds_of
from .base import Judged, Look, Objective, Seen, Viewed
from .bkd import BKD
from .classes import CrossEntropy, SoftLabels
from .companions import Companion, Learner, follow_
from .correspondence import Correspondence
from .desdis import DesDis
from .detection import Detection
from .hierarchical import Hierarchical
from .imitation import Imitation
from .itrd import ITRD
from .pcl import PCL
from .second_order import SecondOrder
from .sequence import Sequence
from .similarity import Similarity
from .srm import SRM
from .triplet import Triplet, hardest_in_batch

OBJECTIVES: dict[str, type[Objective]] = {
    "triplet": Triplet,
    "second_order": SecondOrder,
    "similarity": Similarity,
    "imitation": Imitation,
    "desdis": DesDis,
    "itrd": ITRD,
    "bkd": BKD,
    "srm": SRM,
    "hierarchical": Hierarchical,
    "pcl": PCL,
    "sequence": Sequence,
    "cross_entropy": CrossEntropy,
    "soft_labels": SoftLabels,
    "detection": Detection,
    "correspondence": Correspondence,
}
_KINDS = {Seen: "descriptors of patches", Judged: "classifiers", Viewed: "image networks"}


def objective(name: str, settings: Mapping[str, Any]) -> Objective:
    """The objective called `name`, settings that are left out being its defaults.

    Raises:
        RequestError: No such objective, or a setting that it has not, or a value that is no
            number of the kind of the default or lies outside the range.
    """
    if name not in OBJECTIVES:
        raise RequestError(f"unknown objective {name!r}; there are {', '.join(OBJECTIVES)}")
    kind = OBJECTIVES[name]
    kinds = kinds_of(kind)
    if unknown := sorted(settings.keys() - kinds.keys()):
        known = ", ".join(["weight", *kinds])
        raise RequestError(f"{name} has no setting {unknown[0]!r}; it has {known}")
    return kind(**{key: fitted(kinds[key], v, f"{name}: {key}") for key, v in settings.items()})


@dataclass(frozen=True)
class Weighted:
    """A sum of objectives.

    Args:
        terms: By name, the weight of each, above 0, and the objective.

    Raises:
        RequestError: There is no term, or one with another weight.
    """

    terms: Mapping[str, tuple[float, Objective]]

    def __post_init__(self) -> None:
        if not self.terms:
            raise RequestError(f"nothing to minimise; there are {', '.join(OBJECTIVES)}")
        for name, (weight, _) in self.terms.items():
            if not 0 < weight < math.inf:
                raise RequestError(
                    f"{name}: weight must be a number above 0, not {weight}; "
                    "leave out what is not to count"
                )

    def __call__(self, seen: Look) -> dict[str, Tensor]:
        """Each term, times its weight.

        Raises:
            RequestError: An objective of another kind of network.
        """
        self.fit(type(seen))
        return {name: weight * loss(seen) for name, (weight, loss) in self.terms.items()}

    def fit(self, kind: type[Look]) -> None:
        """See to it that all terms are of what is seen of one kind of network.

        Raises:
            RequestError: An objective of another kind.
        """
        for name, (_, loss) in self.terms.items():
            if not issubclass(kind, loss.looks_at):
                kinds = loss.looks_at if isinstance(loss.looks_at, tuple) else (loss.looks_at,)
                known = " and ".join(_KINDS[each] for each in kinds)
                raise RequestError(f"{name}: an objective of {known}, not of {_KINDS[kind]}")

    @property
    def needs_teacher(self) -> bool:
        """Whether any term does."""
        return any(loss.needs_teacher for _, loss in self.terms.values())

    def companions(self, net: nn.Module, teacher: nn.Module | None) -> dict[str, Companion]:
        """What has to run beside `net`, by name of the objective that needs it.

        Raises:
            RequestError: See `Objective.companion`.
        """
        made = {name: loss.companion(net, teacher) for name, (_, loss) in self.terms.items()}
        return {name: companion for name, companion in made.items() if companion is not None}

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "Weighted":
        """The sum that tables of settings describe, such as ``{"triplet": {"weight": 1.0}}``.

        Raises:
            RequestError: See `objective` and `Weighted`.
        """
        return cls({name: _term(name, settings) for name, settings in content.items()})

    def to_json(self) -> dict[str, dict[str, Any]]:
        """What `read` makes the same sum of."""
        return {
            name: {"weight": weight, **asdict(loss)} for name, (weight, loss) in self.terms.items()
        }


def _term(name: str, settings: Any) -> tuple[float, Objective]:
    if not isinstance(settings, Mapping):
        raise RequestError(f"{name}: settings are a table, not {settings!r}")
    own = {key: value for key, value in settings.items() if key != "weight"}
    loss = objective(name, own)  # first, since an unknown name says more than a bad weight
    return fitted(float, settings.get("weight", 1.0), f"{name}: weight"), loss


__all__ = [
    "OBJECTIVES",
    "Judged",
    "Learner",
    "Look",
    "Objective",
    "Seen",
    "Viewed",
    "Weighted",
    "follow_",
    "hardest_in_batch",
    "objective",
]
