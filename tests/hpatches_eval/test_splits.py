import json

import pytest

from hpatches_eval.errors import DataError, RequestError
from hpatches_eval.splits import Split, choose_split, find_split, read_splits, whole


def test_published_splits_have_the_published_sizes():
    sizes = {name: (len(s.test), len(s.train)) for name, s in read_splits().items()}
    assert sizes == {
        "a": (40, 76),
        "b": (40, 76),
        "c": (40, 76),
        "full": (116, 0),
        "illum": (57, 0),
        "view": (59, 0),
    }


def test_published_splits_agree_with_each_other():
    splits = read_splits()
    full = set(splits["full"].test)
    assert splits["full"].test == splits["illum"].test + splits["view"].test
    assert all(name.startswith("i_") for name in splits["illum"].test)
    assert all(name.startswith("v_") for name in splits["view"].test)
    for letter in "abc":
        split = splits[letter]
        assert {*split.test, *split.train} == full
        assert [name[0] for name in split.test] == ["i"] * 20 + ["v"] * 20


def test_split_a_begins_and_ends_as_published():
    split = find_split("a")
    assert split.test[:3] == ("i_ajuntament", "i_resort", "i_table")
    assert split.test[-2:] == ("v_birdwoman", "v_busstop")
    assert split.train[:2] == ("v_there", "i_yellowtent")


def test_a_file_of_splits(shared):
    split = find_split("golden", shared / "golden" / "splits.json")
    assert split.test == ("v_boat", "v_graffiti", "i_leuven", "v_churchill", "i_pool")
    assert choose_split(None, shared / "golden" / "splits.json") == split


def test_without_a_split_all_sequences_are_tested():
    assert choose_split(None, sequences=("v_b", "i_a")) == whole(("v_b", "i_a"))
    assert whole(("v_b", "i_a")) == Split("all", ("v_b", "i_a"), ())


def test_a_split_that_is_not_clear_is_refused(tmp_path):
    with pytest.raises(RequestError, match=r"which split.* a, b, c, full, illum, view"):
        choose_split(None)
    with pytest.raises(RequestError, match="split 'd': there are a, b, c, full, illum, view"):
        find_split("d")
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({n: {"test": ["v_a"], "train": []} for n in ("x", "y")}))
    with pytest.raises(RequestError, match=r"splits\.json: which split\? There are x, y"):
        choose_split(None, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "splits are an object"),
        ("{}", "splits are an object"),
        ('{"x": []}', "split 'x' is no object"),
        ('{"x": {"train": ["v_a"]}}', "split 'x' needs test"),
        ('{"x": {"test": []}}', "split 'x' needs test"),
        ('{"x": {"test": [1]}}', "split 'x' needs test"),
        ('{"x": {"test": ["v_a"], "train": "v_b"}}', "split 'x' needs test"),
        ('{"x": {"test": ["v_a", "v_a"]}}', "split 'x' names a test sequence twice"),
    ],
)
def test_a_broken_file_of_splits_is_refused(tmp_path, text, message):
    path = tmp_path / "splits.json"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"splits\.json: {message}"):
        read_splits(path)


def test_a_file_of_splits_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no\.json: cannot be read"):
        read_splits(tmp_path / "no.json")
