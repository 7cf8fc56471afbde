"""Hermite coefficients from their definition, by rigorous integration:

    h_k(μ, s) = ∫ σ(μ + sz) He_k(z) φ(z) dz.

FLINT's adaptive integrator returns balls that contain the integral over each piece of σ; only the two ends
of the line are left out, |z| > R, where R is chosen so that they weigh less than 1e-30 D_k for any σ of at
most quadratic growth, and for exponentials. The tolerance is relative to D_k = E[|σ|(|He_k| +
k|He_{k-1}|)], which needs its order of magnitude only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import sympy
from flint import acb, arb, fmpz_poly

from tests.oracle.arb import Program, precision
from tests.oracle.definitions import Definition, y

PRECISION = 192
TOLERANCE = 2.0**-93
"""1e-28, relative to D_k."""

LARGEST_ORDER = 16


def hermite_coefficient(sigma: Definition, k: int, mu: float, s: float, log2_scale: float) -> arb:
    """A ball around h_k(μ, s), of radius about 1e-28 D_k.

    Args:
        sigma: the activation.
        k: the order.
        mu: mean, an exact float64.
        s: standard deviation > 0, an exact float64.
        log2_scale: log2 D_k, roughly.
    """
    if not math.isfinite(log2_scale):
        raise ValueError("without a scale there is nothing to be accurate to")
    with precision(PRECISION):
        center, width = arb(mu), arb(s)
        goal = arb(2) ** arb(log2_scale) * TOLERANCE
        radius = window(mu, s, log2_scale, sigma.growth)
        cuts = [arb(-radius), *(_position(c, center, width, radius) for c in sigma.breakpoints), arb(radius)]
        total = arb(0)
        for piece, a, b in zip(_programs(sigma), cuts, cuts[1:]):
            if b > a:
                total += _integral(_integrand(piece, k, center, width), a, b, goal)
        return total / (2 * arb.pi()).sqrt()


def window(mu: float, s: float, log2_scale: float, growth: float = 0.0) -> float:
    """R with ∫_{|z|>R} (2 + 2y²)|He_k| φ dz < 1e-30 D_k, y = μ + sz, k ≤ 16.

    For σ = e^(gy), g > 0, whose mass is around z = gs: R with ∫_{|z|>R} σ|He_k| φ dz < 1e-30 D_k.

    There, 2 + 2y² ≤ 2 (1 + |μ| + s)² z², and |He_k| ≤ |z|^k because R is beyond all roots; the exponent
    that is left, 80 more than these need, outweighs z^18.
    """
    if growth:
        return growth * s + math.sqrt(2 * (30 * math.log(10) + 80))
    polynomial = 2 * math.log(2 * (1 + abs(mu) + s))
    needed = -log2_scale * math.log(2) + polynomial + 30 * math.log(10) + 80
    return max(12.0, math.sqrt(2 * needed)) if needed > 0 else 12.0


def _position(c: sympy.Rational, mu: arb, s: arb, radius: float) -> arb:
    """The z of a breakpoint, brought into the window."""
    z = (arb(int(c.p)) / int(c.q) - mu) / s
    return arb(radius) if z > radius else arb(-radius) if z < -radius else z


@lru_cache
def _programs_of(pieces: tuple[sympy.Expr, ...]) -> list[Program]:
    return [Program([p], [y]) for p in pieces]


def _programs(sigma: Definition) -> list[Program]:
    return _programs_of(sigma.pieces)


@lru_cache
def hermite_polynomial(k: int) -> fmpz_poly:
    """He_k, by He_{k+1} = x He_k - k He_{k-1}."""
    before, current, x = fmpz_poly([0]), fmpz_poly([1]), fmpz_poly([0, 1])
    for j in range(k):
        before, current = current, x * current - j * before
    return current


def _integrand(piece: Program, k: int, mu: arb, s: arb) -> Callable[[acb, bool], acb]:
    he = hermite_polynomial(k)

    def integrand(z: acb, analytic: bool) -> acb:
        return piece([mu + s * z], acb, analytic)[0] * he(z) * (z * z / -2).exp()

    return integrand


def _integral(f: Callable[[acb, bool], acb], a: arb, b: arb, goal: arb) -> arb:
    limits = {"eval_limit": 10**6, "depth_limit": 10**4}
    return acb.integral(f, acb(a), acb(b), rel_tol=arb(2) ** -PRECISION, abs_tol=goal, **limits).real
