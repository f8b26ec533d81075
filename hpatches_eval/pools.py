"""Descriptors prepared to be compared with many queries by one matrix product."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Shaped

Scores: TypeAlias = tuple[Float[np.ndarray, "q n"], Float[np.ndarray, " q"]]


class Pool(ABC):
    """Rows that queries are scored against; a score rises with the distance from the query."""

    @abstractmethod
    def scores(self, queries: Shaped[np.ndarray, "q d"]) -> Scores:
        """Scores of all rows, fresh memory, and how far off they may be (slack) for each query.

        Slack 0 means that scores order and tie exactly as distances do. Otherwise the score of
        the exact distance (`limits`) is within slack of the score given.
        """

    @abstractmethod
    def limits(
        self, queries: Shaped[np.ndarray, "q d"], distances: Float[np.ndarray, "q k"]
    ) -> Float[np.ndarray, "q k"]:
        """The scores of exact distances from the queries."""


class Exact(Pool):
    """Scores are the exact distances themselves.

    Args:
        matrix: Gives the distances of all pairs of two sets of rows.
    """

    def __init__(
        self,
        rows: Shaped[np.ndarray, "n d"],
        matrix: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ) -> None:
        self.rows = rows
        self.matrix = matrix

    def scores(self, queries: Shaped[np.ndarray, "q d"]) -> Scores:
        return self.matrix(queries, self.rows), np.zeros(len(queries))

    def limits(
        self, queries: Shaped[np.ndarray, "q d"], distances: Float[np.ndarray, "q k"]
    ) -> Float[np.ndarray, "q k"]:
        return distances


class Bits(Pool):
    """Scores are Hamming distances of packed bits: half of d minus a product of +-1, exact."""

    def __init__(self, rows: Shaped[np.ndarray, "n d"]) -> None:
        self.signs = _signs(rows)

    def scores(self, queries: Shaped[np.ndarray, "q d"]) -> Scores:
        agree = _signs(queries) @ self.signs.T
        return (self.signs.shape[1] - agree) / np.float32(2), np.zeros(len(queries))

    def limits(
        self, queries: Shaped[np.ndarray, "q d"], distances: Float[np.ndarray, "q k"]
    ) -> Float[np.ndarray, "q k"]:
        return distances.astype(np.float32)


class Products(Pool):
    """Scores for L2: |y|^2 - 2 x.y, the squared distance of x and y less |x|^2.

    With u the unit roundoff, a product of d terms summed in any order is off by at most
    d u / (1 - d u) |x| |y| (N. Higham, "Accuracy and stability of numerical algorithms", ch. 3).
    `_slack` adds up the roundings of the product, of |y|^2 and |x|^2, and those of the exact
    distance itself and of its square, all within multiples of u (|x| + |y|)^2. Where all values
    are integers and small enough, nothing is rounded and slack is 0.

    Args:
        dtype: Precision of the product.
    """

    def __init__(self, rows: Shaped[np.ndarray, "n d"], dtype: np.dtype) -> None:
        squares = _squares(rows)
        self.dtype = dtype
        self.norm = float(np.sqrt(squares.max()))
        self.integers = _integers(rows)
        with np.errstate(over="ignore"):
            self.rows = np.column_stack([rows.astype(dtype, copy=False), squares.astype(dtype)])

    def scores(self, queries: Shaped[np.ndarray, "q d"]) -> Scores:
        ones = np.ones(len(queries), self.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            left = np.column_stack([-2 * queries.astype(self.dtype, copy=False), ones])
            return left @ self.rows.T, self._slack(queries)

    def limits(
        self, queries: Shaped[np.ndarray, "q d"], distances: Float[np.ndarray, "q k"]
    ) -> Float[np.ndarray, "q k"]:
        scores = np.square(distances) - _squares(queries)[:, None]
        return np.where(self._slack(queries)[:, None] == 0, np.rint(scores), scores)

    def _slack(self, queries: Shaped[np.ndarray, "q d"]) -> Float[np.ndarray, " q"]:
        info, terms = np.finfo(self.dtype), self.rows.shape[1]
        reach = np.square(np.sqrt(_squares(queries)) + self.norm)
        rounding = 1.1 * (terms + 4) * float(info.eps) / 2 + (6 * terms + 32) * 2.0**-53
        slack = reach * rounding + 4 * terms * float(info.tiny)
        if self.integers and _integers(queries):
            slack[reach < min(0.9 / float(info.eps), 2.0**48)] = 0
        return slack


def _signs(packed: Shaped[np.ndarray, "n d"]) -> Float[np.ndarray, "n b"]:
    return 2 * np.unpackbits(packed, axis=1).astype(np.float32) - 1


def _squares(rows: Shaped[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    wide = rows.astype(np.float64, copy=False)
    return np.einsum("nd,nd->n", wide, wide)


def _integers(rows: Shaped[np.ndarray, "n d"]) -> bool:
    return bool(np.array_equal(rows, np.rint(rows)))
