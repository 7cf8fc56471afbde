"""Best polynomials by brute force: weighted least squares on tensor-product quadrature nodes.

For inputs x ~ N(mean, Σ), a polynomial of total degree ≤ n in all coordinates of the support is fitted to
values of f at the nodes of a tensor rule for the normal weight. Nothing here knows what f is made of, what
its best polynomial looks like, or any Hermite coefficient of it.

`fit` uses Gauss-Hermite nodes and is exact to rounding for smooth f. A kinked σ(w·x + b) needs a rule that
is split at its kinks: `fit_neuron` turns the axes so that one of them is w, and takes Gauss-Legendre panels
between the kinks on it. What multiplies it in a gated layer, u·x + c, needs nothing more. Least squares is linear in
f, so that the fits of the neurons add up to the fit of the layer (`fit_layer`, `fit_gated_layer`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from numpy.polynomial.hermite_e import hermegauss, hermevander
from numpy.polynomial.legendre import leggauss

Function = Callable[[np.ndarray], np.ndarray]
Rule = tuple[np.ndarray, np.ndarray]

FARTHEST = 14.0
"""Panels reach to ±14: the normal density there is 1e-43, and z^16 times that still nothing."""


@dataclass(frozen=True)
class Fit:
    """A polynomial in the coordinates z of the support, x = mean + axes z.

    Attributes:
        mean: (d,).
        axes: (d, r), of rank r.
        exponents: (features, r), the degrees in each z of the basis functions.
        coefficients: (features, d_out).
    """

    mean: np.ndarray
    axes: np.ndarray
    exponents: np.ndarray
    coefficients: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Values at points x of the support, shape (n, d) → (n, d_out)."""
        z = np.linalg.lstsq(self.axes, (x - self.mean).T, rcond=None)[0].T
        return _features(z, self.exponents) @ self.coefficients


def support_axes(cov: np.ndarray) -> np.ndarray:
    """R of shape (d, rank) with R Rᵀ = Σ."""
    values, vectors = np.linalg.eigh(cov)
    kept = values > 1e-12 * max(values[-1], 0.0)
    return vectors[:, kept] * np.sqrt(values[kept])


def gauss_hermite(count: int) -> Rule:
    """Nodes and weights for the standard normal distribution."""
    nodes, weights = hermegauss(count)
    return nodes, weights / weights.sum()


def panels(kinks: Sequence[float], count: int = 20) -> Rule:
    """The same by Gauss-Legendre on panels of width at most 2 that end at the kinks."""
    inside = [c for c in kinks if abs(c) < FARTHEST]
    edges = np.unique([*np.arange(-FARTHEST, FARTHEST + 1, 2.0), *inside])
    nodes, weights = leggauss(count)
    z = np.concatenate([(a + b) / 2 + (b - a) / 2 * nodes for a, b in pairwise(edges)])
    w = np.concatenate([(b - a) / 2 * weights for a, b in pairwise(edges)])
    return z, w * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


def tensor_rule(rules: Sequence[Rule]) -> Rule:
    """Nodes (N, r) and weights (N,) of the product of rules for one axis each; one node for no axes."""
    if not rules:
        return np.zeros((1, 0)), np.ones(1)
    nodes = np.meshgrid(*(z for z, _ in rules), indexing="ij")
    weights = np.meshgrid(*(w for _, w in rules), indexing="ij")
    return np.stack(nodes, axis=-1).reshape(-1, len(rules)), np.prod(weights, axis=0).ravel()


def fit_on(f: Function, mean: np.ndarray, axes: np.ndarray, rules: Sequence[Rule], degree: int) -> Fit:
    """Weighted least squares for f, (N, d) → (N, d_out), on the tensor rule in the given axes."""
    z, weights = tensor_rule(rules)
    exponents = _exponents(axes.shape[1], degree)
    features = _features(z, exponents)
    weighted = weights[:, None] * features
    # Normal equations cost no digits here: the features are orthonormal up to the error of the rule.
    coefficients = np.linalg.solve(weighted.T @ features, weighted.T @ f(mean + z @ axes.T))
    return Fit(mean, axes, exponents, coefficients)


