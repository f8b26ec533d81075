import json
import pickle
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from descompress.data import Mixed
from descompress.data.filling import fill
from descompress.data.packed import Pack, write_pack
from descompress.errors import FileError, RequestError
from descompress.locks import locked
from hpatches_eval.errors import DataError, OutputError

ASKED = {"batch": 6, "tour_share": 0.0, "batches": 5, "seed": 0}
HELD = {"ref/0": np.zeros((2, 32, 32), np.uint8)}


def source(number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([1, number])
    grey = rng.integers(0, 256, (2, 6, 32, 32)) / 255
    return grey[0].astype(np.float32), grey[1].astype(np.float32)


@pytest.fixture
def pack(tmp_path) -> Pack:
    return write_pack(tmp_path / "pack", source, 5, ASKED, HELD, workers=0)


def test_a_pack_holds_the_batches_of_its_source(pack):
    assert len(pack.patches) == 5
    assert pack.batch == 6
    for number in range(5):
        assert np.abs(pack.pairs(number) - np.stack(source(number))).max() <= 0.5 / 255 + 1e-6
    assert list(pack.held()) == ["ref/0"]
    assert sorted(p.name for p in pack.root.iterdir()) == ["held.npz", "pack.json", "patches.npy"]


def test_every_time_through_shows_every_batch_once_in_another_order(pack):
    batches = pack.source(seed=3)
    first, second = ([batches(n)[0].sum() for n in range(k, k + 5)] for k in (0, 5))
    whole = sorted(float(pack.pairs(n)[0].sum()) for n in range(5))
    assert sorted(first) == pytest.approx(whole)
    assert sorted(second) == pytest.approx(whole)
    assert first != second
    assert [batches(n)[0].sum() for n in range(5)] == first
    assert [pack.source(seed=4)(n)[0].sum() for n in range(5)] != first


def test_batches_can_be_cut_into_equal_ones(pack):
    marks = np.arange(5 * 2 * 6, dtype=np.float16).reshape(5, 2, 6, 1)
    batches = pack.source(0, marks, pairs=2)
    seen = []
    for number in range(15):
        anchors, positives, teacher = batches(number)
        place = int(teacher[0, 0, 0])  # of the first anchor
        whole = pack.pairs(place // 12)
        start = place % 12
        assert np.array_equal(anchors, whole[0, start : start + 2])
        assert np.array_equal(positives, whole[1, start : start + 2])
        assert np.array_equal(teacher[1, :, 0], [place + 6, place + 7])
        seen.append(place)
    assert sorted(seen) == [12 * n + cut for n in range(5) for cut in (0, 2, 4)]
    for pairs in (4, 7):
        with pytest.raises(RequestError, match=f"batches of 6 pairs, not cut into {pairs}"):
            pack.source(pairs=pairs)


def test_a_teachers_descriptors_stay_with_their_batch(pack):
    marks = np.arange(5 * 2 * 6 * 3, dtype=np.float16).reshape(5, 2, 6, 3)
    batches = pack.source(0, marks)
    for number in range(5):
        anchors, _, teacher = batches(number)
        chosen = next(n for n in range(5) if np.array_equal(pack.pairs(n)[0], anchors))
        assert np.array_equal(teacher, marks[chosen])


def test_an_interrupted_pack_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr("descompress.data.filling.OFTEN", 2)
    asked: list[int] = []

    def counted(number: int) -> tuple[np.ndarray, np.ndarray]:
        asked.append(number)
        if number == 3 and asked.count(3) == 1:
            raise KeyboardInterrupt
        return source(number)

    with pytest.raises(KeyboardInterrupt):
        write_pack(tmp_path / "pack", counted, 5, ASKED, HELD, workers=0)
    with pytest.raises(DataError, match="no finished pack"):
        Pack.read(tmp_path / "pack")
    made = write_pack(tmp_path / "pack", counted, 5, ASKED, HELD, workers=0)
    assert asked[-3:] == [2, 3, 4]
    whole = write_pack(tmp_path / "whole", source, 5, ASKED, HELD, workers=0)
    assert np.array_equal(made.patches, whole.patches)


def test_a_pack_killed_in_its_first_moment_is_begun_again(tmp_path):
    left = tmp_path / "pack" / ".asked.json.abcdefgh.new"
    left.mkdir(parents=True)
    (left / "asked.json").write_text("{")
    made = write_pack(tmp_path / "pack", source, 5, ASKED, HELD, workers=0)
    assert sorted(path.name for path in made.root.iterdir()) == [
        *("held.npz", "pack.json", "patches.npy"),
    ]


def test_how_far_another_beginning_had_come_says_nothing_of_this_one(tmp_path, monkeypatch):
    """Rows were said to be safe of a file that somebody deleted; the next beginning is killed."""
    monkeypatch.setattr("descompress.data.filling.OFTEN", 100)
    (tmp_path / "a.done").write_text("4")

    def broken(start: int) -> Iterator[np.ndarray]:
        yield np.ones(3, np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "a.npy", (5, 3), np.uint8, broken)
    array = fill(tmp_path / "a.npy", (5, 3), np.uint8, lambda start: np.ones((5 - start, 3)))
    assert array.all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy"]


def test_two_processes_do_not_write_one_pack(tmp_path):
    root = tmp_path / "pack"
    with locked(root, wait=False), pytest.raises(FileError, match="another process is writing it"):
        write_pack(root, source, 5, ASKED, HELD, workers=0)
    assert not root.exists()


def test_the_beginning_of_another_pack_is_left_alone(tmp_path):
    def broken(number: int) -> tuple[np.ndarray, np.ndarray]:
        if number:
            raise KeyboardInterrupt
        return source(number)

    with pytest.raises(KeyboardInterrupt):
        write_pack(tmp_path / "pack", broken, 5, ASKED, HELD, workers=0)
    with pytest.raises(DataError, match="the beginning of another pack"):
        write_pack(tmp_path / "pack", source, 5, ASKED | {"seed": 1}, HELD, workers=0)


@pytest.mark.parametrize("name", ["pack.json", "patches.npy"])
def test_damaged_packs_are_refused(pack, name):
    (pack.root / name).write_bytes(b"nothing of use")
    with pytest.raises(DataError, match="a damaged pack"):
        Pack.read(pack.root)


def test_a_pack_of_objects_is_not_opened(pack):
    np.save(pack.root / "patches.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="a damaged pack"):
        Pack.read(pack.root)


def test_other_folders_are_no_packs(tmp_path, pack):
    with pytest.raises(DataError, match="descompress pack"):
        Pack.read(tmp_path)
    (pack.root / "pack.json").write_text(json.dumps(ASKED | {"version": 99}))
    with pytest.raises(DataError, match="not a pack of version 1"):
        Pack.read(pack.root)
    (pack.root / "held.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="a damaged pack"):
        pack.held()


def test_a_finished_array_is_not_made_again(tmp_path):
    rows = [np.full(3, i, np.float32) for i in range(4)]
    made = fill(tmp_path / "a.npy", (4, 3), np.float32, lambda start: rows[start:])
    assert np.array_equal(made, rows)
    again = fill(tmp_path / "a.npy", (4, 3), np.float32, lambda start: pytest.fail("made again"))
    assert np.array_equal(again, rows)
    assert Mixed([source, source])(0)[0].shape == (12, 32, 32)


def test_an_array_of_something_else_is_not_taken_for_it(tmp_path):
    fill(tmp_path / "a.npy", (3, 2), np.float32, lambda start: np.zeros((3, 2))[start:])
    with pytest.raises(DataError, match="of something else"):
        fill(tmp_path / "a.npy", (5, 2), np.float32, lambda start: [])
    with pytest.raises(DataError, match="of something else"):
        fill(tmp_path / "a.npy", (3, 2), np.float16, lambda start: [])
    (tmp_path / "b.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match="not an array"):
        fill(tmp_path / "b.npy", (3, 2), np.float32, lambda start: [])
    with pytest.raises(OutputError, match="cannot be written"):
        fill(tmp_path / "gone" / "c.npy", (3, 2), np.float32, lambda start: [])


def test_several_processes_that_want_an_array_make_it_once(tmp_path):
    made: list[int] = []

    def rows(start: int):
        made.append(start)
        for i in range(4):
            time.sleep(0.05)
            yield np.full(2, i, np.float32)

    def want() -> np.ndarray:
        return fill(tmp_path / "a.npy", (4, 2), np.float32, rows)

    with ThreadPoolExecutor(3) as pool:
        found = [job.result() for job in [pool.submit(want) for _ in range(3)]]
    assert made == [0]
    assert all(np.array_equal(array[:, 0], [0, 1, 2, 3]) for array in found)


def test_a_folder_with_other_files_is_not_packed_into(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        write_pack(tmp_path, source, 5, ASKED, HELD, workers=0)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="cannot be written"):
        write_pack(tmp_path / "file", source, 5, ASKED, HELD, workers=0)


def test_only_the_first_batches_are_learned_from(pack):
    some = pack.source(0, batches=2)
    sums = {round(float(some(number)[0].sum()), 2) for number in range(6)}
    assert sums == {round(float(pack.pairs(n)[0].sum()), 2) for n in (0, 1)}
    for batches in (0, 6):
        with pytest.raises(RequestError, match=f"5 batches, not {batches}"):
            pack.source(batches=batches)


def test_sources_go_to_worker_processes_of_every_kind(pack):
    again = pickle.loads(pickle.dumps(pack.source(3)))
    assert np.array_equal(again(1)[0], pack.source(3)(1)[0])
