"""Activations built from exponentials of x, as power series in v = exp(−rate·|x|) on either half-line.

Sigmoids, tanh, softplus, SiLU, mish and their like are, for x < 0 and for x > 0 apart,

    σ(x) = F(x, v),   v = exp(−rate·|x|),   F(x, v) = p_0(x) + Σ_{j≥1} p_j(x) v^j

with polynomials p_j and F analytic in v on 0 ≤ v ≤ 1. `tails` finds F: a sum over products of logarithms

    F = Σ_b N_b(x, v) / Π_i D_i(v)^{m_bi} · Π_i (log D_i(v))^{b_i},   D_i(0) = 1,   D_i > 0 on 0 ≤ v ≤ 1,

and everything else (series, derivatives, singularities) is read off that form by polynomial arithmetic.
As D_i(0) = 1, a logarithm is best evaluated as log1p(D_i(v) − 1).

>>> [tail.function for tail in tails(x / (1 + sympy.exp(-x)))]
[v*x/(v + 1), x/(v + 1)]
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import gcd, lcm, prod
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Dummy, Expr, Float, I, Poly, Pow, S, Symbol, exp, log

from symgauss.symbols import He, exact, x

v = Symbol("v", positive=True)

# Exponents of v beyond this come from rates that are hardly commensurable (exp(-x) next to exp(-1.001*x)).
MAX_POWER = 128

_HYPERBOLIC = (sympy.sinh, sympy.cosh, sympy.tanh, sympy.coth, sympy.sech, sympy.csch)
_SWITCHES = (sympy.Abs, sympy.Max, sympy.Min, sympy.sign, sympy.Heaviside, sympy.Piecewise)

Powers = tuple[int, ...]


class NoTails(Exception):
    """The function is no power series in exp(−rate·|x|) on a half-line; the message says what stands in the way."""


@dataclass(frozen=True)
class Tail:
    """A function on one half-line: σ(x) = function(x, v) with v = exp(−rate·|x|), for side·x > 0.

    >>> Tail(1, S.One, sympy.log(1 + v) + x).asymptote
    x
    """

    side: int
    rate: Expr
    function: Expr

    @property
    def asymptote(self) -> Expr:
        """p_0(x), what σ(x) approaches exponentially fast."""
        return self.term(0)

    @property
    def remainder(self) -> Expr:
        """F − p_0 without cancellation as v → 0.

        >>> tails(sympy.tanh(x))[1].remainder
        -2*v/(v + 1)
        """
        form = _form(self)
        constant = (0,) * len(form.factors)
        parts = dict(form.parts)
        if constant in parts:
            numerator, powers = parts[constant]
            limit = _from_terms({m: c for m, c in numerator.rep.terms() if m[1] == 0}, numerator)
            parts[constant] = (numerator - limit * form.product(powers), powers)
        return _render(_Form(form.gens, form.factors, parts))

    def term(self, j: int) -> Expr:
        """p_j(x), the coefficient of v^j.

        >>> [tails(sympy.log(1 + sympy.exp(x)))[1].term(j) for j in range(4)]
        [x, 1, -1/2, 1/3]
        """
        if j < 0:
            raise ValueError(f"term(j) needs j ≥ 0, got {j}.")
        # Lengths in powers of two: asking for one term after the other builds a handful of series.
        return _series(self, 1 << max(3, j.bit_length()))[j]

    def derivative(self, k: int) -> Expr:
        """F_k(x, v) with σ^(k)(x) = F_k(x, exp(−rate·|x|)), k ≥ 1: d/dx is ∂_x − side·rate·v ∂_v.

        Powers of v and of 1 − v stand in front and the rest is one numerator over powers of the D_i, so that
        the relative accuracy survives v → 0, and where σ is odd or even also x → 0. Only a logarithm and a
        fraction whose leading powers of v cancel, as in log(1 + v) − v, keep an absolute error of order ε·v.

        >>> tails(sympy.tanh(x))[1].derivative(2)
        -8*v*(1 - v)/(v + 1)**3
        """
        if k < 1:
            raise ValueError(f"derivative(k) needs k ≥ 1, got {k}.")
        return _render(_derivative(self, k))


def tails(expr: Expr) -> tuple[Tail, Tail]:
    """The function on x < 0 and on x > 0 as `Tail`s; `NoTails` with the reason if it is no such function.

    Inside are sums, products, integer powers and quotients of polynomials in x, exponentials and hyperbolic
    functions of linear arguments with commensurable rates, and logarithms of such quotients; x itself may
    not be in a denominator or inside a logarithm. The rate is the largest one for which F is analytic.

    >>> left, right = tails(sympy.log(1 + sympy.exp(x)))
    >>> left.function, right.function
    (log(v + 1), x + log(v + 1))
    """
    expr = _in_exponentials(exact(sympy.sympify(expr)))
    rate = _common_rate(expr)
    return _tail(expr, -1, rate), _tail(expr, 1, rate)


def pole_distance(tail: Tail) -> Expr | float:
    """How far from the real axis the nearest singularity of σ is: min |arg v_i|/rate over all zeros v_i of the D_i.

    exp(∓rate·x) = v_i has the solutions Im x = (arg v_i + 2πn)/rate. Exact for zeros of polynomials of
    degree ≤ 2, a float else; oo when there is none.

    >>> pole_distance(tails(x * sympy.tanh(sympy.log(1 + sympy.exp(x))))[0])
    3*pi/4
    """
    angles = [a for factor in _form(tail).used() for a in _angles(factor)]
    if not angles:
        return sympy.oo
    nearest = min(angles, key=float)
    return sympy.simplify(nearest / tail.rate) if isinstance(nearest, Expr) else nearest / float(tail.rate)


# From an expression in exp to the form over x, v and logarithms.


@dataclass(frozen=True)
class _Form:
    """Σ_b N_b/Π D_i^{m_bi} · Π (log D_i)^{b_i}: parts maps b to (N_b, m_b); the D_i are in `factors`.

    All are polynomials over the rationals in `gens`: x, v, and the irrational constants as symbols of their
    own. That √2² = 2 comes in when the expression is written; a derivative or a series needs no more.
    """

    gens: tuple[Expr, ...]
    factors: tuple[Poly, ...]
    parts: dict[Powers, tuple[Poly, Powers]]

    def poly(self, expr: Expr | int) -> Poly:
        return Poly(expr, *self.gens, domain=sympy.QQ)

    def product(self, powers: Powers) -> Poly:
        return prod((d**m for d, m in zip(self.factors, powers) if m), start=self.poly(1))

    def reduced(self, numerator: Poly, powers: Powers) -> tuple[Poly, Powers]:
        """The same fraction in lowest terms."""
        left = list(powers)
        for i, factor in enumerate(self.factors):
            while left[i]:
                quotient, rest = numerator.div(factor)
                if not rest.is_zero:
                    break
                numerator, left[i] = quotient, left[i] - 1
        return numerator, tuple(left)

    def used(self) -> list[Poly]:
        """The factors that are in a denominator or a logarithm."""
        return [d for i, d in enumerate(self.factors) if any(b[i] or m[i] for b, (_, m) in self.parts.items())]


def _tail(expr: Expr, side: int, rate: Expr) -> Tail:
    form = _Reader(side, rate).read(expr)
    # tanh has exponents of 2x only: F is a function of v², and with v² for v its series is half as long.
    used = form.used()
    step = gcd(*(m[1] for p in [*used, *(n for n, _ in form.parts.values())] for m in p.monoms())) or 1
    factors = tuple(_in_v(d, lambda n: n // step) if d in used else d for d in form.factors)
    parts = {b: (_in_v(n, lambda n: n // step), m) for b, (n, m) in form.parts.items()}
    return Tail(side, rate * step, _render(_Form(form.gens, factors, parts)))


def _in_v(poly: Poly, exponent: Callable[[int], int]) -> Poly:
    """The polynomial with other exponents of v."""
    return _from_terms({(a, exponent(n), *c): value for (a, n, *c), value in poly.rep.terms()}, poly)


def _from_terms(terms: dict[Powers, Any], like: Poly) -> Poly:
    return Poly.from_dict(terms, *like.gens, domain=like.domain)


@cache
def _form(tail: Tail) -> _Form:
    return _Reader(tail.side, tail.rate).read(tail.function)


def _in_exponentials(expr: Expr) -> Expr:
    """Hyperbolic functions and powers of constants as exponentials, from the leaves to the root."""
    if not expr.args or not expr.has(x):
        return expr
    if isinstance(expr, _SWITCHES):
        raise NoTails(f"{expr} is not smooth; split the function with symgauss.pieces first")
    if isinstance(expr, He):
        expr = expr.doit()
    args = [_in_exponentials(a) for a in expr.args]
    if isinstance(expr, Pow) and args[1].has(x) and not args[0].has(x):
        return exp(args[1] * log(args[0]), evaluate=False)
    if not isinstance(expr, _HYPERBOLIC):
        return expr.func(*args)
    square, once = exp(2 * args[0]), exp(args[0])
    return {
        sympy.sinh: (square - 1) / (2 * once),
        sympy.cosh: (square + 1) / (2 * once),
        sympy.tanh: (square - 1) / (square + 1),
        sympy.coth: (square + 1) / (square - 1),
        sympy.sech: 2 * once / (square + 1),
        sympy.csch: 2 * once / (square - 1),
    }[type(expr)]


def _common_rate(expr: Expr) -> Expr:
    """The largest positive number of which all rates of x in the exponentials are integer multiples."""
    if expr.has(I):
        raise NoTails(f"{expr} is not real")
    slopes = {slope for node in expr.atoms(exp) for slope in _slopes(node)}
    rates = sorted({-s if s.could_extract_minus_sign() else s for s in slopes}, key=str)
    if not rates:
        return S.One
    unit = rates[0] if rates[0].is_positive else -rates[0]
    if not unit.is_positive:
        raise NoTails(f"cannot tell the sign of the rate {rates[0]}; declare its symbols positive")
    multiples = [_ratio(rate, unit) for rate in rates]
    common = sympy.Rational(gcd(*(q.p for q in multiples)), lcm(*(q.q for q in multiples)))
    if max(abs(q / common) for q in multiples) > MAX_POWER:
        raise NoTails(
            f"the rates {', '.join(map(str, rates))} have no common part worth a series: "
            f"as multiples of {unit * common} they exceed {MAX_POWER}"
        )
    return unit * common


def _slopes(node: Expr) -> Iterator[Expr]:
    """The rate of x in one exponential, logarithms in its argument apart."""
    if not node.has(x):
        return
    linear = S.Zero
    for term in sympy.Add.make_args(sympy.expand(node.args[0])):
        factors = sympy.Mul.make_args(term)
        logs = [f for f in factors if isinstance(f, log) and f.has(x)]
        if len(logs) == 1 and not (term / logs[0]).has(x):
            continue
        linear += term
    slope = linear.coeff(x, 1)
    if sympy.expand(linear - slope * x).has(x):
        raise NoTails(f"{node} is not the exponential of a linear function of x")
    if slope != 0:
        yield slope


def _ratio(rate: Expr, unit: Expr) -> sympy.Rational:
    ratio = sympy.radsimp(rate / unit)
    if not ratio.is_Rational:
        ratio = sympy.simplify(ratio)
    if not ratio.is_Rational:
        raise NoTails(f"the rates {unit} and {rate} are not commensurable: no power series in one exponential")
    return ratio


class _Reader:
    """Reads an expression in exp(±rate·x·n), or in v, on one side of 0."""

    def __init__(self, side: int, rate: Expr) -> None:
        self.side, self.rate = side, rate
        self.factors: list[Poly] = []
        self.logs: list[Dummy] = []

    def read(self, expr: Expr) -> _Form:
        numerator, denominator = _fraction(self.convert(expr), x, v, *self.logs)
        inside = _symbols(denominator)
        if inside - {v}:
            what = "x is" if x in inside else "a logarithm is"
            raise NoTails(f"{what} in a denominator outside an exponential {self.where()}")
        powers, shift, constant = self.factor(_poly(denominator.as_expr(), v))
        if shift:
            self.refuse_pole(numerator, shift)
        # Factors found in the denominator have no logarithm in the numerator: pad the exponents with zeros.
        pad = (0,) * (len(self.factors) - (len(numerator.gens) - 2))
        split: dict[Powers, Expr] = {}
        for (a, n, *b), c in numerator.terms():
            key = (*b, *pad)
            split[key] = split.get(key, S.Zero) + c / constant * x**a * v**n
        polys = _over_rationals([d.as_expr() for d in self.factors] + list(split.values()), self.rate)
        form = _Form(polys[-1].gens, tuple(polys[: len(self.factors)]), {})
        for b, poly in zip(split, polys[len(self.factors) :]):
            form.parts[b] = form.reduced(poly, powers)
        return form

    def refuse_pole(self, numerator: Poly, shift: int) -> None:
        if _symbols(numerator) & set(self.logs):
            raise NoTails(f"exp({self.of_x(shift)}) multiplies a logarithm {self.where()}: no series at v = 0")
        raise NoTails(f"the function grows like exp({self.of_x(shift)}) {self.where()}")

    def where(self) -> str:
        return f"for x {'>' if self.side > 0 else '<'} 0"

    def of_x(self, n: int) -> Expr:
        """log v^{−n}."""
        return n * self.side * self.rate * x

    def convert(self, expr: Expr) -> Expr:
        """An expression rational in x, v and the symbols of the logarithms."""
        if not expr.has(x, v) or expr in (x, v):
            return expr
        if expr.is_Add or expr.is_Mul:
            return expr.func(*map(self.convert, expr.args))
        if isinstance(expr, exp):
            return self.exponential(expr, self.convert(expr.args[0]))
        if isinstance(expr, log):
            return self.logarithm(expr, self.convert(expr.args[0]))
        if expr.is_Pow and expr.exp.is_Integer and (abs(expr.exp) <= MAX_POWER or expr.base in (x, v)):
            return self.convert(expr.base) ** expr.exp
        raise NoTails(f"{expr} is no quotient of polynomials in x and exponentials, nor a logarithm of one")

    def exponential(self, expr: Expr, argument: Expr) -> Expr:
        """exp(ax + b + Σ n_i log D_i) = e^b v^{∓a/rate} Π D_i^{n_i}."""
        refusal = NoTails(f"{expr} is not the exponential of a linear function of x")
        argument = sympy.expand(argument)
        slope = argument.coeff(x, 1)
        powers = [argument.coeff(ell, 1) for ell in self.logs]
        rest = sympy.expand(argument - slope * x - sum(n * ell for n, ell in zip(powers, self.logs)))
        if rest.has(x, v, *self.logs) or any(n.has(x, v, *self.logs) for n in (slope, *powers)):
            raise refusal
        if not all(n.is_Integer for n in powers):
            raise NoTails(f"{expr} is a broken power of a sum of exponentials")
        shift = S.Zero if slope == 0 else -self.side * _ratio(slope, self.rate)
        if not shift.is_Integer:
            raise NoTails(f"{expr} is a broken power of a sum of exponentials")
        return exp(rest) * v**shift * prod((d.as_expr() ** n for d, n in zip(self.factors, powers)), start=S.One)

    def logarithm(self, expr: Expr, argument: Expr) -> Expr:
        """log(c v^n Π D_i^{m_i}) = log c − n·side·rate·x + Σ m_i log D_i."""
        numerator, denominator = _fraction(argument, x, v, *self.logs)
        if (_symbols(numerator) | _symbols(denominator)) - {v}:
            raise NoTails(f"{expr} has x outside an exponential, or a logarithm, inside a logarithm")
        total, constant = S.Zero, S.One
        for poly, sign in ((numerator, 1), (denominator, -1)):
            powers, shift, value = self.factor(_poly(poly.as_expr(), v))
            constant *= value**sign
            total += sign * (sum(m * ell for m, ell in zip(powers, self.logs)) - self.of_x(shift))
        if not constant.is_positive:
            if constant.is_negative:
                raise NoTails(f"{expr} is the logarithm of a negative number {self.where()}")
            raise NoTails(f"cannot tell the sign of the argument of {expr} {self.where()}")
        return total + log(constant)

    def factor(self, poly: Poly) -> tuple[Powers, int, Expr]:
        """poly = c v^n Π D_i^{m_i} as (m, n, c); new D_i become factors, after a look at their zeros."""
        shift = min((n for (n,) in poly.monoms()), default=0)
        poly = _from_terms({(n - shift,): c for (n,), c in poly.rep.terms()}, poly)
        constant = poly.eval(0)
        powers = [0] * len(self.factors)
        if poly.degree() <= 0:
            return tuple(powers), shift, constant
        for part, multiplicity in poly.factor_list()[1]:
            part = _scaled(part, 1 / part.eval(0))
            if part not in self.factors:
                self.check(part)
                self.factors.append(part)
                self.logs.append(Dummy(f"log_{len(self.logs)}", real=True))
                powers.append(0)
            powers[self.factors.index(part)] += multiplicity
        return tuple(powers), shift, constant

    def check(self, part: Poly) -> None:
        """No zero on 0 < v ≤ 1, or there were a singularity at a real x."""
        zero = _zero_between_0_and_1(part)
        if zero is not None:
            at = sympy.N(-self.side * log(zero) / self.rate, 4)
            raise NoTails(f"a denominator or the argument of a logarithm vanishes at x = {at}")


def _fraction(expr: Expr, *gens: Symbol) -> tuple[Poly, Poly]:
    """Numerator and denominator in lowest terms, as polynomials in the symbols."""
    top, bottom = (_poly(part, *gens) for part in sympy.fraction(sympy.together(expr)))
    return top.cancel(bottom, include=True)


def _poly(expr: Expr, *gens: Symbol) -> Poly:
    """A polynomial with coefficients in a field: numbers such as √2 by their equation, π or e as symbols."""
    poly = Poly(expr, *gens, field=True, extension=True)
    if not poly.domain.is_EX:
        return poly
    # √2 next to e: both as symbols. A cancellation by √2² = 2 may be missed; arithmetic in EX takes minutes.
    symbols = [g for g in Poly(expr).gens if g not in gens]
    return Poly(expr, *gens, domain=sympy.QQ.frac_field(*symbols))


def _over_rationals(exprs: list[Expr], rate: Expr) -> list[Poly]:
    """Polynomials in x, v and the irrational constants; one more than asked for, the rate."""
    exprs = [sympy.expand(e) for e in (*exprs, rate)]
    _, options = sympy.parallel_poly_from_expr([*exprs, x + v])
    gens = (x, v, *(g for g in options.gens if g not in (x, v)))
    return [Poly(e, *gens, domain=sympy.QQ) for e in exprs]


def _scaled(poly: Poly, factor: Expr) -> Poly:
    return poly if factor == 1 else poly * _poly(factor, *poly.gens)


def _symbols(poly: Poly) -> set[Symbol]:
    """The generators that are in the polynomial."""
    return {g for g, degree in zip(poly.gens, poly.degree_list()) if degree > 0}


def _zero_between_0_and_1(poly: Poly) -> Expr | None:
    """A zero of the polynomial on 0 ≤ v ≤ 1, or None. Rational coefficients: by Sturm's theorem."""
    coefficients = poly.all_coeffs()
    if all(c.is_nonnegative for c in coefficients):  # and the last one is 1
        return None
    if not all(c.is_number for c in coefficients):
        raise NoTails(f"cannot tell whether {poly.as_expr()} vanishes for 0 < v <= 1")
    if all(c.is_Rational for c in coefficients) and not poly.count_roots(0, 1):
        return None
    # A margin far above the error of the roots: rather a refusal too many than a singularity unseen.
    near = [r.real for r in _roots(poly) if abs(r.imag) < 1e-12 and -1e-12 < r.real < 1 + 1e-12]
    return None if not near else S.One if abs(near[0] - 1) < 1e-12 else Float(near[0], 15)


