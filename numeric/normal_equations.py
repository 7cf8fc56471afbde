"""The explicit least-squares problem for a polynomial of any degree, where its features are few.

Features are products of Hermite polynomials, φ_a(z) = Π_i He_{a_i}(z_i)/√(a_i!), of affinely transformed
inputs z = T (x − m). For z ~ N(μ, C) and D = C − I their products have the noncentral Isserlis expansion

    √a_i E[φ_a φ_b] = μ_i E[φ_{a'} φ_b] + Σ_j √a'_j D_ij E[φ_{a'−e_j} φ_b] + Σ_j √b_j C_ij E[φ_{a'} φ_{b−e_j}]

with a' = a − e_i: pairs within a feature count the covariance less the identity, pairs across two features
the whole covariance. The products with an activation follow from the master theorem in its Hermite form,

    √a_i E[g(y) φ_a] = μ_i E[g(y) φ_{a'}] + Σ_j √a'_j D_ij E[g(y) φ_{a'−e_j}] + c_i E[g'(y) φ_{a'}],

c = Cov(y, z) (our derivation: generating functions, derivations/master.md). A gated layer multiplies the
activation by one more Gaussian variable u, which is Stein's identity once,

    E[g(y) u φ_a] = E u E[g(y) φ_a] + Cov(u, y) E[g'(y) φ_a] + Σ_j √a_j Cov(u, z_j) E[g(y) φ_{a−e_j}].

Nothing here knows that the solution for one Gaussian is a sum of ridges; that is what makes it a second
opinion on `approximate`.
"""

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numeric import checks, moments
from numeric.dense import DensePolynomial
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP

Float64 = NDArray[np.float64]

MOST_FEATURES = 5000


