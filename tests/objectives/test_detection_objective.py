import math

import pytest
import torch
from views import viewed

from descompress.objectives.detection import Detection, cell_labels


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


def test_the_loss_is_the_entropy_of_what_is_told():
    # All bins alike: log 65 in every cell, whatever the label.
    points = torch.tensor([[[[3.0, 3.0, 0.4]]], [[[20.0, 9.0, 1.0]]]])
    assert Detection()(viewed(points=points)).item() == pytest.approx(math.log(65), rel=1e-6)


def test_only_cells_of_the_scene_count():
    logits = torch.zeros(2, 1, 65, 2, 3)
    logits[0, 0, 64, 0, 0] = 100.0  # sure that there is none, and wrong
    points = torch.tensor([[[[3.0, 3.0, 1.0]]], [[[0.0, 0.0, 0.0]]]])
    everywhere = Detection()(viewed(logits=logits, points=points))
    inside = torch.ones(2, 1, 2, 3, dtype=torch.bool)
    inside[0, 0, 0, 0] = False
    without = Detection()(viewed(logits=logits, points=points, inside=inside))
    assert without.item() == pytest.approx(math.log(65), rel=1e-6)
    assert everywhere.item() == pytest.approx((11 * math.log(65) + 100) / 12, rel=1e-5)


def test_nothing_inside_is_no_error():
    inside = torch.zeros(2, 1, 2, 3, dtype=torch.bool)
    assert Detection()(viewed(inside=inside)).item() == 0


def test_descending_moves_the_peak_to_the_point():
    logits = torch.zeros(2, 1, 65, 2, 3, requires_grad=True)
    points = torch.tensor([[[[12.0, 9.0, 1.0]]], [[[12.0, 9.0, 1.0]]]])
    for _ in range(20):
        (slope,) = torch.autograd.grad(Detection()(viewed(logits=logits, points=points)), logits)
        logits = (logits - 10 * slope).detach().requires_grad_()
    assert logits[0, 0, :, 1, 1].argmax() == 8 * 1 + 4
    assert logits[0, 0, :, 0, 0].argmax() == 64
