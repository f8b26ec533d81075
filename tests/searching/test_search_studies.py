"""Optuna's part: studies on disk."""

import sqlite3

import pytest

from descompress.errors import ArtifactError
from descompress.searching import studies
from descompress.searching.studies import Asked, studied
from descompress.searching.tables import Choice, Table

LOSSES = {"2": (0.1, 0.3, 0.2), "3": (0.4, 0.05, 0.6), "4": (0.2, 0.25, 0.9)}
SAVED = {"2": (10.0, 25.0, 21.0), "3": (18.0, 3.0, 30.0), "4": (9.0, 15.0, 28.0)}
TABLE = Table(
    100.0,
    {
        number: [
            Choice("keep", 0.0, 0.0),
            *(Choice(f"m{i}", *c) for i, c in enumerate(zip(own, SAVED[number], strict=True))),
        ]
        for number, own in LOSSES.items()
    },
)


@pytest.fixture(autouse=True)
def few_starts(monkeypatch):
    """A study begins with few recipes, so that the sampler has its turn soon."""
    monkeypatch.setattr(studies, "FRONT", 2)


def stop_at(number):
    def progress(stage, done, total):
        if done == number:
            raise KeyboardInterrupt

    return progress


def test_a_study_holds_the_best_and_the_greedy_recipe_however_short_it_is(tmp_path):
    for trials in (1, 2):
        asked = Asked(55.0, trials, seed=0)
        tried = studied(TABLE, asked, tmp_path / "study.db", f"of {trials}")
        assert TABLE.best(55.0) in tried
        assert trials < 2 or TABLE.greedy(55.0) in tried
        assert len(tried) <= trials


def test_a_sampler_looks_beyond_the_front(tmp_path):
    tried = studied(TABLE, Asked(55.0, 15, seed=0), tmp_path / "study.db", "one")
    front = TABLE.front()
    assert any(recipe not in (*front, TABLE.greedy(55.0)) for recipe in tried)


@pytest.mark.parametrize("stops", [(1,), (9, 10, 13)])
def test_a_stopped_study_goes_on_as_if_it_had_not_been(tmp_path, stops):
    asked = Asked(55.0, 15, seed=3)
    whole = studied(TABLE, asked, tmp_path / "whole.db", "one")
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            studied(TABLE, asked, tmp_path / "parts.db", "one", stop_at(stop))
    assert studied(TABLE, asked, tmp_path / "parts.db", "one") == whole


def test_a_study_that_is_done_is_only_read(tmp_path):
    asked = Asked(55.0, 6, seed=3)
    first = studied(TABLE, asked, tmp_path / "study.db", "one")
    assert studied(TABLE, asked, tmp_path / "study.db", "one", stop_at(0)) == first


def test_seeds_differ(tmp_path):
    first, second = (
        studied(TABLE, Asked(55.0, 12, seed), tmp_path / "study.db", f"seed {seed}")
        for seed in (0, 1)
    )
    assert first != second


def test_a_damaged_study_is_refused(tmp_path):
    (tmp_path / "study.db").write_bytes(b"no database" * 100)
    with pytest.raises(ArtifactError, match="not a study that can be gone on with"):
        studied(TABLE, Asked(55.0, 3, 0), tmp_path / "study.db", "one")


def test_a_study_of_other_recipes_is_refused(tmp_path):
    studied(TABLE, Asked(55.0, 3, 0), tmp_path / "study.db", "one")
    other = Table(100.0, {"2": [Choice("keep", 0.0, 0.0), Choice("z", 0.1, 60.0)]})
    with pytest.raises(ArtifactError, match="use another folder"):
        studied(other, Asked(55.0, 3, 0), tmp_path / "study.db", "one")


def test_a_study_is_one_that_optunas_own_tools_open(tmp_path):
    studied(TABLE, Asked(55.0, 5, 0), tmp_path / "study.db", "one")
    with sqlite3.connect(tmp_path / "study.db") as database:
        rows = database.execute("select state from trials").fetchall()
    database.close()
    assert rows == [("COMPLETE",)] * 5
