"""The best polynomial of any degree under a mixture, where features are few: least squares in what components see.

Under component k let ξ be its own coordinates, z = μ_k + R_k ξ. In the orthonormal Hermite features of ξ every
feature φ_a is a column of numbers, and so is f; with the roots of the weights, the columns of all components stacked
make E(f − p)² a sum of squares. Its normal equations are those of `numeric.normal_equations`, but are not formed: with
components L widths apart they would lose digits like L^2n, and this loses them like L^n, as any coefficients of p
about one point do. (Our derivation: derivations/mixture.md.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numeric.dense import DensePolynomial
from numeric.layers import GLU, MLP
from numeric.mixture.coordinates import whitening
from numeric.mixture.inputs import GaussianMixture
from numeric.normal_equations import HermiteFeatures, own_coordinates, products_with, tensors
from numeric.special import TINY

Float64 = NDArray[np.float64]

_EPSILON = float(np.finfo(np.float64).eps)
# Variances of a component below this share of its largest are rounding.
_FLAT = 1e-14


@dataclass(frozen=True)
class Explicit:
    """A polynomial; and of every output E(p − p*)² in units of its variance, about as much as rounding can make it.

    Infinite if features that the components tell apart are the same in double precision.
    """

    polynomial: DensePolynomial
    error: Float64


def explicit_least_squares(layer: MLP | GLU, mixture: GaussianMixture, degree: int) -> Explicit:
    """The polynomial of total degree ≤ `degree` that minimises E‖f(x) − p(x)‖², of several the smallest."""
    from scipy.linalg import lstsq  # here, because few need it and it takes long to import

    # along the eigenvectors, so that the widths of components far apart are not differences of large numbers
    inward = whitening(mixture, local=False)[0]
    features = HermiteFeatures(len(inward), degree)
    count = len(features)
    rows = _reduced(np.concatenate(parts, axis=1) for parts in _stacked(layer, mixture, features, inward))
    columns, right = rows[:, :count], rows[:, count:]
    solution, _, rank, _ = lstsq(columns, right, cond=count * _EPSILON, lapack_driver="gelsy")
    lost = rank < count and rank < _rank(_reduced(map(_levelled, _stacked(layer, mixture, features, inward))))
    values = columns @ solution
    variance = (values**2).sum(axis=0) - (columns[:, 0] @ values / max(float(np.linalg.norm(columns[:, 0])), TINY)) ** 2
    rounding = (_EPSILON * np.linalg.norm(columns) * np.linalg.norm(solution[1:], axis=0)) ** 2
    error = np.divide(rounding, variance, out=np.zeros_like(rounding), where=variance > _EPSILON**2 * rounding)
    p = DensePolynomial(mixture.mean, tensors(features, solution, inward))
    return Explicit(p, np.full_like(error, np.inf) if lost else error)


def _stacked(
    layer: MLP | GLU, mixture: GaussianMixture, features: HermiteFeatures, inward: Float64
) -> Iterator[tuple[Float64, Float64]]:
    """The features, (F, F), and the outputs, (F, d_out), as every component sees them."""
    r = len(inward)
    for weight, component in zip(mixture.weights, mixture.components):
        if weight == 0:
            continue
        seen = inward @ component.cov @ inward.T
        values, vectors = np.linalg.eigh(0.5 * (seen + seen.T))
        kept = values > _FLAT * max(values.max(initial=0.0), 0.0)
        widths = np.sqrt(np.where(kept, values, 0.0))
        back = np.divide(vectors, widths, out=np.zeros_like(vectors), where=widths > 0).T @ inward
        columns = own_coordinates(features, inward @ (component.mean - mixture.mean), vectors * widths).T
        right = products_with(layer, features, component, np.zeros(r), np.eye(r), back)
        root = np.sqrt(weight)
        yield root * columns, root * right


def _reduced(blocks: Iterator[Float64]) -> Float64:
    """The triangle of all blocks stacked: sums of squares over its rows are those over theirs."""
    triangle = next(blocks)
    for block in blocks:
        triangle = np.linalg.qr(np.concatenate([triangle, block]))[1]
    return triangle


def _levelled(parts: tuple[Float64, Float64]) -> Float64:
    """Every row at the same length: what is small only because a component is narrow counts as much as the rest."""
    columns = parts[0]
    lengths = np.linalg.norm(columns, axis=1, keepdims=True)
    return np.divide(columns, lengths, out=np.zeros_like(columns), where=lengths > 0)


def _rank(matrix: Float64) -> int:
    return int(np.linalg.matrix_rank(matrix, tol=1e-10 * max(float(np.linalg.norm(matrix, 2)), TINY)))
