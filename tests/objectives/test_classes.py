import math

import pytest
import torch
from torch.nn.functional import normalize
from views import viewed

from descompress.classification import softened_kl
from descompress.errors import RequestError
from descompress.objectives import Judged, Seen, Weighted
from descompress.objectives.classes import SoftLabels

LOGITS = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])  # probabilities 1/4, 3/4 and 1/2, 1/2
LABELS = torch.tensor([1, 0])


def test_cross_entropy_is_that_of_the_labels():
    terms = Weighted.read({"cross_entropy": {"weight": 2}})
    found = terms(Judged(LOGITS, LABELS))["cross_entropy"]
    assert found.item() == pytest.approx(2 * (math.log(4 / 3) + math.log(2)) / 2)


def test_soft_labels_are_the_teachers_at_a_temperature():
    terms = Weighted.read({"soft_labels": {"temperature": 2.0}})
    teacher = torch.tensor([[0.0, 2 * math.log(3)], [0.0, 0.0]])  # 1/4, 3/4 at temperature 2
    student = torch.zeros(2, 2)
    divergence = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    found = terms(Judged(student, LABELS, teacher))["soft_labels"]
    assert found.item() == pytest.approx(4 * divergence / 2)
    with pytest.raises(RequestError, match="soft_labels: needs a teacher, and there is none"):
        terms(Judged(student, LABELS))
    with pytest.raises(RequestError, match="temperature must be above 0, not 0"):
        Weighted.read({"soft_labels": {"temperature": 0}})


def test_objectives_of_another_kind_of_network_are_refused():
    rows = normalize(torch.rand(3, 4), dim=1)
    with pytest.raises(RequestError, match="cross_entropy: an objective of classifiers, not of"):
        Weighted.read({"cross_entropy": {}})(Seen(rows, rows))
    with pytest.raises(RequestError, match="of descriptors of patches, not of classifiers"):
        Weighted.read({"triplet": {}})(Judged(LOGITS, LABELS))


def test_models_in_a_chain_are_taught_by_the_next():
    own, beside = LOGITS, torch.arange(8.0).view(1, 2, 4).requires_grad_()
    teacher = torch.ones(2, 2)
    chain = Judged(own, LABELS, teacher).chain(beside)
    assert [model.logits.tolist() for model in chain] == [
        LOGITS.tolist(),
        [[0.0, 1.0], [4.0, 5.0]],
        [[2.0, 3.0], [6.0, 7.0]],
    ]
    assert [model.teacher.tolist() for model in chain] == [
        [[0.0, 1.0], [4.0, 5.0]],
        [[2.0, 3.0], [6.0, 7.0]],
        [[1.0, 1.0], [1.0, 1.0]],
    ]
    assert not any(model.teacher.requires_grad for model in chain)


def test_a_cell_is_an_image_to_the_soft_labels_of_a_detector():
    logits, taught = torch.randn(2, 2, 1, 65, 2, 3).unbind()
    told = taught, torch.zeros(2, 1, 4, 2, 3)
    found = SoftLabels(temperature=2.0)(viewed(logits=logits, teacher=told))
    rows = [maps.movedim(2, -1).reshape(-1, 65) for maps in (logits, taught)]
    torch.testing.assert_close(found, softened_kl(*rows, 2.0))
