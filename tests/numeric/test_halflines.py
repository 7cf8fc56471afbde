"""Moments of e^{λt} on a half-line against their definition, at 80 digits and more.

With s = 1, c = 0 and Z = −u − τ, where u and a = λ are the doubles that the functions get,

    P_k = E[e^{a(u+Z)} 1{Z < −u} He_k(Z)] = (−1)^k ∫₀^∞ e^{−aτ} He_k(u + τ) φ(u + τ) dτ

and R_k the same with −τ inside. Truth is the recursion P_k = a P_{k−1} − Φ^(k)(u) in as many digits as it takes,
and R_k = u P_k + P_{k+1} + k P_{k−1}; both are held against the integral itself below. Errors are relative to

    D_k = E[e^{λt} 1{t < 0} (|He_k(Z)| + k |He_{k−1}(Z)|)], for R_k with |t| inside:

what the sum of the absolute values of all terms can be.
"""

import functools
import itertools
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf
from numba import njit
from numpy.polynomial.hermite_e import hermeval

from numeric import halflines
from numeric.special import Phi_phi

EPSILON = 2.0**-52
ORDER = 8
FORMS = ("P", "R", "P short", "R short")
# Below this a result may be a subnormal number, or a product of one.
FLOOR = mpf("1e-300")
A = [*(10.0 ** np.arange(-3, 5)), 0.03, 0.3, 0.7, 3.0, 7.3, 23.0, 39.9, 61.7, 777.7]
U = [0.0, 1e-9, 0.01, 0.3, 0.999, 1.0, 2.5, 4.0, 6.1, 11.3, 19.7, 29.9, 36.6, 39.99, 40.01, 60.0]
POINTS = sorted({(sign * u, a) for u, a in itertools.product(U, A) for sign in (1, -1)})
# v = u + a around 0, where one form takes over from the other
POINTS += [
    (-a * (1 + shift), a)
    for a in (1e-3, 0.1, 1.0, 4.7, 12.0, 25.3, 33.0, 37.9)
    for shift in (-0.03, -1e-3, -1e-9, -EPSILON, 0.0, EPSILON, 1e-9, 1e-3, 0.03)
]
_rng = np.random.default_rng(7)
POINTS += [
    (float(u), float(10**e)) for u, e in zip(_rng.uniform(-60, 60, 150), _rng.uniform(-3, 4, 150), strict=True)
]
POINTS += [
    (float(-a + v), float(a)) for a, v in zip(_rng.uniform(0.1, 38, 100), _rng.uniform(-3, 3, 100), strict=True)
]


# --- the truth -------------------------------------------------------------------------------------------


def moments(u, a, order):
    """(P_0 … P_order, R_0 … R_order), by the recursions, in 60 digits after whatever cancels."""
    with mp.workdps(80 + int((order + 2) * 2 * math.log10(10 + a + abs(u)))):
        u, a = mpf(u), mpf(a)
        p = [mpmath.exp(a * u + a * a / 2) * mpmath.erfc((u + a) / mpmath.sqrt(2)) / 2]
        phi = mpmath.exp(-u * u / 2) / mpmath.sqrt(2 * mpmath.pi)
        before, now = mpf(0), mpf(1)
        for k in range(1, order + 2):
            # Φ^(k)(u) = (−1)^(k−1) He_(k−1)(u) φ(u)
            p.append(a * p[-1] - (-1) ** (k - 1) * now * phi)
            before, now = now, u * now - (k - 1) * before
        r = [u * p[k] + p[k + 1] + (k * p[k - 1] if k else 0) for k in range(order + 1)]
        return p[: order + 1], r


def by_integration(u, a, k, shift):
    """One of them by its definition: mpmath's quadrature over panels around the mass."""
    with mp.workdps(40):
        u, a = mpf(u), mpf(a)
        width, peak = 1 / (1 + max(u + a, 0)), max(-(u + a), mpf(0))
        edges = sorted({max(peak + width * j, mpf(0)) for j in (-14, -9, -6, -3, -1, 0, 1, 3, 6, 9, 14, 30, 60, 120)})

        def integrand(t):
            return t**shift * mpmath.exp(-a * t - (u + t) ** 2 / 2) * mpmath.hermite(k, (u + t) / mpmath.sqrt(2))

        unit = mpmath.sqrt(2 * mpmath.pi) * mpmath.sqrt(2) ** k
        return (-1) ** (k + shift) * mpmath.quad(integrand, edges) / unit


