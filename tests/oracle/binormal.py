"""Φ₂ from two independent integrals, and where the constants of `numeric/binormal.py` come from.

    by the angle      max(0, Φ(h) − Φ(−k)) + (1/π) ∫_0^β exp(−a²/(2 sin²t) − b²/(2 cos²t)) dt
    by conditioning   ∫_{−∞}^h φ(z) Φ((k − rz)/√(1 − r²)) dz

with a = (h + k)/2, b = (h − k)/2 and 2β = acos(−r). The second is the definition. The first is Plackett's integral of
∂Φ₂/∂r from −1 to r, in half the angle of the wedge: its integrand is positive, so that it is relatively accurate
everywhere. Both are integrated by FLINT in ball arithmetic; only ends of the line are left out, on which the integrand
has fallen by a factor 2^−`BITS` from its largest value.

`python -m tests.oracle.binormal` prints the constants as they stand in `binormal.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
from flint import acb, arb
from mpmath import asin, chebyfit, eigsy, erfc, exp, matrix, mp, mpf, pi, sqrt
from mpmath import cholesky as lower_triangle
from mpmath.libmp import from_man_exp

from tests.oracle.arb import precision

BITS = 80
# For 1 + r = 1e−30, h + k that nearly cancels, and exponents of a thousand.
PRECISION = 256
# For Φ(h) − Φ(−k) with subnormal h + k.
LONGEST = 1400

# The Gaussian rule of the far integral, and the Gauss-Legendre rules.
NODES, BETWEEN, CURVATURE = 14, 12, mpf(3) / 500
# In single precision: the first two rules, and the degree of `arc`.
SINGLE_NODES, SINGLE_DEGREE = 7, 7

Real = float | mpf


def ball(x: Real) -> arb:
    """The number itself."""
    man, exponent = mpf(x).man_exp  # of its absolute value
    return (-1 if x < 0 else 1) * arb(int(man)) * arb(2) ** int(exponent)


def number(x: arb) -> mpf:
    """The middle of a ball that is small enough."""
    if not x.rel_accuracy_bits() >= BITS - 16 and not abs(x) < arb(2) ** -1200:
        raise ArithmeticError(f"{x} is not accurate enough")
    man, exponent = x.mid().man_exp()
    return mp.make_mpf(from_man_exp(int(man), int(exponent)))


def distribution(z: arb | acb) -> arb | acb:
    """Φ(z)."""
    return (-z / arb(2).sqrt()).erfc() / 2


def density(z: arb | acb) -> arb | acb:
    """φ(z)."""
    return (z * z / -2).exp() / (2 * arb.pi()).sqrt()


def _integral(function: Callable[[acb], acb], edges: list[arb], scale: arb) -> arb:
    """∫ over all panels, of about the size `scale`."""
    total = arb(0)
    for low, high in pairwise(edges):
        limits = {"eval_limit": 10**5, "depth_limit": 10**4}
        tolerance = {"rel_tol": arb(2) ** -(BITS + 10), "abs_tol": scale * arb(2) ** -(BITS + 10)}
        total += acb.integral(lambda z, _: function(z), acb(low), acb(high), **tolerance, **limits).real
    return total


# --- by the angle ----------------------------------------------------------------------------------------


def by_angle(h: Real, k: Real, r: Real) -> mpf:
    """Φ₂(h, k, r), relatively accurate; infinities are welcome, and r may have more than 53 bits."""
    if -math.inf in (h, k):
        return mpf(0)
    with precision(PRECISION):
        if r == 1 or math.inf in (h, k):
            return number(distribution(ball(min(h, k))))
        low, high, correlation = ball(min(h, k)), ball(max(h, k)), ball(r)
        value = arb(0)
        if low + high > 0:
            with precision(LONGEST):
                value = distribution(low) - distribution(-high)
        if r > -1:
            value += _by_angle(abs(low + high) / 2, (high - low) / 2, correlation)
        return number(value)


def _by_angle(a: arb, b: arb, r: arb) -> arb:
    """The integral, over y = log tan t: (1/π) ∫ exp(−(a²(1 + e^{−2y}) + b²(1 + e^{2y}))/2)/(2 cosh y) dy."""
    end = ((1 + r) / (1 - r)).log() / 2
    edges, largest = _panels(float(a), float(b), float(end.mid()))
    if largest < -1e5:
        return arb(0)
    scale = arb(largest).exp() / (1 + (a * b).sqrt())

    def integrand(y: acb) -> acb:
        grown = y.exp()
        square = grown * grown
        return ((a * a * (1 + 1 / square) + b * b * (1 + square)) / -2).exp() / (grown + 1 / grown)

    return _integral(integrand, [*(arb(y) for y in edges), end], scale) / arb.pi()


def _panels(a: float, b: float, end: float) -> tuple[list[float], float]:
    """Where the integrand counts: edges from left to right, without the last, and the logarithm of its maximum."""

    def log_of(y: float) -> float:
        return -(a * a * (1 + math.exp(-2 * y)) + b * b * (1 + math.exp(2 * y))) / 2 - abs(y)

    step = 1 / (1 + math.sqrt(a * b))
    # log_of is concave: uphill from the end, or from where it is cut off
    start = min(end, 300.0)
    while log_of(start - step) > log_of(start):
        start -= step
    edges = [start]
    while log_of(edges[0]) > log_of(start) - 0.7 * BITS - 10:
        edges.insert(0, edges[0] - 4 * step)
    y = start
    while y + step < end and log_of(y) > log_of(start) - 0.7 * BITS - 10:
        y += 4 * step
        edges.append(min(y, end))
    return [e for e in edges if e < end], log_of(start)


# --- by conditioning -------------------------------------------------------------------------------------


def by_conditioning(h: Real, k: Real, r: Real) -> mpf:
    """Φ₂(h, k, r) for finite h and k and |r| < 1, while Φ₂ > 1e-12 φ(h)."""
    with precision(PRECISION):
        first, second, correlation = ball(h), ball(k), ball(r)
        root = ((1 - correlation) * (1 + correlation)).sqrt()
        edges = [first - 60 + 5 * j for j in range(13)]
        if r:
            # around z = k/r the second factor falls from 1 to 0 within a few √(1 − r²)/|r|
            middle, width = second / correlation, root / abs(correlation)
            edges += [middle + j * width for j in (-40, -15, -5, 0, 5, 15, 40)]
        edges = sorted((e for e in edges if first - 60 <= e <= first), key=lambda e: float(e.mid()))

        def integrand(z: acb) -> acb:
            return density(z) * distribution((second - correlation * z) / root)

        return number(_integral(integrand, edges, density(first) * arb(2) ** -40))


# --- what goes with it -----------------------------------------------------------------------------------


def derivatives(h: Real, k: Real, r: Real) -> tuple[mpf, mpf, mpf]:
    """φ(h) Φ(k′) and φ(k) Φ(h′), which are ∂Φ₂/∂h and ∂Φ₂/∂k, and φ(h) φ(k′), which is √(1 − r²) ∂Φ₂/∂r; |r| < 1."""
    with precision(PRECISION):
        first, second, correlation = ball(h), ball(k), ball(r)
        root = ((1 - correlation) * (1 + correlation)).sqrt()
        k_1, h_1 = (second - correlation * first) / root, (first - correlation * second) / root
        found = density(first) * distribution(k_1), density(second) * distribution(h_1), density(first) * density(k_1)
        return tuple(number(f) for f in found)


def condition(h: Real, k: Real, r: Real, value: mpf) -> mpf:
    """κ = (|h ∂_h Φ₂| + |k ∂_k Φ₂| + |r ∂_r Φ₂|)/Φ₂ for |r| < 1, given Φ₂ = value."""
    by_h, by_k, by_r = derivatives(h, k, r)
    by_r /= sqrt((1 - mpf(r)) * (1 + mpf(r)))
    return (abs(h) * by_h + abs(k) * by_k + abs(r) * by_r) / value if value else mpf(0)


def product_of_distributions(h: Real, k: Real) -> mpf:
    """Φ(h) Φ(k)."""
    with precision(PRECISION):
        return number(distribution(ball(h)) * distribution(ball(k)))


# --- constants -------------------------------------------------------------------------------------------


@cache
def legendre(n: int) -> list[tuple[mpf, mpf]]:
    """Nodes and weights of Gauss-Legendre on [0, 1], by Newton's method."""
    with mp.workdps(50):
        rule = []
        for start in np.polynomial.legendre.leggauss(n)[0]:
            x, slope = mpf(start), mpf(1)
            for _ in range(7):
                before, here = mpf(1), x
                for j in range(1, n):
                    before, here = here, ((2 * j + 1) * x * here - j * before) / (j + 1)
                slope = n * (before - x * here) / (1 - x * x)
                x -= here / slope
            rule.append(((1 + x) / 2, 1 / ((1 - x * x) * slope**2)))
        return rule


