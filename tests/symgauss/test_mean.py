"""Means and Hermite coefficients of the catalogue against the definition, and how they read."""

import time
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from sympy import E, exp

import symgauss as sg
from symgauss.codegen.evaluation import evaluation
from tests.symgauss.definition import CATALOGUE, assert_close, expectation, number

POINTS = [(Fraction(1, 2), Fraction(1)), (Fraction(-5, 4), Fraction(1, 3)), (Fraction(2), Fraction(5, 2))]


def test_the_catalogue_here_is_the_catalogue_there():
    assert set(sg.activation_names()) >= set(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_mean(name):
    function, breakpoints = CATALOGUE[name]
    mean = sg.gaussian_mean(sg.activation(name))
    for m, s in POINTS:
        assert_close(number(mean, mu=m, sigma=s), expectation(function, m, s, breakpoints))


@pytest.mark.parametrize("name", CATALOGUE)
def test_hermite_coefficients(name):
    function, breakpoints = CATALOGUE[name]
    coefficients = sg.hermite_coefficients(name, 8)
    assert len(coefficients) == 9
    m, s = Fraction(2, 3), Fraction(3, 4)
    for k in range(9):
        true = expectation(function, m, s, breakpoints, order=k)
        assert_close(number(coefficients[k], mu=m, sigma=s), true)


@pytest.mark.parametrize("name", CATALOGUE)
def test_expected_derivatives(name):
    """g_k = h_k/sigma^k, and g_1 of a smooth activation is the mean of its derivative."""
    g, h = sg.expected_derivatives(name, 3), sg.hermite_coefficients(name, 3)
    m, s = Fraction(-1, 3), Fraction(3, 2)
    for k in range(4):
        assert_close(number(g[k], mu=m, sigma=s), number(h[k], mu=m, sigma=s) / float(s) ** k)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "gelu",
            "mu*Phi(mu/sqrt(sigma**2 + 1)) + sigma**2*phi(mu/sqrt(sigma**2 + 1))/sqrt(sigma**2 + 1)",
        ),
        ("relu", "mu*Phi(mu/sigma) + sigma*phi(mu/sigma)"),
        ("relu2", "mu*sigma*phi(mu/sigma) + (mu**2 + sigma**2)*Phi(mu/sigma)"),
        ("sin", "exp(-sigma**2/2)*sin(mu)"),
        ("gaussian_bump", "exp(-mu**2/(2*(sigma**2 + 1)))/sqrt(sigma**2 + 1)"),
        ("erf", "2*Phi(sqrt(2)*mu/sqrt(2*sigma**2 + 1)) - 1"),
    ],
)
def test_means_read_as_in_a_handbook(name, text):
    assert str(sg.gaussian_mean(name)) == text


def test_names_activations_and_expressions_are_the_same_question():
    relu = sg.gaussian_mean("relu")
    assert sg.gaussian_mean(sg.activation("relu")) == relu == sg.gaussian_mean(sympy.Max(sg.x, 0))


def test_parameters_stay_symbolic():
    hardtanh = sg.activation("hardtanh").symbolic
    low, high = sympy.symbols("min_val max_val", real=True)
    mean = sg.gaussian_mean(hardtanh)
    assert mean.free_symbols == {sg.mu, sg.sigma, low, high}
    three = sg.gaussian_mean(sg.activation("hardtanh", min_val=-2, max_val=3))
    m, s = Fraction(1, 2), Fraction(2)
    value = number(mean, mu=m, sigma=s, min_val=Fraction(-2), max_val=Fraction(3))
    assert_close(value, number(three, mu=m, sigma=s))
    assert_close(value, expectation(lambda y: min(max(y, -2), 3), m, s, (-2, 3)))


def test_no_complex_number_remains():
    x = sg.x
    for expr in [x**2 * sympy.sin(2 * x + 1), sympy.cos(x) ** 3 * sympy.exp(-(x**2)), sympy.exp(x) * sympy.sin(x)]:
        assert not sg.gaussian_mean(expr).has(sympy.I)


