"""Residual covariances against closed forms, against coefficients known in other ways, and by two methods."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from flint import arb

from tests.marks import mostly_slow
from tests.oracle import variance
from tests.oracle.arb import log2_abs, precision
from tests.oracle.cases import CASES
from tests.oracle.definitions import Definition, definition, y
from tests.oracle.local import BITS, NODES, Float, gauss, legendre, normal_density, to_arb, to_long
from tests.oracle.residual import Factor, Neuron, orthonormal
from tests.oracle.truth import source
from tests.oracle.variance import Correlations, by_integration, by_series, prepared, truth

DIGITS = 1e-17
"""What the oracle promises, relative to √(VV′)."""
SNAKE = Definition("snake", (y + sympy.sin(2 * y) ** 2 / 2,))


def neuron(name: str, mean: float, std: float, degree: int, factor: tuple[float, float, float] | None = None) -> Neuron:
    sigma = SNAKE if name == "snake" else definition(name)
    made = None if factor is None else Factor(*(arb(v) for v in factor), gated=True)
    return Neuron(sigma, arb(mean), arb(std), degree, made)


def assert_agree(found: object, true: object, scale: object = 1.0, tolerance: float = DIGITS) -> None:
    """|found − true| ≤ tolerance · scale, in long doubles; NaN never agrees."""
    difference = np.abs(np.asarray(found, dtype=Float) - np.asarray(true, dtype=Float))
    assert np.all(difference <= tolerance * np.asarray(scale, dtype=Float)), difference / scale


def from_mpmath(value: mpmath.mpf) -> np.longdouble:
    high = float(value)
    return Float(high) + Float(float(value - high))


def test_assert_agree_sees_the_seventeenth_digit() -> None:
    assert_agree(Float(1) + Float(8e-18), 1.0)
    for wrong in (Float(1) + Float(2e-17), Float("nan")):
        with pytest.raises(AssertionError):
            assert_agree(wrong, 1.0)
    with pytest.raises(AssertionError):
        assert_agree([1.0, 2.0], [1.0, 2.0 + 1e-15])


# What it is made of


def test_numbers_keep_their_digits() -> None:
    with precision(BITS):
        third = arb(1) / 3
        assert abs(to_long(third) * 3 - 1) < 2e-19
        assert to_arb(0.1) == arb(0.1)
        assert to_arb(Fraction(1, 3)).contains(third)


def test_rules_and_polynomials() -> None:
    z, weights = gauss(np.array([-2, 1], Float), np.array([1, 4], Float))
    assert_agree(np.sum(weights * z**10), Float(4**11 + 2**11) / 11, 4**11)
    u = np.linspace(-1, 1, 7, dtype=Float)
    assert_agree(legendre(u, 5)[4], (35 * u**4 - 30 * u**2 + 3) / 8, 10.0)
    assert_agree(normal_density(Float(1)), Float("0.24197072451914334980"))


@pytest.mark.parametrize(
    "key", ["relu", "hardswish", "gelu", "elu", "tanh", "softplus", "gelu_tanh", "softsign", "exp"]
)
@pytest.mark.parametrize(("mu", "s"), [(-3.0, 0.5), (1.5, 20.0), (0.125, 0.05)])
def test_coefficients_are_those_of_the_tables(key: str, mu: float, s: float) -> None:
    found = neuron(key, mu, s, 8).hermite
    with precision(BITS):
        true = [h / arb(math.factorial(k)).sqrt() for k, h in enumerate(source(CASES[key])(mu, s))][: len(found)]
        size = max(abs(float(h)) for h in true)
        # narrow neurons keep the digits of a coefficient that is 1e-10 of the first
        assert all(log2_abs((f - t).abs_upper()) < math.log2(size) - 80 for f, t in zip(found, true, strict=True))


HARD = [
    ("relu", 0.3, 1.0, 2),
    ("relu", -6.0, 1.0, 1),
    ("step", 2.0, 0.5, 0),
    ("hardtanh", 0.2, 20.0, 4),
    ("hardswish", 3.01, 0.05, 4),
    ("elu", 0.01, 0.05, 3),
    ("tanh", 0.1, 0.05, 2),
    ("tanh", 0.1, 20.0, 8),
    ("silu", 0.4, 0.05, 8),
    ("gelu_tanh", -0.5, 2.0, 4),
    ("softsign", 0.5, 1.0, 1),
    ("exp", -0.3, 3.0, 2),
    ("sin", 0.3, 5.0, 3),
    ("snake", 0.3, 1.0, 2),
]


@pytest.mark.parametrize(("name", "mu", "s", "degree"), HARD)
def test_the_residual_of_one_neuron(name: str, mu: float, s: float, degree: int) -> None:
    """Stored as it is, orthogonal to polynomials, and as large as the difference of total and explained says."""
    known = neuron(name, mu, s, degree)
    size = np.sqrt(known.variance)
    rng = np.random.default_rng(0)
    for z in rng.uniform(-4, 4, 20):
        assert_agree(
            known.residual(z)[0], to_long(known.residual_at(z)[0]), size * (1 + np.exp(Float(z * z / 4))), 1e-17
        )
    panel, z, weights = known.residual.nodes(2)
    values = weights * known.residual.on(panel, z)[0]
    for he in _long_orthonormal(z, degree + 1):
        assert_agree(np.sum(values * he), 0.0, size)
    assert_agree(known.variance, known.variance_by_subtraction, known.variance, 2e-18)
    if float(known.variance_by_subtraction) > 1e-12 * float(known.total):
        assert abs(float(to_long(known.total)) - float(known.variance) - float(sum(known.explained))) < 1e-14 * float(
            known.total
        )


def _long_orthonormal(z: np.ndarray, count: int) -> list[np.ndarray]:
    row = [np.ones_like(z), z]
    for k in range(1, count):
        row.append((z * row[k] - np.sqrt(Float(k)) * row[k - 1]) / np.sqrt(Float(k + 1)))
    return row[:count]


def test_parseval() -> None:
    for name, factor in (("tanh", None), ("silu", (0.3, -0.5, 0.7)), ("gelu", (0.0, 1.0, 0.0))):
        known = neuron(name, 0.2, 1.0, 2, factor)
        alpha, beta = known.series
        assert_agree(
            np.sum(alpha**2) + to_long(known.factor.beside) ** 2 * np.sum(beta**2), known.variance, known.variance
        )


def test_a_gated_residual_is_orthogonal_to_polynomials_in_both_variables() -> None:
    """The residual is R_a(Z) + D R_b(Z): with he_i(Z) D^j, i + j ≤ n, only j = 0 and j = 1 say anything."""
    degree = 3
    known = neuron("silu", 0.4, 1.3, degree, (0.7, -0.4, 0.9))
    panel, z, weights = known.residual.nodes(2)
    along, beside = weights * known.residual.on(panel, z)
    he = _long_orthonormal(z, degree + 2)
    for i in range(degree + 1):
        assert_agree(np.sum(along * he[i]), 0.0)
    for i in range(degree):
        assert_agree(np.sum(beside * he[i]), 0.0)
    assert abs(float(np.sum(along * he[degree + 1]))) > 1e-3
    assert abs(float(np.sum(beside * he[degree]))) > 1e-3


def test_a_gate_that_does_not_vary() -> None:
    """σ(μ)z has degree 1, in D."""
    known = neuron("step", 0.5, 0.0, 0, (0.3, 0.0, 2.0))
    assert_agree(known.variance, 4.0)
    assert neuron("step", 0.0, 0.0, 0, (0.3, 0.0, 2.0)).variance == 0
    assert neuron("relu", 0.5, 0.0, 1, (0.3, 0.0, 2.0)).variance == 0
    assert neuron("relu", 0.5, 0.0, 0).variance == 0


def test_orthonormal_polynomials() -> None:
    with precision(BITS):
        z = arb(0.5)
        assert abs(orthonormal(z, 4)[3] - (z**3 - 3 * z) / arb(6).sqrt()) < arb(1e-70)
        assert len(orthonormal(z, 1)) == 1


# Closed forms of E[σ(y)σ(y′)]


def _relu(g: mpmath.mpf, s: mpmath.mpf, t: mpmath.mpf) -> mpmath.mpf:
    return s * t / (2 * mpmath.pi) * (mpmath.sqrt(1 - g * g) + g * (mpmath.pi - mpmath.acos(g)))


def _step(g: mpmath.mpf, s: mpmath.mpf, t: mpmath.mpf) -> mpmath.mpf:  # noqa: ARG001
    return mpmath.mpf(1) / 4 + mpmath.asin(g) / (2 * mpmath.pi)


def _erf(g: mpmath.mpf, s: mpmath.mpf, t: mpmath.mpf) -> mpmath.mpf:
    return 2 / mpmath.pi * mpmath.asin(2 * s * t * g / mpmath.sqrt((1 + 2 * s * s) * (1 + 2 * t * t)))


def _exp(g: mpmath.mpf, s: mpmath.mpf, t: mpmath.mpf) -> mpmath.mpf:
    return mpmath.exp((s * s + t * t) / 2 + g * s * t)


def _sin(g: mpmath.mpf, s: mpmath.mpf, t: mpmath.mpf) -> mpmath.mpf:
    return mpmath.exp(-(s * s + t * t) / 2) * mpmath.sinh(g * s * t)


def _abs(g: mpmath.mpf, s: mpmath.mpf, t: mpmath.mpf) -> mpmath.mpf:
    return 2 * s * t / mpmath.pi * (mpmath.sqrt(1 - g * g) + g * mpmath.asin(g))


CLOSED = {"relu": _relu, "step": _step, "erf": _erf, "exp": _exp, "sin": _sin, "abs": _abs}
CORRELATIONS = [0.5, -0.85, 0.95, 1 - 1e-6, -1 + 1e-9, 1.0, -1.0, 0.0]


@pytest.mark.parametrize(
    ("name", "degree"),
    [
        pytest.param(
            name, degree, marks=() if degree == 0 or (name, degree) in (("relu", 5), ("erf", 5)) else pytest.mark.slow
        )
        for name in CLOSED
        for degree in (0, 2, 5)
    ],
)
def test_total_less_explained_of_closed_forms(name: str, degree: int) -> None:
    one, two = neuron(name, 0.0, 0.75, degree), neuron(name, 0.0, 2.0, degree)
    scale = np.sqrt(one.variance * two.variance)
    for correlation in CORRELATIONS:
        with mpmath.workdps(70):
            g = mpmath.mpf(correlation)
            left = CLOSED[name](g, mpmath.mpf(0.75), mpmath.mpf(2.0))
            for k in range(degree + 1):
                left -= _mpf(one.hermite[k]) * _mpf(two.hermite[k]) * g**k
        found = variance.covariance(one, two, Correlations.plain(correlation))
        assert_agree(found, from_mpmath(left), scale)


def _mpf(x: arb) -> mpmath.mpf:
    return mpmath.mpf(x.mid().str(72, radius=False, more=True).strip("[]").split(" ")[0])


def test_a_wrong_correlation_is_seen() -> None:
    one = neuron("relu", 0.0, 1.0, 1)
    true = by_integration(one, one, Correlations.plain(Fraction(95, 100)))
    wrong = by_integration(one, one, Correlations.plain(Fraction(95, 100) + Fraction(1, 10**15)))
    with pytest.raises(AssertionError):
        assert_agree(wrong, true, one.variance)


# The two methods


PAIRS = [
    ("relu", (0.3, 1.0), (-0.4, 2.0), 2),
    ("step", (1.5, 0.5), (-6.0, 1.0), 1),
    ("hardtanh", (0.1, 20.0), (5.0, 1.0), 0),
    ("tanh", (0.3, 0.05), (-0.4, 20.0), 8),
    ("silu", (0.3, 1.0), (4.0, 0.5), 4),
    ("elu", (0.3, 1.0), (-0.4, 2.0), 3),
    ("softsign", (0.3, 1.0), (-0.4, 2.0), 1),
    ("snake", (0.3, 1.0), (-0.4, 2.0), 2),
]


@pytest.mark.parametrize("g", mostly_slow((-0.9, 0.05, 0.3, -0.6, 0.8), fast=(-0.9,)))
@pytest.mark.parametrize(("name", "one", "two", "degree"), PAIRS)
def test_the_two_methods_agree(name: str, one: tuple, two: tuple, degree: int, g: float) -> None:
    first, second = neuron(name, *one, degree), neuron(name, *two, degree)
    pair = Correlations.plain(g)
    scale = np.sqrt(first.variance * second.variance)
    assert_agree(by_integration(first, second, pair), by_series(first, second, pair), scale)


def gated_pair(g: float, degree: int, name: str = "silu") -> tuple[Neuron, Neuron, Correlations]:
    """Two gated neurons of a vector of three independent variables."""
    W = np.array([[1.0, 0.0, 0.0], [2 * g, 2 * math.sqrt(1 - g * g), 0.0]])
    U = np.array([[0.5, -0.7, 0.4], [-0.3, 0.2, 1.1]])
    known, pairs = prepared(
        definition(name), W, np.array([0.3, -0.5]), np.zeros(3), np.eye(3), degree, (U, np.array([0.2, -1.0]))
    )
    return known[0], known[1], pairs(0, 1)


@pytest.mark.parametrize(
    ("name", "degree"),
    [("relu", 2), *(pytest.param(name, n, marks=pytest.mark.slow) for name in ("silu", "step") for n in (0, 1, 5))],
)
def test_the_two_methods_agree_with_factors(name: str, degree: int) -> None:
    one, two, pair = gated_pair(0.85, degree, name)
    scale = np.sqrt(one.variance * two.variance)
    assert_agree(by_integration(one, two, pair), by_series(one, two, pair), scale)
    assert_agree(by_integration(two, one, swapped(pair)), by_series(one, two, pair), scale)


def swapped(pair: Correlations) -> Correlations:
    return Correlations(pair.g, pair.t, pair.c21, pair.c12, pair.c22)


@pytest.mark.parametrize("g", [0.3, 1 - 1e-7])
def test_products_of_exponentials_and_linear_factors(g: float) -> None:
    """E[e^y z e^y′ z′]: y and y′ tilt the means of z and z′ by their covariances, and the rest is Isserlis."""
    W = np.array([[1.0, 0.0, 0.0], [2 * g, 2 * math.sqrt(1 - g * g), 0.0]])
    U = np.array([[0.5, -0.7, 0.4], [-0.3, 0.2, 1.1]])
    b, c = np.array([0.3, -0.5]), np.array([0.2, -1.0])
    known, pairs = prepared(definition("exp"), W, b, np.zeros(3), np.eye(3), 0, (U, c))
    with precision(BITS):
        rows = [[to_arb(v) for v in row] for row in np.vstack([W, U])]
        S = [[sum((p * q for p, q in zip(left, right)), arb(0)) for right in rows] for left in rows]
        size = (to_arb(b[0]) + to_arb(b[1]) + (S[0][0] + S[1][1]) / 2 + S[0][1]).exp()
        tilted = [to_arb(c[i]) + S[2 + i][0] + S[2 + i][1] for i in (0, 1)]
        second = size * (tilted[0] * tilted[1] + S[2][3])
        true = to_long(second - known[0].alpha_0 * known[1].alpha_0)
    found = variance.covariance(known[0], known[1], pairs(0, 1))
    assert_agree(found, true, np.sqrt(known[0].variance * known[1].variance))


def test_a_bilinear_layer_has_nothing_beyond_degree_2() -> None:
    W, U = np.array([[1.0, 0.5], [0.3, -2.0]]), np.array([[0.2, 1.0], [1.0, 1.0]])
    known = truth(definition("identity"), W, None, np.zeros(2), np.eye(2), 1, (U, None))
    # z z′ y y′ by pairing y with y′ and with z′: what degree 1 leaves at zero mean
    S = np.vstack([W, U]) @ np.vstack([W, U]).T
    assert_agree(known.covariances[0, 1], S[0, 1] * S[2, 3] + S[0, 3] * S[2, 1], 1.0, 1e-14)
    nothing = truth(definition("identity"), W, None, np.zeros(2), np.eye(2), 2, (U, None))
    assert np.all(np.abs(nothing.covariances) < 1e-60)


# Layers


def test_covariances_come_from_exact_fractions() -> None:
    """1 − g of rows that differ in the last digits of their weights."""
    W = np.array([[1.0, 0.0], [1.0, 1e-12]])
    _, pairs = prepared(definition("relu"), W, None, np.zeros(2), np.eye(2), 0)
    pair = pairs(0, 1)
    assert abs(float(pair.t) - 1e-12) < 1e-26
    assert float(1 - pair.g) == pytest.approx(5e-25, rel=1e-9)
    _, pairs = prepared(definition("relu"), np.array([[1.0, 0.0], [-2.0, 0.0]]), None, np.zeros(2), np.eye(2), 0)
    assert float(pairs(0, 1).g) == -1
    assert float(pairs(0, 1).t) == 0


def test_covariances_that_are_none_are_refused() -> None:
    cov = np.array([[1.0, 1.0], [1.0, 1.0 - 1e-16]])
    _, pairs = prepared(definition("relu"), np.array([[1.0, 0.0], [1.0, 1.0]]), None, np.zeros(2), cov, 0)
    with pytest.raises(ValueError, match="semidefinite"):
        pairs(0, 1)


def test_copies_of_a_neuron() -> None:
    W = np.array([[0.6, 0.3], [0.6, 0.3], [1.2, 0.6], [-0.6, -0.3]])
    b = np.array([0.2, 0.2, 0.4, -0.2])
    known = truth(definition("relu"), W, b, np.array([0.5, -1.0]), np.array([[1.0, 0.5], [0.5, 2.0]]), 2)
    V = known.covariances[0, 0]
    assert_agree(known.covariances[:3, :3], V * np.array([[1, 1, 2], [1, 1, 2], [2, 2, 4]], Float), 4 * V)
    # (−y)₊ = y₊ − y: the same beyond degree 1
    assert_agree(known.covariances[0, 3], V, V)
    assert_agree(known.residual([[1, 1, -1, 0]]), 0, known.scale([[1, 1, -1, 0]]))


def test_neurons_that_see_nothing() -> None:
    known = truth(definition("relu"), np.array([[0.0, 0.0], [1.0, 0.0]]), None, np.zeros(2), np.eye(2), 0)
    assert known.covariances[0, 0] == known.covariances[0, 1] == 0
    U = np.array([[1.0, 2.0], [0.0, 1.0]])
    known = truth(definition("exp"), np.zeros((2, 2)), None, np.zeros(2), np.eye(2), 0, (U, None))
    assert_agree(known.covariances, U @ U.T, 5.0)


def test_series_refuse_what_needs_integration() -> None:
    one = neuron("relu", 0.0, 1.0, 0)
    with pytest.raises(ValueError, match="too many terms"):
        by_series(one, one, Correlations.plain(0.99))


def test_residuals_beyond_the_precision() -> None:
    """1e-70 of the neuron counts as nothing; 1e-40 of it is known only to a part of its digits, and refused."""
    assert neuron("tanh", 0.1, 1e-9, 8).variance == 0
    with pytest.raises(ArithmeticError, match="too small"):
        _ = neuron("tanh", 0.1, 1e-6, 8).variance


def test_polynomials_on_panels_are_seen_to_be_wrong() -> None:
    """Nodes that ignore the kink are worth nothing."""
    known = neuron("relu", 0.37, 1.0, 0)
    whole = type(known.residual)(known.residual.edges[[0, -1]], known.residual.coefficients[:, :1])
    assert whole.coefficients.shape[-1] == NODES
    panel, z, weights = whole.nodes(64)
    values = weights * np.array([float(known.residual(v)[0]) for v in z.ravel()]).reshape(z.shape) ** 2
    with pytest.raises(AssertionError):
        assert_agree(np.sum(values), known.variance, known.variance)
    assert len(panel) == 64
