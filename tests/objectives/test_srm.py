import math

import numpy as np
import pytest
import torch
from family import SMALL, TEACHER, conv_net, patches
from torch import nn
from unit_vectors import scattered

from descompress.errors import RequestError
from descompress.nets import build
from descompress.objectives import Learner, Seen
from descompress.objectives.companions import Passage, outputs_of
from descompress.objectives.srm import (
    SRM,
    Dictionary,
    image_loss,
    pixel_loss,
    reconstruction_loss,
    sparse_codes,
)

LN3 = math.log(3)  # sigmoid(ln 3) = 3/4


def pixels(*values: tuple[float, ...]) -> torch.Tensor:
    """A map of one row: channels of each pixel."""
    return torch.tensor(values, dtype=torch.float64).T[None, :, None]


def test_a_pixel_keeps_its_strongest_atoms():
    logits = pixels((0.0, LN3, -LN3), (-LN3, 0.0, LN3))
    torch.testing.assert_close(sparse_codes(logits, 1), pixels((0, 0.75, 0), (0, 0, 0.75)))
    torch.testing.assert_close(sparse_codes(logits, 2), pixels((0.5, 0.75, 0), (0, 0.5, 0.75)))


def test_of_equal_atoms_no_more_are_kept_than_asked():
    assert (sparse_codes(pixels((1.0, 1.0, 1.0)), 2) > 0).sum() == 2


def test_a_dictionary_answers_with_inner_products_and_its_intercept():
    dictionary = Dictionary(2, 3).double()
    assert [name for name, _ in dictionary.named_parameters()] == ["atoms", "intercept"]
    dictionary.atoms.data = torch.tensor([[1.0, 0, -1], [0, 2, 1]]).double()
    dictionary.intercept.data = torch.tensor(0.5).double()
    torch.testing.assert_close(
        dictionary(pixels((3, 1), (0, 2))).detach(), pixels((3.5, 2.5, -1.5), (0.5, 4.5, 2.5))
    )


def test_what_the_atoms_do_not_make_up_is_lost():
    atoms = torch.tensor([[2.0, 0], [0, 1]]).double()
    maps, codes = pixels((1, 2), (0, 3)), pixels((0.5, 1), (0, 0))
    # D s: (1, 1) and (0, 0). Squares: 0, 1 and 0, 9.
    assert reconstruction_loss(maps, codes, atoms).tolist() == pytest.approx([10 / 4])


def test_pixels_are_told_by_their_atom():
    logits, labels = pixels((0, LN3), (0, LN3)), torch.tensor([[[1, 0]]])
    expected = (math.log(4 / 3) + math.log(4)) / 2
    assert pixel_loss(logits, labels).tolist() == pytest.approx([expected])


def test_images_are_told_by_how_much_of_them_an_atom_makes_up():
    logits, labels = pixels((0, 0), (LN3, 0)), torch.tensor([[0.25, 0.5]]).double()
    # Shares of the student: 5/8 and 1/2.
    first = -0.25 * math.log(5 / 8) - 0.75 * math.log(3 / 8)
    assert image_loss(logits, labels).tolist() == pytest.approx([(first + math.log(2)) / 2])


def test_the_dictionary_settles_before_its_labels_count():
    columns = torch.tensor([[[1.0, 2.0, 10.0, 20.0]] * 2, [[3.0, 4.0, 30.0, 60.0]] * 2])
    rows = scattered(0, 2).float()
    for progress, expected in ((0.0, 5.0), (0.19, 5.0), (0.2, 60.0), (0.9, 60.0)):
        seen = Seen(rows, rows, (rows, rows), {"srm": columns}, progress)
        assert SRM(settling=0.2)(seen).item() == pytest.approx(expected)


def test_the_teachers_dictionary_stands_still_once_it_has_settled():
    torch.manual_seed(0)
    net, teacher = conv_net(3), conv_net(5)
    learner = Learner(net, {"srm": SRM(grid=2, settling=0.5).companion(net, teacher)})
    optimizer = torch.optim.AdamW(learner.weights, lr=1e-2)
    taught = learner.companions["srm"].taught
    moved = []
    for step in range(6):
        before = taught[0].atoms.detach().clone()
        learner.begin_(step, 6)
        optimizer.zero_grad()
        learner(patches(3)).square().mean().backward()
        optimizer.step()  # with momentum and decay of weights
        moved.append(not torch.equal(before, taught[0].atoms))
    assert moved == [True] * 3 + [False] * 3


