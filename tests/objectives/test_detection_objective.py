import math

import pytest
import torch
from views import viewed

from descompress.errors import RequestError
from descompress.objectives.detection import Detection, cell_labels, entropies


def test_a_point_on_a_pixel_is_a_bin_of_its_cell():
    # Pixel (x, y) = (10, 5) is pixel (2, 5) of the second cell: bin 8 * 5 + 2.
    labels = cell_labels(torch.tensor([[[10.0, 5.0, 0.75]]]), 2, 3)
    assert labels.shape == (1, 65, 2, 3)
    assert labels[0, 42, 0, 1] == 0.75
    assert labels[0, 64, 0, 1] == 0.25
    assert (labels[0, 64] == 1).sum() == 5


def test_a_point_between_pixels_is_shared_out_by_area():
    labels = cell_labels(torch.tensor([[[1.25, 2.5, 1.0]]]), 1, 1)[0, :, 0, 0]
    expected = {17: 0.75 * 0.5, 18: 0.25 * 0.5, 25: 0.75 * 0.5, 26: 0.25 * 0.5}  # 8 y + x
    for place, mass in expected.items():
        assert labels[place] == pytest.approx(mass)
    assert labels.sum() == pytest.approx(1)


def test_a_point_on_the_border_of_two_cells_belongs_to_both():
    labels = cell_labels(torch.tensor([[[7.5, 0.0, 1.0]]]), 1, 2)
    assert labels[0, 7, 0, 0] == 0.5
    assert labels[0, 0, 0, 1] == 0.5


def test_several_points_of_a_cell_share_it():
    points = torch.tensor([[[1.0, 1.0, 1.0], [5.0, 5.0, 1.0], [9.0, 0.0, 0.0]]])
    labels = cell_labels(points, 1, 1)[0, :, 0, 0]
    assert labels[9] == labels[45] == 0.5
    assert labels[64] == 0


def test_a_point_on_the_last_pixel_stays_on_the_image():
    labels = cell_labels(torch.tensor([[[15.0, 7.0, 1.0]]]), 1, 2)
    assert labels[0, 63, 0, 1] == 1


def test_both_parts_together_are_the_entropy_of_all_bins():
    logits = torch.randn(3, 65, 2, 3)
    labels = torch.rand(3, 65, 2, 3).softmax(1)
    whether, where = entropies(logits, labels)
    torch.testing.assert_close(whether + where, -(labels * logits.log_softmax(1)).sum(1))


def test_the_loss_is_a_mean_over_cells_and_a_mean_over_keypoints():
    # All bins alike: "no keypoint" has 1/65, and each place of a keypoint 1/64, wherever it is.
    points = torch.tensor([[[[3.0, 3.0, 0.4]]], [[[20.0, 9.0, 1.0]]]])
    mass = (0.4 + 1.0) / 12  # of keypoints, in a cell, on average
    whether = (1 - mass) * math.log(65) + mass * math.log(65 / 64)
    seen = viewed(points=points)
    assert Detection()(seen).item() == pytest.approx(whether + math.log(64), rel=1e-5)
    assert Detection(place=0.0)(seen).item() == pytest.approx(whether, rel=1e-5)
    assert Detection(place=2.0)(seen).item() == pytest.approx(whether + 2 * math.log(64), rel=1e-5)


def test_only_cells_of_the_scene_count():
    logits = torch.zeros(2, 1, 65, 2, 3)
    logits[0, 0, 64, 0, 0] = 100.0  # sure that there is none, and wrong
    logits[0, 0, 5, 0, 0] = 50.0  # and that it is elsewhere
    points = torch.tensor([[[[3.0, 3.0, 1.0]]], [[[12.0, 12.0, 1.0]]]])
    inside = torch.ones(2, 1, 2, 3, dtype=torch.bool)
    inside[0, 0, 0, 0] = False
    without = Detection()(viewed(logits=logits, points=points, inside=inside))
    expected = (10 * math.log(65) + math.log(65 / 64)) / 11 + math.log(64)
    assert without.item() == pytest.approx(expected, rel=1e-5)
    everywhere = (10 * math.log(65) + math.log(65 / 64) + 50) / 12 + (math.log(64) + 50) / 2
    found = Detection()(viewed(logits=logits, points=points))
    assert found.item() == pytest.approx(everywhere, rel=1e-4)


def test_nothing_inside_and_no_points_are_no_error():
    inside = torch.zeros(2, 1, 2, 3, dtype=torch.bool)
    assert Detection()(viewed(inside=inside)).item() == 0
    assert Detection()(viewed()).item() == pytest.approx(math.log(65), rel=1e-5)


def test_a_negative_weight_is_refused():
    with pytest.raises(RequestError, match="place must be 0 or more, not -1"):
        Detection(place=-1.0)


def test_descending_moves_the_peak_to_the_point():
    logits = torch.zeros(2, 1, 65, 2, 3, requires_grad=True)
    points = torch.tensor([[[[12.0, 9.0, 1.0]]], [[[12.0, 9.0, 1.0]]]])
    for _ in range(20):
        (slope,) = torch.autograd.grad(Detection()(viewed(logits=logits, points=points)), logits)
        logits = (logits - 10 * slope).detach().requires_grad_()
    assert logits[0, 0, :, 1, 1].argmax() == 8 * 1 + 4
    assert logits[0, 0, :, 0, 0].argmax() == 64
