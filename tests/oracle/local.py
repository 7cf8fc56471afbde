"""Functions stored as polynomials on panels, in the 19 digits of a long double, and Gaussian integrals of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from flint import arb, fmpq

from tests.oracle.arb import precision

BITS = 256
"""77 digits, for all that is subtracted."""
NODES = 24
"""Gauss-Legendre nodes of a panel, and coefficients on it."""

Float = np.longdouble
Array = np.ndarray


def to_long(x: arb) -> np.longdouble:
    """The midpoint in 19 digits."""
    high = float(x.mid())
    return Float(high) + Float(float((x - high).mid()))


def to_arb(x: Fraction | float | int) -> arb:
    """A ball around an exact number."""
    exact = Fraction(x)
    return arb(fmpq(exact.numerator, exact.denominator))


@lru_cache
def rule(count: int) -> list[tuple[arb, arb]]:
    """Gauss-Legendre nodes and weights on [−1, 1], in order."""
    with precision(BITS):
        rule = [arb.legendre_p_root(count, j, weight=True) for j in range(count)]
    return sorted(rule, key=lambda pair: float(pair[0]))


@lru_cache
def _long_rule(count: int) -> tuple[Array, Array]:
    return tuple(np.array([to_long(x) for x in column]) for column in zip(*rule(count)))


@lru_cache
def analysis(count: int) -> Array:
    """Values at the nodes → Legendre coefficients."""
    nodes, weights = _long_rule(count)
    degrees = np.arange(count)
    return legendre(nodes, count) * weights * (degrees[:, None] + Float(0.5))


def legendre(u: Array, count: int) -> Array:
    """P_0 … P_{count−1} along a new first axis."""
    table = [np.ones_like(u), u]
    for k in range(1, count - 1):
        table.append(((2 * k + 1) * u * table[k] - k * table[k - 1]) / Float(k + 1))
    return np.array(table[:count])


@lru_cache
def powers(count: int) -> Array:
    """Legendre coefficients → those of powers; harmless where the former fall by a factor of 3 or more."""
    table = [np.eye(1, count, 0, dtype=Float)[0], np.eye(1, count, 1, dtype=Float)[0]]
    for k in range(1, count - 1):
        table.append(((2 * k + 1) * np.roll(table[k], 1) - k * table[k - 1]) / Float(k + 1))
    return np.array(table[:count]).T


def normal_density(z: Array) -> Array:
    """φ in 19 digits."""
    return np.exp(-z * z / 2) / _root_of_two_pi()


@lru_cache
def _root_of_two_pi() -> np.longdouble:
    with precision(BITS):
        return to_long((2 * arb.pi()).sqrt())


@dataclass(frozen=True)
class Local:
    """Functions that are polynomials on panels, and 0 outside: one for every row of `coefficients`.

    Attributes:
        edges: (panels + 1,), in order.
        coefficients: (functions, panels, degree + 1), of powers of u, which is −1 and 1 at the ends of a panel.
    """

    edges: Array
    coefficients: Array

    def on(self, panel: Array, z: Array) -> Array:
        """Values (functions, …, q) at z of shape (…, q), each row of which is in the one panel given."""
        left, right = self.edges[panel], self.edges[panel + 1]
        u = ((z - left[..., None]) - (right[..., None] - z)) / (right - left)[..., None]
        coefficients = self.coefficients[:, panel]
        values = np.zeros((len(coefficients), *z.shape), Float)
        for k in range(coefficients.shape[-1] - 1, -1, -1):
            values *= u
            values += coefficients[..., k, None]
        return values

    def panel_of(self, z: Array) -> Array:
        """Where z are, which are no edges."""
        return np.clip(np.searchsorted(self.edges, z) - 1, 0, len(self.edges) - 2)

    def __call__(self, z: Array) -> Array:
        """Values at any z."""
        z = np.asarray(z, dtype=Float)
        inside = (z >= self.edges[0]) & (z <= self.edges[-1])
        return np.where(inside, self.on(self.panel_of(z), z[..., None])[..., 0], 0)

    def nodes(self, parts: int) -> tuple[Array, Array, Array]:
        """Panel, z and the weights φ(z) dz of `NODES` nodes in each of so many equal parts of all panels."""
        left, width = self.edges[:-1, None], np.diff(self.edges)[:, None] / parts
        starts = (left + width * np.arange(parts)).ravel()
        z, weights = gauss(starts, starts + np.repeat(width.ravel(), parts))
        return np.repeat(np.arange(len(self.edges) - 1), parts), z, weights * normal_density(z)


def gauss(left: Array, right: Array) -> tuple[Array, Array]:
    """Nodes and weights of panels, one row for each."""
    nodes, weights = _long_rule(NODES)
    half = (right - left) / 2
    return (left + right)[:, None] / 2 + half[:, None] * nodes, half[:, None] * weights
