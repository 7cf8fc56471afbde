"""Evidence against a formula: a rational point where it provably fails.

Numbers come from the definition, E σ(mu + sigma Z) = ∫ σ(mu + sigma z) φ(z) dz, never from the formulas of this
package: in arbitrary precision where the structure of σ is known (`quadrature`), by interval arithmetic where it
is not (`enclosure`). A point counts only when the difference is far above the error of both sides, and no
number is used that cannot be trusted, so a true formula is safe. The search ends after a few seconds.
"""

import time
from collections.abc import Iterator
from itertools import permutations

import mpmath
import sympy
from sympy import Expr, Integer, Rational
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanFunction

from symgauss.enclosure import NotEnclosed, enclosed_expectation
from symgauss.heat import heat_residual
from symgauss.normal import Reader
from symgauss.pieces import NoClosedForm
from symgauss.quadrature import DIGITS, Doubtful, expectation
from symgauss.record import Activation
from symgauss.surds import Outside
from symgauss.symbols import He, Phi, mu, phi, sigma, x

_SAFETY = 1000
_SECONDS = 3.0

# What SymPy evaluates to the digits it is asked for. Integral, Sum, Limit and the like are not among it.
_TRUSTED = (
    *(sympy.Add, sympy.Mul, sympy.Pow, sympy.exp, sympy.log, sympy.sin, sympy.cos, sympy.tan, sympy.atan),
    *(sympy.sinh, sympy.cosh, sympy.tanh, sympy.erf, sympy.erfc, Phi, phi, He),
    *(sympy.Abs, sympy.Max, sympy.Min, sympy.sign, sympy.Heaviside),
    *(sympy.Piecewise, sympy.functions.elementary.piecewise.ExprCondPair, Relational, BooleanFunction),
)

Point = tuple[Rational, Rational]


class Clock:
    """Processor time from now on: a busy machine changes no answer."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        self.end = time.process_time() + seconds

    @property
    def running(self) -> bool:
        return time.process_time() < self.end


def integral(formula: Expr, mean: Rational, std: Rational) -> tuple[mpmath.mpf, mpmath.mpf] | None:
    """E σ(mean + std·Z) from its definition, and how far off it may be; None when that cannot be said."""
    try:
        value, error = expectation(formula, mean, std)
        return value, _SAFETY * (error + mpmath.mpf(10) ** (5 - DIGITS) * (1 + abs(value)))
    except NoClosedForm:
        pass
    except (Doubtful, ArithmeticError, AttributeError, NameError, TypeError, ValueError):
        return None
    try:
        return enclosed_expectation(formula, mean, std)
    except (NotEnclosed, ArithmeticError, ValueError):
        return None


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
        assumed = (
            getattr(n, f"is_{name}") is truth for s, n in values.items() for name, truth in s.assumptions0.items()
        )
        if all(assumed) and all(c.xreplace(values) == sympy.true for c in act.conditions):
            return values
    return None


def against_heat_equation(mean: Expr, values: dict[Expr, Expr], clock: Clock) -> str | None:
    """A point where ∂M/∂sigma − sigma ∂²M/∂mu² is not zero, with its value there.

    Only for formulas in the normal form's functions: a Piecewise may be right and have wrong derivatives.
    """
    try:
        Reader([mean]).form(mean)
    except Outside:
        return None
    residual = heat_residual(mean).xreplace(values)
    for point in points(mean):
        if not clock.running:
            return None
        found = _number(residual, point)
        if found is not None and abs(found[0]) > mpmath.mpf(10) ** -20 + _SAFETY * found[1]:
            return f"{_place(point, values)} the difference is {mpmath.nstr(found[0], 6)}"
    return None


def against_definition(act: Activation, mean: Expr, values: dict[Expr, Expr], clock: Clock) -> str | None:
    """A point where the formula is not E σ(mu + sigma Z), with both values."""
    formula = act.formula.xreplace(values)
    mean = mean.xreplace(values)
    for point in points(mean):
        if not clock.running:
            return None
        claim = _number(mean, point)
        if claim is None:
            continue
        truth = integral(formula, *point)
        if truth is None:
            continue
        (claimed, doubt), (true, error) = claim, truth
        difference = abs(claimed - true)
        if difference > error + _SAFETY * doubt:
            shown = max(6, int(mpmath.log10((1 + abs(true)) / difference)) + 4)
            left, right = mpmath.nstr(claimed, shown), mpmath.nstr(true, shown)
            return f"{_place(point, values)} the formula gives {left}, the integral {right}"
    return None


def _number(expr: Expr, point: Point) -> tuple[mpmath.mpf, mpmath.mpf] | None:
    """The value of a formula at a point and its distance to the value in half as many digits."""
    if not all(isinstance(e, _TRUSTED) for e in sympy.preorder_traversal(expr) if e.args):
        return None
    place = {mu: point[0], sigma: point[1]}
    if not all(_decided(switch.subs(place)) for switch in _switches(expr)):
        return None
    low, high = (_evaluated(expr.subs(place), digits) for digits in (DIGITS, 2 * DIGITS))
    if low is None or high is None:
        return None
    with mpmath.workdps(2 * DIGITS):
        return high, abs(high - low)


def _switches(expr: Expr) -> Iterator[Expr]:
    """What the value jumps at the zeros of."""
    for found in expr.atoms(Relational, sympy.sign, sympy.Heaviside):
        yield found.lhs - found.rhs if isinstance(found, Relational) else found.args[0]


def _decided(number: Expr) -> bool:
    """Whether the sign of a number is certain: 0 in disguise evaluates to a tiny number of any sign."""
    value = number if number.is_Rational else _evaluated(number, DIGITS)
    return value is not None and (number.is_Rational or abs(value) > mpmath.mpf(10) ** -20)


def _evaluated(number: Expr, digits: int) -> mpmath.mpf | None:
    try:
        value = number.evalf(digits, maxn=10 * DIGITS, strict=True)
    except (sympy.core.evalf.PrecisionExhausted, ArithmeticError, TypeError, ValueError):
        return None
    if not value.is_Float and not value.is_Rational:
        return None
    with mpmath.workdps(digits):
        return value._to_mpmath(mpmath.mp.prec)


def _place(point: Point, values: dict[Expr, Expr]) -> str:
    where = {**values, mu: point[0], sigma: point[1]}
    return "at " + ", ".join(f"{k} = {v}" for k, v in where.items())
