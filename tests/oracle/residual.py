"""What the best polynomial leaves of one neuron, from its definition, to 17 digits of what is left.

A neuron is f = σ(y)z, y = μ + sZ, z = ν + rZ + D, with D independent of Z; in an MLP z = 1. The residual

    R_a(Z) + D R_b(Z),    R_a = (ν + rZ) σ − Σ_{k≤n} α_k he_k,    R_b = σ − Σ_{k<n} ĥ_k he_k,    he_k = He_k/√k!,

may be 1e-15 of the neuron and less. So it is formed point by point in 77 digits, its coefficients being integrals
over panels that end where derivatives of σ jump, and halve until 50 digits agree. What is left after the subtraction
is stored in 19 digits, on panels that halve until polynomials of degree 23 are as good as that.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

import numpy as np
from flint import arb

from tests.oracle.arb import Program, precision
from tests.oracle.definitions import Definition, y
from tests.oracle.local import BITS, NODES, Array, Float, Local, analysis, normal_density, powers, rule, to_arb, to_long

FINE = 48
"""Nodes of a panel for coefficients."""
AGREE = 2.0**-170
"""Panels are halved until they agree to this part of E|σ he_k|; the halves are far better."""
RESOLVED = 2e-19
WIDE, NARROW = 18.0, 14.0
"""Coefficients and residuals end there, or 8 beyond the farthest kink: φ(18) = 1e-71, φ(14) = 1e-43."""
MOST_HALVINGS, MOST_PANELS = 60, 1000
NOTHING, SOMETHING = 1e-55, 1e-45
"""Residuals below the first part of their neuron are rounding, and count as 0; between the two they are refused."""
SERIES = 600
"""Degrees beyond n with known coefficients."""


@dataclass(frozen=True)
class Factor:
    """z = ν + rZ + D, τ² = Var D; `gated` is False where there is no z."""

    mean: arb
    along: arb
    beside: arb
    gated: bool

    @classmethod
    def one(cls) -> Factor:
        return cls(arb(1), arb(0), arb(0), gated=False)


class Neuron:
    """The residual of degree n of σ(y)z. μ, s and the factor are balls of `BITS` bits; s = 0 is a constant σ."""

    def __init__(self, sigma: Definition, mean: arb, std: arb, degree: int, factor: Factor | None = None) -> None:
        self.sigma, self.mean, self.std, self.degree = sigma, mean, std, degree
        self.factor = factor or Factor.one()
        with precision(BITS):
            self._programs = [Program([piece], [y]) for piece in sigma.pieces]
            self.cuts = [(to_arb(Fraction(int(c.p), int(c.q))) - mean) / std for c in sigma.breakpoints if std > 0]
            self._integrate()

    def _starting(self, least: float) -> list[arb]:
        """Ends of panels: the kinks, unit steps in z, and steps in y that grow with the distance from 0."""
        far = [abs(float(c)) + 8.0 for c in self.cuts if abs(float(c)) < 40]
        # he_n has its mass where |z| < 2√n
        window = max(
            [least + max(0.0, 2 * self.degree**0.5 - 6), 2 * self.sigma.growth * float(self.std) + least, *far]
        )
        edges = [arb(z) for z in np.arange(-window, window + 0.5)]
        edges[-1] = arb(window)
        if self.std > 0:
            graded = [0.0] + [sign * 2.0**j for j in range(60) for sign in (-1, 1)]
            edges += [(arb(c) - self.mean) / self.std for c in graded]
        edges = [z for z in edges if abs(float(z)) <= window] + [c for c in self.cuts if abs(float(c)) < window]
        edges.sort(key=float)
        kept = [edges[0]]
        for z in edges[1:]:
            if z - kept[-1] > 1e-60:
                kept.append(z)
        return kept

    def _value(self, z: arb, middle: arb) -> arb:
        """σ at z, of the piece that the middle of the panel is in."""
        if self.std == 0:
            piece = sum(float(self.mean) > float(c) for c in self.sigma.breakpoints)
            return self._programs[piece]([self.mean])[0]
        piece = sum(float(middle) > float(c) for c in self.cuts)
        return self._programs[piece]([self.mean + self.std * z])[0]

    # Coefficients, in 77 digits

    def _integrate(self) -> None:
        count = self.degree + 2
        panels = [(a, b, self._sums(a, b)) for a, b in pairwise(self._starting(WIDE))]
        scale = [sum((sums[1][k] for *_, sums in panels), arb(0)) for k in range(count + 3)]
        total = [arb(0)] * (count + 3)
        for _ in range(MOST_HALVINGS):
            following = []
            for a, b, sums in panels:
                middle = (a + b) / 2
                halves = [(a, middle, self._sums(a, middle)), (middle, b, self._sums(middle, b))]
                finer = [p + q for p, q in zip(halves[0][2][0], halves[1][2][0])]
                if all(abs(float(w - f)) <= AGREE * float(s) for w, f, s in zip(sums[0], finer, scale)):
                    total = [t + f for t, f in zip(total, finer)]
                else:
                    following += halves
            panels = following
            if not panels:
                break
        else:
            raise ArithmeticError(f"{self.sigma.name}: coefficients do not settle")
        self.hermite, self._squares = total[:count], total[count:]

    def _sums(self, a: arb, b: arb) -> tuple[list[arb], list[arb]]:
        """∫ σ he_k φ for k ≤ n + 1, ∫ σ² z^j φ for j ≤ 2, and the same of absolute values."""
        middle, half = (a + b) / 2, (b - a) / 2
        count = self.degree + 2
        sums, sizes = [arb(0)] * (count + 3), [arb(0)] * (count + 3)
        for node, weight in rule(FINE):
            z = middle + half * node
            value = self._value(z, middle)
            weighted = value * weight * half * density(z)
            squared = weighted * value
            terms = [weighted * h for h in orthonormal(z, count)] + [squared, squared * z, squared * z * z]
            sums = [s + t for s, t in zip(sums, terms)]
            sizes = [s + abs(t) for s, t in zip(sizes, terms)]
        return sums, sizes

    @cached_property
    def alpha(self) -> list[arb]:
        """α_0 … α_n."""
        with precision(BITS):
            nu, r, h = self.factor.mean, self.factor.along, self.hermite
            return [
                nu * h[k] + r * (arb(k + 1).sqrt() * h[k + 1] + (arb(k).sqrt() * h[k - 1] if k else 0))
                for k in range(self.degree + 1)
            ]

    @property
    def total(self) -> arb:
        """Var f."""
        with precision(BITS):
            nu, r, q = self.factor.mean, self.factor.along, self._squares
            second = nu**2 * q[0] + 2 * nu * r * q[1] + r**2 * q[2] + self.factor.beside**2 * q[0]
            return second - self.alpha_0**2

    @property
    def alpha_0(self) -> arb:
        """E f."""
        return self.factor.mean * self.hermite[0] + self.factor.along * self.hermite[1]

    @property
    def explained(self) -> list[arb]:
        """The variance of degrees 1 … n."""
        with precision(BITS):
            beside = self.factor.beside**2
            return [self.alpha[k] ** 2 + beside * self.hermite[k - 1] ** 2 for k in range(1, self.degree + 1)]

    # The residual, in 19 digits

    def _at(self, z: arb, middle: arb) -> tuple[arb, arb]:
        """R_a and R_b at z, in 77 digits."""
        value = self._value(z, middle)
        he = orthonormal(z, self.degree + 1)
        along = self._less((self.factor.mean + self.factor.along * z) * value, self.alpha, he)
        return along, self._less(value, self.hermite[: self.degree], he)

    def _less(self, value: arb, coefficients: list[arb], he: list[arb]) -> arb:
        """What is left of a value, and exactly 0 where that is nothing but rounding."""
        terms = [c * h for c, h in zip(coefficients, he)]
        left = value - sum(terms, arb(0))
        size = max(abs(float(t)) for t in [value, *terms])
        return arb(0) if abs(float(left)) <= NOTHING * size else left

    def residual_at(self, z: float) -> tuple[arb, arb]:
        """R_a and R_b at any z but the kinks, in 77 digits."""
        with precision(BITS):
            return self._at(arb(z), arb(z))

    @cached_property
    def residual(self) -> Local:
        """R_a, and R_b with a factor, as polynomials on panels."""
        with precision(BITS):
            return self._resolve()

    def _resolve(self) -> Local:
        pending, done = list(pairwise(self._starting(NARROW))), []
        scale = np.zeros(1 + self.factor.gated, Float)
        while pending:
            made = [(a, b, self._values(a, b)) for a, b in pending]
            weights = [np.sqrt(normal_density(_nearest(a, b))) for a, b, _ in made]
            scale = np.max([scale, *(w * np.abs(v).max(axis=1) for w, (_, _, v) in zip(weights, made))], axis=0)
            if np.any((scale > 0) & (scale < SOMETHING * float(self._squares[0]) ** 0.5)):
                raise ArithmeticError(f"{self.sigma.name}: the residual is too small for {BITS} bits")
            pending = []
            for (a, b, values), weight in zip(made, weights):
                coefficients = values @ analysis(NODES).T
                last = weight * np.abs(coefficients[:, -3:]).max(axis=1)
                rounding = 30 * np.finfo(Float).eps * weight * np.abs(coefficients).max(axis=1)
                if np.all(last <= RESOLVED * scale + rounding):
                    done.append((a, b, coefficients))
                else:
                    pending += [(a, (a + b) / 2), ((a + b) / 2, b)]
            if len(pending) > MOST_PANELS:
                raise ArithmeticError(f"{self.sigma.name}: the residual is not resolved")
        done.sort(key=lambda panel: float(panel[0]))
        edges = np.array([to_long(a) for a, *_ in done] + [to_long(done[-1][1])])
        return Local(edges, np.stack([coefficients @ powers(NODES).T for *_, coefficients in done], axis=1))

    def _values(self, a: arb, b: arb) -> Array:
        """The residual at the nodes of a panel, one row for R_a, and with a factor one for R_b."""
        middle, half = (a + b) / 2, (b - a) / 2
        rows = [self._at(middle + half * node, middle)[: 1 + self.factor.gated] for node, _ in rule(NODES)]
        return np.array([[to_long(v) for v in row] for row in rows]).T

    @cached_property
    def variance(self) -> np.longdouble:
        """V, as the integral of the squared residual."""
        panel, z, weights = self.residual.nodes(2)
        values = self.residual.on(panel, z)
        squares = values[0] ** 2
        if self.factor.gated:
            squares = squares + to_long(self.factor.beside) ** 2 * values[1] ** 2
        return np.sum(weights * squares)

    @property
    def variance_by_subtraction(self) -> np.longdouble:
        """The same as what the degrees up to n leave of the total: good while that is not 1e-50 of it."""
        with precision(BITS):
            return to_long(self.total - sum(self.explained, arb(0)))

    @cached_property
    def series(self) -> tuple[Array, Array]:
        """α_k and β_k for k = n + 1, …, n + `SERIES`, as integrals of the residual."""
        first, count = self.degree + 1, SERIES
        panel, z, weights = self.residual.nodes(8)
        values = self.residual.on(panel, z)
        alpha, beta = np.zeros(count, Float), np.zeros(count, Float)
        before, current = np.zeros_like(z), np.ones_like(z)
        for k in range(first + count):
            if k >= first:
                alpha[k - first] = np.sum(weights * values[0] * current)
            if self.factor.gated and first <= k + 1 < first + count:
                beta[k + 1 - first] = np.sum(weights * values[1] * current)
            following = (z * current - np.sqrt(Float(k)) * before) / np.sqrt(Float(k + 1))
            before, current = current, following
        return alpha, beta


def density(z: arb) -> arb:
    """φ(z)."""
    return (z * z / -2).exp() / (2 * arb.pi()).sqrt()


def orthonormal(z: arb, count: int) -> list[arb]:
    """he_0(z) … he_{count−1}(z)."""
    row = [arb(1), z]
    for k in range(1, count - 1):
        row.append((z * row[k] - arb(k).sqrt() * row[k - 1]) / arb(k + 1).sqrt())
    return row[:count]


def _nearest(a: arb, b: arb) -> np.longdouble:
    """The z in [a, b] nearest to 0."""
    return Float(min(max(0.0, float(a)), float(b)))
