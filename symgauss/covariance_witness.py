"""Evidence against a formula for a covariance: a rational point where it provably fails.

Numbers come from the definition by conditioning, E[σ(Y₁) τ(Y₂)] = E[σ(Y₁) N(E[Y₂|Y₁], sd(Y₂|Y₁))], with N the mean
of τ, which has been proved: one integral over y₁, taken by `witness.integral`. At rho = 0 two integrals do, and no
mean is needed. A point counts only when the difference is far above the error of both sides.
"""

from collections.abc import Iterator
from typing import NamedTuple

import mpmath
import sympy
from sympy import Add, Expr, Rational, S, sqrt
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanFunction

from symgauss.price import PairReader, price_residual
from symgauss.quadrature import DIGITS
from symgauss.record import Activation
from symgauss.surds import Outside
from symgauss.symbols import He, Phi, Phi2, mu, mu_1, mu_2, phi, rho, sigma, sigma_1, sigma_2, x
from symgauss.witness import Clock, integral, values_for

SAFETY = 1000
SECONDS = 6.0

# What SymPy evaluates to the digits it is asked for. Integral, Sum, Limit and the like are not among it.
TRUSTED = (
    *(sympy.Add, sympy.Mul, sympy.Pow, sympy.exp, sympy.log, sympy.sin, sympy.cos, sympy.tan),
    *(sympy.asin, sympy.acos, sympy.atan, sympy.sinh, sympy.cosh, sympy.tanh, sympy.erf, sympy.erfc),
    *(Phi, Phi2, phi, He, sympy.Abs, sympy.Max, sympy.Min, sympy.sign, sympy.Heaviside),
    *(sympy.Piecewise, sympy.functions.elementary.piecewise.ExprCondPair, Relational, BooleanFunction),
)

Values = dict[Expr, Expr]


class Point(NamedTuple):
    """mu_1, sigma_1, mu_2, sigma_2, rho; √(1 − rho²) is rational, so that conditional variances are."""

    mean_1: Rational
    std_1: Rational
    mean_2: Rational
    std_2: Rational
    correlation: Rational

    @property
    def values(self) -> Values:
        return dict(zip((mu_1, sigma_1, mu_2, sigma_2, rho), self))

    def __str__(self) -> str:
        return ", ".join(f"{symbol} = {value}" for symbol, value in self.values.items())


class Number(NamedTuple):
    """A value and how far off it may be."""

    value: mpmath.mpf
    error: mpmath.mpf


def parameters_for(left: Activation, right: Activation) -> Values | None:
    """Numbers for the symbolic parameters of both, as their assumptions and `requires` want them."""
    symbols = (left.formula.free_symbols | right.formula.free_symbols) - {x}
    conditions = (*left.conditions, *right.conditions)
    return values_for(Activation("both", Add(*symbols), {s: s for s in symbols}, conditions))


def points(formula: Expr) -> Iterator[Point]:
    """Where to look: ordinary places, then the numbers that stand in the formula itself."""
    ordinary = [
        ("1/2", "1", "-1/3", "3/2", "3/5"),
        ("-3/4", "2", "1/5", "1/2", "-4/5"),
        ("2", "2/3", "1", "1", "-5/13"),
        ("0", "1", "0", "1", "3/5"),
        ("-1", "1/3", "-5/2", "2", "12/13"),
        ("1/4", "1/2", "2", "1/3", "-8/17"),
    ]
    for place in ordinary:
        yield Point(*map(Rational, place))
    numbers = {n for n in formula.atoms(Rational) if 1 < abs(n) <= 1000}
    for number in sorted(numbers | {-n for n in numbers})[:12]:
        yield Point(number + Rational(1, 6), Rational(1, 3), number - Rational(1, 2), Rational(1), Rational(-3, 5))


def against_price(covariance: Expr, values: Values, clock: Clock) -> str | None:
    """A point where ∂u/∂C − ∂²u/∂mu_1∂mu_2 is not zero, with its value there.

    Only for formulas in the normal form's functions: a Piecewise may be right and have wrong derivatives.
    """
    try:
        PairReader([covariance]).form(covariance)
    except Outside:
        return None
    residual = price_residual(covariance).xreplace(values)
    for point in points(covariance):
        if not clock.running:
            return None
        found = number(residual, point)
        if found is not None and abs(found.value) > mpmath.mpf(10) ** -20 + SAFETY * found.error:
            return f"{_place(point, values)} the difference is {mpmath.nstr(found.value, 6)}"
    return None


