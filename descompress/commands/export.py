"""`descompress export`: a network as an ONNX file, in full precision or in int8."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .numbers import FiniteRange

if TYPE_CHECKING:
    import numpy as np

    from ..exporting import Fitted, Judge
    from ..nets import Net

_PATH = click.Path(path_type=Path)
PATCHES, IMAGES = 1024, 16  # that int8 is calibrated on


@dataclass(frozen=True)
class Settings:
    """The options of `export`; see its help."""

    net: Path
    out: Path
    int8: bool
    calibrate: Path | None
    validate: Path | None
    max_drop: float | None
    keep: tuple[str, ...]
    opset: int
    json_path: str | None
    force: bool


@click.command()
@click.argument("net", type=_PATH)
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--int8", is_flag=True, help="Convolutions in 8-bit integers; needs --calibrate.")
@click.option(
    "--calibrate",
    type=_PATH,
    metavar="DATA",
    help="What to set the ranges of int8 by: patches (a patch release, a folder of PNG strips or "
    "an .npy file) or, for image networks, a folder of images.",
)
@click.option(
    "--validate",
    type=_PATH,
    metavar="DATA",
    help="What to measure the cost of int8 on: a patch release, or a folder of images.  "
    "[default: DATA of --calibrate, where it will do]",
)
@click.option(
    "--max-drop",
    type=FiniteRange(min=0),
    metavar="POINTS",
    help="Keep as many layers in float as it takes for no measure to fall by more.",
)
@click.option("--keep", multiple=True, metavar="LAYER", help="A layer to keep in float.")
@click.option("--opset", type=int, default=18, show_default=True)
@click.option("--json", "json_path", metavar="OUT", help="Write the numbers; - is stdout.")
@click.option("--force", is_flag=True, help="Replace outputs that exist.")
def export(**options: Any) -> None:
    """Write OUT, an ONNX file of NET that needs neither PyTorch nor this package to run.

    NET is a file or the name of a shipped network. Batches may be of any size, images of any that
    is a multiple of 8. The normalisation of patches is inside; keypoints are chosen from the maps
    afterwards (`descompress describe OUT`). The file is kept only if ONNX Runtime computes
    with it what PyTorch does with NET.
    """
    settings = Settings(**options)
    from hpatches_eval.files import replacing
    from hpatches_eval.terminal import check_outputs, give_json

    from ..locks import locked

    check_outputs((str(settings.out), settings.json_path), force=settings.force)
    content, numbers = _exported(settings)
    numbers["provenance"] = _rests_on(settings)
    with locked(settings.out, wait=True):  # both files are of one process
        with replacing(settings.out, force=settings.force) as new:
            new.write_bytes(content)
        give_json(numbers, settings.json_path, force=settings.force)
    if settings.json_path != "-":
        click.echo(_lines(numbers))


def _exported(settings: Settings) -> tuple[bytes, dict[str, Any]]:
    from ..artifacts import load
    from ..deployment import deploy
    from ..exporting import OpenCV, cosine, difference, facts_of, require_equal, to_onnx
    from ..runtimes import open_model
    from ..shelf import find

    path = find(settings.net)
    net = load(path)
    _check(settings, facts_of(net).kind)
    model = to_onnx(net, name=path.stem, opset=settings.opset)
    content = model.SerializeToString()
    eager, whole = deploy(net, "eager-fp32", threads=0), open_model(content, threads=0)
    final, inputs = whole, _examples(net)
    numbers: dict[str, Any] = {
        "file": settings.out.name,
        "opset": settings.opset,
        "precision": "fp32",
        "difference": {"onnxruntime": require_equal(whole, eager, inputs)},
    }
    if settings.int8:
        data = _data(net, settings.calibrate)
        found = _quantised(settings, model, data)
        content = found.model.SerializeToString()
        final = open_model(content, threads=0)
        numbers |= {"precision": "int8", "float_layers": list(found.floats)}
        numbers |= {"cosine": cosine(whole, final, data), "before": found.before}
        numbers["after"] = found.after
    numbers["difference"]["opencv"] = difference(OpenCV(content, final.facts), final, inputs)
    return content, numbers | {"bytes": len(content)}


def _rests_on(settings: Settings) -> dict[str, Any]:
    from hpatches_eval.provenance import made
    from hpatches_eval.saying import said

    from ..shelf import find

    command = said(click.get_current_context(), ("out", "json_path", "force"))
    data = {"calibrate": settings.calibrate, "validate": settings.validate}
    return made(command, {settings.net.name: find(settings.net)}, data)


def _check(settings: Settings, kind: str) -> None:
    """Refuse options that do not fit together, before the work."""
    from ..errors import RequestError

    if settings.int8 and settings.calibrate is None:
        raise RequestError("--int8 needs --calibrate: patches, or images for image networks")
    given = {"--calibrate": settings.calibrate, "--validate": settings.validate}
    given |= {"--max-drop": settings.max_drop, "--keep": settings.keep or None}
    for option, value in given.items():
        if value is not None and not settings.int8:
            raise RequestError(f"{option} is of --int8")
    if settings.max_drop is not None and _judged(settings, kind) is None:
        raise RequestError(
            "--max-drop needs --validate with a patch release, to measure the cost on"
        )


def _judged(settings: Settings, kind: str) -> Path | None:
    """What the cost of int8 can be measured on, if anything."""
    from ..patchfiles import is_release

    data = settings.validate or settings.calibrate
    if data is None or kind == "images":
        return data
    return data if settings.validate or is_release(data) else None


def _quantised(settings: Settings, model: Any, data: "list[np.ndarray]") -> "Fitted":
    """In int8, and measured where there is something to measure on."""
    from hpatches_eval.terminal import shown_progress

    from ..errors import RequestError
    from ..exporting import Fitted, fitted, layers, quantised
    from ..runtimes import open_model

    if unknown := sorted(set(settings.keep) - set(layers(model))):
        raise RequestError(f"--keep {unknown[0]}: the layers are {', '.join(layers(model))}")
    kind = model.graph.input[0].name
    with shown_progress() as progress:
        path = _judged(settings, kind)
        judge = None if path is None else _judge(path, kind)
        if judge is not None and settings.max_drop is not None:
            return fitted(model, data, judge, settings.max_drop, settings.keep, progress)
        made = quantised(model, data, settings.keep)
    if judge is None:
        return Fitted(made, settings.keep)
    opened = [open_model(m.SerializeToString(), threads=0) for m in (model, made)]
    return Fitted(made, settings.keep, *(judge(runtime) for runtime in opened))


def _judge(path: Path, kind: str) -> "Judge":
    from ..exporting import ReleaseJudge, ViewsJudge

    return ReleaseJudge(path) if kind == "patches" else ViewsJudge(path)


def _data(net: "Net", path: Path | None) -> "list[np.ndarray]":
    """Batches of what int8 is calibrated on."""
    from ..nets import PatchNet
    from ..patchfiles import read_images, read_patches
    from ..runtimes.finders import BATCH
    from ..sizing import batched

    assert path is not None
    if isinstance(net, PatchNet):
        patches = read_patches(path, PATCHES).float().numpy()
        return batched(patches, BATCH)
    return list(read_images(path, IMAGES).numpy()[:, None])


def _examples(net: "Net") -> "list[np.ndarray]":
    """Inputs to compare runtimes on: textured noise, batches and images of several sizes."""
    import numpy as np

    from ..nets import PatchNet

    draw = np.random.default_rng(0)
    if isinstance(net, PatchNet):
        return [255 * draw.random((count, 1, 32, 32), np.float32) for count in (1, 7)]
    sizes = ((1, 64, 96), (2, 48, 64), (1, 120, 160))
    return [draw.random((count, 1, *size), np.float32) for count, *size in sizes]


def _lines(numbers: dict[str, Any]) -> str:
    lines = [f"{numbers['file']}: {numbers['bytes']:,} bytes, opset {numbers['opset']}"]
    apart = numbers["difference"]
    lines.append(f"ONNX Runtime differs from PyTorch by {apart['onnxruntime']:.1g} at most")
    if numbers["precision"] == "int8":
        lines.append(f"int8: mean cosine to the network's descriptors {numbers['cosine']:.4f}")
        floats = ["the first", "a dense one at the end", *numbers["float_layers"]]
        lines.append(f"layers in float: {', '.join(floats)}")
        for name, before in numbers["before"].items():
            after = numbers["after"][name]
            lines.append(f"{name}: {before:.2f} -> {after:.2f} ({after - before:+.2f})")
    lines.append(f"OpenCV's dnn differs from ONNX Runtime by {apart['opencv']:.1g}")
    return "\n".join(lines)