def _roots(poly: Poly) -> list[mpmath.mpc]:
    """The zeros to about 50 digits; those of an irreducible polynomial are simple."""
    with mpmath.workdps(60):
        coefficients = [sympy.N(c, 60)._to_mpmath(220) for c in poly.all_coeffs()]
        if poly.degree() <= 16:
            return [mpmath.mpc(r) for r in mpmath.polyroots(coefficients, maxsteps=500, extraprec=400)]
        # polyroots takes half a minute for degree 126; Newton's steps from double precision take none.
        return [_newton(coefficients, mpmath.mpc(r)) for r in np.roots([float(c) for c in coefficients])]


def _newton(coefficients: list[mpmath.mpf], root: mpmath.mpc) -> mpmath.mpc:
    for _ in range(6):
        value, slope = mpmath.polyval(coefficients, root, derivative=True)
        root -= value / slope
    return root


def _angles(factor: Poly) -> Iterator[Expr | float]:
    """|arg| of the zeros of a factor."""
    poly = _poly(factor.as_expr(), v)
    a, b = poly.coeff_monomial(v**2), poly.coeff_monomial(v)
    if poly.degree() == 1:
        yield sympy.pi if b.is_positive else S.Zero
    elif poly.degree() == 2 and (b**2 - 4 * a).is_negative:
        # 1 + bv + av² has zeros of modulus 1/√a and real part −b/(2a).
        yield sympy.acos(sympy.radsimp(-b / (2 * sympy.sqrt(a))))
    else:
        yield from (float(abs(mpmath.arg(root))) for root in _roots(poly))