def against_definition(
    left: Activation, right: Activation, mean: Expr | None, covariance: Expr, values: Values, clock: Clock
) -> str | None:
    """A point where the formula is not E[σ(Y₁) τ(Y₂)], with both values; `mean` is that of `right`, if it is proved."""
    first, second = (act.formula.xreplace(values) for act in (left, right))
    inner = None if mean is None else mean.xreplace(values)
    covariance = covariance.xreplace(values)
    for point in points(covariance):
        for place in (point, point._replace(correlation=S.Zero)):
            if not clock.running:
                return None
            claim = number(covariance, place)
            truth = None if claim is None else definition(first, second, inner, place)
            if claim is not None and truth is not None and _differ(claim, truth):
                left_side, right_side = _shown(claim, truth)
                return f"{_place(place, values)} the formula gives {left_side}, the integral {right_side}"
    return None


def definition(first: Expr, second: Expr, mean: Expr | None, point: Point) -> Number | None:
    """E[σ(Y₁) τ(Y₂)] from σ and τ, or from σ and the mean of τ; None when the integral cannot be vouched for."""
    if point.correlation == 0:
        one, two = integral(first, point.mean_1, point.std_1), integral(second, point.mean_2, point.std_2)
        if one is None or two is None:
            return None
        (a, doubt_a), (b, doubt_b) = one, two
        with mpmath.workdps(2 * DIGITS):
            return Number(a * b, abs(a) * doubt_b + abs(b) * doubt_a + doubt_a * doubt_b)
    if mean is None:
        return None
    slope = point.correlation * point.std_2 / point.std_1
    given = {mu: point.mean_2 + slope * (x - point.mean_1), sigma: point.std_2 * sqrt(1 - point.correlation**2)}
    found = integral(first * mean.xreplace(given), point.mean_1, point.std_1)
    return None if found is None else Number(*found)


def number(expr: Expr, point: Point) -> Number | None:
    """The value of a formula at a point and its distance to the value in half as many digits."""
    if not all(isinstance(e, TRUSTED) for e in sympy.preorder_traversal(expr) if e.args):
        return None
    try:
        if not all(_decided(switch.xreplace(point.values)) for switch in _switches(expr)):
            return None
        there = expr.xreplace(point.values)
    except (ArithmeticError, TypeError, ValueError):
        return None
    low, high = (_evaluated(there, digits) for digits in (DIGITS, 2 * DIGITS))
    if low is None or high is None:
        return None
    with mpmath.workdps(2 * DIGITS):
        return Number(high, abs(high - low))


def _switches(expr: Expr) -> Iterator[Expr]:
    """What the value jumps at the zeros of."""
    for found in expr.atoms(Relational, sympy.sign, sympy.Heaviside):
        yield found.lhs - found.rhs if isinstance(found, Relational) else found.args[0]


def _decided(value: Expr) -> bool:
    """Whether the sign of a number is certain: 0 in disguise evaluates to a tiny number of any sign."""
    if value.is_Rational:
        return True
    found = _evaluated(value, DIGITS)
    return found is not None and abs(found) > mpmath.mpf(10) ** -20


def _evaluated(value: Expr, digits: int) -> mpmath.mpf | None:
    try:
        found = value.evalf(digits, maxn=10 * DIGITS, strict=True)
    except (sympy.core.evalf.PrecisionExhausted, ArithmeticError, TypeError, ValueError):
        return None
    if not found.is_Float and not found.is_Rational:
        return None
    with mpmath.workdps(digits):
        return found._to_mpmath(mpmath.mp.prec)


def _differ(claim: Number, truth: Number) -> bool:
    with mpmath.workdps(2 * DIGITS):
        return bool(abs(claim.value - truth.value) > truth.error + SAFETY * claim.error)


def _shown(claim: Number, truth: Number) -> tuple[str, str]:
    """Both values to as many digits as show the difference."""
    difference = abs(claim.value - truth.value)
    digits = max(6, int(mpmath.log10((1 + abs(truth.value)) / difference)) + 4)
    return mpmath.nstr(claim.value, digits), mpmath.nstr(truth.value, digits)


def _place(point: Point, values: Values) -> str:
    given = "".join(f"{symbol} = {value}, " for symbol, value in values.items())
    return f"at {given}{point}"