def test_a_tail_is_relatively_accurate():
    """relu at mu = −30: 30 digits of a number of size 1e-200, because Phi never turns into 1 − …"""
    value = sg.gaussian_mean("relu").subs({sg.mu: -30, sg.sigma: 1}).evalf(25)
    assert str(value) == "1.631956734091401189350489e-199"  # −30 Φ(−30) + φ(30) in 250 digits


x = sg.x


@pytest.mark.parametrize(
    ("expr", "reason"),
    [
        (sg.Phi(x) * sympy.Max(x, 0), "Phi times a step"),
        (sg.Phi(sympy.Max(x, 0)), "Phi times a step"),
        (sg.Phi(x) ** 2, "Phi times Phi"),
        (sg.Phi(x) * sympy.cos(x), "Phi of a complex argument"),
        (sympy.sin(sympy.Abs(x)), "whole line only"),
        (sympy.tanh(x), "tanh(x) is outside"),
        (1 / (1 + x**2), "is not a polynomial or exponential"),
        (sympy.exp(x**2 / 2) * sympy.erfc(sympy.Abs(x)), "may grow"),
        (sympy.exp(-(x**4)), "exp(-x**4) is not the exponential of a quadratic"),
        (sympy.sin(x**2), "not affine"),
        (sg.Phi(x**2), "not affine"),
        (sympy.Abs(sympy.sin(x)), "cannot find where sin(x) changes sign"),
    ],
)
def test_no_closed_form_says_why(expr, reason):
    with pytest.raises(sg.NoClosedForm) as caught:
        sg.gaussian_mean(sg.Activation("f", expr))
    assert reason in str(caught.value)
    assert str(caught.value).startswith("f: ")


@pytest.mark.parametrize("function", [sg.gaussian_mean, sg.prove_mean, lambda e: sg.prove_mean(e, sg.mu), evaluation])
def test_what_has_no_mean_is_refused_everywhere(function):
    a = sympy.Symbol("a", real=True)
    for formula, parameters in ((sympy.exp(x**2), {}), (sympy.exp(x**3), {}), (sympy.exp(a * x**2), {a: 2})):
        if parameters and function is evaluation:
            continue  # plans keep parameters symbolic
        with pytest.raises(sg.GrowsTooFast, match="an activation must grow slower than"):
            function(sg.Activation("f", formula, parameters))
    with pytest.raises(ValueError, match=r"1/x is not a finite real number at x = 0\.0"):
        function(sg.Activation("f", 1 / x))


def test_growth_is_measured_once_and_only_where_there_is_no_closed_form(monkeypatch):
    measured = []
    monkeypatch.setattr("symgauss.mean.check_growth", measured.append)
    bell, burst = sg.Activation("measured_once", 1 / (1 + x**4)), sympy.Symbol("a", real=True)
    for _ in range(3):
        with pytest.raises(sg.NoClosedForm, match="measured_once: "):
            sg.gaussian_mean(bell)
    sg.gaussian_mean(sg.Activation("measured_never", x**2 + sympy.exp(x)))
    # Which values a symbolic parameter will have is not known.
    with pytest.raises(sg.NoClosedForm, match="may grow"):
        sg.gaussian_mean(sg.Activation("burst", sympy.exp(burst * x**2), {burst: burst}))
    assert measured == [bell]


def test_a_function_without_numbers_is_not_measured():
    with pytest.raises(sg.NoClosedForm, match="is outside"):
        sg.gaussian_mean(sympy.Function("f", real=True)(x))


def test_phi_that_does_not_jump_goes_with_steps():
    mean = sg.gaussian_mean(sg.Phi(x) + sympy.Max(x, 0) + sympy.sin(x))
    m, s = POINTS[1]
    parts = [sg.gaussian_mean(e) for e in (sg.Phi(x), sympy.Max(x, 0), sympy.sin(x))]
    assert_close(number(mean, mu=m, sigma=s), sum(number(p, mu=m, sigma=s) for p in parts))


