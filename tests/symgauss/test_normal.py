"""The zero test: identities it must see, near misses it must not, and functions it refuses by name."""

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Rational, cbrt, cos, exp, log, pi, sin, sqrt

from symgauss import He, Phi, mu, phi, sigma
from symgauss.normal import Outside, Reader, is_zero, tidy

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
    2 ** (mu + 1) - 2 * 2**mu,
    3 ** (2 * mu - 1) - exp(2 * mu * log(3)) / 3,
    6**mu - 2**mu * 3**mu,
    exp(mu * log(6)) - exp(mu * log(2)) * 3**mu,
    2 ** (mu + Rational(1, 2)) - sqrt(2) * 2**mu,
    2 ** (mu + Rational(5, 6)) - sqrt(2) * 2 ** Rational(1, 3) * exp(mu * log(2)),
    2 ** Rational(1, 3) * mu * 4 ** Rational(1, 3) * Phi(2 ** Rational(1, 3) * mu) - 2 * mu * Phi(mu * cbrt(2)),
    exp((cbrt(2) * mu + 1) ** 2) - exp((cbrt(2) * mu - 1) ** 2) * exp(4 * cbrt(2) * mu),
    pi ** (mu - 1) - exp(mu * log(pi)) / pi,
    sqrt(sympy.E) * exp(mu) - exp(mu + Rational(1, 2)),
    cos(mu + pi / 4) - (cos(mu) - sin(mu)) / sqrt(2),
    sin(mu + pi / 12) - sin(mu) * cos(pi / 12) - cos(mu) * sin(pi / 12),
    cos(mu + sympy.E) - cos(mu) * cos(sympy.E) + sin(mu) * sin(sympy.E),
    exp((mu + sympy.E) ** 2) - exp(mu**2 + 2 * sympy.E * mu + exp(2)),
    Phi(mu - exp(-1)) + Phi(exp(-1) - mu) - 1,
    1 / (1 + sympy.E) - 1 / (sympy.E + 1) + Phi(mu) * 0,
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
        sympy.E * mu - mu,
        2 ** (mu + Rational(1, 3)) - sqrt(2) * 2**mu,
        cos(mu + pi / 5) - cos(mu + pi / 4),
        Phi(sympy.E * mu) - Phi(mu),
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
        (2 ** (10**6 + mu * sqrt(2)) * 2 ** (10**6 - mu), "too large a number"),
        (Phi(mu * exp(10**6)), "inside another function"),
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


CONSTANTS = [sympy.E, exp(-2), exp(Rational(1, 3)), pi, sqrt(2), cbrt(2), log(2), sympy.S(3), Rational(-1, 2)]
FACTORS = [
    *(mu, sigma, mu**2 - sigma, 1 / sigma, exp(mu + 1), exp(-(mu**2)), 2**mu, 3 ** (2 * mu - 1), pi ** (sigma + 1)),
    *(Phi(mu - sympy.E), phi(mu / sigma), sin(mu + 1), cos(mu + sympy.E), sympy.cosh(mu + 1), sympy.erf(mu), He(3, mu)),
]
PRODUCTS = st.tuples(st.sampled_from(CONSTANTS), st.lists(st.sampled_from(FACTORS), max_size=3)).map(
    lambda drawn: drawn[0] * sympy.prod(drawn[1])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PRODUCTS, min_size=1, max_size=3).map(sum))
def test_tidy_changes_no_value(expr):
    tidied = tidy(expr)
    assert is_zero(tidied - expr)
    place = {mu: Rational(3, 7), sigma: Rational(5, 4)}
    assert abs((tidied - expr).subs(place).evalf(30)) < 1e-24 * (1 + abs(expr.subs(place).evalf(30)))


@pytest.mark.parametrize("expr", [sympy.E * mu, mu + sympy.E, 2**mu, sympy.E * 3 ** (mu - 1) * Phi(mu), sympy.S(0)])
def test_what_tidy_has_to_keep(expr):
    assert is_zero(tidy(expr) - expr)
    assert tidy(expr).subs(mu, 0).evalf() == expr.subs(mu, 0).evalf()


@pytest.mark.parametrize(
    ("value", "order"),
    [
        (1 + sqrt(1 + sigma**2) / sigma, 1),
        (1 / sigma**3 + sqrt(1 + sigma**2), 3),
        (mu / sigma + sqrt(1 + sigma**2) / sigma**2, 2),
        (sigma * mu + sqrt(1 + sigma**2), 0),
    ],
)
def test_a_pole_of_any_part_is_a_pole(value, order):
    """Growth is judged by it: a negative power of sigma must not hide beside a part without one."""
    assert Reader([value]).surd(value).pole() == order
