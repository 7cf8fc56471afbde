"""σ and its derivatives as text: right to rounding near 0, in the middle and far out, without overflow."""

import math

import mpmath
import pytest
import sympy

import symgauss as sg
from symgauss import Phi, phi, x
from symgauss.codegen.pointwise import TAYLOR_REACH, Pointwise
from tests.marks import mostly_slow
from tests.symgauss.invented import in_mpmath

RELATIVE = 1e-13
DIGITS = 60


def logistic(z):
    return 1 / (1 + sympy.exp(-z))


NAMES = ["sigmoid", "tanh", "silu", "softplus", "mish", "tanhshrink", "gelu_tanh", "logsigmoid", "quick_gelu"]
OF_USERS = {
    "x_tanh": x * sympy.tanh(x),
    "tanh_cubed": sympy.tanh(x) ** 3,
    "log_cosh": sympy.log(sympy.cosh(x)),
}
FORMULAS = {name: sg.activation(name).formula for name in NAMES} | OF_USERS
NEAR = [0.0, 1e-12, -1e-7, 1e-4, -3e-3, 0.02, -0.11, 0.29, 0.45, -0.8]
MIDDLE = [1.3, -2.2, 3.1, -5.7, 8.4]
FAR = [17.0, -23.0, 60.0, -150.0, 300.0, -300.0]


# What a kernel calls, from the math module; far out e^z is 0 or ∞ there.


def _exp(z):
    return math.inf if z > 709.0 else math.exp(z)


def _Phi_phi(z):
    return 0.5 * math.erfc(-z / math.sqrt(2)), math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


PLAIN = {name: getattr(math, name) for name in ("expm1", "log1p", "tanh", "sqrt", "log", "sin", "cos", "atan")} | {
    "exp": _exp,
    "gauss": lambda y: math.exp(-y * y / 2),
    "Phi_phi": _Phi_phi,
    "centred_Phi": lambda z: 0.5 * math.erf(z / math.sqrt(2)),
}


def as_function(lines):
    """Statements that end in a return, as a function of x."""
    scope = dict(PLAIN)
    exec("def text(x):\n" + "\n".join(f"    {line}" for line in lines), scope)
    return scope["text"]


def by_taylor(expr, place, order):
    """σ, σ′, … at a place by mpmath's numerical differentiation in many digits."""
    function = in_mpmath(expr)
    with mpmath.workdps(DIGITS if abs(place) < 10 else DIGITS + 270):
        point = mpmath.mpf(place.p) / place.q if isinstance(place, sympy.Rational) else mpmath.mpf(place)
        return [mpmath.diff(function, point, k) if k else mpmath.mpf(function(point)) for k in order]


def relative(found, true, scale):
    """|found − true| relative to true, or where true is 0 (or below doubles), to the scale of rounding there."""
    difference = abs(mpmath.mpf(found) - true)
    return float(difference / max(abs(true), mpmath.mpf(scale)))


@pytest.mark.parametrize("name", FORMULAS)
def test_the_value(name):
    value = as_function(Pointwise(sg.Activation(name, FORMULAS[name])).value())
    for place in (*NEAR, *MIDDLE, *FAR):
        (true,) = by_taylor(FORMULAS[name], place, [0])
        assert relative(value(place), true, 1e-300) < RELATIVE, place
    assert math.isnan(value(math.nan))


# Orders and places that a table of every kind covers within seconds.
DERIVED = [
    (place, k) for place in (0.0, 1e-4, -0.11, 0.45, 1.3, -5.7, 17.0, -23.0, 300.0, -300.0) for k in (1, 2, 3, 8)
]


# A logistic function, one that cancels at 0, one with a logarithm, two of users; gelu_tanh and mish take mpmath long,
# and gelu_tanh's derivatives are compared as compiled too, at std = 0.
DIFFERENTIATED = mostly_slow(FORMULAS, fast=("sigmoid", "tanhshrink", "softplus", "tanh_cubed", "log_cosh"))


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_the_derivatives(name):
    """Relative to |σ^(k)|, or, where that is near one of its zeros, to a tenth of its value beside."""
    derivatives = as_function(Pointwise(sg.Activation(name, FORMULAS[name])).derivatives())
    for place, k in DERIVED:
        found = derivatives(place)
        assert len(found) == 9
        assert all(map(math.isfinite, found)), place
        (true,) = by_taylor(FORMULAS[name], place, [k])
        (beside,) = by_taylor(FORMULAS[name], place + 0.3, [k])
        # a number of size e^−n is known to n ulps of the exponent, and the eighth derivative is a sum of many
        tolerance = RELATIVE * max(8 if k == 8 else 1, float(abs(mpmath.log(abs(true) + 1e-290))) / 100)
        assert relative(found[k], true, max(float(abs(beside)) / 10, 1e-290)) < tolerance, (place, k)


