"""Hermite coefficients of pieces of polynomials and exponentials, as truncated Gaussian moments in balls.

For a term y^n e^(λy) of σ between a and b, completing the square leaves

    ∫_a^b y^n e^(λy) He_k(z) φ(z) dz = e^(λμ + λ²s²/2) ∫_A^B (μ + s(w + λs))^n He_k(w + λs) φ(w) dw,

y = μ + sz, A = (a - μ)/s - λs: a polynomial in w against moments of φ between A and B, which integration by
parts reduces to Φ and φ at the two ends. Precision is raised until what is left after cancellation is good.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import sympy
from flint import arb, arb_poly, fmpq
from sympy.codegen.cfunctions import expm1

from tests.oracle.arb import settled
from tests.oracle.definitions import Definition, y

ORDERS = 11
"""h_0 … h_10."""

Term = tuple[sympy.Rational, int, sympy.Rational]


def terms(piece: sympy.Expr) -> list[Term]:
    """(c, n, λ) for every c y^n e^(λy) of a piece."""
    plain = piece.replace(expm1, lambda x: sympy.exp(x) - 1)
    return [_term(t) for t in sympy.Add.make_args(sympy.expand(plain)) if t != 0]


def _term(term: sympy.Expr) -> Term:
    c, rest = term.as_independent(y, as_Add=False)
    exponential = next((f for f in sympy.Mul.make_args(rest) if isinstance(f, sympy.exp)), sympy.S.One)
    rate = sympy.simplify(exponential.args[0] / y) if exponential != 1 else sympy.S.Zero
    power = sympy.degree(rest / exponential, y)
    if not (c.is_Rational and rate.is_Rational and rest == y**power * exponential):
        raise ValueError(f"{term} is no polynomial times exponential")
    return c, int(power), rate


@lru_cache
def _pieces(sigma_pieces: tuple[sympy.Expr, ...], breakpoints: tuple[sympy.Rational, ...]) -> list:
    ends = [None, *breakpoints, None]
    return [(a, b, terms(p)) for p, (a, b) in zip(sigma_pieces, pairwise(ends))]


def hermite_coefficients(sigma: Definition, mu: float, s: float) -> list[arb]:
    """Balls around h_0 … h_10 of relative radius 2**-90 (or zeros)."""
    return settled(lambda: _sums(sigma, arb(mu), arb(s)), (mu, s))


def _sums(sigma: Definition, mu: arb, s: arb) -> list[arb]:
    total = [arb(0)] * ORDERS
    for a, b, parts in _pieces(sigma.pieces, sigma.breakpoints):
        for c, n, rate in parts:
            tilt = _exact(rate) * s
            factor = _exact(c) * (_exact(rate) * mu + tilt * tilt / 2).exp()
            low, high = (None if end is None else (_exact(end) - mu) / s - tilt for end in (a, b))
            moments = gaussian_moments(low, high, n + ORDERS)
            z = arb_poly([tilt, 1])
            power = (mu + s * z) ** n * factor
            for k, he in zip(range(ORDERS), _hermite(z)):
                coefficients = (power * he).coeffs()
                total[k] += sum((x * m for x, m in zip(coefficients, moments)), arb(0))
    return total


def _exact(value: sympy.Rational) -> arb:
    return arb(fmpq(int(value.p), int(value.q)))


def _hermite(z: arb_poly) -> Iterator[arb_poly]:
    """He_k of a polynomial, k = 0, 1, …."""
    before, current, k = arb_poly([0]), arb_poly([1]), 0
    while True:
        yield current
        before, current, k = current, z * current - k * before, k + 1


def gaussian_moments(a: arb | None, b: arb | None, count: int) -> list[arb]:
    """∫_a^b w^n φ(w) dw, n < count; None is the infinite end."""
    result = [_mass(a, b)]
    at_a, at_b = _density(a), _density(b)
    for n in range(1, count):
        before = (n - 1) * result[n - 2] if n > 1 else arb(0)
        result.append(before + at_a - at_b)
        at_a, at_b = at_a * _finite(a), at_b * _finite(b)
    return result


def _finite(w: arb | None) -> arb:
    """An end, or any number where φ is 0."""
    return arb(0) if w is None else w


def _density(w: arb | None) -> arb:
    return arb(0) if w is None else (w * w / -2).exp() / (2 * arb.pi()).sqrt()


def _above(w: arb | None) -> arb:
    """P(Z > w).

    FLINT's own bound of the error that an inexact w makes is useless where w² is larger than 2**30.
    """
    if w is None:
        return arb(0)
    x = w / arb(2).sqrt()
    slope = 2 * (-(x.abs_lower() ** 2)).exp()  # more than 2/√π e^(-x²), anywhere in the ball
    return (x.mid().erfc() + slope * x.rad() * arb(0, 1)) / 2


def _mass(a: arb | None, b: arb | None) -> arb:
    """P(a < Z < b), as a difference of small tails where both ends are on one side."""
    if a is not None and a > 0:
        return _above(a) - _above(b)
    if b is not None and b < 0:
        return _above(-b) - (_above(-a) if a is not None else 0)
    return 1 - _above(b) - (_above(-a) if a is not None else 0)
