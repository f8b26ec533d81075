"""Nearest neighbours between the features of two images, both ways."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from .distances import find_distance, nearest
from .errors import DataError


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each feature of either image its nearest neighbour in the other.

    Args:
        forward: Of each feature of image 1, the row in image 2; -1 where image 2 has none.
        forward_distances: How far it is; infinite where there is none.
        backward: Of each feature of image 2, the row in image 1.
        backward_distances: How far it is.
    """

    forward: Int[np.ndarray, " n"]
    forward_distances: Float[np.ndarray, " n"]
    backward: Int[np.ndarray, " m"]
    backward_distances: Float[np.ndarray, " m"]

    def mutual(self) -> Int[np.ndarray, "k 2"]:
        """Rows (i, j) that are each other's nearest neighbour, by i."""
        first = np.flatnonzero(self.forward >= 0)
        second = self.forward[first]
        kept = self.backward[second] == first
        return np.column_stack([first[kept], second[kept]])


def neighbours(first: Shaped[np.ndarray, "n d"], second: Shaped[np.ndarray, "m e"]) -> Neighbours:
    """Nearest neighbours by L2, or by the Hamming distance of packed bits (uint8).

    Distances are exact, and of equally near ones the first is taken.

    Raises:
        DataError: The descriptors of the two images are not of one kind.
    """
    if first.shape[1] != second.shape[1] or (first.dtype == np.uint8) != (second.dtype == np.uint8):
        kinds = " and ".join(f"{rows.shape[1]} x {rows.dtype}" for rows in (first, second))
        raise DataError(f"descriptors of two images must be of one kind, not {kinds}")
    return Neighbours(*_nearest(first, second), *_nearest(second, first))


def _nearest(
    queries: Shaped[np.ndarray, "n d"], rows: Shaped[np.ndarray, "m d"]
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    if not len(queries) or not len(rows):
        return np.full(len(queries), -1), np.full(len(queries), np.inf)
    _, distance = find_distance(None, packed=rows.dtype == np.uint8)
    return nearest(distance, queries, rows)
