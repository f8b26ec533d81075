import cv2
import numpy as np
import pytest

from descompress.data.mixture import Material, read_mixture
from descompress.data.phototour import PhotoTour, TourPairs, tracks
from descompress.errors import RequestError
from descompress.sizing import shrunk
from hpatches_eval.errors import DataError

POINTS = np.repeat(np.arange(100), 3)  # 300 patches of 100 points: two sheets, one not full


def patch(number: int) -> np.ndarray:
    """A flat patch whose grey tells its point, with a corner that tells its number."""
    made = np.full((64, 64), 50 + number // 3, np.uint8)
    made[:16, :16] = number % 256
    return made


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tour")
    cells = [patch(i) for i in range(300)] + [np.zeros((64, 64), np.uint8)] * 212
    for sheet in range(2):
        rows = [np.hstack(cells[sheet * 256 + r * 16 :][:16]) for r in range(16)]
        cv2.imwrite(str(folder / f"patches{sheet:04d}.bmp"), np.vstack(rows))
    (folder / "info.txt").write_text("".join(f"{p} {i % 3}\n" for i, p in enumerate(POINTS)))
    (folder / "m50_2_2_0.txt").write_text("0 0 0 1 0 0 0\n5 1 0 299 99 0 0\n")
    return folder


def test_patches_come_in_the_order_of_the_sheets(root):
    tour = PhotoTour.read(root)
    np.testing.assert_array_equal(tour.patches, np.stack([patch(i) for i in range(300)]))
    np.testing.assert_array_equal(tour.points, POINTS)


def test_test_pairs_name_patches_and_whether_they_match(root):
    pairs, same = PhotoTour.read(root).test_pairs()
    assert pairs.tolist() == [[0, 1], [5, 299]]
    assert same.tolist() == [True, False]


def test_tracks_are_the_patches_of_each_point(root):
    tour = PhotoTour.read(root)
    assert [t.tolist() for t in tracks(tour)[:2]] == [[0, 1, 2], [3, 4, 5]]
    lonely = PhotoTour(root, tour.patches[:4], tour.points[:4])
    assert [t.tolist() for t in tracks(lonely)] == [[0, 1, 2]]


def test_rows_show_the_same_point_in_two_patches(root):
    from descompress.data.photometric import Photometric

    still = Photometric(
        blur=0.0, noise=0.0, gamma=0.0, contrast=1.0, jpeg=0.0, shadow=0.0, occlusion=0.0
    )
    tour = PhotoTour.read(root)
    pairs = TourPairs(tour, tracks(tour), pairs=40, photometric=still)
    first, second = pairs(0)
    grey = [np.median(side.reshape(40, -1), axis=1) * 255 for side in (first, second)]
    np.testing.assert_allclose(grey[0], grey[1], atol=0.01)
    assert len(set(grey[0].round().tolist())) == 40  # each point once
    assert not np.allclose(first, second)
    again = TourPairs(tour, tracks(tour), pairs=40, photometric=still)(0)
    np.testing.assert_array_equal(first, again[0])


def test_patches_shrink_by_area():
    patches = np.random.default_rng(0).integers(0, 256, (3, 64, 64)).astype(np.uint8)
    expected = patches.reshape(3, 32, 2, 32, 2).mean((2, 4))
    assert np.abs(shrunk(patches) - expected).max() <= 0.5


def test_the_shared_tours_read_as_described(shared):
    strecha, herzjesu = (PhotoTour.read(shared / "phototour" / n) for n in ("strecha", "herzjesu"))
    assert (len(strecha.patches), len(tracks(strecha))) == (57_020, 12_390)
    assert (len(herzjesu.patches), len(tracks(herzjesu))) == (16_003, 3_710)
    pairs, same = herzjesu.test_pairs()
    assert len(pairs) == 10_000
    assert same.mean() == 0.5
    np.testing.assert_array_equal(
        herzjesu.points[pairs[:, 0]] == herzjesu.points[pairs[:, 1]], same
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: (p / "info.txt").unlink(), r"info\.txt: no such file"),
        (lambda p: (p / "info.txt").write_text("a b\n"), "not a table of whole numbers"),
        (lambda p: (p / "info.txt").write_text("1\n2\n"), "1 columns, not 2"),
        (lambda p: (p / "patches0001.bmp").unlink(), "1 files of patches hold 256 patches"),
        (lambda p: (p / "patches0001.bmp").write_bytes(b"x"), "cannot be read as an image"),
        (lambda p: (p / "patches0001.png").write_bytes(b"x"), "there is another file of that name"),
        (lambda p: (p / "m50_2_2_0.txt").unlink(), "no test pairs"),
        (lambda p: (p / "m50_2_2_0.txt").write_text("0 0 0 300 9 0 0\n"), "names patch 300"),
    ],
)
def test_broken_sets_are_named(root, tmp_path, change, message):
    for file in root.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    change(tmp_path)
    with pytest.raises(DataError, match=message):
        PhotoTour.read(tmp_path).test_pairs()


def test_a_mixture_holds_the_last_points_back(root):
    mixture = read_mixture(Material(tours=(root,)))
    (_, learned), (_, held) = mixture.tours[0], mixture.held_tracks[0]
    assert [len(learned), len(held)] == [92, 8]
    assert held[0].tolist() == [276, 277, 278]
    assert mixture.source(16, 0.3, 0)(0)[0].shape == (16, 32, 32)
    with pytest.raises(RequestError, match="0 to 1 of 2 or more"):
        mixture.source(16, 1.5, 0)
