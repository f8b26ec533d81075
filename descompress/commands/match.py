"""`descompress match`: two images, and what a network finds in both."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .finding import Finding, finding_options, opened
from .numbers import FiniteRange

if TYPE_CHECKING:
    import numpy as np

    from ..featurefiles import Described
    from ..matching import Matched

_PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class Settings(Finding):
    """The options of `match`; see its help."""

    first: Path
    second: Path
    net: Path
    output: Path | None
    geometry: str
    within: float
    json_path: str | None
    force: bool


@click.command()
@click.argument("first", metavar="A", type=_PATH)
@click.argument("second", metavar="B", type=_PATH)
@click.argument("net", type=_PATH)
@click.option("-o", "--output", type=_PATH, metavar="PNG", help="Draw the matches.")
@finding_options
@click.option(
    "--geometry",
    type=click.Choice(["homography", "fundamental"]),
    default="homography",
    show_default=True,
    help="What right matches fit: of a plane or a turning camera a homography.",
)
@click.option(
    "--within",
    type=FiniteRange(min=0, min_open=True),
    default=3.0,
    show_default=True,
    help="Pixels, of what is searched of B, that they may be off.",
)
@click.option("--json", "json_path", metavar="OUT", help="Write the numbers; - is stdout.")
@click.option("--force", is_flag=True, help="Replace outputs that exist.")
def match(**options: object) -> None:
    """Match the images A and B by what NET finds in them.

    NET is a file, the name of a shipped network, or an .onnx file of `descompress export`.

    Matches are each other's nearest neighbours. Those that fit one geometry (OpenCV's RANSAC) are
    drawn green, the others red.
    """
    settings = Settings(**options)  # pyright: ignore[reportArgumentType]
    from hpatches_eval.terminal import check_outputs, give_json

    output = str(settings.output) if settings.output else None
    check_outputs((output, settings.json_path), force=settings.force)
    images, described, found = _matched(settings)
    if settings.output:
        _draw(settings, images, described, found)
    numbers = _numbers(settings, described, found)
    give_json(numbers, settings.json_path, force=settings.force)
    if settings.json_path != "-":
        click.echo(_lines(numbers))


def _matched(
    settings: Settings,
) -> "tuple[list[np.ndarray], list[Described], Matched]":
    from ..featurefiles import described
    from ..images import read_image
    from ..matching import matched

    find, _ = opened(settings.net, settings.selection())
    images = [read_image(path) for path in (settings.first, settings.second)]
    both = [described(image, find, settings.size) for image in images]
    threshold = settings.within * both[1].uncertainty
    first, second = (one.features for one in both)
    return images, both, matched(first, second, settings.geometry, threshold)


def _draw(
    settings: Settings, images: "list[np.ndarray]", both: "list[Described]", found: "Matched"
) -> None:
    import cv2

    from hpatches_eval.files import replacing
    from hpatches_eval.geometry import fitted, resized, scaling, warp

    from ..matching import picture

    shapes = [fitted(i.shape, min(settings.size, max(i.shape))) for i in images]
    small = [resized(*pair) for pair in zip(images, shapes, strict=True)]
    points = [
        warp(scaling(image.shape, shape), one.features.keypoints)
        for image, shape, one in zip(images, shapes, both, strict=True)
    ]
    title = f"{settings.net.name}: {found.inliers.sum()} of {len(found.matches)} matches fit"
    drawn = picture(title, (small[0], small[1]), (points[0], points[1]), found)
    with replacing(str(settings.output), force=settings.force) as new:
        new.write_bytes(cv2.imencode(".png", drawn)[1].tobytes())


def _numbers(settings: Settings, both: "list[Described]", found: "Matched") -> dict[str, Any]:
    """All there is to say; points and the geometry in pixels of the whole images."""
    images = zip((settings.first, settings.second), both, strict=True)
    return {
        "network": settings.net.name,
        "images": [
            {
                "file": path.name,
                "size": list(one.size),
                "keypoints": len(one.features.keypoints),
                "seconds": dict(one.features.seconds),
            }
            for path, one in images
        ],
        "matches": len(found.matches),
        "inliers": int(found.inliers.sum()),
        "geometry": settings.geometry,
        "matrix": None if found.matrix is None else found.matrix.tolist(),
        "seconds": found.seconds,
    }


def _lines(numbers: dict[str, Any]) -> str:
    lines = [
        f"{image['file']}: {image['keypoints']} keypoints, {_times(image['seconds'])}"
        for image in numbers["images"]
    ]
    counts = f"{numbers['inliers']} of {numbers['matches']} matches fit a {numbers['geometry']}"
    return "\n".join([*lines, f"{counts}, {_times(numbers['seconds'])}"])


def _times(seconds: dict[str, float]) -> str:
    return ", ".join(f"{stage} {1000 * time:.0f} ms" for stage, time in seconds.items())
