"""Phi2 against its definition by another integral, known values, numerical derivatives; how it prints."""

import pickle
from fractions import Fraction

import mpmath
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf
from sympy import Rational, S, oo

from symgauss import Phi, Phi2, mu, mu_1, mu_2, phi, rho, sigma, sigma_1, sigma_2
from symgauss.bivariate import bivariate_distribution


def cdf(z):
    return mpmath.erfc(-z / mpmath.sqrt(2)) / 2


def by_conditioning(h, k, r, digits):
    """∫_{−∞}^h φ(t) Φ((k − rt)/√(1 − r²)) dt over its largest value, times that, between points where it has fallen."""
    with mpmath.workdps(digits + 25):
        h, k, r = (mpf(v.numerator) / v.denominator for v in map(Fraction, (h, k, r)))
        root = mpmath.sqrt(1 - r * r)

        def log(t):
            return -t * t / 2 + mpmath.log(cdf((k - r * t) / root))

        low, peak = h - 200, h
        for _ in range(200):
            third = (peak - low) / 3
            low, peak = (low + third, peak) if log(low + third) < log(peak - third) else (low, peak - third)
        top = log(peak)

        def walk(side, end):
            at, found = peak, []
            for fall in range(2, 3 * digits, 3):
                near, step = at, mpf(10) ** -12
                while log(at) > top - fall and (end - at) * side > 0:
                    near, at, step = at, at + side * step, 2 * step
                for _ in range(50):
                    middle = (near + at) / 2
                    near, at = (middle, at) if log(middle) > top - fall else (near, middle)
                if (at - end) * side >= 0:
                    return [*found, end]
                found.append(at)
            return found

        edges = [*reversed(walk(-1, -mpmath.inf)), peak, *(walk(1, h) if peak < h else [])]
        scale = mpmath.exp(top) / mpmath.sqrt(2 * mpmath.pi)
        return scale * mpmath.quad(lambda t: mpmath.exp(log(t) - top), edges, method="gauss-legendre", maxdegree=6)


def assert_equal(value, true, digits):
    """Relatively."""
    with mpmath.workdps(digits + 20):
        assert abs(mpf(value) / mpf(true) - 1) < mpf(10) ** -digits, f"{value} is not {true}"


def test_the_assertion_notices_a_wrong_digit():
    with pytest.raises(AssertionError, match="is not"):
        assert_equal(mpf(1) + mpf(10) ** -9, 1, 10)


