"""How σ and its derivatives are evaluated at a point, without overflow and without cancellation.

A function of exponentials is written on each half-line in v = exp(−rate·|x|) (see `symgauss.tails`), which
never overflows and keeps its relative accuracy in the tails; 1 − v is taken from expm1. Around 0, where a
function such as x − tanh(x) would still cancel, its Taylor polynomial takes over. Everything else is written as
it stands, piece by piece.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mpmath
import sympy
from sympy import Expr, Poly, S, Symbol

from symgauss.codegen.statements import UNROLLED, Lines
from symgauss.codegen.vocabulary import accurate, lower, steady
from symgauss.pieces import Pieces, pieces
from symgauss.record import Activation
from symgauss.symbols import x
from symgauss.tails import NoTails, Tail, pole_distance, tails, v

# 1 − v, from expm1
_less = Symbol("w", nonnegative=True)
_rate = Symbol("rate", positive=True)
# x, where powers of it are multiplied by v
_near = Symbol("near_x", real=True)
# Where a Taylor polynomial takes over, in units of its radius of convergence, and its length: 4⁻³⁶ with room for
# the powers of k that eight derivatives bring.
TAYLOR_REACH, TAYLOR_TERMS = 0.25, 38
# Digits and places at which cancellation around 0 is looked for, and what is too much of it.
_DIGITS, _PLACES, _TOO_MUCH = 40, (1e-1, 1e-2, 1e-4, 1e-7), 1e-14


_HYPERBOLIC = (sympy.sinh, sympy.cosh, sympy.tanh)


@dataclass(frozen=True)
class Pointwise:
    """σ and its derivatives of an activation, for text."""

    activation: Activation

    @cached_property
    def split(self) -> Pieces:
        return pieces(self.activation.expr, self.activation.requires)

    @cached_property
    def tails(self) -> tuple[Tail, Tail] | None:
        """The two half-lines of a function without breakpoints, if it has that form."""
        return None if self.split.breakpoints else _half_lines(self.split.smooth[0])

    def value(self) -> Lines:
        """Statements that return σ(x)."""
        if self.tails is None or not self.split.smooth[0].has(sympy.exp, *_HYPERBOLIC):
            return [f"return {self._written()}"]
        return self._on_half_lines([0])

    def derivatives(self) -> Lines:
        """Statements that return σ, σ′, …, σ^(order), those of the piece that x is in."""
        orders = list(range(self.order + 1))
        return self._on_half_lines(orders) if self.tails is not None else self._on_pieces(orders)

    @cached_property
    def order(self) -> int:
        """How many derivatives are finite on both sides of every breakpoint: 8, but 1 for |x|^(3/2)."""
        return min((len(row) for row in self._heights), default=UNROLLED)

    def jumps(self) -> list[list[str]]:
        """For each breakpoint, how much σ, σ′, …, σ^(order − 1) jump there."""
        return [row[: self.order] for row in self._heights]

    @cached_property
    def _heights(self) -> list[list[str]]:
        """The jumps at each breakpoint, up to the first derivative that is infinite there."""
        found = []
        for left, right, c in zip(self.split.smooth, self.split.smooth[1:], self.split.breakpoints):
            row = []
            for k in range(UNROLLED + 1):
                sides = [sympy.diff(piece, x, k) for piece in (left, right)]
                heights = [_limit(side, c, direction) for side, direction in zip(sides, (-1, 1))]
                if any(height is None for height in heights):
                    # σ^(k) is infinite at c, so σ^(k−1) is the last to be integrated
                    row = row[: k - 1]
                    break
                row.append(_height(sympy.sympify(sides[1] - sides[0]), c, heights))
            found.append(row[:UNROLLED])
        return found

    def _written(self) -> str:
        """σ as its formula says; where it compares, NaN is passed on by hand."""
        value = lower(self.activation.expr)
        compares = self.activation.expr.has(sympy.Max, sympy.Min, sympy.Piecewise, sympy.sign)
        return f"{value} if x == x else x" if compares else value

    def _on_half_lines(self, orders: Sequence[int]) -> Lines:
        assert self.tails is not None
        far = isinstance(self.tails[0], Composed)
        sides = [
            [
                _without_cancellation(_derivative(tail, k)).xreplace(
                    {_rate: tail.rate} | ({x: _near} if k and far else {})
                )
                for k in orders
            ]
            for tail in self.tails
        ]
        exponent = _exponent(self.tails[0])
        lines = [f"v = exp({exponent})"]
        if any(f.has(_less) for side in sides for f in side):
            lines.append(f"w = -expm1({exponent})")
        if any(f.has(_near) for side in sides for f in side):
            lines.append("# farther out v is 0, and powers of x must not make it 0·∞")
            lines.append(f"near_x = min(max(x, -{_reach(self.tails[0])}), {_reach(self.tails[0])})")
        shared, (left, right) = _shared(sides)
        lines += shared
        values = [_chosen(a, b, "x < 0.0") for a, b in zip(left, right)]
        near = self._taylor(orders, values, lines)
        if near:
            reach, polynomials = near
            lines.append(f"near = abs(x) < {reach!r}")
            values = [f"{p} if near else ({value})" if p else value for p, value in zip(polynomials, values)]
        return [*lines, *_returned(values)]

    def _on_pieces(self, orders: Sequence[int]) -> Lines:
        lines: Lines = []
        for i, smooth in enumerate(self.split.smooth):
            exprs = [_derivative_as_written(steady(smooth), k) for k in orders]
            shared, (values,) = _shared([exprs])
            block = [*shared, f"return {', '.join(values)}{',' if len(values) == 1 else ''}"]
            if i < len(self.split.breakpoints):
                lines.append(f"if x <= {lower(self.split.breakpoints[i])}:")
                lines += [f"    {line}" for line in block]
            else:
                lines += block
        return lines

    def _taylor(self, orders: Sequence[int], values: list[str], lines: Lines) -> tuple[float, list[str]] | None:
        """Where the text cancels around 0: how far the Taylor polynomial reaches, and one per order that needs it."""
        if self.activation.parameters or self.tails is None or isinstance(self.tails[0], Composed):
            return None
        function = sympy.lambdify(x, self.activation.formula, "mpmath")
        distance = min(float(pole_distance(tail)) for tail in self.tails)
        if not distance < mpmath.inf:
            return None
        with mpmath.workdps(_DIGITS * 2):
            coefficients = mpmath.taylor(function, 0, TAYLOR_TERMS + UNROLLED)
        needed = [self._cancels(k, value, lines, coefficients) for k, value in zip(orders, values)]
        if not any(needed):
            return None
        polynomials = [_taylor_text(coefficients, k) if need else "" for k, need in zip(orders, needed)]
        return TAYLOR_REACH * distance, polynomials

    def _cancels(self, k: int, value: str, lines: Lines, coefficients: list) -> bool:
        for place in _PLACES:
            true = sum(mpmath.ff(n, k) * c * mpmath.mpf(place) ** (n - k) for n, c in enumerate(coefficients) if n >= k)
            if abs(_run(lines, value, place) - true) > _TOO_MUCH * abs(true):
                return True
        return False


def _half_lines(smooth: Expr) -> tuple[Tail, Tail] | None:
    try:
        return tails(smooth)
    except NoTails:
        return _of_one_polynomial(smooth)


@dataclass(frozen=True)
class Composed(Tail):
    """A tail in v = exp(−rate·|p(x)|) for an increasing polynomial p with p(0) = 0, such as the tanh of a cubic.

    Its derivatives contain the symbol `_rate` for the rate, so that their coefficients are rational.
    """

    inner: Expr = x

    def derivative(self, k: int) -> Expr:
        """By polynomials over powers of one denominator: N/Qᵐ becomes (N′Q − m N Q′)/Qᵐ⁺¹."""
        numerator, denominator = (Poly(e, x, v, _rate) for e in sympy.fraction(sympy.together(self.function)))
        slope = Poly(-self.side * _rate * sympy.diff(self.inner, x) * v, x, v, _rate)

        def along(p: Poly) -> Poly:
            return p.diff(x) + p.diff(v) * slope

        for m in range(1, k + 1):
            numerator = along(numerator) * denominator - numerator * along(denominator) * m
        return numerator.as_expr() / denominator.as_expr() ** (k + 1)


def _reach(tail: Tail) -> float:
    """Where e^{−rate·p(x)} is beneath the smallest double."""
    assert isinstance(tail, Composed)
    exponent = sympy.lambdify(x, tail.rate * tail.inner, "math")
    reach = 1.0
    while exponent(reach) < 800.0:
        reach *= 2.0
    return reach


def _of_one_polynomial(smooth: Expr) -> tuple[Tail, Tail] | None:
    """The half-lines of a function of x and of exponentials of multiples of one polynomial."""
    functions = smooth.atoms(sympy.exp, *_HYPERBOLIC)
    arguments = {f: f.args[0] for f in functions}
    inner = next(iter(sorted(arguments.values(), key=str)), S.Zero)
    if not inner.is_polynomial(x) or not inner.has(x):
        return None
    scale = Poly(inner, x).LC()
    inner = sympy.expand(inner / scale)
    if not _increasing(inner):
        return None
    multiples = {f: sympy.cancel(a / inner) for f, a in arguments.items()}
    if any(c.has(x) for c in multiples.values()):
        return None
    stands_for_p, stands_for_x = sympy.Dummy("p", real=True), sympy.Dummy("x", real=True)
    moved = smooth.xreplace({f: f.func(c * stands_for_p) for f, c in multiples.items()})
    try:
        found = tails(moved.xreplace({x: stands_for_x}).xreplace({stands_for_p: x}))
    except NoTails:
        return None
    if any(tail.function.has(x) for tail in found):
        return None
    left, right = (Composed(tail.side, tail.rate, tail.function.xreplace({stands_for_x: x}), inner) for tail in found)
    return left, right


def _increasing(p: Expr) -> bool:
    """Whether p is an odd-degree polynomial with p(0) = 0 and p′ > 0 throughout, proved by Sturm's theorem."""
    if not p.is_polynomial(x) or p.xreplace({x: S.Zero}) != 0:
        return False
    try:
        slope = Poly(sympy.diff(p, x), x, domain="QQ")
    except sympy.CoercionFailed:
        return False
    return slope.degree() > 0 and slope.count_roots() == 0


