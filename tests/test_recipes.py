from pathlib import Path

import pytest

from descompress.errors import FileError, RequestError
from descompress.recipes import Recipe, merged, read_recipe

TEXT = """
about = "for people"
start = "strided"
teacher = "hardnet"
dropout = 0

[net]
widths = [8, 16, 24, 32]

[plan]
steps = 70
lr = 1
schedule = "cosine"

[data]
batch = 64

[objectives.imitation]
weight = 2

[objectives.triplet]
margin = 0.5

[card]
licence = "for people too"
"""


@pytest.fixture
def path(tmp_path) -> Path:
    file = tmp_path / "small.toml"
    file.write_text(TEXT)
    return file


def test_a_recipe_says_everything_that_is_not_data(path):
    recipe = Recipe.from_dict(read_recipe(path))
    assert recipe.start == "strided"
    assert recipe.plan.steps == 70
    assert recipe.plan.lr == 1.0
    assert recipe.plan.warmup == 100  # left out
    assert recipe.data.batch == 64
    assert {n: w for n, (w, _) in recipe.objectives.terms.items()} == {
        "imitation": 2.0,
        "triplet": 1.0,
    }
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_the_command_line_wins_setting_by_setting_and_objectives_as_a_whole(path):
    said = {"plan": {"lr": 0.5}, "objectives": {"triplet": {}}}
    recipe = Recipe.from_dict(merged(read_recipe(path), said))
    assert (recipe.plan.steps, recipe.plan.lr) == (70, 0.5)
    assert list(recipe.objectives.terms) == ["triplet"]


def test_left_out_the_objective_is_the_triplet_loss():
    assert list(Recipe.from_dict({"start": "l2net"}).objectives.terms) == ["triplet"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "needs start"),
        ({"start": "l2net", "stpes": 4}, "has no 'stpes'; it has start"),
        ({"start": "l2net", "plan": {"step": 4}}, r"\[plan\] has no 'step'; it has steps"),
        ({"start": "l2net", "plan": {"steps": 4.5}}, "steps must be a whole number, not 4.5"),
        ({"start": "l2net", "plan": {"optimizer": 3}}, "optimizer must be a text, not 3"),
        ({"start": "l2net", "plan": {"optimizer": "sgd"}}, "there are adamw, muon"),
        ({"start": "l2net", "plan": {"lr": float("nan")}}, "lr must be a finite number, not nan"),
        ({"start": "l2net", "plan": {"bf16": 1}}, "bf16 must be true or false, not 1"),
        ({"start": "l2net", "plan": 4}, "plan is a table"),
        ({"start": "l2net", "data": {"batch": "all"}}, "batch must be a whole number"),
        ({"start": "l2net", "seed": -1}, "0 <= seed"),
        ({"start": "l2net", "seed": 2**80}, "0 <= seed"),
        ({"start": "l2net", "data": {"batch": -32}}, "batch >= 2"),
        ({"start": "l2net", "data": {"tour_share": 1.5}}, "0 <= tour_share, least_jitter <= 1"),
        ({"start": "l2net", "data": {"least_jitter": 1.5}}, "0 <= tour_share, least_jitter <= 1"),
        ({"start": "l2net", "seed": "a"}, "seed must be a whole number, not 'a'"),
        ({"start": "l2net", "dropout": 1.0}, "dropout < 1"),
        ({"start": "l2net", "objectives": {"imitation": {}}}, "imitation: needs a teacher"),
        ({"start": "l2net", "objectives": {"hinge": {}}}, "unknown objective 'hinge'"),
    ],
)
def test_bad_recipes_are_refused(content, message):
    with pytest.raises(RequestError, match=message):
        Recipe.from_dict(content)


def test_files_that_are_no_recipes_are_refused(tmp_path):
    with pytest.raises(FileError, match="cannot be read"):
        read_recipe(tmp_path / "gone.toml")
    (tmp_path / "bad.toml").write_bytes(b"= \xff")
    with pytest.raises(FileError, match="not TOML"):
        read_recipe(tmp_path / "bad.toml")
