"""Residual covariances of pairs of neurons by integrating over one preactivation, the other averaged given it.

For pairs so nearly parallel that their Hermite series does not end: one-dimensional integrals, in which neither
the covariance as a whole nor its explained part appears. With Z′ = gZ + tX, t² = 1 − g², and S f(Z) = E[f(gZ + tX) | Z]
the residuals R_a(Z) + D R_b(Z) of `numeric.residuals` have

    E[residual · residual′] = E[R_a U] + E[R_b W]
    U = S R′_a + c₁₂ (Z S R′_b − g S ∂R′_b)
    W = c₂₁ S ∂R′_a + c₂₁ c₁₂ (Z S ∂R′_b − g S ∂²R′_b) + c₂₂ S R′_b,

because S he_k = g^k he_k, and E[X f(gZ + tX)] = t S ∂f. S σ and its derivatives are Gaussian means, known at any
deviation s′t. Nothing is divided by t, and at t = 0 it holds as well. The panels are those of both neurons, and
finer ones of width t where σ′ has a kink that the average has just smoothed.
(Our derivation: residual variance, derivations/variance.md.)
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numeric.jit import loop
from numeric.panels import NODES, WEIGHTS, density
from numeric.reduced import Reduced
from numeric.residuals import Factor, alpha_of, panels_of, residual_values

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

# Ends of panels around a kink smoothed over t, in units of t: φ(8) is below rounding.
_LAYER = np.array([0.0, 0.5, 1.0, 2.0, 3.5, 5.5, 8.0])
_TOGETHER = 1024


@dataclass(frozen=True)
class Pairs:
    """Pairs (i, j) of neurons; g, t and the covariances of `numeric.pairs`, the last three 0 in an MLP."""

    i: Int64
    j: Int64
    g: Float64
    t: Float64
    c12: Float64
    c21: Float64
    c22: Float64

    def __len__(self) -> int:
        return len(self.i)

    def of(self, which: slice) -> "Pairs":
        return Pairs(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def blocks(self) -> list["Pairs"]:
        return [self.of(slice(start, start + _TOGETHER)) for start in range(0, len(self), _TOGETHER)]


def covariances(reduced: Reduced, std: Float64, factor: Factor, low: Float64, degree: int, pairs: Pairs) -> Float64:
    """E[residual · residual′] of every pair; `low` holds the ĥ_0 … ĥ_{n+1} of `Residuals`."""
    involved, place = np.unique(np.concatenate([pairs.i, pairs.j]), return_inverse=True)
    i, j = place[: len(pairs)], place[len(pairs) :]
    reduced, std, factor, low = reduced.of(involved), std[involved], factor.of(involved), low[involved]
    mean = reduced.mean
    kinks = (reduced.cuts - mean[:, None]) / std[:, None]
    offsets, ends = panels_of(reduced, std, degree).edges
    counts, left, right = _panels(offsets, ends, kinks, i, j, pairs.g, pairs.t, _LAYER)
    pair = np.repeat(np.arange(len(pairs)), counts)
    half = 0.5 * (right - left)
    z = 0.5 * (right + left)[:, None] + half[:, None] * NODES
    weights = half[:, None] * WEIGHTS * density(z)
    i, j = i[pair], j[pair]
    values = reduced.values(mean[i, None] + std[i, None] * z, i)
    along, beside = residual_values(z, values, low[i], factor.of(i), degree)
    # S σ, S ∂σ, …, with ∂ with respect to Z′
    order = 2 if factor.gated else 0
    centre = mean[j, None] + (std[j] * pairs.g[pair])[:, None] * z
    averages = reduced.means(centre, std[j] * pairs.t[pair], j, order) * std[j, None, None] ** np.arange(order + 1)
    integrand = along * _along(averages, z, pairs, pair, factor.of(j), low[j], degree)
    if factor.gated:
        integrand += beside * _beside(averages, z, pairs, pair, factor.of(j), low[j], degree)
    sums = np.zeros(len(pairs))
    np.add.at(sums, pair, (weights * integrand).sum(axis=1))
    return sums


def _along(
    averages: Float64, z: Float64, pairs: Pairs, pair: Int64, factor: Factor, low: Float64, degree: int
) -> Float64:
    """U."""
    smoothed, _ = _smoothed_along(averages, z, pairs, pair, factor, low, degree)
    if not factor.gated:
        return smoothed
    beside, slope, _ = _smoothed_beside(averages, z, pairs.g[pair], low, degree)
    return smoothed + pairs.c12[pair, None] * (z * beside - pairs.g[pair, None] * slope)


def _beside(
    averages: Float64, z: Float64, pairs: Pairs, pair: Int64, factor: Factor, low: Float64, degree: int
) -> Float64:
    """W."""
    _, slope_along = _smoothed_along(averages, z, pairs, pair, factor, low, degree)
    beside, slope, bend = _smoothed_beside(averages, z, pairs.g[pair], low, degree)
    c12, c21, c22 = (c[pair, None] for c in (pairs.c12, pairs.c21, pairs.c22))
    return c21 * slope_along + c21 * c12 * (z * slope - pairs.g[pair, None] * bend) + c22 * beside


def _smoothed_along(
    averages: Float64, z: Float64, pairs: Pairs, pair: Int64, factor: Factor, low: Float64, degree: int
) -> tuple[Float64, Float64]:
    """S R′_a and S ∂R′_a; S[Z′σ] = gZ S σ + t² S ∂σ."""
    g, square = pairs.g[pair, None], pairs.t[pair, None] ** 2
    alpha = alpha_of(low, factor, degree)
    polynomial = _series(z, pairs.g[pair], alpha, 2 if factor.gated else 1)
    if not factor.gated:
        return averages[..., 0] - polynomial[0], polynomial[0]
    nu, r = factor.mean[:, None], factor.along[:, None]
    value, slope, bend = (averages[..., k] for k in range(3))
    smoothed = nu * value + r * (g * z * value + square * slope)
    tilted = nu * slope + r * (value + g * z * slope + square * bend)
    return smoothed - polynomial[0], tilted - polynomial[1]


def _smoothed_beside(averages: Float64, z: Float64, g: Float64, low: Float64, degree: int) -> list[Float64]:
    """S R′_b, S ∂R′_b and S ∂²R′_b."""
    polynomial = _series(z, g, low[:, :degree], 3)
    return [averages[..., k] - polynomial[k] for k in range(3)]


def _series(z: Float64, g: Float64, coefficients: Float64, count: int) -> list[Float64]:
    """S p, S ∂p, … for p = Σ_k a_k he_k: Σ_k a_k √(k!/(k−m)!) g^{k−m} he_{k−m}(z)."""
    sums = [np.zeros_like(z) for _ in range(count)]
    before, current = np.zeros_like(z), np.ones_like(z)
    for k in range(coefficients.shape[1]):
        for m in range(count):
            if k + m < coefficients.shape[1]:
                falling = math.sqrt(math.perm(k + m, m))
                sums[m] += (falling * coefficients[:, k + m] * g**k)[:, None] * current
        before, current = current, (z * current - math.sqrt(k) * before) / math.sqrt(k + 1)
    return sums


@loop
def _panels(offsets, ends, kinks, i, j, g, t, layer):
    """For every pair the panels of i, cut also where those of j end and around the kinks of j."""
    most = 0
    for p in range(i.size):
        most += offsets[i[p] + 1] - offsets[i[p]] + offsets[j[p] + 1] - offsets[j[p]] + 2 * layer.size * kinks.shape[1]
    counts = np.zeros(i.size, np.int64)
    left, right = np.empty(most), np.empty(most)
    total = 0
    for p in range(i.size):
        mine, theirs = ends[offsets[i[p]] : offsets[i[p] + 1]], ends[offsets[j[p]] : offsets[j[p] + 1]]
        low, high = mine[0], mine[-1]
        points = np.empty(mine.size + theirs.size + 2 * layer.size * kinks.shape[1])
        points[: mine.size] = mine
        n = mine.size
        for z in theirs:
            if low < z / g[p] < high:
                points[n] = z / g[p]
                n += 1
        for z in kinks[j[p]]:
            for d in layer:
                for side in (-1.0, 1.0):
                    place = (z + side * d * t[p]) / g[p]
                    if low < place < high:
                        points[n] = place
                        n += 1
        points = np.sort(points[:n])
        last = points[0]
        for q in range(1, n):
            if points[q] - last > 1e-14 * (1.0 + abs(points[q])) or (q == n - 1 and points[q] > last):
                left[total], right[total] = last, points[q]
                last = points[q]
                total += 1
                counts[p] += 1
    return counts, left[:total], right[:total]
