"""Degree 1 under any Gaussian and degree 2 under N(0, I), from the regression formulas; and polyapprox, if there.

With y = w·x + b, E[x − m | y] = Σw (y − μ)/s², so that E[σ(y)(x − m)] and E[σ(y)(xxᵀ − I)] are one-dimensional
integrals of σ itself: no derivative of σ, no formula of ours. The same for gated layers at degree 1, where z is split
into E[z | y] and the rest, which is independent of y.

polyapprox converts gated layers at degree 1. Its `glu_ols` leaves out the inverse covariance of the inputs, and the
output matrix in the slope.
"""

import numpy as np
import pytest

import numeric as nm
from tests.numeric.problems import assert_close, covariance, gated_weights, textbook, weights
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


def gated_linear_regression(
    name: str, G: np.ndarray, b: np.ndarray, U: np.ndarray, c: np.ndarray, m: np.ndarray, S: np.ndarray
) -> Coefficients:
    """The constant and E[σ(y) z (x − m)ᵀ] Σ⁻¹ of the regression of the gated products on 1 and x."""
    e, s = integrals(name, G, b, m, S)
    nu, r = U @ m + c, np.einsum("ni,ij,nj->n", G, S, U) / s
    # z = ν + rZ + ζ and x − m = Σw Z/s + ξ, with ζ and ξ independent of Z and E[ζ ξ] = Σu − r Σw/s
    along = (nu * e[:, 1] + r * (e[:, 2] + e[:, 0])) / s
    cross = along[:, None] * (G @ S) + e[:, :1] * (U @ S - (r / s)[:, None] * (G @ S))
    slope = np.linalg.solve(S, cross.T).T
    return nu * e[:, 0] + r * e[:, 1] - slope @ m, slope


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


def mixture_problem() -> tuple[np.ndarray, np.ndarray]:
    """Means and covariances of three components."""
    rng = np.random.default_rng(14)
    return 2 * rng.standard_normal((3, D)), np.stack([covariance(rng, D, D) for _ in range(3)])


def mixture_regression(name: str, means: np.ndarray, covs: np.ndarray) -> Coefficients:
    """E f and E[f (x − m)ᵀ] Cov(x)⁻¹ under equal weights; the moments are sums of those of the components."""
    W, b, V, c = problem()[0]
    m = means.mean(axis=0)
    total = np.mean([S + np.outer(mean - m, mean - m) for mean, S in zip(means, covs)], axis=0)
    value, cross = np.zeros(OUT), np.zeros((OUT, D))
    for mean, S in zip(means, covs):
        e, s = integrals(name, W, b, mean, S)
        value += (V @ e[:, 0] + c) / len(means)
        cross += (V @ ((e[:, 1] / s)[:, None] * (W @ S)) + np.outer(V @ e[:, 0] + c, mean - m)) / len(means)
    slope = np.linalg.solve(total, cross.T).T
    return value - slope @ m, slope


@pytest.mark.parametrize("name", SHARED)
def test_degree_1_under_a_mixture(name: str) -> None:
    means, covs = mixture_problem()
    layer = nm.MLP(*problem()[0], activation=name)
    p = nm.approximate(layer, nm.GaussianMixture(np.full(3, 1 / 3), means, covs), 1)
    assert_same((p.constant, p.linear), mixture_regression(name, means, covs))
    if name != "identity":
        p = nm.approximate(layer, nm.GaussianMixture([0.4, 0.3, 0.3], means, covs), 1)
        with pytest.raises(AssertionError):
            assert_same((p.constant, p.linear), mixture_regression(name, means, covs))


@pytest.mark.parametrize("name", SHARED)
def test_polyapprox_has_the_same_numbers_under_a_mixture(name: str) -> None:
    """Of equal weights: it knows no others."""
    ols = pytest.importorskip("polyapprox.ols").ols
    means, covs = mixture_problem()
    fit = ols(*problem()[0], act=name, mean=means, cov=covs)
    layer = nm.MLP(*problem()[0], activation=name)
    p = nm.approximate(layer, nm.GaussianMixture(np.full(3, 1 / 3), means, covs), 1)
    assert_same((p.constant, p.linear), (fit.alpha, fit.beta.T))


def gated_problem() -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Square, because polyapprox takes the number of inputs for that of neurons."""
    rng = np.random.default_rng(12)
    return gated_weights(rng, D, D, D, spread=1.0)[:4], rng.standard_normal(D), covariance(rng, D, D)


def converted_gates(name: str, inputs: nm.Gaussian) -> Coefficients:
    p = nm.approximate(nm.GLU(*gated_problem()[0], activation=name), inputs, 1)
    return p.constant, p.linear


@pytest.mark.parametrize("name", SHARED)
def test_gated_degree_1_is_the_linear_regression(name: str) -> None:
    parameters, m, S = gated_problem()
    expected = gated_linear_regression(name, *parameters, m, S)
    assert_same(converted_gates(name, nm.Gaussian(m, S)), expected)
    with pytest.raises(AssertionError):
        assert_same(converted_gates(name, nm.Gaussian(m, S * (1 + 1e-9))), expected)


@pytest.mark.parametrize("name", SHARED)
def test_glu_ols_has_the_same_numbers_where_it_is_right(name: str) -> None:
    glu_ols = pytest.importorskip("polyapprox.ols").glu_ols
    (G, b, U, c), m, _ = gated_problem()
    for mean in (None, m):
        fit = glu_ols(G, U, b, c, act=name, mean=mean)
        ours = converted_gates(name, nm.Gaussian(np.zeros(D) if mean is None else mean))
        assert_same(ours, (fit.alpha, fit.beta.T))


@pytest.mark.parametrize("name", SHARED)
def test_what_glu_ols_leaves_out(name: str) -> None:
    """The inverse covariance: its slope is Σ times ours. And the output matrix: its slope has none."""
    glu_ols = pytest.importorskip("polyapprox.ols").glu_ols
    (G, b, U, c), m, S = gated_problem()
    constant, slope = converted_gates(name, nm.Gaussian(m, S))
    fit = glu_ols(G, U, b, c, act=name, mean=m, cov=S)
    assert_same((constant + slope @ m, slope @ S), (fit.alpha + m @ fit.beta, fit.beta.T))
    W_out = np.random.default_rng(13).standard_normal((D, D))
    fit = glu_ols(G, U, b, c, W_out, act=name)
    constant, slope = converted_gates(name, nm.Gaussian(np.zeros(D)))
    assert_same((W_out @ constant, slope), (fit.alpha, fit.beta.T))


@pytest.mark.parametrize("name", SHARED)
def test_glu_ols_is_worse_than_no_slope_at_all(name: str) -> None:
    """With inputs twice as wide it leaves more than there was: its fraction of variance unexplained is above 1."""
    glu_ols = pytest.importorskip("polyapprox.ols").glu_ols
    (G, b, U, c), m, S = gated_problem()
    S = 4 * S
    inputs = nm.Gaussian(m, S)
    fit = glu_ols(G, U, b, c, act=name, mean=m, cov=S)
    x = inputs.sample(50_000, 0)
    layer = nm.GLU(G, b, U, c, activation=name)
    values = layer(x)
    left = [
        ((values - q(x)) ** 2).sum() / ((values - values.mean(axis=0)) ** 2).sum()
        for q in (nm.approximate(layer, inputs, 1), fit)
    ]
    assert left[0] < 1 < left[1]
