"""Runs the blocks of gallery.md and keeps the pictures that the page shows, made small.

python docs/gallery.py out/gallery    # in a clone, with the extras export, plots and demo
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
from PIL import Image

DOCS = Path(__file__).resolve().parent
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PICTURE = re.compile(r"!\[[^\]]*\]\(gallery/([^)]+)\)")
COLOURS = 32


@click.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
def main(out: Path) -> None:
    """Make the pictures of docs/gallery.md in OUT, whose content is replaced, and keep them."""
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for language, text in BLOCK.findall(page):
        run(language, text, out)
    (DOCS / "gallery").mkdir(exist_ok=True)
    for name in PICTURE.findall(page):
        keep(out / name, DOCS / "gallery" / name)


def run(language: str, text: str, folder: Path) -> None:
    """Run a block in a folder, with the programs of this environment."""
    if language == "python":
        subprocess.run([sys.executable, "-c", text], cwd=folder, check=True)
        return
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            click.echo(shlex.join(words))
            subprocess.run(words, cwd=folder, env={**os.environ, "PATH": path}, check=True)


def keep(made: Path, kept: Path) -> None:
    """Copy a picture with a palette: a fifth of the bytes."""
    with Image.open(made) as image:
        image.convert("RGB").quantize(COLOURS).save(kept, optimize=True)
    click.echo(f"{kept.relative_to(DOCS)}: {kept.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
