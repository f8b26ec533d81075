"""The published generator is a stream of legacy NumPy calls; it must be followed call by call."""

import numpy as np
import pytest

from hpatches_eval.errors import DataError, RequestError
from hpatches_eval.generation import (
    DISTRACTORS,
    QUERIES,
    generate_retrieval,
    generate_verification,
    obtain_tasks,
    textured_patches,
    two_of_each,
)
from hpatches_eval.splits import Split, find_split, whole
from hpatches_eval.tasklists import Verification

LENGTHS = {"i_b": 17, "v_a": 300, "i_c": 1100, "v_d": 2}
SPLIT = Split("small", tuple(LENGTHS))

# Numbers of points of the published release that reproduce its published lists, found by trying
# (`i_zion` and `v_birdwoman` have the 2,000 that no sequence exceeds); others have any number.
PUBLISHED = {"v_birdwoman": 2000, "v_strand": 1816, "i_salon": 1102, "i_zion": 2000}


def named(table, split, columns=(0,)):
    """A table with the names of the sequences in it."""
    names = np.array(split.test, object)
    out = table.astype(object)
    for column in columns:
        out[:, column] = names[table[:, column]]
    return out


def test_verification_pairs_are_the_stream_of_the_published_calls():
    pairs = 400
    rng = np.random.RandomState(42)
    names = list(LENGTHS)
    s = rng.choice(names, pairs)
    idx = np.array([rng.choice(np.arange(LENGTHS[k]), 2, replace=False) for k in s])
    t = np.array([rng.choice(np.arange(5), 2, replace=False) for _ in s])
    s_inter = rng.choice(names, pairs)
    idx_inter = np.array([rng.randint(LENGTHS[k]) for k in s_inter])

    found = generate_verification(SPLIT, LENGTHS, pairs)
    for table, s2, idx2 in [
        (found.positives, s, idx[:, 0]),
        (found.intra, s, idx[:, 1]),
        (found.inter, s_inter, idx_inter),
    ]:
        expected = np.array([s, t[:, 0], idx[:, 0], s2, t[:, 1], idx2], object).T
        assert (named(table, SPLIT, (0, 3)) == expected).all()


def test_retrieval_lists_are_the_stream_of_the_published_calls():
    # Enough patches for all queries and distractors, of which every seventh has no texture.
    lengths = {name: 15_000 + 1000 * i for i, name in enumerate(LENGTHS)}
    textured = {name: np.arange(count) % 7 > 0 for name, count in lengths.items()}
    rng = np.random.RandomState(42)
    names = list(lengths)
    lists = []
    for draws in (QUERIES * 4, DISTRACTORS * 10):
        s = rng.choice(names, draws)
        idx = [rng.randint(lengths[k]) for k in s]
        good = [(k, i) for k, i in zip(s, idx, strict=True) if textured[k][i]]
        lists.append(list(dict.fromkeys(good)))
    queries = lists[0][:QUERIES]
    asked = set(queries)
    distractors = [row for row in lists[1] if row not in asked][:DISTRACTORS]

    split = Split("large", tuple(lengths))
    found, source = generate_retrieval(split, textured)
    assert list(map(tuple, named(found.queries, split))) == queries
    assert list(map(tuple, named(found.distractors, split))) == distractors
    assert (len(queries), len(distractors)) == (10_000, 20_000)
    assert source == "published generator"


def test_the_first_published_pairs_of_split_a_are_regenerated():
    # hpatches-benchmark, README: the first rows of verif_pos_split-a.csv are v_birdwoman 251,
    # v_strand 1625, i_salon 1100, i_zion 1766. A million sequences are drawn before any patch.
    split = find_split("a")
    rng = np.random.RandomState(42)
    first = rng.choice(split.test, 1_000_000)[:4].tolist()
    assert first == ["v_birdwoman", "v_strand", "i_salon", "i_zion"]
    found = two_of_each(rng, np.array([PUBLISHED[name] for name in first]))
    assert found[:, 0].tolist() == [251, 1625, 1100, 1766]


def test_the_first_published_queries_of_split_a_are_regenerated():
    # hpatches-benchmark, tasks/retr_queries_split-a.csv. Numbers of points between the largest
    # index in the published files and the smallest one that the stream must have rejected.
    split = find_split("a")
    some = {"v_courses": 1500, "i_fog": 730, "v_abstract": 1900, "i_books": 470}
    counts = dict.fromkeys(split.test, 1000) | PUBLISHED | some
    found, _ = generate_retrieval(split, {k: np.ones(n, bool) for k, n in counts.items()})
    assert list(map(tuple, named(found.queries[:10], split))) == [
        ("v_birdwoman", 3),
        ("v_strand", 2),
        ("i_salon", 324),
        ("i_zion", 1263),
        ("v_courses", 604),
        ("v_birdwoman", 795),
        ("i_fog", 534),
        ("v_abstract", 1821),
        ("i_books", 317),
        ("i_books", 86),
    ]


