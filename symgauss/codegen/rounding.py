"""How far rounding may move an expression, and forms of it that rounding moves less.

The size of an expression is what it becomes when every number in it counts with its absolute value: |x| + |y| for
x − y. Rounding moves a sum by some ε times its size, however small the sum is.
"""

from collections.abc import Iterator
from functools import cache
from itertools import combinations, product

import sympy
from sympy import Abs, Add, Expr, Mul, Pow, Rational, S, Symbol

from symgauss.codegen.statements import verbatim
from symgauss.codegen.vocabulary import lower
from symgauss.symbols import mu_1, mu_2, rho, sigma_1, sigma_2

# 1 − rho² and its root, which kernels make of 1 − rho and 1 + rho
apart, root = Symbol("apart", positive=True), Symbol("root", positive=True)
_WIDTHS = (Rational(1, 1000), S.One, Rational(1000))
_CORRELATIONS = (1 - Rational(1, 10**6), Rational(1, 3), Rational(1, 10**6) - 1)


def size(expr: Expr) -> Expr:
    """Σ |…| for sums, products of sizes for products.

    >>> size(mu_1 * mu_2 - rho * sigma_1)
    sigma_1*Abs(rho) + Abs(mu_1*mu_2)
    """
    if isinstance(expr, Add):
        return Add(*map(size, expr.args))
    if isinstance(expr, Mul):
        return Mul(*map(size, expr.args))
    if isinstance(expr, Pow) and expr.exp.is_Integer and expr.exp.is_positive:
        return size(expr.base) ** expr.exp
    if isinstance(expr, (sympy.sin, sympy.cos)):
        return S.One
    return Abs(expr)


def in_one_piece(expr: Expr) -> Expr:
    """With 1 − rho² and its root as symbols."""
    square = 1 - rho**2
    return expr.xreplace({sympy.sqrt(square): root, 1 / sympy.sqrt(square): 1 / root}).xreplace({square: apart})


def steady(expr: Expr) -> Expr:
    """The expression, or what it is with rho² written as 1 − apart where that cancels less.

    >>> steady(sigma_1**2 * sigma_2**2 - rho**2 * sigma_1**2 * sigma_2**2 + 1)
    apart*sigma_1**2*sigma_2**2 + 1
    """
    expr = in_one_piece(expr)
    if expr.is_Mul:
        return Mul(*map(steady, expr.args))
    return min((expr, _reduced(expr)), key=_amplification) if expr.has(rho**2) else expr


def _reduced(expr: Expr) -> Expr:
    numerator, denominator = (_without_squares(part) for part in sympy.fraction(sympy.together(expr)))
    return numerator / sympy.factor_terms(denominator)


def _without_squares(polynomial: Expr) -> Expr:
    """rho^(2j) as (1 − apart)^j, expanded."""
    total = S.Zero
    for term in Add.make_args(sympy.expand(polynomial)):
        coefficient, power = term.as_coeff_exponent(rho)
        total += coefficient * (1 - apart) ** (power // 2) * rho ** (power % 2)
    return sympy.expand(total)


def _amplification(expr: Expr) -> float:
    """The largest size over absolute value of a factor, for wide, narrow and nearly parallel variables."""
    worst = 0.0
    for factor in Mul.make_args(expr):
        ratio = size(factor) / Abs(factor)
        for point in _points(tuple(sorted(factor.free_symbols, key=str))):
            worst = max(worst, float(ratio.xreplace(point).evalf(30)))
    return worst


@cache
def _points(symbols: tuple[Symbol, ...]) -> list[dict[Symbol, Expr]]:
    other = {s: Rational(7 + i, 5) for i, s in enumerate(symbols)}
    points = []
    for a, b, r in product(_WIDTHS, _WIDTHS, _CORRELATIONS):
        special = {sigma_1: a, sigma_2: b, rho: r, apart: 1 - r * r, root: sympy.sqrt(1 - r * r)}
        means = {mu_1: S.One, mu_2: Rational(11, 10)}
        points.append({**other, **special, **means})
    return points


def with_squares(expr: Expr) -> Expr:
    """x² + y² − 2 rho x y in every sum as a call of `quadratic`, which does not cancel.

    >>> with_squares(2 * rho * sigma_1 * sigma_2 - sigma_1**2 - sigma_2**2)
    -quadratic(sigma_1, sigma_2, less, more)
    """
    if not expr.args:
        return expr
    expr = expr.func(*map(with_squares, expr.args))
    while isinstance(expr, Add) and (found := next(_squares(expr), None)):
        expr = found
    return expr


def _squares(total: Expr) -> Iterator[Expr]:
    """The sum with three of its terms joined."""
    for cross in total.args:
        mixed, power = cross.as_coeff_exponent(rho)
        if power != 1:
            continue
        for one, two in combinations([a for a in total.args if not a.has(rho)], 2):
            if sympy.expand(4 * one * two - mixed**2) != 0:
                continue
            scale = one.as_coeff_Mul()[0]
            x, y = (sympy.sqrt(sympy.cancel(part / scale)) for part in (one, two))
            x, y = (v.replace(Abs, lambda a: a) for v in (x, y))
            sign = sympy.cancel(-mixed / (2 * scale * x * y))
            if sign in (1, -1):
                call = verbatim(f"quadratic({lower(x)}, {lower(sign * y)}, less, more)")
                yield total - one - two - cross + scale * Symbol(call.name, nonnegative=True)
