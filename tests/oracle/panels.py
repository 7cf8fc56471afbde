"""Hermite coefficients from their definition, in double precision: Gauss-Legendre panels, good to about 1e-14."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import eval_hermitenorm

NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)
FARTHEST = 38.0


def by_integration(sigma: Callable, mu: float, s: float, order: int, breaks: Sequence[float] = ()) -> np.ndarray:
    """h_k = ∫ σ(μ + sz) He_k(z) φ(z) dz for k ≤ order, over half-unit panels that are cut at σ's kinks."""
    cuts = [(c - mu) / s for c in breaks]
    edges = np.unique(np.clip([*np.linspace(-FARTHEST, FARTHEST, 153), *cuts], -FARTHEST, FARTHEST))
    middle, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    z = (middle[:, None] + half[:, None] * NODES).ravel()
    w = (half[:, None] * WEIGHTS).ravel() * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    values = w * sigma(mu + s * z)
    return np.array([np.sum(values * eval_hermitenorm(k, z)) for k in range(order + 1)])
