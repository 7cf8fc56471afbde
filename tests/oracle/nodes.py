"""Hermite coefficients of smooth activations without closed form, by quadrature with 60 digits.

The trapezoidal rule is exponentially accurate for functions that are analytic in a strip. Two forms of one
integral keep the digits that its definition loses:

    s ≤ 1:  h_k = s^k E[σ⁽ᵏ⁾(μ + sZ)], from Taylor series of σ at the nodes; nothing cancels.
    s > 1:  h_k = s^m E[σ⁽ᵐ⁾(μ + sZ) He_{k-m}(Z)], k ≥ m, over t = μ + sZ, where m is the first derivative
            that dies exponentially on both sides; and h_0 … h_{m-1} from
            σ(y) = A(y) + ∫ σ⁽ᵐ⁾(t) (y - t)₊^{m-1} dt, A of degree < m.

Twice the step, and the rule errs by the square root of its error: the even nodes and the odd nodes are
summed apart, and a row is refused if they differ by more than 1e-14 of the sum of absolute values.

For softsign, whose tails are algebraic, Gauss-Legendre panels integrate E[σ], E[σ′], E[σ″ He_{k-2}].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
from flint import arb, arb_series, ctx, fmpq
from scipy.special import log_ndtr

from tests.oracle.arb import log2_abs, precision

BITS = 224
ORDERS = 11
"""h_0 … h_10."""

LARGEST_STEP_IN_Z = 1 / 4
"""exp(-2π²/(1/4)²) = 1e-137, and 1e-34 with half the nodes."""
FARTHEST = 1024.0
"""For |μ| ≤ 50 s the mass of Gaussian × e^-|t| is where |t| < 50 s - s² + 13 s, at most 992."""
NATS = 90.0
"""Nodes that weigh less than e^-90 of the heaviest are left out; He_8 may lift them by e^21."""
HALVES_AGREE = 1e-14
NEGLIGIBLE_EXPONENT = -1100
"""No error below 2**-1100 is seen in doubles."""

Jet = Callable[[arb_series], arb_series]


@contextmanager
def arithmetic() -> Iterator[None]:
    """The working precision of numbers and series."""
    before, ctx.cap = ctx.cap, ORDERS
    try:
        with precision(BITS):
            yield
    finally:
        ctx.cap = before


def _tail(x: arb_series) -> arb_series:
    """logistic(x) for x ≤ 0."""
    e = x.exp()
    return e / (1 + e)


def _logistic(x: arb_series) -> arb_series:
    return _tail(x) if x[0] < 0 else 1 - _tail(-x)


def _softplus(x: arb_series) -> arb_series:
    if x[0] > 0:
        return x + _softplus(-x)
    return (x.derivative() * _tail(x)).integral() + x[0].exp().log1p()


def _tanh(x: arb_series) -> arb_series:
    return 1 - 2 * _tail(-2 * x) if x[0] > 0 else 2 * _tail(2 * x) - 1


def _gated(x: arb_series, gate: arb_series) -> arb_series:
    """x logistic(gate); right of 0, what is tiny is kept apart from x."""
    return x * _tail(gate) if gate[0] < 0 else x - x * _tail(-gate)


def _mish(x: arb_series) -> arb_series:
    """x tanh(softplus x), tanh(softplus x) = ((1 + e^x)² - 1)/((1 + e^x)² + 1)."""
    if x[0] < 0:
        e = x.exp()
        return x * (e * (e + 2) / (e * (e + 2) + 2))
    e = (-x).exp()
    return x - x * (2 * e * e / (1 + 2 * e + 2 * e * e))


def _gelu_tanh(x: arb_series) -> arb_series:
    """x/2 (1 + tanh u) = x logistic(2u)."""
    return _gated(x, 2 * (2 / arb.pi()).sqrt() * (x + arb(fmpq(44715, 10**6)) * x * x * x))


@dataclass(frozen=True, eq=False)
class Smooth:
    """A smooth activation.

    Attributes:
        jet: the Taylor series of σ(y) from that of y, relatively accurate in both tails.
        decays: the first derivative that dies on both sides, 1 or 2.
        step: in t. With the nearest pole at a distance d from the real line, exp(-2π d / step) < 1e-40. Half
            of it serves tenth derivatives.
        left: A(y) = left[0] + left[1] y, which σ approaches on the left.
        window: the largest |z| when s ≤ 1 (an exponential tail of rate λ moves mass by λs).
    """

    jet: Jet
    decays: int
    step: float
    left: tuple[int, int] = (0, 0)
    window: float = 17.0

    def derivatives(self, y: arb, count: int = ORDERS) -> list[arb]:
        """σ(y), σ′(y), …."""
        taylor = self.jet(arb_series([y, 1], prec=count))
        return [taylor[k] * math.factorial(k) for k in range(count)]

    @cached_property
    def decaying(self) -> tuple[np.ndarray, list[arb], np.ndarray]:
        """t, σ⁽ᵐ⁾(t) and log |σ⁽ᵐ⁾(t)| at the nodes t of the second form."""
        count = int(FARTHEST / self.step)
        t = self.step * np.arange(-count, count + 1)
        with arithmetic():
            values = [self.derivatives(arb(v), 3)[self.decays] for v in t.tolist()]
        return t, values, np.array([log2_abs(v) for v in values]) * math.log(2)

    def __call__(self, mu: float, s: float) -> list[arb]:
        """h_0 … h_10, to about 40 digits of D."""
        with arithmetic():
            return self._by_series(mu, s) if s <= 1 else self._by_decay(mu, s)

    def _by_series(self, mu: float, s: float) -> list[arb]:
        step = LARGEST_STEP_IN_Z
        while step > self.step / 2 / s:
            step /= 2
        m, w = arb(mu), arb(s)
        terms = ([p * d for d in self.derivatives(m + w * z)] for z, p in _normal(step, self.window))
        return [w**k * g for k, g in enumerate(_halves(terms, step))]

    def _by_decay(self, mu: float, s: float) -> list[arb]:
        t, values, log_values = self.decaying
        u = (mu - t) / s
        heights = log_values + log_ndtr(u), log_values - u * u / 2
        heavy = [h > h.max() - NATS for h in heights]
        m, w = arb(mu), arb(s)
        scale = 1 / (2 * arb.pi()).sqrt()
        terms = []
        for j in range(*_range(heavy[0] | heavy[1])):
            x = (arb(float(t[j])) - m) / w
            density = values[j] * (x * x / -2).exp() * scale
            below = values[j] * (x / arb(2).sqrt()).erfc() / 2 if heavy[0][j] else arb(0)
            if self.decays == 1:
                row = [below]
            else:
                row = [w * (density - x * below), w * below]
                density *= w
            terms.append([*row, *hermite_multiples(x, density, ORDERS - self.decays)])
        sums = _halves(terms, self.step)
        sums[0] += self.left[0] + self.left[1] * m
        sums[1] += self.left[1] * w
        return sums


def _range(chosen: np.ndarray) -> tuple[int, int]:
    """From the first to the last."""
    places = np.flatnonzero(chosen)
    return int(places[0]), int(places[-1]) + 1


@lru_cache
def _normal(step: float, window: float) -> list[tuple[arb, arb]]:
    """Nodes z and densities φ(z)."""
    count = int(window / step)
    scale = 1 / (2 * arb.pi()).sqrt()
    nodes = [arb(j * step) for j in range(-count, count + 1)]
    return [(z, scale * (z * z / -2).exp()) for z in nodes]


def hermite_multiples(x: arb, factor: arb, count: int) -> list[arb]:
    """factor × He_j(x), j < count."""
    row = [factor, factor * x]
    for j in range(1, count - 1):
        row.append(x * row[j] - j * row[j - 1])
    return row[:count]


def _halves(terms: Iterable[Sequence[arb]], step: float) -> list[arb]:
    """The trapezoidal rule, column by column, after its two halves have agreed."""
    parts = [[arb(0)] * ORDERS, [arb(0)] * ORDERS]
    sizes = [arb(0)] * ORDERS
    for j, row in enumerate(terms):
        parts[j % 2] = [a + b for a, b in zip(parts[j % 2], row)]
        sizes = [a + abs(b) for a, b in zip(sizes, row)]
    for k, (even, odd, size) in enumerate(zip(*parts, sizes)):
        if not abs(even - odd) <= HALVES_AGREE * size + arb(2) ** NEGLIGIBLE_EXPONENT:
            raise ArithmeticError(f"order {k}: half the nodes are too few, {even.str(20)} and {odd.str(20)}")
    return [(even + odd) * step for even, odd in zip(*parts)]


SMOOTH = {
    # The poles of logistic(y) are at ±iπ, ….
    "sigmoid": Smooth(_logistic, 1, 3 / 16),
    "softplus": Smooth(_softplus, 2, 3 / 16),
    "silu": Smooth(lambda x: _gated(x, x), 2, 3 / 16),
    "quick_gelu": Smooth(lambda x: _gated(x, arb(fmpq(1702, 1000)) * x), 2, 3 / 32),
    "gelu_tanh": Smooth(_gelu_tanh, 2, 1 / 8, window=50.0),  # nearest: 0.63 + 2.75 i
    "mish": Smooth(_mish, 2, 1 / 8),  # nearest: log √2 + 3πi/4
    "tanh": Smooth(_tanh, 1, 3 / 32, left=(-1, 0)),
    "tanhshrink": Smooth(lambda x: x - _tanh(x), 2, 3 / 32, left=(1, 1)),
}


def trapezoid(name: str, mu: float, s: float) -> list[arb]:
    """h_0 … h_10 of a smooth activation."""
    if name == "logsigmoid":  # -softplus(-y)
        with arithmetic():
            return [h if k % 2 else -h for k, h in enumerate(SMOOTH["softplus"](-mu, s))]
    return SMOOTH[name](mu, s)


PANEL_NODES = 30
PANEL_WINDOW = 17


@lru_cache
def _legendre() -> list[tuple[arb, arb]]:
    """Nodes and weights on [-1, 1]."""
    with arithmetic():
        return [arb.legendre_p_root(PANEL_NODES, j, weight=True) for j in range(PANEL_NODES)]


def softsign(mu: float, s: float) -> list[arb]:
    """h_0 … h_10 of y/(1 + |y|).

    A panel is no longer than 1 in z nor than 1 + |y| in y: 30 nodes give 1e-46.
    """
    with arithmetic():
        m, w = arb(mu), arb(s)
        graded = [float(side * (2**j - 1)) for side in (-1, 1) for j in range(1, 24)]
        inside = [(arb(c) - m) / w for c in (0.0, *graded) if abs(c - mu) < PANEL_WINDOW * s]
        edges = sorted([*(arb(z) for z in range(-PANEL_WINDOW, PANEL_WINDOW + 1)), *inside], key=lambda z: z.mid())
        sums = [arb(0)] * ORDERS
        for a, b in pairwise(edges):
            middle, half = (a + b) / 2, (b - a) / 2
            sign = 1 if m + w * middle > 0 else -1
            for node, weight in _legendre():
                z = middle + half * node
                y = m + w * z
                r = 1 / (1 + sign * y)
                p = weight * half * (z * z / -2).exp()
                row = [p * y * r, p * w * r * r, *hermite_multiples(z, -2 * sign * p * (w * w * r * r * r), ORDERS - 2)]
                sums = [x + term for x, term in zip(sums, row)]
        scale = 1 / (2 * arb.pi()).sqrt()
        return [scale * x for x in sums]