# Series, derivatives and the way back to an expression.


@cache
def _series(tail: Tail, length: int) -> tuple[Expr, ...]:
    """p_0, …, p_{length−1}."""
    form = _form(tail)
    total = [form.poly(0)] * length
    for b, (numerator, powers) in form.parts.items():
        part = _coefficients(numerator, length)
        for factor, n, m in zip(form.factors, b, powers):
            d = _coefficients(factor, length)
            for _ in range(m):
                part = _quotient(part, d)
            for _ in range(n):
                part = _product(part, _logarithm(d))
        total = [p + q for p, q in zip(total, part)]
    return tuple(sympy.expand(p.as_expr()) for p in total)


def _coefficients(poly: Poly, length: int) -> list[Poly]:
    """The coefficients of v⁰, v¹, …"""
    split: list[dict[Powers, Any]] = [{} for _ in range(length)]
    for (a, n, *c), value in poly.rep.terms():
        if n < length:
            split[n][a, 0, *c] = value
    return [_from_terms(terms, poly) for terms in split]


def _product(a: list[Poly], b: list[Poly]) -> list[Poly]:
    return [_sum([a[k] * b[n - k] for k in range(n + 1)], a[0]) for n in range(len(a))]


def _quotient(a: list[Poly], d: list[Poly]) -> list[Poly]:
    """a/d for d_0 = 1: q_n = a_n − Σ_{k≥1} d_k q_{n−k}."""
    q: list[Poly] = []
    for n, value in enumerate(a):
        q.append(value - _sum([d[k] * q[n - k] for k in range(1, n + 1) if not d[k].is_zero], value))
    return q


