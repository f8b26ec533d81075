import json

import numpy as np
import pytest

from descompress.data import mixed
from descompress.data.filling import fill
from descompress.data.packed import Pack, write_pack
from descompress.errors import RequestError
from hpatches_eval.errors import DataError

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
    assert mixed([source, source])(0)[0].shape == (12, 32, 32)
