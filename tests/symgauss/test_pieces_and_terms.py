"""Splitting at breakpoints and decomposing smooth pieces: same function, right order, clear refusals."""

import random

import pytest
import sympy
from sympy import Abs, And, Heaviside, Max, Min, Not, Or, Piecewise, Rational, S, exp, sign, sqrt

import symgauss as sg
from symgauss import Phi, x
from symgauss.pieces import pieces
from symgauss.terms import terms

a, b, c = sympy.symbols("a b c", real=True)
p = sympy.Symbol("p", positive=True)


@pytest.mark.parametrize(
    ("expr", "breakpoints", "smooth"),
    [
        (x**2, (), (x**2,)),
        (Max(x, 0), (0,), (0, x)),
        (Abs(x - Abs(x)), (0,), (-2 * x, 0)),
        (Min(Max(x, -1), 1), (-1, 1), (-1, x, 1)),
        (exp(Min(x, 0)), (0,), (exp(x), 1)),
        (Phi(Max(x, 0)), (0,), (Rational(1, 2), Phi(x))),
        (Abs(x**2 - 2), (-sqrt(2), sqrt(2)), (x**2 - 2, 2 - x**2, x**2 - 2)),
        (Max(x, 1, 2 * x), (Rational(1, 2),), (1, 2 * x)),
        (Piecewise((1, And(x > 0, x < 1)), (0, True)), (0, 1), (0, 1, 0)),
        (Piecewise((1, Or(x < 0, Not(x < 3))), (x, True)), (0, 3), (1, x, 1)),
        (Piecewise((x, Abs(x) < 2), (3, True)), (-2, 2), (3, x, 3)),
        (Piecewise((5, sympy.Eq(x, 0)), (x, True)), (), (x,)),
        (sign(x) * Heaviside(x - 1), (1,), (0, 1)),
        (Max(x, x**2), (0, 1), (x**2, x, x**2)),
        (Max(x, 0) - Max(-x, 0), (), (x,)),
        (Max(0, Min(x, p)), (0, p), (0, x, p)),
    ],
)
def test_pieces(expr, breakpoints, smooth):
    found = pieces(expr)
    assert found.breakpoints == breakpoints
    assert tuple(map(sympy.expand, found.smooth)) == tuple(map(sympy.expand, map(S, smooth)))


def test_order_from_requires():
    clip = Min(Max(x, a), b)
    assert pieces(clip, [a <= b]).breakpoints == (a, b)
    assert pieces(clip, [b >= a]).smooth == (a, x, b)
    three = Max(x, a) + Max(x, b) + Max(x, c)
    assert pieces(three, [a <= b, b <= c]).breakpoints == (a, b, c)
    assert pieces(Max(x, a) + Max(x, 2 * b - 2 * a), [2 * b >= 3 * a]).breakpoints == (a, 2 * b - 2 * a)
    # b + p − a is b − a and something positive, and no multiple of b − a.
    assert pieces(Max(x, b + p) + Max(x, a), [a <= b]).breakpoints == (a, b + p)
    with pytest.raises(sg.NoClosedForm, match=r"cannot order breakpoints .* declare requires="):
        pieces(three, [a <= b])


@pytest.mark.parametrize(
    ("expr", "reason"),
    [
        (Abs(sympy.sin(x)), "cannot find where sin"),
        (Max(exp(x), 1), "cannot find where"),
        (Abs(a * x + 1), "cannot tell the sign of a"),
        (Piecewise((1, x > 0)), "not defined on the whole line"),
    ],
)
def test_refusals(expr, reason):
    with pytest.raises(sg.NoClosedForm, match=reason):
        pieces(expr)


def random_function(rng, depth):
    if depth == 0:
        return rng.choice([x, x - 1, 2 - x, S(rng.randint(-2, 2)), x / 2 + 1])
    left, right = (random_function(rng, depth - 1) for _ in range(2))
    return rng.choice(
        [
            Max(left, right),
            Min(left, right),
            left + right,
            Abs(left),
            left * sign(x - rng.randint(-2, 2)),
            Piecewise((left, right > 0), (right, True)),
            Piecewise((left, And(x > -1, x <= 2)), (right, True)),
        ]
    )


@pytest.mark.parametrize("seed", range(25))
def test_random_nests_are_the_same_function(seed):
    expr = random_function(random.Random(seed), 3)
    found = pieces(expr)
    assert list(found.breakpoints) == sorted(set(found.breakpoints))
    edges = [S(-50), *found.breakpoints, S(50)]
    for smooth, low, high in zip(found.smooth, edges, edges[1:]):
        for t in (Rational(1, 7), Rational(1, 2), Rational(5, 6)):
            at = low + t * (high - low)
            assert sympy.simplify(expr.subs(x, at) - smooth.subs(x, at)) == 0


SMOOTH = [
    x**3 - 2 * x + 1,
    (x + 1) ** 4 * exp(-x),
    x * Phi(2 * x - 1) + Phi(-x) ** 2,
    sympy.sin(x + 1) * sympy.cos(2 * x) * x,
    sympy.erf(x) * exp(-(x**2)),
    sympy.erfc(x - 1) * x,
    sympy.sinh(x) * sympy.cosh(x / 2),
    sg.phi(3 * x + 1) * sg.He(3, x),
    2**x * exp(-((x - 1) ** 2) / 2),
    (exp(x) + exp(-x)) ** 3,
    sqrt(exp(x)),
]


@pytest.mark.parametrize("expr", SMOOTH)
def test_terms_add_up(expr):
    total = sum(term.expr for term in terms(expr))
    for at in (Rational(-7, 5), Rational(2, 3)):
        difference = (expr - total).subs(x, at).evalf(30)
        assert abs(difference) < 1e-25
    shapes = [term.shape for term in terms(expr)]
    assert len(shapes) == len(set(shapes))


def test_a_wrong_term_is_seen():
    total = sum(term.expr for term in terms(SMOOTH[0])) + sympy.Rational(1, 10**9)
    assert abs((SMOOTH[0] - total).subs(x, 1).evalf(30)) > 1e-25


def test_terms_by_hand():
    (term,) = terms(3 * x**2 * exp(2 * x - x**2) * Phi(x / 2 - 1))
    assert (term.coefficient, term.power, term.linear, term.quadratic) == (3, 2, 2, 2)
    assert term.gates == ((Rational(1, 2), -1),)
    assert {t.linear for t in terms(sympy.sin(3 * x))} == {3 * sympy.I, -3 * sympy.I}
    assert terms(Phi(x) - Phi(x)) == ()


@pytest.mark.parametrize(
    ("expr", "culprit"),
    [
        (sympy.tanh(x), r"tanh\(x\)"),
        (1 / x, "1/x"),
        (sqrt(x), r"sqrt\(x\)"),
        (sympy.log(x), r"log\(x\)"),
        (exp(x**2), "may grow"),
        (exp(a * x**2), "may grow"),
        (exp(sympy.sin(x)), r"exp\(sin\(x\)\)"),
        (sympy.gamma(x), "gamma"),
    ],
)
def test_terms_name_the_culprit(expr, culprit):
    with pytest.raises(sg.NoClosedForm, match=culprit):
        terms(expr)