def _sum(polys: list[Poly], like: Poly) -> Poly:
    return sum(polys, _from_terms({}, like))


def _logarithm(d: list[Poly]) -> list[Poly]:
    """log d for d_0 = 1: n times its n-th coefficient is the n-th of v d′/d."""
    slopes = _quotient([c * n for n, c in enumerate(d)], d)
    return [c * sympy.Rational(1, max(n, 1)) for n, c in enumerate(slopes)]


@cache
def _derivative(tail: Tail, k: int) -> _Form:
    """d/dx of the form of F_{k−1}, part by part."""
    before = _form(tail) if k == 1 else _derivative(tail, k - 1)
    factors, sizes = before.factors, range(len(before.factors))
    speed = before.poly(-tail.side * sympy.expand(tail.rate) * v)
    slopes = [speed * d.diff(v) for d in factors]
    collected: dict[Powers, list[tuple[Poly, Powers]]] = {}
    for b, (n, m) in before.parts.items():
        # (N/ΠD^m)′ = ((N_x + θN) Π_i D_i − N Σ_i m_i θD_i Π_{j≠i} D_j) / Π_i D_i^{m_i+1}, over i with m_i > 0.
        present = [i for i in sizes if m[i]]
        top = (n.diff(x) + speed * n.diff(v)) * prod((factors[i] for i in present), start=before.poly(1))
        for i in present:
            others = prod((factors[j] for j in present if j != i), start=before.poly(1))
            top -= n * slopes[i] * others * m[i]
        collected.setdefault(b, []).append((top, tuple(p + (p > 0) for p in m)))
        for i in sizes:
            if b[i]:  # (log D)^b gives b (log D)^{b−1} θD/D
                lower = tuple(p - (j == i) for j, p in enumerate(b))
                raised = tuple(p + (j == i) for j, p in enumerate(m))
                collected.setdefault(lower, []).append((n * slopes[i] * b[i], raised))
    return _Form(before.gens, factors, {b: _added(before, some) for b, some in collected.items()})


