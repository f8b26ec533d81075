"""Network files and shipped networks, and exported files, on the backends that they run on."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpatches_eval.maps import Picking

from .. import machine
from ..costs import cost
from ..deployment import TARGETS, deploy
from ..errors import RequestError
from ..exporting import facts_of, quantised, to_onnx
from ..nets import Net, build
from ..runtimes import SUFFIX, Facts, Runtime, open_file
from ..shelf import find, load, sha256
from ..spec import Spec
from .contestants import (
    IMAGES,
    PATCHES,
    Contestant,
    Job,
    Pair,
    image_works,
    maps_of,
    patch_works,
)

if TYPE_CHECKING:
    from onnx import ModelProto

USUAL = tuple(target for target in TARGETS if target != "compile-fp32")
COMPILED = "takes a minute a batch size to compile; name it in --on to have it"


@dataclass(frozen=True)
class Network:
    """A network to be timed.

    Args:
        facts: What its export says, or would say.
        exported: Whether the file is an ONNX file.
    """

    name: str
    path: Path
    net: Net
    facts: Facts
    exported: bool = False
    peer: bool = False

    @property
    def kind(self) -> str:
        """`PATCHES` or `IMAGES`."""
        return IMAGES if self.facts.kind == "images" else PATCHES

    def said(self, size: tuple[int, int]) -> dict[str, Any]:
        """What it is and costs, as plain values; MACs are of a patch or of an image of `size`."""
        counted = cost(self.net, size if self.kind == IMAGES else None)
        return {
            "file": self.path.name,
            "bytes": self.path.stat().st_size,
            "sha256": sha256(self.path),
            "params": counted.params,
            "macs": counted.macs,
        }


def network(name: str, *, peer: bool = False) -> Network:
    """The network of a file, of a shipped name, or in an ONNX file that `export` wrote.

    Raises:
        ArtifactError: There is none, or the file is something else.
        RequestError: It describes neither patches nor images.
    """
    path = Path(name)
    if path.suffix == SUFFIX:
        facts = open_file(path).facts
        net = build(Spec.from_json(facts.spec)).eval()
        return Network(path.name, path, net, facts, exported=True, peer=peer)
    path = find(name)
    net = load(path)
    return Network(path.stem, path, net, facts_of(net, path.stem), peer=peer)


@dataclass(frozen=True)
class Course:
    """What every contestant has to do.

    Args:
        batches: Patches, by how many there are.
        pair: Two images.
        picking: Of keypoints in score maps.
    """

    batches: Mapping[int, np.ndarray]
    pair: Pair
    picking: Picking

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.pair[0].shape[0], self.pair[0].shape[1]


@dataclass
class Exports:
    """Networks as ONNX files in a folder, each written once.

    Args:
        calibration: Batches for int8, by the kind of network.
        tell: Told what is being written, with 0, and again once it is, with 1.
    """

    folder: Path
    calibration: Mapping[str, Sequence[np.ndarray]]
    tell: Callable[[str, int], None] = lambda what, done: None
    models: dict[str, "ModelProto"] = field(default_factory=dict)

    def file(self, network: Network, precision: str) -> Path:
        """The network in "fp32" or "int8".

        Raises:
            RequestError: It cannot be written, or a package is missing.
        """
        path = self.folder / f"{network.name}.{precision}{SUFFIX}"
        if not path.exists():
            self.tell(f"{network.name} in {precision}", 0)
            model = self._model(network)
            if precision == "int8":
                model = quantised(model, self.calibration[network.kind])
            path.write_bytes(model.SerializeToString())
            self.tell(f"{network.name} in {precision}", 1)
        return path

    def _model(self, network: Network) -> "ModelProto":
        if network.name not in self.models:
            self.models[network.name] = to_onnx(network.net, name=network.name)
        return self.models[network.name]


@contextmanager
def exports(
    calibration: Mapping[str, Sequence[np.ndarray]], tell: Callable[[str, int], None]
) -> Iterator[Exports]:
    """A folder of exports that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield Exports(Path(folder), calibration, tell)


def opened(
    network: Network, on: str, threads: int, written: Exports
) -> tuple[Runtime, dict[str, Any]]:
    """The network on a target, and how a fresh process opens it.

    Raises:
        RequestError: It does not run there, for the reason given.
        ArtifactError: The backend cannot read the file.
    """
    backend, precision = on.split("-")
    if precision == "bf16" and not machine.has_bf16():
        raise RequestError("this processor does not compute in bfloat16")
    if backend in ("eager", "compile"):
        if network.exported:
            raise RequestError("an exported file runs in ONNX Runtime and OpenVINO only")
        job: Job = {"opener": "module", "file": str(network.path), "on": on, "threads": threads}
        return deploy(network.net, on, threads=threads), dict(job)
    stored = "int8" if precision == "int8" else "fp32"
    if network.exported and network.facts.precision != stored:
        raise RequestError(f"the file is in {network.facts.precision}")
    path = network.path if network.exported else written.file(network, stored)
    how = {"backend": backend, "threads": threads, "bf16": precision == "bf16"}
    job = {"opener": "exported", "file": str(path), **how}
    return open_file(path, backend, threads=threads, bf16=how["bf16"]), job


def contestant(
    network: Network, on: str, threads: int, course: Course, written: Exports
) -> Contestant:
    """The network on a target, ready to be timed.

    Raises:
        RequestError: See `opened`.
        ArtifactError: See `opened`.
    """
    runtime, job = opened(network, on, threads, written)
    facts = network.said(course.size)
    if network.kind == PATCHES:
        works = patch_works(runtime, course.batches)
        inputs = tuple(
            course.batches[count] for count in (min(course.batches), max(course.batches))
        )
    else:
        works, found = image_works(maps_of(runtime), course.pair, course.picking)
        facts |= {"keypoints": found, "size": [*course.size]}
        inputs = tuple(image[None, None].astype(np.float32) / 255 for image in course.pair)
    return Contestant(
        network.name, on, network.kind, works, on.split("-")[1], facts, job, inputs, network.peer
    )
