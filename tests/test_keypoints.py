import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.nn import functional as F

import descompress
from descompress import keypoints as kp
from descompress.errors import InputError, RequestError
from descompress.objectives.detection import cell_labels
from descompress.selection import Selection
from descompress.spec import Spec

EVERY = Selection(radius=0, border=0, threshold=0.0, subpixel=False)


def score_map(height: int, width: int, **places: float) -> torch.Tensor:
    """Zeros but for scores at places such as x3y5."""
    found = torch.zeros(1, height, width)
    for place, score in places.items():
        x, y = place[1:].split("y")
        found[0, int(y), int(x)] = score
    return found


def test_bin_8y_plus_x_is_pixel_x_y_of_its_cell():
    logits = torch.zeros(1, 65, 2, 3)
    logits[0, 8 * 5 + 2, 1, 2] = 40.0  # cell in row 1, column 2: pixels from (16, 8) on
    found = kp.scores(logits)[0]
    assert found.shape == (16, 24)
    assert found[8 + 5, 16 + 2] == pytest.approx(1.0)
    assert found[8:, 16:].sum() == pytest.approx(1.0)
    assert found[0, 0] == pytest.approx(1 / 65)  # all alike, with "no keypoint"


def test_nothing_is_left_where_the_last_bin_is_certain():
    logits = torch.zeros(1, 65, 1, 1)
    logits[0, 64] = 60.0
    assert kp.scores(logits).max() < 1e-20


def test_half_precision_maps_are_computed_in_float32():
    logits = (torch.rand(1, 65, 2, 2) * 9).bfloat16()
    assert torch.equal(kp.scores(logits), kp.scores(logits.float()))
    maps = torch.rand(1, 4, 2, 2).bfloat16()
    points = [torch.tensor([[3.0, 9.5]])]
    (half,), (full,) = kp.descriptors_at(maps, points), kp.descriptors_at(maps.float(), points)
    assert half.dtype == torch.float32
    assert torch.equal(half, full)


def test_a_kept_pixel_rules_out_its_square_and_no_more():
    scores = score_map(12, 12, x5y5=0.9, x7y5=0.8, x8y5=0.7, x7y7=0.6, x5y8=0.5)
    kept = kp.nms(scores, radius=2)[0]
    assert [tuple(place) for place in kept.nonzero().tolist()] == [(5, 5), (5, 8), (8, 5)]


def test_points_come_back_that_only_suppressed_points_were_near():
    """0.9 rules out 0.8, so that 0.7 stays, which 0.8 would have ruled out; and so on."""
    scores = score_map(3, 16, x1y1=0.9, x3y1=0.8, x5y1=0.7, x7y1=0.6, x9y1=0.5, x11y1=0.4)
    assert kp.nms(scores, radius=3)[0].nonzero()[:, 1].tolist() == [1, 5, 9]


def test_of_equal_scores_the_first_in_the_order_of_reading_stays():
    flat = torch.ones(1, 5, 7)
    assert kp.nms(flat, radius=1)[0].nonzero().tolist() == [
        [y, x] for y in (0, 2, 4) for x in (0, 2, 4, 6)
    ]


def greedy(scores: np.ndarray, radius: int) -> np.ndarray:
    """Point by point, as its definition reads."""
    kept, free = np.zeros_like(scores), scores > 0
    for place in np.argsort(-scores, axis=None, kind="stable"):
        y, x = divmod(int(place), scores.shape[1])
        if free[y, x]:
            kept[y, x] = scores[y, x]
            free[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1] = False
    return kept


