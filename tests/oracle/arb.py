"""SymPy expressions in rigorous ball arithmetic.

An expression in real symbols is compiled once to straight-line Python over FLINT balls (`arb`, or `acb` for
complex arguments) and evaluated at exact float64 arguments. A ball contains the true value whatever cancels
on the way, so precision is simply raised until the ball is small enough:

    radius < 2**-RELATIVE_BITS * |value|     or     |value| + radius < 2**TINY_EXPONENT   (then the value is
    0).

The closed forms of interval functions lose about k log2(s) bits at h_k, and a value that is zero by
symmetry has no relative precision at all; hence both criteria, and no fixed precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import sympy
from flint import acb, arb, ctx, fmpq

Ball = Any
"""An `arb` or an `acb`; both have the same methods."""

RELATIVE_BITS = 90
TINY_EXPONENT = -1400
"""h_k and g_k = h_k / s**k are both wanted to 1e-340, and s**k may be 1e-80."""

FIRST_PRECISION = 256
LAST_PRECISION = 1 << 17

_MEROMORPHIC = {"exp", "sin", "cos", "tan", "tanh", "sinh", "cosh", "erf", "erfc"}


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Set FLINT's working precision for the enclosed block."""
    before = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = before


class PrecisionExhausted(ArithmeticError):
    """A ball stayed too wide up to the last precision allowed."""


class Program:
    """Expressions with common subexpressions shared, ready to run on balls.

    With `analytic`, a complex ball that touches a branch cut gives a ball that is not finite, as FLINT's
    integrator wants it.

    Opaque functions are known by their name, whoever's class they are: Phi and phi are the standard normal
    distribution function and density, and those of `definitions` are here too.

    >>> import sympy
    >>> t = sympy.Symbol("t")
    >>> program = Program([sympy.sqrt(t) - 1], [t])
    >>> float(program.values([4.0])[0])
    1.0
    """

    def __init__(self, expressions: Sequence[sympy.Expr], symbols: Sequence[sympy.Symbol]):
        self._compiler = _Compiler(symbols)
        shared, results = sympy.cse([sympy.sympify(e) for e in expressions], symbols=sympy.numbered_symbols("cse_"))
        lines = [f"    {self._compiler.name(symbol)} = {self._compiler.text(e)}" for symbol, e in shared]
        returned = ", ".join(self._compiler.text(e) for e in results)
        arguments = ", ".join(self._compiler.name(symbol) for symbol in symbols)
        self.source = f"def program(R, c, analytic, {arguments}):\n" + "\n".join([*lines, f"    return [{returned}]\n"])
        namespace: dict[str, Any] = {
            "log": _log,
            "log1p": _log1p,
            "sqrt": _sqrt,
            "softplus": _softplus,
            "logistic": _logistic,
        }
        exec(self.source, namespace)
        self._function = namespace["program"]
        self._constants: dict[tuple[type, int], list[Ball]] = {}

    def __call__(self, arguments: Sequence[Ball], field: type = arb, analytic: bool = False) -> list[Ball]:
        """The balls at the current precision."""
        key = (field, ctx.prec)
        if key not in self._constants:
            self._constants[key] = [_constant(c, field) for c in self._compiler.constants]
        return [field(v) for v in self._function(field, self._constants[key], analytic, *arguments)]

    def values(self, point: Sequence[float], relative_bits: int = RELATIVE_BITS) -> list[arb]:
        """Balls of the wanted relative radius (or exact zeros) at exact float64 arguments."""
        return settled(lambda: self([arb(float(p)) for p in point]), point, relative_bits)


def settled(
    compute: Callable[[], Sequence[arb]], point: Sequence[float], relative_bits: int = RELATIVE_BITS
) -> list[arb]:
    """What `compute` finds with the precision that it needs for balls of the wanted relative radius (or exact
    zeros)."""
    bits = FIRST_PRECISION
    while bits <= LAST_PRECISION:
        with precision(bits):
            balls = [_settle(b, relative_bits) for b in compute()]
        if all(b is not None for b in balls):
            return balls
        bits *= 2
    raise PrecisionExhausted(f"no {relative_bits} good bits at {tuple(point)} with {LAST_PRECISION}-bit arithmetic")


def _settle(ball: arb, relative_bits: int) -> arb | None:
    """The ball if it is narrow enough, an exact zero if it is negligible, None if it needs more precision."""
    if not ball.is_finite():
        return None
    if ball.rad() == 0 or ball.rel_accuracy_bits() > relative_bits:
        return ball
    return arb(0) if ball.abs_upper() < arb(2) ** TINY_EXPONENT else None


def _constant(value: sympy.Expr, field: type) -> Ball:
    if value is sympy.pi:
        return field(arb.pi())
    if value is sympy.E:
        return field(arb(1).exp())
    exact = sympy.Rational(value)  # a Float is the dyadic number it stands for
    return field(fmpq(int(exact.p), int(exact.q)))


