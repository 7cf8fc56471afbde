"""Evidence against a formula: a rational point where it provably fails.

Numbers come from the definition, E σ(mu + sigma Z) = ∫ σ(mu + sigma z) φ(z) dz in arbitrary precision with
the integration split at the breakpoints, never from the formulas of this package. A point counts only when
the difference is far above the error of both sides, so a true formula is safe.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import permutations

import mpmath
import sympy
from sympy import Expr, Integer, Rational

from symgauss.heat import heat_residual
from symgauss.normal import Reader
from symgauss.pieces import NoClosedForm, pieces
from symgauss.record import Activation
from symgauss.surds import Outside
from symgauss.symbols import mu, sigma, x

_DIGITS = 32
_SAFETY = 1000
_REACH = 24  # φ(24) = 3e-126

Point = tuple[Rational, Rational]


@lru_cache(maxsize=1024)
def integral(formula: Expr, mean: Rational, std: Rational) -> tuple[mpmath.mpf, mpmath.mpf]:
    """E σ(mean + std·Z) from its definition, and a bound for its error; `formula` has no symbol but x."""
    with mpmath.workdps(_DIGITS + 10):
        function = sympy.lambdify(x, formula, "mpmath")
        center, scale = mpmath.mpf(mean.p) / mean.q, mpmath.mpf(std.p) / std.q
        try:
            breakpoints = [
                (b.evalf(_DIGITS + 10)._to_mpmath(140) - center) / scale for b in pieces(formula).breakpoints
            ]
        except NoClosedForm:
            breakpoints = []

        def weighted(z: mpmath.mpf) -> mpmath.mpf:
            return function(center + scale * z) * mpmath.npdf(z)

        # The error that one rule reports assumes a smooth integrand; two rules that agree need not assume it.
        inner = [b for b in breakpoints if abs(b) < _REACH]
        grids = (range(-_REACH, _REACH + 1, step) for step in (4, 6))
        rules = [sorted({*map(mpmath.mpf, grid), *inner}) for grid in grids]
        (value, error), (other, _) = (mpmath.quad(weighted, rule, error=True) for rule in rules)
        tails = abs(weighted(mpmath.mpf(-_REACH))) + abs(weighted(mpmath.mpf(_REACH)))
        return value, error + abs(value - other) + tails + abs(value) * mpmath.mpf(10) ** -_DIGITS


def points(formula: Expr) -> Iterator[Point]:
    """Where to look: a few ordinary places, then the numbers that stand in the formula itself."""
    ordinary = [(1, 2, 1), (-3, 4, 2), (2, 1, 3), (0, 1, 1), (-1, 3, 8), (-5, 2, 1)]
    for p, q, s in ordinary:
        yield Rational(p, q), Rational(2, 1 + s) if s > 2 else Rational(s)
    numbers = {n for n in formula.atoms(Rational) if abs(n) <= 1000}
    for number in sorted(numbers | {-n for n in numbers})[:16]:
        for std in (Rational(1, 3), Rational(1)):
            yield number + std / 2, std


def values_for(act: Activation) -> dict[Expr, Expr] | None:
    """Numbers for symbolic parameters that respect their assumptions and `requires`."""
    symbols = sorted(act.formula.free_symbols - {x}, key=str)
    candidates = [Rational(-1, 2), Rational(1, 3), *map(Integer, range(2, 4 + len(symbols)))]
    for numbers in permutations(candidates, len(symbols)):
        values = dict(zip(symbols, numbers))
        assumed = all((s.is_positive is None or n > 0) and (s.is_negative is None or n < 0) for s, n in values.items())
        if assumed and all(c.xreplace(values) == sympy.true for c in act.conditions):
            return values
    return None


def against_heat_equation(mean: Expr, values: dict[Expr, Expr]) -> str | None:
    """A point where ∂M/∂sigma − sigma ∂²M/∂mu² is not zero, with its value there.

    Only for formulas in the normal form's functions: a Piecewise may be right and have wrong derivatives.
    """
    try:
        Reader([mean]).form(mean)
    except Outside:
        return None
    residual = heat_residual(mean).xreplace(values)
    for point in points(mean):
        low, high = (_number(residual, point, digits) for digits in (_DIGITS, 2 * _DIGITS))
        if low is None or high is None:
            continue
        if abs(high) > mpmath.mpf(10) ** -20 and abs(high - low) * _SAFETY < abs(high):
            return f"{_place(point, values)} the difference is {mpmath.nstr(high, 6)}"
    return None


def against_definition(act: Activation, mean: Expr, values: dict[Expr, Expr]) -> str | None:
    """A point where the formula is not E σ(mu + sigma Z), with both values."""
    formula = act.formula.xreplace(values)
    mean = mean.xreplace(values)
    for point in points(mean):
        claimed = _number(mean, point, _DIGITS)
        if claimed is None:
            continue
        try:
            true, error = integral(formula, *point)
        except (ArithmeticError, AttributeError, NameError, TypeError, ValueError):
            return None  # the activation cannot be evaluated; no evidence either way
        difference = abs(claimed - true)
        if difference > _SAFETY * (error + mpmath.mpf(10) ** (5 - _DIGITS) * (1 + abs(true))):
            shown = max(6, int(mpmath.log10((1 + abs(true)) / difference)) + 4)
            left, right = mpmath.nstr(claimed, shown), mpmath.nstr(true, shown)
            return f"{_place(point, values)} the formula gives {left}, the integral {right}"
    return None


def _number(expr: Expr, point: Point, digits: int) -> mpmath.mpf | None:
    value = expr.subs({mu: point[0], sigma: point[1]}).evalf(digits)
    if not value.is_Float and not value.is_Rational:
        return None
    with mpmath.workdps(digits):
        return value._to_mpmath(mpmath.mp.prec)


def _place(point: Point, values: dict[Expr, Expr]) -> str:
    where = {**values, mu: point[0], sigma: point[1]}
    return "at " + ", ".join(f"{k} = {v}" for k, v in where.items())
