"""How many components of a noisy matrix are signal.

Source: S. Nakajima, M. Sugiyama, S. D. Babacan, R. Tomioka, "Global analytic solution of fully
observed variational Bayesian matrix factorization", JMLR 14, 2013 (the empirical Bayes solution),
in the form of S. Nakajima, R. Tomioka, M. Sugiyama, S. D. Babacan, "Condition for perfect
dimensionality recovery by variational Bayesian PCA", JMLR 16, 2015 (threshold, noise variance).
"""

from math import ceil

import numpy as np
from jaxtyping import Float
from torch import Tensor

GRID = 200  # noise variances tried over an interval, twice: the second time around the best


def vbmf_rank(matrix: Float[Tensor, "l m"]) -> int:
    """The rank that empirical variational Bayes keeps of `matrix`, at least 1.

    The noise variance is estimated too, so the answer does not depend on the scale of `matrix`.
    """
    singular = np.linalg.svd(matrix.double().cpu().numpy(), compute_uv=False)
    if not singular[0] > 0:
        return 1
    squares = np.maximum((singular / singular[0]) ** 2, 1e-14)
    small, large = sorted(matrix.shape)
    alpha = small / large
    threshold = _threshold(alpha)
    noise = _noise_variance(squares, small, large, threshold)
    return max(1, int((squares > large * noise * threshold).sum()))


def _threshold(alpha: float) -> float:
    """The smallest squared singular value that is kept, over large * noise variance."""
    from scipy.optimize import brentq

    def phi(z: float) -> float:
        return np.log1p(z) / z - 0.5

    tau = float(brentq(lambda t: phi(t) + phi(t / alpha), 1e-9, 100.0))  # pyright: ignore
    return (1 + tau) * (1 + alpha / tau)


def _noise_variance(
    squares: Float[np.ndarray, " l"], small: int, large: int, threshold: float
) -> float:
    """The minimiser of the free energy over the interval that is known to hold it."""
    alpha = small / large
    spared = min(ceil(small / (1 + alpha)) - 1, small - 1)
    low = squares[spared] / (large * threshold)
    high = squares.sum() / (small * large)
    if not low < high:
        return float(high)

    grid, best = np.array([high]), 0
    for _ in range(2):
        grid = np.geomspace(low, high, GRID)
        best = int(np.argmin([_free_energy(squares / (large * g), alpha, threshold) for g in grid]))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)]
    return float(grid[best])


def _free_energy(x: Float[np.ndarray, " l"], alpha: float, threshold: float) -> float:
    """Up to constants; `x` are squared singular values over large * noise variance."""
    kept = x[x > threshold]
    excess = kept - (1 + alpha)
    tau = 0.5 * (excess + np.sqrt(excess**2 - 4 * alpha))
    gain = np.log1p(tau) + alpha * np.log1p(tau / alpha) - tau
    return float((x - np.log(x)).sum() + gain.sum())
