"""Covariances against the definition, the double integral over the plane; known kernels; how they read and fail."""

import itertools
import math
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath.calculus.quadrature import GaussLegendre
from scipy.special import ndtr
from sympy import Integer, Max, Rational, cos, exp, sin, sqrt

import symgauss as sg
from symgauss import Phi, Phi2, mu, mu_1, mu_2, phi, rho, sigma, sigma_1, sigma_2, x
from symgauss.price import vanishes
from tests.symgauss.definition import CATALOGUE
from tests.symgauss.plane import (
    FUNCTIONS,
    UNUSUAL,
    Place,
    assert_close,
    plane_integral,
    plane_integral_in_20_digits,
)


def value(formula: sympy.Expr, place: Place, digits: int = 30) -> Any:
    """A formula at a place, as an mpmath number."""
    numbers = (Rational(v.numerator, v.denominator) for v in place)
    found = formula.xreplace(dict(zip((mu_1, sigma_1, mu_2, sigma_2, rho), numbers))).evalf(digits)
    with mpmath.workdps(digits):
        return mpmath.mpf(str(found))


def test_the_assertion_notices_a_small_error():
    assert_close(1 + 1e-15, 1, 1)
    with pytest.raises(AssertionError, match=r"error 9\.99"):
        assert_close(1 + 1e-13, 1, 1)


def test_the_plane_integral_knows_products_and_polynomials():
    place = tuple(map(Fraction, ("1/3", "3/2", "-1/2", "1/4", "-2/5")))
    true, size = plane_integral(lambda y: y, (), lambda y: y * y, (), place)
    m, s, n, t, r = map(float, place)
    assert_close(true, m * (n * n + t * t) + 2 * n * r * s * t, size, 1e-14)  # Isserlis
    independent = (*place[:4], Fraction(0))
    true, size = plane_integral(FUNCTIONS["relu"][0], (0,), np.exp, (), independent)
    z = m / s
    mean = m * ndtr(z) + s * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    assert_close(true, mean * math.exp(n + t * t / 2), size, 1e-14)


PLACES = [
    tuple(map(Fraction, place))
    for place in (
        ("1/3", "5/4", "-1/2", "3/4", "-3/5"),
        ("-4/5", "1/2", "7/10", "2", "9/10"),
        ("3", "2", "-1", "1/3", "1/8"),
    )
]


def has_a_closed_form(name: str) -> bool:
    try:
        sg.gaussian_covariance(name)
    except sg.NoClosedForm:
        return False
    return True


def test_every_closed_form_has_a_definition_here():
    assert {name for name in sg.activation_names() if has_a_closed_form(name)} == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_catalogue(name):
    function, cuts = FUNCTIONS[name]
    formula = sg.gaussian_covariance(name)
    for place in PLACES:
        true, size = plane_integral(function, cuts, function, cuts, place)
        assert_close(value(formula, place), true, size)


@pytest.mark.parametrize(
    ("name", "digits"),
    [("relu", 18), *(pytest.param(name, 18, marks=pytest.mark.slow) for name in ("gelu", "hardtanh", "erf", "sin"))],
)
def test_to_many_digits(name, digits):
    function, cuts = CATALOGUE[name]
    true = plane_integral_in_20_digits(function, cuts, PLACES[0])
    assert_close(value(sg.gaussian_covariance(name), PLACES[0]), true, 1, 10.0**-digits)


# Where an activation is nearly 0 the window of the double integral shows nothing; tails have a test of their own.
VISIBLE = 1e-6
means = st.fractions(-3, 3, max_denominator=100)
stds = st.fractions(Fraction(1, 5), Fraction(5, 2), max_denominator=100)
correlations = st.fractions(Fraction(-19, 20), Fraction(19, 20), max_denominator=100)
places = st.tuples(means, stds, means, stds, correlations)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(FUNCTIONS)), places)
def test_anywhere(name, place):
    assert_the_plane_integral(name, place)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(FUNCTIONS)), places)
