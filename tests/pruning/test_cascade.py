from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from noise import batches
from torch import Tensor, nn

from descompress import build, cost
from descompress.data import ViewBatch
from descompress.errors import FileError, RequestError
from descompress.objectives import Seen, Viewed, Weighted
from descompress.plans import Plan
from descompress.pruning.budgets import Budget
from descompress.pruning.cascade import AHEAD, EVERY, RATE, Cascade, Cascaded, hint
from descompress.spec import Spec
from descompress.training import Training

SPEC = Spec("l2net", {"widths": (4, 6, 6, 8, 8, 10), "dim": 8})
TERMS = {"triplet": {}, "similarity": {"weight": 0.4}}


def network() -> nn.Module:
    torch.manual_seed(0)
    return build(SPEC)


def pruning(assistants: int = 2, steps: int = 4, macs: float = 0.3, **plan: float) -> Training:
    objective = Cascaded(Weighted.read(TERMS), Budget("macs", macs, share=True), assistants)
    plan = Plan(steps=steps, **{"lr": 3e-3, "warmup": 0, "bf16": False} | plan)
    return Training(network(), Weighted({"cascade": (1.0, objective)}), plan, teacher=network())


def cascade(training: Training) -> Cascade:
    return training.learner.companions["cascade"]  # pyright: ignore[reportReturnType]


def finish(training: Training) -> list[float]:
    return [sum(terms.values()) for terms in training.run(batches(training.numbers))]


@pytest.mark.parametrize("assistants", [1, 2, 3])
def test_the_models_lie_evenly_between_the_student_and_the_whole(assistants):
    made = cascade(pruning(assistants, macs=0.4))
    whole = cost(network()).macs
    for i in range(assistants + 1):
        limit = 0.4 + 0.6 * i / assistants
        assert cost(made.model(i)).macs <= limit * whole * (1 + 1e-6)
    assert cost(made.model(assistants)).params == cost(network()).params


def test_models_share_convolutions_but_not_norms_nor_first_and_last_layers():
    training = pruning(2)
    nets = training.net, *cascade(training).assistants
    assert len({id(net.features[3].weight) for net in nets}) == 1
    assert len({id(net.features[15].weight) for net in nets}) == 1
    assert len({id(net.features[0].weight) for net in nets}) == 3
    assert len({id(net.features[19].weight) for net in nets}) == 3
    finish(training)
    means = [net.features[4].running_mean for net in nets]
    assert not torch.equal(means[0], means[1])
    assert len(training.learner.weights) == len(set(training.learner.weights))


def test_the_first_layer_keeps_its_channels_unless_told_otherwise():
    least = Budget("channels", 6.0, share=False)  # one of each layer
    terms = Weighted.read(TERMS)
    free = Cascaded(terms, least, 1, prune_first=True).companion(network(), None)
    assert [len(free.kept(0)[i]) for i in free.masks[0].active] == [1] * 6
    with pytest.raises(RequestError, match="the least that can be is 9 channels"):
        Cascaded(terms, least, 1).companion(network(), None)


@pytest.mark.parametrize("assistants", [0, 1, 2])
def test_scores_follow_the_gradient_of_the_next_model(assistants, monkeypatch):
    training = pruning(assistants)
    made = cascade(training)
    before = [made.scores(i) for i in range(assistants + 1)]
    seen: list[list[Tensor]] = []
    forget = type(made.masks[0]).forget_

    def remember(masks) -> None:
        seen.append([masks.saliency(g).clone() for g in masks.active])
        forget(masks)

    monkeypatch.setattr(type(made.masks[0]), "forget_", remember)
    next(training.run(batches([0])))
    active = made.masks[0].active
    for i in range(assistants + 1):
        teacher = seen[min(i + 1, assistants)]
        for g, saliency in zip(active, teacher, strict=True):
            assert saliency.abs().sum() > 0
            step = RATE * saliency.double() / saliency.double().square().mean().sqrt()
            torch.testing.assert_close(made.scores(i)[g], before[i][g] - step)


