"""Give a reader files that are nearly right, for as long as you like, and keep what breaks it.

    python benchmarks/fuzz.py READER [--seconds 60] [--engine random|atheris] [--out FOLDER]

READER is a name of tests/fuzzing/readers.py; without one they are listed. The engine "random" goes
on after a finding and writes each kind of finding once, FOLDER/READER-N.bin, with what it was.
The engine "atheris" lets libFuzzer choose changes by which lines of this package they reach; it
stops at the first finding. A reader that hangs, or takes the process with it, leaves its input in
FOLDER/READER.work.
"""

import faulthandler
import shutil
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

import click

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "fuzzing"))
HANG = 60  # seconds after which the process ends itself and says where it was
MOST = 20  # kinds of findings


@click.command()
@click.argument("name", metavar="READER", required=False)
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--engine", type=click.Choice(["random", "atheris"]), default="random")
@click.option("--seed", default=0, show_default=True, help="Of the engine random.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out/fuzz"))
def main(name: str | None, seconds: float, engine: str, seed: int, out: Path) -> None:
    """Break READER."""
    if engine == "atheris":
        _instrumented()
    from contract import Trial
    from readers import READERS

    if name not in READERS:
        raise click.UsageError(f"READER is one of {', '.join(READERS)}")
    folder = (out / f"{name}.work").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    trial = Trial(READERS[name], folder)
    faulthandler.enable()
    if engine == "atheris":
        _guided(trial, seconds, out)
    else:
        _random(trial, name, seconds, seed, out)


def _random(trial, name: str, seconds: float, seed: int, out: Path) -> None:
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
            kind = _kind(error)
            if not found[kind]:
                (out / f"{name}-{len(found)}.bin").write_bytes(content)
                click.echo(f"{name}-{len(found)}.bin, {len(content)} bytes, {kind}: {error}")
            found[kind] += 1
    faulthandler.cancel_dump_traceback_later()
    said = f"{tried:,} files in {seconds:.0f} s, {accepted:,} accepted"
    click.echo(f"{name}: {said}, {len(found)} kinds of findings")
    sys.exit(bool(found))


def _kind(error: Exception) -> str:
    """Where the cause came up, in this project, and what it was."""
    cause = error.__cause__
    if cause is None:
        return str(error).split()[0]
    frames = traceback.extract_tb(cause.__traceback__)
    own = [frame for frame in frames if str(ROOT) in frame.filename] or frames
    return f"{type(cause).__name__} {Path(own[-1].filename).name}:{own[-1].lineno}"


def _instrumented() -> None:
    try:
        import atheris
    except ImportError:
        raise click.UsageError(
            "the engine atheris needs its package: pip install atheris"
        ) from None
    with atheris.instrument_imports(include=["descompress", "hpatches_eval"]):
        import readers  # noqa: F401  # and with it all readers


def _guided(trial, seconds: float, out: Path) -> None:
    import atheris
    from mutations import changed

    corpus = trial.folder.with_suffix(".corpus")
    corpus.mkdir(exist_ok=True)
    (corpus / "valid").write_bytes(trial.valid)

    def mutated(content: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.5:
            return atheris.Mutate(content, most)
        return changed(content or trial.valid, trial.reader, random)[:most]

    length = max(4096, 2 * len(trial.valid))
    limits = (f"-max_total_time={int(seconds)}", f"-timeout={HANG}", f"-max_len={length}")
    places = (f"-artifact_prefix={out}/", str(corpus))
    atheris.Setup(
        [sys.argv[0], *limits, "-rss_limit_mb=4096", *places],
        trial.attempt,
        custom_mutator=mutated,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
