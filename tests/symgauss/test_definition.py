"""The helpers of these tests, tested: against known integrals, and with wrong values that must fail."""

from fractions import Fraction

import mpmath
import pytest
import sympy

from tests.symgauss.definition import CATALOGUE, DIGITS, assert_close, expectation, hermite, number

HALF = Fraction(1, 2)


def test_moments_of_a_normal_variable():
    m, s = Fraction(3, 4), Fraction(2)
    assert_close(expectation(lambda y: y**3, m, s), 27 / 64 + 3 * 3 / 4 * 4)
    assert_close(expectation(lambda y: y**2, m, s, order=1), 2 * float(m * s))


def test_the_step_against_the_error_function():
    step, breakpoints = CATALOGUE["step"]
    with mpmath.workdps(DIGITS):
        assert_close(expectation(step, HALF, Fraction(1), breakpoints), mpmath.ncdf(mpmath.mpf(1) / 2))


def test_hermite_polynomials_are_orthogonal():
    assert_close(expectation(lambda y: hermite(3, y), Fraction(0), Fraction(1), order=3), 6)
    assert_close(expectation(lambda y: hermite(3, y), Fraction(0), Fraction(1), order=2), 0)


def test_a_missed_breakpoint_is_noticed():
    step, _ = CATALOGUE["step"]
    with pytest.raises(ArithmeticError, match="did not converge"):
        expectation(step, Fraction(1, 7), Fraction(1))


@pytest.mark.parametrize("wrong", [1 + 1e-14, 1 - 1e-14, -1, 0, mpmath.nan, mpmath.inf])
def test_assert_close_refuses_wrong_values(wrong):
    with pytest.raises(AssertionError):
        assert_close(mpmath.mpf(wrong), mpmath.mpf(1))


def test_number_puts_values_in_by_name():
    a = sympy.Symbol("a", positive=True)
    assert_close(number(sympy.sqrt(a) / 3, a=Fraction(1, 4)), mpmath.mpf(1) / 6, scale=mpmath.mpf(1))
