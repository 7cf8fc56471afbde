"""Witnesses: integrals that can be trusted, claims that can be, and no true formula refuted in any clothes."""

import time
from fractions import Fraction

import mpmath
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Abs, E, Heaviside, Integer, Max, Min, Piecewise, Rational, cos, cosh, exp, log, sign, tanh

import symgauss as sg
from symgauss import He, Phi, mu, phi, quadrature, sigma, witness, x
from symgauss.enclosure import NotEnclosed, enclosed_expectation
from symgauss.quadrature import DIGITS, Doubtful, agreed, expectation
from tests.symgauss.definition import number

SPIKE = exp(-(10**10) * (x - Rational(1, 7)) ** 2)
HARD = [
    *(x, x**30, Max(x, 0), Min(Max(x, -1), 1), Heaviside(x - E) * x, Abs(x**2 - 2), sign(x) * x**2),
    *(exp(30 * x), exp(-30 * x), exp(30 * x) * Heaviside(-x), exp(-30 * x) * Max(x - 1, 0), 2 ** (40 * x + 1)),
    *(SPIKE, SPIKE * Max(x - Rational(1, 7), 0), exp(-(10**6) * x**2 / 2) * x**4, 3 ** (2 * x - 1) * Max(x, 0)),
    *(x * Phi(50 * x), Phi(10**6 * (x - Rational(1, 3))), exp(30 * x) * Phi(-10 * x), exp(5 * x) * Phi(-x)),
    *(cos(20 * x + 1), x**6 * sympy.sin(x), exp(x) * cos(3 * x), He(8, x) * exp(-(x**2) / 3), cosh(30 * x)),
]
PLACES = [(Rational(1, 2), Rational(1)), (Rational(-5, 2), Rational(2)), (Rational(5), Rational(1, 9))]


@pytest.mark.parametrize("expr", HARD)
@pytest.mark.parametrize("place", PLACES)
def test_the_error_of_an_integral_covers_its_error(expr, place):
    value, error = expectation(expr, *place)
    mean = sg.gaussian_mean(expr).subs({mu: place[0], sigma: place[1]}).evalf(50)
    with mpmath.workdps(50):
        assert abs(value - mpmath.mpf(mean)) <= error
        assert error <= mpmath.mpf(10) ** (8 - DIGITS) * (1 + abs(value))


def test_two_rules_that_differ_are_an_error():
    """A spike at a node of one rule and not of the other."""

    def spike(at):
        return 1 + 1000 * mpmath.exp(-((at - edges[1] / 2) ** 2) * 10**8)

    edges, others = ([mpmath.mpf(e) for e in grid] for grid in ([0, 1], [0, 0.4, 1]))
    value, error = agreed(spike, edges, others)
    true = 1 + mpmath.sqrt(mpmath.pi / 10**8) * 1000
    assert abs(value - true) > 0.01
    assert error >= abs(value - agreed(spike, others, edges)[0]) / 2 > 0


def test_a_window_that_cuts_something_off_is_an_error():
    short, long = ([mpmath.mpf(e) for e in range(-reach, reach + 1)] for reach in (3, 12))
    value, error = agreed(mpmath.npdf, short, long)
    assert error >= (1 - value) * 0.999 > 0.002
    assert agreed(mpmath.npdf, long, long)[1] < 1e-14


def test_terms_that_do_not_add_up_are_doubtful(monkeypatch):
    terms = quadrature.terms
    monkeypatch.setattr(quadrature, "terms", lambda smooth: terms(smooth + Rational(1, 10**20)))
    quadrature.expectation.cache_clear()
    with pytest.raises(Doubtful, match="do not add up"):
        expectation(Max(x, 0), *PLACES[0])
    assert witness.integral(Max(x, 0), *PLACES[0]) is None
    assert sg.prove_mean("relu", mu).status == "unproved"


def test_too_fast_a_wave_is_doubtful():
    with pytest.raises(Doubtful, match="panels"):
        expectation(cos(1000 * x), *PLACES[0])
    assert witness.integral(cos(1000 * x), *PLACES[0]) is None


@pytest.mark.parametrize("expr", [Max(x, 0), x, SPIKE, tanh(x)])
def test_no_true_value_is_outside_the_margin(expr):
    value, margin = witness.integral(expr, *PLACES[0]) or (mpmath.mpf(0), mpmath.mpf(0))
    assert margin > 0
    if expr != tanh(x):
        assert abs(value - number(sg.gaussian_mean(expr), mu=Fraction(1, 2), sigma=Fraction(1))) < margin


