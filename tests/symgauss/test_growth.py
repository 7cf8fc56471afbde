"""Which functions have a Gaussian mean for every sigma: those slower than exp(εx²), finite and real everywhere."""

import pytest
import sympy
from sympy import Abs, Heaviside, Min, Piecewise, Rational, S, cosh, erfc, exp, gamma, log, sin, sinh, sqrt, tanh

import symgauss as sg
from symgauss import Phi, x
from symgauss.growth import GrowsTooFast, check_growth

a = sympy.Symbol("a", real=True)
p = sympy.Symbol("p", positive=True)
n = sympy.Symbol("n", negative=True)

SLOW = [
    S.Zero,
    S(5),
    exp(x),
    exp(100 * x),
    x**50,
    cosh(x),
    2**x,
    exp(Abs(x) ** Rational(3, 2)),
    exp(Abs(x) ** Rational(19, 10)),
    Phi(x) * exp(x),
    1 - Phi(x),
    tanh(x) - 1,
    exp(-(x**2)),
    x * exp(-(x**2) / 2),
    exp(x**2 - x**4),
    x * exp(x**2) * exp(-(x**4)),
    exp(x**2 / 2) * sg.phi(x) * x,
    exp(x**2) * erfc(x) * Heaviside(x),
    Min(exp(x**2), 3),
    Abs(x) ** Abs(x),
    gamma(Abs(x) + 1),
    1 - exp(-exp(x)),
    sin(exp(x)),
    tanh(exp(x**3)),
    Phi(exp(x)),
    x * sin(x**2),
    Piecewise((exp(-1 / x), x > 0), (0, True)),
]


@pytest.mark.parametrize("expr", SLOW, ids=str)
def test_slow_growth_passes(expr):
    check_growth(expr)


QUADRATIC = [
    (exp(x**2), "1", "-oo", "0.7071"),
    (exp(x**2 / 10**6), "1/1000000", "-oo", "707.1"),
    (exp(x**2 / 3 - 100 * x), "1/3", "-oo", "1.225"),
    (exp(x**2 / 10**6 + 10**4 * x), "1/1000000", "-oo", "707.1"),
    (x**50 * exp(x**2 / 100), "1/100", "-oo", "7.071"),
    (exp(x**2) * Phi(-x), "1", "-oo", "0.7071"),
    # Φ(x) falls like exp(−x²/2) on the left and takes half of the exponent away.
    (Piecewise((exp(x**2) * Phi(x), x < 0), (0, True)), "0.5", "-oo", "1.000"),
    (exp(x**2) * erfc(-x), "1", "oo", "0.7071"),
    (sin(x) * exp(x**2), "1", "-oo", "0.7071"),
    (Piecewise((exp(x**2), x < 0), (0, True)), "1", "-oo", "0.7071"),
    (Piecewise((exp(2 * x**2), x > 0), (0, True)), "2", "oo", "0.5000"),
    (cosh(x**2), "1.0", "-oo", "0.7071"),
    (2 ** (x**2), "0.693", "-oo", "0.8494"),
]


@pytest.mark.parametrize(("expr", "coefficient", "where", "sigma"), QUADRATIC, ids=lambda value: str(value))
def test_quadratic_exponents_are_refused_with_their_coefficient(expr, coefficient, where, sigma):
    with pytest.raises(GrowsTooFast) as refusal:
        check_growth(expr)
    message = str(refusal.value)
    scale = "" if coefficient == "1" else f"{coefficient}*"
    assert f"{expr} grows like exp({scale}x**2) as x -> {where}: it has no mean for sigma >= {sigma}" in message
    assert "an activation must grow slower than exp(eps*x**2) for every eps > 0" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "expr",
    [
        exp(x**3),
        exp(-(x**3)),
        sinh(x**3),
        exp(exp(x)),
        exp(exp(-x)),
        exp(exp(exp(x))),
        exp(exp(exp(exp(x)))),
        exp(x) ** exp(x),
        gamma(x**2 + 1),
        1 + exp(x**2 - x**3),
    ],
    ids=str,
)
def test_faster_growth_is_refused(expr):
    with pytest.raises(GrowsTooFast, match=r"grows faster than .* no mean for any sigma"):
        check_growth(expr)


@pytest.mark.parametrize(
    "expr", [exp(x**2 * sin(x)), exp(x**2 * sympy.cos(x) ** 2 / 5), (1 - Phi(x)) * exp(x**2) * Heaviside(x)], ids=str
)
def test_growth_that_oscillates_or_cancels_is_refused(expr):
    with pytest.raises(GrowsTooFast, match="grows like"):
        check_growth(expr)


@pytest.mark.parametrize(
    ("expr", "point"),
    [
        (log(x), "0.0"),
        (1 / x, "0.0"),
        (sin(x) / x, "0.0"),
        (sqrt(x), "-0.25"),
        (x ** Rational(3, 2), "-0.25"),
        (1 / (x**2 - 2), "-1.41421"),
        (log(x + 3), "-3.0"),
        (1 / (1 - Abs(x)), "1.0"),
        (gamma(x), "0.0"),
        (sympy.asin(x), "1.25"),
    ],
    ids=str,
)
def test_a_point_without_value_is_named(expr, point):
    with pytest.raises(ValueError, match="not a finite real number") as refusal:
        check_growth(expr)
    assert not isinstance(refusal.value, GrowsTooFast)
    assert f"at x = {point};" in str(refusal.value)


def test_parameters():
    check_growth(sg.Activation("wide", exp(a * x), {a: a}))
    check_growth(sg.Activation("bump", exp(-p * x**2), {p: p}))
    check_growth(sg.Activation("bump", exp(n * x**2), {n: n}))
    check_growth(sg.Activation("bump", exp(a * x**2), {a: -1}))
    # The values tried satisfy `requires`: here a is negative throughout.
    check_growth(sg.Activation("bump", exp(a * x**2), {a: a}, [a <= 0]))
    for formula, values in ((exp(a * x**2), {a: a}), (exp(p * x**2), {p: p}), (exp(a * x**2), {a: 0.5})):
        with pytest.raises(GrowsTooFast, match=r"burst.*exp\(1/2\*x\*\*2\)"):
            check_growth(sg.Activation("burst", formula, values))


@pytest.mark.parametrize("name", sg.activation_names())
def test_the_catalogue_passes(name):
    check_growth(name)
