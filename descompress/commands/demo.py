"""`descompress demo`: the main job, end to end, on photographs that come with scikit-image."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import RequestError

if TYPE_CHECKING:
    import numpy as np

    from hpatches_eval.patches import PatchRelease

    from ..charts import Chart
    from ..evaluation import Entry
    from ..nets import Net

PRESETS = ("cdp15", "cdp5", "tucker-vbmf", "depthwise")
TRAINED = ("hardnet.tiny", "hardnet.micro", "hardnet.nano")  # shown beside them
EVALUATED = {
    "i_astronaut": "astronaut",
    "i_coffee": "coffee",
    "i_rocket": "rocket",
    "v_camera": "camera",
    "v_chelsea": "chelsea",
    "v_coins": "coins",
    "v_gravel": "gravel",
}
CALIBRATED = {"v_motorcycle": "stereo_motorcycle", "v_brick": "brick", "i_page": "page"}
SHOWN = "v_camera"
COSTS = ("million multiply-accumulates a patch", "microseconds a patch, one thread, eager")


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--net",
    type=click.Path(path_type=Path),
    default="hardnet",
    show_default=True,
    help="An L2Net: a file or the name of a shipped network.",
)
@click.option("--patches", default=120, show_default=True, help="Points a sequence.")
@click.option("--force", is_flag=True, help="Replace what an earlier demo made in OUT.")
def demo(out: Path, net: Path, patches: int, force: bool) -> None:  # noqa: FBT001
    """Convert a trained L2Net and show what it cost, in accuracy, size, work and time.

    Variants called refitted.* are converted here, in seconds, and not trained; beside them stand
    small networks that were trained to do what hardnet does.

    OUT receives the sequences, the patch release, the networks, the table (results.md,
    results.json), a plot (accuracy.png) and matches before and after (matches.png).
    """
    from hpatches_eval.files import refuse_around, replacing
    from hpatches_eval.patches import PatchRelease
    from hpatches_eval.provenance import made
    from hpatches_eval.report import markdown
    from hpatches_eval.terminal import present, to_json

    from ..artifacts import load
    from ..evaluation import record, rows
    from ..shelf import find

    source = find(net)
    refuse_around(out, source)
    whole = load(source)
    if (kind := whole.spec.net) != "l2net":
        raise RequestError(f"{net}: a {kind}; the demo shows what happens to an l2net")
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out, force=force) as folder:
        folder.mkdir()
        _say("1/4 sequences and patches from scikit-image's photographs")
        _release(EVALUATED, folder / "evaluated", patches)
        _release(CALIBRATED, folder / "calibration", patches)
        _say(f"2/4 {source.name} converted: {', '.join(PRESETS)}")
        files = list(_networks(whole, folder))
        _say("3/4 HPatches verification, matching and retrieval")
        release = PatchRelease(folder / "evaluated" / "patches")
        entries = _evaluate(files, release)
        command = "descompress demo OUT"
        numbers = record(entries, release, command=command)
        weights = {file.name: file for file in files}
        numbers["provenance"] = made(command, weights, {"patches": release.root})
        (folder / "results.json").write_text(to_json(numbers))
        (folder / "results.md").write_text(markdown(rows(entries)))
        _say("4/4 pictures")
        _pictures(entries, folder)
    present(rows(entries), [], json_path=None, markdown_path=None, force=False)
    _say(f"{out}: results.md, results.json, accuracy.png, matches.png and the networks")


def _release(names: dict[str, str], folder: Path, patches: int) -> None:
    from hpatches_eval.extraction import Extraction, extract
    from hpatches_eval.sequences import find_sequences
    from hpatches_eval.synthesis import write_sequence

    (folder / "sequences").mkdir(parents=True)
    for number, (sequence, photograph) in enumerate(names.items()):
        write_sequence(_photograph(photograph), folder / "sequences" / sequence, seed=number)
    sequences = find_sequences(folder / "sequences")
    extract(sequences, folder / "patches", Extraction(patches))


def _photograph(name: str) -> "np.ndarray":
    try:
        import skimage.data
    except ImportError as error:
        raise RequestError(
            f"scikit-image cannot be imported ({error}): pip install 'descompress[demo]'"
        ) from None
    import cv2

    image = getattr(skimage.data, name)()
    image = image[0] if isinstance(image, tuple) else image
    return image if image.ndim == 2 else cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2GRAY)


def _networks(net: "Net", folder: Path) -> Iterator[Path]:
    """The network, its variants, refitted on patches of other photographs, and trained ones."""
    from ..artifacts import save
    from ..calibration import calibrate_
    from ..converter import convert
    from ..patchfiles import read_patches
    from ..shelf import find

    data = read_patches(folder / "calibration" / "patches", count=1024)
    save(net, folder / "hardnet.safetensors")
    yield folder / "hardnet.safetensors"
    for preset in PRESETS:
        small = convert(net, preset)
        calibrate_(small, net, data)
        path = folder / f"refitted.{preset}.safetensors"
        save(small, path)
        yield path
    yield from (find(name) for name in TRAINED)


def _evaluate(files: list[Path], release: "PatchRelease") -> "list[Entry]":
    from hpatches_eval.splits import whole

    from ..evaluation import baseline, compare_release, network

    contestants = [*map(network, files), baseline("rootsift")]
    return compare_release(contestants, release, whole(release.sequences), pairs=50_000)


def _pictures(entries: "list[Entry]", folder: Path) -> None:
    from hpatches_eval.sequences import ImageSequence

    from ..charts import plot_fronts
    from ..gallery import view, write_matches

    nets = [entry for entry in entries if entry.contestant.macs]
    plot_fronts(_chart(nets), folder / "accuracy.png")
    sequence = ImageSequence(folder / "evaluated" / "sequences" / SHOWN)
    views = (view(sequence.image(1)), view(sequence.image(6)))
    named = [(e.contestant.name, e.contestant.describe) for e in nets if _shown(e.contestant.name)]
    write_matches(named, views, sequence.homography(6), folder / "matches.png")


def _chart(nets: "list[Entry]") -> "Chart":
    from ..charts import Chart, Point

    points = [
        Point(
            entry.contestant.name,
            100 * float(entry.hpatches["summary"]["matching"]["mean"]),
            ((entry.contestant.macs or 0) / 1e6, entry.microseconds),
        )
        for entry in nets
    ]
    return Chart(points, COSTS, "matching mAP, %")


def _shown(name: str) -> bool:
    return name in ("hardnet", "refitted.cdp5", "hardnet.tiny")


def _say(line: str) -> None:
    click.echo(line, err=True)