def fit(f: Function, mean: np.ndarray, cov: np.ndarray, degree: int, count: int) -> Fit:
    """The same with `count` Gauss-Hermite nodes along each axis of the support: for smooth f."""
    axes = support_axes(cov)
    return fit_on(f, mean, axes, [gauss_hermite(count)] * axes.shape[1], degree)


def fit_neuron(
    sigma: Function,
    kinks: Sequence[float],
    w: np.ndarray,
    b: float,
    mean: np.ndarray,
    cov: np.ndarray,
    degree: int,
    up: tuple[np.ndarray, float] | None = None,
) -> Fit:
    """The best polynomial of x ↦ σ(w·x + b), or of σ(w·x + b) (u·x + c) with `up` = (u, c).

    σ is smooth between the kinks.
    """
    u, c = (np.zeros_like(w), 1.0) if up is None else up
    axes = support_axes(cov)
    direction = axes.T @ w
    length = float(np.linalg.norm(direction))
    others = gauss_hermite(degree + 2)
    if length <= 1e-13 * np.linalg.norm(axes) * np.linalg.norm(w):
        constant = float(w @ mean + b)
        rules = [others] * axes.shape[1]
        return fit_on(lambda x: sigma(np.array([constant])) * (x @ u + c)[:, None], mean, axes, rules, degree)
    turned = axes @ rotation(direction / length)
    start = float(w @ mean + b)
    rules = [panels([(kink - start) / length for kink in kinks]), *[others] * (axes.shape[1] - 1)]
    return fit_on(lambda x: (sigma(x @ w + b) * (x @ u + c))[:, None], mean, turned, rules, degree)


def fit_layer(
    sigma: Function,
    kinks: Sequence[float],
    weights: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    mean: np.ndarray,
    cov: np.ndarray,
    degree: int,
) -> Function:
    """The best polynomial of W_out σ(W_in x + b_in) + b_out, neuron by neuron."""
    W_in, b_in, W_out, b_out = weights
    fits = [fit_neuron(sigma, kinks, w, float(b), mean, cov, degree) for w, b in zip(W_in, b_in)]
    return lambda x: np.hstack([neuron(x) for neuron in fits]) @ W_out.T + b_out


def fit_gated_layer(
    sigma: Function,
    kinks: Sequence[float],
    weights: tuple[np.ndarray, ...],
    mean: np.ndarray,
    cov: np.ndarray,
    degree: int,
) -> Function:
    """The best polynomial of W_out [σ(W_gate x + b_gate) ⊙ (W_up x + b_up)] + b_out, neuron by neuron."""
    W_gate, b_gate, W_up, b_up, W_out, b_out = weights
    fits = [
        fit_neuron(sigma, kinks, w, float(b), mean, cov, degree, (u, float(c)))
        for w, b, u, c in zip(W_gate, b_gate, W_up, b_up)
    ]
    return lambda x: np.hstack([neuron(x) for neuron in fits]) @ W_out.T + b_out


def relative_distance(p: Function, q: Function, mean: np.ndarray, cov: np.ndarray, degree: int) -> float:
    """√(E|p − q|² / E|q|²) under the inputs for polynomials p and q of the given degree, worst output."""
    axes = support_axes(cov)
    z, weights = tensor_rule([gauss_hermite(degree + 1)] * axes.shape[1])
    x = mean + z @ axes.T
    ours, theirs = np.asarray(p(x)), np.asarray(q(x))
    return float(np.sqrt(weights @ (ours - theirs) ** 2 / (weights @ theirs**2)).max())


def rotation(direction: np.ndarray) -> np.ndarray:
    """An orthogonal matrix whose first column is the unit vector."""
    q, r = np.linalg.qr(np.column_stack([direction, np.eye(len(direction))]))
    return q * np.sign(r[0, 0])


def _exponents(variables: int, degree: int) -> np.ndarray:
    every = product(range(degree + 1), repeat=variables)
    return np.array([e for e in every if sum(e) <= degree], dtype=int).reshape(-1, variables)


def _features(z: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """Products of orthonormal polynomials: any basis would do, this one is well conditioned."""
    highest = int(exponents.max(initial=0))
    norms = np.sqrt(np.cumprod([1.0, *range(1, highest + 1)]))
    result = np.ones((len(z), len(exponents)))
    for column, powers in zip(z.T, exponents.T):
        result *= (hermevander(column, highest) / norms)[:, powers]
    return result
