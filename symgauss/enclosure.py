"""E σ(mean + std·Z) between two numbers, rigorously, when nothing is known of σ but its expression.

The line is cut into cells, σ of a cell is enclosed in interval arithmetic, and the probabilities of the cells
weigh the enclosures. Only bounded functions get a useful answer, and no spike can be missed.
"""

from itertools import pairwise
from typing import Any

import mpmath
import sympy
from mpmath import iv, mpf
from sympy import Expr, Rational

from symgauss.symbols import x

_CELLS = 600
_REACH = 9  # Φ(−9) = 1e-19


class NotEnclosed(Exception):
    """An expression for which no interval is known; the message names it."""


def enclosed_expectation(formula: Expr, mean: Rational, std: Rational) -> tuple[mpf, mpf]:
    """A number and its largest distance to E σ(mean + std·Z); `formula` has no symbol but x."""
    inner = [mpf(_REACH * (2 * k - _CELLS)) / _CELLS for k in range(_CELLS + 1)]
    total = iv.mpf(0)
    for low, high in pairwise([mpmath.ninf, *inner, mpmath.inf]):
        cell = iv.mpf(mean.p) / mean.q + iv.mpf(std.p) / std.q * iv.mpf([low, high])
        with mpmath.workdps(40):
            # 40 digits rounded outward to 15: the weight itself is an interval.
            weight = mpmath.ncdf(high) - mpmath.ncdf(low)
            weight = iv.mpf([weight * (1 - mpf(10) ** -12), weight * (1 + mpf(10) ** -12)])
        total += weight * enclose(formula, cell)
    low, high = mpf(total.a), mpf(total.b)
    if not mpmath.isfinite(high - low):
        raise NotEnclosed(f"{formula} may be unbounded")
    return (low + high) / 2, (high - low) / 2


def enclose(expr: Expr, cell: Any) -> Any:
    """An interval that holds all values of `expr` for x in the interval `cell`."""
    if expr == x:
        return cell
    if expr.is_Rational:
        return iv.mpf(expr.p) / expr.q  # type: ignore[attr-defined]
    args = [enclose(a, cell) for a in expr.args]
    if expr.is_Add:
        return sum(args[1:], args[0])
    if expr.is_Mul:
        product = args[0]
        for factor in args[1:]:
            product *= factor
        return product
    if expr.is_Pow and (2 * expr.args[1]).is_Integer and (expr.args[1].is_Integer or args[0].a >= 0):
        base, exponent = args[0], expr.args[1]
        power = base ** abs(exponent.p) if exponent.is_Integer else iv.sqrt(base) ** abs(exponent.p)
        return power if exponent.is_positive else 1 / power
    if isinstance(expr, sympy.exp):
        return iv.exp(args[0])
    if isinstance(expr, sympy.log) and args[0].a > 0:
        return iv.log(args[0])
    if isinstance(expr, sympy.tanh):
        return 1 - 2 / (1 + iv.exp(2 * args[0]))
    if isinstance(expr, (sympy.sin, sympy.cos)) and mpmath.isfinite(mpf(args[0].delta)):
        return iv.sin(args[0]) if isinstance(expr, sympy.sin) else iv.cos(args[0])
    if isinstance(expr, (sympy.sin, sympy.cos)):
        return iv.mpf([-1, 1])
    raise NotEnclosed(f"no interval for {expr}")