def test_the_comparison_notices_a_wrong_derivative():
    lines = Pointwise(sg.activation("tanh")).derivatives()
    *_, last = lines
    wrong = [*lines[:-1], last.replace("return ", "return 1e-12 + ", 1)]
    found, spoiled = (as_function(text)(0.45)[0] for text in (lines, wrong))
    (true,) = by_taylor(FORMULAS["tanh"], 0.45, [0])
    assert relative(found, true, 1e-300) < RELATIVE < relative(spoiled, true, 1e-300)


@pytest.mark.parametrize("name", ["tanhshrink", "log_cosh"])
def test_where_a_formula_cancels_its_taylor_polynomial_takes_over(name):
    act = sg.Activation(name, FORMULAS[name])
    lines = Pointwise(act).value()
    (near,) = [line for line in lines if line.startswith("near = ")]
    reach = float(near.split("< ")[1])
    assert reach == pytest.approx(TAYLOR_REACH * math.pi / 2)
    text, never = as_function(lines), as_function([line.replace(near, "near = False") for line in lines])
    (true,) = by_taylor(act.formula, 1e-4, [0])
    assert relative(text(1e-4), true, 1e-300) < RELATIVE < relative(never(1e-4), true, 1e-300)
    for place in (reach * (1 - 1e-9), reach * (1 + 1e-9), -reach * (1 - 1e-9)):
        (true,) = by_taylor(act.formula, place, [0])
        assert relative(text(place), true, 1e-300) < RELATIVE


@pytest.mark.parametrize("name", ["sigmoid", "softplus"])
def test_what_does_not_cancel_gets_no_taylor_polynomial(name):
    assert not any(line.startswith("near") for line in Pointwise(sg.activation(name)).value())


SOFTPLUS = sympy.log(1 + sympy.exp(x))
# Expressions and between them where one ends and the next begins; nothing of them has the form of two tails.
PIECES = {
    "gated": (x * logistic(x), 1, SOFTPLUS),
    "growing": (sympy.exp(x) * logistic(x), 0, x / (1 + sympy.exp(x))),
    "snap": (sympy.tanh(x), sympy.Rational(1, 3), sympy.cos(x)),
    "mixed": (sympy.sin(x) * sympy.tanh(x) * logistic(2 * x),),
    "serf": (x * sympy.erf(SOFTPLUS),),
    "normal": (x * Phi(x) + phi(2 * x),),
    "staircase": (x**2, -1, sympy.exp(-x), sympy.Rational(3, 2), sympy.Integer(-1)),
    "softsign": (x / (1 - x), 0, x / (1 + x)),
}


def glued(name):
    *first, last = PIECES[name]
    return sympy.Piecewise(*((e, x < c) for e, c in zip(first[::2], first[1::2])), (last, True))


@pytest.mark.parametrize("name", mostly_slow(PIECES, fast=set(PIECES) - {"serf", "mixed"}))
def test_pieces_and_what_has_no_tails_stay_finite_and_right(name):
    """As written, but logistic functions so that they do not overflow; an error of rounding of the largest term."""
    expr = glued(name)
    pointwise = Pointwise(sg.Activation(name, expr))
    value, derivatives = as_function(pointwise.value()), as_function(pointwise.derivatives())
    for place in (-300.0, -40.0, -4.1, -0.37, 0.62, 2.9, 31.0, 300.0):
        found = derivatives(place)
        true = by_taylor(expr, place, [0, 1, 2, 3])
        size = max(1e-290, *map(abs, true))
        for k in range(4):
            assert abs(found[k] - true[k]) <= 1e-13 * size, (place, k)
        assert all(map(math.isfinite, found)), place
        assert relative(value(place), true[0], 1e-300) < 1e-12, place


@pytest.mark.parametrize("name", [name for name, pieces in PIECES.items() if len(pieces) > 1])
def test_jumps_are_differences_of_one_sided_derivatives(name):
    pieces, cuts = PIECES[name][::2], PIECES[name][1::2]
    found = Pointwise(sg.Activation(name, glued(name))).jumps()
    assert len(found) == len(cuts)
    for row, cut, left, right in zip(found, cuts, pieces, pieces[1:]):
        assert len(row) == 8
        below, above = (by_taylor(piece, sympy.Rational(cut), range(8)) for piece in (left, right))
        for k in range(8):
            true = above[k] - below[k]
            assert eval(row[k], dict(PLAIN)) == pytest.approx(float(true), rel=1e-13, abs=1e-25), (cut, k)


@pytest.mark.parametrize(("name", "order"), [("relu", 0), ("relu2", 1), ("celu", 1)])
def test_a_derivative_that_does_not_jump_is_exactly_0(name, order):
    (row,) = Pointwise(sg.activation(name)).jumps()
    assert [float(sympy.sympify(height)) == 0 for height in row[: order + 1]] == [True] * (order + 1)