BOUNDED = [
    (tanh(x), mpmath.tanh),
    (1 / (1 + exp(-x)), lambda y: 1 / (1 + mpmath.exp(-y))),
    (sympy.sin(tanh(x)), lambda y: mpmath.sin(mpmath.tanh(y))),
    (sympy.sin(x**2), lambda y: mpmath.sin(y * y)),
    (1 / sympy.sqrt(1 + x**2), lambda y: 1 / mpmath.sqrt(1 + y * y)),
    (sympy.cos(x**3) / (2 + sympy.sin(x)), lambda y: mpmath.cos(y**3) / (2 + mpmath.sin(y))),
    (1 / log(2 + exp(-(x**2)) * 3), lambda y: 1 / mpmath.log(2 + mpmath.exp(-y * y) * 3)),
]


@pytest.mark.parametrize(("expr", "function"), BOUNDED)
def test_enclosures_hold_the_integral(expr, function):
    value, radius = enclosed_expectation(expr, *PLACES[0])
    grid = [mpmath.mpf(k) / 4 for k in range(-40, 41)]
    true = mpmath.quad(lambda z: function(0.5 + z) * mpmath.npdf(z), grid)
    assert abs(value - true) < radius < 0.05


def test_an_enclosure_misses_no_spike():
    spike = 1 / (1 + 10**20 * (x - Rational(1, 7)) ** 2)
    value, radius = enclosed_expectation(spike, *PLACES[0])
    assert abs(value - 1.2e-10) < radius


@pytest.mark.parametrize("expr", [log(1 + exp(x)), 1 / x, sympy.gamma(x), sympy.sqrt(x), log(x), Abs(tanh(x))])
def test_what_cannot_be_enclosed(expr):
    with pytest.raises(NotEnclosed):
        enclosed_expectation(expr, *PLACES[0])
    assert witness.integral(expr, *PLACES[0]) is None


def disguises(mean):
    """The same function of mu and sigma, in forms that are not, or not at once, the normal form."""
    return [
        mean,
        Piecewise((mean, mu > 0), (mean, True), evaluate=False),
        Piecewise((mean, mu > sigma**2 * E), (mean + sigma * 0, True), evaluate=False),
        mean + Abs(mu) - Abs(mu) * sign(mu + Rational(1, 97)) ** 2,
        mean * exp(Abs(mu)) * exp(-Abs(mu), evaluate=False),
        mean.xreplace({mu: Max(mu, 0) + Min(mu, 0)}),
        mean + Heaviside(mu**2 + sigma) - 1,
    ]


TRUE = [
    *(2 ** (40 * x + 1), 3 ** (2 * x - 1) * Max(x, 0), exp(30 * x), exp(-30 * x) * Max(x - 1, 0), SPIKE),
    *(E * 2**x * Max(x, 0), cos(x + E), cosh(30 * x), exp(1 - Abs(x)), x * Phi(50 * x)),
]


# A quarter of a second for most; these are searched through at every point, with integrals that take longer.
LONG = [(expr, which) for expr in (x * Phi(50 * x), cos(x + E), cosh(30 * x)) for which in (1, 2, 3, 5)]
LONG += [(3 ** (2 * x - 1) * Max(x, 0), 1), (exp(30 * x), 1)]


def test_the_long_ones_are_among_them():
    assert {expr for expr, _ in LONG} <= set(TRUE)


@pytest.mark.parametrize(
    ("expr", "which"),
    [
        pytest.param(expr, which, marks=pytest.mark.slow if (expr, which) in LONG else ())
        for expr in TRUE
        for which in range(7)
    ],
)
def test_true_formulas_are_never_refuted(expr, which):
    claim = disguises(sg.gaussian_mean(expr))[which]
    proof = sg.prove_mean(expr, claim)
    assert proof.status == "proved" if which == 0 else proof.status != "refuted", str(proof)


