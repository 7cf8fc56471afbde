"""Points (μ, s) over the whole domain 1e-8 ≤ s ≤ 1e8, |μ| ≤ 50 max(1, s), dense where kernels go wrong.

Errors hide far out in tails, next to breakpoints, where an interval of σ is as wide as s, and where a
kernel may change its formula. Each of these is a group of its own; a plain random draw would meet none of
them often.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

S_MIN, S_MAX, MU_FACTOR = 1e-8, 1e8, 50.0
SEED = 20250201


def sample_points(
    centers: Sequence[float],
    lengths: Sequence[float],
    seed: int = SEED,
    s_max: float = S_MAX,
    rates: Sequence[float] = (),
) -> tuple[Array, Array]:
    """At least 2,000 distinct points, sorted by s, the same for the same arguments.

    Args:
        centers: where σ has breakpoints or features (at least one).
        lengths: the scales in y on which it changes (at least one).
        seed: of the random groups.
        s_max: the largest s.
        rates: those of exponential tails (the other groups are smaller then).
    """
    rng = np.random.default_rng(seed)
    groups = [
        _uniform_means(rng, 400, s_max),
        _small_means(rng, 330, s_max),
        _around(rng, 210 if rates else 300, centers, 40.0, s_max),
        _around(rng, 200 if rates else 290, centers, 8.0, s_max),
        _around(rng, 100, centers, 0.0, s_max),
        _last_digits(rng, 50 if rates else 100, centers, s_max),
        _transitions(rng, 220, centers, lengths),
        _switching(rng, 100 if rates else 200),
        _tilted(rng, 60 if rates else 160, centers),
        _corners(centers, s_max),
    ]
    if rates:
        groups += [_exponential_tails(rng, 250, rates), _moderate(rng, 220)]
    mu, s = np.concatenate(groups, axis=1)
    s = np.clip(s, S_MIN, s_max)
    mu = np.clip(mu, -_reach(s), _reach(s)) + 0.0  # no negative zero
    return distinct(mu, s)


def distinct(mu: Array, s: Array) -> tuple[Array, Array]:
    """The points without repetitions, sorted by s."""
    mu, s = np.unique(np.stack([s, mu], axis=1), axis=0).T[::-1]
    return mu.copy(), s.copy()


def _reach(s: Array) -> Array:
    return MU_FACTOR * np.maximum(1, s)


def _log_uniform(rng: np.random.Generator, low: Array | float, high: Array | float, n: int) -> Array:
    return np.exp(rng.uniform(np.log(low), np.log(high), n))


def _signs(rng: np.random.Generator, n: int) -> Array:
    return rng.choice([-1.0, 1.0], n)


def _uniform_means(rng: np.random.Generator, n: int, s_max: float) -> Array:
    s = _log_uniform(rng, S_MIN, s_max, n)
    return np.stack([rng.uniform(-1, 1, n) * _reach(s), s])


def _small_means(rng: np.random.Generator, n: int, s_max: float) -> Array:
    """|μ| from 1e-10 on, and μ = 0."""
    s = _log_uniform(rng, S_MIN, s_max, n)
    mu = _signs(rng, n) * _log_uniform(rng, 1e-10, _reach(s), n)
    mu[:40] = 0
    return np.stack([mu, s])


def _around(rng: np.random.Generator, n: int, centers: Sequence[float], far: float, s_max: float) -> Array:
    """μ up to `far` standard deviations from a breakpoint."""
    s = _log_uniform(rng, S_MIN, s_max, n)
    return np.stack([rng.choice(centers, n) + rng.uniform(-far, far, n) * s, s])


def _last_digits(rng: np.random.Generator, n: int, centers: Sequence[float], s_max: float) -> Array:
    """36 to 39.5 standard deviations from a breakpoint, where φ sinks below the normal doubles, but φ / s**k
    need not, for small s above all."""
    s = _log_uniform(rng, S_MIN, np.where(np.arange(n) % 4, 1e-6, s_max), n)
    z = _signs(rng, n) * rng.uniform(36, 39.5, n)
    return np.stack([rng.choice(centers, n) + z * s, s])


def _transitions(rng: np.random.Generator, n: int, centers: Sequence[float], lengths: Sequence[float]) -> Array:
    """s from a tenth to ten times a length of σ."""
    s = rng.choice(lengths, n) * _log_uniform(rng, 0.1, 10, n)
    return np.stack([rng.choice(centers, n) + rng.uniform(-8, 8, n) * s, s])


def _switching(rng: np.random.Generator, n: int) -> Array:
    """Where Gaussian and σ compete: μ / √(1 + s²) moderate or far out, and |μ| about s²."""
    s = _log_uniform(rng, 0.03, 30, n)
    u = rng.uniform(-1, 1, n) * np.where(np.arange(n) % 2, 4, 40)
    mu = u * np.sqrt(1 + s * s)
    third = slice(None, None, 3)
    mu[third] = (_signs(rng, n) * s * s * rng.uniform(0.5, 2, n))[third]
    return np.stack([mu, s])


def _tilted(rng: np.random.Generator, n: int, centers: Sequence[float]) -> Array:
    """Means far out, with a width that brings the mass of Gaussian × exp(-y²/2) back to moderate y.

    There the terms of a σ with a Gaussian tail cancel although rounding of μ and s does no harm: the mean of
    y Φ(y), for one, vanishes near μ = -s².
    """
    s = _log_uniform(rng, 0.3, 40, n)
    mu = (rng.choice(centers, n) + rng.uniform(-4, 4, n)) * (1 + s * s)
    half = slice(None, None, 2)
    mu[half] = (_signs(rng, n) * (s * s + rng.uniform(-4, 4, n)))[half]
    return np.stack([mu, s])


def _exponential_tails(rng: np.random.Generator, n: int, rates: Sequence[float]) -> Array:
    """Means with the mass of Gaussian × e^(λy) or e^(-λy) around a y of its own, |y| up to some hundreds."""
    s = _log_uniform(rng, 0.3, 40, n)
    y = np.where(np.arange(n) % 2, rng.uniform(-4, 4, n), -_log_uniform(rng, 1, 700, n))
    return np.stack([_signs(rng, n) * (y - rng.choice(rates, n) * s * s), s])


def _moderate(rng: np.random.Generator, n: int) -> Array:
    """Where kernels change from one rule to another: s about 1, μ anywhere near."""
    s = _log_uniform(rng, 0.3, 4, n)
    return np.stack([rng.uniform(-1, 1, n) * np.where(np.arange(n) % 2, 6, 50), s])


def _corners(centers: Sequence[float], s_max: float) -> Array:
    """The extreme s, and s = 1, with μ at 0, at the ends, tiny, and at and beside the breakpoints."""
    points = []
    for s in (S_MIN, 1.0, s_max):
        end = MU_FACTOR * max(1.0, s)
        beside = [t for c in centers for t in (c, np.nextafter(c, -1e9), np.nextafter(c, 1e9), c - s, c + s)]
        means = [0.0, end, -end, end / 2, -end / 2, 1e-10, -1e-10, 1.0, -1.0, s, -s, 30 * s, -30 * s, *beside]
        points += [(float(m), s) for m in means]
    return np.array(points).T
