from pathlib import Path

import cv2
import numpy as np
import pytest

from descompress.data.scenes import CELL, LONGEST, Scene, ViewPairs, read_scenes
from descompress.errors import RequestError
from hpatches_eval.errors import DataError
from hpatches_eval.frames import pyramid


@pytest.fixture(scope="module")
def scenes(discs) -> list[Scene]:
    rng = np.random.default_rng(0)
    made = []
    for i in range(3):
        image = discs(i, (200, 260), 150, 9)
        points = np.column_stack([rng.uniform(0, 259, 80), rng.uniform(0, 199, 80), np.ones(80)])
        made.append(Scene(str(i), pyramid(image), points))
    return made


def pairs(scenes: list[Scene], **settings: object) -> ViewPairs:
    return ViewPairs(scenes, 2, (64, 96), matches=32, **settings)  # pyright: ignore


def test_a_batch_is_a_function_of_its_number(scenes):
    first, again, other = pairs(scenes)(3), pairs(scenes)(3), pairs(scenes)(4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.images, other.images)
    assert not np.array_equal(first.images, pairs(scenes, seed=1)(3).images)


def test_shapes_and_ranges(scenes):
    batch = pairs(scenes)(0)
    assert tuple(batch.images.shape) == (2, 2, 1, 64, 96)
    assert tuple(batch.inside.shape) == (2, 2, 64 // CELL, 96 // CELL)
    assert batch.points.shape[3] == 3
    assert tuple(batch.matches.shape) == (2, 32, 5)
    assert 0 <= batch.images.min() < batch.images.max() <= 1
    assert tuple(batch.inputs.shape) == (4, 1, 64, 96)
    assert batch.per_side == 2


def test_matches_show_the_same_place(scenes):
    """Views without noise: a patch around one end looks like that around the other."""
    from descompress.data.photometric import Photometric
    from descompress.data.viewpoints import Viewpoints

    plain = Photometric(
        blur=0.0, noise=0.0, gamma=0.0, contrast=1.0, jpeg=0.0, shadow=0.0, occlusion=0.0
    )
    shifted = Viewpoints(turn=0.0, any_turn=0.0, zoom=0.0, stretch=0.0, tilt=0.0, shift=0.3)
    batch = pairs(scenes, photometric=plain, viewpoints=shifted)(0)
    for first, second, rows in zip(*batch.images.numpy(), batch.matches.numpy(), strict=True):
        real = rows[rows[:, 4] == 1]
        assert len(real) > 10
        maps = [cv2.remap(image[0], xy[:, None, 0], xy[:, None, 1], cv2.INTER_LINEAR)
                for image, xy in ((first, real[:, :2]), (second, real[:, 2:4]))]  # fmt: skip
        apart = np.abs(maps[0] - maps[1])
        shuffled = np.abs(maps[0] - np.roll(maps[1], 1, 0))
        assert np.mean(apart) < 0.03
        assert np.mean(apart) < 0.5 * np.mean(shuffled)


def test_matches_and_points_lie_on_the_views(scenes):
    batch = pairs(scenes)(1)
    for rows in batch.matches.numpy():
        real = rows[rows[:, 4] == 1]
        assert (real[:, :4] >= 0).all()
        assert (real[:, [0, 2]] <= 95).all()
        assert (real[:, [1, 3]] <= 63).all()
    points = batch.points.numpy()
    on = points[points[..., 2] > 0]
    assert len(on) > 10
    assert (on[:, 0] <= 95).all()
    assert (on[:, 1] <= 63).all()


def test_labelled_points_are_among_the_matches(scenes):
    batch = pairs(scenes)(0)
    for points, rows in zip(batch.points[0].numpy(), batch.matches.numpy(), strict=True):
        known = {tuple(p) for p in points[points[:, 2] > 0, :2].tolist()}
        found = {tuple(p) for p in rows[rows[:, 4] == 1, :2].tolist()}
        assert len(known & found) >= min(len(known), 24) // 2


def test_cells_beside_the_photograph_are_told(scenes):
    far = ViewPairs(scenes[:1], 1, (64, 96), nearest=4.0, farthest=4.0)(0)
    assert not far.inside.all()
    near = ViewPairs(scenes[:1], 1, (64, 96), nearest=0.5, farthest=0.5)(0)
    assert near.inside[0].all()


def test_more_pairs_than_photographs_repeat_some(scenes):
    assert ViewPairs(scenes, 5, (64, 96))(0).per_side == 5


def test_views_are_made_of_whole_cells(scenes):
    with pytest.raises(RequestError, match="multiples of 8"):
        ViewPairs(scenes, 1, (60, 96))


def write(folder: Path, discs, count: int, shape: tuple[int, int] = (150, 180)) -> None:
    folder.mkdir()
    for i in range(count):
        cv2.imwrite(str(folder / f"{i}.png"), discs(i, shape, 150, 8))


def test_photographs_are_read_with_their_points_and_points_are_kept(tmp_path, discs, monkeypatch):
    write(tmp_path / "photographs", discs, 2)
    seen = []
    first = read_scenes(
        tmp_path / "photographs", tmp_path / "cache", lambda *done: seen.append(done), workers=1
    )
    assert seen == [(1, 2), (2, 2)]
    assert [scene.name for scene in first] == ["0.png", "1.png"]
    assert all(len(scene.points) >= 16 and (scene.points[:, 2] <= 1).all() for scene in first)
    monkeypatch.setattr("descompress.data.points._found", None)
    again = read_scenes(tmp_path / "photographs", tmp_path / "cache")
    assert all(np.array_equal(a.points, b.points) for a, b in zip(first, again, strict=True))


def test_large_photographs_are_shrunk(tmp_path, discs):
    write(tmp_path / "photographs", discs, 1, (400, 1000))
    (scene,) = read_scenes(tmp_path / "photographs", workers=1)
    assert scene.levels.shape == (256, LONGEST)
    assert scene.points[:, 0].max() < LONGEST


def test_photographs_without_points_are_refused(tmp_path):
    (tmp_path / "photographs").mkdir()
    cv2.imwrite(str(tmp_path / "photographs/flat.png"), np.full((90, 90), 128, np.uint8))
    with pytest.raises(DataError, match="no photograph has 16 points to find"):
        read_scenes(tmp_path / "photographs", workers=1)