@st.composite
def hard_activations(draw):
    a = draw(st.integers(-30, 30))
    c = Rational(draw(st.integers(-20, 20)), 7)
    factors = [
        draw(st.sampled_from([Integer(1), E, 2**x, 2 ** (3 * x - 1), sympy.pi, sympy.sqrt(3)])),
        draw(st.sampled_from([Integer(1), exp(a * x), exp(a * x + 1)])),
        draw(st.sampled_from([Integer(1), exp(-(10 ** draw(st.integers(0, 12))) * (x - c) ** 2)])),
        draw(st.sampled_from([Integer(1), x, x - c, Max(x - c, 0), Heaviside(c - x), Abs(x - c), Phi(a * x + c)])),
    ]
    return sympy.prod(factors)


@pytest.mark.slow
@settings(max_examples=5, deadline=None, derandomize=True)
@given(hard_activations(), st.integers(0, 6))
def test_true_formulas_of_hard_activations_are_never_refuted(expr, which):
    is_not_refuted(expr, which)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(hard_activations(), st.integers(0, 6))
def test_true_formulas_of_many_hard_activations_are_never_refuted(expr, which):
    is_not_refuted(expr, which)


def is_not_refuted(expr, which):
    proof = sg.prove_mean(expr, disguises(sg.gaussian_mean(expr))[which])
    assert proof.status != "refuted", str(proof)


@settings(max_examples=15, deadline=None)
@given(hard_activations())
def test_their_default_formulas_are_proved(expr):
    assert sg.prove_mean(expr).holds


@pytest.mark.parametrize("expr", [expr for expr in TRUE if expr != SPIKE])
def test_wrong_formulas_of_hard_activations_are_refuted(expr):
    wrong = sg.gaussian_mean(expr) * (1 + Rational(1, 10**6))
    assert sg.prove_mean(expr, Piecewise((wrong, mu > 0), (wrong, True), evaluate=False)).status == "refuted"


M_RELU = sg.gaussian_mean("relu")
ZERO = Phi(mu) + Phi(-mu) - 1
z, k = sympy.Symbol("z", real=True), sympy.Symbol("k")


@pytest.mark.parametrize(
    "claim",
    [
        sympy.Integral(Max(0, mu + sigma * z) * phi(z), (z, -sympy.oo, sympy.oo)),
        sympy.Sum(mu / 2**k, (k, 1, sympy.oo)),
        sympy.Derivative(mu**3, mu),
        sympy.Limit(mu * z, z, 0),
        sympy.gamma(mu),
        sympy.floor(mu),
        sympy.besselj(0, mu),
        # 0 in disguise: rounding would decide its sign. These are right, with Heaviside(0) = 1/2.
        M_RELU + Heaviside(ZERO) - Rational(1, 2),
        M_RELU + sign(ZERO),
        Piecewise((mu, ZERO > 0), (M_RELU, True)),
    ],
)
def test_claims_without_trustworthy_numbers_are_no_evidence(claim):
    start = time.process_time()
    assert sg.prove_mean("relu", claim).status == "unproved"
    assert time.process_time() - start < 5


def test_claims_are_evaluated_twice(monkeypatch):
    """A number that changes with the digits asked for is no evidence."""
    evaluated = witness._evaluated
    monkeypatch.setattr(
        witness, "_evaluated", lambda number, digits: evaluated(number, digits) + mpmath.mpf(1) / digits
    )
    assert sg.prove_mean("relu", mu).status == "unproved"


def test_the_search_ends(monkeypatch):
    claim = disguises(sg.gaussian_mean(TRUE[-1]))[1]
    quadrature.expectation.cache_clear()
    start = time.process_time()
    assert sg.prove_mean(TRUE[-1], claim).status == "unproved"
    assert time.process_time() - start < 10
    monkeypatch.setattr(witness.Clock, "__init__", lambda self: setattr(self, "end", time.process_time()))
    assert sg.prove_mean("relu", mu).status == "unproved"
    assert sg.prove_mean("relu", mu + sigma**2).status == "unproved"


def test_activations_outside_the_family():
    assert sg.prove_mean(tanh(x), mu).status == "refuted"
    assert sg.prove_mean(log(1 + exp(x)), Piecewise((mu, mu > 0), (0, True))).status == "unproved"  # unbounded


def test_high_powers_live_far_out():
    """x^400 φ(x) has its peaks at ±20."""
    value, error = expectation(x**400, Rational(0), Rational(1))
    assert abs(value / mpmath.mpf(int(sympy.factorial2(399))) - 1) < 1e-14
    assert error < value * 1e-28
