"""How image networks bear changes of scale and turns: the table of docs/images.md.

    python benchmarks/zooms.py PHOTOGRAPHS NET... [--cache FOLDER] [--only VIEWS] [--threshold T]

Held-out photographs, as training holds them back, are turned, tilted and scaled; keypoints of both
are matched. Then the views that a training is validated on. RootSIFT comes last.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import click
import numpy as np
from jaxtyping import Float, UInt8
from trainings import chosen

import descompress
from descompress.data.photographs import held_out
from descompress.data.scenes import Scene, images_of, read_scenes
from descompress.data.viewpoints import Viewpoints, middle
from descompress.features import finder
from descompress.selection import Selection
from descompress.viewing import Views
from hpatches_eval.finders import rootsift
from hpatches_eval.frames import Pyramid, similarity, view

SCALES = (0.5, 0.66, 1.5, 2.0)
TURNS = (45.0, 90.0)
USUAL = Viewpoints(any_turn=0.0, zoom=0.0, stretch=0.1, tilt=0.15, shift=0.1)
PHOTOGRAPHS = 24
RADII = (1.0, 3.0)  # pixels

Image = UInt8[np.ndarray, "h w"]


def changed(
    levels: Pyramid, scale: float, turn: float, rng: np.random.Generator
) -> tuple[Image, Float[np.ndarray, "3 3"]]:
    """Another view, its middle `scale` times as large and turned, and the homography to it."""
    frame = middle(levels.shape)
    usual = replace(USUAL, turn=3.0) if turn else USUAL
    wanted = similarity(0.0, 0.0, 1 / scale, float(np.deg2rad(turn)))
    there = frame @ wanted @ usual.draw(rng) @ np.linalg.inv(frame)
    return view(levels, there, levels.shape), np.linalg.inv(there)


def views(scenes: list[Scene], scale: float, turn: float) -> Views:
    """The first photographs, each with one changed view."""
    rng = np.random.default_rng([7, round(100 * scale), round(100 * turn)])
    return Views(
        [(s.levels.levels[0], [changed(s.levels, scale, turn, rng)]) for s in scenes[:PHOTOGRAPHS]]
    )


VIEWS = {
    **{f"x {scale:g}": partial(views, scale=scale, turn=0.0) for scale in SCALES},
    **{f"turned by {turn:g}": partial(views, scale=1.0, turn=turn) for turn in TURNS},
    "validation": lambda scenes: Views.of(images_of(scenes)),
}


@click.command()
@click.argument("photographs", type=click.Path(path_type=Path, exists=True))
@click.argument("nets", nargs=-1, required=True)
@click.option("--cache", type=click.Path(path_type=Path), help="Folder to keep found points in.")
@click.option("--only", multiple=True, help="Views to match, e.g. validation; all if left out.")
@click.option(
    "--threshold", type=float, default=Selection().threshold, show_default=True, help="Of scores."
)
def main(
    photographs: Path,
    nets: tuple[str, ...],
    cache: Path | None,
    only: tuple[str, ...],
    threshold: float,
) -> None:
    """Match keypoints of NETS between photographs of PHOTOGRAPHS and changed views of them."""
    scenes = [scene for scene in read_scenes(photographs, cache) if held_out(scene.name)]
    groups = {name: make(scenes) for name, make in chosen(VIEWS, only).items()}
    selection = Selection(threshold=threshold)
    click.echo("| network | views | AUC of H@5 | MMA@1 | MMA@3 | repeatability@3 |")
    click.echo("| --- | --- | ---: | ---: | ---: | ---: |")
    finders = {name: finder(descompress.load(name), selection) for name in nets}
    finders |= {"RootSIFT": rootsift(1000)}
    for name, find in finders.items():
        for seen, group in groups.items():
            area, close, _, accuracy, repeated = group.found(find, RADII).values()
            cells = " | ".join(f"{value:.3f}" for value in (area, close, accuracy, repeated))
            click.echo(f"| `{name}` | {seen} | {cells} |")


if __name__ == "__main__":
    main()
