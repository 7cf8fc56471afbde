"""Two gates under a pair of Gaussians: the algebra behind `gaussian_covariance`.

A gate 1{αy + β > 0} or Φ(αy + β) is P(T > 0 | y), T = αy + β − εZ, with ε = 0 or 1. For Y₁, Y₂ with means m, variances
v and covariance c, and V = α²v + ε the variance of T,

    E gate₁ gate₂ = F = P(T₁ > 0, T₂ > 0) = Φ₂(h₁, h₂, r),   hᵢ = E Tᵢ/√Vᵢ,   r = α₁α₂c/√(V₁V₂).

A factor y₁ acts as m₁ + v₁ ∂/∂m₁ + c ∂/∂m₂. Applied again and again it leaves P F + P₁ F₁ + P₂ F₂ + P₁₂ F₁₂, with
coefficients P, and densities: F₁ = ∂F/∂E T₁ of T₁ at 0 (and T₂ > 0), F₂ of T₂, F₁₂ of both. Next to a density, y has
the mean and the covariances that it has under the condition T = 0; for a step at c that mean is c.
"""

from collections.abc import Iterator
from typing import NamedTuple

import sympy
from sympy import Add, Dummy, Expr, Poly, S

m1, m2, c = (Dummy(name, real=True) for name in ("m_1", "m_2", "c"))
v1, v2 = (Dummy(name, positive=True) for name in ("v_1", "v_2"))
# 1/V₁, 1/V₂ and 1/(V₁V₂ − (α₁α₂c)²), kept as names: written out, coefficients would grow.
w1, w2, w12 = (Dummy(name, positive=True) for name in ("1/V_1", "1/V_2", "1/V_12"))


class Factor(NamedTuple):
    """e^{linear·y − quadratic·y²/2} times a gate: 1{slope·y + offset > 0}, Φ of that if soft, 1 if the slope is 0."""

    linear: Expr = S.Zero
    quadratic: Expr = S.Zero
    slope: Expr = S.Zero
    offset: Expr = S.Zero
    soft: bool = False

    @property
    def gated(self) -> bool:
        return self.slope != 0

    @property
    def noise(self) -> int:
        """ε, the variance of the Z in T."""
        return 0 if self.gated and not self.soft else 1

    @property
    def point(self) -> Expr:
        """c, for a step at c."""
        return -self.offset / self.slope


class Coefficients(NamedTuple):
    """P, P₁, P₂, P₁₂: polynomials in m1, m2, v1, v2, c, w1, w2, w12, and 1/v of a step."""

    total: Expr = S.Zero
    at_1: Expr = S.Zero
    at_2: Expr = S.Zero
    at_both: Expr = S.Zero


Polynomial = dict[int, Expr]


class Pair:
    """Two gates, and the means of polynomials times both. What the factors do beside the gates is for `Tilt`."""

    def __init__(self, first: Factor, second: Factor) -> None:
        self.factors = first, second
        self.means = first.slope * m1 + first.offset, second.slope * m2 + second.offset
        self.variances = first.slope**2 * v1 + first.noise, second.slope**2 * v2 + second.noise
        self.covariance = first.slope * second.slope * c
        self.inverses = tuple(
            w if factor.noise else 1 / variance for factor, w, variance in zip(self.factors, (w1, w2), self.variances)
        )

    def coefficients(self, left: Polynomial, right: Polynomial) -> Coefficients:
        """P, P₁, P₂, P₁₂ for the mean of Σ left[a] Y₁ᵃ · Σ right[b] Y₂ᵇ · gates."""
        total = [S.Zero] * 4
        for b, column in enumerate(self._powers(Coefficients(S.One), max(right), 1)):
            for a, found in enumerate(self._powers(column, max(left), 0)):
                if a in left and b in right:
                    total = [t + left[a] * right[b] * p for t, p in zip(total, found)]
        return Coefficients(*total)

    def _powers(self, start: Coefficients, highest: int, i: int) -> Iterator[Coefficients]:
        """start, y·start, y²·start, … with y = y₁ (i = 0) or y₂ (i = 1)."""
        yield start
        for _ in range(highest):
            start = self._times(start, i)
            yield start

    def _times(self, start: Coefficients, i: int) -> Coefficients:
        """The coefficients after one more factor y, by Stein's lemma."""
        m, v, w, j = (m1, m2), (v1, v2)[i], self.inverses, 1 - i
        own, other = self.factors[i], self.factors[j]

        def times(coefficient: Expr, mean: Expr) -> Expr:
            """y times a coefficient that stands where y has this mean."""
            return mean * coefficient + v * coefficient.diff(m[i]) + c * coefficient.diff(m[j])

        edges = [start.at_1, start.at_2]
        at_own = times(edges[i], self._mean_at_own_edge(i)) + own.slope * v * start.total
        at_other = times(edges[j], m[i] - other.slope * c * w[j] * self.means[j]) + other.slope * c * start.total
        at_both = times(start.at_both, self._mean_at_corner(i)) if start.at_both != 0 else S.Zero
        # What is left of Cov(y, other T) at the own edge, and of Cov(y, own T) at the other edge.
        at_both += (
            own.noise * other.slope * c * w[i] * edges[i] + own.slope * (v - other.slope**2 * c**2 * w[j]) * edges[j]
        )
        sides = (at_own, at_other) if i == 0 else (at_other, at_own)
        return Coefficients(*map(self._reduced, (times(start.total, m[i]), *sides, at_both)))

    def _reduced(self, coefficient: Expr) -> Expr:
        """Expanded, with α²v/V = 1 − 1/V for Φ, so that no product of v and w is left; a symbolic α may be 0."""
        coefficient = sympy.expand(coefficient)
        for factor, v, w in zip(self.factors, (v1, v2), (w1, w2)):
            while factor.soft and factor.slope.is_number and coefficient.has(w):
                terms = Poly(coefficient, v, w).terms()
                if not any(a and b for (a, b), _ in terms):
                    break
                reduced = (
                    ((1 - w) / factor.slope**2) ** min(a, b) * v ** max(a - b, 0) * w ** max(b - a, 0)
                    for (a, b), _ in terms
                )
                coefficient = sympy.expand(Add(*(number * power for (_, number), power in zip(terms, reduced))))
        return coefficient

    def _mean_at_own_edge(self, i: int) -> Expr:
        """E[y | own T = 0]"""
        own, m, v = self.factors[i], (m1, m2)[i], (v1, v2)[i]
        return (m - own.slope * own.offset * v) * self.inverses[i] if own.noise else own.point

    def _mean_at_corner(self, i: int) -> Expr:
        """E[y | T₁ = T₂ = 0]"""
        own, other, m, v = self.factors[i], self.factors[1 - i], (m1, m2)[i], (v1, v2)[i]
        if not own.noise:
            return own.point
        spread = v * self.variances[1 - i] - other.slope**2 * c**2
        shift = own.slope * own.offset * spread + other.slope * c * self.means[1 - i]
        return (m * self.variances[1 - i] - shift) * w12
