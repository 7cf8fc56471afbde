"""What the tests of conversion under mixtures share: problems, integrals on tensor nodes, least squares on these."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from numeric.layers import GLU, MLP
from numeric.mixture.inputs import GaussianMixture
from tests.numeric.problems import covariance, gated_weights, weights
from tests.oracle.tensor_nodes import gauss_hermite, support_axes, tensor_rule

Function = Callable[[np.ndarray], np.ndarray]


def mixture(
    seed: int, K: int = 3, d: int = 2, covariance_type: Any = "full", rank: int | None = None
) -> GaussianMixture:
    """Unequal weights, means about 1 apart, covariances of this rank and of sizes from 0.5 to 1.5."""
    rng = np.random.default_rng(seed)
    shares, means = rng.dirichlet(np.full(K, 5.0)), rng.standard_normal((K, d))
    rank, sizes = d if rank is None else rank, np.linspace(0.5, 1.5, K)
    match covariance_type:
        case "full":
            covs = np.stack([size * covariance(rng, d, rank) for size in sizes])
        case "diag":
            covs = rng.uniform(0.3, 1.5, (K, d)) * (np.arange(d) < rank)
        case _:
            covs = covariance(rng, d, rank)
    return GaussianMixture(shares, means, covs, covariance_type)


def mlp(seed: int, d: int = 2, name: str = "gelu", n_hidden: int = 6, d_out: int = 2) -> MLP:
    return MLP(*weights(np.random.default_rng(seed), d, n_hidden, d_out), activation=name)


def glu(seed: int, d: int = 2, name: str = "gelu", n_hidden: int = 6, d_out: int = 2) -> GLU:
    return GLU(*gated_weights(np.random.default_rng(seed), d, n_hidden, d_out), activation=name)


# Integrals


def nodes(inputs: GaussianMixture, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, d) and weights (N,): `count` Gauss-Hermite nodes along every axis of every component's support."""
    points, shares = [], []
    for share, component in zip(inputs.weights, inputs.components):
        if share == 0:
            continue
        axes = support_axes(component.cov)
        z, w = tensor_rule([gauss_hermite(count)] * axes.shape[1])
        points.append(component.mean + z @ axes.T)
        shares.append(share * w)
    return np.concatenate(points), np.concatenate(shares)


def variance(f: Function, inputs: GaussianMixture, count: int = 60) -> np.ndarray:
    """Var f, (d_out,)."""
    x, w = nodes(inputs, count)
    values = f(x)
    return w @ (values - w @ values) ** 2


def distance(f: Function, p: Function, inputs: GaussianMixture, count: int = 60) -> np.ndarray:
    """E(f − p)², (d_out,). Of polynomials of degree n, n + 1 nodes are enough."""
    x, w = nodes(inputs, count)
    return w @ (f(x) - p(x)) ** 2


def fit(f: Function, inputs: GaussianMixture, degree: int, count: int = 60) -> Function:
    """The best polynomial on the nodes: weighted least squares in monomials of standardised coordinates.

    Where it is not unique it is that with the smallest coefficients: among others the same on the nodes.
    """
    std = np.where(inputs.std > 0, inputs.std, 1.0)
    powers = np.array([e for e in product(range(degree + 1), repeat=inputs.dim) if sum(e) <= degree])

    def monomials(x: np.ndarray) -> np.ndarray:
        return np.prod(((x - inputs.mean) / std)[:, None, :] ** powers, axis=2)

    x, w = nodes(inputs, count)
    root = np.sqrt(w)[:, None]
    solution = np.linalg.lstsq(root * monomials(x), root * f(x), rcond=None)[0]
    return lambda x: monomials(x) @ solution


def gap(p: Any, q: Any, inputs: GaussianMixture) -> np.ndarray:
    """E(p − q)² of two quadratics, (d_out,), in any dimension.

    Of c + g·u + uᵀQu with u ~ N(0, S) it is (c + tr SQ)² + g·S g + 2 tr SQSQ.
    """
    ours, theirs = p.about(inputs.mean), q.about(inputs.mean)
    c, a, Q = (ours.coefficient(k) - theirs.coefficient(k) for k in range(3))
    total = np.zeros(len(c))
    for share, component in zip(inputs.weights, inputs.components):
        S, shift = component.cov, component.mean - inputs.mean
        SQ, slope = S @ Q, a + 2 * Q @ shift
        level = c + a @ shift + np.einsum("oij,i,j->o", Q, shift, shift) + np.einsum("oii->o", SQ)
        squares = np.einsum("oi,ij,oj->o", slope, S, slope) + 2 * np.einsum("oij,oji->o", SQ, SQ)
        total += share * (level**2 + squares)
    return total


def scale(f: Function, inputs: GaussianMixture) -> np.ndarray:
    """About Var f, (d_out,), from draws: what errors in many dimensions are compared with."""
    return f(inputs.sample(2000, 17)).astype(np.float64).var(axis=0)
