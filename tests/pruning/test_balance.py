import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from descompress import build, convert
from descompress.nets import Net
from descompress.pruning.balance import order
from descompress.pruning.budgets import Budget, Chooser
from descompress.pruning.criteria import magnitude
from descompress.pruning.resources import Resources
from descompress.slimming import layout_of
from descompress.spec import Spec

SMALL = Spec("l2net", {"widths": (4, 5, 6, 7, 8, 9), "dim": 6})


def fixed(*prices: float):
    """Prices that do not depend on how many channels are left."""
    return lambda shares: np.array(prices)


def test_what_costs_more_goes_first_and_the_last_channels_of_all_at_the_end():
    # With 1 of 2 equal channels left a layer has lost 2^2 - 1 = 3: 3/4 by cost in the first layer,
    # 3/1 in the second.
    places = order({0: np.array([1.0, 0.5]), 1: np.array([0.5, 1.0])}, 2, fixed(4, 1))
    # Kept scores: 1 of 1.5, so both have lost 1.5^2 - 1.
    assert places[0].tolist() == [1, 3]
    assert places[1].tolist() == [2, 0]


def test_a_layer_with_few_channels_left_gives_no_more_while_another_can():
    scores = {0: np.ones(2), 1: np.ones(20)}
    places = order(scores, 2, fixed(1, 1))
    # Losing the second channel costs 3; the other layer loses more than that for one channel when
    # (20/(n-1))^2 - (20/n)^2 > 3: not at n = 7 (11.1 - 8.2), but at n = 6 (16 - 11.1).
    lost_before = (places[1] > places[0].max()).sum()
    assert lost_before == 20 - 6


@given(
    st.lists(st.lists(st.floats(-1, 1), min_size=1, max_size=9), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_places_are_an_order_in_which_stronger_channels_stay_longer(rows, random):
    scores = {g: np.array(row) for g, row in enumerate(rows)}
    prices = [random.choice([0.0, 1.0, 50.0]) for _ in rows]
    places = order(scores, len(rows), fixed(*prices))
    everything = np.concatenate(list(places.values()))
    assert sorted(everything.tolist()) == list(range(len(everything)))
    for g, own in scores.items():
        for i in range(len(own)):
            assert all(places[g][i] < places[g][j] for j in range(len(own)) if own[i] > own[j])


@pytest.mark.parametrize("recipe", ["", "cdp2", "depthwise", "tucker", "tdw"])
@pytest.mark.parametrize("kind", ["macs", "params"])
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_prices_are_the_slopes_of_the_costs(recipe, kind, share):
    net = build(SMALL)
    net = convert(net, recipe) if recipe else net
    resources = Resources(net, layout_of(net))
    groups = resources.layout.groups
    on = [torch.full((group.size,), share, requires_grad=True) for group in groups]
    getattr(resources, kind)(on).backward()
    prices = resources.prices(kind, np.full(len(groups), share))
    slopes = [0.0 if each.grad is None else float(each.grad.mean()) for each in on]
    np.testing.assert_allclose(prices, slopes, rtol=1e-5)


@pytest.mark.parametrize("name", ["l2net", "vgg16", "mobilenetv2"])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_a_budget_is_met_and_no_layer_becomes_a_bottleneck(name, share):
    net = build(name)
    assert isinstance(net, Net)
    layout = layout_of(net)
    chooser = Chooser(Resources(net, layout), balanced=True)
    kept = chooser.kept(magnitude(net, layout), Budget("macs", share, share=True))
    left = chooser.measured(kept, "macs") / chooser.whole("macs")
    assert 0.85 * share < left <= share
    shares = [len(kept[i]) / layout.groups[i].size for i in chooser.free]
    assert min(shares) > share / 2


def test_budgets_of_channels_keep_to_one_threshold():
    net = build(SMALL)
    layout = layout_of(net)
    scores = magnitude(net, layout)
    half = Budget("channels", 0.5, share=True)
    kept = [Chooser(Resources(net, layout), balanced=b).kept(scores, half) for b in (True, False)]
    assert all(torch.equal(a, b) for a, b in zip(*kept, strict=True))
