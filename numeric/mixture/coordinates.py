"""Coordinates z = T (x − m) in which a mixture has mean 0 and covariance I, and components that are nearly diagonal.

Whitening alone leaves a rotation free. The symmetric root of the total covariance keeps coordinates local; from there
one rotation is sought that makes all the components' covariances as nearly diagonal as they can be together
(`diagonalise`), because the preconditioner takes products z_i z_j to be uncorrelated.

The coordinates are sorted into groups that share their variances under the components, up to a factor: what the
preconditioner knows of z_i is that of its group.

Directions in which no component varies and the means do not differ are left out: nothing can be known of a polynomial
along them, and its coefficients there are zero.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numeric.mixture.diagonalise import diagonalising_rotation
from numeric.mixture.inputs import GaussianMixture

Float64 = NDArray[np.float64]

_EPSILON = float(np.finfo(np.float64).eps)
_GROUPS = 16
# Times d·ε of the largest: what sums over d entries, and their own rounding, make of an eigenvalue that is 0.
_NULL = 8


@dataclass(frozen=True, eq=False)
class Coordinates:
    """z = T (x − center) and back, x = center + R z on the support; the mixture in z.

    Attributes:
        center: (d,), the total mean.
        inward: T, (r, d).
        outward: R, (d, r), T R = I.
        weights: (K,), of the components that have any.
        means: (K, r).
        covariances: (K, r, r).
        chosen: (K,), their numbers among those of the mixture.
        groups: slices of coordinates with similar π_k E_k z_i², k = 1 … K.
    """

    center: Float64
    inward: Float64
    outward: Float64
    weights: Float64
    means: Float64
    covariances: Float64
    chosen: NDArray[np.intp]
    groups: tuple[slice, ...]

    @property
    def dim(self) -> int:
        """r, the dimension of the support."""
        return len(self.inward)

    def size(self, degree: int) -> int:
        """The numbers of a polynomial of degree 0, 1 or 2: 1, 1 + r or 1 + r + r²."""
        return sum(self.dim**k for k in range(degree + 1))

    @classmethod
    def of(cls, mixture: GaussianMixture) -> "Coordinates":
        """The coordinates of a mixture."""
        chosen = np.flatnonzero(mixture.weights)
        inward, outward = whitening(mixture)
        means = (mixture.means[chosen] - mixture.mean) @ inward.T
        covariances = np.empty((len(chosen), len(inward), len(inward)))
        for k, number in enumerate(chosen.tolist()):
            covariances[k] = _seen(mixture, number, inward)
        rotation = diagonalising_rotation(covariances)
        for k in range(len(chosen)):
            covariances[k] = _symmetric(rotation @ covariances[k] @ rotation.T)
        means = means @ rotation.T
        weights = mixture.weights[chosen]
        order, groups = _grouped(weights[:, None] * (np.einsum("kii->ki", covariances) + means**2))
        rotation = rotation[order]
        return cls(
            mixture.mean,
            rotation @ inward,
            outward @ rotation.T,
            weights,
            means[:, order],
            covariances[:, order[:, None], order],
            chosen,
            groups,
        )


def _grouped(shares: Float64) -> tuple[NDArray[np.intp], tuple[slice, ...]]:
    """An order of coordinates in which those with similar shares (K, r), columns that sum to 1, are neighbours."""
    from scipy.cluster.vq import kmeans2  # here, because few need it and it takes long to import

    r = shares.shape[1]
    count = min(_GROUPS, r)
    if count == 0:
        return np.zeros(0, np.intp), ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some groups are empty
        labels = kmeans2(shares.T, shares.T[:: -(-r // count)], minit="matrix")[1]
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels, minlength=count)
    ends = np.cumsum(sizes)
    return order, tuple(slice(int(end - size), int(end)) for size, end in zip(sizes, ends) if size)


def whitening(mixture: GaussianMixture, local: bool = True) -> tuple[Float64, Float64]:
    """T and R by the eigenvectors of the total correlation: units of the coordinates of x do not matter.

    `local`: T is the symmetric root, if there is one, or else the coordinates z are along the eigenvectors.
    """
    std = mixture.std
    varies = std > 0
    scale = np.where(varies, std, 1.0)
    correlation = mixture.cov / np.outer(scale, scale)
    values, vectors = np.linalg.eigh(correlation)
    kept = values > _NULL * len(values) * _EPSILON * max(float(values[-1]), 0.0)
    vectors, roots = vectors[:, kept], np.sqrt(values[kept])
    if local and kept.all():
        return (vectors / roots) @ vectors.T / scale, scale[:, None] * ((vectors * roots) @ vectors.T)
    return (vectors / roots).T / scale, scale[:, None] * (vectors * roots)


def _seen(mixture: GaussianMixture, k: int, inward: Float64) -> Float64:
    """T S_k Tᵀ."""
    covariance = mixture.components[k].covariance
    return _symmetric(covariance.left(inward) @ covariance.right(inward).T)


def _symmetric(matrix: Float64) -> Float64:
    return 0.5 * (matrix + matrix.T)
