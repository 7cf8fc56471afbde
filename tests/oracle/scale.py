"""The sizes against which errors are measured, for many points at once.

    D_k(μ, s) = E[|σ(μ + sZ)| (|He_k(Z)| + k |He_{k-1}(Z)|)],

to about 1e-7 relative. It is an integral of a non-negative function with kinks at known places: panels in z
are cut there (breakpoints and roots of σ, roots of He), on a regular grid, and on a regular grid in y = μ +
sz where a smooth σ has its features; Gauss-Legendre on each panel. The integrand may be as small as 1e-380
with all of its mass 40 standard deviations out, so logarithms of Gaussian × |σ| are shifted by their
maximum before exp, and the answer is log2 D.
"""

from __future__ import annotations

import numpy as np
import sympy
from numpy.typing import NDArray

from tests.oracle.definitions import Definition

Array = NDArray[np.float64]

Z_MAX = 42.0
"""exp(-Z_MAX**2/2) = 1e-383."""

SMALLEST_LOG2 = -1200.0
SMALLEST_LOG2_WITH_FEATURES = -1070.0
"""Below these, D counts as 0: the window ends, or σ itself is below the smallest double where the mass is."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_Z_GRID = np.arange(-Z_MAX, Z_MAX + 0.25, 0.5)
_FAR = 45.0 * 2.0 ** np.arange(1, 15)
_Y_GRID = np.concatenate([-_FAR[::-1], np.arange(-45.0, 45.5, 1.0), _FAR])
"""Beyond 45, exponentials have died and algebraic tails change on the scale of y itself."""
_CHUNK = 128

WAVE_WINDOW = 13.0
"""A wave's mass lies within |z| < 13: it never decays, so no tail outweighs the centre."""
WAVE_AVERAGED = 1500.0
"""Beyond this s, |sin| is replaced by its average 2/π: the relative error is below 1/s**2."""


def hermite_weights(z: Array, orders: int) -> list[Array]:
    """|He_k| + k |He_{k-1}| for k < orders."""
    before, current = np.zeros_like(z), np.ones_like(z)
    weights = []
    for k in range(orders):
        weights.append(np.abs(current) + k * np.abs(before))
        before, current = current, z * current - k * before
    return weights


def log2_scales(sigma: Definition, mu: Array, s: Array, orders: int) -> Array:
    """log2 D_k for k < orders, shape mu.shape + (orders,); -inf where D_k is 0 or negligible."""
    mu, s = (np.asarray(a, dtype=float) for a in np.broadcast_arrays(mu, s))
    result = np.empty((mu.size, orders))
    by_width = np.argsort(s.ravel(), kind="stable")  # a chunk has as many panels as its widest row needs
    for start in range(0, mu.size, _CHUNK):
        rows = by_width[start : start + _CHUNK]
        result[rows] = _chunk(sigma, mu.ravel()[rows, None], s.ravel()[rows, None], orders)
    smallest = SMALLEST_LOG2_WITH_FEATURES if sigma.has_features else SMALLEST_LOG2
    return np.where(result < smallest, -np.inf, result).reshape(*mu.shape, orders)


def _chunk(sigma: Definition, mu: Array, s: Array, orders: int) -> Array:
    if sigma.wave is None:
        return _integrate(sigma, mu, s, _edges(sigma, mu, s, orders), orders)
    result = np.empty((mu.size, orders))
    slow = (s <= WAVE_AVERAGED).ravel()
    if not slow.all():
        result[~slow] = np.log2(2 / np.pi) + _average_weights(orders)
    for rows in np.array_split(np.flatnonzero(slow), max(1, int(s[slow].max(initial=0)) // 4)):
        if rows.size:
            edges = _edges(sigma, mu[rows], s[rows], orders)
            result[rows] = _integrate(sigma, mu[rows], s[rows], edges, orders)
    return result


def _average_weights(orders: int) -> Array:
    """log2 E[|He_k| + k |He_{k-1}|]."""
    zero = np.zeros((1, 1))
    one = Definition("one", (sympy.S.One,))
    return _integrate(one, zero, zero, np.sort(np.concatenate([_Z_GRID, hermite_roots(orders)]))[None], orders)[0]


def hermite_roots(orders: int) -> Array:
    """All roots of He_0 … He_{orders-1}."""
    return np.unique(np.concatenate([np.polynomial.hermite_e.hermegauss(max(k, 1))[0] for k in range(orders)]))


def _edges(sigma: Definition, mu: Array, s: Array, orders: int) -> Array:
    """Sorted panel edges for every row, clipped to the window (equal edges are empty panels)."""
    window = Z_MAX if sigma.wave is None else WAVE_WINDOW
    in_y = [[float(c) for c in sigma.breakpoints], sigma.roots]
    if sigma.has_features:
        in_y.append(_Y_GRID)
    fixed = np.concatenate([_Z_GRID, hermite_roots(orders)])
    moving = [(np.concatenate([np.asarray(c, dtype=float) for c in in_y]) - mu) / s]
    if sigma.wave is not None:
        moving.append(_wave_roots(sigma.wave, mu, s))
    edges = np.concatenate([np.broadcast_to(fixed, (mu.size, fixed.size)), *moving], axis=1)
    if sigma.growth:  # the mass of e^(growth y) φ(z) is around z = growth s
        tilt = sigma.growth * s
        edges = np.concatenate([edges, _Z_GRID + tilt], axis=1)
        return np.sort(np.clip(edges, -window, window + tilt), axis=1)
    return np.sort(np.clip(edges, -window, window), axis=1)


def _wave_roots(phase: float, mu: Array, s: Array) -> Array:
    """Roots in z of sin(μ + sz + phase) in the window."""
    first = np.ceil((mu + phase - WAVE_WINDOW * s) / np.pi)
    count = int(np.ceil(2 * WAVE_WINDOW * s.max() / np.pi)) + 1
    return ((first + np.arange(count)) * np.pi - phase - mu) / s


def _integrate(sigma: Definition, mu: Array, s: Array, edges: Array, orders: int) -> Array:
    half = np.diff(edges, axis=1)[..., None] / 2
    z = edges[:, :-1, None] + half * (1 + _NODES)
    height = -z * z / 2 + _log_abs(sigma, mu[..., None], s[..., None], z)
    height[np.broadcast_to(half == 0, height.shape)] = -np.inf
    top = height.max(axis=(1, 2), keepdims=True)
    density = np.exp(height - np.where(np.isfinite(top), top, 0)) * (half * _WEIGHTS)
    sums = np.stack([(density * w).sum(axis=(1, 2)) for w in hermite_weights(z, orders)], axis=-1)
    with np.errstate(divide="ignore"):
        return np.log2(sums) + top[:, 0] / np.log(2) - np.log2(2 * np.pi) / 2


def _log_abs(sigma: Definition, mu: Array, s: Array, z: Array) -> Array:
    """ln |σ(μ + sz)|. The piece is chosen in z, where the panels were cut."""
    values = mu + s * z
    chosen = np.zeros(np.shape(values), dtype=np.intp)
    for c in sigma.breakpoints:
        chosen += z > (float(c) - mu) / s
    with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
        return np.choose(chosen, [f(values) for f in sigma.log_magnitudes])
