"""E σ(mean + std·Z) from its definition, with an error: quadrature that knows where the integrand lives.

A rule that samples blindly misses a spike, or cuts off the mass that e^{ax} moves far out. So σ is taken apart,
Σ c xⁿ e^{ax − qx²/2} Π Φ(αx + β) on intervals, and each term is integrated by itself. Its envelope, which is the
term times the density without c xⁿ and the phase, is log-concave: it has one peak, and panels are laid between
the points where it has fallen from there by given amounts. Steps of Φ and oscillations refine them.

Two Gauss–Legendre rules of different order on different panels in different windows have to agree.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import mpmath
import sympy
from mpmath import mpf
from sympy import Expr, Rational, im, re

from symgauss.pieces import pieces
from symgauss.symbols import x
from symgauss.terms import Term, terms

DIGITS = 32
_ORDERS = (30, 38)
_PANELS = 400  # more than that takes longer than a witness is worth


class Doubtful(Exception):
    """The integral cannot be vouched for; the message says why."""


@dataclass(frozen=True)
class Bell:
    """One term of σ times the density of N(mean, std²), on an interval."""

    coefficient: mpmath.mpc
    power: int
    slope: mpf
    frequency: mpf
    curve: mpf
    gates: tuple[tuple[mpf, mpf], ...]
    mean: mpf
    std: mpf

    def log_envelope(self, at: mpf) -> mpf:
        value = self.slope * at - self.curve * at**2 / 2 - ((at - self.mean) / self.std) ** 2 / 2
        return value + sum(mpmath.log(_cdf(a * at + b)) for a, b in self.gates)

    def slope_of_log(self, at: mpf) -> mpf:
        value = self.slope - self.curve * at - (at - self.mean) / self.std**2
        return value + sum(a * mpmath.npdf(a * at + b) / _cdf(a * at + b) for a, b in self.gates)

    @property
    def width(self) -> mpf:
        """The standard deviation of the envelope without the Φs."""
        return self.std / mpmath.sqrt(1 + self.curve * self.std**2)

    def peak(self) -> mpf:
        """Where the envelope is largest, roughly."""
        start = (self.mean + self.slope * self.std**2) * (self.width / self.std) ** 2
        uphill = mpmath.sign(self.slope_of_log(start)) if self.gates else 0
        if not uphill:
            return start
        step = self.width
        while self.slope_of_log(start + uphill * step) * uphill > 0:
            step *= 2
        near, far = start, start + uphill * step
        for _ in range(60):
            middle = (near + far) / 2
            near, far = (middle, far) if self.slope_of_log(middle) * uphill > 0 else (near, middle)
        return near

    def edges(self, low: mpf, high: mpf, widen: int) -> list[mpf]:
        """Panels on [low, high]; another `widen` gives other panels in a larger window."""
        peak = min(max(self.peak(), low), high)
        # e^{−(√n + 16)²/2} is negligible next to what xⁿ can gain on the way there.
        reach = 16 + widen + int(mpmath.sqrt(self.power))
        count = reach // 2
        falls = [(mpf(reach * k) / count) ** 2 / 2 for k in range(1, count + 1)]
        found = [peak, *self._descent(peak, low, falls, -1), *self._descent(peak, high, falls, 1)]
        for a, b in self.gates:
            # Beyond 14 of its widths a Φ is 1, or falls as the envelope knows.
            found += [t for k in range(-14, 15, 2) if min(found) < (t := (k - b) / a) < max(found)]
        return self._fine_for_waves(sorted(set(found)))

    def _descent(self, peak: mpf, end: mpf, falls: list[mpf], side: int) -> Iterator[mpf]:
        """The points on one side of the peak where the logarithm of the envelope has fallen by `falls`."""
        top, last, step = self.log_envelope(peak), peak, self.width
        for fall in falls:
            if last == end:
                return
            far = last + side * step
            while self.log_envelope(far) > top - fall:
                far += side * step
                step *= 2
            if (far - end) * side > 0:
                far = end
            if self.log_envelope(far) < top - fall:
                near = last
                for _ in range(400):
                    middle = (near + far) / 2
                    value = self.log_envelope(middle) - top + fall
                    if abs(value) < 0.5:
                        far = middle
                        break
                    near, far = (middle, far) if value > 0 else (near, middle)
            step = abs(far - last) or self.width
            last = far
            yield far

    def _fine_for_waves(self, edges: list[mpf]) -> list[mpf]:
        fine = edges[:1]
        for a, b in pairwise(edges):
            parts = 1 + int(abs(self.frequency) * (b - a) / 8)
            if len(fine) + parts > _PANELS:
                raise Doubtful(f"it takes more than {_PANELS} panels")
            fine += [a + (b - a) * k / parts for k in range(1, parts + 1)]
        return fine

    def __call__(self, at: mpf) -> mpf:
        exponent = self.slope * at - self.curve * at**2 / 2 - ((at - self.mean) / self.std) ** 2 / 2
        value = at**self.power * mpmath.exp(exponent) / (self.std * mpmath.sqrt(2 * mpmath.pi))
        for a, b in self.gates:
            value *= _cdf(a * at + b)
        if not self.frequency:
            return value * self.coefficient.real
        cosine, sine = mpmath.cos_sin(self.frequency * at)
        return value * (self.coefficient.real * cosine - self.coefficient.imag * sine)


@lru_cache(maxsize=1024)
def expectation(formula: Expr, mean: Rational, std: Rational) -> tuple[mpf, mpf]:
    """E σ(mean + std·Z) and a bound for its error; `formula` has no symbol but x.

    Raises NoClosedForm when σ cannot be taken apart, Doubtful when it can but the parts are too many, or are not σ.
    """
    split = pieces(formula)
    parts = [terms(smooth) for smooth in split.smooth]
    sizes = [abs(number) for number in (mean, 1 / std**2, *split.breakpoints)]
    for part in parts:
        sizes += [abs(number) for t in part for number in (t.linear, t.quadratic, *sum(t.gates, ()))]
    # Exponents of size 10^n cost n digits of the exponential.
    magnitude = max(0, int(mpmath.log10(1 + _number(sum(sizes), 15).real)))
    with mpmath.workdps(DIGITS + 18 + 4 * magnitude):
        digits = mpmath.mp.dps
        ends = [mpmath.ninf, *(_number(b, digits).real for b in split.breakpoints), mpmath.inf]
        m, s = _number(mean, digits).real, _number(std, digits).real
        function = sympy.lambdify(x, formula, "mpmath")
        total, error = mpf(0), mpf(0)
        for part, low, high in zip(parts, ends, ends[1:]):
            _compare(function, part, min(max(m - s, low), high - s), max(min(m + s, high), low + s), digits)
            for term in part:
                bell = _bell(term, m, s, digits)
                value, doubt = agreed(bell, *(bell.edges(low, high, widen) for widen in (0, 3)))
                total, error = total + value, error + doubt
        return +total, error


def agreed(function: Callable[[mpf], mpf], edges: list[mpf], others: list[mpf]) -> tuple[mpf, mpf]:
    """The integral by one rule, and its distance to another rule with the rounding errors."""
    (value, size), (other, _) = (_composite(function, e, n) for e, n in zip((edges, others), _ORDERS))
    return value, abs(value - other) + size * mpf(10) ** -DIGITS


def _composite(function: Callable[[mpf], mpf], edges: list[mpf], order: int) -> tuple[mpf, mpf]:
    """∫ f and about ∫ |f|, by Gauss–Legendre between any two edges."""
    total, size = mpf(0), mpf(0)
    for a, b in pairwise(edges):
        middle, half = (a + b) / 2, (b - a) / 2
        for node, weight in _gauss_legendre(order):
            value = half * weight * function(middle + half * node)
            total, size = total + value, size + abs(value)
    return total, size


@lru_cache
def _gauss_legendre(order: int) -> tuple[tuple[mpf, mpf], ...]:
    """Nodes and weights on [−1, 1], by Newton's method from the usual guess."""
    rule = []
    with mpmath.workdps(3 * DIGITS):
        for i in range(order):
            at, slope = mpmath.cos(mpmath.pi * (i + mpf(3) / 4) / (order + mpf(1) / 2)), mpf(1)
            for _ in range(8):
                p, last = mpf(1), mpf(0)
                for k in range(order):
                    p, last = ((2 * k + 1) * at * p - k * last) / (k + 1), p
                slope = order * (at * p - last) / (at**2 - 1)
                at -= p / slope
            rule.append((at, 2 / ((1 - at**2) * slope**2)))
    return tuple(rule)


