"""Truncated Gaussian moments against integrals and identities known in other ways."""

import math

import mpmath
import pytest
import sympy
from flint import arb

from tests.oracle.arb import TINY_EXPONENT, PrecisionExhausted, log2_abs, precision
from tests.oracle.cases import CASES
from tests.oracle.definitions import DEFINITIONS, definition, logistic, y
from tests.oracle.moments import ORDERS, gaussian_moments, hermite_coefficients, terms
from tests.oracle.truth import formula


def relative(found: arb, true: arb) -> float:
    """An upper bound of |found / true - 1|."""
    with precision(300):
        return float((found / true - 1).abs_upper())


def test_terms_of_a_piece():
    assert terms(sympy.S.Zero) == []
    assert terms(y * (y + 3) / 6) == [(sympy.Rational(1, 2), 1, 0), (sympy.Rational(1, 6), 2, 0)]
    assert set(terms(definition("celu", alpha=2).pieces[0])) == {(-2, 0, 0), (2, 0, sympy.Rational(1, 2))}
    assert terms(3 * y**2 * sympy.exp(-y)) == [(3, 2, -1)]


@pytest.mark.parametrize("piece", [logistic(y), sympy.exp(y**2), 1 / y, sympy.sqrt(2) * y])
def test_other_terms_are_refused(piece):
    with pytest.raises((ValueError, sympy.PolynomialError)):
        terms(piece)


@pytest.mark.parametrize(("a", "b"), [(None, 0.3), (-1.0, 2.5), (4.0, None), (-9.0, -7.5), (None, None)])
def test_moments_are_integrals(a, b):
    with precision(200):
        found = gaussian_moments(*(None if end is None else arb(end) for end in (a, b)), 5)
    with mpmath.workdps(40):
        low, high = a if a is not None else -30, b if b is not None else 30
        for n, ball in enumerate(found):
            true = mpmath.quad(
                lambda w, n=n: w**n * mpmath.npdf(w) * mpmath.mpf(10) ** 15, mpmath.linspace(low, high, 25)
            )
            assert abs(mpmath.mpf(ball.str(40, radius=False)) - true / mpmath.mpf(10) ** 15) < 1e-30


def test_tails_are_good_where_squares_are_large():
    """P(Z > 1e8) e^(1e16/2) 1e8 √(2π) = 1 - 1e-16 + …, at an end that is not exact."""
    with precision(400):
        w = arb(1e8) * arb(3).sqrt() / arb(3).sqrt()
        (mass,) = gaussian_moments(w, None, 1)
        assert abs(mass * (w * w / 2).exp() * w * (2 * arb.pi()).sqrt() - 1 + 1 / (w * w)) < 1e-31
        assert gaussian_moments(arb(0, 1e-9), None, 1)[0].contains(arb(0.5))


@pytest.mark.parametrize(("mu", "s"), [(0.3, 1e-8), (-20.0, 3.0), (-4e9, 1e8), (0.0, 1.0), (7.0, 0.01)])
@pytest.mark.parametrize("key", ["relu", "hardtanh_-0.25_3", "relu2"])
def test_moments_are_the_proved_formula(key, mu, s):
    proved, found = formula(key)(mu, s), hermite_coefficients(CASES[key].definition(), mu, s)
    assert len(found) == ORDERS
    for f, p in zip(found, proved):
        assert max(f.abs_upper(), p.abs_upper()) < arb(2) ** TINY_EXPONENT or relative(f, p) < 2.0**-85


@pytest.mark.parametrize(("mu", "s"), [(0.3, 1e-8), (-400.0, 10.0), (-4500.0, 90.0)])
def test_exponentials(mu, s):
    found = hermite_coefficients(definition("exp"), mu, s)
    with precision(300):
        m, w = arb(mu), arb(s)
        for k, ball in enumerate(found):
            assert relative(ball, w**k * (m + w * w / 2).exp()) < 2.0**-85
            assert relative(ball, w**k * (m + w * w / 2 + 1e-20).exp()) > 2.0**-85


@pytest.mark.parametrize(("mu", "s"), [(0.0, 1e-8), (-300.0, 20.0), (-1e9, 1e8), (2.0, 1.5)])
def test_elu_is_relu_less_its_negative_part(mu, s):
    """elu(y; α) = relu(y) + α (elu(y) - relu(y)), celu(y; α) = α elu(y/α)."""
    relu, elu, wide = (
        hermite_coefficients(definition(n, **p), mu, s) for n, p in [("relu", {}), ("elu", {}), ("elu", {"alpha": 1.7})]
    )
    celu, half = (
        hermite_coefficients(definition("celu", alpha=2), mu, s),
        hermite_coefficients(definition("elu"), mu / 2, s / 2),
    )
    with precision(300):
        for k in range(ORDERS):
            error = wide[k] - relu[k] - arb(1.7) * (elu[k] - relu[k])
            assert error.contains(arb(0))
            assert (celu[k] - 2 * half[k]).contains(arb(0))
        assert log2_abs(elu[0].rad()) < -80 + log2_abs(elu[0])


def test_zeros_are_exact_and_precision_is_finite(monkeypatch):
    assert hermite_coefficients(definition("softshrink"), 0.0, 2.0)[::2] == [0] * 6
    assert hermite_coefficients(definition("hardswish"), 50.0, 1e-8)[2:] == [0] * 9
    monkeypatch.setattr("tests.oracle.arb.LAST_PRECISION", 300)
    with pytest.raises(PrecisionExhausted):
        hermite_coefficients(definition("softshrink"), 0.0, 2.0)


def test_definitions_of_this_kind_are_all_understood():
    for case in CASES.values():
        if case.source == "moments":
            assert case.name in DEFINITIONS
            (mean, *_) = hermite_coefficients(case.definition(), 0.25, 1e-8)
            assert math.isclose(float(mean), case.definition().functions[-1](0.25), rel_tol=1) or float(mean) == 0
