import math

import pytest
import torch
from family import SMALL, conv_net, patches, run, training
from torch import nn
from unit_vectors import near, scattered

from descompress.converter import convert
from descompress.errors import RequestError
from descompress.nets import build
from descompress.objectives import Learner, Seen, hardest_in_batch
from descompress.objectives.companions import Passage, outputs_of
from descompress.objectives.pcl import PCL
from descompress.objectives.similarity import Similarity
from descompress.objectives.stems import Tail, stem_of
from descompress.spec import Spec


def sides(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    anchors = scattered(seed)
    return anchors, near(anchors, seed + 50)


def beside(*pairs: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"pcl": torch.cat([torch.stack(pair) for pair in pairs], 2)}


def test_peers_learn_the_task_from_their_ensemble_and_from_each_others_averages():
    first, second, third, ensemble, *means = [sides(seed) for seed in range(7)]
    seen = Seen(*first, None, beside(second, third, ensemble, *means), progress=0.1)
    weight = math.exp(-5 * (1 - 0.1 / 0.4) ** 2)
    kl = Similarity(0.2)
    expected = hardest_in_batch(*ensemble).item()
    for i, peer in enumerate((first, second, third)):
        told = [means[j] for j in range(3) if j != i]
        agreed = sum(kl(Seen(*peer, mean)).item() for mean in told) / 2
        expected += hardest_in_batch(*peer).item()
        expected += weight * (kl(Seen(*peer, ensemble)).item() + agreed)
    found = PCL(peers=3, temperature=0.2, ramp=0.4)(seen).item()
    assert found == pytest.approx(expected, rel=1e-9)


def test_two_peers_by_hand():
    # Two points at right angles: each triplet loss is max(0, 1 + 0 - sqrt(2)) = 0. The ensemble and
    # the averages cannot tell them apart: KL(1/2, 1/2 || p, 1 - p), p the soft-max of 2 and 0.
    apart = torch.eye(2).double(), torch.eye(2).double()
    same = torch.tensor([[1.0, 0.0]] * 2).double(), torch.tensor([[1.0, 0.0]] * 2).double()
    p = math.exp(2) / (math.exp(2) + 1)
    each = 0.5 * math.log(0.5 / p) + 0.5 * math.log(0.5 / (1 - p))
    # The ensemble's own triplet: its wrong pairs are duplicates, so that the negative is at 2.
    seen = Seen(*apart, None, beside(apart, same, same, same), progress=1.0)
    found = PCL(peers=2, temperature=0.5)(seen).item()
    assert found == pytest.approx(2 * 2 * each, abs=2e-3)


@pytest.mark.parametrize(
    ("progress", "weight"),
    [(0.0, math.exp(-5)), (0.1, math.exp(-5 / 4)), (0.2, 1.0), (0.9, 1.0)],
)
def test_agreement_counts_more_and_more(progress, weight):
    assert PCL(ramp=0.2).agreement(progress) == pytest.approx(weight)
    assert PCL(ramp=0.0).agreement(progress) == 1


def test_targets_take_no_gradient():
    first, second, ensemble, mean = [sides(seed) for seed in range(4)]
    rows = torch.cat([torch.stack(p) for p in (second, ensemble, mean, mean)], 2).requires_grad_()
    PCL(peers=2, ramp=0.0)(Seen(*first, None, {"pcl": rows})).backward()
    slopes = rows.grad.unflatten(2, (4, -1))
    assert slopes[:, :, 0].abs().max() > 0
    assert slopes[:, :, 2:].abs().max() == 0
    alone = torch.stack(ensemble).requires_grad_()
    hardest_in_batch(alone[0], alone[1]).backward()
    torch.testing.assert_close(slopes[:, :, 1], alone.grad)  # the task, and nothing else


def test_gradients_are_those_of_finite_differences():
    others = [sides(seed) for seed in range(1, 5)]
    held = beside(*others)
    loss = PCL(peers=2, ramp=0.0)
    first = [side.clone().requires_grad_() for side in sides(0)]
    assert torch.autograd.gradcheck(lambda a, p: loss(Seen(a, p, None, held)), first)


@pytest.mark.parametrize("count", [1, 2])
def test_gradients_are_finite_where_all_is_the_same(count):
    rows = torch.ones(count, 4) / 2
    first = [rows.clone().requires_grad_(), rows.clone().requires_grad_()]
    held = {"pcl": torch.stack([rows, rows]).repeat(1, 1, 4)}
    PCL(peers=2)(Seen(*first, None, held, 1.0)).backward()
    assert all(torch.isfinite(side.grad).all() for side in first)


def pieces(learner: Learner, x: torch.Tensor, peers: int) -> list[torch.Tensor]:
    """Descriptors of the net, its peers, the ensemble and the averages."""
    rows = learner(x)
    return list(rows.unflatten(1, (2 * peers + 1, -1)).unbind(1))


def test_peers_that_start_alike_say_what_the_network_says():
    torch.manual_seed(0)
    net, x = conv_net(3), patches(6)
    learner = Learner(net, {"pcl": PCL(spread=0.0, views=1).companion(net, None)})
    for rows in pieces(learner, x, 3):
        torch.testing.assert_close(rows, net(x))
    # With two views the second peer has positives for anchors; the ensemble is the mean of peers.
    learner = Learner(net, {"pcl": PCL(spread=0.0).companion(net, None)})
    own, turned = net(x), net(x).roll(3, 0)
    mixed = nn.functional.normalize(2 * own + turned, dim=1)
    for rows, expected in zip(
        pieces(learner, x, 3), (own, turned, own, mixed, own, turned, own), strict=True
    ):
        torch.testing.assert_close(rows, expected)


def test_peers_share_the_stem_and_start_apart_behind_it():
    torch.manual_seed(0)
    net = build(SMALL)
    companion = PCL(shared=2, spread=0.2).companion(net, None)
    tail = companion.tails[0].net
    names = {name for name, _ in tail.named_parameters()}
    assert names == {name for name, _ in net.named_parameters()} - {
        "features.0.weight",
        "features.3.weight",
    }
    for name, weight in tail.named_parameters():
        old = net.get_parameter(name)
        gap = (weight - old).square().mean() / old.square().mean()
        assert 0.15 < gap**0.5 < 0.25
    assert not companion.tails[1].net.features[6].weight.equal(tail.features[6].weight)


@pytest.mark.parametrize("shared", [0, 1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("preset", [None, "cdp2", "depthwise:inner=bn_relu"])
def test_a_tail_goes_on_from_any_layer(shared, preset):
    torch.manual_seed(0)
    net = build(SMALL).eval()
    net = convert(net, preset).eval() if preset else net
    stem, x = stem_of(net, shared), patches(3)
    watched = [net.get_submodule(stem[-1])] if stem else []
    with outputs_of(watched) as outputs:
        expected = net(x)
    found = Tail(net, stem).eval()(x, outputs[0][1] if outputs else None)
    torch.testing.assert_close(found, expected)
    assert sum(isinstance(net.get_submodule(n), nn.BatchNorm2d) for n in stem) == shared


@pytest.mark.parametrize("name", ["l2net", "tfeat", "desdis", "strided"])
def test_every_patch_network_has_a_stem(name):
    net = build(Spec(name))
    companion = PCL().companion(net, None)
    rows = companion(Passage(patches(2), net(patches(2)), [*seen(net, companion)]))
    assert rows.shape == (2, 6 * 128)


def seen(net: nn.Module, companion) -> list:
    with outputs_of(companion.watched) as outputs:
        net(patches(2))
    return outputs


class Residual(nn.Module):
    """Its second layer reads the first, and what leaves reads both; or the first runs twice."""

    def __init__(self, *, twice: bool) -> None:
        super().__init__()
        self.twice = twice
        self.first, self.second = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)
        self.rest = nn.Linear(1024, 4)

    def forward(self, x):
        first = self.first(x)
        second = self.second(self.first(x) if self.twice else first)
        return self.rest((first + second).flatten(1))


def test_layers_that_cannot_be_shared_are_refused():
    with pytest.raises(
        RequestError, match=r"pcl: cannot share 7 layers of a network of 7: at leas"
    ):
        PCL(shared=7).companion(build(SMALL), None)
    for twice in (False, True):
        chain = "pcl: cannot share 2 layers: they are not a plain chain; share 0"
        with pytest.raises(RequestError, match=chain):
            PCL(shared=2).companion(Residual(twice=twice), None)
        PCL(shared=0).companion(Residual(twice=twice), None)


def test_the_averages_follow_the_peers_with_falling_shares():
    made = training({"pcl": {"ema": 0.5}}, plain=True, steps=3)
    companion = made.learner.companions["pcl"]
    watched = {
        made.net[0].weight: companion.average[0].weight,
        companion.tails[1].net[5].weight: companion.average_tails[1].net[5].weight,
    }
    expected = [weight.detach().clone() for weight in watched]
    assert all(mean.equal(e) for mean, e in zip(watched.values(), expected, strict=True))
    for step, _ in enumerate(run(made), 1):
        decay = min(0.5, (1 + step) / (10 + step))
        for old, weight in zip(expected, watched, strict=True):
            old.mul_(decay).add_((1 - decay) * weight.detach())
    for mean, old in zip(watched.values(), expected, strict=True):
        torch.testing.assert_close(mean, old)


def test_the_average_of_the_first_peer_is_what_is_kept():
    made = training({"pcl": {}})
    list(run(made))
    assert made.result is made.learner.companions["pcl"].average
    assert made.result.spec == made.net.spec
    assert not made.result.training
    assert made.result.state_dict().keys() == made.net.state_dict().keys()
    asked = training({"pcl": {}}, ema=0.9)
    assert asked.result is asked.average


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peers": 1}, "2 to 64 peers, not 1"),
        ({"peers": 100_000}, "2 to 64 peers"),
        ({"shared": -1}, "shared >= 0"),
        ({"views": 3}, "views 1 or 2"),
        ({"spread": -0.1}, "spread >= 0"),
        ({"temperature": 0.0}, "temperature > 0"),
        ({"ema": 1.0}, "0 <= ema < 1"),
        ({"ramp": 1.5}, "0 <= ramp <= 1"),
    ],
)
def test_settings_without_sense_are_refused(settings, message):
    with pytest.raises(RequestError, match=f"pcl: needs .*{message}"):
        PCL(**settings)
