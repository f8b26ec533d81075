"""From a recipe and its data to a training ready to run."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from hpatches_eval.progress import Progress, silent

from . import shelf
from .calibration import calibrate_
from .converter import convert
from .data import Source, fingerprint, shapes
from .data.labelled import Labelled, read_labelled
from .data.mixture import Material, read_mixture
from .data.packed import Pack
from .data.photographs import parted
from .data.scenes import Finds, ViewPairs, images_of, read_scenes
from .data.viewpoints import Viewpoints
from .errors import RequestError
from .features import finder
from .judging import Accuracy
from .nets import NETS, Classifier, Net, PatchNet, SuperPoint, build
from .objectives import Judged, Look, Seen, Viewed
from .recipes import Recipe
from .runs import Measures
from .selection import Selection
from .shelf import SUFFIX
from .spec import Spec
from .teachers import digest, teacher_descriptors
from .training import Training
from .validation import Validation, held_out_validation
from .viewing import Views

HELD_SHAPES = 10  # drawings that a detector of shapes is validated on
Teachers: TypeAlias = Callable[[nn.Module, Measures], nn.Module]


def prepare(
    recipe: Recipe,
    material: Material,
    pack: Path | None = None,
    *,
    device: str = "cpu",
    fresh: bool = True,
    progress: Progress = silent,
    teachers: Teachers | None = None,
) -> tuple[Training, Source, Measures]:
    """A training at its first step, its batches, and what to validate it on.

    Args:
        material: What to learn from.
        pack: Batches made before, in its place.
        fresh: Whether the start matters: a converted one is not calibrated if a checkpoint is
            going to replace its weights.
        teachers: Makes of the teacher, and of the validation, what teaches in its place.

    Raises:
        RequestError: The recipe does not fit itself, the data or the teacher.
        DescompressError, DataError: Something cannot be read.
    """
    torch.manual_seed(recipe.seed)
    teacher = None if recipe.teacher is None else shelf.load(recipe.teacher).to(device)
    kind = kind_of(recipe.start, teacher, anew=recipe.anew)
    data = _data(recipe, material, pack, None if teachers else teacher, kind, device, progress)
    if teacher is not None:
        _fitting(teacher, recipe.teacher or "", data)
    net = _start(recipe, teacher, data, progress, fresh=fresh)
    net = _fitting(net, recipe.start, data).to(device)
    recipe.objectives.fit(looked_at(kind))
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = recipe.dropout
    taught = teacher if recipe.objectives.needs_teacher else None
    speaks = teachers(taught, data.validation) if taught and teachers else taught
    told = {n: v for n, v in recipe.to_dict().items() if n not in ("plan", "objectives")}
    told |= {"teacher": taught and digest(taught), "learns_from": data.name}
    training = Training(net, recipe.objectives, recipe.plan, speaks, json.dumps(told), recipe.seed)
    return training, data.source, data.validation


@dataclass(frozen=True)
class _Data:
    """Batches, what to validate on, and what tells them from others.

    Args:
        shape: Arguments of a network that follow from the data.
    """

    source: Source
    validation: Measures
    name: str
    shape: Mapping[str, Any] = field(default_factory=dict)


def _data(
    recipe: Recipe,
    material: Material,
    pack: Path | None,
    teacher: Net | None,
    kind: type[Net],
    device: str,
    progress: Progress,
) -> _Data:
    if issubclass(kind, SuperPoint):
        if pack is not None:
            raise RequestError("a pack holds patches: image networks learn from --photographs")
        return _viewed(recipe, material, device, progress)
    if issubclass(kind, Classifier) and material.labelled is None:
        raise RequestError(f"{recipe.start} is a classifier: it needs --labelled")
    if pack is not None:
        return _packed(recipe, material, Pack.read(pack), teacher, progress)
    if recipe.data.batches:
        raise RequestError("only a pack has a number of batches to learn from: give --pack")
    if material.labelled is not None:
        return _labelled(recipe, material)
    if material.points is not None:
        raise RequestError("--points are for image networks to learn; others learn patches")
    mixture = read_mixture(material, progress)
    data = recipe.data
    source = mixture.source(data.batch, data.tour_share, recipe.seed, data.least_jitter)
    return _Data(source, held_out_validation(mixture), fingerprint(mixture.names()))


def _viewed(recipe: Recipe, material: Material, device: str, progress: Progress) -> _Data:
    alone = replace(material, cache=None, points=None)
    if material.photographs is None or alone != Material(photographs=material.photographs):
        raise RequestError("image networks learn from photographs alone: give --photographs")
    size = recipe.data.height, recipe.data.width
    if recipe.data.batches:
        raise RequestError("only a pack has a number of batches to learn from: give --pack")
    if str(material.photographs) == shapes.NAME and not material.photographs.is_dir():
        if material.points is not None:
            raise RequestError("the points of drawn shapes are known: leave --points out")
        drawings = shapes.Shapes(recipe.data.views, size, recipe.seed)
        return _Data(drawings, Views.of(images_of(drawings.scenes(HELD_SHAPES))), shapes.NAME)
    found, finds = partial(progress, "finding points"), _finds(material.points, device)
    scenes = read_scenes(material.photographs, material.cache, found, finds=finds)
    learned, kept = parted(scenes)
    if not kept or not learned:
        raise RequestError(
            f"{material.photographs}: {len(scenes)} photographs are too few to hold some back"
        )
    viewpoints = Viewpoints(zoom=recipe.data.zoom)
    source = ViewPairs(learned, recipe.data.views, size, recipe.seed, viewpoints=viewpoints)
    told = [finds and finds.name, *(scene.name for scene in learned)]
    return _Data(source, Views.of(images_of(kept)), fingerprint(told))


def _finds(name: str | None, device: str) -> Finds | None:
    """An image network as what finds points."""
    if name is None:
        return None
    net = _loaded(name)
    if not isinstance(net, SuperPoint):
        raise RequestError(f"{name} finds no points: --points takes an image network")
    known, net = digest(net), net.to(device)

    def find(image: np.ndarray, most: int) -> np.ndarray:
        found = finder(net, Selection(threshold=0.0, most=most))(image)
        return found.keypoints.astype(np.float64)

    return Finds(known, find)


def _labelled(recipe: Recipe, material: Material) -> _Data:
    if material != Material(labelled=material.labelled):
        raise RequestError("labelled images are for classifiers: give them alone")
    found = read_labelled(material.labelled or "")
    source = Labelled(
        found.train, found.standard, recipe.data.batch, recipe.seed, found.augmentation
    )
    shape = {"classes": found.classes, "in_channels": found.channels}
    name = fingerprint([found.name, len(found.train), found.train.pixels.sum().item()])
    return _Data(source, Accuracy(found.validation, found.standard), name, shape)


def _packed(
    recipe: Recipe, material: Material, pack: Pack, teacher: Net | None, progress: Progress
) -> _Data:
    if not material.empty:
        raise RequestError("a pack holds what was learned from: give one or the other")
    for name in pack.shaped_by:
        made, asked = pack.asked.get(name, 0.0), getattr(recipe.data, name)
        if made != asked:
            option = f"--{name.replace('_', '-')}"
            raise RequestError(
                f"{pack.root}: made with {option} {made}, and {asked} is asked: make a pack with "
                f"{option} {asked}, or ask for {made}"
            )
    taught = None
    if teacher is not None and recipe.objectives.needs_teacher:
        taught = teacher_descriptors(pack, teacher, progress)
    batches = recipe.data.batches or None
    source = pack.source(recipe.seed, taught, recipe.data.batch, batches)
    return _Data(source, Validation.from_arrays(pack.held()), pack.digest())


def _start(
    recipe: Recipe, teacher: Net | None, data: _Data, progress: Progress, *, fresh: bool
) -> Net:
    if recipe.anew:
        return build(Spec(recipe.start, {**data.shape, **recipe.net}))
    if recipe.net:
        raise RequestError(f"[net] has arguments, and {recipe.start!r} is no network by name")
    if teacher is None or _is_there(recipe.start):
        return _loaded(recipe.start)
    small = convert(teacher, recipe.start)
    if recipe.calibrate and fresh and isinstance(teacher, PatchNet):
        patches = _patches(data.source, recipe.calibrate).to(next(teacher.parameters()).device)
        calibrate_(small, teacher, patches, progress=progress)
    return small


def kind_of(start: str, teacher: Net | None, *, anew: bool = True) -> type[Net]:
    """What is trained that starts from a network by name, a file, or a preset of the teacher.

    Args:
        anew: Whether a network by name is built; or else it is the shipped one.

    Raises:
        RequestError: It is none of them.
        DescompressError: A file cannot be read.
    """
    if anew and start in NETS:
        return NETS[start]
    return type(_loaded(start) if teacher is None or _is_there(start) else teacher)


def looked_at(kind: type[Net]) -> type[Look]:
    """What objectives see of networks of a kind."""
    if issubclass(kind, SuperPoint):
        return Viewed
    return Judged if issubclass(kind, Classifier) else Seen


def _is_there(start: str) -> bool:
    return Path(start).is_file() or Path(start).suffix == SUFFIX or start in shelf.names()


def _loaded(start: str) -> Net:
    if not _is_there(start):
        raise RequestError(
            f"{start!r} is no file, none of the shipped networks {', '.join(shelf.names())}, and "
            f"none of {', '.join(NETS)}; a recipe of convert needs a --teacher"
        )
    return shelf.load(start)


def _patches(source: Source, count: int) -> Tensor:
    """The first `count` patches of the first batches."""
    sides: list[Tensor] = []
    while sum(map(len, sides)) < count:
        pair: Any = source(len(sides) // 2)[:2]
        sides += [torch.from_numpy(side[:, None]) for side in pair]
    return torch.cat(sides)[:count]


def _fitting(net: Net, name: str, data: _Data) -> Net:
    """The network, if it is one for this data.

    Raises:
        RequestError: It is not.
    """
    if isinstance(data.validation, Accuracy):
        if not isinstance(net, Classifier):
            raise RequestError(f"{name} is no classifier: labelled images are for classifiers")
        own = {key: net.spec.args[key] for key in data.shape}
        if own != data.shape:
            raise RequestError(f"{name} has {own}, and the images have {dict(data.shape)}")
    elif not isinstance(net, SuperPoint if isinstance(data.validation, Views) else PatchNet):
        wanted = "images" if isinstance(data.validation, Views) else "patches"
        raise RequestError(
            f"{name} does not describe {wanted}; student and teacher must be of one kind, and "
            f"classifiers need --labelled"
        )
    return net
