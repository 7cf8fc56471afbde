"""E[σ(Y₁) σ(Y₂)] from the definition, as an integral over the plane of two independent normals:

    ∫∫ σ(μ₁ + s₁x) σ(μ₂ + s₂(ρx + √(1 − ρ²) z)) φ(x) φ(z) dx dz.

Gauss-Legendre sums over panels in z within panels in x; panels are cut exactly where either σ has a breakpoint, and
grow by factors of 2 from there, and from where a σ is near 0. The result is accurate relative to D =
√(E σ(Y₁)² E σ(Y₂)²): |z| > 12 is left out, which by Cauchy and Schwarz costs √P(|Z| > 12) D = 6e-17 D. Nothing is
adaptive, and no mean of σ is used. Arguments of σ are formed in extended precision, σ and the sums are in doubles.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import sympy
from numpy.typing import NDArray
from scipy.special import erfcx

from tests.oracle.definitions import _TANHSHRINK, Definition, Phi, _vectorised, tanhshrink, y

Array = NDArray[np.float64]

REGULAR, INNER_REGULAR = 0.5, 0.75
FARTHEST, INNER_FARTHEST = 39.0, 12.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_CHUNK = 2**10


@cache
def _function(piece: sympy.Expr) -> Callable[[Array], Array]:
    """A piece on arrays, with a Φ that keeps its tail, and an x − tanh x that keeps its digits."""
    more_accurate = {y * Phi(y): lambda t: t * _normal_tail(t), tanhshrink(y): _tanhshrink}
    return more_accurate.get(piece, _vectorised(piece))


def _tanhshrink(t: Array) -> Array:
    """The power series up to x^19 for |x| < 0.1, and extended precision."""
    far = (t - np.tanh(np.longdouble(1) * t)).astype(np.float64)
    return np.where(np.abs(t) < 0.1, np.polyval(_TANHSHRINK, np.clip(t, -0.1, 0.1)), far)


def _normal_tail(t: Array) -> Array:
    return np.where(t > 0, 1.0, 0.0) - np.sign(t) * 0.5 * erfcx(np.abs(t) / math.sqrt(2)) * np.exp(-0.5 * t * t)


def _value(sigma: Definition, values: Array, middle: Array) -> Array:
    """σ at values of which all in a row are on the piece that `middle` is on."""
    if not sigma.breakpoints:
        return _function(sigma.pieces[0])(values)
    piece = np.searchsorted(np.array([float(c) for c in sigma.breakpoints]), middle)
    out = np.empty(values.shape)
    for i, function in enumerate(map(_function, sigma.pieces)):
        rows = piece == i
        if rows.any():
            out[rows] = function(values[rows])
    return out


def _edges(places: Array, scales: Array, low: float, high: float, step: float) -> Array:
    """Regular panels on [low, high], cut at every place (…, k) and dyadically around it from its scale on."""
    regular = np.arange(low, high + step / 2, step)
    levels = max(1, math.ceil(math.log2(step / max(float(scales.min(initial=step)), 2.0**-60))) + 2)
    distances = np.ldexp(1.0, np.arange(levels)) * scales[..., None]
    distances = np.where(distances < 2 * step, distances, np.nan)
    around = np.concatenate([places[..., None], places[..., None] - distances, places[..., None] + distances], axis=-1)
    around = around.reshape(*places.shape[:-1], -1)
    everything = np.concatenate([np.broadcast_to(regular, (*places.shape[:-1], regular.size)), around], axis=-1)
    return np.sort(np.clip(np.nan_to_num(everything, nan=low, posinf=high, neginf=low), low, high), axis=-1)


def _panels(edges: Array) -> tuple[Array, Array, Array]:
    """Middles, nodes and weights times φ of panels."""
    half = 0.5 * np.diff(edges, axis=-1)
    middle = edges[..., :-1] + half
    nodes = middle[..., None] + half[..., None] * _NODES
    return middle, nodes, half[..., None] * _WEIGHTS * np.exp(-0.5 * nodes**2) / math.sqrt(2 * math.pi)


def _points(sigma: Definition) -> Array:
    """Where σ has breakpoints or its transition."""
    return np.array(sorted({0.0, *(float(c) for c in sigma.breakpoints)}))


def _argument(mean: float | Array, std: float | Array, z: Array) -> Array:
    """μ + s z."""
    return (np.longdouble(1) * mean + np.longdouble(1) * std * z).astype(np.float64)


def second_moment(sigma: Definition, mean: float, std: float) -> float:
    """E σ(μ + sZ)²."""
    places = (_points(sigma) - mean) / std
    scales = np.full(places.shape, min(0.25 / std, REGULAR))
    middle, z, weight = _panels(_edges(places, scales, -FARTHEST, FARTHEST, REGULAR))
    return float(np.sum(weight * _value(sigma, _argument(mean, std, z), mean + std * middle) ** 2))


def expectation(sigma: Definition, mean_1: float, std_1: float, mean_2: float, std_2: float, rho: float) -> float:
    """E[σ(Y₁) σ(Y₂)] for positive deviations."""
    root = math.sqrt((1 - rho) * (1 + rho))
    middle, x, weight = _panels(_outer_edges(_points(sigma), mean_1, std_1, mean_2, rho * std_2, root))
    first = weight * _value(sigma, _argument(mean_1, std_1, x), mean_1 + std_1 * middle)
    # by Cauchy and Schwarz again, without what has 1e-18 of D for each node
    size = np.abs(first) ** 2 / np.maximum(weight, 1e-320)
    matters = size > 1e-36 * size.max()
    middle = np.broadcast_to(middle[:, None], matters.shape)[matters]
    x, first = x[matters], first[matters]
    if root == 0:
        y_2, at = _argument(mean_2, rho * std_2, x), mean_2 + rho * std_2 * middle
        return float(np.sum(first * _value(sigma, y_2[:, None], at)[:, 0]))
    blocks = (slice(start, start + _CHUNK) for start in range(0, len(x), _CHUNK))
    return sum(float(np.sum(first[b] * _inner(sigma, mean_2, std_2, rho, root, x[b]))) for b in blocks)


def _outer_edges(points: Array, mean_1: float, std_1: float, mean_2: float, slope: float, root: float) -> Array:
    """Panels in x: around the places of the first σ, and around those of the second, blurred over √(1 − ρ²)/|ρ|."""
    with np.errstate(divide="ignore", invalid="ignore"):
        images = (points - mean_2) / slope
    own = min(0.25 / std_1, REGULAR)
    blurred = 0.25 * root / math.sqrt(1 - root * root) if root < 1 else math.inf
    sharp = 0.25 / abs(slope) if root == 0 else math.inf
    scales = [own] * points.size + [min(max(blurred, 1e-18), sharp, REGULAR)] * points.size
    places = np.concatenate([(points - mean_1) / std_1, images])
    return _edges(places, np.array(scales), -FARTHEST, FARTHEST, REGULAR)


def _inner(sigma: Definition, mean: float, std: float, rho: float, root: float, x: Array) -> Array:
    """E σ(μ + s(ρx + √(1 − ρ²) Z)) for every x."""
    centre = np.longdouble(1) * mean + np.longdouble(1) * std * rho * x
    spread = std * root
    places = ((_points(sigma) - centre[:, None]) / spread).astype(np.float64)
    scales = np.full(places.shape, min(0.25 / spread, INNER_REGULAR))
    middle, z, weight = _panels(_edges(places, scales, -INNER_FARTHEST, INNER_FARTHEST, INNER_REGULAR))
    values = (centre[:, None, None] + np.longdouble(1) * spread * z).astype(np.float64)
    on = (centre[:, None] + np.longdouble(1) * spread * middle).astype(np.float64)
    found = _value(sigma, values.reshape(-1, z.shape[-1]), on.reshape(-1)).reshape(values.shape)
    return np.sum(weight * found, axis=(1, 2))