def _compare(function: Callable[[mpf], mpf], part: tuple[Term, ...], low: mpf, high: mpf, digits: int) -> None:
    """That the terms add up to σ, at two points of their interval."""
    for at in ((5 * low + 2 * high) / 7, (2 * low + 3 * high) / 5):
        bells = [_bell(term, at, 1 / mpmath.sqrt(2 * mpmath.pi), digits) for term in part]
        values = [bell(at) for bell in bells]  # a density of 1 there leaves the term
        if not abs(sum(values) - function(at)) <= mpf(10) ** -DIGITS * (1 + sum(map(abs, values))):
            raise Doubtful("the terms do not add up to the activation")


def _bell(term: Term, mean: mpf, std: mpf, digits: int) -> Bell:
    gates = tuple((_number(a, digits).real, _number(b, digits).real) for a, b in term.gates)
    slope, frequency = (_number(part(term.linear), digits).real for part in (re, im))
    curve = _number(term.quadratic, digits).real
    return Bell(_number(term.coefficient, digits), term.power, slope, frequency, curve, gates, mean, std)


def _number(value: Expr, digits: int) -> mpmath.mpc:
    with mpmath.workdps(digits):
        return mpmath.mpc(sympy.N(value, digits)._to_mpmath(mpmath.mp.prec))


def _cdf(z: mpf) -> mpf:
    """Φ(z); erfc, because 1 + erf cancels in the left tail."""
    return mpmath.erfc(-z / mpmath.sqrt(2)) / 2
