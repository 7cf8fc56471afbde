import math
from fractions import Fraction

import mpmath
import pytest
import sympy
from flint import acb, arb
from sympy.codegen.cfunctions import expm1

from tests.oracle.arb import PrecisionExhausted, Program, as_fraction, log2_abs, precision, split
from tests.oracle.definitions import Phi, logistic, phi, softplus, tanh, tanhshrink

m, s = sympy.symbols("m s", real=True)


def relative_error(ball: arb, true: mpmath.mpf) -> float:
    with mpmath.workprec(300):
        mantissa, exponent = ball.mid().man_exp()
        value = mpmath.ldexp(mpmath.mpf(int(mantissa)), int(exponent))
        return float(abs(value / true - 1))


@pytest.mark.parametrize("t", [-5.0, -30.0, -37.5, -1e3, 0.25, 8.0])
def test_normal_functions_keep_their_tails(t):
    with mpmath.workdps(60):
        x = mpmath.mpf(t)
        truths = [mpmath.erfc(-x / mpmath.sqrt(2)) / 2, mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)]
    for ball, true in zip(Program([Phi(m), phi(m)], [m]).values([t]), truths):
        assert relative_error(ball, true) < 2.0**-85


def test_any_class_called_Phi_will_do():
    foreign = sympy.Function("Phi")
    assert Program([foreign(m)], [m]).values([0.0])[0].contains(arb(0.5))


@pytest.mark.parametrize("t", [-800.0, -1.0, 0.0, 1e-9, 2.5, 900.0])
def test_logistic_functions(t):
    with mpmath.workdps(900):
        x = mpmath.mpf(t)
        truths = [1 / (1 + mpmath.exp(-x)), mpmath.log(1 + mpmath.exp(x)), mpmath.tanh(x), mpmath.expm1(x)]
        shrunk = x - mpmath.tanh(x)
    found = Program([logistic(m), softplus(m), tanh(m), expm1(m), tanhshrink(m)], [m]).values([t])
    for ball, true in zip(found, [*truths, shrunk]):
        assert abs(ball) < 2.0**-85 if true == 0 else relative_error(ball, true) < 2.0**-85


@pytest.mark.parametrize("x", [acb(-3, 2), acb(0.25, -3), acb(4, 1), acb(arb(30, 20), arb(0, 20))])
def test_logistic_functions_of_complex_balls(x):
    """Right of 0 they are written otherwise, and a ball that is wide is finite there whatever its imaginary
    part."""
    with precision(100):
        values = Program([logistic(m), softplus(m)], [m])([x], acb, analytic=True)
        assert all(v.is_finite() for v in values)
        middle = acb(x.real.mid(), x.imag.mid())
        assert values[0].overlaps(1 / (1 + (-middle).exp()))
        assert values[1].overlaps((1 + middle.exp()).log())


def test_the_cut_of_softplus_is_seen():
    with precision(100):
        (value,) = Program([softplus(m)], [m])([acb(arb(0, 1), arb(3, 1))], acb, analytic=True)
        assert not value.is_finite()


def test_cancellation_is_paid_with_precision():
    expression = sympy.cos(m) - 1 + m**2 / 2 - m**4 / 24
    with mpmath.workdps(300):
        t = mpmath.mpf(1e-12)
        true = mpmath.cos(t) - 1 + t**2 / 2 - t**4 / 24
    assert relative_error(Program([expression], [m]).values([1e-12])[0], true) < 2.0**-85


def test_powers_numbers_and_roots():
    expressions = [
        sympy.Rational(1, 3) * m,
        m ** sympy.Rational(-3, 2),
        sympy.pi + 0.1,
        m**-2,
        sympy.sqrt(2) * s,
    ]
    with mpmath.workdps(60):
        truths = [
            mpmath.mpf(7) / 3,
            mpmath.mpf(7) ** mpmath.mpf("-1.5"),
            mpmath.pi + mpmath.mpf(0.1),
            mpmath.mpf(1) / 49,
            3 * mpmath.sqrt(2),
        ]
    for ball, true in zip(Program(expressions, [m, s]).values([7.0, 3.0]), truths):
        assert relative_error(ball, true) < 2.0**-85


def test_a_value_that_vanishes_by_symmetry_is_zero():
    expression = Phi(m) + Phi(-m) - 1
    assert Program([expression], [m]).values([0.75])[0] == 0


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="gamma"):
        Program([sympy.gamma(m)], [m])
    with pytest.raises(ValueError, match="free symbol s"):
        Program([m + s], [m])
    with pytest.raises(ValueError, match="1/3"):
        Program([m ** sympy.Rational(1, 3)], [m])


def test_no_precision_helps_where_there_is_no_value(monkeypatch):
    monkeypatch.setattr("tests.oracle.arb.LAST_PRECISION", 512)
    with pytest.raises(PrecisionExhausted):
        Program([1 / m], [m]).values([0.0])


def test_complex_arguments():
    with precision(100):
        (value,) = Program([sympy.exp(m)], [m])([acb(0, arb.pi())], acb)
        assert value.overlaps(acb(-1))


def test_split_is_the_nearest_double_and_its_remainder():
    with precision(300):
        hi, lo = split(arb(1) / 3)
        assert hi == 1 / 3
        assert lo == pytest.approx(float(Fraction(1, 3) / Fraction(1 / 3) - 1), rel=1e-12)
        assert split(arb(10) ** -340) == (0.0, 0.0)
        assert split((arb(-(10**30))).exp()) == (0.0, 0.0)
        assert split(arb(10) ** -315)[0] == 1e-315
        assert split(-arb(1) / 4) == (-0.25, 0.0)
        assert as_fraction(arb(-3) / 8) == Fraction(-3, 8)


def test_logarithms_reach_beyond_doubles():
    with precision(100):
        assert log2_abs(arb(-2) ** 5001) == 5001
        assert log2_abs(arb(3) * arb(2) ** -9000) == pytest.approx(math.log2(3) - 9000)
        assert log2_abs(arb(0)) == -math.inf
