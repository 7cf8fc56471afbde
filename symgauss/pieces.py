"""Split a function on the line into smooth pieces.

`pieces(Max(0, x)**2)` is breakpoints (0,) and smooth pieces (0, x²): every Abs, Max, Min, sign, Heaviside and
Piecewise is decided on the intervals between the points where it switches. The splitting goes from the
leaves of the expression to its root, so nests and functions of such things need no special care. Values at
the breakpoints themselves are dropped: a Gaussian does not see them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import Any

import sympy
from sympy import Abs, Expr, Heaviside, Integer, Max, Min, Piecewise, Poly, S, sign
from sympy.core.relational import Ge, Gt, Le, Lt, Relational
from sympy.logic.boolalg import Boolean, BooleanFunction

from symgauss.symbols import x


class NoClosedForm(Exception):
    """No closed form by these operators; the message says what stands in the way.

    Inside are polynomial × exp(quadratic) × {1, step, Φ(affine)}, sin and cos.
    """


@dataclass(frozen=True)
class Pieces:
    """smooth[i] holds between breakpoints[i−1] and breakpoints[i]; there is one more piece than breakpoint."""

    breakpoints: tuple[Expr, ...]
    smooth: tuple[Any, ...]

    def map(self, function: Callable[[Any], Any]) -> "Pieces":
        return Pieces(self.breakpoints, tuple(map(function, self.smooth)))

    def joined(self) -> "Pieces":
        """The same function without the breakpoints at which nothing changes."""
        cuts = [i for i, (a, b) in enumerate(zip(self.smooth, self.smooth[1:])) if a != b]
        return Pieces(
            tuple(self.breakpoints[i] for i in cuts),
            tuple(self.smooth[i] for i in [*cuts, len(self.breakpoints)]),
        )


class Order:
    """Which of two real expressions is the smaller, given relations between the symbols in them."""

    def __init__(self, requires: Iterable[Relational] = ()) -> None:
        slacks = []
        for relation in requires:
            if isinstance(relation, (Le, Lt)):
                slacks.append(relation.rhs - relation.lhs)
            elif isinstance(relation, (Ge, Gt)):
                slacks.append(relation.lhs - relation.rhs)
        # Sums of slacks make the order transitive: a ≤ b and b ≤ c settle a ≤ c.
        self.slacks = [sum(some, S.Zero) for k in range(1, len(slacks) + 1) for some in combinations(slacks, k)]

    def nonnegative(self, value: Expr) -> bool:
        """Whether value ≥ 0 follows from the assumptions on its symbols and from `requires`."""
        value = sympy.expand(value)
        if value.is_nonnegative:
            return True
        for slack in self.slacks:
            ratio = sympy.cancel(value / slack)
            if ratio.is_nonnegative or sympy.expand(value - slack).is_nonnegative:
                return True
        return False

    def same(self, a: Expr, b: Expr) -> bool:
        return a == b or sympy.cancel(a - b) == 0

    def weakly_less(self, a: Expr, b: Expr) -> bool:
        """True if a ≤ b, False if b ≤ a; NoClosedForm when neither follows."""
        if self.nonnegative(b - a):
            return True
        if self.nonnegative(a - b):
            return False
        raise NoClosedForm(f"cannot order breakpoints {a} and {b}; declare requires=[{a} <= {b}] or the reverse")

    def merge(self, left: Iterable[Expr], right: Iterable[Expr]) -> tuple[Expr, ...]:
        """Two sorted sequences as one, without repetition."""
        merged: list[Expr] = list(left)
        for point in right:
            if any(self.same(point, other) for other in merged):
                continue
            place = next((i for i, other in enumerate(merged) if self.weakly_less(point, other)), len(merged))
            merged.insert(place, point)
        return tuple(merged)

    def sort(self, points: Iterable[Expr]) -> tuple[Expr, ...]:
        return reduce(lambda done, point: self.merge(done, (point,)), points, ())


def pieces(expr: Expr, requires: Iterable[Relational] = ()) -> Pieces:
    """The breakpoints of `expr` in increasing order and its smooth form between them.

    Breakpoints may contain parameters when their order follows from `requires` or from the assumptions on the
    symbols (then it may be weak: a piece between a and b with a ≤ b may be empty). Raises `NoClosedForm` when
    an order is open, or when something switches where roots cannot be found exactly.

    >>> pieces(Min(Max(x, -1), 1))
    Pieces(breakpoints=(-1, 1), smooth=(-1, x, 1))
    """
    return _Splitter(Order(requires)).split(expr).joined()


class _Splitter:
    def __init__(self, order: Order) -> None:
        self.order = order

    def split(self, expr: Any) -> Pieces:
        if not expr.has(x) or not expr.has(Abs, Max, Min, sign, Heaviside, Piecewise):
            return Pieces((), (expr,))
        if isinstance(expr, Piecewise):
            return self.piecewise(expr)
        args = [self.split(a) for a in expr.args]
        if isinstance(expr, Max):
            return reduce(lambda a, b: self.choose(a, b, lambda s, p, q: p if s >= 0 else q), args)
        if isinstance(expr, Min):
            return reduce(lambda a, b: self.choose(a, b, lambda s, p, q: p if s <= 0 else q), args)
        if isinstance(expr, Abs):
            return self.choose(args[0], Pieces((), (S.Zero,)), lambda s, p, _: p if s >= 0 else -p)
        if isinstance(expr, (sign, Heaviside)):
            values = {s: expr.func(s) for s in (-1, 0, 1)}
            return self.signs(args[0], strict=True).map(values.__getitem__)
        return self.together(args).map(lambda values: expr.func(*values))

    def glue(self, points: tuple[Expr, ...], parts: list[Pieces]) -> Pieces:
        """The function that is parts[i] between points[i−1] and points[i]."""
        every = reduce(self.order.merge, (p.breakpoints for p in parts), points)
        smooth = []
        for i in range(len(every) + 1):
            part = parts[self.passed(points, every[:i])]
            smooth.append(part.smooth[self.passed(part.breakpoints, every[:i])])
        return Pieces(every, tuple(smooth))

    def passed(self, points: tuple[Expr, ...], left: tuple[Expr, ...]) -> int:
        return sum(any(self.order.same(p, q) for q in left) for p in points)

    def together(self, parts: list[Pieces]) -> Pieces:
        """Pieces of several functions as pieces of their tuple."""
        points = reduce(self.order.merge, (p.breakpoints for p in parts), ())
        columns = [self.glue(points, [p] * (len(points) + 1)) for p in parts]
        return Pieces(points, tuple(zip(*(c.smooth for c in columns))))

    def choose(self, a: Pieces, b: Pieces, pick: Callable[[int, Expr, Expr], Expr]) -> Pieces:
        """pick(sign of a − b, a, b) on every interval where that sign is constant."""
        pair = self.together([a, b])
        signs = self.signs(pair.map(lambda ab: ab[0] - ab[1]))
        return self.together([signs, pair]).map(lambda t: pick(t[0], *t[1])).joined()

    def signs(self, part: Pieces, strict: bool = False) -> Pieces:
        """The sign of a function that is a polynomial on each piece."""
        return self.glue(part.breakpoints, [self.sign_of_polynomial(g, strict) for g in part.smooth]).joined()

    def sign_of_polynomial(self, g: Expr, strict: bool) -> Pieces:
        """The sign of g(x) along the whole line: ±1 between its real roots, 0 if g is zero throughout."""
        g = sympy.expand(g)
        if not g.has(x):
            return Pieces((), (self.sign_of_constant(g, strict),))
        if not g.is_polynomial(x):
            raise NoClosedForm(f"cannot find where {g} changes sign; only polynomials in x may switch pieces")
        polynomial = Poly(g, x)
        roots = _real_roots(polynomial)
        points = self.order.sort(roots)
        # From right to left: each root of odd multiplicity turns the sign.
        signs = [self.sign_of_constant(polynomial.LC(), strict=True)]
        for point in reversed(points):
            signs.append(signs[-1] * (-1) ** roots[point])
        return Pieces(points, tuple(reversed(signs)))

    def sign_of_constant(self, value: Expr, strict: bool) -> int:
        """1, 0 or −1; without `strict`, ≥ 0 counts as 1 (a choice between equals is no choice)."""
        if value.is_zero:
            return 0
        if value.is_positive or (not strict and self.order.nonnegative(value)):
            return 1
        if value.is_negative or (not strict and self.order.nonnegative(-value)):
            return -1
        raise NoClosedForm(f"cannot tell the sign of {value}; declare it with requires=[...] or positive=True")

    def piecewise(self, expr: Piecewise) -> Pieces:
        """The first branch whose condition holds, on every interval where all conditions are settled."""
        branches = self.together([self.split(value) for value, _ in expr.args])
        truths = self.together([self.truth(condition) for _, condition in expr.args])

        def first(both: tuple[tuple[Expr, ...], tuple[bool, ...]]) -> Expr:
            for value, holds in zip(*both):
                if holds:
                    return value
            raise NoClosedForm(f"{expr} is not defined on the whole line")

        return self.together([branches, truths]).map(first)

    def truth(self, condition: Boolean) -> Pieces:
        """Where a condition holds, single points apart."""
        if condition in (sympy.true, sympy.false):
            return Pieces((), (condition == sympy.true,))
        if isinstance(condition, BooleanFunction):
            parts = self.together([self.truth(a) for a in condition.args])
            return parts.map(lambda values: bool(condition.func(*values)))
        if not isinstance(condition, Relational):
            raise NoClosedForm(f"cannot read the condition {condition}; write it with <, <=, And, Or, Not")
        signs = self.signs(self.split(condition.lhs - condition.rhs), strict=True)
        return signs.map(lambda s: bool(condition.func(Integer(s), 0)))


def _real_roots(polynomial: Poly) -> dict[Expr, int]:
    """Real roots with multiplicities, exactly, or NoClosedForm."""
    a = polynomial.all_coeffs()
    if len(a) == 2:
        return {sympy.cancel(-a[1] / a[0]): 1}
    try:
        roots = sympy.Poly(polynomial, x, domain="QQ").real_roots(multiple=False)
    except (sympy.CoercionFailed, sympy.PolynomialError):
        raise NoClosedForm(f"cannot find the real roots of {polynomial.as_expr()} exactly") from None
    return {sympy.radsimp(root): multiplicity for root, multiplicity in roots}