@functools.cache
def _panel():
    return np.polynomial.legendre.leggauss(24)


def sizes(u, a, order):
    """The sizes D_0 … D_order of P_k and of R_k, to a percent or so: (2, order + 1) mantissas and one exponent of e."""
    width, peak = 1 / (1 + max(u + a, 0)), max(-(u + a), 0.0)
    edges = np.unique(np.maximum(peak + width * np.arange(-14, 46), 0.0))
    nodes, weights = _panel()
    middle, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    t = (middle[:, None] + half[:, None] * nodes).ravel()
    top = a * peak + (u + peak) ** 2 / 2
    density = (half[:, None] * weights).ravel() * np.exp(top - a * t - (u + t) ** 2 / 2) / math.sqrt(2 * math.pi)
    rows = []
    for k in range(order + 1):
        terms = np.abs(hermeval(u + t, np.eye(order + 1)[k]))
        if k:
            terms += k * np.abs(hermeval(u + t, np.eye(order + 1)[k - 1]))
        rows.append([np.sum(density * terms), np.sum(density * t * terms)])
    return np.array(rows).T, -top


# --- what is tested --------------------------------------------------------------------------------------


@njit
def _evaluate(u, a, out):
    for i in range(u.size):
        near = min(max(u[i], -40.0), 40.0)
        density, shift, rest = Phi_phi(near)[1], a[i] * u[i], halflines.tilt_rest(a[i], 0.0, u[i], 1.0)
        for k, value in enumerate(halflines.half_line(near, density, u[i], shift, a[i], rest)):
            out[0, i, k] = value
        for k, value in enumerate(halflines.half_line_times_t(near, density, u[i], shift, a[i], rest)):
            out[1, i, k] = value
        for k, value in enumerate(halflines.half_line_2(near, density, u[i], shift, a[i], rest)):
            out[2, i, k] = value
        for k, value in enumerate(halflines.half_line_times_t_2(near, density, u[i], shift, a[i], rest)):
            out[3, i, k] = value


@njit
def _small(u, a, out):
    for i in range(u.size):
        out[0, i] = halflines.Phi_between(u[i], a[i])
        out[1, i] = halflines.half_line_less_one(u[i], a[i] * u[i], a[i])


@njit
def _rest(rate, low, shifted, sigma):
    return halflines.tilt_rest(rate, low, shifted, sigma)


def error(value, true, size, exponent):
    """|value − true|/D in ε; 1e-300 is forgiven. Infinite for what is no number."""
    if not math.isfinite(value):
        return math.inf
    gap = max(abs(mpf(float(value)) - true) - FLOOR, mpf(0))
    return float(gap / (mpf(float(size)) * mpmath.exp(exponent)) / EPSILON) if gap else 0.0


@pytest.fixture(scope="module")
def computed():
    u, a = np.array(POINTS).T
    out = np.full((4, len(POINTS), ORDER + 1), 1e300)
    _evaluate(np.ascontiguousarray(u), np.ascontiguousarray(a), out)
    return out


@functools.cache
def errors_allowed():
    return [(moments(u, a, ORDER), sizes(u, a, ORDER)) for u, a in POINTS]


if __name__ == "__main__":
    u, a = np.array(POINTS).T
    out = np.full((4, len(POINTS), ORDER + 1), 1e300)
    import time
    t = time.time()
    _evaluate(np.ascontiguousarray(u), np.ascontiguousarray(a), out)
    print("compile", time.time() - t)
    t = time.time()
    truth = errors_allowed()
    print("truth", time.time() - t, len(POINTS))
    for form in range(4):
        for k in range(3 if form > 1 else 9):
            e = np.array([error(out[form, i, k], truth[i][0][form % 2][k], truth[i][1][0][form % 2, k], truth[i][1][1]) for i in range(len(POINTS))])
            order = np.argsort(-e)[:4]
            scaled = e / (1 + u * u)
            s2 = int(np.argmax(scaled))
            print(FORMS[form], k, [(f"{e[j]:.3g}", f"u={u[j]:.4g} a={a[j]:.4g}") for j in order], f"/(1+u²) {scaled.max():.3g} at {u[s2]:.4g},{a[s2]:.4g}")