def _log(x: Ball, analytic: bool) -> Ball:
    return x.log(analytic=analytic) if isinstance(x, acb) else x.log()


def _log1p(x: Ball, analytic: bool) -> Ball:
    """log(1 + x), relatively exact for tiny x, which are far from the cut."""
    return x.log1p() if isinstance(x, arb) or x.abs_upper() < 0.5 else _log(1 + x, analytic)


def _logistic(x: Ball) -> Ball:
    """1/(1 + e^-x), in the form that wide balls suit."""
    if (x.real if isinstance(x, acb) else x) > 0:
        return 1 / (1 + (-x).exp())
    e = x.exp()
    return e / (1 + e)


def _softplus(x: Ball, analytic: bool) -> Ball:
    """log(1 + e^x). In the right half-plane, x + log(1 + e^-x) has no cuts."""
    if (x.real if isinstance(x, acb) else x) > 0:
        return x + _log1p((-x).exp(), analytic)
    return _log1p(x.exp(), analytic)


def _sqrt(x: Ball, analytic: bool) -> Ball:
    return x.sqrt(analytic=analytic) if isinstance(x, acb) else x.sqrt()


class _Compiler:
    """Text of expressions over balls; numbers go to a table, because a ball of 1/3 depends on the
    precision."""

    def __init__(self, symbols: Sequence[sympy.Symbol]):
        self._names = {symbol: f"a{i}" for i, symbol in enumerate(symbols)}
        self.constants: list[sympy.Expr] = []

    def name(self, symbol: sympy.Symbol) -> str:
        return self._names.setdefault(symbol, f"v{len(self._names)}")

    def _number(self, value: sympy.Expr) -> str:
        if value not in self.constants:
            self.constants.append(value)
        return f"c[{self.constants.index(value)}]"

    def text(self, e: sympy.Expr) -> str:
        if e.is_Symbol:
            if e not in self._names:
                raise ValueError(f"free symbol {e}")
            return self._names[e]
        if e.is_Integer and abs(int(e)) < 1 << 60:
            return f"({int(e)})" if abs(int(e)) != 1 else self._number(e)
        if e.is_Number or e in (sympy.pi, sympy.E):
            return self._number(e)
        if e.is_Add:
            return "(" + " + ".join(self.text(a) for a in e.args) + ")"
        if e.is_Mul:
            return "(" + "*".join(self.text(a) for a in e.args) + ")"
        if e.is_Pow:
            return self._power(*e.args)
        return self._call(type(e).__name__, [self.text(a) for a in e.args])

    def _power(self, base: sympy.Expr, exponent: sympy.Expr) -> str:
        twice = 2 * exponent
        if not twice.is_Integer:
            raise ValueError(f"power {exponent} is neither an integer nor a half-integer")
        n = int(twice)
        x = f"R({self.text(base)})"
        body = f"{x}**{abs(n) // 2}" if n % 2 == 0 else f"sqrt({x}, analytic)**{abs(n)}"
        return f"({body})" if n > 0 else f"(1/({body}))"

    def _call(self, name: str, arguments: list[str]) -> str:
        (x,) = arguments
        if name == "Phi":
            return f"((R({x})*(-{self._number(sympy.Rational(1, 2))}.sqrt())).erfc()/2)"
        if name == "phi":
            return f"((-R({x})**2/2).exp()/(2*{self._number(sympy.pi)}).sqrt())"
        if name == "expm1":
            return f"(R({x}).exp() - 1)"
        if name == "logistic":
            return f"logistic(R({x}))"
        if name == "softplus":
            return f"softplus(R({x}), analytic)"
        if name == "tanhshrink":
            return f"(R({x}) - R({x}).tanh())"
        if name in ("log", "log1p"):
            return f"{name}(R({x}), analytic)"
        if name not in _MEROMORPHIC:
            raise ValueError(f"no ball arithmetic for {name}")
        return f"R({x}).{name}()"


def as_fraction(ball: arb, bits: int = 200) -> Fraction:
    """The midpoint, rounded to `bits` bits and to zero below the smallest double."""
    with precision(bits):
        mantissa, exponent = (+ball).mid().man_exp()
    mantissa, exponent = int(mantissa), int(exponent)
    if mantissa == 0 or mantissa.bit_length() + exponent < -1100:
        return Fraction(0)
    return Fraction(mantissa) * Fraction(2) ** exponent


def split(ball: arb) -> tuple[float, float]:
    """(hi, lo) with value = hi (1 + lo): hi is the nearest double, lo the relative remainder."""
    exact = as_fraction(ball)
    hi = float(exact)
    return hi, float((exact - Fraction(hi)) / Fraction(hi)) if hi else 0.0


def log2_abs(ball: arb) -> float:
    """log2 |midpoint|, also far outside the range of doubles; -inf at zero."""
    mantissa, exponent = ball.mid().man_exp()
    return math.log2(abs(int(mantissa))) + int(exponent) if mantissa != 0 else -math.inf
