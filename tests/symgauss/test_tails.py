"""Activations as series in v = exp(−rate·|x|): the same function, the same derivatives, clear refusals."""

import math
import random

import mpmath
import pytest
import sympy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sympy import Abs, E, I, Rational, S, cosh, exp, log, pi, sinh, sqrt, tanh

from symgauss import Phi, x
from symgauss.tails import NoTails, Tail, pole_distance, tails, v
from tests.marks import mostly_slow


def sigmoid(z):
    return 1 / (1 + exp(-z))


softplus = log(1 + exp(x))
mish = x * tanh(softplus)

FUNCTIONS = [
    sigmoid(x),
    tanh(x),
    x * sigmoid(x),
    softplus,
    mish,
    x * sigmoid(Rational(851, 500) * x),
    x - tanh(x),
    -log(1 + exp(-x)),
    x * tanh(x),
    tanh(x) ** 3,
    log(cosh(x)),
    1 / cosh(x),
    x * sigmoid(x) ** 2,
    sinh(x) / cosh(x),
    tanh(x / 2) * (1 + tanh(x)),
    1 / (1 + exp(-x) + exp(-2 * x)),
    x * sigmoid(x) + exp(-2 * x) / (1 + exp(-2 * x)),
    sigmoid(sqrt(2) * x) + tanh(sqrt(2) * x / 3),
    sigmoid(x - 1) + Rational(1, 3),
    sqrt(2) * sigmoid(x) + E * tanh(x - 1),
    1 / (sqrt(2) + exp(-x)),
    x / (2 + exp(-x) + sqrt(3) * exp(-2 * x)),
    1 / (1 + 2**x),
    sigmoid(pi * x) * x**2,
    softplus**2 * tanh(x),
    log(sqrt(2) + exp(x)),
    log(2 + exp(x) + exp(-x)) * sigmoid(3 * x),
    x**2 - 3,
    tanh(2 * softplus) / sigmoid(-x) ** -1,
]


def at(expr, point, tail):
    return expr.subs(v, exp(-tail.rate * abs(point))).subs(x, point).evalf(45)


def agree(a, b):
    return abs(a - b) <= 1e-40 * max(1e-12, abs(b))


# High derivatives of these are long
LONG = [sinh(x) / cosh(x), tanh(2 * softplus) / sigmoid(-x) ** -1, sqrt(2) * sigmoid(x) + E * tanh(x - 1)]


@pytest.mark.parametrize("expr", mostly_slow(FUNCTIONS, fast=[expr for expr in FUNCTIONS if expr not in LONG]), ids=str)
def test_same_function_and_derivatives(expr):
    rng = random.Random(str(expr))
    for k in (0, 1, 2, 5):
        exact = sympy.diff(expr, x, k)
        for tail in tails(expr):
            function = tail.derivative(k) if k else tail.function
            for _ in range(2):
                point = tail.side * Rational(rng.randint(1, 6000), 1000)
                assert agree(at(function, point, tail), exact.subs(x, point).evalf(45))


@pytest.mark.parametrize("expr", FUNCTIONS, ids=str)
def test_remainder_and_series(expr):
    for tail in tails(expr):
        point = tail.side * Rational(7, 5)
        assert agree(at(tail.asymptote + tail.remainder, point, tail), at(tail.function, point, tail))
        # With v as a variable of its own: a series cut after v^J errs by a multiple of v^{J+1}.
        errors = []
        for size in (Rational(1, 1000), Rational(1, 2000)):
            value = sum(tail.term(j) * size**j for j in range(6))
            errors.append(abs((tail.function.subs(v, size) - value).subs(x, Rational(1, 3)).evalf(45)))
        order = next((j for j in range(6, 20) if tail.term(j).subs(x, Rational(1, 3)) != 0), None)
        if order is None:
            assert max(errors) < 1e-40
        else:
            assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.05)


def test_a_wrong_form_is_seen():
    tail = tails(mish)[1]
    wrong = Tail(tail.side, tail.rate, tail.function + v**9 / 10**30)
    assert not agree(at(wrong.function, S(2), tail), at(tail.function, S(2), tail))
    assert not agree(at(wrong.derivative(2), S(2), tail), at(tail.derivative(2), S(2), tail))
    assert wrong.term(9) != tail.term(9)
    assert wrong.term(8) == tail.term(8)


def test_forms_by_hand():
    left, right = tails(softplus)
    assert (left.side, left.rate, left.function) == (-1, 1, log(1 + v))
    assert (right.side, right.rate, right.function) == (1, 1, x + log(1 + v))
    assert (right.asymptote, right.remainder) == (x, log(1 + v))
    assert right.derivative(1) == 1 / (1 + v)
    left, right = tails(tanh(x))
    assert (right.rate, right.function, right.remainder) == (2, (1 - v) / (1 + v), -2 * v / (1 + v))
    assert right.derivative(1) == 4 * v / (1 + v) ** 2
    assert tails(mish)[1].remainder == -2 * v**2 * x / (1 + 2 * v + 2 * v**2)
    assert [tails(sigmoid(x))[1].term(j) for j in range(4)] == [1, -1, 1, -1]
    beta = sympy.Symbol("beta", positive=True)
    assert tails(x * sigmoid(beta * x))[1] == Tail(1, beta, x / (1 + v))