# How near to a breakpoint a one-sided limit is read off, and what is infinite there: of |x|^(−1/10) only 10⁸ is left.
_BESIDE, _INFINITE = mpmath.mpf(10) ** -80, 1e7


def _limit(piece: Expr, c: Expr, direction: int) -> mpmath.mpf | None:
    """The value of a piece right beside a breakpoint; None when it is infinite, 0 when parameters leave it open."""
    if piece.free_symbols - {x} or c.free_symbols:
        return mpmath.mpf(0)
    with mpmath.workdps(200):
        place = mpmath.mpf(sympy.N(c, 200)) + direction * _BESIDE
        try:
            value = mpmath.mpc(sympy.lambdify(x, piece, "mpmath")(place))
        except ZeroDivisionError:
            return None
        return value.real if abs(value) < _INFINITE else None


def _height(jump: Expr, c: Expr, sides: Sequence[Any]) -> str:
    """A jump as text; without parameters, numbers say what it is and whether it is 0: algebra may take minutes."""
    if jump.free_symbols - {x} or c.free_symbols:
        return lower(sympy.simplify(jump.xreplace({x: c})))
    exact = jump.xreplace({x: c})
    if exact.is_Rational:
        return lower(exact)
    number = sides[1] - sides[0]
    return repr(float(number)) if abs(number) > 1e-25 else "0"


