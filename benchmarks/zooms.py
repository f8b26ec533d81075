"""How image networks bear changes of scale: the table of docs/images.md.

    python benchmarks/zooms.py PHOTOGRAPHS NET... [--cache FOLDER]

Held-out photographs, as training holds them back, are turned, tilted and scaled; keypoints of both
are matched. Then the views that a training is validated on.
"""

from pathlib import Path

import click
import cv2
import numpy as np
from jaxtyping import Float, UInt8

import descompress
from descompress.data.photographs import held_out
from descompress.data.scenes import images_of, read_scenes
from descompress.data.viewpoints import Viewpoints, middle
from descompress.features import finder
from descompress.viewing import WITHIN, Views

SCALES = (0.5, 0.66, 1.5, 2.0)
USUAL = Viewpoints(any_turn=0.0, zoom=0.0, stretch=0.1, tilt=0.15, shift=0.1)
PHOTOGRAPHS = 24

Image = UInt8[np.ndarray, "h w"]


def scaled(
    image: Image, scale: float, rng: np.random.Generator
) -> tuple[Image, Float[np.ndarray, "3 3"]]:
    """Another view of the photograph, its middle `scale` times as large, and the homography."""
    frame = middle((image.shape[0], image.shape[1]))
    there = frame @ USUAL.draw(rng) @ np.diag([1 / scale, 1 / scale, 1.0]) @ np.linalg.inv(frame)
    homography = np.linalg.inv(there)
    blur = 0.5 * np.sqrt(max(scale**-2 - 1, 0.0))
    soft = cv2.GaussianBlur(image, (0, 0), blur) if blur else image
    return cv2.warpPerspective(soft, homography, image.shape[::-1]), homography


@click.command()
@click.argument("photographs", type=click.Path(path_type=Path, exists=True))
@click.argument("nets", nargs=-1, required=True)
@click.option("--cache", type=click.Path(path_type=Path), help="Folder to keep found points in.")
def main(photographs: Path, nets: tuple[str, ...], cache: Path | None) -> None:
    """Match keypoints of NETS between photographs of PHOTOGRAPHS and views at other scales."""
    scenes = [scene for scene in read_scenes(photographs, cache) if held_out(scene.name)]
    images = images_of(scenes)
    groups = {
        f"x {scale}": Views([(x, [scaled(x, scale, rng)]) for x in images[:PHOTOGRAPHS]])
        for scale in SCALES
        for rng in [np.random.default_rng([7, round(100 * scale)])]
    }
    groups["validation"] = Views.of(images)
    click.echo("| network | views | AUC of H@5 | MMA@3 | repeatability@3 |")
    click.echo("| --- | --- | ---: | ---: | ---: |")
    for name in nets:
        find = finder(descompress.load(name))
        for views, group in groups.items():
            cells = " | ".join(f"{value:.3f}" for value in group.found(find, WITHIN).values())
            click.echo(f"| `{name}` | {views} | {cells} |")


if __name__ == "__main__":
    main()
