"""What holds for all objectives of descriptors, or for all but those named."""

import pytest
import torch
from torch.nn.functional import normalize
from unit_vectors import batch, scattered, turned

from descompress.errors import RequestError
from descompress.objectives import OBJECTIVES, Seen, Viewed

TAUGHT = {"similarity", "imitation", "desdis", "itrd", "bkd"}
BESIDE = {"srm": True, "hierarchical": True, "pcl": False, "sequence": True}  # needs a teacher?
IN_ONE_SPACE = {"imitation", "itrd"}  # where the teacher's dimensions mean something
EXACT = {"similarity", "imitation", "desdis"}  # nothing left to learn from an equal teacher

OF_DESCRIPTORS = [
    name for name, kind in OBJECTIVES.items() if kind.looks_at in (Seen, (Seen, Viewed))
]
each = pytest.mark.parametrize("name", [name for name in OF_DESCRIPTORS if name not in BESIDE])


def value(name: str, seen: Seen) -> float:
    return OBJECTIVES[name]()(seen).item()


def gradients(name: str, seen: Seen) -> tuple[torch.Tensor, torch.Tensor]:
    sides = [side.clone().requires_grad_() for side in (seen.anchors, seen.positives)]
    OBJECTIVES[name]()(Seen(*sides, seen.teacher)).backward()
    return sides[0].grad, sides[1].grad


def changed(seen: Seen, change) -> Seen:
    """`change` made to the four sides in the same way."""
    assert seen.teacher is not None
    return Seen(
        change(seen.anchors),
        change(seen.positives),
        (change(seen.teacher[0]), change(seen.teacher[1])),
    )


def test_the_table_names_them_as_they_name_themselves():
    assert {name: kind.name for name, kind in OBJECTIVES.items()} == {n: n for n in OBJECTIVES}
    taught = TAUGHT | {name for name, needs in BESIDE.items() if needs}
    assert {name for name in OF_DESCRIPTORS if OBJECTIVES[name].needs_teacher} == taught


@pytest.mark.parametrize("name", BESIDE)
def test_objectives_of_more_than_descriptors_say_that_it_is_missing(name):
    with pytest.raises(RequestError, match=f"{name}: needs its companion to run beside"):
        OBJECTIVES[name]()(batch())


@each
def test_a_teacher_is_asked_for_where_one_is_needed(name):
    seen = batch()
    alone = Seen(seen.anchors, seen.positives)
    if name in TAUGHT:
        with pytest.raises(RequestError, match=f"{name}: needs a teacher, and there is none"):
            OBJECTIVES[name]()(alone)
    else:
        assert value(name, alone) == value(name, seen)


@each
def test_gradients_are_those_of_finite_differences(name):
    seen, loss = batch(5), OBJECTIVES[name]()
    sides = [side.clone().requires_grad_() for side in (seen.anchors, seen.positives)]
    assert torch.autograd.gradcheck(lambda a, p: loss(Seen(a, p, seen.teacher)), sides)


@each
def test_a_step_down_the_gradient_lowers_it(name):
    start = batch(9, 12, 6)
    sides = [side.clone().requires_grad_() for side in (start.anchors, start.positives)]
    loss = OBJECTIVES[name]()
    values = []
    for _ in range(4):
        now = loss(Seen(*(normalize(side, dim=1) for side in sides), start.teacher))
        values.append(now.item())
        slopes = torch.autograd.grad(now, sides)
        length = sum(slope.square().sum() for slope in slopes) ** 0.5
        with torch.no_grad():
            for side, slope in zip(sides, slopes, strict=True):
                side -= 0.02 * slope / length
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0]


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_precision_of_the_descriptors_is_kept(name, dtype):
    found = OBJECTIVES[name]()(changed(batch(), lambda side: side.to(dtype)))
    assert found.dtype == dtype
    assert found.shape == ()
    assert found.item() == pytest.approx(value(name, batch()), rel=1e-3, abs=1e-5)


@each
def test_half_a_precision_around_it_changes_nothing(name):
    seen = changed(batch(), lambda side: side.float())
    expected = value(name, seen)
    with torch.autocast("cpu", torch.bfloat16):
        assert value(name, seen) == pytest.approx(expected, rel=1e-6)


@each
def test_the_order_of_the_pairs_is_of_no_matter(name):
    seen = batch()
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    mixed = changed(seen, lambda side: side[order])
    assert value(name, mixed) == pytest.approx(value(name, seen), abs=1e-9)
    for found, expected in zip(gradients(name, mixed), gradients(name, seen), strict=True):
        torch.testing.assert_close(found, expected[order])


@each
def test_the_order_of_the_sides_is_of_no_matter(name):
    seen = batch()
    swapped = Seen(seen.positives, seen.anchors, seen.teacher[::-1])
    assert value(name, swapped) == pytest.approx(value(name, seen), abs=1e-9)


@each
def test_turning_all_spaces_together_or_the_students_alone(name):
    seen = batch()
    expected = value(name, seen)
    alone = Seen(turned(seen.anchors), turned(seen.positives), seen.teacher)
    if name in IN_ONE_SPACE:
        assert abs(value(name, alone) - expected) > 0.1
    else:
        assert value(name, alone) == pytest.approx(expected, abs=1e-9)
    if name != "itrd":  # whose dimensions are standardised each
        assert value(name, changed(seen, turned)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", sorted(EXACT))
def test_an_equal_teacher_has_nothing_to_teach(name):
    sides = scattered(0), scattered(1)
    seen = Seen(*sides, sides)
    assert value(name, seen) == pytest.approx(0, abs=1e-12)
    assert max(slope.abs().max() for slope in gradients(name, seen)) < 1e-9


ROWS = {
    "all the same": torch.ones(4, 8),
    "one other": torch.ones(4, 8) - torch.eye(4, 8)[[1, 0, 1, 1]],
    "duplicates": scattered(0, 2, 8).float()[[0, 0, 1, 1]],
    "opposite": torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None] * torch.ones(4, 8),
    "on the axes": torch.eye(4, 8),
    "scattered": scattered(0, 4, 8).float(),
    "a batch of two": scattered(0, 2, 8).float(),
    "two the same": torch.ones(2, 8),
    "a batch of one": scattered(0, 1, 8).float(),
}


@each
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("other", ["same", "scattered", "turned", "opposite"])
@pytest.mark.parametrize("taught", ["equal", "scattered", "collapsed"])
def test_values_and_gradients_are_finite_at_the_limits(name, rows, other, taught):
    anchors = normalize(rows, dim=1)
    shape = tuple(anchors.shape)
    others = {
        "same": anchors,
        "scattered": scattered(1, *shape).float(),
        "turned": turned(anchors),
        "opposite": -anchors,
    }
    teachers = {
        "equal": (anchors, others[other]),
        "scattered": (scattered(2, *shape).float(), scattered(3, *shape).float()),
        "collapsed": (anchors[:1].expand(shape), anchors[:1].expand(shape)),
    }
    seen = Seen(anchors, others[other], teachers[taught])
    assert torch.isfinite(torch.tensor(value(name, seen)))
    assert all(torch.isfinite(slope).all() for slope in gradients(name, seen))
