"""Exact distances between descriptors, and what needs few of them: nearest ones and ranks.

What "exact" means is what the reference benchmark computes: matching and retrieval compare the
float64 values of `scipy.spatial.distance.cdist`, which adds term by term; verification compares
float32 values. Where a matrix product stands in for `cdist`, its error is bounded, and whatever
the bound leaves open is decided by `cdist` itself, so that no rank and no tie differs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped

from .errors import RequestError
from .pools import Bits, Exact, Pool, Products

_BLOCK = 256  # rows of a score matrix at a time: it stays in the cache


class Distance(ABC):
    """How far apart two descriptors are."""

    @abstractmethod
    def pool(self, rows: Shaped[np.ndarray, "n d"], precision: np.dtype) -> Pool:
        """Rows prepared for comparison.

        Args:
            precision: Of the products that may stand in for distances: float32 is fast, float64
                leaves less for `matrix` to decide.
        """

    @abstractmethod
    def matrix(
        self, a: Shaped[np.ndarray, "n d"], b: Shaped[np.ndarray, "m d"]
    ) -> Float[np.ndarray, "n m"]:
        """Exact distances of all pairs, float64."""

    @abstractmethod
    def paired(
        self, a: Shaped[np.ndarray, "n d"], b: Shaped[np.ndarray, "n d"]
    ) -> Float[np.ndarray, " n"]:
        """Exact distances of a[i] and b[i], bit for bit those of `matrix`."""

    @abstractmethod
    def verified(
        self, a: Shaped[np.ndarray, "n d"], b: Shaped[np.ndarray, "n d"]
    ) -> Float[np.ndarray, " n"]:
        """Distances of a[i] and b[i] in the precision of the descriptors, as verification uses."""


class L2(Distance):
    """The Euclidean distance."""

    def pool(self, rows: Shaped[np.ndarray, "n d"], precision: np.dtype) -> Pool:
        return Products(rows, precision)

    def matrix(
        self, a: Shaped[np.ndarray, "n d"], b: Shaped[np.ndarray, "m d"]
    ) -> Float[np.ndarray, "n m"]:
        return _all_pairs(a, b, "euclidean", self.paired)

    def paired(
        self, a: Shaped[np.ndarray, "n d"], b: Shaped[np.ndarray, "n d"]
    ) -> Float[np.ndarray, " n"]:
        return np.sqrt(_in_turn(np.square(_apart(a, b))))

    def verified(
        self, a: Shaped[np.ndarray, "n d"], b: Shaped[np.ndarray, "n d"]
    ) -> Float[np.ndarray, " n"]:
        apart = (a - b).astype(np.float64, copy=False)
        return np.sqrt(np.einsum("nd,nd->n", apart, apart)).astype(a.dtype)


class L1(Distance):
    """The city-block distance."""

    def pool(self, rows: Shaped[np.ndarray, "n d"], precision: np.dtype) -> Pool:
        return Exact(rows, self.matrix)

    def matrix(
        self, a: Shaped[np.ndarray, "n d"], b: Shaped[np.ndarray, "m d"]
    ) -> Float[np.ndarray, "n m"]:
        return _all_pairs(a, b, "cityblock", self.paired)

    def paired(
        self, a: Shaped[np.ndarray, "n d"], b: Shaped[np.ndarray, "n d"]
    ) -> Float[np.ndarray, " n"]:
        return _in_turn(np.abs(_apart(a, b)))

    def verified(
        self, a: Shaped[np.ndarray, "n d"], b: Shaped[np.ndarray, "n d"]
    ) -> Float[np.ndarray, " n"]:
        return np.abs(a - b).sum(axis=1)


class Hamming(Distance):
    """How many bits of packed binary descriptors differ.

    L1 of the bits as numbers is the same number and L2 its square root: ranks and ties are
    theirs.
    """

    def pool(self, rows: Shaped[np.ndarray, "n d"], precision: np.dtype) -> Pool:
        return Bits(rows)

    def matrix(
        self, a: Shaped[np.ndarray, "n d"], b: Shaped[np.ndarray, "m d"]
    ) -> Float[np.ndarray, "n m"]:
        return Bits(b).scores(a)[0].astype(np.float64)

    def paired(
        self, a: Shaped[np.ndarray, "n d"], b: Shaped[np.ndarray, "n d"]
    ) -> Float[np.ndarray, " n"]:
        return _ONES[a ^ b].sum(axis=1, dtype=np.float64)

    def verified(
        self, a: Shaped[np.ndarray, "n d"], b: Shaped[np.ndarray, "n d"]
    ) -> Float[np.ndarray, " n"]:
        return self.paired(a, b).astype(np.float32)


def _all_pairs(
    a: Shaped[np.ndarray, "n d"],
    b: Shaped[np.ndarray, "m d"],
    metric: str,
    paired: Callable[..., Float[np.ndarray, " k"]],
) -> Float[np.ndarray, "n m"]:
    """By SciPy, and where that is not installed by `paired`: the same numbers."""
    try:
        from scipy.spatial.distance import cdist
    except ImportError:
        rows, columns = np.repeat(a, len(b), axis=0), np.tile(b, (len(a), 1))
        return paired(rows, columns).reshape(len(a), len(b))
    return cdist(a, b, metric)  # pyright: ignore[reportCallIssue, reportArgumentType]


DISTANCES: dict[str, Distance] = {"L2": L2(), "L1": L1(), "Hamming": Hamming()}
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)


def named(name: str) -> str:
    """The distance of a name in any case, as it is spelt.

    Raises:
        RequestError: There is none of this name.
    """
    found = {key.lower(): key for key in DISTANCES}.get(name.lower())
    if found is None:
        raise RequestError(f"distance {name!r}: there are {', '.join(DISTANCES)}")
    return found


def find_distance(name: str | None, *, packed: bool) -> tuple[str, Distance]:
    """The distance of a name in any case; without one, Hamming for packed bits and L2 else.

    Raises:
        RequestError: There is none of this name, or it does not fit the descriptors.
    """
    fit = ["Hamming"] if packed else ["L2", "L1"]
    found = fit[0] if name is None else named(name)
    if found not in fit:
        kind = "packed binary (uint8)" if packed else "real-valued"
        raise RequestError(f"distance {found}: {kind} descriptors need {' or '.join(fit)}")
    return found, DISTANCES[found]


def nearest(
    distance: Distance, queries: Shaped[np.ndarray, "q d"], rows: Shaped[np.ndarray, "n d"]
) -> tuple[Int[np.ndarray, " q"], Float[np.ndarray, " q"]]:
    """The row nearest to each query, the first of equally near ones, and its exact distance."""
    pool = distance.pool(rows, rows.dtype)
    index = np.concatenate(
        [
            _nearest(distance, queries[at : at + _BLOCK], rows, pool)
            for at in range(0, len(queries), _BLOCK)
        ]
    )
    return index, distance.paired(queries, rows[index])


def _nearest(
    distance: Distance,
    queries: Shaped[np.ndarray, "q d"],
    rows: Shaped[np.ndarray, "n d"],
    pool: Pool,
) -> Int[np.ndarray, " q"]:
    scores, slack = pool.scores(queries)
    every = np.arange(len(queries))
    index = scores.argmin(axis=1)
    best = scores[every, index].astype(np.float64)
    scores[every, index] = np.inf
    clear = (slack == 0) | (scores.min(axis=1) > best + 2 * slack)
    open_ = np.flatnonzero(~clear)
    if len(open_):
        index[open_] = distance.matrix(queries[open_], rows).argmin(axis=1)
    return index


def nearer(
    distance: Distance,
    queries: Shaped[np.ndarray, "q d"],
    rows: Shaped[np.ndarray, "n d"],
    limits: Float[np.ndarray, "q k"],
    ends: Sequence[int],
) -> Int[np.ndarray, "q k e"]:
    """How many of the first `end` rows, for each of `ends`, are nearer than each limit.

    Args:
        limits: Exact distances from the query (`Distance.paired`), rising along k.
        ends: Rising, at most the number of rows.
    """
    pool = distance.pool(rows, np.dtype(np.float64))
    counts = np.empty((*limits.shape, len(ends)), np.int64)
    for at in range(0, len(queries), _BLOCK):
        part = slice(at, at + _BLOCK)
        counts[part] = _nearer(distance, queries[part], rows, pool, limits[part], ends)
    return counts


def _nearer(
    distance: Distance,
    queries: Shaped[np.ndarray, "q d"],
    rows: Shaped[np.ndarray, "n d"],
    pool: Pool,
    limits: Float[np.ndarray, "q k"],
    ends: Sequence[int],
) -> Int[np.ndarray, "q k e"]:
    scores, slack = pool.scores(queries)
    at = pool.limits(queries, limits)
    low, high = at - slack[:, None], at + slack[:, None]
    under, over = _below(scores, low, high, ends)
    open_ = np.flatnonzero((slack > 0) & (under != over).any(axis=(1, 2)))
    if len(open_):
        exact = distance.matrix(queries[open_], rows)
        under[open_], _ = _below(exact, limits[open_], limits[open_], ends)
    return under


def _below(
    values: Float[np.ndarray, "q n"],
    low: Float[np.ndarray, "q k"],
    high: Float[np.ndarray, "q k"],
    ends: Sequence[int],
) -> tuple[Int[np.ndarray, "q k e"], Int[np.ndarray, "q k e"]]:
    """For the first `end` values of each row, how many are < low and how many are <= high.

    Sorts `values` in place, segment by segment.
    """
    under = np.zeros((*low.shape, len(ends)), np.int64)
    over = np.zeros_like(under)
    begin = 0
    for column, end in enumerate(ends):
        segment = values[:, begin:end]
        segment.sort(axis=1)
        for i, row in enumerate(segment):
            under[i, :, column] = np.searchsorted(row, low[i], side="left")
            over[i, :, column] = np.searchsorted(row, high[i], side="right")
        begin = end
    return under.cumsum(axis=2), over.cumsum(axis=2)


def _apart(a: Shaped[np.ndarray, "n d"], b: Shaped[np.ndarray, "n d"]) -> Float[np.ndarray, "d n"]:
    return np.subtract(a.T, b.T, dtype=np.float64, order="C")


def _in_turn(terms: Float[np.ndarray, "d n"]) -> Float[np.ndarray, " n"]:
    """Sums over d, one term after the other as `cdist` adds them (`sum` may add pairwise)."""
    total = np.zeros(terms.shape[1])
    for term in terms:
        total += term
    return total
