"""What a polynomial leaves of every neuron: its residual variance, and all Hermite coefficients beyond the degree.

A neuron is σ(y)·z with y = μ + sZ and z = ν + rZ + τZ₂, Z and Z₂ independent standard normals; in an MLP
ν = 1, r = τ = 0. With he_k = He_k/√k! and ĥ_k = E[σ(y) he_k(Z)] its part of degree k is

    α_k he_k(Z) + τ β_k Z₂ he_{k−1}(Z),    α_k = ν ĥ_k + r (√(k+1) ĥ_{k+1} + √k ĥ_{k−1}),    β_k = ĥ_{k−1},

and its residual variance V = Σ_{k>n} (α_k² + τ²β_k²). All of it is wanted to rounding relative to √V, which
may be far below σ itself, so that ĥ_k comes from whichever derivative of σ says it best: integrating by parts
j times, over the points c where derivatives jump by J_0, J_1, …,

    ĥ_k = s^j √((k−j)!/k!) E[σ^(j)(y) he_{k−j}(Z)] + Σ_c Σ_{i<j} J_i s^i φ(z_c) He_{k−1−i}(z_c)/√k!,   z_c = (c − μ)/s.

For piecewise polynomials the first part vanishes at j = degree + 1, and the coefficients are in closed form to
any order. For others j is chosen for each neuron: 0 where s is wide, the highest known where s is narrow, in
between what leaves the least rounding. (Our derivation: residual variance, derivations/variance.md.)
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric import moments
from numeric.blocks import in_threads
from numeric.jit import loop
from numeric.panels import BULK, POINTS, Panels, resolve, series_coefficients
from numeric.reduced import Reduced
from numeric.special import INV_SQRT_2PI, gauss

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

EPSILON = float(np.finfo(np.float64).eps)
# What series may leave out, relative to √(V V′).
LEFT_OUT = 1e-15
# After how many terms beyond the degree the rest of a series is known.
TERMS = np.array([8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048])
# Smooth neurons get the few first and the many where those do not end; kinks cost little.
FEW, MANY, OF_KINKS = 64, 384, 2048
_MOST_NUMBERS = 2**23
# Neurons whose nodes are in memory together.
_BLOCK = 512
# From this deviation on σ itself is integrated, not a derivative.
_WIDE = 4.0
# The share of V in the last eight terms that ends a series.
_ENDED = 1e-18
# Shares of the deviation that a series may miss, and roundings of σ, by which the integral may exceed it.
_WAVES, _ROUNDINGS = 1e-7, 1e3


def _factorials(n: int) -> Float64:
    return np.array([math.factorial(k) for k in range(n + 1)], dtype=np.float64)


@dataclass(frozen=True)
class Factor:
    """z = ν + rZ + τZ₂, what σ(y) is multiplied by: ν, r and τ of every neuron; 1, 0, 0 in an MLP."""

    mean: Float64
    along: Float64
    beside: Float64
    gated: bool

    @classmethod
    def one(cls, n: int) -> "Factor":
        """No factor at all."""
        return cls(np.ones(n), np.zeros(n), np.zeros(n), gated=False)

    def of(self, neurons: Any) -> "Factor":
        return Factor(self.mean[neurons], self.along[neurons], self.beside[neurons], self.gated)

    def first(self, degree: int) -> int:
        """The lowest ĥ_k that degrees above n are made of."""
        return degree if self.gated else degree + 1

    def size(self) -> Float64:
        return np.sqrt(self.mean**2 + self.along**2 + self.beside**2)


@dataclass(frozen=True)
class Residuals:
    """The neurons of a layer beyond degree n.

    Attributes:
        degree: n.
        low: (n_hidden, n + 2), ĥ_0 … ĥ_{n+1} of σ without its harmless part.
        alpha, beta: (n_hidden, terms), α_k and β_k for k = n + 1, n + 2, …; beta has no columns in an MLP.
        variance: (n_hidden,), V.
        error: (n_hidden,), what rounding leaves uncertain of a residual, as a root mean square.
        beyond: (n_hidden, len(TERMS)), the share of V that is left after the first 8, 16, … terms.
    """

    degree: int
    low: Float64
    alpha: Float64
    beta: Float64
    variance: Float64
    error: Float64
    beyond: Float64

    @classmethod
    def empty(cls, n: int, degree: int, terms: int, gated: bool) -> "Residuals":
        low, alpha, beta = np.zeros((n, degree + 2)), np.zeros((n, terms)), np.zeros((n, terms if gated else 0))
        return cls(degree, low, alpha, beta, np.zeros(n), np.zeros(n), np.zeros((n, len(TERMS))))

    def set(self, rows: Int64, part: "Residuals") -> None:
        for mine, given in ((self.low, part.low), (self.alpha, part.alpha), (self.beta, part.beta)):
            mine[rows] = 0.0
            mine[rows, : given.shape[1]] = given
        self.variance[rows], self.error[rows], self.beyond[rows] = part.variance, part.error, part.beyond


def residuals(reduced: Reduced, std: Float64, factor: Factor, degree: int) -> Residuals:
    """The residuals of all neurons; where std is 0 those of the constant σ(μ) times z."""
    varies = std > 0
    kinked = varies & ~reduced.has_narrow_pieces(std) & reduced.is_spline
    of_kinks = int(np.clip(_MOST_NUMBERS // max(len(std), 1), FEW, OF_KINKS))
    terms = max(of_kinks if kinked.any() else 0, MANY if (varies & ~kinked).any() else 0, FEW)
    made = Residuals.empty(len(std), degree, terms, factor.gated)

    def closed(rows: Int64) -> None:
        made.set(rows, _closed(reduced.of(rows), std[rows], factor.of(rows), degree, of_kinks))

    def integrated(rows: Int64) -> None:
        part = _integrated(reduced.of(rows), std[rows], factor.of(rows), degree, FEW)
        made.set(rows, part)
        slow = rows[part.beyond[:, np.searchsorted(TERMS, FEW)] > 16 * _ENDED]
        if len(slow):
            made.set(slow, _integrated(reduced.of(slow), std[slow], factor.of(slow), degree, MANY))

    # blocks write to rows of their own
    in_threads(closed, _blocks(kinked))
    in_threads(integrated, _blocks(varies & ~kinked))
    if factor.gated and degree == 0:
        # a constant σ(μ) times z has degree 1, along Z₂
        still = np.flatnonzero(~varies)
        made.beta[still, 0] = reduced.activation(reduced.mean[still])
        made.variance[still] = (made.beta[still, 0] * factor.beside[still]) ** 2
    return made


def _blocks(chosen: NDArray[np.bool_]) -> list[Int64]:
    neurons = np.flatnonzero(chosen)
    return [neurons[i : i + _BLOCK] for i in range(0, len(neurons), _BLOCK)]


def _closed(reduced: Reduced, std: Float64, factor: Factor, degree: int, terms: int) -> Residuals:
    """Piecewise polynomials: every coefficient beyond their degree from the jumps."""
    first = factor.first(degree)
    hermite = np.zeros((len(std), terms + degree + 2 - first))
    every = np.full(len(std), reduced.degree + 1)
    add_jumps(reduced.mean, std, reduced.cuts, reduced.jumps, every, first, hermite)
    known = reduced.degree + 1 - first
    if known > 0:
        low = moments.hermite_coefficients(reduced.activation, reduced.mean, std, order=reduced.degree)
        hermite[:, :known] = (low / np.sqrt(_factorials(reduced.degree)))[:, first:]
    low, variance = _directly(reduced, std, factor, degree)
    # a relative rounding of μ or s changes φ(z) by z² times as much
    nearest = np.min(((reduced.cuts - reduced.mean[:, None]) / std[:, None]) ** 2, axis=1, initial=40.0**2)
    return _assembled(hermite, first, low, variance, EPSILON * (1 + nearest) * np.sqrt(variance), factor, degree)


def _integrated(reduced: Reduced, std: Float64, factor: Factor, degree: int, terms: int) -> Residuals:
    """Any function: coefficients from the derivative that leaves the least rounding."""
    first = factor.first(degree)
    panels = panels_of(reduced, std, degree).for_order(terms + degree)
    z, weights = panels.nodes()
    y = reduced.mean[panels.owner, None] + std[panels.owner, None] * z
    highest = min(first, reduced.derivatives_known)
    derivatives = reduced.derivatives(y, highest)
    derivatives[..., 0] = reduced.values(y, panels.owner)
    starts = panels.offsets[:-1]
    # the weights under the square: σ itself may be beyond the root of the largest double where they are tiny
    squares = (np.sqrt(weights)[:, :, None] * derivatives) ** 2
    size = np.sqrt(np.add.reduceat(squares.sum(axis=1), starts, axis=0))
    powers = std[:, None] ** np.arange(highest + 1)
    noise = EPSILON * size * powers * _falling(np.array([first]), np.arange(highest + 1))[0]
    # derivatives of what is narrow beside s may be missed altogether
    noise[std > _WIDE, 1:] = np.inf
    noise[np.isnan(noise)] = np.inf
    chosen = np.argmin(noise, axis=1)
    values = weights * np.take_along_axis(derivatives, chosen[panels.owner][:, None, None], axis=2)[..., 0]
    raw = np.zeros((len(std), terms + degree + 2))
    series_coefficients(panels.offsets * POINTS, z.ravel(), values.ravel(), raw)
    orders = np.arange(first, terms + degree + 2)
    hermite = np.zeros((len(std), len(orders)))
    for j in np.unique(chosen):
        rows = chosen == j
        shifted = raw[np.ix_(rows, orders - j)]
        hermite[rows] = shifted * powers[rows, j][:, None] * _falling(orders, np.array([j]))[:, 0]
    add_jumps(reduced.mean, std, reduced.cuts, reduced.jumps, chosen, first, hermite)
    low, variance = _directly(reduced, std, factor, degree)
    made = _assembled(hermite, first, low, variance, noise[:, 0], factor, degree)
    # where a series ends nothing is averaged over σ itself, whose own rounding would be in it
    ended = made.beyond[:, -1] < LEFT_OUT**2
    least = np.take_along_axis(noise, chosen[:, None], axis=1)[:, 0]
    whole = EPSILON * np.hypot(size[:, 0], np.abs(reduced.line[:, 0]) + std * np.abs(reduced.line[:, 1]))
    made.error[:] = np.where(ended, least, whole) * factor.size() * math.sqrt(first + 1)
    return made


def _falling(k: Int64, j: Int64) -> Float64:
    """√((k − j)!/k!) for all k and j."""
    result = np.ones((len(k), len(j)))
    for i in range(int(j.max(initial=0))):
        result[:, j > i] /= np.sqrt(np.maximum(k - i, 1))[:, None]
    return result


@loop
def add_jumps(mean, std, cuts, jumps, upto, first, out):
    """What the jumps of σ, …, σ^(upto − 1) add to ĥ_first, ĥ_{first + 1}, …"""
    last = first + out.shape[1]
    psi = np.empty(last + 1)
    for i in range(mean.size):
        for c in range(cuts.size):
            z = (cuts[c] - mean[i]) / std[i]
            # ψ_m = φ(z) he_m(z); beyond ±38 φ is subnormal, and so is everything here
            psi[0] = INV_SQRT_2PI * gauss(min(max(z, -40.0), 40.0))
            psi[1] = z * psi[0]
            for m in range(1, last):
                psi[m + 1] = (z * psi[m] - np.sqrt(float(m)) * psi[m - 1]) / np.sqrt(m + 1.0)
            power = 1.0
            for q in range(upto[i]):
                height = jumps[c, q] * power
                power *= std[i]
                if height != 0.0:
                    for k in range(max(first, q + 1), last):
                        falling = 1.0
                        for a in range(q + 1):
                            falling *= k - a
                        out[i, k - first] += height * psi[k - 1 - q] / np.sqrt(falling)


def panels_of(reduced: Reduced, std: Float64, degree: int) -> Panels:
    """Panels for what is left of σ, and for squares of polynomials of the degree, which live on |z| < 2√n."""
    bulk = max(BULK, 2 * math.sqrt(degree) + 9)
    return resolve(reduced.values, reduced.mean, std, reduced.cuts, bulk).for_order(4 * (degree + 1))


def _directly(reduced: Reduced, std: Float64, factor: Factor, degree: int) -> tuple[Float64, Float64]:
    """ĥ_0 … ĥ_{n+1}, and V as the integral of the squared residual."""
    panels = panels_of(reduced, std, degree)
    z, weights = panels.nodes()
    values = reduced.values(reduced.mean[panels.owner, None] + std[panels.owner, None] * z, panels.owner)
    low = np.zeros((len(std), degree + 2))
    series_coefficients(panels.offsets * POINTS, z.ravel(), (weights * values).ravel(), low)
    along, beside = residual_values(z, values, low[panels.owner], factor.of(panels.owner), degree)
    root = np.sqrt(weights)
    squares = (root * along) ** 2 + (factor.beside[panels.owner, None] * root * beside) ** 2
    return low, np.add.reduceat(squares.sum(axis=1), panels.offsets[:-1])


def alpha_of(hermite: Float64, factor: Factor, degree: int) -> Float64:
    """α_0 … α_n from ĥ_0 … ĥ_{n+1}."""
    k = np.arange(degree + 1)
    below = np.zeros((len(hermite), degree + 1))
    below[:, 1:] = hermite[:, :degree]
    around = np.sqrt(k + 1) * hermite[:, 1 : degree + 2] + np.sqrt(k) * below
    return factor.mean[:, None] * hermite[:, : degree + 1] + factor.along[:, None] * around


def residual_values(
    z: Float64, values: Float64, hermite: Float64, factor: Factor, degree: int
) -> tuple[Float64, Float64]:
    """R_a and R_b of the residual R_a(Z) + τZ₂ R_b(Z), at the z of one row for each neuron.

    R_a = (ν + rZ) σ − Σ_{k≤n} α_k he_k, R_b = σ − Σ_{k<n} ĥ_k he_k. In an MLP R_b is of no use, and 0.
    """
    alpha = alpha_of(hermite, factor, degree)
    along = values * (factor.mean[:, None] + factor.along[:, None] * z) if factor.gated else values.copy()
    beside = values.copy() if factor.gated else np.zeros_like(z)
    before, current = np.zeros_like(z), np.ones_like(z)
    for k in range(degree + 1):
        along -= alpha[:, k, None] * current
        if factor.gated and k < degree:
            beside -= hermite[:, k, None] * current
        before, current = current, (z * current - math.sqrt(k) * before) / math.sqrt(k + 1)
    return along, beside


def _assembled(
    hermite: Float64, first: int, low: Float64, direct: Float64, error: Float64, factor: Factor, degree: int
) -> Residuals:
    """α, β and V from the coefficients from `first` on."""
    start = degree + 1 - first
    terms = hermite.shape[1] - start - 1
    alpha = hermite[:, start : start + terms]
    beta = np.zeros((len(hermite), 0))
    energy = alpha**2
    if factor.gated:
        k = np.arange(degree + 1, degree + 1 + terms)
        beta = hermite[:, start - 1 : start - 1 + terms]
        around = np.sqrt(k + 1) * hermite[:, start + 1 : start + 1 + terms] + np.sqrt(k) * beta
        alpha = factor.mean[:, None] * alpha + factor.along[:, None] * around
        energy = alpha**2 + (factor.beside[:, None] * beta) ** 2
    # Summed from the small end, so that the rest after m terms has no cancellation in it.
    rest = np.cumsum(energy[:, ::-1], axis=1)[:, ::-1]
    ended = energy[:, -8:].sum(axis=1) <= _ENDED * rest[:, 0]
    # after a straight part the terms of a fast wave come later than all that are known
    ended &= np.sqrt(direct) <= (1 + _WAVES) * np.sqrt(rest[:, 0]) + _ROUNDINGS * error
    variance = np.where(ended, rest[:, 0], np.maximum(direct, rest[:, 0]))
    missing = np.where(ended, 4 * energy[:, -8:].sum(axis=1), np.maximum(variance - rest[:, 0], EPSILON * variance))
    after = np.concatenate([rest, np.zeros((len(rest), 1))], axis=1)[:, np.minimum(TERMS, terms)]
    with np.errstate(invalid="ignore", divide="ignore"):
        beyond = np.where(variance[:, None] > 0, (after + missing[:, None]) / variance[:, None], 0.0)
    return Residuals(degree, low, alpha, beta, variance, error, beyond)
