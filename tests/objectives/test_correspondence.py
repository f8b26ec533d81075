import math

import pytest
import torch
from views import viewed

from descompress.errors import RequestError
from descompress.keypoints import descriptors_at
from descompress.objectives.correspondence import Correspondence, places

CENTRES = torch.tensor([[3.5, 3.5], [11.5, 3.5], [19.5, 3.5]])  # of the first three cells


def matches(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return torch.cat([first, second, torch.ones(len(first), 1)], 1)[None]


def one_hot(*dims: int) -> torch.Tensor:
    """Descriptors of the first row of cells, unit vectors along these dimensions."""
    maps = torch.zeros(1, 4, 2, 3)
    for x, dim in enumerate(dims):
        maps[0, dim, 0, x] = 1
    return maps


def test_two_places_told_apart_by_one_right_angle():
    # S = identity / t: both sides are -log(e / (e + 1)) with t = 1.
    maps = torch.stack([one_hot(0, 1, 2)] * 2)
    seen = viewed(descriptors=maps, matches=matches(CENTRES[:2], CENTRES[:2]))
    expected = -math.log(math.e / (math.e + 1))
    assert Correspondence(temperature=1.0)(seen).item() == pytest.approx(expected)
    sharper = -math.log(1 / (1 + math.exp(-2)))
    assert Correspondence(temperature=0.5)(seen).item() == pytest.approx(sharper)


def test_each_view_is_described_at_its_own_places():
    # What is at the first, second and third cell lies at the second, third and first of the other.
    maps = torch.stack([one_hot(0, 1, 2), one_hot(2, 0, 1)])
    told = matches(CENTRES, CENTRES[[1, 2, 0]])
    expected = -math.log(math.e / (math.e + 2))
    seen = viewed(descriptors=maps, matches=told)
    assert Correspondence(temperature=1.0)(seen).item() == pytest.approx(expected)


def test_places_are_close_or_not_in_the_view_that_is_searched():
    # Alike in both views. In the first the places are 8 pixels apart, in the second 16: only a
    # search in the first leaves the other out.
    maps = torch.stack([one_hot(0, 0, 2), one_hot(0, 1, 0)])
    told = matches(CENTRES[[0, 1]], CENTRES[[0, 2]])
    seen = viewed(descriptors=maps, matches=told)
    both = Correspondence(apart=4.0)(seen).item()
    one = Correspondence(apart=12.0)(seen).item()
    assert both == pytest.approx(math.log(2), rel=1e-5)
    assert one == pytest.approx(math.log(2) / 2, rel=1e-5)
    turned = viewed(descriptors=maps.flip(0), matches=told[:, :, [2, 3, 0, 1, 4]])
    assert Correspondence(apart=12.0)(turned).item() == pytest.approx(one, rel=1e-5)


def test_wrong_descriptors_cost_more():
    right = torch.stack([one_hot(0, 1, 2)] * 2)
    wrong = torch.stack([one_hot(0, 1, 2), one_hot(1, 0, 2)])
    told = matches(CENTRES, CENTRES)
    losses = [Correspondence()(viewed(descriptors=m, matches=told)).item() for m in (right, wrong)]
    assert losses[1] > losses[0] + 1


def test_close_places_are_no_negatives():
    maps = torch.stack([one_hot(0, 0, 2)] * 2)  # the two first cells look alike
    told = matches(CENTRES[:2], CENTRES[:2])
    assert Correspondence(apart=8.0)(viewed(descriptors=maps, matches=told)).item() > 0.6
    assert Correspondence(apart=8.5)(viewed(descriptors=maps, matches=told)).item() == 0


def test_close_places_of_another_pair_are_negatives():
    maps = torch.stack([torch.cat([one_hot(0), one_hot(0)])] * 2)
    told = matches(CENTRES[:1], CENTRES[:1]).repeat(2, 1, 1)
    seen = viewed(
        logits=torch.zeros(2, 2, 65, 2, 3),
        descriptors=maps,
        points=torch.zeros(2, 2, 1, 3),
        matches=told,
        inside=torch.ones(2, 2, 2, 3, dtype=torch.bool),
    )
    assert Correspondence()(seen).item() == pytest.approx(math.log(2), rel=1e-5)


def test_filling_is_no_match():
    maps = torch.stack([one_hot(0, 1, 2)] * 2)
    told = matches(CENTRES[:2], CENTRES[:2])
    filled = torch.cat([told, torch.zeros(1, 3, 5)], 1)
    losses = [Correspondence()(viewed(descriptors=maps, matches=m)).item() for m in (told, filled)]
    assert losses[0] == losses[1]
    assert Correspondence()(viewed(matches=torch.zeros(1, 3, 5))).item() == 0


def test_places_are_read_as_keypoints_are_described():
    maps = torch.nn.functional.normalize(torch.randn(2, 5, 4, 6), dim=1)
    xy = torch.rand(2, 7, 2) * torch.tensor([47.0, 31.0])
    expected = torch.stack(descriptors_at(maps, list(xy)))
    torch.testing.assert_close(places(maps, xy), expected, atol=1e-5, rtol=0)


def test_gradients_are_those_of_finite_differences():
    maps = torch.randn(2, 1, 4, 2, 3, dtype=torch.float64).requires_grad_()
    told = matches(CENTRES, CENTRES.flip(0) + 1).double()

    def loss(descriptors: torch.Tensor) -> torch.Tensor:
        return Correspondence(temperature=0.5)(viewed(descriptors=descriptors, matches=told))

    assert torch.autograd.gradcheck(loss, maps)


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"apart": -1.0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(RequestError, match="temperature > 0 and apart >= 0"):
        Correspondence(**settings)