def _added(form: _Form, fractions: list[tuple[Poly, Powers]]) -> tuple[Poly, Powers]:
    common = tuple(map(max, zip(*(m for _, m in fractions)))) if form.factors else ()
    total = form.poly(0)
    for n, m in fractions:
        total += n * form.product(tuple(c - p for c, p in zip(common, m)))
    return form.reduced(total, common)


def _render(form: _Form) -> Expr:
    """The expression: powers of x that need no denominator apart, the others over one denominator."""
    total = S.Zero
    for b, (numerator, powers) in form.parts.items():
        logs = prod((log(d.as_expr()) ** n for d, n in zip(form.factors, b) if n), start=S.One)
        whole = broken = form.poly(0)
        for row in _rows(numerator, 0):
            plain, left = form.reduced(row, powers)
            whole, broken = (whole, broken + row) if any(left) else (whole + plain, broken)
        broken, left = form.reduced(broken, powers)
        below = S.One
        for factor, m in zip(form.factors, left):
            multiple, factor = factor.clear_denoms()
            broken, below = broken * multiple**m, below * factor.as_expr() ** m
        total += logs * _pulled(whole) + logs * _pulled(broken) / below
    return total


def _rows(poly: Poly, place: int) -> list[Poly]:
    """The polynomial by powers of one generator, from the lowest."""
    split: dict[int, dict[Powers, Any]] = {}
    for powers, c in poly.rep.terms():
        split.setdefault(powers[place], {})[powers] = c
    return [_from_terms(split[n], poly) for n in sorted(split)]


def _pulled(numerator: Poly) -> Expr:
    """c v^k (1 − v)^j Σ_a x^a A_a(v): nothing cancels as v → 0, and the zero at v = 1 stays exact."""
    if numerator.is_zero:
        return S.Zero
    k = min(powers[1] for powers in numerator.monoms())
    numerator = _in_v(numerator, lambda n: n - k)
    front, one = v**k, Poly(1 - v, *numerator.gens, domain=numerator.domain)
    quotient, rest = numerator.div(one)
    while rest.is_zero:
        front, numerator = front * (1 - v), quotient
        quotient, rest = numerator.div(one)
    content, numerator = numerator.primitive()
    rows = _rows(numerator, 0)
    if _rows(rows[0], 1)[0].LC() < 0:
        content, rows = -content, [-row for row in rows]
    total = S.Zero
    for row in rows:
        a = row.monoms()[0][0]
        total += x**a * sum(v ** part.monoms()[0][1] * part.as_expr().subs({x: 1, v: 1}) for part in _rows(row, 1))
    return content * front * total