@cache
def gaussian_rule(n: int) -> list[tuple[mpf, mpf]]:
    """Nodes, and weights over the weight function, of ∫_0^∞ f(x) e^{−x − 3x²/500} dx with n nodes."""
    with mp.workdps(150):
        moments = weight_moments(2 * n)
        # Golub and Welsch (1969): the recurrence of the orthogonal polynomials from the Cholesky factor of the moments
        factor = lower_triangle(matrix([[moments[i + j] for j in range(n + 1)] for i in range(n + 1)])).T
        jacobi = matrix(n)
        for j in range(n):
            jacobi[j, j] = factor[j, j + 1] / factor[j, j] - (factor[j - 1, j] / factor[j - 1, j - 1] if j else 0)
            if j:
                jacobi[j, j - 1] = jacobi[j - 1, j] = factor[j, j] / factor[j - 1, j - 1]
    with mp.workdps(60):
        nodes, vectors = eigsy(jacobi)
        return [(x, moments[0] * vectors[0, j] ** 2 * exp(x + CURVATURE * x * x)) for j, x in enumerate(nodes)]


def weight_moments(highest: int) -> list[mpf]:
    """∫_0^∞ xᵐ e^{−x − cx²} dx: by parts, 2c M_(m+1) = m M_(m−1) − M_m, and 2c M_1 = 1 − M_0."""
    c = mpf(CURVATURE)
    moments = [sqrt(pi / (4 * c)) * exp(1 / (4 * c)) * erfc(1 / (2 * sqrt(c)))]
    moments.append((1 - moments[0]) / (2 * c))
    for m in range(1, highest):
        moments.append((m * moments[m - 1] - moments[m]) / (2 * c))
    return moments


