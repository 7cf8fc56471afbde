"""The helpers of these tests, tested: against known values, and with wrong ones."""

from fractions import Fraction

import pytest
import sympy

import symgauss as sg
from tests.symgauss.vectors import (
    at,
    at_with_x,
    by_involutions,
    covariance,
    involutions,
    is_positive_definite,
    matrix,
    moment,
    standard_normal_moment,
    value,
    witness,
)

ONE, TWO, HALF = Fraction(1), Fraction(2), Fraction(1, 2)


def test_moments_of_a_standard_normal_variable():
    assert [standard_normal_moment(k) for k in range(9)] == [1, 0, 1, 0, 3, 0, 15, 0, 105]


def test_moments_by_linear_maps():
    assert moment((4,), [Fraction(0)], [[TWO]]) == 48
    assert moment((3,), [HALF], [[TWO]]) == HALF**3 + 3 * HALF * 4
    assert moment((1, 1), [ONE, TWO], [[ONE, Fraction(0)], [HALF, ONE]]) == 2 + HALF
    assert moment((2, 2), [Fraction(0)] * 2, [[ONE], [ONE]]) == 3 != moment((2, 2), [Fraction(0)] * 2, [[ONE], [TWO]])
    assert moment((), [], [[]]) == 1


def test_involutions():
    assert involutions(3) == [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0)]
    assert [len(involutions(n)) for n in range(7)] == [1, 1, 2, 4, 10, 26, 76]


def test_the_sum_over_involutions():
    assert by_involutions([TWO, HALF], [[ONE, TWO], [TWO, ONE]]) == 3
    mean, factor = [ONE, HALF, TWO, -ONE], [[ONE, HALF], [TWO, ONE], [ONE, -ONE], [HALF, TWO]]
    assert by_involutions(mean, covariance(factor)) == moment((1, 1, 1, 1), mean, factor)
    assert by_involutions(mean[::-1], covariance(factor)) != moment((1, 1, 1, 1), mean, factor)


def test_symbols_and_values():
    cov = [[TWO, HALF], [HALF, ONE]]
    assert value(sg.m[1] * sg.S[0, 1], at([ONE, TWO], cov)) == 1
    where = at_with_x([ONE, TWO], cov)
    assert [value(s, where) for s in (sg.m_x, sg.v_x, sg.m[0], sg.c[0], sg.S[0, 0])] == [1, 2, 2, HALF, 1]
    assert value(sympy.Rational(3, 4), {}) == Fraction(3, 4)


def test_reading_a_witness():
    point, claimed, true = witness("at m_0 = 1, S_00 = 5/2 the formula gives -3/4, the moment 7")
    assert (point, claimed, true) == ({"m_0": 1, "S_00": Fraction(5, 2)}, Fraction(-3, 4), 7)
    assert matrix(point, 1) == [[Fraction(5, 2)]]
    with pytest.raises(AttributeError):
        witness("difference is 0")


def test_positive_definiteness():
    assert is_positive_definite([[TWO, ONE], [ONE, ONE]])
    assert not is_positive_definite([[ONE, ONE], [ONE, ONE]])
    assert not is_positive_definite([[ONE, TWO], [TWO, ONE]])
