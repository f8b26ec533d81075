"""Recipes as real networks: converted, calibrated, run and timed on the target."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..artifacts import save
from ..costs import cost
from ..errors import RequestError
from ..nets import Net
from ..runtimes import Runtime
from .candidates import as_preset
from .measuring import (
    Inputs,
    Target,
    batches_of,
    counted,
    eager_outputs,
    made,
    moved,
    outputs,
    timed_shares,
)
from .notebooks import Notebook
from .requests import Material, Search
from .tables import Recipe, Table

WIDENED = 3  # times that a budget is tightened because networks turn out slower than expected


@dataclass(frozen=True)
class Bench:
    """Where recipes are tried in earnest.

    Args:
        whole: The original, ready to run on the target.
    """

    search: Search
    material: Material
    inputs: Inputs
    target: Target
    whole: Runtime
    notebook: Notebook
    folder: Path


def file_of(folder: Path, recipe: Recipe) -> Path:
    """Where the network of a verified recipe lies."""
    name = hashlib.sha256(as_preset(recipe).encode()).hexdigest()[:12]
    return folder / "networks" / f"{name}.safetensors"


def measured_whole(
    search: Search, material: Material, target: Target, whole: Runtime
) -> dict[str, Any]:
    """What the original costs, and what running it on the target does to its outputs."""
    x = target.inputs[0]
    batches = batches_of(material.held.numpy(), search.net)
    served = moved(outputs(whole, batches), eager_outputs(search.net, material.held.numpy()))
    seconds, _ = timed_shares(whole, [], x)
    found = {"batch": len(x), "seconds": seconds, "served": served}
    found |= counted(cost(search.net))
    return found | _matching(search.net, material)


def verify(bench: Bench, recipe: Recipe) -> None:
    """Make the network of a recipe, measure it, and note both; nothing where that was done."""
    name, path = as_preset(recipe), file_of(bench.folder, recipe)
    if name in bench.notebook["verified"] and path.is_file():
        return
    small = made(bench.search.net, recipe, bench.material.fitting)
    runtime = bench.target.runs(small)
    batches = batches_of(bench.inputs.held, small)
    _, [share] = timed_shares(bench.whole, [runtime], bench.target.inputs[0])
    path.parent.mkdir(exist_ok=True)
    save(small, path, force=True)
    found = {
        **counted(cost(small)),
        "share": share,
        "loss": moved(eager_outputs(small, bench.inputs.held), bench.inputs.wanted),
        "served": moved(outputs(runtime, batches), bench.inputs.wanted),
    }
    bench.notebook.note("verified", {name: found | _matching(small, bench.material)})


def verified_cost(notebook: Notebook, recipe: Recipe, kind: str) -> float:
    """What a verified recipe costs in the unit of the budget."""
    found = notebook["verified"][as_preset(recipe)]
    if kind == "latency":
        return found["share"] * notebook["whole"]["seconds"]
    return float(found[kind])


def verified_best(
    bench: Bench, table: Table, tried: Sequence[Recipe], limit: float
) -> list[Recipe]:
    """The best recipes under the limit, all verified, the winner first.

    Where all turn out to cost more than expected, the next are chosen as much below the limit, a
    few times.

    Raises:
        RequestError: None is under the limit; the text says the nearest.
    """
    bound, seen, costs = limit, dict[str, Recipe](), dict[str, float]()
    for _ in range(WIDENED):
        for recipe in best_of(table, tried, bound, bench.search.verify):
            verify(bench, recipe)
            seen[as_preset(recipe)] = recipe
        costs = {n: verified_cost(bench.notebook, r, _kind(bench)) for n, r in seen.items()}
        if any(own <= limit for own in costs.values()):
            return sorted(seen.values(), key=lambda r: _rank(bench, r, limit))
        bound *= 0.99 * limit / min(costs.values())
        if table.cost(table.least()) > bound:
            break
    raise RequestError(
        f"{bench.search.budget}: no network came out that fast; the nearest of "
        f"{len(seen)} takes {amount(min(costs.values()), 'latency')}, asked: "
        f"{amount(limit, 'latency')}"
    )


def best_of(table: Table, tried: Sequence[Recipe], limit: float, count: int) -> list[Recipe]:
    """Recipes of least expected loss under a limit: of those tried, and the best there is."""
    found = {as_preset(recipe): recipe for recipe in [table.best(limit), *tried]}
    fitting = [recipe for recipe in found.values() if table.cost(recipe) <= limit]
    return sorted(fitting, key=lambda r: (table.loss(r), table.cost(r)))[:count]


def amount(value: float, kind: str) -> str:
    """A cost as people read it."""
    if kind == "latency":
        large = abs(value) >= 1e-3
        return f"{value * 1e3:.3g} ms" if large else f"{value * 1e6:.3g} us"
    return f"{value:,.0f} {'MACs' if kind == 'macs' else 'parameters'}"


def _rank(bench: Bench, recipe: Recipe, limit: float) -> tuple[bool, float, float]:
    own = verified_cost(bench.notebook, recipe, _kind(bench))
    served = bench.notebook["verified"][as_preset(recipe)]["served"]
    return own > limit, served if math.isfinite(served) else math.inf, own


def _kind(bench: Bench) -> str:
    return bench.search.budget.kind


def _matching(net: Net, material: Material) -> dict[str, float]:
    value = material.release.matching(net) if material.release else None
    return {} if value is None else {"matching": value}
