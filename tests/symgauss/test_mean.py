"""Means and Hermite coefficients of the catalogue against the definition, and how they read."""

import time
from fractions import Fraction

import pytest
import sympy

import symgauss as sg
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
        (sympy.exp(x**2 / 2), "may grow"),
        (sympy.exp(x**3), "exp(x**3) is not the exponential of a quadratic"),
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


def test_phi_that_does_not_jump_goes_with_steps():
    mean = sg.gaussian_mean(sg.Phi(x) + sympy.Max(x, 0) + sympy.sin(x))
    m, s = POINTS[1]
    parts = [sg.gaussian_mean(e) for e in (sg.Phi(x), sympy.Max(x, 0), sympy.sin(x))]
    assert_close(number(mean, mu=m, sigma=s), sum(number(p, mu=m, sigma=s) for p in parts))


@pytest.mark.parametrize("order", [-1, 1.0, "2", None, True])
def test_orders_are_integers(order):
    with pytest.raises(ValueError, match="order must be an integer"):
        sg.hermite_coefficients("relu", order)


def test_coefficients_are_written_about_their_breakpoints():
    """mu⁶ − 36 mu⁵ + … would cancel; (mu − 6)⁶ − … does not."""
    h = sg.hermite_coefficients("relu6", 8)
    assert str(h[3]) == "-mu*phi(mu/sigma) + (mu - 6)*phi((mu - 6)/sigma)"
    assert "(mu - 6)**6" in str(h[8])


def test_order_eight_is_quick():
    start = time.perf_counter()
    sg.hermite_coefficients(sg.Activation("fresh", (x + 3) * sg.Phi(x - 1) + sympy.Max(x, 2)), 8)
    assert time.perf_counter() - start < 4


def test_orders_beyond_eight():
    h = sg.hermite_coefficients("gelu", 12)
    function, breakpoints = CATALOGUE["gelu"]
    m, s = POINTS[0]
    assert_close(number(h[12], mu=m, sigma=s), expectation(function, m, s, breakpoints, order=12))