def test_a_channel_that_is_off_comes_back_when_its_teacher_misses_it():
    made = cascade(pruning(1))
    g, size = 2, 6
    lost = (made.masks[0].mask(g) == 0).nonzero()[0, 0]
    for step in range(1, 20 * EVERY + 1):
        made.masks[1].saliency(g)[lost] = -1.0  # more of it lowers the teacher's loss
        made.follow_(network(), step)
    assert made.masks[0].mask(g)[lost] == 1
    assert made.masks[0].mask(g).sum() < size


def test_masks_stand_still_between_the_steps_they_follow_the_scores_at():
    made = cascade(pruning(1))
    before, g = made.masks[0].mask(2).clone(), 2
    for step in range(1, 20 * EVERY + 1):
        assert torch.equal(made.masks[0].mask(g), before) or step > EVERY
        made.masks[1].saliency(g)[:] = torch.where(before == 0, -1.0, 50.0)
        made.follow_(network(), step)
    assert not torch.equal(made.masks[0].mask(g), before)


def test_a_channel_that_is_barely_ahead_does_not_take_the_place_of_another():
    made = cascade(pruning(1))
    g = 2
    on = made.masks[0].mask(g).bool()
    worst = made.scores(0)[g][on].min()
    for ahead, changes in ((AHEAD / 2, False), (3 * AHEAD, True)):
        scores = made.get_buffer(f"score0_{g}")
        scores[(~on).nonzero()[0, 0]] = worst + ahead
        made.choose_()
        assert torch.equal(made.masks[0].mask(g).bool(), on) is not changes


def test_what_is_deployed_is_the_student_without_what_is_off():
    training = pruning(2)
    finish(training)
    student, x = training.result.eval(), torch.rand(3, 1, 32, 32)
    torch.testing.assert_close(student(x), training.net.eval()(x), atol=1e-5, rtol=1e-4)
    assert cost(student).macs <= 0.3 * cost(network()).macs
    assert not any(module._forward_hooks for module in student.modules())


def test_losses_are_those_of_each_model_with_its_teacher():
    random = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(3, 2, 5, 8, generator=random), dim=-1)
    taught = torch.nn.functional.normalize(torch.randn(2, 5, 8, generator=random), dim=-1)
    terms = Weighted.read(TERMS)
    beside = torch.cat([rows[1], rows[2]], dim=2)
    objective = Cascaded(terms, Budget("macs", 0.5, share=True), 2)
    found = objective(Seen(*rows[0], (taught[0], taught[1]), {"cascade": beside}))
    teachers = [(rows[1][0], rows[1][1]), (rows[2][0], rows[2][1]), (taught[0], taught[1])]
    parts = [
        terms(Seen(*own, teacher)).values() for own, teacher in zip(rows, teachers, strict=True)
    ]
    torch.testing.assert_close(found, torch.stack([sum(part) for part in parts]).sum())


def test_no_gradient_reaches_a_teacher_through_its_student():
    rows = torch.nn.functional.normalize(torch.randn(2, 2, 5, 8), dim=-1)
    beside = rows[1].clone().requires_grad_()
    objective = Cascaded(Weighted.read({"similarity": {}}), Budget("macs", 0.5, share=True), 1)
    own = rows[0].clone().requires_grad_()
    same = (beside[0].detach(), beside[1].detach())  # the assistant agrees with its own teacher
    objective(Seen(own[0], own[1], same, {"cascade": beside})).backward()
    assert own.grad.abs().sum() > 0
    torch.testing.assert_close(beside.grad, torch.zeros_like(beside), atol=1e-5, rtol=0)


def test_it_learns():
    losses = finish(pruning(1, steps=60, macs=0.6, lr=5e-4))
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