@pytest.mark.parametrize("function", [sg.hermite_coefficients, sg.expected_derivatives])
@pytest.mark.parametrize("order", [-1, np.int8(-1), 1.0, 2.5, np.float64(2), "2", None, True, np.True_])
def test_orders_are_integers(function, order):
    error = ValueError if order in (-1,) and order is not True else TypeError
    with pytest.raises(error, match="order must be an integer ≥ 0, got"):
        function("relu", order)


@pytest.mark.parametrize("order", [np.int64(2), np.uint8(2), sympy.Integer(2)])
def test_any_kind_of_integer_is_an_order(order):
    assert sg.hermite_coefficients("relu", order) == sg.hermite_coefficients("relu", 2)
    assert sg.expected_derivatives("relu", order) == sg.expected_derivatives("relu", 2)


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (E * x, "E*mu"),
        (x + E, "mu + E"),
        (exp(x + 1), "E*exp(mu + sigma**2/2)"),
        (2 ** (x + 1), "2*exp(mu*log(2) + sigma**2*log(2)**2/2)"),
        (E * sympy.Max(x, 0), "E*mu*Phi(mu/sigma) + E*sigma*phi(mu/sigma)"),
        (sympy.Heaviside(x - E), "Phi((mu - E)/sigma)"),
    ],
)
def test_constants_stay_in_the_mean(expr, text):
    assert str(sg.gaussian_mean(expr)) == text


@pytest.mark.parametrize(
    ("expr", "function", "breakpoints"),
    [
        (exp(x + 1), lambda y: mpmath.exp(y + 1), ()),
        (x * exp(1 - x**2), lambda y: y * mpmath.exp(1 - y * y), ()),
        (sympy.Max(x, 1) * exp(x), lambda y: max(y, 1) * mpmath.exp(y), (1,)),
        (exp(1 - sympy.Abs(x)), lambda y: mpmath.exp(1 - abs(y)), (0,)),
        (sympy.cosh(x + 1), lambda y: mpmath.cosh(y + 1), ()),
        (E * sympy.Max(x, 0), lambda y: mpmath.e * max(y, 0), (0,)),
        (3 ** (2 * x - 1) * sympy.Max(x, 0), lambda y: mpmath.mpf(3) ** (2 * y - 1) * max(y, 0), (0,)),
        (sympy.cos(x + E), lambda y: mpmath.cos(y + mpmath.e), ()),
    ],
)
def test_hermite_coefficients_with_constants(expr, function, breakpoints):
    m, s = POINTS[0]
    for k, h in enumerate(sg.hermite_coefficients(expr, 3)):
        assert_close(number(h, mu=m, sigma=s), expectation(function, m, s, breakpoints, order=k), scale=30)
    assert sg.prove_mean(expr).holds


def test_coefficients_are_written_about_their_breakpoints():
    """mu⁶ − 36 mu⁵ + … would cancel; (mu − 6)⁶ − … does not."""
    h = sg.hermite_coefficients("relu6", 8)
    assert str(h[3]) == "-mu*phi(mu/sigma) + (mu - 6)*phi((mu - 6)/sigma)"
    assert "(mu - 6)**6" in str(h[8])


def test_order_eight_is_quick():
    start = time.process_time()
    sg.hermite_coefficients(sg.Activation("fresh", (x + 3) * sg.Phi(x - 1) + sympy.Max(x, 2)), 8)
    assert time.process_time() - start < 30  # without collecting after every step it would take minutes


def test_orders_beyond_eight():
    h = sg.hermite_coefficients("gelu", 12)
    function, breakpoints = CATALOGUE["gelu"]
    m, s = POINTS[0]
    assert_close(number(h[12], mu=m, sigma=s), expectation(function, m, s, breakpoints, order=12))
