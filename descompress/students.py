"""From a recipe and its data to a training ready to run."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from hpatches_eval.progress import Progress, silent

from . import shelf
from .calibration import calibrate_
from .converter import convert
from .data import Source
from .data.mixture import Material, read_mixture
from .data.packed import Pack
from .errors import RequestError
from .nets import NETS, PatchNet, build
from .recipes import Recipe
from .shelf import SUFFIX
from .spec import Spec
from .teachers import teacher_descriptors
from .training import Training
from .validation import Validation, held_out_validation


def prepare(
    recipe: Recipe,
    material: Material,
    pack: Path | None = None,
    *,
    device: str = "cpu",
    fresh: bool = True,
    progress: Progress = silent,
) -> tuple[Training, Source, Validation]:
    """A training at its first step, its batches, and what to validate it on.

    Args:
        material: What to learn from.
        pack: Batches made before, in its place.
        fresh: Whether the start matters: a converted one is not calibrated if a checkpoint is
            going to replace its weights.

    Raises:
        RequestError: The recipe does not fit itself, the data or the teacher.
        DescompressError, DataError: Something cannot be read.
    """
    torch.manual_seed(recipe.seed)
    teacher = (
        None if recipe.teacher is None else _patch_net(shelf.load(recipe.teacher), recipe.teacher)
    )
    source, validation = _batches(recipe, material, pack, teacher, progress)
    net = _start(recipe, teacher, source if fresh else None, progress).to(device)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = recipe.dropout
    taught = teacher.to(device) if teacher and recipe.objectives.needs_teacher else None
    origin = json.dumps({n: v for n, v in recipe.to_dict().items() if n not in _IN_TRAINING})
    training = Training(net, recipe.objectives, recipe.plan, taught, origin)
    return training, source, validation


_IN_TRAINING = ("plan", "objectives", "teacher")  # the first two are told by the training itself


def _batches(
    recipe: Recipe,
    material: Material,
    pack: Path | None,
    teacher: PatchNet | None,
    progress: Progress,
) -> tuple[Source, Validation]:
    if pack is not None:
        if not material.empty:
            raise RequestError("a pack holds what was learned from: give one or the other")
        return _packed(recipe, Pack.read(pack), teacher, progress)
    mixture = read_mixture(material, lambda done, total: progress("finding points", done, total))
    source = mixture.source(recipe.data.batch, recipe.data.tour_share, recipe.seed)
    return source, held_out_validation(mixture)


def _packed(
    recipe: Recipe, pack: Pack, teacher: PatchNet | None, progress: Progress
) -> tuple[Source, Validation]:
    if (share := pack.asked.get("tour_share")) != recipe.data.tour_share:
        raise RequestError(
            f"{pack.root}: {share} of the pairs are of tours; {recipe.data.tour_share} asked"
        )
    taught = None
    if teacher is not None and recipe.objectives.needs_teacher:
        taught = teacher_descriptors(pack, teacher, progress)
    source = pack.source(recipe.seed, taught, recipe.data.batch)
    return source, Validation.from_arrays(pack.held())


def _start(
    recipe: Recipe, teacher: PatchNet | None, source: Source | None, progress: Progress
) -> PatchNet:
    if recipe.start in NETS:
        return _patch_net(build(Spec(recipe.start, recipe.net)), recipe.start)
    if recipe.net:
        raise RequestError(f"[net] has arguments, and {recipe.start!r} is no network by name")
    if teacher is None or _is_file(recipe.start):
        return _patch_net(_loaded(recipe.start), recipe.start)
    small = convert(teacher, recipe.start)
    if recipe.calibrate and source is not None:
        calibrate_(small, teacher, _patches(source, recipe.calibrate), progress=progress)
    return small


def _is_file(start: str) -> bool:
    return Path(start).exists() or Path(start).suffix == SUFFIX


def _loaded(start: str) -> nn.Module:
    if not _is_file(start) and start not in shelf.names():
        raise RequestError(
            f"{start!r} is no file, none of the shipped networks {', '.join(shelf.names())}, and "
            f"none of {', '.join(NETS)}"
        )
    return shelf.load(start)


def _patches(source: Source, count: int) -> Tensor:
    """The first `count` patches of the first batches."""
    sides: list[Tensor] = []
    while sum(map(len, sides)) < count:
        sides += [torch.from_numpy(side[:, None]) for side in source(len(sides) // 2)[:2]]
    return torch.cat(sides)[:count]


def _patch_net(net: nn.Module, name: str) -> PatchNet:
    if not isinstance(net, PatchNet):
        raise RequestError(f"{name} does not describe patches: only patch networks are trained")
    return net
