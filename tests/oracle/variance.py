"""Residual covariances of pairs of neurons and of layers, from the residuals of `tests.oracle.residual`.

Two functions make them, and know nothing of each other:

    by_integration   over Z and the part X of Z′ = gZ + tX that is independent of Z, cut along the kinks of both, with
                     panels that become fine near the place where the second function's kinks are smoothed over t;
                     any g, also ±1, where there is no X;
    by_series        the sum over degrees k > n, for |g| well below 1, with a proved bound of what it leaves out.

Standard deviations and correlations come from exact fractions, so that 1 − |g| has all its digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from flint import arb

from tests.oracle.arb import precision
from tests.oracle.definitions import Definition
from tests.oracle.local import BITS, Array, Float, Local, gauss, normal_density, to_arb, to_long
from tests.oracle.residual import SERIES, Factor, Neuron

BESIDE = 11.5
"""|X| ≤ 11.5: φ(11.5) = 1e-29."""
LAYER = (0.0, 0.6, 1.2, 2.0, 3.0, 4.5, 6.0, 8.0, 10.0, 12.0)
"""Panels around a smoothed kink, in units of its width."""
NEARLY_PARALLEL = 0.9
"""0.9**600 is 1e-27."""
TOGETHER = 32
"""Values of Z at a time: what is made of them fits the cache."""


@dataclass(frozen=True)
class Correlations:
    """g = E ZZ′, t² = 1 − g², c₁₂ = E ZD′, c₂₁ = E DZ′, c₂₂ = E DD′."""

    g: arb
    t: arb
    c12: arb
    c21: arb
    c22: arb

    @classmethod
    def plain(cls, g: Fraction | float) -> Correlations:
        """Those of neurons without factors."""
        with precision(BITS):
            exact = Fraction(g)
            return cls(to_arb(exact), to_arb(1 - exact**2).sqrt(), arb(0), arb(0), arb(0))


def covariance(one: Neuron, two: Neuron, pair: Correlations) -> np.longdouble:
    """E[residual · residual′], by the faster of the two ways."""
    return (by_series if abs(float(pair.g)) <= NEARLY_PARALLEL else by_integration)(one, two, pair)


def by_series(one: Neuron, two: Neuron, pair: Correlations) -> np.longdouble:
    """The sum over degrees beyond n. What is left out is at most |g|^(n + SERIES) times a little of √(VV′)."""
    if abs(float(pair.g)) > NEARLY_PARALLEL:
        raise ValueError(f"a correlation of {float(pair.g)} needs too many terms")
    g, c12, c21, c22 = (to_long(c) for c in (pair.g, pair.c12, pair.c21, pair.c22))
    (a, b), (c, d) = one.series, two.series
    k = np.arange(one.degree + 1, one.degree + 1 + SERIES).astype(Float)
    terms = a * c * g**k
    if one.factor.gated:
        below = np.where(k > 1, g ** np.maximum(k - 2, 0), 0)
        terms = terms + np.sqrt(k) * (a * d * c12 + b * c * c21) * g ** (k - 1)
        terms = terms + b * d * (c22 * g ** (k - 1) + (k - 1) * c12 * c21 * below)
    return np.sum(terms[::-1])


def by_integration(one: Neuron, two: Neuron, pair: Correlations) -> np.longdouble:
    """The integral over Z and X."""
    g, t = to_long(pair.g), to_long(pair.t)
    left, right = _outer_panels(one, two, g, t)
    z, weights = gauss(left, right)
    weights = weights * normal_density(z)
    values = one.residual.on(one.residual.panel_of((left + right) / 2), z)
    beside = BESIDE + two.sigma.growth * float(two.std * pair.t)
    moments = _inner(two.residual, g, t, z.ravel(), beside).reshape(-1, 3, *z.shape)
    if not one.factor.gated:
        return np.sum(weights * values[0] * moments[0, 0])
    g, t, c12, c21, c22 = (to_long(c) for c in (pair.g, pair.t, pair.c12, pair.c21, pair.c22))
    # D = a X + …, D′ = c₁₂ Z + b X + …, and what is left of the two is independent of Z and X
    a, b = (c21 / t, -g * c12 / t) if t > 0 else (Float(0), Float(0))
    first, second = moments
    along = first[0] + c12 * z * second[0] + b * second[1]
    beside = a * (first[1] + c12 * z * second[1] + b * second[2]) + (c22 - a * b) * second[0]
    return np.sum(weights * (values[0] * along + values[1] * beside))


def _outer_panels(one: Neuron, two: Neuron, g: np.longdouble, t: np.longdouble) -> tuple[Array, Array]:
    """Panels of Z: those of the first function, and where they matter those of the second, smoothed over t."""
    edges = one.residual.edges
    places = [edges]
    if abs(g) > 0.1:
        places.append(_apart(two.residual.edges / g, edges))
        kinks = np.array([to_long(c) for c in two.cuts], Float)
        layer = np.array([sign * d for d in LAYER for sign in (-1, 1)], Float)
        places.append(((kinks[:, None] + t * layer) / g).ravel())
    every = np.unique(np.concatenate(places))
    every = every[(every >= edges[0]) & (every <= edges[-1])]
    every = np.concatenate([every[:1], every[1:][np.diff(every) > 1e-16 * (1 + np.abs(every[1:]))]])
    # an edge of the first function must not give way to a neighbour: panels belong to one of its pieces
    every = np.unique(np.concatenate([every, edges]))
    return every[:-1], every[1:]


def _apart(some: Array, others: Array) -> Array:
    """Those of some ends of panels that are not close to any of the others, compared with their own panels."""
    some = np.sort(some)
    width = np.minimum(np.diff(some, append=np.inf), np.diff(some, prepend=-np.inf))
    place = np.clip(np.searchsorted(others, some), 1, len(others) - 1)
    distance = np.minimum(np.abs(some - others[place - 1]), np.abs(others[place] - some))
    return some[distance > width / 4]


def _inner(function: Local, g: np.longdouble, t: np.longdouble, z: Array, beside: float) -> Array:
    """E[f(gz + tX) X^j] for j = 0, 1, 2 and every z: shape (functions, 3, z)."""
    if t == 0:
        values = function(g * z)
        return np.stack([values, 0 * values, 0 * values], axis=1)
    out = np.zeros((len(function.coefficients), 3, len(z)), Float)
    for start in range(0, len(z), TOGETHER):
        some = slice(start, start + TOGETHER)
        out[:, :, some] = _inner_block(function, g, t, z[some], beside)
    return out


def _inner_block(function: Local, g: np.longdouble, t: np.longdouble, z: Array, beside: float) -> Array:
    regular = np.linspace(-beside, beside, int(beside) + 2, dtype=Float)
    edges = (function.edges[None, :] - g * z[:, None]) / t
    low, high = np.maximum(edges[:, 0], -beside), np.minimum(edges[:, -1], beside)
    edges = np.concatenate([edges, np.broadcast_to(regular, (len(z), len(regular)))], axis=1)
    edges = np.sort(np.clip(edges, low[:, None], np.maximum(high, low)[:, None]), axis=1)
    left, right = edges[:, :-1], edges[:, 1:]
    row, column = np.nonzero(right > left)
    left, right = left[row, column], right[row, column]
    x, weights = gauss(left, right)
    weights *= normal_density(x)
    # in z′ the panel is found by its middle, and its nodes by their places in it
    centre = (g * z)[row]
    panel = function.panel_of(centre + t * (left + right) / 2)
    values = function.on(panel, centre[:, None] + t * x)
    out = np.zeros((len(function.coefficients), 3, len(z)), Float)
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    for j in range(3):
        out[:, j, row[starts]] = np.add.reduceat((values * weights).sum(axis=-1), starts, axis=-1)
        weights *= x
    return out


def exact(values: Iterable[float]) -> list[Fraction]:
    """Doubles as the numbers that they are."""
    return [Fraction(float(v)) for v in values]


@dataclass(frozen=True)
class Truth:
    """Residual variances and covariances of the neurons of a layer.

    Attributes:
        covariances: (n_hidden, n_hidden), in 19 digits.
    """

    covariances: Array

    @property
    def deviations(self) -> Array:
        """√V."""
        return np.sqrt(np.diagonal(self.covariances))

    def residual(self, W_out: Array) -> Array:
        """E(f_o − p_o)²."""
        W = np.asarray(W_out).astype(Float)
        return np.einsum("oi,ij,oj->o", W, self.covariances, W)

    def scale(self, W_out: Array) -> Array:
        """Σ_ij |W_oi W_oj| √(V_i V_j)."""
        return (np.abs(np.asarray(W_out).astype(Float)) @ self.deviations) ** 2


def truth(
    sigma: Definition,
    W: Array,
    b: Array | None,
    mean: Array,
    cov: Array,
    degree: int,
    up: tuple[Array, Array | None] | None = None,
) -> Truth:
    """All pairs of neurons σ(w·x + b), or σ(w·x + b)(u·x + c) with `up` = (U, c), for x ~ N(mean, cov)."""
    neurons, pairs = prepared(sigma, W, b, mean, cov, degree, up)
    n = len(neurons)
    covariances = np.zeros((n, n), Float)
    for i in range(n):
        covariances[i, i] = neurons[i].variance
        for j in range(i):
            covariances[i, j] = covariances[j, i] = covariance(neurons[i], neurons[j], pairs(i, j))
    return Truth(covariances)


def prepared(
    sigma: Definition,
    W: Array,
    b: Array | None,
    mean: Array,
    cov: Array,
    degree: int,
    up: tuple[Array, Array | None] | None = None,
) -> tuple[list[Neuron], Callable[[int, int], Correlations]]:
    """The neurons of a layer and the correlations of any two, from exact covariances."""
    with precision(BITS):
        rows = [exact(w) for w in np.asarray(W)]
        others = [] if up is None else [exact(u) for u in np.asarray(up[0])]
        matrix = [exact(row) for row in np.asarray(cov)]
        S = _exact_covariances(rows + others, matrix)
        offsets = _exact_means(rows, b, mean)
        other_offsets = [] if up is None else _exact_means(others, up[1], mean)
        n = len(rows)
        std = [to_arb(S[i][i]).sqrt() for i in range(n)]

        def per(value: Fraction, *divisors: int) -> arb:
            """A covariance with preactivations in units of their deviations; 0 where they do not vary."""
            result = to_arb(value)
            for i in divisors:
                result = result / std[i] if S[i][i] else arb(0)
            return result

        neurons = []
        for i in range(n):
            factor = None
            if up is not None:
                along = per(S[i][n + i], i)
                left = S[n + i][n + i] - (S[i][n + i] ** 2 / S[i][i] if S[i][i] else 0)
                factor = Factor(to_arb(other_offsets[i]), along, to_arb(left).sqrt(), gated=True)
            neurons.append(Neuron(sigma, to_arb(offsets[i]), std[i], degree, factor))

    def pairs(i: int, j: int) -> Correlations:
        with precision(BITS):
            g = per(S[i][j], i, j)
            square = 1 - S[i][j] ** 2 / (S[i][i] * S[j][j]) if S[i][i] and S[j][j] else Fraction(1)
            if square < 0:
                raise ValueError("the covariance is not positive semidefinite, as rounding leaves singular ones")
            if up is None:
                return Correlations(g, to_arb(square).sqrt(), arb(0), arb(0), arb(0))
            along = [neurons[k].factor.along for k in (i, j)]
            c12 = per(S[i][n + j], i) - along[1] * g
            c21 = per(S[j][n + i], j) - along[0] * g
            # Cov(D, D′) = Cov(D, z′) − r′ Cov(D, Z′)
            c22 = to_arb(S[n + i][n + j]) - along[0] * per(S[i][n + j], i) - along[1] * c21
            if not square:
                c12 = c21 = arb(0)
            return Correlations(g, to_arb(square).sqrt(), c12, c21, c22)

    return neurons, pairs


def _exact_covariances(rows: Sequence[Sequence[Fraction]], cov: Sequence[Sequence[Fraction]]) -> list[list[Fraction]]:
    products = [[sum(w * c for w, c in zip(row, column)) for column in zip(*cov)] for row in rows]
    return [[sum(p * v for p, v in zip(product, other)) for other in rows] for product in products]


def _exact_means(rows: Sequence[Sequence[Fraction]], b: Array | None, mean: Array) -> list[Fraction]:
    center = exact(mean)
    biases = [Fraction(0)] * len(rows) if b is None else exact(b)
    return [sum((w * m for w, m in zip(row, center)), start) for row, start in zip(rows, biases)]