@pytest.mark.parametrize("parts", [1, 2])
def test_a_pruning_that_was_stopped_goes_on_to_the_same_end(tmp_path: Path, parts):
    whole, first, second = (pruning(1, steps=4, parts=parts) for _ in range(3))
    losses = finish(whole)
    run = first.run(batches(first.numbers))
    begun = [sum(next(run).values()) for _ in range(2)]
    first.save(tmp_path / "c")
    second.restore(tmp_path / "c")
    assert [*begun, *finish(second)] == losses
    for one, other in zip(cascade(whole).kept(0), cascade(second).kept(0), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(FileError, match="ask for the same"):
        pruning(1, steps=4, macs=0.5, parts=parts).restore(tmp_path / "c")


def test_what_does_not_go_together_is_refused():
    with pytest.raises(RequestError, match=r"-1 assistants, hints 0\.0: at least 0"):
        pruning(-1)
    with pytest.raises(RequestError, match="out of reach; the least that can be is"):
        pruning(1, macs=0.001)


def test_image_networks_are_pruned_too():
    torch.manual_seed(0)
    widths = [4, 4, 6, 6, 8, 8, 8, 8, 8, 8]
    net = build(Spec("superpoint", {"widths": widths, "dim": 8, "batch_norm": True}))
    terms = Weighted.read({"detection": {}, "correspondence": {}, "imitation": {}})
    objective = Cascaded(terms, Budget("macs", 0.4, share=True), 2)
    plan = Plan(steps=2, lr=1e-3, warmup=0, bf16=False)
    training = Training(net, Weighted({"cascade": (1.0, objective)}), plan, deepcopy(net))
    known = torch.rand(2, 3, 5, 3), torch.rand(3, 4, 5), torch.ones(2, 3, 2, 3, dtype=torch.bool)
    batch = ViewBatch(torch.rand(2, 3, 1, 16, 24), *known)
    assert len(list(training.run([batch, batch]))) == 2
    small, shape = training.result, (1, 16, 24)
    assert small(torch.rand(1, *shape)).descriptors.shape == (1, 8, 2, 3)
    assert cost(small, input_shape=shape).macs <= 0.4 * cost(net, input_shape=shape).macs


def test_of_views_each_model_is_taught_by_the_next():
    maps = [(torch.randn(2, 1, 65, 2, 3), torch.randn(2, 1, 4, 2, 3)) for _ in range(3)]
    rows = [torch.cat([part.flatten(2) for part in own], 2) for own in maps]
    known = torch.zeros(2, 1, 1, 3), torch.zeros(1, 1, 5), torch.ones(2, 1, 2, 3, dtype=torch.bool)
    chain = Viewed(*maps[0], *known, maps[2]).chain(rows[1])
    assert len(chain) == 2
    torch.testing.assert_close(chain[1].logits, maps[1][0])
    assert chain[0].teacher is not None
    torch.testing.assert_close(chain[0].teacher[1], maps[1][1])
    assert chain[1].teacher is maps[2]


def test_a_hint_is_the_mean_squared_difference_of_maps():
    own = [torch.zeros(2, 1, 1, 2), torch.zeros(2, 3, 1, 1)]
    other = [torch.tensor([[[[1.0, 1.0]]], [[[0.0, 0.0]]]]), torch.full((2, 3, 1, 1), 3.0)]
    assert hint(own, other).tolist() == [(1 + 9) / 2, 9 / 2]


@pytest.mark.parametrize("assistants", [0, 1, 2])
def test_hints_are_added_to_the_losses(assistants):
    """Unit weights of both: what they add is the mean over patches of the models' hints."""
    values = {}
    for hints in (0.0, 1.0, 2.0):
        torch.manual_seed(3)
        objective = Cascaded(
            Weighted.read(TERMS), Budget("macs", 0.3, share=True), assistants, hints=hints
        )
        plan = Plan(steps=1, lr=0.0, warmup=0, bf16=False)
        own = Training(network(), Weighted({"cascade": (1.0, objective)}), plan, network())
        values[hints] = sum(next(own.run(batches([0]))).values())
    added = values[1.0] - values[0.0]
    assert values[2.0] - values[0.0] == pytest.approx(2 * added, rel=1e-3, abs=1e-5)
    assert added > 1e-4 if assistants else added == pytest.approx(0, abs=1e-5)


def test_hints_below_0_are_refused():
    with pytest.raises(RequestError, match=r"hints -1\.0: at least 0"):
        Cascaded(Weighted.read(TERMS), Budget("macs", 0.3, share=True), hints=-1.0)
