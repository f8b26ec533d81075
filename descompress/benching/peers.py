"""What networks are compared with: OpenCV's descriptors, kornia's HardNet, ONNX maps of others."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RequestError
from .classical import ENGINES, Engine
from .contestants import IMAGES, PATCHES, Contestant, Work, image_works, matched, patch_works

if TYPE_CHECKING:
    from torch import nn

    from .networks import Course

KORNIA = "kornia-hardnet"
NAMES = (*ENGINES, KORNIA)


def kinds_of(name: str, kinds: Sequence[str]) -> Sequence[str]:
    """Of the kinds of networks in a run those that it stands beside."""
    own = (PATCHES, IMAGES) if name in ENGINES else (PATCHES,) if name == KORNIA else (IMAGES,)
    return [kind for kind in own if kind in kinds]


def peer(name: str, kind: str, threads: int, course: "Course") -> Contestant:
    """A contestant by name, or an ONNX file that gives a score map and a descriptor map.

    Raises:
        RequestError: It cannot run here, for the reason given.
        DataError: The file is something else.
    """
    if name == KORNIA:
        return _kornia(threads, course)
    if name in ENGINES:
        engine = ENGINES[name](course.picking.keypoints)
        return (_of_keypoints if kind == PATCHES else _of_images)(name, engine, threads, course)
    return _maps(Path(name), threads, course)


def kornia_hardnet(threads: int) -> "tuple[nn.Module, Callable[[np.ndarray], np.ndarray]]":
    """kornia's HardNet with random weights, and how it is called; nothing is downloaded.

    Raises:
        RequestError: kornia is not installed.
    """
    import torch

    try:
        from kornia.feature import HardNet
    except ImportError as error:
        raise RequestError(f"kornia: {error}: pip install 'descompress[kornia]'") from None
    torch.set_num_threads(threads)
    net = HardNet(pretrained=False).eval()

    @torch.inference_mode()
    def run(batch: np.ndarray) -> np.ndarray:
        return net(torch.from_numpy(batch)).numpy()

    return net, run


def _kornia(threads: int, course: "Course") -> Contestant:
    from ..costs import cost

    net, run = kornia_hardnet(threads)
    counted = cost(net, input_shape=(1, 32, 32))
    return Contestant(
        KORNIA,
        "eager-fp32",
        PATCHES,
        patch_works(run, course.batches),
        precision="fp32",
        facts={"params": counted.params, "macs": counted.macs},
        job={"opener": "kornia", "threads": threads},
        inputs=tuple(course.batches[n] for n in (min(course.batches), max(course.batches))),
        peer=True,
    )


def _of_keypoints(name: str, engine: Engine, threads: int, course: "Course") -> Contestant:
    """Descriptors at the detections of one image, the engine's own work on the image included."""
    image = course.pair[0]
    keypoints = engine.detect(image)
    count = len(engine.compute(image, keypoints))
    if not count:
        raise RequestError(f"{name} finds no keypoint in {image.shape[0]} x {image.shape[1]}")
    job = _job("opencv", name, threads, course)
    work = Work(str(count), lambda: engine.compute(image, keypoints), count)
    return Contestant(name, "opencv", PATCHES, [work], job=job, inputs=(image, image), peer=True)


def _of_images(name: str, engine: Engine, threads: int, course: "Course") -> Contestant:
    first, second = course.pair
    rows = engine.both(first), engine.both(second)
    works = [
        Work("detection", lambda: engine.detect(first)),
        Work("features", lambda: engine.both(first)),
        Work("matching", lambda: matched(*rows)),
    ]
    facts: dict[str, Any] = {"keypoints": len(rows[0]), "size": [*course.size]}
    job = _job("features", name, threads, course)
    return Contestant(name, "opencv", IMAGES, works, "", facts, job, (first, second), peer=True)


def _job(opener: str, name: str, threads: int, course: "Course") -> dict[str, Any]:
    most = course.picking.keypoints
    return {"opener": opener, "name": name, "threads": threads, "keypoints": most}


def _maps(path: Path, threads: int, course: "Course") -> Contestant:
    """Maps of others, in ONNX Runtime; a network of fixed size gets images resized to it."""
    from hpatches_eval.maps import OnnxFinder

    finder = OnnxFinder(path, threads=threads)
    works, found = image_works(finder.maps, course.pair, course.picking)
    size = [own or asked for own, asked in zip(finder.size, course.size, strict=True)]
    facts = {"file": path.name, "bytes": path.stat().st_size, "keypoints": found, "size": size}
    job = {"opener": "maps", "file": str(path), "threads": threads}
    return Contestant(
        path.name, "onnxruntime-fp32", IMAGES, works, "fp32", facts, job, course.pair, peer=True
    )
