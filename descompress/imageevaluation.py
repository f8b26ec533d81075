"""Networks beside classical features on image sequences: accuracy, size, work and time."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from hpatches_eval.features import Finder
from hpatches_eval.finders import classical
from hpatches_eval.imageevaluation import ImageSettings, evaluate_images
from hpatches_eval.sequences import ImageSequence
from hpatches_eval.terminal import shown_progress

from .artifacts import load
from .costs import cost
from .errors import RequestError
from .evaluation import File
from .features import finder
from .nets import PatchNet
from .selection import Selection
from .shelf import sha256


@dataclass(frozen=True)
class ImageContestant:
    """Something that finds keypoints of images and describes them.

    Args:
        file: Of a network; None for a baseline, which has no params and MACs either.
        macs: Of an image network for 480 x 640 pixels; of a patch network for as many patches as
            keypoints are kept at most, its detections not counted.
    """

    name: str
    finder: Finder
    file: File | None = None
    params: int | None = None
    macs: int | None = None


@dataclass(frozen=True)
class ImageEntry:
    """A contestant and how it did, as `evaluate_images` says it."""

    contestant: ImageContestant
    result: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers: an entry of `record`; without those of single pairs."""
        contestant = self.contestant
        nowhere = dict.fromkeys(File.__dataclass_fields__)
        return {
            **(asdict(contestant.file) if contestant.file else nowhere),
            "params": contestant.params,
            "macs": contestant.macs,
            **{key: value for key, value in self.result.items() if key not in _SHARED},
        }


_SHARED = ("pairs", "settings", "versions", "counts")  # said once of a run, or not at all


def image_network(path: Path, selection: Selection) -> ImageContestant:
    """The network in a file: an image network, or a patch network on OpenCV's SIFT detections.

    Raises:
        ArtifactError: See `artifacts.load`.
        RequestError: It describes neither images nor patches.
    """
    net = load(path)
    try:
        find = finder(net, selection)
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from None
    spent, file = cost(net), File(path.name, path.stat().st_size, sha256(path))
    patches = selection.most if isinstance(net, PatchNet) else 1
    return ImageContestant(path.stem, find, file, spent.params, spent.macs * patches)


def image_baseline(name: str, keypoints: int) -> ImageContestant:
    """Classical features by name.

    Raises:
        RequestError: There are none of that name.
    """
    return ImageContestant(name, classical(name, keypoints))


def compare_on_sequences(
    contestants: Sequence[ImageContestant],
    sequences: Sequence[ImageSequence],
    settings: ImageSettings,
) -> list[ImageEntry]:
    """Evaluate all on the same pairs of images; progress on stderr.

    Raises:
        RequestError: Two have the same name.
    """
    finders = {contestant.name: contestant.finder for contestant in contestants}
    if len(finders) < len(contestants):
        names = [contestant.name for contestant in contestants]
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError(f"{twice}: two of this name; results are told apart by it")
    with shown_progress() as progress:
        results = evaluate_images(finders, sequences, settings, progress)
    return [ImageEntry(*pair) for pair in zip(contestants, results, strict=True)]


def image_record(entries: Sequence[ImageEntry], selection: Selection) -> dict[str, Any]:
    """One run as plain numbers."""
    first = entries[0].result
    return {
        "settings": {**first["settings"], "selection": asdict(selection)},
        "counts": first["counts"],
        "sequences": list(dict.fromkeys(pair["sequence"] for pair in first["pairs"])),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            **first["versions"],
        },
        "threads": torch.get_num_threads(),
        "entries": [entry.to_json() for entry in entries],
    }


def sizes(entries: Sequence[ImageEntry]) -> list[tuple[str, ...]]:
    """Rows of cells: what each costs; compression and speed are relative to the first network."""
    rows: list[tuple[str, ...]] = [("", "params", "compression", "GMACs", "ms an image")]
    first = next((e for e in entries if e.contestant.params), None)
    for entry in entries:
        params, macs = entry.contestant.params, entry.contestant.macs or 0
        size = ("", "", "")
        if params and first and first.contestant.params:
            compression = first.contestant.params / params
            size = (f"{params:,}", f"{compression:.2f}x", f"{macs / 1e9:.3f}")
        rows.append((entry.contestant.name, *size, _time(entry, first)))
    return rows


def _time(entry: ImageEntry, first: ImageEntry | None) -> str:
    seconds = entry.result["seconds"]["finding"]
    speed = f" ({first.result['seconds']['finding'] / seconds:.2f}x)" if first else ""
    return f"{1000 * seconds:.1f}{speed}"