def test_the_columns_are_those_of_loops_over_pixels():
    torch.manual_seed(0)
    net, teacher = conv_net(3), conv_net(5)
    learner = Learner(net, {"srm": SRM(levels=2, grid=2, kept=0.2).companion(net, teacher)})
    companion = learner.companions["srm"]
    assert companion.sizes == [(8, 8), (16, 16)]
    assert companion.kept == [2, 2]  # a fifth of the 10 atoms of 5 channels
    x = patches(3)
    columns = learner.split(learner.eval()(x)[None].expand(2, -1, -1))[1]["srm"][0]
    for level, (place, side) in enumerate(((3, 8), (1, 16))):
        maps = [n[: place + 1](x).detach().double().numpy() for n in (net, teacher)]
        cells = [m.reshape(3, -1, 2, side // 2, 2, side // 2).mean((3, 5)) for m in maps]
        own, taught = (d[level] for d in (companion.own, companion.taught))
        for n in range(3):
            expected = looped(own, taught, cells[0][n], cells[1][n])
            found = columns[n, level].item(), columns[n, 2 + level].item()
            assert found == pytest.approx(expected, rel=1e-4)


def looped(own, taught, student: np.ndarray, teacher: np.ndarray) -> tuple[float, float]:
    """Both losses of one image with two atoms kept."""
    d, e = (x.atoms.detach().double().numpy() for x in (taught, own))
    b, c = (x.intercept.item() for x in (taught, own))
    lost, crossed, codes, shares = [], [], [], []
    for i, j in np.ndindex(teacher.shape[1:]):
        s = 1 / (1 + np.exp(-(teacher[:, i, j] @ d + b)))
        s[np.argsort(s)[:-2]] = 0
        z = student[:, i, j] @ e + c
        lost.append(((teacher[:, i, j] - d @ s) ** 2).mean())
        crossed.append(np.log(np.exp(z).sum()) - z[s.argmax()])
        codes.append(s)
        shares.append(1 / (1 + np.exp(-z)))
    y, p = np.mean(codes, 0), np.mean(shares, 0)
    image = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    return float(np.mean(lost)), float(np.mean(crossed) + image)


def test_the_reconstruction_teaches_the_teachers_dictionary_and_the_labels_the_student():
    torch.manual_seed(0)
    net, teacher = build(SMALL), build(TEACHER).eval().requires_grad_(False)
    companion = SRM().companion(net, teacher)
    with outputs_of(companion.watched) as outputs:
        rows = net(patches(4))
    columns = companion(Passage(patches(4), rows, outputs))
    parts = {"taught": companion.taught, "own": companion.own, "net": net.features[:3]}
    weights = {name: list(part.parameters()) for name, part in parts.items()}
    everything = [weight for part in weights.values() for weight in part]
    for half, reached in ((slice(0, 2), {"taught"}), (slice(2, 4), {"own", "net"})):
        loss = columns[:, half].sum()
        slopes = torch.autograd.grad(loss, everything, retain_graph=True, allow_unused=True)
        by_weight = dict(zip(everything, slopes, strict=True))
        for name, part in weights.items():
            for slope in (by_weight[w] for w in part):
                assert (slope is not None and slope.any()) == (name in reached), name
                assert slope is None or torch.isfinite(slope).all()


@pytest.mark.parametrize("size", [0.0, 1.0, 1e4])
def test_gradients_are_finite_where_sigmoids_are_full(size):
    logits = (size * torch.randn(2, 4, 3, 3)).requires_grad_()
    codes = sparse_codes(-logits.detach(), 2)
    told = pixel_loss(logits, codes.argmax(1)) + image_loss(logits, codes.mean((2, 3)))
    loss = told.sum() + reconstruction_loss(logits, sparse_codes(logits, 1), torch.ones(4, 4)).sum()
    loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 2, 2).double().requires_grad_()
    codes = sparse_codes(torch.randn(2, 4, 2, 2).double(), 2)
    atoms, maps = torch.randn(3, 4).double(), torch.randn(2, 3, 2, 2).double()
    assert torch.autograd.gradcheck(lambda z: pixel_loss(z, codes.argmax(1)), [logits])
    assert torch.autograd.gradcheck(lambda z: image_loss(z, codes.mean((2, 3))), [logits])
    assert torch.autograd.gradcheck(
        lambda z: reconstruction_loss(maps, sparse_codes(z, 2), atoms), [logits]
    )


def test_a_teacher_that_is_not_there_or_has_no_such_maps_is_refused():
    net = build(SMALL)
    with pytest.raises(RequestError, match="srm: needs a teacher to run beside the network"):
        SRM().companion(net, None)
    odd = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1800, 4))
    with pytest.raises(RequestError, match=r"srm: needs maps of one size in .* 16, 32 x 32 and 30"):
        SRM().companion(net, odd)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": 0}, "levels and grid of at least 1"),
        ({"grid": 0}, "levels and grid of at least 1"),
        ({"atoms": 0.0}, "0 < atoms <= 64"),
        ({"atoms": 1e12}, "0 < atoms <= 64"),
        ({"kept": 0.0}, "0 < kept <= 1"),
        ({"kept": 1.5}, "0 < kept <= 1"),
        ({"settling": 0.0}, "0 < settling < 1"),
        ({"settling": 1.0}, "0 < settling < 1"),
    ],
)
def test_settings_without_sense_are_refused(settings, message):
    with pytest.raises(RequestError, match=f"srm: needs .*{message}"):
        SRM(**settings)