PLACES = [
    *((3, -4, -0.5), (-5, -6, 0.75), (1, 1, -0.25), (6, 5, 0.5), (8, -8, -0.5), (-8, 8.0625, -0.9375)),
    *((0, -20, 0.5), (40, -40, -0.75), (-10, -10, -0.5), (-30, -31, 0.5), (-50, 1, 0.125), (-3, 30, -0.5)),
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_values_are_relatively_accurate(place):
    h, k, r = map(Rational, place)
    assert_equal(str(Phi2(h, k, r).evalf(20)), by_conditioning(*place, 20), 19)


@pytest.mark.parametrize(
    ("place", "digits"),
    [(PLACES[0], 15), (PLACES[1], 50), *(pytest.param(PLACES[i], (50, 15)[i], marks=pytest.mark.slow) for i in (0, 1))],
)
def test_any_number_of_digits(place, digits):
    h, k, r = map(Rational, place)
    assert_equal(str(Phi2(h, k, r).evalf(digits)), by_conditioning(*place, digits), digits - 1)


@pytest.mark.parametrize("gap", [Rational(1, 10**6), Rational(1, 10**30)])
def test_correlations_near_one(gap):
    """At h = k = 0 the value is 1/4 + asin(r)/2π; near r = −1, where nearly nothing is left, acos(−r)/2π."""
    with mpmath.workdps(80):
        angle = mpmath.acos(1 - mpf(1) / gap.q) / (2 * mpmath.pi)
        assert_equal(str(Phi2(0, 0, gap - 1).evalf(30)), angle, 29)
        assert_equal(str(Phi2(0, 0, 1 - gap).evalf(30)), mpf(1) / 2 - angle, 29)
        # So close to r = 1 the other variable says nothing.
        assert_equal(str(Phi2(-3, 2, 1 - gap).evalf(30)), str(Phi(-3).evalf(40)), 29)


def test_known_values():
    for r in (Rational(1, 2), Rational(-1, 3), Rational(9, 10)):
        assert abs(Phi2(0, 0, r).evalf(30) - (Rational(1, 4) + sympy.asin(r) / (2 * sympy.pi)).evalf(30)) < 1e-29
    assert Phi2(mu, sigma, 0) == Phi(mu) * Phi(sigma)
    assert Phi2(mu, oo, rho) == Phi2(oo, mu, rho) == Phi(mu)
    assert Phi2(mu, -oo, rho) == Phi2(-oo, mu, rho) == 0
    assert Phi2(1, 2, 1) == Phi2(2, 1, 1) == Phi(1)
    assert (Phi2(1, 2, -1), Phi2(-2, 1, -1), Phi2(2, -2, -1)) == (Phi(1) - Phi(-2), 0, 0)
    assert Phi2(S.NaN, 0, rho) is S.NaN
    with mpmath.workdps(15):
        assert abs(bivariate_distribution(mpf(1), mpf(2), mpf(1)) - cdf(mpf(1))) < 1e-15
        assert abs(bivariate_distribution(mpf(1), mpf(2), mpf(-1)) - (cdf(mpf(1)) - cdf(mpf(-2)))) < 1e-15


@pytest.mark.parametrize("r", [2, Rational(-3, 2), 1.5, sympy.sqrt(2), sympy.I])
def test_a_correlation_beyond_one_is_refused(r):
    with pytest.raises(ValueError, match="−1 ≤ r ≤ 1"):
        Phi2(mu, sigma, r)
    if not sympy.sympify(r).has(sympy.I):
        with pytest.raises(ValueError, match="between −1 and 1"):
            bivariate_distribution(mpf(0), mpf(0), mpf(float(r)))


def test_one_order_of_its_arguments():
    assert Phi2(mu_2 / sigma_2, mu_1 / sigma_1, rho) == Phi2(mu_1 / sigma_1, mu_2 / sigma_2, rho)
    assert Phi2(mu_1, mu_2, rho).args == (mu_1, mu_2, rho)
    assert Phi2(mu_1, mu_2, rho).xreplace({mu_1: mu_2, mu_2: mu_1}) == Phi2(mu_1, mu_2, rho)


def test_what_is_no_number_stays():
    z = sympy.Symbol("z")
    for value in (Phi2(mu, 1, rho), Phi2(1, 2, rho), Phi2(1, sympy.I, S.Half), Phi2(10**700, 1, S.Half)):
        assert isinstance(value.evalf(), Phi2)
    assert Phi2(1.0, 2.0, 0.5) == Phi2(1, 2, S.Half).evalf()
    assert Phi2(mu, sigma, rho).is_nonnegative
    assert Phi2(mu, sigma, rho).is_extended_real
    assert Phi2(z, sigma, rho).is_nonnegative is None
    assert Phi2(z, sigma, rho).is_extended_real is None


@pytest.mark.parametrize("index", [1, 2, 3])
def test_derivatives(index):
    place = (Rational(3, 10), Rational(-7, 5), Rational(-3, 5))
    symbols = (mu_1, mu_2, rho)
    claimed = Phi2(*symbols).diff(symbols[index - 1]).xreplace(dict(zip(symbols, place))).evalf(20)
    with mpmath.workdps(40):
        point = [mpf(p.p) / p.q for p in place]

        def along(t):
            return bivariate_distribution(*(t if i == index - 1 else p for i, p in enumerate(point)))

        assert_equal(str(claimed), mpmath.diff(along, point[index - 1]), 15)


def test_the_derivative_by_the_correlation_is_the_density_and_the_mixed_one():
    value = Phi2(mu_1, mu_2, rho)
    place = {mu_1: Rational(1, 3), mu_2: Rational(-5, 4), rho: Rational(4, 5)}
    square = (mu_1**2 + mu_2**2 - 2 * rho * mu_1 * mu_2) / (2 * (1 - rho**2))
    density = sympy.exp(-square) / (2 * sympy.pi * sympy.sqrt(1 - rho**2))
    for form in (value.diff(rho), value.diff(mu_1, mu_2), value.diff(mu_2, mu_1)):
        assert abs((form - density).xreplace(place).evalf(30)) < 1e-29
    assert value.diff(mu_1) == phi(mu_1) * Phi((mu_2 - rho * mu_1) / sympy.sqrt(1 - rho**2))
    with pytest.raises(sympy.core.function.ArgumentIndexError):
        value.fdiff(4)


numbers = st.fractions(-6, 6, max_denominator=50)
correlations = st.fractions(Fraction(-99, 100), Fraction(99, 100), max_denominator=100)


@settings(max_examples=60, deadline=None)
@given(numbers, numbers, correlations)
def test_one_variable_turned_round_leaves_the_other(h, k, r):
    with mpmath.workdps(25):
        h, k, r = (mpf(v.numerator) / v.denominator for v in (h, k, r))
        both = bivariate_distribution(h, k, r) + bivariate_distribution(h, -k, -r)
        assert_equal(both, cdf(h), 24)


@settings(max_examples=30, deadline=None)
@given(numbers, numbers, correlations, correlations)
def test_more_correlation_is_more_probability(h, k, r, s):
    with mpmath.workdps(25):
        h, k, low, high = (mpf(v.numerator) / v.denominator for v in (h, k, min(r, s), max(r, s)))
        smaller, larger = bivariate_distribution(h, k, low), bivariate_distribution(h, k, high)
        # equal to all digits where one variable is far out
        rounding = 1 + mpf(10) ** -22
        assert 0 < smaller <= larger * rounding
        assert larger <= min(cdf(h), cdf(k)) * rounding


def test_printing():
    value = Phi2(mu, sigma, rho)
    assert str(value) == "Phi2(mu, sigma, rho)"
    assert sympy.latex(value**2) == r"\Phi_2^{2}\left(\mu, \sigma, \rho\right)"
    assert sympy.pretty(value, use_unicode=True) == "Φ₂(μ, σ, ρ)"
    assert pickle.loads(pickle.dumps(value)) == value


def test_lambdify_with_mpmath():
    function = sympy.lambdify((mu, sigma, rho), Phi2(mu, sigma, rho) + 1, "mpmath")
    with mpmath.workdps(30):
        assert_equal(function(mpf(0), mpf(0), mpf(1) / 2) - 1, mpf(1) / 3, 28)
