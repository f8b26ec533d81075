"""What a training was asked for, as a TOML file: enough to make the same network again.

    start = "cdp5"                # a network, a preset of the teacher, or a file
    teacher = "hardnet"           # a file, or a shipped network; left out where there is none
    seed = 0
    dropout = 0.0
    calibrate = 4096              # patches that a converted start is refitted on

    [net]                         # arguments of the network, where `start` names one
    widths = [16, 32, 48, 64]

    [plan]                        # see plans.Plan
    steps = 4000

    [data]                        # of every batch
    batch = 512
    tour_share = 0.3

    [objectives.imitation]        # see objectives; weight is 1 if left out
    weight = 2.0

    [prune]                       # for descompress prune; see pruning.requests
    macs = 0.25

Which photographs and tours to learn from is no part of it, nor `about` and `[card]`, which describe
the network that came out.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import RequestError
from .nets import NETS
from .objectives import Weighted
from .plans import Plan
from .pruning import Pruning
from .settings import fitted, kinds_of, require_known
from .shelf import read_toml

DESCRIPTIONS = {"about", "card"}
MOST_PAIRS, MOST_PIXELS = 2**20, 2**30  # far above every use
MOST_ZOOM = 3.0  # octaves: a view of 240 x 320 pixels then shows 30 x 40 of the other's


@dataclass(frozen=True)
class Data:
    """What a batch is made of.

    Args:
        batch: Pairs.
        tour_share: Share of the pairs that come from tours and releases, where there are any
            beside photographs.
        least_jitter: How much the second views of points on photographs are disturbed at least,
            as a share of the most, where they stay on the photograph.
        batches: How many batches of a pack to learn from; 0 for all.
        views: Pairs of views in a batch, for image networks.
        height, width: Of a view, in pixels; multiples of 8.
        zoom: Largest change of scale of the second view of a pair, in octaves; the first has its
            own, of up to 0.3.
    """

    batch: int = 512
    tour_share: float = 0.3
    least_jitter: float = 0.0
    batches: int = 0
    views: int = 8
    height: int = 240
    width: int = 320
    zoom: float = 0.5

    def __post_init__(self) -> None:
        if self.views < 1:
            raise RequestError(f"{self.views} views in a batch: at least 1")
        if any(side < 16 or side % 8 for side in (self.height, self.width)):
            raise RequestError(
                f"views of {self.height} x {self.width} pixels: both sides must be multiples of 8, "
                f"from 16 on"
            )
        if not 0 <= self.zoom <= MOST_ZOOM:
            raise RequestError(f"a zoom of {self.zoom} octaves: 0 to {MOST_ZOOM:g}")
        shares = self.tour_share, self.least_jitter
        if self.batch < 2 or self.batches < 0 or not all(0 <= share <= 1 for share in shares):
            raise RequestError(
                f"{self}: batch >= 2, 0 <= tour_share, least_jitter <= 1 and batches >= 0"
            )
        pixels = self.views * self.height * self.width
        if self.batch > MOST_PAIRS or pixels > MOST_PIXELS:
            raise RequestError(
                f"{self}: at most {MOST_PAIRS:,} pairs, or {MOST_PIXELS:,} pixels of views, a batch"
            )


@dataclass(frozen=True)
class Recipe:
    """A training, apart from its data and its device.

    Args:
        start: What the network starts from.
        net: Arguments of the network that `start` names.
        teacher: A file or the name of a shipped network.
        dropout: Probability, where the network has dropout.
        calibrate: Patches to refit a preset of the teacher on; 0 leaves it as it was projected.
        prune: How many channels the start is to lose, if any.
    """

    start: str
    plan: Plan
    objectives: Weighted
    net: Mapping[str, Any] = field(default_factory=dict)
    teacher: str | None = None
    data: Data = field(default_factory=Data)
    seed: int = 0
    dropout: float = 0.1
    calibrate: int = 4096
    prune: Pruning | None = None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Recipe":
        """Check and complete what a TOML file or a command line says.

        Raises:
            RequestError: A table or setting that does not exist, or one of the wrong kind.
        """
        content = {name: value for name, value in content.items() if name not in DESCRIPTIONS}
        require_known(content, kinds_of(cls), "the recipe")
        if not isinstance(content.get("start"), str):
            raise RequestError("the recipe needs start: a network, a preset or a file")
        names = ("plan", "data", "net", "objectives", "prune")
        tables = {name: _table(content, name) for name in names}
        plain = {n: _plain(n, content[n]) for n in content if n not in tables}
        if tables["prune"] and plain.get("teacher") is None:
            plain["teacher"] = plain["start"]  # what is pruned teaches what is left
        made = cls(
            plan=_filled(Plan, {"steps": 4000} | tables["plan"], "plan"),
            data=_filled(Data, tables["data"], "data"),
            objectives=Weighted.read(tables["objectives"] or {"triplet": {}}),
            net=tables["net"],
            prune=Pruning.read(tables["prune"]) if tables["prune"] else None,
            **{name: value for name, value in plain.items() if value is not None},
        )
        made._check()
        return made

    def _check(self) -> None:
        if not 0 <= self.dropout < 1 or self.calibrate < 0 or not 0 <= self.seed < 2**32:
            raise RequestError("0 <= dropout < 1, calibrate >= 0 and 0 <= seed < 2^32 are needed")
        if self.calibrate > MOST_PAIRS:
            raise RequestError(f"calibrate on {self.calibrate} patches: at most {MOST_PAIRS:,}")
        if self.objectives.needs_teacher and self.teacher is None:
            names = ", ".join(n for n, (_, o) in self.objectives.terms.items() if o.needs_teacher)
            raise RequestError(f"{names}: needs a teacher; use descompress distill --teacher NET")

    @property
    def anew(self) -> bool:
        """Whether `start` names a network to build; what is pruned is there already."""
        return self.start in NETS and self.prune is None

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` makes the same recipe of."""
        return {
            **{n: getattr(self, n) for n in ("start", "teacher", "seed", "dropout", "calibrate")},
            "net": dict(self.net),
            "plan": asdict(self.plan),
            "data": asdict(self.data),
            "objectives": self.objectives.to_json(),
            **({"prune": self.prune.to_json()} if self.prune else {}),
        }


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The content of a recipe file, for `Recipe.from_dict`.

    Raises:
        ArtifactError: It cannot be read, or is not TOML.
    """
    return read_toml(Path(path))


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both, `second` where they differ, tables setting by setting; objectives as a whole."""
    result = dict(first)
    for name, value in second.items():
        old = first.get(name)
        joins = isinstance(value, Mapping) and isinstance(old, Mapping) and name != "objectives"
        result[name] = {**old, **value} if joins else value  # pyright: ignore
    return result


def _plain(name: str, value: Any) -> Any:
    kind = {"start": str, "teacher": str, "dropout": float}.get(name, int)
    return None if value is None else fitted(kind, value, f"the recipe's {name}")


def _table(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name, {})
    if not isinstance(value, Mapping):
        raise RequestError(f"the recipe's {name} is a table, not {value!r}")
    return dict(value)


def _filled(kind: type, settings: Mapping[str, Any], what: str) -> Any:
    """A dataclass of numbers and names."""
    kinds = kinds_of(kind)
    require_known(settings, kinds, f"[{what}]")
    return kind(**{n: fitted(kinds[n], value, f"[{what}] {n}") for n, value in settings.items()})
