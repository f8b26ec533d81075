import numpy as np
import pytest

from descompress.data.mixture import Material, Mixture, read_mixture
from descompress.data.photometric import Photometric
from descompress.data.phototour import PhotoTour, tracks
from descompress.data.releases import ReleasePairs, Views, read_release
from descompress.nets import build
from descompress.sizing import shrunk
from descompress.spec import Spec
from descompress.validation import held_out_validation, release_views
from hpatches_eval.errors import DataError, RequestError
from hpatches_eval.patches import PatchRelease

AS_IT_IS = Photometric(
    blur=0.0, noise=0.0, gamma=0.0, contrast=1.0, jpeg=0.0, shadow=0.0, occlusion=0.0
)


def marked(name: str, points: int) -> Views:
    """Patches whose grey value tells their point, and whose first pixel tells their view."""
    patches = np.zeros((16, points, 32, 32), np.uint8)
    patches[:] = 16 + np.arange(points, dtype=np.uint8)[:, None, None]
    patches[:, :, 15:17, 15:17] = 200 + np.arange(16, dtype=np.uint8)[:, None, None, None]
    return Views(name, patches)


def test_a_release_is_read_at_the_networks_size(release):
    sequences = read_release(release)
    assert [s.name for s in sequences] == ["i_one", "v_two"]
    wanted = shrunk(PatchRelease(release).strip("v_two", "h3"))
    assert np.array_equal(sequences[1].patches[8], wanted)  # ref, e1..e5, h1, h2, h3


def test_a_pair_is_two_views_of_one_point():
    source = ReleasePairs([marked("a", 40)], pairs=24, per_sequence=24, photometric=AS_IT_IS)
    first, second = (np.rint(side * 255) for side in source(0))
    points = first[:, 0, 0]
    assert np.array_equal(points, second[:, 0, 0])
    assert len(set(points)) == 24
    views = first[:, 15, 15], second[:, 15, 15]
    assert (views[0] != views[1]).all()
    assert len(set(views[0])) > 8
    again = source(0)
    assert np.array_equal(np.rint(again[0] * 255), first)
    assert not np.array_equal(source(1)[0], again[0])


def test_batches_hold_many_points_of_few_sequences():
    sequences = [marked(str(i), 40) for i in range(5)]
    for i, views in enumerate(sequences):
        views.patches[:, :, 0] = views.patches[:, :, -1] = 100 + i
        views.patches[:, :, :, 0] = views.patches[:, :, :, -1] = 100 + i
    source = ReleasePairs(sequences, pairs=32, per_sequence=16, photometric=AS_IT_IS)
    edges = np.rint(source(3)[0][:, 0, 0] * 255)
    assert len(set(edges[:16])) == 1
    assert len(set(edges[16:])) == 1


def test_a_release_and_tours_share_the_real_pairs(release, tour):
    read = PhotoTour.read(tour)
    mixture = Mixture(tours=[(read, tracks(read))], sequences=read_release(release))
    anchors, positives = mixture.source(20, 0.3, 0)(0)
    assert anchors.shape == positives.shape == (20, 32, 32)
    alone = Mixture(sequences=read_release(release)).source(20, 0.3, 0)(0)
    assert alone[0].shape == (20, 32, 32)
    assert np.array_equal(anchors[10:], ReleasePairs(mixture.sequences, 10)(0)[0])


def test_held_out_sequences_are_validated_on(release):
    mixture = Mixture(held_sequences=read_release(release))
    validation = held_out_validation(mixture)
    assert [sorted(views) for views in validation.views] == [["e", "h", "ref", "t"]] * 2
    net = build(Spec("strided", {"widths": (4, 4, 4, 4)})).eval()
    assert 0 < validation.matching(net) <= 1
    views = release_views(marked("a", 300))
    assert {name: int(v[0, 15, 15] * 255 + 0.5) for name, v in views.items()} == {
        "ref": 200,
        "e": 201,
        "h": 206,
        "t": 211,
    }
    assert len(views["ref"]) == 200
    assert held_out_validation(Mixture()).matching(net) is None


def test_splits_without_a_train_part_are_refused(release):
    with pytest.raises(DataError, match="split full: has no sequences to train on"):
        read_mixture(Material(release=release, split="full"))
    with pytest.raises(RequestError, match="split 'd': there are a, b, c"):
        read_mixture(Material(release=release, split="d"))
    with pytest.raises(DataError):
        read_mixture(Material(release=release, split="a"))  # its sequences are not there
