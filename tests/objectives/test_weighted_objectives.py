import json
import tomllib

import pytest
from unit_vectors import batch

from descompress.errors import RequestError
from descompress.objectives import OBJECTIVES, Weighted, objective
from descompress.objectives.imitation import Imitation
from descompress.objectives.itrd import ITRD
from descompress.objectives.second_order import SecondOrder
from descompress.objectives.triplet import Triplet


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_has_defaults(name):
    assert objective(name, {}) == OBJECTIVES[name]()


def test_settings_are_those_of_the_objective():
    assert objective("triplet", {"margin": 0.5}) == Triplet(0.5)
    assert objective("second_order", {"neighbours": 3}) == SecondOrder(3)
    assert objective("itrd", {"gram": 0}) == ITRD(gram=0.0)
    assert isinstance(objective("triplet", {"margin": 2}).margin, float)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("triplets", {}, "unknown objective 'triplets'; there are triplet, second_order, similari"),
        ("triplet", {"margins": 1.0}, "triplet has no setting 'margins'; it has weight, margin$"),
        ("imitation", {"margin": 1.0}, "imitation has no setting 'margin'; it has weight$"),
        ("triplet", {"name": "x"}, "triplet has no setting 'name'"),
        ("triplet", {"margin": "1"}, "triplet: margin must be a finite number, not '1'"),
        ("triplet", {"margin": True}, "triplet: margin must be a finite number, not True"),
        ("triplet", {"margin": float("nan")}, "triplet: margin must be a finite number, not nan"),
        ("triplet", {"margin": float("inf")}, "triplet: margin must be a finite number, not inf"),
        ("triplet", {"margin": 10**400}, "triplet: margin must be a finite number, not 1000"),
        ("triplet", {"margin": -1}, r"triplet: margin must be at least 0, not -1\.0"),
        ("second_order", {"neighbours": 8.0}, "neighbours must be a whole number, not 8.0"),
        ("second_order", {"neighbours": True}, "neighbours must be a whole number, not True"),
        ("similarity", {"temperature": 0}, "similarity: temperature must be above 0, not 0.0"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name, settings, message):
    with pytest.raises(RequestError, match=message):
        objective(name, settings)


def test_every_term_is_its_weight_times_its_value():
    seen = batch()
    terms = Weighted.read({"triplet": {"margin": 2.0}, "imitation": {"weight": 3.0}})(seen)
    assert list(terms) == ["triplet", "imitation"]
    assert terms["triplet"].item() == pytest.approx(Triplet(2.0)(seen).item())
    assert terms["imitation"].item() == pytest.approx(3 * Imitation()(seen).item())


@pytest.mark.parametrize(
    ("names", "needs"),
    [(["triplet"], False), (["triplet", "second_order"], False), (["triplet", "desdis"], True)],
)
def test_one_term_that_needs_a_teacher_is_enough(names, needs):
    assert Weighted.read({name: {} for name in names}).needs_teacher is needs


def test_a_file_is_read_and_told_as_plain_numbers():
    content = tomllib.loads("""
        [triplet]
        weight = 1
        margin = 1
        [second_order]
        neighbours = 4
        [itrd]
        weight = 0.5
    """)
    told = Weighted.read(content).to_json()
    assert told == {
        "triplet": {"weight": 1.0, "margin": 1.0},
        "second_order": {"weight": 1.0, "neighbours": 4},
        "itrd": {"weight": 0.5, "alpha": 1.01, "gram": 1.0},
    }
    assert {type(v) for table in told.values() for v in table.values()} == {float, int}


def test_what_is_told_reads_as_the_same_sum():
    whole = Weighted.read({name: {"weight": 1 + i} for i, name in enumerate(OBJECTIVES)})
    assert Weighted.read(json.loads(json.dumps(whole.to_json()))) == whole


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "nothing to minimise; there are triplet, second_order"),
        ({"triplet": {"weight": 0}}, r"triplet: weight must be a number above 0, not 0\.0; leave"),
        ({"triplet": {"weight": -1.0}}, r"triplet: weight must be a number above 0, not -1\.0"),
        ({"triplet": {"weight": float("nan")}}, "triplet: weight must be a finite number, not nan"),
        ({"triplet": {"weight": float("inf")}}, "triplet: weight must be a finite number, not inf"),
        ({"triplet": {"weight": "1"}}, "triplet: weight must be a finite number, not '1'"),
        ({"triplet": {"weight": True}}, "triplet: weight must be a finite number, not True"),
        ({"triplet": 1.0}, r"triplet: settings are a table, not 1\.0"),
        ({"triplets": {"weight": 0}}, "unknown objective 'triplets'"),
    ],
)
def test_a_sum_without_sense_is_refused(content, message):
    with pytest.raises(RequestError, match=message):
        Weighted.read(content)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_are_checked_however_the_sum_is_made(weight):
    with pytest.raises(RequestError, match="triplet: weight must be a number above 0"):
        Weighted({"triplet": (weight, Triplet())})
    with pytest.raises(RequestError, match="nothing to minimise"):
        Weighted({})
