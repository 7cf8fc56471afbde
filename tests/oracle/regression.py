"""Is p the best polynomial of f? Asked of samples, with the error bars that the answer needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from scipy.stats import chi2

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Regression:
    """Ordinary least squares of the residual f − p on all monomials of degree ≤ n, one output per column.

    Attributes:
        coefficients: (features, d_out); zero up to sampling error if and only if p is best.
        covariance: (d_out, features, features), of the coefficients, by the sandwich formula: it holds
            whatever the size of the residual at each point.
    """

    coefficients: np.ndarray
    covariance: np.ndarray

    @property
    def z_scores(self) -> np.ndarray:
        """Coefficients in units of their standard errors."""
        errors = np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))
        return self.coefficients / errors.T

    @property
    def p_values(self) -> np.ndarray:
        """Of all coefficients of an output together (Wald): (d_out,)."""
        solved = np.linalg.solve(self.covariance, self.coefficients.T[..., None])[..., 0]
        return chi2.sf(np.einsum("of,fo->o", solved, self.coefficients), len(self.coefficients))


def regress_residual(
    f: Function, p: Function, mean: np.ndarray, root: np.ndarray, degree: int, samples: int, seed: int
) -> Regression:
    """Draw x = mean + root z and regress f(x) − p(x) on the monomials of z."""
    gram = scores = meat = None
    for z in _draws(samples, root.shape[1], seed):
        x = mean + z @ root.T
        residual = f(x) - p(x)
        features = _monomials(z, degree)
        parts = (
            features.T @ features,
            features.T @ residual,
            np.stack([(features * r[:, None] ** 2).T @ features for r in residual.T]),
        )
        gram, scores, meat = parts if gram is None else (gram + parts[0], scores + parts[1], meat + parts[2])
    bread = np.linalg.inv(gram)
    return Regression(bread @ scores, bread @ meat @ bread)


def _draws(samples: int, dim: int, seed: int, chunk: int = 50_000):
    rng = np.random.default_rng(seed)
    for start in range(0, samples, chunk):
        yield rng.standard_normal((min(chunk, samples - start), dim))


def _monomials(z: np.ndarray, degree: int) -> np.ndarray:
    columns = [np.ones(len(z))]
    for k in range(1, degree + 1):
        every = combinations_with_replacement(range(z.shape[1]), k)
        columns.extend(np.prod(z[:, indices], axis=1) for indices in every)
    return np.column_stack(columns)
