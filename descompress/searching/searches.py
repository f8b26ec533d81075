"""A search from the first measurement to the verified winner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hpatches_eval.files import is_vacant
from hpatches_eval.progress import Progress, silent

from ..converter import KEEP
from ..errors import RequestError
from .measuring import Inputs, Target, batches_of, eager_outputs, layer_costs, sensitivity
from .notebooks import FILE, Notebook
from .requests import Material, Search
from .spreading import here, imported_ray, on_ray
from .studies import Asked, imported_optuna, studied
from .tables import Choice, Recipe, Table
from .verifying import Bench, amount, measured_whole, verified_best

STUDY = "study.db"
Choices = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Answer:
    """What a search found.

    Args:
        limit: The budget in its unit.
        tried: All recipes that were considered.
        verified: Those that were made and measured, the winner first.
    """

    search: Search
    notebook: Notebook
    table: Table
    limit: float
    tried: Sequence[Recipe]
    verified: Sequence[Recipe]

    @property
    def winner(self) -> Recipe:
        """The one to use."""
        return self.verified[0]


def prepared(search: Search, material: Material, folder: Path, *, force: bool) -> Notebook:
    """The notebook of a folder that can be searched in; the folder is made.

    Args:
        force: Another budget was met there, and its winner may be replaced.

    Raises:
        RequestError: A package is missing, or the folder holds something else.
        ArtifactError: The measurements in it are damaged.
    """
    imported_optuna()
    if search.engine == "ray":
        imported_ray()
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"{folder}: is no folder")
    if not is_vacant(folder) and not (folder / FILE).exists():
        raise RequestError(f"{folder}: holds something else than a search; name another folder")
    notebook = Notebook(folder, search.identity(material))
    before = notebook["answered"].get("budget")
    if before not in (None, str(search.budget)) and not force:
        raise RequestError(
            f"{folder}: holds the answer for {before}; --force replaces it, measurements are kept"
        )
    folder.mkdir(exist_ok=True, parents=True)
    return notebook


def searched(
    search: Search,
    material: Material,
    folder: Path,
    notebook: Notebook,
    progress: Progress = silent,
) -> Answer:
    """Measure what is not measured yet, search, and verify.

    Raises:
        RequestError: The budget cannot be met; the text says the nearest that can.
    """
    bench = _bench(search, material, folder, notebook)
    choices = search.choices
    _measure_costs(bench, choices, progress)
    limit = search.limit(notebook["whole"]["seconds"])
    _require_reachable(search, table_of(notebook, choices, search.budget.kind), limit)
    _measure_losses(bench, choices, progress)
    table = table_of(notebook, choices, search.budget.kind, finite=True)
    asked = Asked(limit, search.trials, search.seed)
    tried = studied(table, asked, folder / STUDY, study_name(search), progress)
    progress("verifying", 0, 1)
    verified = verified_best(bench, table, tried, limit)
    progress("verifying", 1, 1)
    return Answer(search, notebook, table, limit, tried, verified)


def study_name(search: Search) -> str:
    """A study has one budget, one seed and one set of methods."""
    return f"{search.budget}, seed {search.seed}, {','.join(search.methods)}"


def table_of(notebook: Notebook, choices: Choices, kind: str, *, finite: bool = False) -> Table:
    """What is known, for one kind of cost.

    Args:
        finite: Leave out what made no finite outputs; or else losses are not looked at.
    """
    whole = float(notebook["whole"]["seconds" if kind == "latency" else kind])

    def choice(layer: str, method: str) -> Choice:
        found = notebook.choice(layer, method)
        saved = whole * (1 - found["share"]) if kind == "latency" else whole - found[kind]
        return Choice(method, found["loss"] if finite else 0.0, saved)

    return Table(
        whole,
        {
            layer: [
                Choice(KEEP, 0.0, 0.0),
                *(
                    choice(layer, method)
                    for method in own[1:]
                    if not finite or notebook.choice(layer, method)["loss"] is not None
                ),
            ]
            for layer, own in choices.items()
        },
    )


def _bench(search: Search, material: Material, folder: Path, notebook: Notebook) -> Bench:
    held = material.held.numpy()
    target = Target(search.on, search.threads, batches_of(material.fitting.numpy(), search.net))
    inputs = Inputs(material.fitting, held, eager_outputs(search.net, held))
    whole = target.runs(search.net)
    if not notebook["whole"]:
        notebook.note("whole", measured_whole(search, material, target, whole))
    return Bench(search, material, inputs, target, whole, notebook, folder)


def _measure_costs(bench: Bench, choices: Choices, progress: Progress) -> None:
    """Of a layer's candidates in the same rounds."""
    for done, (layer, own) in enumerate(choices.items()):
        progress("measuring costs", done, len(choices))
        known = bench.notebook.choice
        missing = [method for method in own[1:] if "share" not in known(layer, method)]
        if missing:
            found = layer_costs(bench.search.net, layer, missing, bench.target)
            for method, costs in found.items():
                bench.notebook.note_choice(layer, method, costs)
    progress("measuring costs", len(choices), len(choices))


def _measure_losses(bench: Bench, choices: Choices, progress: Progress) -> None:
    notebook = bench.notebook
    jobs = [
        (layer, method)
        for layer, own in choices.items()
        for method in own[1:]
        if "loss" not in notebook.choice(layer, method)
    ]

    def note(layer: str, method: str, loss: float) -> None:
        finite = abs(loss) < float("inf")
        notebook.note_choice(layer, method, {"loss": loss if finite else None})

    work = partial(sensitivity, bench.search.net, bench.inputs)
    if bench.search.engine == "ray":
        on_ray(jobs, work, note, progress, bench.folder / "ray")
    else:
        here(jobs, work, note, progress)


def _require_reachable(search: Search, table: Table, limit: float) -> None:
    kind = search.budget.kind
    if (least := table.cost(table.least())) > limit:
        share = least / table.whole
        raise RequestError(
            f"{search.budget}: out of reach with {', '.join(search.methods)}; the least that can "
            f"be is {amount(least, kind)}, {share:.3g}x of the network: ask for that, or prune it "
            f"first"
        )
