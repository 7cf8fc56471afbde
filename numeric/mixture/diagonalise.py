"""One rotation that makes several symmetric matrices as nearly diagonal as they can be together.

Jacobi's method: a plane rotation of coordinates p and q minimises the sum of the squared entries (p, q) over all
matrices, in closed form (Cardoso & Souloumiac, SIAM J. Matrix Anal. Appl. 17, 1996), and sweeps over all pairs do the
rest. Pairs are taken in tiles of coordinates: the rotations of a tile work on matrices that fit the cache, and
reach the rest of the matrices as one product.
"""

import numpy as np
from numpy.typing import NDArray

from numeric import jit

Float64 = NDArray[np.float64]

# The first sweeps do almost everything.
_SWEEPS = 6
_TILE = 32
# Sines below this change nothing that matters to a preconditioner, and blur coordinates that vary little.
_SMALL = 1e-4
# But where matrices are singular, up to rounding, what is 0 then has to be seen. Only a few coordinates can afford it.
_SINGULAR, _MORE, _FEW, _SMALLEST = 1e-14, 12, 4 * _TILE, 1e-14


def diagonalising_rotation(matrices: Float64) -> Float64:
    """Q, (r, r), such that the Q A_k Qᵀ of matrices (K, r, r) are nearly diagonal."""
    matrices = matrices.copy()
    size = matrices.shape[1]
    rotation = np.eye(size)
    if len(matrices) == 1:
        return np.linalg.eigh(matrices[0])[1].T
    tiles = [np.arange(i, min(i + _TILE, size)) for i in range(0, size, _TILE)]
    singular = size > 0 and float(np.linalg.eigvalsh(matrices)[:, 0].min()) <= _SINGULAR * size
    small = _SMALLEST if singular else _SMALL
    for _ in range(_MORE if singular and size <= _FEW else _SWEEPS):
        turned = 0.0
        for a, first in enumerate(tiles):
            # a lone tile must be turned within itself
            for second in tiles[a + 1 :] or [first[:0]]:
                turned = max(turned, _turn(matrices, rotation, np.concatenate([first, second]), small))
        if turned < _SMALL:
            break
    return rotation


def _turn(matrices: Float64, rotation: Float64, chosen: NDArray[np.intp], small: float) -> float:
    """Rotate the chosen coordinates among themselves; the largest sine of it."""
    within = np.ascontiguousarray(matrices[:, chosen[:, None], chosen])
    turn = np.eye(len(chosen))
    largest = _jacobi(within, turn, small)
    if largest > 0:
        rotation[chosen] = turn @ rotation[chosen]
        rows = turn @ matrices[:, chosen]
        rows[:, :, chosen] = within
        others = np.setdiff1d(np.arange(matrices.shape[1]), chosen)
        matrices[:, chosen] = rows
        matrices[:, others[:, None], chosen] = rows[:, :, others].transpose(0, 2, 1)
    return largest


@jit.device
def _rotate_rows(matrix, p, q, cosine, sine):
    for i in range(matrix.shape[1]):
        x, y = matrix[p, i], matrix[q, i]
        matrix[p, i], matrix[q, i] = cosine * x + sine * y, cosine * y - sine * x


@jit.device
def _rotate_columns(matrix, p, q, cosine, sine):
    for i in range(matrix.shape[0]):
        x, y = matrix[i, p], matrix[i, q]
        matrix[i, p], matrix[i, q] = cosine * x + sine * y, cosine * y - sine * x


@jit.loop
def _jacobi(matrices, rotation, small):
    """One sweep over all pairs, in place."""
    count, size, _ = matrices.shape
    largest = 0.0
    for p in range(size - 1):
        for q in range(p + 1, size):
            square, cross = 0.0, 0.0
            for k in range(count):
                difference = matrices[k, p, p] - matrices[k, q, q]
                double = 2.0 * matrices[k, p, q]
                square += difference * difference - double * double
                cross += difference * double
            angle = 0.5 * np.arctan2(2.0 * cross, square + np.hypot(square, 2.0 * cross))
            sine = np.sin(angle)
            if abs(sine) <= small:
                continue
            largest = max(largest, abs(sine))
            cosine = np.cos(angle)
            for k in range(count):
                _rotate_rows(matrices[k], p, q, cosine, sine)
                _rotate_columns(matrices[k], p, q, cosine, sine)
            _rotate_rows(rotation, p, q, cosine, sine)
    return largest