@example(seed=0, radius=1, levels=5, sides=(5, 4))  # an equal comes first that is no peak at first
@given(
    seed=st.integers(0, 9999),
    radius=st.integers(0, 5),
    levels=st.sampled_from([2, 5, 1000]),
    sides=st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_suppression_is_the_greedy_one_ties_included(seed, radius, levels, sides):
    scores = np.random.default_rng(seed).integers(0, levels, (2, *sides)).astype(np.float32)
    found = kp.nms(torch.from_numpy(scores), radius).numpy()
    np.testing.assert_array_equal(found, np.stack([greedy(one, radius) for one in scores]))


def test_keypoints_come_strongest_first_and_equals_in_the_order_of_reading():
    scores = score_map(8, 8, x6y1=0.3, x2y1=0.3, x1y6=0.9, x4y4=0.5)
    (found,) = kp.keypoints(scores, EVERY)
    assert found.xy.tolist() == [[1, 6], [4, 4], [2, 1], [6, 1]]
    assert found.scores.tolist() == pytest.approx([0.9, 0.5, 0.3, 0.3])
    (best,) = kp.keypoints(scores, Selection(0, 0, 0.0, most=3, subpixel=False))
    assert best.xy.tolist() == found.xy[:3].tolist()


def test_many_equals_come_in_the_order_of_reading_too():
    scores = torch.from_numpy(np.random.default_rng(0).integers(1, 4, (1, 50, 60))).float()
    (found,) = kp.keypoints(scores, Selection(0, 0, 0.0, most=3000, subpixel=False))
    order = np.argsort(-scores[0].numpy(), axis=None, kind="stable")
    assert (found.xy[:, 1] * 60 + found.xy[:, 0]).tolist() == order.tolist()


def test_scores_must_be_above_the_threshold_and_within_the_border():
    scores = score_map(9, 9, x3y3=0.5, x2y3=0.6, x3y2=0.6, x5y5=0.4, x6y5=0.6, x5y6=0.6)
    (found,) = kp.keypoints(scores, Selection(0, border=3, threshold=0.4, subpixel=False))
    assert found.xy.tolist() == [[3, 3]]
    assert kp.keypoints(scores, Selection(0, border=5))[0].xy.shape == (0, 2)


@given(x=st.floats(9, 20), y=st.floats(9, 20))
def test_a_keypoint_that_four_pixels_share_lies_where_the_label_was(x, y):
    """The labels of the detector's loss, read back."""
    labels = cell_labels(torch.tensor([[[x, y, 1.0]]], dtype=torch.float64), 4, 4)
    (found,) = kp.keypoints(F.pixel_shuffle(labels[:, :-1], 8)[:, 0], Selection(2, 0, 0.2))
    torch.testing.assert_close(found.xy, torch.tensor([[x, y]]), atol=1e-5, rtol=0)


def test_scores_up_to_two_pixels_away_and_within_the_radius_place_a_keypoint():
    scores = score_map(11, 11, x5y5=0.5, x7y6=0.25, x8y5=0.4, x3y2=0.3)
    for radius, place in ((3, [5 + 2 / 3, 5 + 1 / 3]), (1, [5, 5]), (0, [5, 5])):
        (found,) = kp.keypoints(scores, Selection(radius, 0, most=1))
        torch.testing.assert_close(found.xy, torch.tensor([place], dtype=torch.float32))


def test_no_keypoint_moves_more_than_a_pixel_or_leaves_the_image():
    scores = score_map(6, 8, x2y2=0.5, x3y2=0.5, x4y2=0.5, x0y5=0.9, x7y0=0.8)
    (found,) = kp.keypoints(scores, Selection(radius=2, border=0))
    assert found.xy.tolist() == [[0, 5], [7, 0], [3, 2]]
    edge = score_map(5, 7, x3y0=0.5, x4y0=0.25)  # judged along the edge, not across
    (found,) = kp.keypoints(edge, Selection(radius=2, border=0))
    torch.testing.assert_close(found.xy, torch.tensor([[3 + 1 / 3, 0]]))
    slope = score_map(3, 9, x1y1=0.9, x2y1=0.8, x3y1=0.7, x4y1=0.1)  # kept, though no maximum
    (found,) = kp.keypoints(slope, Selection(radius=1, border=0))
    torch.testing.assert_close(found.xy, torch.tensor([[1 + 8 / 17, 1], [3, 1]]))
    flat = torch.full((1, 9, 9), 0.7)
    (found,) = kp.keypoints(flat, Selection(radius=4, border=0))
    assert found.xy.tolist() == [[0, 0], [5, 0], [0, 5], [5, 5]]


def test_a_batch_gives_what_single_images_give():
    net = descompress.build(Spec("superpoint", {"widths": [8] * 10, "dim": 16})).eval()
    logits = torch.randn(3, 65, 4, 5) * 4
    maps = net(torch.rand(3, 1, 32, 40)).descriptors.detach()
    together = kp.keypoints(kp.scores(logits))
    described = kp.descriptors_at(maps, [found.xy for found in together])
    for i, found in enumerate(together):
        (alone,) = kp.keypoints(kp.scores(logits[i : i + 1]))
        assert torch.equal(alone.xy, found.xy)
        assert torch.equal(alone.scores, found.scores)
        assert torch.equal(kp.descriptors_at(maps[i : i + 1], [alone.xy])[0], described[i])
        assert len(found.xy) > 5


def test_a_cell_is_described_at_the_centre_of_its_pixels():
    """Cells (1, 0), (0, 1) and so on; half-way between two, their mean."""
    maps = torch.zeros(1, 4, 2, 2)
    maps[0, 0, 0, 0] = maps[0, 1, 0, 1] = maps[0, 2, 1, 0] = maps[0, 3, 1, 1] = 1.0
    centres = torch.tensor([[3.5, 3.5], [11.5, 3.5], [3.5, 11.5], [11.5, 11.5]])
    torch.testing.assert_close(kp.descriptors_at(maps, [centres])[0], torch.eye(4))
    between = torch.tensor([[7.5, 3.5], [5.5, 3.5], [0.0, 0.0], [15.0, 15.0]])
    found = kp.descriptors_at(maps, [between])[0]
    half = 0.5**0.5
    torch.testing.assert_close(found[0], torch.tensor([half, half, 0, 0]))
    weights = torch.tensor([0.75, 0.25, 0, 0])
    torch.testing.assert_close(found[1], weights / weights.norm())
    torch.testing.assert_close(found[2:], torch.eye(4)[[0, 3]])


def test_descriptors_have_length_1_and_zeros_stay_zeros():
    maps = torch.randn(1, 8, 3, 3) * 5
    (found,) = kp.descriptors_at(maps, [torch.rand(9, 2) * 23])
    torch.testing.assert_close(found.norm(dim=1), torch.ones(9))
    assert not kp.descriptors_at(torch.zeros(1, 8, 3, 3), [torch.rand(2, 2)])[0].any()
    assert kp.descriptors_at(maps, [torch.empty(0, 2)])[0].shape == (0, 8)


def test_cells_may_have_another_size():
    maps = torch.eye(3)[None, :, None]  # three cells beside one another
    (found,) = kp.descriptors_at(maps, [torch.tensor([[1.5, 1.5], [9.5, 1.5]])], cell=4)
    torch.testing.assert_close(found, torch.eye(3)[[0, 2]])


def test_padding_repeats_the_last_row_and_column_and_moves_no_pixel():
    images = torch.arange(30.0).reshape(1, 1, 5, 6)
    found = kp.padded(images)
    assert found.shape == (1, 1, 8, 8)
    assert torch.equal(found[..., :5, :6], images)
    assert (found[0, 0, 4:, 5:] == 29).all()
    assert (found[0, 0, :5, 7] == images[0, 0, :, 5]).all()
    whole = torch.rand(1, 1, 16, 8)
    assert kp.padded(whole) is whole


def test_no_keypoint_lies_in_the_padding_or_is_ruled_out_by_it():
    scores = score_map(16, 16, x12y5=0.5, x13y5=0.9, x5y9=0.6, x5y10=0.9)
    (found,) = kp.keypoints(scores, Selection(border=0), size=(10, 13))
    assert found.xy[:, 1].tolist() == [9, 5]
    assert found.xy[:, 0].tolist() == [5, 12]
    (inner,) = kp.keypoints(scores, Selection(border=1), size=(10, 13))
    assert not len(inner.xy)


def test_rounding_of_the_image_does_not_move_it(discs):
    """The same image, once padded, once cut to whole cells: the same maps where both have them."""
    image = torch.from_numpy(discs(0, (29, 43), 12, 6)).float()[None, None] / 255
    found = kp.padded(image)
    assert found.shape[-2:] == (32, 48)
    grown = cv2.copyMakeBorder(image[0, 0].numpy(), 0, 3, 0, 5, cv2.BORDER_REPLICATE)
    np.testing.assert_array_equal(found[0, 0].numpy(), grown)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kp.scores(torch.zeros(1, 64, 2, 2)), r"logits must be \(b, 65, h, w\)"),
        (lambda: kp.scores(torch.zeros(65, 2, 2)), "logits must be"),
        (lambda: kp.keypoints(torch.zeros(8, 8)), r"scores must be \(b, h, w\)"),
        (lambda: kp.keypoints(torch.zeros(1, 8, 8), size=(9, 8)), "images of 9 x 8"),
        (lambda: kp.padded(torch.zeros(1, 1, 0, 8)), "images must be"),
        (lambda: kp.padded(torch.zeros(8, 8)), "images must be"),
        (lambda: kp.descriptors_at(torch.zeros(2, 4, 1, 1), []), "for 0 images"),
        (lambda: kp.descriptors_at(torch.zeros(4, 1, 1), [torch.zeros(1, 2)]), "descriptors must"),
    ],
)
def test_other_shapes_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    ("name", "value"), [("radius", -1), ("border", -2), ("threshold", -0.1), ("most", 0)]
)
def test_selections_that_select_nothing_are_refused(name, value):
    with pytest.raises(RequestError, match=f"{name} must be"):
        Selection(**{name: value})
    with pytest.raises(RequestError, match="threshold must be"):
        Selection(threshold=float("nan"))
