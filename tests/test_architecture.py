"""Which module may import which, and how long they may be."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("descompress", "hpatches_eval")

LAYERS = [  # from the ground up; a module imports only from lines above its own
    {"hpatches_eval"},
    {
        "descompress.errors",
        "descompress.interrupts",
        "descompress.sizing",
        "descompress.whole",
    },
    {
        "descompress.checkpointfiles",
        "descompress.classification",
        "descompress.clock",
        "descompress.detections",
        "descompress.images",
        "descompress.journal",
        "descompress.locks",
        "descompress.machine",
        "descompress.memory",
        "descompress.optimizers",
        "descompress.orphans",
        "descompress.processes",
        "descompress.selection",
        "descompress.settings",
        "descompress.wiring",
        "descompress.written",
    },
    {"descompress.methods", "descompress.runtimes"},
    {"descompress.spec"},
    {"descompress.nets"},
    {
        "descompress.artifacts",
        "descompress.costs",
        "descompress.data",
        "descompress.fetching",
        "descompress.keypoints",
        "descompress.observation",
        "descompress.presets",
        "descompress.objectives",
        "descompress.plans",
        "descompress.upstream",
    },
    {
        "descompress.calibration",
        "descompress.charts",
        "descompress.converter",
        "descompress.description",
        "descompress.featurefiles",
        "descompress.folding",
        "descompress.gallery",
        "descompress.looks",
        "descompress.patchfiles",
        "descompress.shelf",
        "descompress.slimming",
    },
    {
        "descompress.evaluation",
        "descompress.features",
        "descompress.judging",
        "descompress.matching",
        "descompress.teachers",
        "descompress.pruning",
        "descompress.rewriting",
        "descompress.training",
        "descompress.validation",
    },
    {
        "descompress.imageevaluation",
        "descompress.integrations",
        "descompress.recipes",
        "descompress.runs",
        "descompress.viewing",
    },
    {"descompress.exporting", "descompress.settling", "descompress.students"},
    {"descompress.deployment"},
    {"descompress.benching", "descompress.pipelines", "descompress.searching"},
    {"descompress"},
    {"descompress.commands"},
    {"descompress.cli"},
    {"descompress.__main__"},
]
LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}
FILES = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
HEAVY = {"torch", "kornia", "safetensors", "tensorly"}

MOST_LINES, MOST_LINES_OF_A_FUNCTION = 300, 40


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def unit_of(module: str) -> str:
    """The entry of the table that a module belongs to."""
    parts = module.split(".")
    return "hpatches_eval" if parts[0] == "hpatches_eval" else ".".join(parts[:2])


def imports_of(path: Path) -> set[str]:
    """Absolute names of the modules, or the names in them, that a file imports anywhere."""
    package = module_of(path).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += [node.module] if node.module else []
            found |= {".".join([*base, alias.name]) for alias in node.names}
    return found


def known_units(path: Path) -> set[str]:
    """The entries of the table that a file imports from, its own apart."""
    units = {unit_of(name) for name in imports_of(path) if name.split(".")[0] in PACKAGES}
    own = {unit if unit in LEVEL else "descompress" for unit in units}
    return own - {unit_of(module_of(path))}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    unit = unit_of(module_of(path))
    assert unit in LEVEL, f"{unit} has no place in LAYERS"
    if unit == "descompress":
        return  # offers names of all modules, and imports them when they are asked for
    for other in known_units(path):
        assert LEVEL[other] < LEVEL[unit], f"{unit} must not import {other}"


@pytest.mark.parametrize(
    "path",
    [file for file in FILES if unit_of(module_of(file)) == "hpatches_eval"],
    ids=lambda path: path.name,
)
def test_the_evaluator_stands_alone(path):
    roots = {name.split(".")[0] for name in imports_of(path)}
    assert not roots & {"descompress", *HEAVY}


def test_the_table_names_only_what_exists():
    units = {unit_of(module_of(path)) for path in FILES}
    assert LEVEL.keys() - units == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_are_short(path):
    text = path.read_text()
    assert len(text.splitlines()) < MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            docstring = len((ast.get_docstring(node) or "").splitlines())
            lines = (node.end_lineno or 0) - node.lineno + 1 - docstring
            assert lines <= MOST_LINES_OF_A_FUNCTION, f"{node.name} has {lines} lines"