def test_at_many_places(name, place):
    assert_the_plane_integral(name, place)


def assert_the_plane_integral(name, place):
    function, cuts = FUNCTIONS[name]
    true, size = plane_integral(function, cuts, function, cuts, place)
    assert_close(value(sg.gaussian_covariance(name), place, 20), true, max(size, VISIBLE), 1e-12)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(sorted(FUNCTIONS)), st.sampled_from(sorted(FUNCTIONS)), places)
def test_two_different_activations(left, right, place):
    assert_the_plane_integral_of_two(left, right, place)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(FUNCTIONS)), st.sampled_from(sorted(FUNCTIONS)), places)
def test_many_pairs_of_activations(left, right, place):
    assert_the_plane_integral_of_two(left, right, place)


def assert_the_plane_integral_of_two(left, right, place):
    if {"sin", "cos"} & {left, right} and not {left, right} <= {
        "sin",
        "cos",
        "exp",
        "square",
        "identity",
        "gaussian_bump",
    }:
        with pytest.raises(sg.NoClosedForm, match="Phi of a complex argument"):
            sg.gaussian_covariance(left, right)
        return
    (f, f_cuts), (g, g_cuts) = FUNCTIONS[left], FUNCTIONS[right]
    true, size = plane_integral(f, f_cuts, g, g_cuts, place)
    assert_close(value(sg.gaussian_covariance(left, right), place, 20), true, max(size, VISIBLE), 1e-12)


@pytest.mark.parametrize("kind", UNUSUAL)
def test_beyond_the_catalogue(kind):
    formula, function, cuts = UNUSUAL[kind]
    for place in PLACES[:2]:
        true, size = plane_integral(function, cuts, function, cuts, place)
        assert_close(value(sg.gaussian_covariance(formula), place), true, size)


def _kernel(formula: sympy.Expr, r: Fraction, s_1: Fraction = Fraction(1), s_2: Fraction = Fraction(1)) -> Any:
    return value(formula, (Fraction(0), s_1, Fraction(0), s_2, r))


@pytest.mark.parametrize("r", [Fraction(-9, 10), Fraction(-1, 3), Fraction(0), Fraction(1, 2), Fraction(99, 100)])
def test_known_kernels_of_centred_variables(r):
    """The arc-cosine kernels of degree 0, 1 and 2 (Cho & Saul 2009) and the arc-sine kernel (Williams 1998)."""
    s_1, s_2 = Fraction(3, 2), Fraction(1, 3)
    with mpmath.workdps(30):
        c, angle = mpmath.mpf(r.numerator) / r.denominator, mpmath.acos(mpmath.mpf(r.numerator) / r.denominator)
        s = mpmath.sin(angle)
        kernels = {
            "step": (mpmath.pi - angle) / (2 * mpmath.pi),
            "relu": (s + (mpmath.pi - angle) * c) / (2 * mpmath.pi) / 2,
            "relu2": (3 * s * c + (mpmath.pi - angle) * (1 + 2 * c**2)) / (2 * mpmath.pi) / 4,
            "erf": 2 / mpmath.pi * mpmath.asin(c / mpmath.sqrt(mpmath.mpf(11) / 2 * mpmath.mpf(11) / 9)),
        }
        for name, kernel in kernels.items():
            assert_close(_kernel(sg.gaussian_covariance(name), r, s_1, s_2), kernel, 1, 1e-27)


