"""Give readers files that are nearly right, for as long as you like, and keep what breaks them.

    python benchmarks/fuzz.py READER... [--seconds 60] [--engine random|atheris] [--out FOLDER]

READER is a name of tests/fuzzing/readers.py, or `all`. The engine "random" goes on after a finding,
and keeps one file of each kind, FOLDER/READER-N.bin. The engine "atheris" lets libFuzzer choose
changes by which lines of this project they reach; it takes one reader and stops at the first
finding. A reader that hangs, or takes the process with it, leaves its input in FOLDER/READER.work.
"""

import faulthandler
import shutil
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import click

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "fuzzing"))
HANG = 120  # seconds after which the process ends itself and says where it was
MOST = 20  # kinds of findings

if TYPE_CHECKING:
    from contract import Trial


@click.command()
@click.argument("names", metavar="READER...", nargs=-1, required=True)
@click.option("--seconds", default=60.0, show_default=True, help="For each reader.")
@click.option("--engine", type=click.Choice(["random", "atheris"]), default="random")
@click.option("--seed", default=0, show_default=True, help="Of the engine random.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out/fuzz"))
def main(names: tuple[str, ...], seconds: float, engine: str, seed: int, out: Path) -> None:
    """Break the READERs."""
    if engine == "atheris":
        _instrument()
    from readers import READERS

    chosen = tuple(READERS) if names == ("all",) else names
    if unknown := [name for name in chosen if name not in READERS]:
        raise click.UsageError(f"{unknown[0]}: there are {', '.join(READERS)}, and all")
    faulthandler.enable()
    if engine == "atheris":
        if len(chosen) > 1:
            raise click.UsageError("the engine atheris takes one reader")
        _guided(_begun(chosen[0], out), seconds, out)
    elif sum(_random(_begun(name, out), out / name, seconds, seed) for name in chosen):
        sys.exit(1)


def _begun(name: str, out: Path) -> "Trial":
    from contract import Trial
    from readers import READERS

    folder = (out / f"{name}.work").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return Trial(READERS[name], folder)


def _random(trial: "Trial", place: Path, seconds: float, seed: int) -> int:
    """The kinds of findings of a reader, how many."""
    from contract import Broken
    from mutations import changed

    found: Counter[str] = Counter()
    end, tried, accepted = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end and len(found) < MOST:
        content = changed(trial.valid, trial.reader, Random(f"{seed} {tried}"))
        tried += 1
        faulthandler.dump_traceback_later(HANG, exit=True)
        try:
            accepted += trial.attempt(content)
        except Broken as error:
            if not found[kind := _kind(error)]:
                file = place.with_name(f"{place.name}-{len(found)}.bin")
                file.write_bytes(content)
                click.echo(f"{file.name}, {len(content)} bytes, {kind}: {error}")
            found[kind] += 1
    faulthandler.cancel_dump_traceback_later()
    said = f"{tried:,} files in {seconds:.0f} s, {accepted:,} accepted"
    click.echo(f"{place.name}: {said}, {len(found)} kinds of findings")
    return len(found)


def _kind(error: Exception) -> str:
    """Where the cause came up, in this project, and what it was."""
    cause = error.__cause__
    if cause is None:
        return str(error).split()[0]
    frames = traceback.extract_tb(cause.__traceback__)
    own = [frame for frame in frames if str(ROOT) in frame.filename] or frames
    return f"{type(cause).__name__} {Path(own[-1].filename).name}:{own[-1].lineno}"


def _instrument() -> None:
    """Have the lines of this project counted, from their import on."""
    try:
        import atheris
    except ImportError:
        raise click.UsageError(
            "the engine atheris needs its package: pip install atheris"
        ) from None
    with atheris.instrument_imports(include=["descompress", "hpatches_eval"]):
        import readers  # noqa: F401


def _guided(trial: "Trial", seconds: float, out: Path) -> None:
    import atheris
    from mutations import changed

    corpus = trial.folder.with_suffix(".corpus")
    corpus.mkdir(exist_ok=True)
    (corpus / "valid").write_bytes(trial.valid)
    most = max(4096, 2 * len(trial.valid))

    def mutated(content: bytes, size: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.5:
            return atheris.Mutate(content, size)
        return changed(content or trial.valid, trial.reader, random)[:size]

    def attempt(content: bytes) -> None:
        trial.attempt(content)

    limits = (f"-max_total_time={int(seconds)}", f"-timeout={HANG}", f"-max_len={most}")
    places = ("-rss_limit_mb=4096", f"-artifact_prefix={out}/", str(corpus))
    atheris.Setup([sys.argv[0], *limits, *places], attempt, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
