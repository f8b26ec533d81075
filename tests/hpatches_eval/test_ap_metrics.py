from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpatches_eval.errors import DataError
from hpatches_eval.metrics import ap, ap_from_counts, auc, counts_ahead, fpr_at_recall

ranked = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40)


def by_definition(scores, labels, positives=None):
    """Precision and recall point by point, and the area under them by trapezoids."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])  # stable
    total = sum(labels) if positives is None else positives
    points, hits = [(0.0, 1.0)], 0
    for rank, i in enumerate(order, 1):
        hits += labels[i]
        points.append((hits / total, max(hits, 1e-10) / rank))
    area = 0.0
    for (r0, p0), (r1, p1) in pairwise(points):
        area += (r1 - r0) * (p0 + p1) / 2
    return area


def arrays(pairs):
    scores, labels = zip(*pairs, strict=True)
    return np.array(scores, float), np.array(labels, bool)


def test_ap_by_hand():
    # hit, miss, hit: (0, 1) (.5, 1) (.5, .5) (1, 2/3)
    found = ap(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    assert found == pytest.approx(0.5 * 1 + 0.5 * (0.5 + 2 / 3) / 2)


def test_a_first_miss_starts_from_precision_one():
    # (0, 1) (0, ~0) (1, .5): the drop has no width, and the climb starts at ~0
    assert ap(np.array([2.0, 1.0]), np.array([False, True])) == pytest.approx(0.25)


def test_equal_scores_keep_their_order():
    scores = np.zeros(2)
    assert ap(scores, np.array([True, False])) == pytest.approx(1.0)
    assert ap(scores, np.array([False, True])) == pytest.approx(0.25)


def test_what_scores_minus_infinity_is_never_retrieved():
    scores, labels = np.array([1.0, -np.inf]), np.array([True, True])
    assert ap(scores, labels) == pytest.approx(0.5)


def test_positives_that_are_not_listed_lower_recall():
    assert ap(np.array([1.0]), np.array([True]), positives=4) == pytest.approx(0.25)
    assert ap(np.array([1.0]), np.array([False]), positives=4) == 0


@given(ranked, st.integers(0, 3))
def test_ap_is_the_area_by_definition(pairs, more):
    scores, labels = arrays(pairs)
    positives = int(labels.sum()) + more
    if positives:
        expected = by_definition(scores, labels, positives)
        assert ap(scores, labels, positives=positives) == pytest.approx(expected, abs=1e-9)


@given(ranked)
def test_counts_of_negatives_ahead_give_the_same_ap(pairs):
    distances, labels = arrays(pairs)
    positives, negatives = distances[labels], distances[~labels]
    if len(positives):
        negatives_first = np.concatenate([negatives, positives])
        expected = ap(-negatives_first, np.arange(len(distances)) >= len(negatives))
        found = ap_from_counts(counts_ahead(positives, negatives))
        assert found == pytest.approx(expected, abs=1e-12)


@given(ranked)
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs):
    scores, labels = arrays([(s + 0.1 * i, x) for i, (s, x) in enumerate(pairs)])
    if labels.any() and not labels.all():
        right = scores[labels][:, None] > scores[~labels]
        ties = scores[labels][:, None] == scores[~labels]
        if not ties.any():
            assert auc(scores, labels) == pytest.approx(right.mean())


def test_equal_scores_keep_their_order_under_the_roc_curve():
    assert auc(np.zeros(2), np.array([True, False])) == 1
    assert auc(np.zeros(2), np.array([False, True])) == 0


def test_fpr_at_95_by_hand():
    # 20 positives score 20 ... 1; 19 of them are found at a score of 2, where 3 of 4 negatives are
    scores = np.concatenate([np.arange(20, 0, -1), [30, 5, 2, 1]]).astype(float)
    assert fpr_at_recall(scores, np.arange(24) < 20) == 3 / 4
    assert fpr_at_recall(scores, np.arange(24) < 20, recall=1.0) == 1
    # 95 % of 19 is more than 18: all are needed
    assert fpr_at_recall(scores[1:], np.arange(23) < 19) == 1


@given(ranked)
def test_fpr_does_not_depend_on_the_order_of_pairs(pairs):
    scores, labels = arrays(pairs)
    if labels.any() and not labels.all():
        assert fpr_at_recall(scores, labels) == fpr_at_recall(scores[::-1], labels[::-1])


@pytest.mark.parametrize("labels", [[True, True], [False, False]])
def test_a_roc_curve_needs_both_labels(labels):
    for metric in (auc, fpr_at_recall):
        with pytest.raises(DataError, match="needs positives and negatives"):
            metric(np.array([1.0, 2.0]), np.array(labels))