@pytest.mark.parametrize("r", [Fraction(1, 2), Fraction(-3, 5)])
def test_tails(r):
    """relu at means of −8, by the integral over 0 ≤ y ≤ 6: 15 digits of what is left, which is next to nothing."""
    with mpmath.workdps(30):
        c = mpmath.mpf(r.numerator) / r.denominator

        def density(y: Any, z: Any) -> Any:
            square = ((y + 8) ** 2 + (z + 8) ** 2 - 2 * c * (y + 8) * (z + 8)) / (1 - c**2)
            return y * z * mpmath.exp(-square / 2) / (2 * mpmath.pi * mpmath.sqrt(1 - c**2))

        ends = [mpmath.mpf(end) / 16 for end in (0, 4, 12, 32, 96)]
        rule = GaussLegendre(mpmath.mp).calc_nodes(4, mpmath.mp.prec + 10)
        nodes = [
            ((a + b) / 2 + (b - a) / 2 * node, (b - a) / 2 * weight)
            for a, b in itertools.pairwise(ends)
            for node, weight in rule
        ]
        true = mpmath.fsum(v * w * density(y, z) for y, v in nodes for z, w in nodes)
        place = (Fraction(-8), Fraction(1), Fraction(-8), Fraction(1), r)
        assert_close(value(sg.gaussian_covariance("relu"), place), true, true, 1e-15)


def test_how_they_read():
    h, k, root = mu_1 / sigma_1, mu_2 / sigma_2, sqrt(1 - rho**2)
    to_2, to_1 = (k - rho * h) / root, (h - rho * k) / root
    assert sg.gaussian_covariance("step") == Phi2(h, k, rho)
    assert sg.gaussian_covariance("relu") == (
        (mu_1 * mu_2 + rho * sigma_1 * sigma_2) * Phi2(h, k, rho)
        + mu_2 * sigma_1 * phi(h) * Phi(to_2)
        + mu_1 * sigma_2 * phi(k) * Phi(to_1)
        + sigma_1 * sigma_2 * root * phi(h) * phi(to_2)
    )
    assert sg.gaussian_covariance("identity") == mu_1 * mu_2 + rho * sigma_1 * sigma_2
    assert sg.gaussian_covariance("exp") == exp(mu_1 + mu_2 + sigma_1**2 / 2 + sigma_2**2 / 2 + rho * sigma_1 * sigma_2)
    both = rho * sigma_1 * sigma_2
    size = -(sigma_1**2) / 2 - sigma_2**2 / 2
    assert (
        sg.gaussian_covariance("sin")
        == exp(size + both) * cos(mu_1 - mu_2) / 2 - exp(size - both) * cos(mu_1 + mu_2) / 2
    )
    shifted = sg.gaussian_covariance(Max(0, x - 3))
    assert shifted.has(Phi2((mu_1 - 3) / sigma_1, (mu_2 - 3) / sigma_2, rho))


def test_next_to_a_kink_exponentials_are_taken_at_it():
    """elu is continuous: what its two halves leave at the kink has no e^{mu + sigma²/2} times a tiny φ."""
    for term in sympy.Add.make_args(sg.gaussian_covariance("elu")):
        if term.has(phi):
            assert not term.has(exp(mu_1 + sigma_1**2 / 2), exp(mu_2 + sigma_2**2 / 2))


@pytest.mark.parametrize(
    ("name", "largest"), [("relu", 61), ("gelu", 200), ("elu", 270), ("relu6", 290), ("hardswish", 740)]
)
def test_formulas_stay_short(name, largest):
    assert sympy.count_ops(sg.gaussian_covariance(name)) <= largest


TAUS = ["relu", "gelu", "hardtanh", "elu", "gaussian_bump", "sin", "erf"]


@pytest.mark.parametrize("name", TAUS)
def test_a_constant_a_line_and_an_exponential_on_the_other_side(name):
    """E τ(Y₂) = N, E[Y₁ τ(Y₂)] = mu_1 N + C N′ (Stein) and E[e^{Y₁} τ(Y₂)] = e^{…} N(mu_2 + C)."""
    mean = sg.gaussian_mean(name).xreplace({mu: mu_2, sigma: sigma_2})
    both = rho * sigma_1 * sigma_2
    assert vanishes(sg.gaussian_covariance(Integer(1), name) - mean)
    assert vanishes(sg.gaussian_covariance("identity", name) - mu_1 * mean - both * mean.diff(mu_2))
    tilted = exp(mu_1 + sigma_1**2 / 2) * mean.xreplace({mu_2: mu_2 + both})
    assert vanishes(sg.gaussian_covariance("exp", name) - tilted)


