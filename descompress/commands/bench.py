"""`descompress bench`: how fast networks are, beside their peers."""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpatches_eval.saying import said

from ..errors import RequestError
from .cost import size_of

if TYPE_CHECKING:
    from ..benching import asking

_PATH = click.Path(path_type=Path)
_OUTPUTS = ("json_path", "markdown_path", "plot_path", "force", "into", "stored")
_WIDTH = 200  # of tables that go into a file or a pipe


def _split(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> Any:
    """All words of an option that takes several with commas, or may be repeated."""
    words = (word.strip() for text in given for word in text.split(","))
    return tuple(dict.fromkeys(word for word in words if word))


def _counts(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> Any:
    """The same for whole numbers from 1 on."""
    words = _split(context, parameter, given)
    wrong = [word for word in words if not word.isdecimal() or not 1 <= int(word) <= 65536]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} is no whole number from 1 to 65,536")
    return tuple(sorted({int(word) for word in words}))


def _several(
    name: str, metavar: str, text: str, usual: str, read: Callable[..., Any] = _split
) -> Any:
    return click.option(
        name,
        multiple=True,
        default=(usual,) if usual else (),
        metavar=metavar,
        callback=read,
        help=f"{text} [{usual}]" if usual else text,
    )


@dataclass(frozen=True)
class Settings:
    """The options of `bench`; see its help."""

    nets: tuple[str, ...]
    on: tuple[str, ...]
    against: tuple[str, ...]
    batch: tuple[int, ...]
    threads: tuple[int, ...]
    size: str
    keypoints: int
    calibrate: Path | None
    rounds: int
    json_path: str | None
    markdown_path: str | None
    plot_path: str | None
    into: Path | None
    stored: Path | None
    force: bool


@click.command()
@click.argument("nets", metavar="NET...", nargs=-1)
@_several("--on", "TARGET,...", "Where to run networks; see below. [all that fit]", "")
@_several(
    "--against",
    "PEER,...",
    "Beside them sift, orb or teblid of OpenCV, kornia-hardnet, other networks, ONNX files of "
    "others.",
    "sift",
)
@_several("--batch", "N,...", "Patches a call.", "1,64,512", _counts)
@_several("--threads", "N,...", "Threads to compute on.", "1", _counts)
@click.option("--size", default="480x640", metavar="HxW", show_default=True, help="Of images.")
@click.option(
    "--keypoints",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="At most this many an image.",
)
@click.option(
    "--calibrate",
    type=_PATH,
    metavar="PATH",
    help="Patches or images for int8, as `descompress export` reads them; generated if left out, "
    "as time does not depend on them.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--json", "json_path", metavar="OUT", help="Write the numbers; - is stdout.")
@click.option("--markdown", "markdown_path", metavar="OUT", help="Write the tables.")
@click.option("--plot", "plot_path", metavar="PNG", help="Draw the times.")
@click.option(
    "--into",
    type=_PATH,
    metavar="PAGE",
    help="Put the table of a stored run into this page, and measure nothing.",
)
@click.option(
    "--from",
    "stored",
    type=_PATH,
    metavar="JSON",
    help="That run; bench.json beside the shipped networks if left out.",
)
@click.option("--force", is_flag=True, help="Replace outputs that exist.")
def bench(**options: object) -> None:
    """Time networks on every backend, beside their peers, in interleaved rounds.

    NET is a network file, the name of a shipped network, or an exported .onnx file. Patch networks
    are told in microseconds a patch, image networks in milliseconds an image, with detection,
    description and matching apart. All is put in ratio to the first NET, at its best batch and
    backend, and to OpenCV's SIFT. Cold start and peak memory are those of a new process for each.

    Targets are eager-fp32, eager-bf16, compile-fp32, onnxruntime-fp32, onnxruntime-int8,
    openvino-fp32, openvino-bf16 and openvino-int8. Who cannot run is named, with the reason.

    --into PAGE replaces what stands between these lines of PAGE, with the fastest of each network:

    \b
      "<!-- bench table -->" and "<!-- /bench table -->"
    """
    settings = Settings(**options)  # pyright: ignore[reportArgumentType]
    if settings.into:
        _insert(settings, settings.into)
    else:
        _measure(settings)


def _insert(settings: Settings, page: Path) -> None:
    from .. import shelf
    from ..benching import pages
    from ..shelf.pages import insert

    if settings.nets:
        raise click.UsageError("--into takes a stored run: give it no NET, or no --into")
    record = pages.read(settings.stored or shelf.folder() / pages.STORED)
    insert({pages.MARKS: pages.markdown(record, brief=True)}, page)


def _measure(settings: Settings) -> None:
    if settings.stored:
        raise click.UsageError("--from is for --into")
    if not settings.nets:
        raise click.UsageError("Missing argument 'NET...'.")
    from hpatches_eval.imagereport import check_plots
    from hpatches_eval.provenance import made
    from hpatches_eval.terminal import check_outputs, shown_progress

    from ..benching import running

    outputs = (settings.json_path, settings.markdown_path, settings.plot_path)
    check_outputs(outputs, force=settings.force)
    if settings.plot_path:
        check_plots()
    asked = _asked(settings)
    with shown_progress() as progress:
        command = said(click.get_current_context(), _OUTPUTS)
        record = running.run(asked, command, progress)
    record["provenance"] = made(command, _files(settings), {"calibrate": settings.calibrate})
    _show(settings, record)


def _files(settings: Settings) -> dict[str, Path]:
    """Networks by name; other peers have no files."""
    from ..errors import ArtifactError
    from ..shelf import find

    found: dict[str, Path] = {}
    for name in (*settings.nets, *settings.against):
        with suppress(ArtifactError):
            found[Path(name).name] = find(name)
    return found


def _asked(settings: Settings) -> "asking.Settings":
    from ..benching import asking
    from ..deployment import TARGETS

    if wrong := [target for target in settings.on if target not in TARGETS]:
        raise RequestError(f"--on {wrong[0]!r}: there are {', '.join(TARGETS)}")
    asked = asking.Settings(
        settings.nets,
        settings.on,
        settings.against,
        settings.batch,
        settings.threads,
        size_of(settings.size) or (0, 0),
        settings.keypoints,
        settings.rounds,
    )
    return asking.calibrated(asked, settings.calibrate) if settings.calibrate else asked


def _show(settings: Settings, record: dict[str, Any]) -> None:
    """Write what was asked for, and print the tables unless stdout is for the JSON."""
    from hpatches_eval.files import save_text
    from hpatches_eval.terminal import give_json

    from ..benching import pages

    give_json(record, settings.json_path, force=settings.force)
    if settings.markdown_path:
        save_text(settings.markdown_path, pages.markdown(record), force=settings.force)
    if settings.plot_path:
        pages.plot(record, Path(settings.plot_path), force=settings.force)
    if settings.json_path != "-":
        from rich.console import Console

        Console(width=None if sys.stdout.isatty() else _WIDTH).print(pages.terminal(record))
