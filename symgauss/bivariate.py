"""Φ₂(h, k, r) = P(Z₁ ≤ h, Z₂ ≤ k) for standard normals of correlation r, to any precision, relative to its size.

∂Φ₂/∂r is the density at (h, k). With r = tanh s its integral over r loses every root:

    (1/2π) ∫ g(s) ds,    log g = −(h² + k²)/4 − (h − k)² e^{2s}/8 − (h + k)² e^{−2s}/8 − log cosh s.

g is positive and log-concave, so panels can be laid from its peak outwards. We start from r = 0 for r > 0, where
Φ₂ = Φ(h)Φ(k), and from r = −1 otherwise, where Φ₂ = max(0, Φ(h) − Φ(−k)). So only positive numbers are added, and
nothing cancels in the tails. Source: Plackett (1954) for the derivative; the substitution is ours.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import mpmath
from mpmath import mpf


def bivariate_distribution(h: mpf, k: mpf, r: mpf) -> mpf:
    """Φ₂(h, k, r) for finite h, k and −1 ≤ r ≤ 1, to about the working precision of mpmath.

    >>> bivariate_distribution(mpf(0), mpf(0), mpf(1) / 2)  # 1/4 + asin(r)/2π
    mpf('0.33333333333333331')
    """
    bits = mpmath.mp.prec
    # One relative unit in h costs h² in the exponent; h + k and h − k may cancel; 1 − r² is lost near r = ±1.
    near = -mpmath.mag(1 - r * r) if abs(r) < 1 else 0
    with mpmath.workprec(bits + 30 + 2 * max(0, mpmath.mag(h), mpmath.mag(k)) + 2 * max(0, near)):
        h, k, r = mpf(h), mpf(k), mpf(r)
        if abs(r) > 1:
            raise ValueError(f"a correlation is between −1 and 1, got {r}")
        if r == 1:
            value = distribution(min(h, k))
        elif r > 0:
            value = distribution(h) * distribution(k) + _Density(h, k, bits).integral(mpf(0), mpmath.atanh(r))
        else:
            value = _both_ends(h, k) + (_Density(h, k, bits).integral(-mpmath.inf, mpmath.atanh(r)) if r > -1 else 0)
    return +value


def distribution(z: mpf) -> mpf:
    """Φ of a real or complex number; erfc, because 1 + erf cancels in the left tail."""
    return mpmath.erfc(-z / mpmath.sqrt(2)) / 2


def _both_ends(h: mpf, k: mpf) -> mpf:
    """max(0, Φ(h) − Φ(−k)), the value at r = −1, as a difference of tails that are as small as can be."""
    low, high = min(h, k), max(h, k)
    return distribution(low) - distribution(-high) if h + k > 0 else mpf(0)


class _Density:
    """g/2π for one pair (h, k), to be integrated over s."""

    def __init__(self, h: mpf, k: mpf, bits: int) -> None:
        self.constant = -(h * h + k * k) / 4
        self.rising, self.falling = (h - k) ** 2 / 8, (h + k) ** 2 / 8
        # g is cut off where it has fallen by this factor e^{−fall} from its peak.
        self.fall = bits * 0.7 + 10
        self.order = bits // 4 + 14

    def log(self, s: mpf) -> mpf:
        """log g without its constant term."""
        grown = mpmath.exp(2 * s)
        return -self.rising * grown - self.falling / grown - mpmath.log(mpmath.cosh(s))

    def __call__(self, s: mpf) -> mpf:
        grown = mpmath.exp(s)
        square = grown * grown
        exponent = self.constant - self.rising * square - self.falling / square
        return mpmath.exp(exponent) * 2 / (grown + 1 / grown)

    def slope(self, s: mpf) -> mpf:
        """(log g)′"""
        grown = mpmath.exp(2 * s)
        return -2 * self.rising * grown + 2 * self.falling / grown - mpmath.tanh(s)

    def width(self, s: mpf) -> mpf:
        """The scale on which log g bends, 1/√(−(log g)″), or on which it falls by 4; at most 2, for the poles of g."""
        grown = mpmath.exp(2 * s)
        bend = mpmath.sech(s) ** 2 + 4 * self.rising * grown + 4 * self.falling / grown
        return 1 / max(mpmath.sqrt(bend), abs(self.slope(s)) / 4, mpf(1) / 2)

    def integral(self, low: mpf, high: mpf) -> mpf:
        """(1/2π) ∫ g over [low, high], by Gauss–Legendre on panels as long as the scale of g there."""
        with mpmath.workprec(53):
            edges = self._edges(low, high)
        if not edges:
            return mpf(0)
        edges = [edge if low < edge < high else (low if edge <= low else high) for edge in edges]
        return mpmath.fsum(_gauss_legendre(self, a, b, self.order) for a, b in pairwise(edges)) / (2 * mpmath.pi)

    def _edges(self, low: mpf, high: mpf) -> list[mpf]:
        """Edges of panels from the largest value of g on [low, high] outwards, as far as g matters."""
        start = min(max(self._peak(), low), high)
        left, right = self._walk(start, low, -1), self._walk(start, high, 1)
        return [*reversed(left), start, *right]

    def _walk(self, start: mpf, end: mpf, side: int) -> list[mpf]:
        found, at, floor = [], start, self.log(start) - self.fall
        while (end - at) * side > 0 and self.log(at) > floor:
            at += side * self.width(at)
            found.append(at)
        return found

    def _peak(self) -> mpf:
        """Where g is largest, roughly: its logarithm is concave."""
        low, high = mpf(-1), mpf(1)
        while self.slope(low) < 0:
            low *= 2
        while self.slope(high) > 0:
            high *= 2
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.slope(middle) > 0 else (low, middle)
        return (low + high) / 2


def _gauss_legendre(function: Callable[[mpf], mpf], low: mpf, high: mpf, order: int) -> mpf:
    """∫ f from low to high."""
    middle, half = (low + high) / 2, (high - low) / 2
    # Rules are kept for a few precisions only.
    rule = _rule(order, -(-mpmath.mp.prec // 64) * 64)
    return half * mpmath.fsum(weight * function(middle + half * node) for node, weight in rule)


@lru_cache
def _rule(order: int, bits: int) -> tuple[tuple[mpf, mpf], ...]:
    """Nodes and weights on [−1, 1], by Newton's method from the usual guess."""
    found = []
    with mpmath.workprec(bits + 20):
        for i in range(order):
            at, slope = mpmath.cos(mpmath.pi * (i + mpf(3) / 4) / (order + mpf(1) / 2)), mpf(1)
            for _ in range(bits.bit_length()):
                p, last = mpf(1), mpf(0)
                for j in range(order):
                    p, last = ((2 * j + 1) * at * p - j * last) / (j + 1), p
                slope = order * (at * p - last) / (at**2 - 1)
                at -= p / slope
            found.append((at, 2 / ((1 - at**2) * slope**2)))
    return tuple(found)
