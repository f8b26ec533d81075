from pathlib import Path

import cv2
import numpy as np
import pytest

from descompress.data.adaptation import corners
from descompress.data.photometric import Photometric
from descompress.data.scenes import LONGEST, Finds, Scene, ViewPairs, read_scenes
from descompress.data.viewpoints import Viewpoints
from descompress.errors import RequestError
from descompress.nets.superpoint import CELL
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


def test_labels_of_both_views_lie_on_what_they_label():
    """Bright dots, which are the points of the photograph, under strong warps."""
    grid = np.mgrid[15:200:24, 15:260:24].reshape(2, -1).T[:, ::-1]
    image = np.full((200, 260), 40, np.uint8)
    for x, y in grid:
        cv2.circle(image, (int(x), int(y)), 3, 255, -1)
    points = np.column_stack([grid, np.ones(len(grid))]).astype(np.float64)
    plain = Photometric(
        blur=0.0, noise=0.0, gamma=0.0, contrast=1.0, jpeg=0.0, shadow=0.0, occlusion=0.0
    )
    batch = ViewPairs([Scene("dots", pyramid(image), points)], 6, (96, 128), photometric=plain)(0)
    for side in (0, 1):
        for view, rows in zip(batch.images[side].numpy(), batch.points[side].numpy(), strict=True):
            on = rows[rows[:, 2] > 0, :2]
            on = on[((on > 2) & (on < np.array([125, 93]))).all(1)].round().astype(int)
            assert (view[0][on[:, 1], on[:, 0]] > 0.6).mean() > 0.95
            assert (view[0] > 0.6).mean() < 0.3


def test_the_cells_inside_are_those_that_a_warped_mask_fills(scenes):
    source = ViewPairs(scenes[:1], 4, (64, 96), nearest=3.0, farthest=3.0)
    rng = np.random.default_rng(0)
    for _ in range(5):
        matrices = source._matrices(scenes[0].levels.shape, rng)
        for matrix in matrices:
            inside = source._inside(scenes[0].levels.shape, matrix)
            mask = np.ones(scenes[0].levels.shape, np.float32)
            seen = cv2.warpPerspective(mask, np.linalg.inv(matrix), (96, 64))
            cells = seen.reshape(8, 8, 12, 8).min((1, 3)) > 0.99
            assert (cells == inside).mean() > 0.93


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


def test_points_may_be_found_by_another_detector(tmp_path, discs):
    write(tmp_path / "photographs", discs, 1)
    asked = []

    def half(image: np.ndarray, most: int) -> np.ndarray:
        asked.append(most)
        return corners(image, most)[: most // 3]

    (usual,) = read_scenes(tmp_path / "photographs", workers=1)
    (same,) = read_scenes(tmp_path / "photographs", finds=Finds("same", corners))
    (other,) = read_scenes(tmp_path / "photographs", finds=Finds("half", half))
    np.testing.assert_array_equal(same.points, usual.points)
    assert other.points[:, 2].sum() < 0.8 * usual.points[:, 2].sum()
    assert asked[0] == round((150 - 8) * (180 - 8) / 512)  # one on 512 pixels off the border
    assert max(asked) <= round(150 * 180 / 512)


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
