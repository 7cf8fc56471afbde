"""Write a smooth function as a sum of terms c xⁿ e^{ax − qx²/2} Π Φ(αx + β): the family that has means.

erf, φ, He, sinh, cosh are rewritten; sin and cos enter as e^{iwx}, so `linear` may be complex. Everything
else is refused by name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import sympy
from sympy import Expr, I, Poly, S, exp, log, pi, sqrt

from symgauss.pieces import NoClosedForm
from symgauss.symbols import He, Phi, phi, x


class Shape(NamedTuple):
    """What a term looks like, its coefficient apart."""

    power: int = 0
    linear: Expr = S.Zero
    quadratic: Expr = S.Zero
    gates: tuple[tuple[Expr, Expr], ...] = ()

    def __mul__(self, other: "Shape") -> "Shape":  # type: ignore[override]
        return Shape(
            self.power + other.power,
            sympy.expand(self.linear + other.linear),
            sympy.expand(self.quadratic + other.quadratic),
            tuple(sorted(self.gates + other.gates, key=str)),
        )


@dataclass(frozen=True)
class Term:
    """coefficient · x^power · exp(linear·x − quadratic·x²/2) · Π Φ(αx + β) over the gates (α, β)."""

    coefficient: Expr
    power: int = 0
    linear: Expr = S.Zero
    quadratic: Expr = S.Zero
    gates: tuple[tuple[Expr, Expr], ...] = ()

    @property
    def shape(self) -> Shape:
        return Shape(self.power, self.linear, self.quadratic, self.gates)

    @property
    def expr(self) -> Expr:
        """The term as an expression in x."""
        value = self.coefficient * x**self.power * exp(self.linear * x - self.quadratic * x**2 / 2)
        for slope, offset in self.gates:
            value *= Phi(slope * x + offset)
        return value


Shapes = dict[Shape, Expr]


def terms(expr: Expr) -> tuple[Term, ...]:
    """The terms of a smooth expression, like shapes merged; `NoClosedForm` names what does not fit.

    >>> terms(x * Phi(x) + 2 * x * Phi(x))
    (Term(coefficient=3, power=1, linear=0, quadratic=0, gates=((1, 0),)),)
    """
    return tuple(_sorted_terms(_expand(expr)))


def _sorted_terms(total: Shapes) -> Iterator[Term]:
    for shape in sorted(total, key=lambda s: (len(s.gates), s.power, str(s))):
        quadratic = shape.quadratic
        if not quadratic.is_nonnegative:
            raise NoClosedForm(
                f"{exp(-quadratic * x**2 / 2)} may grow; only exp(-q*x**2/2) with q known to be ≥ 0 has a mean "
                "for every sigma"
            )
        yield Term(total[shape], *shape)


def _expand(expr: Expr) -> Shapes:
    """The sum as a dictionary shape → coefficient."""
    if not expr.has(x):
        return _one(expr)
    if expr == x:
        return {Shape(power=1): S.One}
    if expr.is_Add:
        return _add(*(_expand(a) for a in expr.args))
    if expr.is_Mul:
        return _multiply(*(_expand(a) for a in expr.args))
    if expr.is_Pow:
        return _power(*expr.args)
    argument = expr.args[-1] if expr.args else S.Zero
    if isinstance(expr, exp):
        return _exponential(argument)
    if isinstance(expr, (sympy.sin, sympy.cos)):
        # e^{±i(wx + b)} with the constant phase as cos b ± i sin b, which keeps coefficients as a + bi.
        slope, phase = _affine(expr, argument)
        up, down = (sympy.cos(phase) + s * I * sympy.sin(phase) for s in (1, -1))
        half = (up / 2, down / 2) if isinstance(expr, sympy.cos) else (up / (2 * I), -down / (2 * I))
        return _add(
            {Shape(linear=I * slope): sympy.expand(half[0])},
            {Shape(linear=-I * slope): sympy.expand(half[1])},
        )
    if isinstance(expr, (sympy.sinh, sympy.cosh)):
        return _expand(expr.rewrite(exp))
    if isinstance(expr, Phi):
        return {Shape(gates=(_affine(expr, argument),)): S.One}
    if isinstance(expr, phi):
        _affine(expr, argument)
        return _expand(exp(-(argument**2) / 2) / sqrt(2 * pi))
    if isinstance(expr, sympy.erf):
        return _expand(2 * Phi(sqrt(2) * argument) - 1)
    if isinstance(expr, sympy.erfc):
        return _expand(2 * Phi(-sqrt(2) * argument))
    if isinstance(expr, He) and expr.doit() != expr:
        return _expand(expr.doit())
    raise NoClosedForm(f"{expr} is outside polynomial × exp(quadratic) × {{1, step, Phi(affine)}}, sin and cos")


def _one(coefficient: Expr) -> Shapes:
    return {Shape(): coefficient} if coefficient != 0 else {}


def _add(*sums: Shapes) -> Shapes:
    total: Shapes = {}
    for part in sums:
        for shape, coefficient in part.items():
            total[shape] = total.get(shape, S.Zero) + coefficient
    total = {shape: sympy.expand(c) for shape, c in total.items()}
    return {shape: c for shape, c in total.items() if c != 0}


def _multiply(*sums: Shapes) -> Shapes:
    total = _one(S.One)
    for part in sums:
        total = _add(*({s * t: a * b} for s, a in total.items() for t, b in part.items()))
    return total


def _power(base: Expr, exponent: Expr) -> Shapes:
    if exponent.is_Integer and exponent.is_positive:
        return _multiply(*[_expand(base)] * int(exponent))
    if not base.has(x) and base.is_positive:
        return _exponential(exponent * log(base))
    if isinstance(base, exp):
        return _exponential(base.args[0] * exponent)
    raise NoClosedForm(f"{base**exponent} is not a polynomial or exponential factor")


def _exponential(argument: Expr) -> Shapes:
    if not argument.is_polynomial(x) or Poly(argument, x).degree() > 2:
        raise NoClosedForm(f"exp({argument}) is not the exponential of a quadratic polynomial")
    curve, slope, constant = (sympy.expand(argument).coeff(x, k) for k in (2, 1, 0))
    return {Shape(linear=slope, quadratic=-2 * curve): exp(constant)}


def _affine(expr: Expr, argument: Expr) -> tuple[Expr, Expr]:
    argument = sympy.expand(argument)
    slope, offset = argument.coeff(x, 1), argument.coeff(x, 0)
    if sympy.expand(argument - slope * x - offset) != 0:
        raise NoClosedForm(f"the argument of {expr} is not affine in x")
    return slope, offset
