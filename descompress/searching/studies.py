"""The outer loop: recipes proposed by Optuna, kept in a study on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpatches_eval.progress import Progress, silent

from ..errors import ArtifactError, RequestError
from .tables import Recipe, Table

if TYPE_CHECKING:
    from optuna import Study

FRONT = 24  # recipes of the exact front that a study begins with


@dataclass(frozen=True)
class Asked:
    """How a study is led.

    Args:
        limit: Of the cost, in the unit of the table.
        trials: In all, those of earlier processes included.
    """

    limit: float
    trials: int
    seed: int


def studied(
    table: Table, asked: Asked, path: Path, name: str, progress: Progress = silent
) -> list[Recipe]:
    """The recipes that were tried, each once, the first first.

    A study of two objectives, expected loss and cost. It begins with the best recipe under the
    limit if losses add up, the greedy one and some of the exact front, so that what it finds is
    never worse than these; then a TPE sampler looks around. A trial is added when it is done, and
    its sampler is seeded by its number: stopped at any moment, the study goes on as if it had not
    been.

    Args:
        path: The SQLite file; made if missing.
        name: Of the study in it.

    Raises:
        RequestError: Optuna is not installed.
        ArtifactError: The file is damaged, or of other recipes.
    """
    optuna = imported_optuna()
    with _opened(optuna, path, name) as kept:
        study = optuna.create_study(directions=["minimize", "minimize"])
        study.add_trials(kept.get_trials(deepcopy=False))
        starts, space = _starts(table, asked.limit), _space(optuna, table)
        for number in range(len(study.get_trials(deepcopy=False)), asked.trials):
            progress("searching", number, asked.trials)
            if number < len(starts):
                made = _told(optuna, space, table, starts[number])
                study.add_trial(made)
            else:
                made = _tried(optuna, study, space, table, asked.seed, number)
            kept.add_trial(made)
        progress("searching", asked.trials, asked.trials)
        tried = [trial.params for trial in study.get_trials(deepcopy=False)]
        return _distinct(tried, table, path)


def _starts(table: Table, limit: float) -> list[Recipe]:
    front = table.front()
    step = max(1, -(-len(front) // FRONT))
    first = [table.best(limit), table.greedy(limit), table.least()]
    return _distinct([*first, *front[::step]], table, Path())


def _told(optuna: Any, space: dict[str, Any], table: Table, recipe: Recipe) -> Any:
    return optuna.trial.create_trial(
        params=dict(recipe),
        distributions=space,
        values=[table.loss(recipe), table.cost(recipe)],
    )


def _tried(
    optuna: Any, study: "Study", space: dict[str, Any], table: Table, seed: int, number: int
) -> Any:
    study.sampler = optuna.samplers.TPESampler(seed=(seed * 1_000_003 + number) % 2**32)
    trial = study.ask(space)
    return study.tell(trial, [table.loss(trial.params), table.cost(trial.params)])


def _space(optuna: Any, table: Table) -> dict[str, Any]:
    choices = {number: [c.method for c in own] for number, own in table.layers.items()}
    return {
        number: optuna.distributions.CategoricalDistribution(own) for number, own in choices.items()
    }


def _distinct(recipes: list[Recipe], table: Table, path: Path) -> list[Recipe]:
    known = {number: {c.method for c in own} for number, own in table.layers.items()}
    found: dict[tuple[str, ...], Recipe] = {}
    for recipe in recipes:
        if recipe.keys() != known.keys() or any(m not in known[n] for n, m in recipe.items()):
            raise ArtifactError(f"{path}: holds a study of other recipes; use another folder")
        ordered = {number: recipe[number] for number in known}
        found.setdefault(tuple(ordered.values()), ordered)
    return list(found.values())


@contextmanager
def _opened(optuna: Any, path: Path, name: str) -> Iterator["Study"]:
    """The study on disk; nothing is said on the way."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = None
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{path.resolve()}")
        yield optuna.create_study(
            storage=storage,
            study_name=name,
            directions=["minimize", "minimize"],
            load_if_exists=True,
        )
    except Exception as error:
        own = type(error).__module__.startswith(("sqlalchemy", "optuna", "sqlite3"))
        if not own and not isinstance(error, ValueError | LookupError | TypeError):
            raise
        raise ArtifactError(f"{path}: not a study that can be gone on with ({error})") from error
    finally:
        if storage is not None:
            storage.engine.dispose()
        optuna.logging.set_verbosity(level)


def imported_optuna() -> Any:
    """Optuna.

    Raises:
        RequestError: It is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise RequestError(
            f"a search needs optuna ({error}): pip install 'descompress[search]'"
        ) from None
    return optuna
