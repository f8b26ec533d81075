"""What came out of a search, as tables, numbers and a recipe."""

from itertools import combinations
from pathlib import Path
from typing import Any

from .candidates import as_preset
from .drawing import Mark, Picture
from .searches import Answer
from .tables import Recipe, pareto
from .verifying import amount, file_of, verified_cost

UNITS = {"latency": "ms", "macs": "million MACs", "params": "thousand parameters"}
SCALES = {"latency": 1e3, "macs": 1e-6, "params": 1e-3}
SHOWN = 20  # recipes of a front that a table lists


def recipe_of(answer: Answer, command: str) -> dict[str, Any]:
    """For `descompress distill`, to train the winner further."""
    preset, source = as_preset(answer.winner), answer.search.source
    named = str(Path(source).resolve()) if Path(source).is_file() else source
    return {
        "about": f"{answer.search.source} under {answer.search.budget}, found by: {command}",
        "start": preset or named,
        "teacher": named,
        "seed": answer.search.seed,
        "objectives": {"imitation": {}},
    }


def front_of(answer: Answer) -> list[tuple[float, float, Recipe]]:
    """Expected (loss, cost, recipe) that none of those tried beats in both."""
    table = answer.table
    return pareto((table.loss(r), table.cost(r), r) for r in answer.tried)


def front_json(answer: Answer) -> dict[str, Any]:
    """The front and the verified recipes as plain numbers; the winner first."""
    table, verified = answer.table, answer.notebook["verified"]

    def told(recipe: Recipe) -> dict[str, Any]:
        name = as_preset(recipe)
        expected = {"loss": table.loss(recipe), "cost": table.cost(recipe)}
        return {"recipe": dict(recipe), "preset": name, "expected": expected}

    kind = answer.search.budget.kind
    return {
        "format": 1,
        "kind": kind,
        "limit": answer.limit,
        "whole": answer.notebook["whole"],
        "verified": [
            {
                **told(recipe),
                "measured": {
                    **verified[as_preset(recipe)],
                    "cost": verified_cost(answer.notebook, recipe, kind),
                },
                "file": file_of(Path(), recipe).as_posix(),
            }
            for recipe in answer.verified
        ],
        "front": [told(recipe) for _, _, recipe in front_of(answer)],
    }


def front_rows(answer: Answer) -> list[tuple[str, ...]]:
    """The front as a table of text, at most `SHOWN` recipes, evenly chosen."""
    front, kind = front_of(answer), answer.search.budget.kind
    step = max(1, -(-len(front) // SHOWN))
    rows = [("expected loss", "cost", "of the whole", "recipe")]
    for loss, cost, recipe in front[::step]:
        share = f"{cost / answer.table.whole:.3f}x"
        rows.append((f"{loss:.4f}", amount(cost, kind), share, as_preset(recipe) or "as it is"))
    return rows


def picture_of(answer: Answer) -> Picture:
    """The front, what was tried, and how verified recipes differ from what was expected."""
    table, kind = answer.table, answer.search.budget.kind
    scale = SCALES[kind]
    marks = [
        Mark(
            as_preset(recipe) or "as it is",
            (scale * table.cost(recipe), table.loss(recipe)),
            (
                scale * verified_cost(answer.notebook, recipe, kind),
                answer.notebook["verified"][as_preset(recipe)]["loss"],
            ),
        )
        for recipe in answer.verified
    ]
    tried = [(scale * table.cost(r), table.loss(r)) for r in answer.tried]
    front = [(scale * cost, loss) for loss, cost, _ in front_of(answer)]
    unit = UNITS[kind]
    if kind == "latency":
        unit = f"ms for {int(answer.notebook['whole']['batch'])} inputs on {answer.search.on}"
    return Picture(unit, scale * answer.limit, tried, front, marks)


def additivity(answer: Answer) -> tuple[float, int, int]:
    """How well single layers foretell whole networks.

    Returns the median of measured over expected loss, and how many pairs of verified recipes come
    in the expected order, of how many.
    """
    pairs = []
    for recipe in answer.verified:
        measured = answer.notebook["verified"][as_preset(recipe)]["loss"]
        pairs.append((answer.table.loss(recipe), measured))
    ratios = sorted(found / expected for expected, found in pairs if expected > 0)
    ordered = [(a[0] - b[0]) * (a[1] - b[1]) >= 0 for a, b in combinations(pairs, 2)]
    return (ratios[len(ratios) // 2] if ratios else 1.0), sum(ordered), len(ordered)