@pytest.mark.parametrize(
    ("left", "right"), [("relu", "relu"), ("relu", "gelu"), ("elu", "step"), ("sin", "exp"), ("gelu", "erf")]
)
def test_the_sides_can_be_exchanged(left, right):
    exchange = {mu_1: mu_2, mu_2: mu_1, sigma_1: sigma_2, sigma_2: sigma_1}
    assert vanishes(sg.gaussian_covariance(left, right) - sg.gaussian_covariance(right, left).xreplace(exchange))


def test_linear_in_each_side():
    combined = sg.gaussian_covariance(2 * Max(0, x) - 3 * x, "gelu")
    parts = 2 * sg.gaussian_covariance("relu", "gelu") - 3 * sg.gaussian_covariance("identity", "gelu")
    assert vanishes(combined - parts)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_limit_of_full_correlation(sign):
    """At rho → ±1 there is one variable left: E[relu(Y) relu(±Y)] is E relu(Y)², or 0."""
    near = sign * (1 - Fraction(1, 10**24))
    found = value(sg.gaussian_covariance("relu"), (Fraction(1, 2), Fraction(1), Fraction(sign, 2), Fraction(1), near))
    with mpmath.workdps(30):
        half = mpmath.mpf(1) / 2
        square = (half**2 + 1) * mpmath.ncdf(half) + half * mpmath.npdf(half)
        assert abs(found - (square if sign > 0 else 0)) < 1e-11


def test_parameters_stay_symbols():
    a = sympy.Symbol("a", real=True)
    act = sg.Activation("scaled", a * Max(0, x), {a: a})
    assert vanishes(sg.gaussian_covariance(act) - a**2 * sg.gaussian_covariance("relu"))
    leaky = sg.activation("leaky_relu").symbolic
    (slope,) = leaky.parameters
    put_in = sg.gaussian_covariance(leaky).xreplace({slope: Rational(1, 100)})
    assert vanishes(put_in - sg.gaussian_covariance("leaky_relu"))


def test_what_was_found_is_kept():
    assert sg.gaussian_covariance("hardswish") is sg.gaussian_covariance(sg.activation("hardswish"))


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        ("tanh", sg.NoClosedForm, r"^tanh: tanh\(x\) is outside"),
        (Phi(x) ** 2, sg.NoClosedForm, "^expression: Phi times Phi"),
        (sin(x) + Max(0, x), sg.NoClosedForm, "^expression: sin or cos of one variable times a step"),
        (exp(10 * x**2 / 39), sg.GrowsTooFast, "it has no mean for sigma >="),
        (exp(x**4), sg.GrowsTooFast, "no mean for any sigma"),
        ("nosuch", sg.UnknownActivation, "no activation 'nosuch'"),
        (3, TypeError, "takes a name or an Activation"),
    ],
)
def test_refusals(act, error, message):
    for _ in range(2):  # the second time from what was kept
        with pytest.raises(error, match=message):
            sg.gaussian_covariance(act)


def test_refusals_of_the_other_side():
    with pytest.raises(sg.NoClosedForm, match=r"^tanh: "):
        sg.gaussian_covariance("square", "tanh")
    with pytest.raises(sg.NoClosedForm, match=r"^relu and sin: sin or cos"):
        sg.gaussian_covariance("relu", "sin")
    with pytest.raises(sg.GrowsTooFast):
        sg.gaussian_covariance("square", exp(x**2))


def test_a_parameter_with_the_name_of_a_symbol():
    act = sg.Activation("scaled", rho * x, {rho: rho})
    with pytest.raises(ValueError, match=r"scaled\(rho=rho\): the parameter rho has the name of a symbol"):
        sg.gaussian_covariance(act)
    assert sg.gaussian_covariance(act.with_parameters(rho=2)) == 4 * mu_1 * mu_2 + 4 * rho * sigma_1 * sigma_2
