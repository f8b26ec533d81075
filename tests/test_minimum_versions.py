"""`make test-minimum` tries the lowest versions that pyproject.toml allows, and no others."""

import itertools
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNTRIED = {"torch"}  # builds for the CPU of its older releases are not on PyPI


def promised() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *itertools.chain.from_iterable(extras)]
    bounds = [re.match(r"([\w-]+)(?:\[[\w,]+\])?(?:>=([\d.]+))?", line) for line in lines]
    return {bound[1]: bound[2] for bound in bounds if bound and bound[1] != "descompress"}


def tried() -> dict[str, str]:
    lines = (ROOT / "constraints-minimum.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_every_direct_dependency_is_tried_in_its_lowest_version():
    assert tried().keys() == promised().keys()
    lowest = {name: version for name, version in tried().items() if name not in UNTRIED}
    assert lowest.items() <= promised().items()


def test_every_direct_dependency_is_fixed_for_what_is_measured():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    fixed = {line.split("==")[0] for line in lines if not line.startswith("#")}
    assert promised().keys() <= fixed
