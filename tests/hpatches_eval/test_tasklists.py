import numpy as np
import pytest

from hpatches_eval.errors import DataError, OutputError
from hpatches_eval.splits import Split
from hpatches_eval.tasklists import (
    Retrieval,
    Verification,
    read_retrieval,
    read_verification,
    retrieval_paths,
    verification_paths,
    write_retrieval,
    write_verification,
)

SPLIT = Split("x", ("v_b", "i_a", "v_c"))  # not in the order of the alphabet
COUNTS = {"v_b": 3, "i_a": 4, "v_c": 5}
PAIRS = np.array([[0, 1, 2, 1, 4, 3], [2, 0, 4, 2, 5, 0]], np.int32)
ROWS = np.array([[2, 4], [0, 0], [1, 3]], np.int32)


@pytest.fixture
def folder(tmp_path):
    write_verification(tmp_path, SPLIT, Verification(PAIRS, PAIRS[::-1], PAIRS))
    write_retrieval(tmp_path, SPLIT, Retrieval(ROWS, ROWS[:1]))
    return tmp_path


def test_files_have_the_published_names_and_rows(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "retr_distractors_split-x.csv",
        "retr_queries_split-x.csv",
        "verif_neg_inter_split-x.csv",
        "verif_neg_intra_split-x.csv",
        "verif_pos_split-x.csv",
    ]
    text = (folder / "verif_pos_split-x.csv").read_text()
    assert text == "s1,t1,idx1,s2,t2,idx2\nv_b,1,2,i_a,4,3\nv_c,0,4,v_c,5,0\n"
    assert (folder / "retr_queries_split-x.csv").read_text() == "s,idx\nv_c,4\nv_b,0\ni_a,3\n"


def test_what_is_written_is_read(folder):
    pairs = read_verification(folder, SPLIT, COUNTS)
    assert np.array_equal(pairs.positives, PAIRS)
    assert np.array_equal(pairs.inter, PAIRS[::-1])
    assert np.array_equal(pairs.intra, PAIRS)
    rows = read_retrieval(folder, SPLIT, COUNTS)
    assert np.array_equal(rows.queries, ROWS)
    assert np.array_equal(rows.distractors, ROWS[:1])


def test_golden_files_are_read(shared):
    split = Split("golden", ("v_boat", "v_graffiti", "i_leuven", "v_churchill", "i_pool"))
    counts = {"v_boat": 100, "v_graffiti": 90, "i_leuven": 110, "v_churchill": 100, "i_pool": 80}
    pairs = read_verification(shared / "golden" / "tasks", split, counts)
    # verif_neg_inter_split-golden.csv, line 2: v_churchill,1,46,v_graffiti,2,80
    assert list(pairs.inter[0]) == [3, 1, 46, 1, 2, 80]
    rows = read_retrieval(shared / "golden" / "tasks", split, counts)
    assert (len(pairs.positives), len(rows.queries), len(rows.distractors)) == (20_000, 150, 300)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("v_b,1,2,i_a,4,9", r"line 3: names a sequence or a patch"),
        ("v_b,1,2,i_a,6,1", r"line 3: names a sequence or a patch"),
        ("v_b,-1,2,i_a,2,1", r"line 3: names a sequence or a patch"),
        ("v_bb,1,2,i_a,2,1", r"line 3: names a sequence or a patch"),
        ("v_b,1,2,i_a,2", r"not rows of s1,t1,idx1,s2,t2,idx2"),
        ("v_b,1,2,i_a,2,x", r"not rows of s1,t1,idx1,s2,t2,idx2"),
    ],
)
def test_a_row_that_names_nothing_is_refused(folder, row, message):
    path = verification_paths(folder, SPLIT)["inter"]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], row, *lines[2:]]) + "\n")
    with pytest.raises(DataError, match=rf"verif_neg_inter_split-x\.csv: {message}"):
        read_verification(folder, SPLIT, COUNTS)


def test_files_without_header_or_rows_or_of_other_lengths_are_refused(folder):
    path = verification_paths(folder, SPLIT)["positives"]
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:2]) + "\n")
    with pytest.raises(DataError, match="the three verification files differ in length"):
        read_verification(folder, SPLIT, COUNTS)
    path.write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(DataError, match="line 1: a header s1,t1,idx1,s2,t2,idx2 was expected"):
        read_verification(folder, SPLIT, COUNTS)
    path.write_text(lines[0] + "\n")
    with pytest.raises(DataError, match="line 2: empty; a row was expected"):
        read_verification(folder, SPLIT, COUNTS)
    retrieval_paths(folder, SPLIT)["queries"].unlink()
    with pytest.raises(DataError, match="cannot be read"):
        read_retrieval(folder, SPLIT, COUNTS)


def test_files_that_exist_are_not_replaced(folder):
    with pytest.raises(OutputError, match="exists already"):
        write_retrieval(folder, SPLIT, Retrieval(ROWS, ROWS))
