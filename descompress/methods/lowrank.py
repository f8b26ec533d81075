"""The best approximations of convolution weights by factors."""

import torch
from jaxtyping import Float
from torch import Tensor


def channel_factors(
    weight: Float[Tensor, "n c kh kw"], rank: int
) -> tuple[Float[Tensor, "n m"], Float[Tensor, "m 1 kh kw"]]:
    """Kernels for every input channel and a matrix that mixes them, nearest to `weight`.

    Channel i owns the columns and kernels i*rank .. (i+1)*rank - 1. Least squares: each channel's
    (n, kh*kw) matrix is replaced by its best approximation of that rank, from its SVD; kernels
    have unit length and are orthogonal within a channel (or zero, beyond the rank it has).
    """
    n, c, kh, kw = weight.shape
    u, s, vt = torch.linalg.svd(weight.transpose(0, 1).flatten(2).double(), full_matrices=False)
    mix = weight.new_zeros(c, n, rank, dtype=torch.float64)
    kernels = weight.new_zeros(c, rank, kh * kw, dtype=torch.float64)
    r = min(rank, s.shape[1])
    mix[:, :, :r] = (u * s[:, None])[:, :, :r]
    kernels[:, :r] = vt[:, :r]
    return (
        mix.transpose(0, 1).reshape(n, c * rank).to(weight),
        kernels.reshape(c * rank, 1, kh, kw).to(weight),
    )


def matrix_factors(
    matrix: Float[Tensor, "n m"], rank: int
) -> tuple[Float[Tensor, "n r"], Float[Tensor, "r m"]]:
    """Two factors whose product is nearest to `matrix`, the first with orthonormal columns."""
    u, s, vt = torch.linalg.svd(matrix.double(), full_matrices=False)
    return u[:, :rank].to(matrix), (s[:rank, None] * vt[:rank]).to(matrix)
