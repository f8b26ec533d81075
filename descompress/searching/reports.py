"""What a search leaves behind: the winner, its recipe, the front, and a page to decide from."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from hpatches_eval.files import save_text
from hpatches_eval.provenance import versions
from hpatches_eval.terminal import to_json

from .. import machine
from ..artifacts import load, save
from ..converter import KEEP
from ..shelf import tomltext
from . import pages
from .candidates import as_preset
from .drawing import as_svg, write_png
from .outcomes import additivity, front_json, front_rows, picture_of, recipe_of
from .searches import Answer
from .verifying import amount, file_of, verified_cost


def write_answer(answer: Answer, folder: Path, command: str, provenance: Mapping[str, Any]) -> None:
    """best.safetensors, recipe.toml, front.json, front.png and report.html.

    Args:
        command: How the same can be asked for again.
        provenance: See `hpatches_eval.provenance`.
    """
    save(load(file_of(folder, answer.winner)), folder / "best.safetensors", force=True)
    texts = {
        "recipe.toml": tomltext.to_toml(recipe_of(answer, command)),
        "front.json": to_json(front_json(answer) | {"provenance": provenance}),
        "report.html": report(answer, command),
    }
    for name, text in texts.items():
        save_text(folder / name, text, force=True)
    write_png(picture_of(answer), folder / "front.png")
    answer.notebook.note("answered", {"budget": str(answer.search.budget)})


def report(answer: Answer, command: str) -> str:
    """The page, from what was asked to what it rests on."""
    search = answer.search
    limit = amount(answer.limit, search.budget.kind)
    title = f"{search.source} in at most {limit} on {search.on}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        *_decision(answer),
        pages.heading("The front"),
        as_svg(picture_of(answer)),
        pages.key(
            [
                ("dots", "tried"),
                ("blue", "front, expected"),
                ("orange", "verified"),
                ("green", "chosen"),
                ("red", "budget"),
            ]
        ),
        pages.paragraph(
            "Dotted lines lead from what was expected of a recipe to what was measured.", "soft"
        ),
        pages.folded("The front as a table", pages.table(front_rows(answer))),
        pages.heading("The chosen recipe, layer by layer"),
        pages.table(_layer_rows(answer)),
        pages.heading("Expected and verified"),
        pages.table(_verified_rows(answer), chosen=0),
        pages.paragraph(_additivity_text(answer)),
        pages.heading("What was asked"),
        pages.table(_asked_rows(answer)),
        pages.command(command),
        pages.heading("How to go on"),
        pages.paragraph("The chosen network is best.safetensors. To train it further:"),
        pages.command("descompress distill recipe.toml trained.safetensors --pack PACK"),
        pages.heading("All measurements"),
        pages.folded("Every method on every layer", pages.table(_all_rows(answer))),
        pages.heading("The machine"),
        pages.table([("", ""), *_machine().items()]),
    ]
    return pages.page(title, parts)


def _machine() -> dict[str, str]:
    """What times were measured on, and with what."""
    found = {name: str(value) for name, value in machine.described().items()}
    return found | versions()


def _decision(answer: Answer) -> list[str]:
    """What a team needs first: whether it was met, and at what price."""
    notebook, search = answer.notebook, answer.search
    found, whole = notebook["verified"][as_preset(answer.winner)], notebook["whole"]
    own = verified_cost(notebook, answer.winner, search.budget.kind)
    kind, share = search.budget.kind, own / answer.table.whole
    said = (
        f"The best of {len(answer.tried)} recipes that were considered costs "
        f"{amount(own, kind)}, {share:.3g}x of the network; asked was at most "
        f"{amount(answer.limit, kind)}. On {search.on} its outputs move by {found['served']:.4f} "
        f"(0 is no change; of the network itself, by running there: {whole['served']:.4f})."
    )
    seconds = whole["seconds"] * found["share"]
    figures = [
        (f"{1 / found['share']:.2f}x", f"as fast on {search.on}"),
        (amount(seconds, "latency"), f"for {int(whole['batch'])} inputs; was "
         f"{amount(whole['seconds'], 'latency')}"),
        (f"{found['macs'] / whole['macs']:.3g}x", f"MACs: {found['macs']:,.0f}"),
        (f"{found['params'] / whole['params']:.3g}x", f"parameters: {found['params']:,.0f}"),
        (f"{found['served']:.4f}", "loss on the target"),
    ]  # fmt: skip
    if "matching" in found:
        before = f"matching mAP of held-out views; was {whole['matching']:.1%}"
        figures.append((f"{found['matching']:.1%}", before))
    return [pages.paragraph(said), pages.cards(figures)]


def _layer_rows(answer: Answer) -> list[tuple[str, ...]]:
    """The time, work and parameters each replaced layer saves alone, and what it loses alone."""
    whole = answer.notebook["whole"]
    rows: list[tuple[str, ...]] = [
        ("layer", "name", "method", "time saved", "MACs saved", "parameters saved", "loss")
    ]
    for layer, name in answer.search.net.layer_numbers().items():
        method = answer.winner.get(layer, KEEP)
        if method == KEEP:
            rows.append((layer, name, KEEP, *[""] * 4))
            continue
        found = answer.notebook.choice(layer, method)
        saved = amount(whole["seconds"] * (1 - found["share"]), "latency")
        work = (f"{1 - found[kind] / whole[kind]:.1%}" for kind in ("macs", "params"))
        time = f"{saved} ({1 - found['share']:.1%})"
        rows.append((layer, name, method, time, *work, f"{found['loss']:.5f}"))
    return rows


def _verified_rows(answer: Answer) -> list[tuple[str, ...]]:
    table, kind = answer.table, answer.search.budget.kind
    matching = "matching" in answer.notebook["whole"]
    rows: list[tuple[str, ...]] = [
        ("recipe", "cost expected", "measured", "loss expected", "measured", "on the target",
         *(["matching mAP"] if matching else []), "file"),
    ]  # fmt: skip
    for recipe in answer.verified:
        found = answer.notebook["verified"][as_preset(recipe)]
        own = verified_cost(answer.notebook, recipe, kind)
        over = " (over the budget)" if own > answer.limit else ""
        losses = (table.loss(recipe), found["loss"], found["served"])
        rows.append(
            (
                as_preset(recipe) or "as it is",
                amount(table.cost(recipe), kind),
                amount(own, kind) + over,
                *(f"{loss:.4f}" for loss in losses),
                *([f"{found['matching']:.1%}"] if matching else []),
                file_of(Path(), recipe).as_posix(),
            )
        )
    return rows


def _additivity_text(answer: Answer) -> str:
    ratio, ordered, pairs = additivity(answer)
    return (
        "The expected loss of a recipe is the sum of what each layer loses alone. That is an "
        f"assumption: measured losses were {ratio:.2f} times the expected ones (median), and "
        f"{ordered} of {pairs} pairs of verified recipes came in the expected order. Losses are "
        "one minus the cosine between the descriptors of the original and the smaller network on "
        "inputs that it was not calibrated on; for image networks, plus the share of the "
        "detector's probability that moved."
    )


def _asked_rows(answer: Answer) -> list[tuple[str, ...]]:
    search, whole = answer.search, answer.notebook["whole"]
    kind = search.budget.kind
    costs = f"{whole['macs']:,.0f} MACs, {whole['params']:,.0f} parameters"
    return [
        ("what", "value"),
        ("network", f"{search.source}: {costs}"),
        ("budget", f"{search.budget}: {amount(answer.limit, kind)}"),
        ("target", f"{search.on}, threads: {search.threads}, inputs a call: {whole['batch']:g}"),
        ("methods", ", ".join(search.methods)),
        ("search", f"{search.trials} trials, seed {search.seed}, engine {search.engine}"),
    ]


def _all_rows(answer: Answer) -> list[tuple[str, ...]]:
    whole = answer.notebook["whole"]
    rows: list[tuple[str, ...]] = [("layer", "method", "loss alone", "time", "MACs", "parameters")]
    for layer, own in answer.table.layers.items():
        for choice in own[1:]:
            found = answer.notebook.choice(layer, choice.method)
            ratios = (found["share"], *(found[k] / whole[k] for k in ("macs", "params")))
            shares = (f"{ratio:.3f}x" for ratio in ratios)
            rows.append((layer, choice.method, f"{found['loss']:.5f}", *shares))
    return rows
