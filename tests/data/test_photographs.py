import cv2
import numpy as np
import pytest

from descompress.data import Mixed, stream
from descompress.data.mixture import Material, read_mixture
from descompress.data.photographs import (
    HomographyPairs,
    held_out,
    read_photographs,
    turned_alike,
)
from descompress.data.photometric import Photometric
from descompress.data.points import points_of
from descompress.errors import RequestError
from hpatches_eval.errors import DataError, OutputError
from hpatches_eval.frames import Jitter

STILL = Photometric(
    blur=0.0, noise=0.0, gamma=0.0, contrast=1.0, jpeg=0.0, shadow=0.0, occlusion=0.0
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, discs):
    root = tmp_path_factory.mktemp("photographs")
    for seed in range(3):
        cv2.imwrite(str(root / f"{seed}.png"), discs(seed, (200, 240), 150, 12))
    return root


@pytest.fixture(scope="module")
def photographs(folder):
    return read_photographs(folder, workers=1)


def test_a_batch_depends_on_seed_and_step_alone(photographs):
    pairs = HomographyPairs(photographs, pairs=20, per_photograph=8, seed=3)
    again = HomographyPairs(photographs, pairs=20, per_photograph=8, seed=3)
    again(6)
    for one, other in zip(pairs(7), again(7), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(pairs(7)[0], pairs(8)[0])
    assert not np.array_equal(pairs(7)[0], HomographyPairs(photographs, 20, 8, seed=4)(7)[0])


def test_without_any_change_both_sides_are_the_same_patches(photographs):
    none = Jitter(0.0, 0.0, 0.0, 0.0)
    pairs = HomographyPairs(photographs, 24, 8, jitter=none, perspective=0.0, photometric=STILL)
    anchors, positives = pairs(0)
    assert anchors.shape == (24, 32, 32)
    np.testing.assert_allclose(anchors, positives, atol=1e-6)
    flat = anchors.reshape(24, -1)
    assert len(np.unique(flat, axis=0)) == 24  # no point twice


def test_rows_match_and_strangers_do_not(photographs):
    anchors, positives = HomographyPairs(photographs, 60, 20, photometric=STILL)(1)
    likeness = np.corrcoef(anchors.reshape(60, -1), positives.reshape(60, -1))[:60, 60:]
    strangers = (likeness.sum() - likeness.trace()) / (60 * 59)
    assert likeness.diagonal().mean() > strangers + 0.3


def test_second_views_are_disturbed_as_much_as_asked_at_least(photographs):
    def likenesses(least):
        pairs = HomographyPairs(photographs, 120, 40, photometric=STILL, least=least)
        sides = (side.reshape(120, -1) for side in pairs(1))
        return np.corrcoef(*sides)[:120, 120:].diagonal()

    weak, strong = likenesses(0.0), likenesses(0.9)
    assert strong.mean() < weak.mean() - 0.05
    assert (weak > strong.max()).any()  # some are hardly disturbed, unless that is ruled out
    np.testing.assert_array_equal(weak, likenesses(0.0))


def test_both_patches_of_a_pair_are_turned_alike():
    sides = np.random.default_rng(0).random((2, 200, 8, 8))
    first, second = turned_alike((sides[0], sides[0]), np.random.default_rng(1))
    np.testing.assert_array_equal(first, second)
    distinct = {
        tuple(np.argsort(patch.ravel())[:3]) == tuple(np.argsort(original.ravel())[:3])
        for patch, original in zip(first, sides[0], strict=True)
    }
    assert distinct == {True, False}
    unchanged = (first == sides[0]).all((1, 2)).mean()
    assert unchanged == pytest.approx(1 / 8, abs=0.07)  # four turns, mirrored or not
    np.testing.assert_allclose(np.sort(first.reshape(200, -1)), np.sort(sides[0].reshape(200, -1)))


def test_points_are_kept_in_the_cache(folder, photographs, tmp_path, monkeypatch):
    read_photographs(folder, tmp_path, workers=1)
    monkeypatch.setattr("descompress.data.points._found", None)
    for cached, found in zip(read_photographs(folder, tmp_path), photographs, strict=True):
        assert cached.name == found.name
        np.testing.assert_array_equal(cached.points, found.points)


def test_other_photographs_of_the_same_names_and_sizes_are_not_in_the_cache(discs, tmp_path):
    seen = []
    for seed in (1, 2):
        cv2.imwrite(str(tmp_path / "0.bmp"), discs(seed, (130, 130), 120, 8))
        (found,) = points_of(
            tmp_path,
            [tmp_path / "0.bmp"],
            lambda path: cv2.imread(str(path), 0)[:2].astype(float),
            "test 1",
            cache=tmp_path / "cache",
            workers=0,
        )
        seen.append(found)
    assert not np.array_equal(*seen)


def test_a_cache_that_is_a_file_is_refused_before_the_search(folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="file: no folder to keep points in"):
        read_photographs(folder, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_broken_cache_is_named(folder, tmp_path):
    read_photographs(folder, tmp_path, workers=1)
    (cache,) = tmp_path.iterdir()
    cache.write_bytes(cache.read_bytes()[:100])
    with pytest.raises(DataError, match="not a cache of points; delete it"):
        read_photographs(folder, tmp_path)


def test_worker_processes_change_nothing(photographs):
    source = HomographyPairs(photographs, pairs=6, per_photograph=3)
    alone = list(stream(source, range(2, 5)))
    helped = list(stream(source, range(2, 5), workers=2))
    assert len(alone) == len(helped) == 3
    for (a, b, _), (c, d, _) in zip(alone, helped, strict=True):
        assert a.equal(c)
        assert b.equal(d)
    np.testing.assert_array_equal(alone[0][0][:, 0].numpy(), source(2)[0])


def test_a_mixture_holds_a_batch_of_each_source(photographs):
    first = HomographyPairs(photographs, 4, 2, seed=1)
    second = HomographyPairs(photographs, 6, 2, seed=2)
    anchors, positives = Mixed([first, second])(9)
    np.testing.assert_array_equal(anchors, np.concatenate([first(9)[0], second(9)[0]]))
    np.testing.assert_array_equal(positives, np.concatenate([first(9)[1], second(9)[1]]))


def test_about_the_share_asked_for_is_held_out():
    names = [f"photograph {i}.jpg" for i in range(4000)]
    assert 0.03 < np.mean([held_out(name) for name in names]) < 0.07
    assert [held_out(name) for name in names] == [held_out(name) for name in names]


def test_folders_without_use_are_refused(tmp_path):
    with pytest.raises(DataError, match="no images"):
        read_photographs(tmp_path)
    cv2.imwrite(str(tmp_path / "flat.png"), np.full((100, 100), 7, np.uint8))
    with pytest.raises(DataError, match="no photograph has 16 points"):
        read_photographs(tmp_path, workers=1)
    (tmp_path / "flat.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"flat\.png: cannot be read"):
        read_photographs(tmp_path, workers=1)
    with pytest.raises(RequestError, match="nothing to learn from"):
        read_mixture(Material())
