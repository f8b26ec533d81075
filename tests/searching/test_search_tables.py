"""Tables of losses and savings whose best recipes are known by trying them all."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from descompress.errors import RequestError
from descompress.searching import tables
from descompress.searching.tables import Choice, Table, pareto

WHOLE = 100.0


# A loss, and what is saved: in 64ths, so that sums are exact.
numbers = st.tuples(st.integers(0, 64), st.integers(-128, 1280))
drawn = st.lists(st.lists(numbers, min_size=1, max_size=4), min_size=1, max_size=4)


def made(layers):
    """A table of layers 2, 3, ... with methods m0, m1, ... of these losses and savings."""
    keep = Choice("keep", 0.0, 0.0)
    return Table(
        WHOLE,
        {
            str(i): [keep, *(Choice(f"m{j}", a / 64, b / 64) for j, (a, b) in enumerate(own))]
            for i, own in enumerate(layers, start=2)
        },
    )


def every(table):
    """All recipes there are."""
    methods = [[choice.method for choice in own] for own in table.layers.values()]
    return [dict(zip(table.layers, chosen, strict=True)) for chosen in product(*methods)]


def test_losses_and_savings_add_up():
    layers = {
        "2": [Choice("keep", 0.0, 0.0), Choice("a", 0.25, 30.0)],
        "3": [Choice("keep", 0.0, 0.0), Choice("a", 0.5, 10.0), Choice("b", 0.125, -1.0)],
    }
    table = Table(WHOLE, layers)
    assert table.loss({"2": "a", "3": "a"}) == 0.75
    assert table.cost({"2": "a", "3": "a"}) == 60.0
    assert table.cost({"2": "keep", "3": "b"}) == 101.0
    assert table.least() == {"2": "a", "3": "a"}
    assert Table(5.0, layers).cost(table.least()) == 0.0  # noise of times saves more than there is


@given(drawn, st.floats(0, 1))
def test_the_best_recipe_under_a_limit_is_that_of_trying_all(layers, share):
    table = made(layers)
    least = table.cost(table.least())
    limit = least + share * (WHOLE - least)
    best = table.best(limit)
    assert table.cost(best) <= limit
    found = min(table.loss(recipe) for recipe in every(table) if table.cost(recipe) <= limit)
    assert table.loss(best) == found


@given(drawn)
def test_the_front_is_that_of_trying_all(layers):
    table = made(layers)

    def told(recipes):
        return [(table.loss(r), table.cost(r)) for r in recipes]

    known = [point[:2] for point in pareto((*p, {}) for p in told(every(table)))]
    assert told(table.front()) == known


@given(drawn, st.floats(0, 1))
def test_greedy_meets_what_can_be_met(layers, share):
    table = made(layers)
    least = table.cost(table.least())
    limit = least + share * (WHOLE - least)
    assert table.cost(table.greedy(limit)) <= limit


def test_greedy_takes_what_loses_least_for_what_it_saves_and_may_miss_the_best():
    layers = {
        "2": [Choice("keep", 0.0, 0.0), Choice("a", 0.1, 10.0)],
        "3": [Choice("keep", 0.0, 0.0), Choice("a", 0.15, 12.0)],
    }
    table = Table(WHOLE, layers)
    assert table.greedy(88.0) == {"2": "a", "3": "a"}
    assert table.best(88.0) == {"2": "keep", "3": "a"}


def test_what_is_out_of_reach_is_said_with_the_least():
    table = Table(WHOLE, {"2": [Choice("keep", 0.0, 0.0), Choice("a", 0.1, 10.0)]})
    with pytest.raises(RequestError, match="the least is 90"):
        table.best(89.0)


def test_many_layers_are_thinned_to_what_is_nearly_the_best(monkeypatch):
    choices = [(0.01 * i * i, 1.7 * i) for i in range(1, 6)]
    own = [Choice("keep", 0.0, 0.0), *(Choice(f"m{i}", *c) for i, c in enumerate(choices))]
    table = Table(WHOLE, {str(number): own for number in range(2, 8)})
    exact = table.loss(table.best(70.0))
    monkeypatch.setattr(tables, "MOST", 30)
    assert len(table.front()) <= 31
    assert exact <= table.loss(table.best(70.0)) <= 1.1 * exact
    assert table.front()[-1] == table.least()


def test_a_front_holds_only_what_none_beats():
    points = [(0.0, 9.0, {}), (0.5, 5.0, {}), (0.5, 4.0, {}), (0.6, 4.0, {}), (1.0, 1.0, {})]
    assert [p[:2] for p in pareto(points)] == [(0.0, 9.0), (0.5, 4.0), (1.0, 1.0)]
