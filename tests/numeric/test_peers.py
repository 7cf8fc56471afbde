"""Degree 1 under any Gaussian and degree 2 under N(0, I), from the regression formulas; and polyapprox, if there.

With y = w·x + b, E[x − m | y] = Σw (y − μ)/s², so that E[σ(y)(x − m)] and E[σ(y)(xxᵀ − I)] are one-dimensional
integrals of σ itself: no derivative of σ, no formula of ours.
"""

import numpy as np
import pytest

import numeric as nm
from tests.numeric.problems import assert_close, covariance, textbook, weights
from tests.oracle.panels import by_integration

D, HIDDEN, OUT = 5, 12, 3
# polyapprox has these in closed form; the other activations go through 50 fixed nodes there.
SHARED = ("identity", "relu", "gelu")
TOLERANCE = 1e-11

Coefficients = tuple[np.ndarray, ...]


def problem() -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    return weights(rng, D, HIDDEN, OUT), rng.standard_normal(D), covariance(rng, D, D)


def integrals(name: str, W: np.ndarray, b: np.ndarray, m: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E[σ(y) (1, Z, Z² − 1)] for every neuron, Z = (y − μ)/s, and s."""
    sigma, breaks = textbook(name)
    s = np.sqrt(np.einsum("ni,ij,nj->n", W, S, W))
    return np.array([by_integration(sigma, mu, std, 2, breaks) for mu, std in zip(W @ m + b, s)]), s


def linear_regression(name: str) -> Coefficients:
    """The constant and E[f (x − m)ᵀ] Σ⁻¹ of the regression on 1 and x."""
    (W, b, V, c), m, S = problem()
    e, s = integrals(name, W, b, m, S)
    cross = V @ ((e[:, 1] / s)[:, None] * (W @ S))
    slope = np.linalg.solve(S, cross.T).T
    return V @ e[:, 0] + c - slope @ m, slope


def quadratic_regression(name: str) -> Coefficients:
    """The constant, E[f xᵀ] and ½ E[f (xxᵀ − I)] of the regression on 1, x and xxᵀ − I under N(0, I)."""
    (W, b, V, c), _, _ = problem()
    e, s = integrals(name, W, b, np.zeros(D), np.eye(D))
    quadratic = np.einsum("on,n,ni,nj->oij", V, e[:, 2] / s**2 / 2, W, W)
    return V @ e[:, 0] + c - np.trace(quadratic, axis1=1, axis2=2), V @ ((e[:, 1] / s)[:, None] * W), quadratic


def assert_same(actual: Coefficients, expected: Coefficients) -> None:
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected):
        assert_close(a, b, np.abs(b).max() + 1, TOLERANCE)


def converted(name: str, inputs: nm.Gaussian, degree: int) -> nm.RidgePolynomial:
    return nm.approximate(nm.MLP(*problem()[0], activation=name), inputs, degree)


@pytest.mark.parametrize("name", SHARED)
def test_degree_1_is_the_linear_regression(name: str) -> None:
    _, m, S = problem()
    p = converted(name, nm.Gaussian(m, S), 1)
    assert_same((p.constant, p.linear), linear_regression(name))


@pytest.mark.parametrize("name", SHARED)
def test_degree_2_is_the_quadratic_regression(name: str) -> None:
    p = converted(name, nm.Gaussian(np.zeros(D)), 2)
    assert_same((p.constant, p.linear, p.quadratic), quadratic_regression(name))


@pytest.mark.parametrize("name", SHARED)
def test_polyapprox_has_the_same_numbers_where_it_is_right(name: str) -> None:
    ols = pytest.importorskip("polyapprox.ols").ols
    parameters, m, S = problem()
    fit = ols(*parameters, act=name, mean=m, cov=S)
    p = converted(name, nm.Gaussian(m, S), 1)
    assert_same((p.constant, p.linear), (fit.alpha, fit.beta.T))
    fit = ols(*parameters, act=name, order="quadratic")
    p = converted(name, nm.Gaussian(np.zeros(D)), 2)
    assert_same((p.constant, p.linear, p.quadratic), (fit.alpha, fit.beta.T, fit.unpack_gamma()))
