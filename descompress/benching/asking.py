"""What a run is asked for: networks, peers, and what int8 is calibrated on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..errors import ArtifactError, RequestError
from ..nets.superpoint import CELL
from ..patchfiles import read_images, read_patches
from ..runtimes import SUFFIX
from ..sizing import batched
from . import inputs, networks, peers
from .contestants import IMAGES, PATCHES
from .networks import Network

CALIBRATED = {PATCHES: 512, IMAGES: 4}  # inputs, where none are given
BATCH = 64  # patches in a batch of calibration
IMAGE_SIZE = (240, 320)  # of those


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Args:
        nets: Files, shipped names, exported files; ratios are to the first.
        on: Targets; `networks.USUAL` if there are none.
        against: Peers: `peers.NAMES`, other networks, ONNX files of maps.
        batches: Patches a call.
        size: Height and width of images.
        calibration: For int8, by kind; generated where there is nothing.
        calibrated_on: What that is, in words.

    Raises:
        RequestError: Sides are no multiples of 8.
    """

    nets: Sequence[str]
    on: Sequence[str] = ()
    against: Sequence[str] = ("sift",)
    batches: Sequence[int] = (1, 64, 512)
    threads: Sequence[int] = (1,)
    size: tuple[int, int] = (480, 640)
    keypoints: int = 1000
    rounds: int = 5
    calibration: Mapping[str, Sequence[np.ndarray]] = field(default_factory=dict)
    calibrated_on: str = inputs.SAID

    def __post_init__(self) -> None:
        if any(side % CELL or side < 8 * CELL for side in self.size):
            height, width = self.size
            raise RequestError(
                f"size {height}x{width}: sides must be multiples of {CELL}, and {8 * CELL} or more"
            )


def competitors(settings: Settings) -> tuple[list[Network], list[str]]:
    """The networks, peers among them, and the names of the other peers.

    Raises:
        ArtifactError: A file is missing, or something else.
        RequestError: Two of one name, or one that is neither a network nor a peer.
    """
    found, others = [networks.network(name) for name in settings.nets], []
    for name in settings.against:
        if name in peers.NAMES or _of_others(name):
            others.append(name)
        else:
            found.append(_peer_network(name))
    names = [network.name for network in found] + [Path(name).name for name in others]
    if twice := [name for name in names if names.count(name) > 1]:
        raise RequestError(f"{twice[0]}: two of this name; results are told apart by it")
    return found, others


def calibrated(settings: Settings, path: Path) -> Settings:
    """The settings with int8 calibrated on patches or images at hand.

    Raises:
        RequestError: The networks are of two kinds.
        ArtifactError: See `competitors`.
        FileError: `path` holds nothing of the kind.
        DataError: It is a patch release, and a damaged one.
    """
    kinds = {network.kind for network in competitors(settings)[0]}
    if len(kinds) > 1:
        raise RequestError("--calibrate: patch and image networks learn from different files")
    (kind,) = kinds
    if kind == PATCHES:
        patches = read_patches(path, CALIBRATED[PATCHES]).float().numpy()
        batches = batched(patches, BATCH)
    else:
        batches = list(read_images(path).numpy()[:, None])
    return replace(settings, calibration={kind: batches}, calibrated_on=path.absolute().name)


def calibration(settings: Settings, found: Sequence[Network]) -> dict[str, Sequence[np.ndarray]]:
    """What is given, and generated patches and images otherwise."""
    made: dict[str, Sequence[np.ndarray]] = {}
    if any(n.kind == PATCHES for n in found):
        made[PATCHES] = batched(inputs.patches(CALIBRATED[PATCHES]), BATCH)
    if any(n.kind == IMAGES for n in found):
        made[IMAGES] = list(inputs.images(CALIBRATED[IMAGES], IMAGE_SIZE)[:, None])
    return made | dict(settings.calibration)


def _of_others(name: str) -> bool:
    """Whether it is an ONNX file that this package did not write."""
    if Path(name).suffix != SUFFIX or not Path(name).is_file():
        return False
    try:
        networks.network(name)
    except ArtifactError:
        return True
    return False


def _peer_network(name: str) -> Network:
    try:
        return networks.network(name, peer=True)
    except ArtifactError as error:
        raise ArtifactError(f"{error}; peers by name are {', '.join(peers.NAMES)}") from error
