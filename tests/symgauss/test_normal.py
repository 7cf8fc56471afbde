"""The zero test: identities it must see, near misses it must not, and functions it refuses by name."""

import pytest
import sympy
from sympy import Rational, cos, exp, log, pi, sin, sqrt

from symgauss import He, Phi, mu, phi, sigma
from symgauss.normal import Outside, is_zero, tidy

q = sympy.Symbol("q", positive=True)
r = sqrt(1 + q * sigma**2)

IDENTITIES = [
    phi(mu) - exp(-(mu**2) / 2) / sqrt(2 * pi),
    Phi(-mu) + Phi(mu) - 1,
    Phi((1 - mu) / sigma) + Phi((mu - 1) / sigma) - 1,
    sin(mu) ** 2 + cos(mu) ** 2 - 1,
    sin(2 * mu + 1) - 2 * sin(mu + Rational(1, 2)) * cos(mu + Rational(1, 2)),
    exp(mu) * exp(sigma) - exp(mu + sigma),
    phi(mu / sigma) ** 2 * 2 * pi - exp(-(mu**2) / sigma**2),
    sqrt(4 + 4 * sigma**2) - 2 * sqrt(1 + sigma**2),
    sqrt(1 + 1 / sigma**2) - sqrt(1 + sigma**2) / sigma,
    sqrt((1 + sigma**2) * (1 + 2 * sigma**2)) - sqrt(1 + sigma**2) * sqrt(1 + 2 * sigma**2),
    r * r - 1 - q * sigma**2,
    1 / (1 + r) - (r - 1) / (q * sigma**2),
    sqrt(6) - sqrt(2) * sqrt(3),
    sqrt(Rational(8, 9)) - 2 * sqrt(2) / 3,
    2**mu - exp(mu * log(2)),
    sympy.erf(mu) - 2 * Phi(sqrt(2) * mu) + 1,
    sympy.erfc(mu) - 2 * Phi(-sqrt(2) * mu),
    He(4, mu) - mu**4 + 6 * mu**2 - 3,
    sympy.cosh(mu) - (exp(mu) + exp(-mu)) / 2,
    Phi(mu * (sigma + 1) / (sigma**2 + sigma)) - Phi(mu / sigma),
    exp((mu**2 - 1) / (mu - 1)) - exp(mu + 1),
    sympy.E * exp(mu) - exp(mu + 1),
]


@pytest.mark.parametrize("expr", IDENTITIES)
def test_identities(expr):
    assert is_zero(expr)


@pytest.mark.parametrize("expr", IDENTITIES)
def test_near_misses(expr):
    assert not is_zero(expr + Rational(1, 10**30))
    assert not is_zero(expr + mu * Rational(1, 10**30) * Phi(mu))


@pytest.mark.parametrize(
    "expr",
    [
        Phi(mu) - Phi(mu) ** 2,
        Phi(mu) - Phi(2 * mu),
        phi(mu) - phi(mu + 1),
        exp(mu) - exp(mu + Rational(1, 10**9)),
        sqrt(1 + sigma**2) - sqrt(1 + 2 * sigma**2),
        sqrt(2) - Rational(141421356237309504880168872, 10**26),
        sin(mu) - cos(mu),
    ],
)
def test_not_zero(expr):
    assert not is_zero(expr)


@pytest.mark.parametrize(
    ("expr", "name"),
    [
        (sympy.Abs(mu), "Abs"),
        (sympy.atan(mu), "atan"),
        (sympy.Piecewise((mu, mu > 0), (0, True)), "Piecewise"),
        (sympy.tanh(mu), "tanh"),
        (1 / (1 + exp(mu)), "denominator"),
        (exp(exp(mu)), "inside another function"),
        (sqrt(mu), "nothing says that mu is positive"),
        (sqrt(1 - sigma**2), "negative|positive"),
        (Phi(sympy.I * mu), "complex argument"),
        (1 / Phi(mu), "denominator"),
        (sympy.oo, "oo"),
        (sympy.Symbol("z") ** 2, "z"),
        (Phi((-2) ** Rational(1, 3) * mu), "the power"),
    ],
)
def test_foreign_functions_are_named(expr, name):
    with pytest.raises(Outside, match=name):
        is_zero(expr)


def test_tidy_collects_and_keeps_the_value():
    messy = sympy.expand((mu + sigma) ** 3 * Phi(mu / sigma)) + 2 * mu * phi(mu) - mu * phi(mu)
    tidied = tidy(messy)
    assert tidied == (mu + sigma) ** 3 * Phi(mu / sigma) + mu * phi(mu)
    assert is_zero(messy - tidied)
    assert tidy(sympy.atan(mu) + 1) == sympy.atan(mu) + 1