def _chosen(left: str, right: str, test: str) -> str:
    return left if left == right else f"({left} if {test} else {right})"


def _derivative_as_written(smooth: Expr, k: int) -> Expr:
    """σ^(k) of a piece; the terms of a rational function's would cancel where it is small."""
    derivative = sympy.diff(smooth, x, k)
    return sympy.factor(derivative) if k and derivative.is_rational_function(x) else derivative


def _exponent(tail: Tail) -> str:
    """log v, for both sides."""
    inner = tail.inner if isinstance(tail, Composed) else x
    scale = "" if tail.rate == 1 else f"{lower(tail.rate)}*"
    return f"-{scale}abs({lower(inner)})"


def _derivative(tail: Tail, k: int) -> Expr:
    return tail.function if k == 0 else tail.derivative(k)


def _without_cancellation(expr: Expr) -> Expr:
    """Zeros at v = 1, that is x = 0, as powers of w = 1 − v: in each coefficient of a power of x."""
    if expr.has(sympy.log) or not expr.has(v):
        return expr
    numerator, denominator = sympy.fraction(sympy.together(expr))
    if not numerator.is_polynomial(x, v):
        return expr
    total = S.Zero
    for (i,), coefficient in Poly(numerator, x).terms():
        part, power = Poly(coefficient, v), 0
        while part.degree() > 0 and part.eval(1) == 0:
            part, power = part.quo(Poly(1 - v, v)), power + 1
        low = min(m for (m,), _ in part.terms())
        inside = sympy.horner(sympy.expand(part.as_expr() / v**low), wrt=v)
        total += x**i * v**low * _less**power * inside
    return total / denominator


def _shared(groups: list[list[Expr]]) -> tuple[Lines, list[list[str]]]:
    """Common subexpressions as statements, and the texts of what is left of each group."""
    flat = [accurate(e) for group in groups for e in group]
    replacements, reduced = sympy.cse(flat, symbols=(Symbol(f"t{i}") for i in range(10**6)), optimizations=[])
    lines = [f"{name} = {lower(value)}" for name, value in replacements]
    texts, rest = [], [lower(e) for e in reduced]
    for group in groups:
        texts.append(rest[: len(group)])
        rest = rest[len(group) :]
    return lines, texts


def _returned(values: list[str]) -> Lines:
    return [f"return {', '.join(values)}"]


def _taylor_text(coefficients: list, k: int) -> str:
    """The k-th derivative of the Taylor polynomial by Horner's rule, in x² if it is even or odd."""
    terms = {n - k: float(mpmath.ff(n, k) * c) for n, c in enumerate(coefficients) if n >= k and n - k < TAYLOR_TERMS}
    with mpmath.workdps(_DIGITS):
        present = {m: c for m, c in terms.items() if abs(c) > 1e-25}
    parities = {m % 2 for m in present}
    step = 2 if len(parities) == 1 else 1
    variable = "x*x" if step == 2 else "x"
    lowest = min(present, default=0)
    rule = "0.0"
    for m in reversed(range(lowest, max(present, default=0) + 1, step)):
        c = repr(present.get(m, 0.0))
        rule = c if rule == "0.0" else f"{c} + {variable}*({rule})"
    return f"({rule})" + "*x" * lowest


def _run(lines: Lines, value: str, place: float) -> mpmath.mpf:
    """The text, run as plain Python in doubles."""
    scope: dict = {"exp": math.exp, "expm1": math.expm1, "log1p": math.log1p, "sqrt": math.sqrt, "log": math.log}
    scope |= {"x": place}
    exec("\n".join(lines), scope)
    return mpmath.mpf(eval(value, scope))
