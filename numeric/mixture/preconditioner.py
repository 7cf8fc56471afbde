"""An approximate inverse of the normal equations, for a twentieth of the cost of applying them.

**1, z_i and z_i²** are 2r + 1 features, few enough to be inverted exactly among themselves. They need it: a
component that is wide in many directions makes many squares large together.

**The products z_i z_j**, i ≠ j, are nearly uncorrelated in coordinates that make the components' covariances nearly
diagonal, except with those that share a factor. For a fixed i the products z_i z_j have, as far as the components
are diagonal, the second moments T_i = Σ_k π_k E_k[z_i²] E_k[z zᵀ]: far from the identity where one component alone
varies along z_i. They are inverted for every i, and as z_i z_j belongs to i and to j, the mean of both is taken (an
additive Schwarz method). There are r of these matrices, too many to keep; but T_i depends on i through K numbers,
and coordinates come in groups in which these are similar up to a factor. One matrix is kept for each group, as a
correlation matrix, and scaled with the exact E[z_i² z_j²].

Both parts are symmetric and positive, and so is their sum. (Our derivation: derivations/mixture.md.)
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.mixture.arrays import like
from numeric.mixture.coordinates import Coordinates

Float64 = NDArray[np.float64]

# Products z_i z_j, and squares less one, of smaller mean square are rounding: no component has both z_i and z_j.
NEVER = 1e-13
# Combinations of 1, z and z² of smaller relative mean square are rounding too.
_DEPENDENT = 1e-10
# Correlation matrices are inverted as if they had no smaller eigenvalue: those are not the same throughout a group.
_SMALLEST = 1e-6


class Preconditioner:
    """rows ↦ M⁻¹ rows for quadratics as in `MomentOperator`.

    Args:
        coordinates: the mixture.
        template: an array of the library and on the device where it is applied.
    """

    def __init__(self, coordinates: Coordinates, template: Any) -> None:
        weights, means, covariances = coordinates.weights, coordinates.means, coordinates.covariances
        self.dim, self._groups = coordinates.dim, coordinates.groups
        products, squares = _fourth_moments(weights, means, covariances)
        roots = np.sqrt(np.maximum(products, 0.0))
        alone = np.divide(1.0, roots, out=np.zeros_like(roots), where=products > NEVER)
        np.fill_diagonal(alone, 0.0)  # squares are inverted with 1 and z
        seconds = covariances + means[:, :, None] * means[:, None, :]
        shares = (weights[:, None] * squares).T
        self._alone = like(alone, template)
        self._inverses = [
            like(_inverse_correlation(shares[group].sum(axis=0), seconds), template) for group in self._groups
        ]
        self._together = like(_inverse(_gram(weights, means, covariances, products, squares)), template)

    def __call__(self, rows: Any, xp: Any) -> Any:
        """M⁻¹ of each row."""
        r = self.dim
        together = xp.concat([rows[:, : 1 + r], rows[:, 1 + r :: r + 1]], axis=1) @ self._together
        scaled = xp.reshape(rows[:, 1 + r :], (-1, r, r)) * self._alone
        solved = xp.concat(
            [scaled[:, group, :] @ inverse for group, inverse in zip(self._groups, self._inverses)], axis=1
        )
        solved = 0.5 * (solved + xp.permute_dims(solved, (0, 2, 1))) * self._alone
        result = xp.concat([together[:, : 1 + r], xp.reshape(solved, (rows.shape[0], -1))], axis=1)
        result[:, 1 + r :: r + 1] = together[:, 1 + r :]
        return result


def _inverse_correlation(shares: Float64, seconds: Float64) -> Float64:
    """The inverse of the correlation matrix of Σ_k shares_k seconds_k."""
    matrix = np.tensordot(shares, seconds, 1)
    root = np.sqrt(np.maximum(np.diagonal(matrix), NEVER))
    values, vectors = np.linalg.eigh(matrix / np.outer(root, root))
    return (vectors / np.maximum(values, _SMALLEST * values[-1])) @ vectors.T


def _fourth_moments(weights: Float64, means: Float64, covariances: Float64) -> tuple[Float64, Float64]:
    """E z_i² z_j², (r, r), and E_k z_i² under every component, (K, r)."""
    squares = np.einsum("kii->ki", covariances) + means**2
    products = (weights[:, None] * squares).T @ squares
    for pi, mu, C in zip(weights, means, covariances):
        products += pi * (2.0 * C**2 + 4.0 * np.outer(mu, mu) * C)
    return products, squares


def _gram(weights: Float64, means: Float64, covariances: Float64, products: Float64, squares: Float64) -> Float64:
    """Of the features 1, z_i, (z_i² − 1)/√2."""
    r = means.shape[1]
    total = weights @ squares
    cubes = (weights[:, None] * means).T @ squares
    for pi, mu, C in zip(weights, means, covariances):
        cubes += 2.0 * pi * C * mu  # E z_i z_j² has 2 C_ij μ_j
    cubes -= (weights @ means)[:, None]
    second = np.tensordot(weights, covariances, 1) + (weights[:, None] * means).T @ means
    fourth = 0.5 * (products - total[:, None] - total + 1.0)
    gram = np.eye(2 * r + 1)
    gram[0, 1 : 1 + r] = gram[1 : 1 + r, 0] = weights @ means
    gram[0, 1 + r :] = gram[1 + r :, 0] = (total - 1.0) / np.sqrt(2.0)
    gram[1 : 1 + r, 1 : 1 + r] = second
    gram[1 : 1 + r, 1 + r :] = cubes / np.sqrt(2.0)
    gram[1 + r :, 1 : 1 + r] = cubes.T / np.sqrt(2.0)
    gram[1 + r :, 1 + r :] = fourth
    return gram


def _inverse(gram: Float64) -> Float64:
    """The pseudo-inverse: on hyperplanes squares are combinations of the rest."""
    root = np.sqrt(np.maximum(np.diagonal(gram), 0.0))
    scale = np.divide(1.0, root, out=np.zeros_like(root), where=root > np.sqrt(NEVER))
    values, vectors = np.linalg.eigh(scale[:, None] * gram * scale)
    kept = values > _DEPENDENT * values[-1]
    half = (scale[:, None] * vectors[:, kept]) / np.sqrt(values[kept])
    return half @ half.T
