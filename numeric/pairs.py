"""Residual covariances of pairs of neurons, by their Hermite series.

Two neurons σ(y)z and σ(y′)z′ have y, y′ in units of their deviations Z, Z′ with correlation g, and z − E[z | y],
z′ − E[z′ | y′], the D and D′ here. With c₁₂ = Cov(Z, D′), c₂₁ = Cov(D, Z′), c₂₂ = Cov(D, D′) their covariance is
Σ_{k≥1} of the covariances of their parts of degree k,

    α_k α′_k g^k + √k (α_k β′_k c₁₂ + β_k α′_k c₂₁) g^{k−1} + β_k β′_k (c₂₂ g^{k−1} + (k − 1) c₁₂ c₂₁ g^{k−2}),

of which only the first term is there in an MLP. A residual covariance is the sum over k > n, and nothing is
subtracted from anything. After m terms at most

    |g|^{n+1+m} √(V_m V′_m)                                      (MLP)
    |g|^{n+m−1} (3 + 2(n + m + 1)(1 − g²)) √(V_m V′_m)           (gated)

is left out, V_m the part of a neuron's residual variance in degrees above n + m: Cauchy and Schwarz, and for the
second that (Z, D, Z′, D′) has a covariance matrix. Where that is above `LEFT_OUT` of √(V V′) for all terms that
there are, the pair is left to `numeric.conditional`. (Our derivation: residual variance, derivations/variance.md.)

On a GPU every thread calls these loops for blocks of one pair.
"""

import math

import numpy as np
from numpy.typing import NDArray

from numeric.jit import loop
from numeric.residuals import LEFT_OUT, TERMS, Residuals

Float64 = NDArray[np.float64]


def reach(some: Residuals, others: Residuals, rows: slice, columns: slice, gated: bool) -> tuple[NDArray, Float64]:
    """How many terms are worth trying, and the |g| up to which each number of them is enough for a block of pairs."""
    available = some.alpha.shape[1] >= TERMS
    left = some.beyond[rows].max(axis=0, initial=0.0) * others.beyond[columns].max(axis=0, initial=0.0)
    terms = TERMS[available]
    return terms, _largest(terms, np.sqrt(left[available]), some.degree, gated)


def _largest(terms: NDArray, left: Float64, degree: int, gated: bool) -> Float64:
    """The largest |g| ≤ 1 at which the bounds above are below LEFT_OUT, by bisection."""
    low, high = np.zeros(len(terms)), np.ones(len(terms))
    for _ in range(60):
        middle = 0.5 * (low + high)
        good = _bound(middle, terms, degree, gated) * left <= LEFT_OUT
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return np.where(_bound(np.ones(len(terms)), terms, degree, gated) * left <= LEFT_OUT, 1.0, low)


def _bound(g: Float64, terms: NDArray, degree: int, gated: bool) -> Float64:
    if not gated:
        return g ** (degree + 1 + terms)
    return g ** np.maximum(degree + terms - 1, 0) * (3 + 2 * (degree + terms + 1) * (1 - g * g))


@loop
def ungated(alpha, others, rest, other_rests, g, terms, reach, first, out):
    """Σ_{k ≥ first} α_k α′_k g^k for a block of pairs; NaN where the series is too long.

    `rest` and `other_rests` are √(V_m/V) after the last of `terms`.
    """
    for a in range(g.shape[0]):
        x = alpha[a]
        for b in range(g.shape[1]):
            r = g[a, b]
            q = 0
            while q < terms.size and abs(r) > reach[q]:
                q += 1
            if q == terms.size:
                # too long for the slowest pair of the block, but perhaps not for this one
                q -= 1
                if abs(r) ** (first + terms[q]) * rest[a] * other_rests[b] > LEFT_OUT:
                    out[a, b] = np.nan
                    continue
            y = others[b]
            # eight sums of every eighth term: one sum would wait for itself
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
            r2 = r * r
            r4 = r2 * r2
            r8 = r4 * r4
            p = 1.0
            for k in range(0, terms[q], 8):
                s0 += x[k] * y[k] * p
                s1 += x[k + 1] * y[k + 1] * p
                s2 += x[k + 2] * y[k + 2] * p
                s3 += x[k + 3] * y[k + 3] * p
                s4 += x[k + 4] * y[k + 4] * p
                s5 += x[k + 5] * y[k + 5] * p
                s6 += x[k + 6] * y[k + 6] * p
                s7 += x[k + 7] * y[k + 7] * p
                p *= r8
            low = (s0 + r * s1) + r2 * (s2 + r * s3)
            high = (s4 + r * s5) + r2 * (s6 + r * s7)
            out[a, b] = (low + r4 * high) * r**first


@loop
def gated(alpha, beta, others, other_betas, rest, other_rests, g, c12, c21, c22, terms, reach, first, out):
    """The whole sum for a block of pairs, by Horner's rule; NaN where the series is too long."""
    # at k = 1 there is no term in c₁₂ c₂₁, and g^{k−2} would not be defined
    least = 1 if first == 1 else 0
    for a in range(g.shape[0]):
        for b in range(g.shape[1]):
            r = g[a, b]
            q = 0
            while q < terms.size and abs(r) > reach[q]:
                q += 1
            if q == terms.size:
                q -= 1
                k = float(first + terms[q])
                if abs(r) ** (k - 2.0) * (3.0 + 2.0 * k * (1.0 - r * r)) * rest[a] * other_rests[b] > LEFT_OUT:
                    out[a, b] = np.nan
                    continue
            aa = ab = ba = bb = cc = 0.0
            for t in range(terms[q] - 1, -1, -1):
                k = float(first + t)
                root = math.sqrt(k)
                x, y = alpha[a, t], others[b, t]
                u, v = beta[a, t], other_betas[b, t]
                aa = aa * r + x * y
                ab = ab * r + root * x * v
                ba = ba * r + root * u * y
                bb = bb * r + u * v
                if t >= least:
                    cc = cc * r + (k - 1.0) * u * v
            p = r ** (first - 1)
            p2 = r ** (first - 2 + least)
            out[a, b] = (
                p * (aa * r + ab * c12[a, b] + ba * c21[a, b] + bb * c22[a, b]) + p2 * cc * c12[a, b] * c21[a, b]
            )
