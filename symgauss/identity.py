"""Exact identities: do formulas f_0, f_1, … satisfy Σ f_k w_k = truth, where w_k and truth are polynomials?

Formulas are read as polynomials with rational coefficients. Then the question is decided: either the difference is 0
in every coefficient, or it is not, and some rational point shows that. What cannot be read is tried at points.
"""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count, islice
from math import prod
from operator import mul
from typing import Any

from sympy import QQ, Expr, Integer, Pow, Rational, S, Symbol, cancel, sympify
from sympy.polys.polyerrors import BasePolynomialError
from sympy.polys.rings import PolyElement, PolyRing

from symgauss.surds import Outside
from symgauss.symbols import exact
from symgauss.verdict import Step

Point = dict[Symbol, Rational]
Formulas = tuple[Expr, ...]

_TRIES = 12
_DIGITS = 50


@dataclass(frozen=True)
class Identity:
    """Σ f_k weights[k] = truth, for all values of the symbols; `inverses` {s: w} lets 1/s in, as the generator w."""

    ring: PolyRing
    weights: Sequence[PolyElement]
    truth: PolyElement
    inverses: Mapping[Symbol, Symbol] = field(default_factory=dict)

    def difference(self, formulas: Formulas) -> Any:
        """Σ f_k weights[k] − truth, with inverses cleared; raises Outside when an f_k is not a polynomial."""
        total = -self.truth
        for formula, weight in zip(formulas, self.weights):
            total += self.read(formula) * weight
        for symbol, inverse in self.inverses.items():
            total = _cleared(total, *(self.ring.symbols.index(s) for s in (symbol, inverse)))
        return total

    def sides(self, formulas: Formulas, point: Point) -> tuple[Expr, Rational]:
        """Σ f_k weights[k] and truth at a point."""
        claimed = sum((_value(f, point) * self.at(w, point) for f, w in zip(formulas, self.weights)), S.Zero)
        return claimed, self.at(self.truth, point)

    def at(self, polynomial: Any, point: Point) -> Rational:
        """The value of a polynomial without inverses."""
        values = [point.get(symbol, S.Zero) for symbol in self.ring.symbols]
        numbers = [QQ(value.p, value.q) for value in values]
        total = sum((c * prod(v**e for v, e in zip(numbers, powers) if e) for powers, c in polynomial.terms()), QQ(0))
        return Rational(int(total.numerator), int(total.denominator))

    def read(self, formula: Expr) -> Any:
        """The formula as a polynomial of the ring."""
        try:
            return self._read(formula)
        except Outside as reason:
            return self._read(_without_denominator(formula, reason))

    @cached_property
    def _generators(self) -> dict[Symbol, Any]:
        return dict(zip(self.ring.symbols, self.ring.gens))

    def _read(self, expr: Expr) -> Any:
        if expr in self._generators:
            return self._generators[expr]
        if expr.is_Rational:
            return self.ring.ground_new(QQ(expr.p, expr.q))
        if expr.is_Add:
            total = self.ring.zero
            for term in expr.args:
                total += self._read(term)
            return total
        if expr.is_Mul:
            return prod(map(self._read, expr.args), start=self.ring.one)
        if expr.is_Pow and expr.exp.is_Integer:
            if expr.exp.is_positive:
                return self._read(expr.base) ** int(expr.exp)
            if expr.base in self.inverses:
                return self._generators[self.inverses[expr.base]] ** -int(expr.exp)
        raise Outside(str(expr))


def _without_denominator(formula: Expr, reason: Outside) -> Expr:
    """The formula in lowest terms, when its denominators vanish nowhere; else raises the reason."""
    try:
        if all(power.base.is_nonzero for power in formula.atoms(Pow) if not power.exp.is_positive):
            return cancel(formula)
    except (BasePolynomialError, NotImplementedError):
        pass
    raise reason


def _cleared(polynomial: Any, i: int, j: int) -> Any:
    """A polynomial in s = x_i and w = x_j, where w = 1/s, times the power of s that leaves no w."""
    result = polynomial.ring.zero
    highest = max((powers[j] for powers in polynomial), default=0)
    for powers, coefficient in polynomial.items():
        cleared = list(powers)
        cleared[i], cleared[j] = powers[i] - powers[j] + highest, 0
        result[tuple(cleared)] = result.get(tuple(cleared), 0) + coefficient
    result.strip_zero()
    return result


def judged(
    identity: Identity, formulas: Formulas, points: Iterator[Point], form: Step, equation: Step, truth: str
) -> tuple[Step, Step]:
    """Two steps of a proof with what became of them: the formulas are of the right form, and the identity holds.

    `points` must be endless and of growing width, so that one of them is no zero of the difference; `truth` is
    what to call the true side.
    """
    try:
        if not identity.difference(formulas):
            return form, equation
    except Outside as outside:
        form = replace(form, status="unproved", reason=f"{outside} is not of this form")
        points = islice(points, _TRIES)
    for point in points:
        claimed, true = identity.sides(formulas, point)
        if _differ(claimed, true):
            at = ", ".join(f"{symbol.name} = {value}" for symbol, value in point.items())
            reason = f"at {at} the formula gives {_shown(claimed)}, the {truth} {true}"
            return form, replace(equation, status="refuted", reason=reason)
    return form, replace(equation, status="unproved", reason="no difference at a few points")


def _value(formula: Expr, point: Point) -> Expr:
    try:
        return formula.xreplace(point)
    except ValueError:  # a symbol that is bound, by an integral for example
        return S.NaN


def _differ(claimed: Expr, true: Rational) -> bool:
    """Whether two numbers certainly differ; what has no finite value differs from nothing."""
    if claimed.is_Rational:
        return claimed != true
    difference = abs((claimed - true).evalf(_DIGITS, maxn=4 * _DIGITS))
    return difference.is_Float and difference > Rational(1, 10 ** (_DIGITS // 2)) * (1 + abs(true))


def _shown(value: Expr) -> str:
    return str(value if value.is_Rational else value.evalf(12))


def gaussians(size: int) -> Iterator[tuple[list[Rational], list[list[Rational]]]]:
    """Means and positive definite covariances, endless and ever wider."""
    for seed in count():
        draw, reach = random.Random(seed), 1 + seed // 4
        mean, *rows = ([Integer(_nonzero(draw, reach)) for _ in range(size)] for _ in range(size + 1))
        factor = [[abs(v) if j == i else v for j, v in enumerate(row[: i + 1])] for i, row in enumerate(rows)]
        yield mean, [[sum(map(mul, a, b), S.Zero) for b in factor] for a in factor]


def _nonzero(draw: random.Random, reach: int) -> int:
    return draw.choice((-1, 1)) * draw.randint(1, reach)


def checked(formula: Any, allowed: Collection[Symbol], where: str) -> Expr:
    """A formula that was handed in, exact; TypeError or ValueError when it is not an expression in those symbols."""
    if isinstance(formula, (int, float)):
        formula = sympify(formula)
    if not isinstance(formula, Expr):
        raise TypeError(f"A formula must be a SymPy expression in {where}, got {formula!r}.")
    stray = sorted(map(str, formula.free_symbols - set(allowed)))
    if stray:
        raise ValueError(f"The formula contains {', '.join(stray)}; write it in {where}.")
    return exact(formula)
