"""Average precision and ROC as the reference benchmark defines them.

Equal scores keep the order they are given in (stable sort); scores of -inf are never retrieved.
Source: hpatches/hpatches-benchmark, python/utils/metrics.py, commit e0c993c.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped

from .errors import DataError

_SMALL = 1e-10


def ap(
    scores: Float[np.ndarray, " n"],
    labels: Bool[np.ndarray, " n"],
    *,
    positives: int | None = None,
) -> float:
    """Area under precision over recall by the trapezoid rule, starting at (0, 1).

    Args:
        scores: Higher is retrieved earlier.
        positives: How many there were to find; those not in `labels` are never retrieved.
    """
    hits = np.flatnonzero(labels[_retrieved(scores)])
    total = np.count_nonzero(labels) if positives is None else positives
    ahead = hits - np.arange(len(hits))
    return float(ap_from_counts(ahead) * len(hits) / total) if len(hits) else 0.0


def auc(scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> float:
    """Area under the true positive rate over the false positive rate.

    Raises:
        DataError: All labels are the same.
    """
    fpr, tpr = _roc(scores, labels)
    return float(np.sum(np.diff(fpr) * tpr[1:]))  # where fpr moves, tpr does not


def fpr_at_recall(
    scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"], recall: float = 0.95
) -> float:
    """Share of the negatives retrieved by the time `recall` of the positives are.

    Equal scores are retrieved together, so that the order of the pairs does not matter. This is
    the measure of the PhotoTour sets, at 0.95.

    Raises:
        DataError: All labels are the same.
    """
    _check_both(labels)
    positives = np.sort(scores[labels])[::-1]
    threshold = positives[int(np.ceil(recall * len(positives))) - 1]
    return float(np.mean(scores[~labels] >= threshold))


def ap_from_counts(ahead: Int[np.ndarray, "*many p"]) -> Float[np.ndarray, "*many"]:
    """The same area from how many negatives were retrieved before each positive.

    Recall moves at positives only, by 1 / p, and there precision goes from (k - 1) / (k - 1 + c)
    to k / (k + c), where c negatives are ahead of the k-th positive.

    Args:
        ahead: For the p positives in the order of their retrieval.
    """
    k = np.arange(1, ahead.shape[-1] + 1)
    after = k / (k + ahead)
    before = np.maximum(k - 1, _SMALL) / np.maximum(k - 1 + ahead, _SMALL)
    return np.asarray((after + before).mean(axis=-1) / 2)


def counts_ahead(
    positives: Num[np.ndarray, " p"], negatives: Num[np.ndarray, " n"]
) -> Int[np.ndarray, " p"]:
    """For each positive distance, in rising order, the negatives at most as far.

    A negative as far as a positive is ahead of it, as in verification.
    """
    return np.searchsorted(np.sort(negatives), np.sort(positives), side="right")


def _retrieved(scores: Shaped[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    order = np.argsort(-scores, kind="stable")
    return order[: np.count_nonzero(scores > -np.inf)]


def _roc(
    scores: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    _check_both(labels)
    hits = labels[_retrieved(scores)]
    tpr = np.append(0, np.cumsum(hits)) / labels.sum()
    fpr = np.append(0, np.cumsum(~hits)) / (~labels).sum()
    return fpr, tpr


def _check_both(labels: Bool[np.ndarray, " n"]) -> None:
    if labels.all() or not labels.any():
        raise DataError("labels: a ROC curve needs positives and negatives")