class HermiteFeatures:
    """The multi-indices of total degree ≤ n in r variables, and how to step between them.

    Attributes:
        indices: (F, r), by total degree.
        down: (r, F), the position of a − e_i, and 0 where a_i = 0 (whose factor √a_i is then 0 too).
        first: (F,), the first i with a_i > 0.
    """

    def __init__(self, dim: int, degree: int) -> None:
        count = math.comb(dim + degree, degree)
        if count > MOST_FEATURES:
            raise ValueError(
                f"degree: {degree} in {dim} variables has {count:,} features; the normal equations take at most "
                f"{MOST_FEATURES:,}. Lower the degree or the dimension."
            )
        self.dim, self.degree = dim, degree
        self.indices = np.zeros((count, dim), np.int64)
        position = {}
        chosen = (c for k in range(degree + 1) for c in combinations_with_replacement(range(dim), k))
        for row, coordinates in enumerate(chosen):
            np.add.at(self.indices[row], list(coordinates), 1)
            position[tuple(self.indices[row])] = row
        self.down = np.zeros((dim, count), np.int64)
        for a, row in position.items():
            for i in range(dim):
                if a[i]:
                    self.down[i, row] = position[(*a[:i], a[i] - 1, *a[i + 1 :])]
        # Inputs that never vary leave no variables at all.
        self.first = np.argmax(self.indices > 0, axis=1) if dim else np.zeros(count, np.int64)
        self.roots = np.sqrt(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


def least_squares(
    layer: MLP | GLU,
    inputs: Gaussian | Sequence[tuple[float, Gaussian]],
    degree: int,
    transform: ArrayLike | None = None,
) -> DensePolynomial:
    """The polynomial p of total degree ≤ `degree` that minimises E‖f(x) − p(x)‖², by its normal equations.

    Args:
        layer: an MLP or a GLU.
        inputs: a Gaussian, or weighted Gaussians (a mixture; weights that sum to 1).
        degree: an integer ≥ 0 with at most 5000 features C(r + degree, degree).
        transform: (r, d), the T of the features; by default T whitens the covariance of the inputs and drops
            what never varies. Its rows must not lose a direction in which the inputs vary.

    Returns:
        A `DensePolynomial` about the mean of the inputs. Where the solution is not unique (inputs on a
        subspace, or on several) it is the one with the smallest coefficients of the features.

    Raises:
        ValueError: too many features, dimensions or weights that do not fit.
        TypeError: a degree that is not an integer.

    Source: least squares in the features above (our derivation).
    """
    degree = checks.non_negative_integer("degree", degree)
    components = _components(inputs, layer.d_in)
    mean = sum((weight * k.mean for weight, k in components), np.zeros(layer.d_in))
    given = None if transform is None else checks.real_array("transform", transform, (None, layer.d_in))
    T = _whitening(components, mean) if given is None else given.astype(np.float64)
    features = HermiteFeatures(len(T), degree)
    gram = np.zeros((len(features), len(features)))
    products = np.zeros((len(features), layer.d_out))
    for weight, k in components:
        mu, C = T @ (k.mean - mean), T @ k.cov @ T.T
        gram += weight * gram_matrix(features, mu, C)
        products += weight * products_with(layer, features, k, mu, C, T)
    return DensePolynomial(mean, tensors(features, solve_normal_equations(gram, products), T))


def gram_matrix(features: HermiteFeatures, mu: Float64, C: Float64) -> Float64:
    """E[φ_a φ_b] for z ~ N(mu, C), shape (F, F)."""
    # Row 0 is E φ_b; the recurrence of the rows, with b in place of a, gives it first.
    return _all_products(features, mu, C, C, _hermite_moments(features, mu, C - np.eye(len(C))))


def own_coordinates(features: HermiteFeatures, mu: Float64, root: Float64) -> Float64:
    """E[φ_a(z) φ_b(ξ)] for z = mu + root ξ and ξ ~ N(0, I), (F, F): φ_a in the orthonormal features of ξ."""
    alone = np.zeros(len(features))
    alone[0] = 1.0
    return _all_products(features, mu, root @ root.T, root, alone)


def _all_products(features: HermiteFeatures, mu: Float64, C: Float64, cross: Float64, first: Float64) -> Float64:
    """E[φ_a(z) φ_b(w)], (F, F), for Cov(z, w) = cross and E φ_b(w) = first."""
    D = C - np.eye(len(C))
    gram = np.zeros((len(features), len(features)))
    gram[0] = first
    for row, i, below in _steps(features):
        value = mu[i] * gram[below]
        for j in range(features.dim):
            if features.indices[below, j]:
                value = value + features.roots[below, j] * D[i, j] * gram[features.down[j, below]]
            value = value + cross[i, j] * features.roots[:, j] * gram[below, features.down[j]]
        gram[row] = value / features.roots[row, i]
    return gram


def _steps(features: HermiteFeatures) -> list[tuple[int, int, int]]:
    """(row of a, i, row of a − e_i) for every a ≠ 0, lower degrees first."""
    return [(row, int(i), int(features.down[i, row])) for row, i in enumerate(features.first) if row]


def _hermite_moments(features: HermiteFeatures, mu: Float64, D: Float64) -> Float64:
    """E φ_a: the noncentral moments with C − I in place of the covariance."""
    moments_ = np.zeros(len(features))
    moments_[0] = 1.0
    for row, i, below in _steps(features):
        pairs = features.roots[below] * D[i] @ moments_[features.down[:, below]]
        moments_[row] = (mu[i] * moments_[below] + pairs) / features.roots[row, i]
    return moments_


def activation_products(
    features: HermiteFeatures, mu: Float64, C: Float64, cross: Float64, derivatives: Float64
) -> Float64:
    """E[g^(k)(y) φ_a] for every neuron, shape (K + 1, F, n_hidden); right where k + |a| ≤ K.

    Args:
        cross: (r, n_hidden), Cov(z, y).
        derivatives: (n_hidden, K + 1), E g^(k)(y), K ≥ degree.
    """
    D = C - np.eye(len(C))
    products = np.zeros((derivatives.shape[1], len(features), cross.shape[1]))
    products[:, 0] = derivatives.T
    for row, i, below in _steps(features):
        value = mu[i] * products[:, below]
        value[:-1] += cross[i] * products[1:, below]
        for j in np.flatnonzero(features.indices[below]):
            value += features.roots[below, j] * D[i, j] * products[:, features.down[j, below]]
        products[:, row] = value / features.roots[row, i]
    return products


def gated_products(
    features: HermiteFeatures, products: Float64, mean: Float64, covariance: Float64, cross: Float64
) -> Float64:
    """E[g(y) u φ_a] for every neuron, shape (F, n_hidden), from `activation_products` with K = degree + 1.

    Args:
        mean: (n_hidden,), E u.
        covariance: (n_hidden,), Cov(u, y).
        cross: (r, n_hidden), Cov(z, u).
    """
    values = mean * products[0] + covariance * products[1]
    for below, roots, covariances in zip(features.down, features.roots.T, cross):
        values += roots[:, None] * covariances * products[0, below]
    return values


def products_with(
    layer: MLP | GLU, features: HermiteFeatures, inputs: Gaussian, mu: Float64, C: Float64, T: Float64
) -> Float64:
    """E[f(x) φ_a] under one Gaussian, shape (F, d_out)."""
    gate, *others = layer.projections
    mean, std = inputs.project(*gate)
    derivatives = moments.expected_derivatives(layer.activation, mean, std, features.degree + len(others))
    # A neuron that does not vary is a constant: its derivatives would meet cross-covariances of 0.
    derivatives[std == 0, 1:] = 0.0
    matrices = [V.astype(np.float64) for V, _ in layer.projections]
    cross = [T @ inputs.cov @ V.T for V in matrices]
    products = activation_products(features, mu, C, cross[0], derivatives)
    if isinstance(layer, GLU):
        up_mean, _ = inputs.project(*others[0])
        covariance = np.einsum("ni,ij,nj->n", matrices[0], inputs.cov, matrices[1], optimize=True)
        values = gated_products(features, products, up_mean, covariance, cross[1])
    else:
        values = products[0]
    if layer.W_out is not None:
        values = values @ layer.W_out.T.astype(np.float64)
    if layer.b_out is not None:
        values += np.outer(_hermite_moments(features, mu, C - np.eye(len(C))), layer.b_out)
    return values


def _components(inputs: Gaussian | Sequence[tuple[float, Gaussian]], d: int) -> list[tuple[float, Gaussian]]:
    weighted = [(1.0, inputs)] if isinstance(inputs, Gaussian) else [(float(w), k) for w, k in inputs]
    for _, gaussian in weighted:
        if gaussian.dim != d:
            raise ValueError(f"inputs: expected dim {d} to match layer.d_in, got {gaussian.dim}")
    weights = [weight for weight, _ in weighted]
    if min(weights, default=-1.0) < 0 or abs(sum(weights) - 1) > 1e-8:
        raise ValueError(f"inputs: expected weights ≥ 0 that sum to 1, got {weights}")
    return weighted


def _whitening(components: list[tuple[float, Gaussian]], mean: Float64) -> Float64:
    """T with T Σ Tᵀ = I on the support of the inputs' covariance Σ."""
    total = np.zeros((len(mean), len(mean)))
    for weight, k in components:
        total += weight * (k.cov + np.outer(k.mean - mean, k.mean - mean))
    eigenvalues, vectors = np.linalg.eigh(total)
    kept = eigenvalues > 8 * len(mean) * np.finfo(float).eps * max(float(eigenvalues[-1]), 0.0)
    return vectors[:, kept].T / np.sqrt(eigenvalues[kept])[:, None]


def solve_normal_equations(gram: Float64, products: Float64) -> Float64:
    """The smallest solution of gram · θ = products; directions in which no feature varies are left at 0."""
    eigenvalues, vectors = np.linalg.eigh(gram)
    kept = eigenvalues > len(gram) * np.finfo(float).eps * eigenvalues[-1]
    basis = vectors[:, kept]
    solution = basis @ ((basis.T @ products) / eigenvalues[kept, None])
    # One step of refinement: the products were rounded in a basis where gram is far from diagonal.
    residual = products - gram @ solution
    return solution + basis @ ((basis.T @ residual) / eigenvalues[kept, None])


def tensors(features: HermiteFeatures, coefficients: Float64, T: Float64) -> list[Float64]:
    """Tensors C_k with Σ_a θ_a φ_a(T u) = Σ_k C_k[u^{⊗k}]; DensePolynomial makes them symmetric."""
    d_out, r = coefficients.shape[1], features.dim
    tensors = [np.zeros((d_out, *(r,) * k)) for k in range(features.degree + 1)]
    for a, theta in zip(features.indices, coefficients):
        for powers, factor in _monomials(a):
            place = [i for i, p in enumerate(powers) for _ in range(p)]
            tensors[len(place)][(slice(None), *place)] += theta * factor
    return [_pulled_back(tensor, T) for tensor in tensors]


def _monomials(a: NDArray[np.int64]) -> list[tuple[tuple[int, ...], float]]:
    """φ_a as a list of (powers, coefficient)."""
    found: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    for n in map(int, a):
        # He_n = Σ_j (−1)^j n!/(2^j j! (n − 2j)!) z^(n − 2j)
        factors = [
            (
                n - 2 * j,
                (-1) ** j * math.sqrt(math.factorial(n)) / (2**j * math.factorial(j) * math.factorial(n - 2 * j)),
            )
            for j in range(n // 2 + 1)
        ]
        found = [((*powers, p), c * f) for powers, c in found for p, f in factors]
    return found


def _pulled_back(tensor: Float64, T: Float64) -> Float64:
    """Every axis but the first multiplied by T."""
    for axis in range(1, tensor.ndim):
        tensor = np.moveaxis(np.tensordot(tensor, T, axes=(axis, 0)), -1, axis)
    return tensor