@pytest.mark.parametrize("expr", [mish, x * sigmoid(x), tanh(x), softplus, x * tanh(x) ** 2], ids=str)
def test_doubles_keep_relative_accuracy_far_out(expr):
    for tail in tails(expr):
        for k in (0, 1, 2, 5, 8):
            form = tail.derivative(k) if k else tail.remainder
            numeric = sympy.lambdify((x, v), form, "math")
            # −p_0^(k) apart: what the derivatives of the asymptote leave is of order 1.
            for size in (30, 100, 300):
                point = tail.side * size
                power = mpmath.exp(-sympy.N(tail.rate, 30)._to_mpmath(100) * size)
                exact = sympy.lambdify((x, v), form, "mpmath")
                with mpmath.workdps(40):
                    wanted = exact(mpmath.mpf(point), mpmath.mpf(float(power)))
                assert numeric(point, float(power)) == pytest.approx(float(wanted), rel=1e-13)


@pytest.mark.parametrize(
    ("expr", "distance"),
    [
        (sigmoid(x), pi),
        (tanh(x), pi / 2),
        (softplus, pi),
        (mish, 3 * pi / 4),
        (x * sigmoid(Rational(851, 500) * x), 500 * pi / 851),
        (sigmoid(x) + tanh(3 * x), pi / 6),
        (1 / (1 + exp(-x) + exp(-2 * x)), 2 * pi / 3),
        (x**2, sympy.oo),
    ],
    ids=str,
)
def test_pole_distance(expr, distance):
    for tail in tails(expr):
        assert sympy.N(pole_distance(tail), 15) == pytest.approx(sympy.N(distance, 15), rel=1e-14)


def test_pole_distance_of_higher_degree():
    # exp(−x) with v³ + v/5 + 1 = 0: no factor of degree 2 over the rationals.
    tail = tails(1 / (1 + exp(-x) / 5 + exp(-3 * x)))[1]
    roots = mpmath.polyroots([1, 0, mpmath.mpf(1) / 5, 1])
    assert pole_distance(tail) == pytest.approx(min(abs(float(mpmath.arg(r))) for r in roots), rel=1e-12)
    # 1 + v¹²⁷ has a factor of degree 126 with zeros at the odd multiples of π/127.
    tail = tails(sigmoid(Rational(127, 10) * x) + tanh(x / 20))[0]
    assert float(pole_distance(tail)) == pytest.approx(math.pi / 12.7, rel=1e-12)


@pytest.mark.parametrize(
    ("expr", "reason"),
    [
        (exp(x), r"grows like exp\(x\) for x > 0"),
        (cosh(x), r"grows like exp\(-x\) for x < 0"),
        (exp(x**2), r"exp\(x\*\*2\) is not the exponential of a linear"),
        (tanh(sqrt(2 / pi) * (x + x**3)), "not the exponential of a linear"),
        (tanh(tanh(x)), "not the exponential of a linear"),
        (Abs(x) * sigmoid(x), r"Abs\(x\) is not smooth; split"),
        (sqrt(1 + exp(x)), r"sqrt\(exp\(x\) \+ 1\)"),
        (sympy.sin(x), r"sin\(x\)"),
        (Phi(x), r"Phi\(x\)"),
        (x / (1 + x**2), "x is in a denominator"),
        (1 / (x + exp(x)), "x is in a denominator"),
        (1 / log(3 + exp(x)), "a logarithm is in a denominator"),
        (1 / (1 - exp(-x)), "vanishes at x = 0"),
        (1 / (exp(x) - 2), "vanishes at x = 0.6931"),
        (1 / (sqrt(2) - 2 * exp(-x)), "vanishes at x = 0.3466"),
        (log(-2 - exp(x)), "logarithm of a negative number"),
        (log(exp(x) - 3), "negative number for x < 0"),
        (log(x), "x outside an exponential"),
        (log(log(2 + exp(x))), "inside a logarithm"),
        (sigmoid(x) + sigmoid(sqrt(2) * x), r"rates 1 and sqrt\(2\) are not commensurable"),
        (sigmoid(x) + sigmoid(Rational(1001, 1000) * x), "no common part"),
        (x * exp(x) * log(1 + exp(-x)), r"exp\(x\) multiplies a logarithm for x > 0"),
        (exp(I * x), "not real"),
        (sigmoid(sympy.Symbol("a", real=True) * x), "cannot tell the sign of the rate a"),
    ],
    ids=str,
)
def test_refusals(expr, reason):
    with pytest.raises(NoTails, match=reason):
        tails(expr)


@pytest.mark.parametrize(("method", "index"), [("derivative", 0), ("term", -1)])
def test_indices_out_of_range(method, index):
    with pytest.raises(ValueError, match="needs"):
        getattr(tails(tanh(x))[0], method)(index)


rates = st.sampled_from([Rational(p, q) for p in (-2, -1, 1, 2, 3) for q in (1, 2)])
shifts = st.sampled_from([S.Zero, S.Zero, S.One, log(2)])
atoms = st.one_of(
    st.tuples(rates, shifts).map(lambda r: sigmoid(r[0] * x + r[1])),
    rates.map(lambda r: tanh(r * x)),
    rates.map(lambda r: log(1 + exp(r * x))),
    st.just(x),
    st.sampled_from([S(2), Rational(-1, 3), sqrt(2)]),
)
combinations = st.one_of(
    atoms,
    st.tuples(atoms, atoms).map(lambda p: p[0] * p[1]),
    st.tuples(atoms, atoms, atoms).map(lambda p: p[0] * p[1] + p[2]),
    st.tuples(atoms, atoms).map(lambda p: p[0] - 3 * p[1] ** 2),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(combinations, st.integers(1, 3000))
def test_random_combinations(expr, size):
    exact = {k: sympy.diff(expr, x, k) for k in (0, 1, 3)}
    for tail in tails(expr):
        point = tail.side * Rational(size, 700)
        for k, wanted in exact.items():
            function = tail.derivative(k) if k else tail.function
            assert agree(at(function, point, tail), wanted.subs(x, point).evalf(45, maxn=400))