def arc(degree: int) -> tuple[tuple[float, ...], float]:
    """asin(s)/(π s) as a polynomial in s² for s² ≤ ½, highest power first, and its largest relative error."""

    def ratio(square):
        s = sqrt(square)
        return asin(s) / s / pi if s > mpf("1e-20") else 1 / pi

    with mp.workdps(60):
        coefficients, error = chebyfit(ratio, [mpf(0), mpf(1) / 2], degree + 1, error=True)
        return tuple(float(c) for c in coefficients), float(error * pi)


def constants() -> dict[str, tuple[float, ...]]:
    """The tables of `numeric/binormal.py` by name."""
    rules = {"NEAR": legendre(NODES), "FAR": gaussian_rule(NODES), "BETWEEN": legendre(BETWEEN)}
    return {"ARC": arc(19)[0], **_tables(rules)}


def single_constants() -> dict[str, tuple[float, ...]]:
    """The tables of `numeric/cuda/single/binormal.py`, before they are rounded to single precision."""
    rules = {"NEAR": legendre(SINGLE_NODES), "FAR": gaussian_rule(SINGLE_NODES)}
    return {"ARC": arc(SINGLE_DEGREE)[0], **_tables(rules)}


def _tables(rules: dict[str, list[tuple[mpf, mpf]]]) -> dict[str, tuple[float, ...]]:
    found = {}
    for name, rule in rules.items():
        found[f"{name}_NODES"] = tuple(float(x) for x, _ in rule)
        found[f"{name}_WEIGHTS"] = tuple(float(w) for _, w in rule)
    return found


def main() -> None:
    for name, numbers in constants().items():
        print(f"{name} = (", *(f"    {number!r}," for number in numbers), ")", sep="\n")
    print("\n# in single precision")
    for name, numbers in single_constants().items():
        print(f"{name} = (", *(f"    {np.float32(number)!s}," for number in numbers), ")", sep="\n")


if __name__ == "__main__":
    main()
