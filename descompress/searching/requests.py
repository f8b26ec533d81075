"""What is searched for, and what it is measured on."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpatches_eval.patches import PatchRelease

from ..costs import cost
from ..deployment import TARGETS
from ..errors import InputError, RequestError
from ..exporting import facts_of
from ..methods import METHODS
from ..nets import Net, PatchNet
from ..patchfiles import is_release, read_images, read_patches
from ..pruning.budgets import Budget
from ..sizing import shrunk
from ..teachers import digest
from ..validation import Validation
from .candidates import candidates

ENGINES = ("optuna", "ray")
KINDS = ("latency", "macs", "params")
IMAGES = 16  # at most
HELD = 4  # every so many-th input is held back
SEQUENCES, POINTS = 12, 200  # of a release that matching is measured on


@dataclass(frozen=True)
class Material:
    """What networks are calibrated on, and what they are compared on.

    Args:
        release: Where matching can be measured too.
    """

    fitting: Tensor
    held: Tensor
    release: Validation | None = None


@dataclass(frozen=True)
class Search:
    """What was asked for.

    Args:
        source: What the network is called.
        on: One of `deployment.TARGETS`.
        trials: Recipes that Optuna tries.
        verify: How many of the best are made and measured.
        methods: Those to consider.
    """

    net: Net
    source: str
    budget: Budget
    on: str = "onnxruntime-fp32"
    trials: int = 200
    verify: int = 4
    engine: str = "optuna"
    seed: int = 0
    threads: int = 1
    methods: Sequence[str] = tuple(METHODS)

    def __post_init__(self) -> None:
        facts_of(self.net, self.source)
        if self.on not in TARGETS:
            raise RequestError(f"--on {self.on!r}: there are {', '.join(TARGETS)}")
        if self.engine not in ENGINES:
            raise RequestError(f"--engine {self.engine!r}: there are {', '.join(ENGINES)}")
        if self.budget.kind not in KINDS:
            raise RequestError(f"a budget of {self.budget.kind}: there are {', '.join(KINDS)}")
        if self.trials < 1 or self.verify < 1:
            raise RequestError("at least one trial, and one recipe to verify")
        _ = self.choices  # refused here, before anything is measured

    @cached_property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """See `candidates`."""
        return candidates(self.net, self.methods)

    def identity(self, material: Material) -> Mapping[str, Any]:
        """What measurements depend on: those of another identity say nothing here."""
        return {
            "network": f"{self.source} ({digest(self.net)})",
            "on": self.on,
            "threads": self.threads,
            "inputs": _fingerprint(material),
        }

    def limit(self, seconds: float) -> float:
        """The budget in its own unit, if the network takes that many seconds a call."""
        if not self.budget.share:
            return self.budget.value
        if self.budget.kind == "latency":
            return self.budget.value * seconds
        return self.budget.value * getattr(cost(self.net), self.budget.kind)


def budget_of(options: Mapping[str, str | None]) -> Budget:
    """The one budget among texts by kind.

    Raises:
        RequestError: There is none, or several, or it is not one.
    """
    given = {kind: options[kind] for kind in KINDS if options.get(kind) is not None}
    names = ", ".join(f"--max-{kind}" for kind in KINDS)
    if len(given) != 1:
        raise RequestError(f"give one budget of {names}")
    [(kind, text)] = given.items()
    try:
        return Budget.parse(kind, text or "")
    except RequestError as error:
        raise RequestError(str(error).replace(f"--{kind}", f"--max-{kind}")) from None


def read_material(
    net: Net, calibrate: Path, validate: Path | None, samples: int, seed: int
) -> Material:
    """Inputs to calibrate on, and others to compare on.

    Args:
        validate: Where the others come from; if nowhere, a quarter of the first is held back. Of a
            patch release the matching of views is measured too.
        samples: Inputs at most.

    Raises:
        RequestError: There are too few to hold any back, or they hold NaN.
        FileError, DataError: They cannot be read.
    """
    first = _read(net, calibrate, samples, seed)
    if validate is not None:
        held = _read(net, validate, max(1, samples // HELD), seed)
        return Material(first, held, _views(net, validate))
    rows = torch.arange(len(first)) % HELD == HELD - 1
    if not rows.any():
        raise RequestError(f"{calibrate}: {len(first)} are too few to hold some back ({HELD} do)")
    return Material(first[~rows], first[rows])


def _read(net: Net, path: Path, samples: int, seed: int) -> Tensor:
    if not isinstance(net, PatchNet):
        return read_images(path, min(samples, IMAGES))
    patches = read_patches(path, samples, seed).float()
    if not patches.isfinite().all():
        raise InputError(f"{path}: holds NaN or infinity")
    return patches


def _views(net: Net, path: Path) -> Validation | None:
    if not isinstance(net, PatchNet) or not is_release(path):
        return None
    release = PatchRelease(path)
    step = -(-len(release.sequences) // SEQUENCES)
    kinds = {"ref": "ref", "e": "e1", "h": "h1", "t": "t1"}
    return Validation(
        [
            {name: _levels(release.strip(sequence, kind)) for name, kind in kinds.items()}
            for sequence in release.sequences[::step]
        ]
    )


def _levels(strip: np.ndarray) -> np.ndarray:
    return shrunk(strip[:POINTS]).astype(np.float32) / 255


def _fingerprint(material: Material) -> str:
    found = hashlib.sha256()
    for part in (material.fitting, material.held):
        found.update(str(tuple(part.shape)).encode() + part.numpy().tobytes())
    return found.hexdigest()[:16]