def test_a_small_release_keeps_two_thirds_of_its_patches_as_distractors():
    textured = {name: np.arange(count) % 10 > 0 for name, count in LENGTHS.items()}
    eligible = sum(int(t.sum()) for t in textured.values())
    found, source = generate_retrieval(SPLIT, textured)
    rows = list(map(tuple, np.concatenate([found.queries, found.distractors])))
    assert len(found.queries) == eligible // 3
    assert len(set(rows)) == len(rows) == eligible
    assert source == (
        f"published generator, but {eligible // 3} queries: only {eligible} patches qualify"
    )
    names = np.array(SPLIT.test)
    assert all(textured[names[s]][i] for s, i in rows)


def test_texture_is_a_standard_deviation_above_ten():
    flat, ten, more = [[9, 9], [9, 9]], [[90, 110], [110, 90]], [[90, 110], [110, 89]]
    patches = np.array([flat, ten, more], np.uint8)
    assert list(textured_patches(patches)) == [False, False, True]
    patches = np.random.default_rng(0).integers(0, 256, (9, 65, 65), np.uint8)
    patches = 100 + patches // np.arange(4, 13, dtype=np.uint8)[:, None, None]
    found = list(textured_patches(patches))
    assert found == [np.std(patch) > 10 for patch in patches]
    assert {True, False} == set(found)


def test_published_splits_have_a_million_pairs_and_others_fewer(monkeypatch):
    asked = []
    monkeypatch.setattr("hpatches_eval.generation.PAIRS", 11)
    monkeypatch.setattr("hpatches_eval.generation.FEWER_PAIRS", 7)
    for split in (find_split("a"), SPLIT):
        counts = dict.fromkeys(split.test, 5)
        asked.append(len(generate_verification(split, counts).positives))
    assert asked == [11, 7]


def test_tasks_are_written_once_and_then_read(release, tmp_path, monkeypatch):
    split = whole(release.sequences)
    counts = {name: release.count(name) for name in split.test}
    folder = tmp_path / "new" / "tasks"
    made = obtain_tasks(split, counts, release, folder=folder, pairs=50)
    monkeypatch.setattr("hpatches_eval.generation.generate_verification", None)
    monkeypatch.setattr("hpatches_eval.generation.generate_retrieval", None)
    read = obtain_tasks(split, counts, folder=folder)
    for field in Verification.__dataclass_fields__:
        assert np.array_equal(getattr(made.verification, field), getattr(read.verification, field))
    assert np.array_equal(made.retrieval.queries, read.retrieval.queries)
    assert np.array_equal(made.retrieval.distractors, read.retrieval.distractors)
    assert made.source["verification"] == "published generator"
    assert read.source == {"verification": "files", "retrieval": "files"}


def test_the_lists_of_two_runs_are_the_same(release):
    split = whole(release.sequences)
    counts = {name: release.count(name) for name in split.test}
    first, second = (obtain_tasks(split, counts, release, pairs=50) for _ in range(2))
    assert np.array_equal(first.verification.inter, second.verification.inter)
    assert np.array_equal(first.retrieval.queries, second.retrieval.queries)


def test_what_cannot_be_generated_is_refused(release, tmp_path):
    split = whole(release.sequences)
    counts = {name: release.count(name) for name in split.test}
    with pytest.raises(RequestError, match=r"the patches are needed \(--patches\)"):
        obtain_tasks(split, counts, pairs=50)
    with pytest.raises(RequestError, match="one test sequence has no distractors"):
        obtain_tasks(Split("one", split.test[:1]), counts, release)
    with pytest.raises(DataError, match="sequence v_elsewhere is not there"):
        obtain_tasks(Split("far", ("v_elsewhere", "v_sea")), counts, release)
    with pytest.raises(DataError, match="v_sea: 5 patches, but 4 descriptors"):
        obtain_tasks(split, counts | {"v_sea": 4}, release, pairs=50)
    with pytest.raises(DataError, match="v_d: one patch; a sequence needs two or more"):
        generate_verification(SPLIT, LENGTHS | {"v_d": 1}, 10)
    flat = {name: np.arange(count) < 1 for name, count in LENGTHS.items()}
    with pytest.raises(DataError, match="0 patches with texture; retrieval needs 3"):
        generate_retrieval(SPLIT, {name: mask & False for name, mask in flat.items()})


@pytest.mark.parametrize("name", ["verif_pos", "verif_neg_intra", "retr_queries"])
def test_what_a_killed_process_did_not_write_is_completed(release, tmp_path, name):
    split, folder = whole(release.sequences), tmp_path / "tasks"
    counts = {name: release.count(name) for name in split.test}
    obtain_tasks(split, counts, release, folder=folder, pairs=50)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / f"{name}_split-all.csv").unlink()
    obtain_tasks(split, counts, release, folder=folder, pairs=50)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["verif_pos", "verif_neg_intra"])
def test_incomplete_files_of_other_tasks_are_refused_and_left_alone(release, tmp_path, name):
    split, folder = whole(release.sequences), tmp_path / "tasks"
    counts = {name: release.count(name) for name in split.test}
    obtain_tasks(split, counts, release, folder=folder, pairs=50)
    (folder / f"{name}_split-all.csv").unlink()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DataError, match="exists already, while others of its kind are missing"):
        obtain_tasks(split, counts, release, folder=folder, pairs=40)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
