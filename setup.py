"""Puts the folder `weights` into the package when it is built; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PATTERNS = (
    "*.safetensors",
    "index.toml",
    "measured*.json",
    "bench.json",
    "README.md",
    "cards/*.md",
)


class BuildWithWeights(build_py):
    """An editable install finds the folder where it is, beside the package."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_weights(Path(self.build_lib, "descompress", "weights"))

    def copy_weights(self, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)  # networks of an earlier build
        target.mkdir(parents=True)
        for file in (file for pattern in PATTERNS for file in (ROOT / "weights").glob(pattern)):
            copy = target / file.relative_to(ROOT / "weights")
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, copy)


if __name__ == "__main__":
    setup(cmdclass={"build_py": BuildWithWeights})
