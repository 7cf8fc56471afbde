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
from tests.marks import mostly_slow

EPSILON = 2.0**-52
ORDER = 8
# Largest errors measured, rounded up; with exact u and a there is no u² or a² in them. R_8 is worst at a = −u = 4.7,
# where the powers of τ that He_8(u + τ) is expanded in nearly cancel.
BOUNDS = {
    "P": (3.0, 3.0, 3.5, 3.5, 4.0, 5.0, 7.0, 12.0, 22.0),
    "R": (3.0, 3.0, 4.0, 4.5, 8.0, 15.0, 30.0, 65.0, 150.0),
}
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
POINTS += [(float(u), float(10**e)) for u, e in zip(_rng.uniform(-60, 60, 150), _rng.uniform(-3, 4, 150), strict=True)]
POINTS += [(float(-a + v), float(a)) for a, v in zip(_rng.uniform(0.1, 38, 100), _rng.uniform(-3, 3, 100), strict=True)]


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
        edges = sorted({max(peak + width * j, mpf(0)) for j in (*range(-16, 17, 2), 24, 40, 80)})

        def integrand(t):
            return t**shift * mpmath.exp(top - a * t - (u + t) ** 2 / 2) * mpmath.hermite(k, (u + t) / mpmath.sqrt(2))

        top = a * peak + (u + peak) ** 2 / 2  # mpmath's tolerance is absolute
        unit = mpmath.sqrt(2 * mpmath.pi) * mpmath.sqrt(2) ** k * mpmath.exp(top)
        return (-1) ** (k + shift) * mpmath.quad(integrand, edges) / unit


@functools.cache
def _panel():
    return np.polynomial.legendre.leggauss(24)


def sizes(u, a, order):
    """D_0 … D_order of P_k and of R_k, to a percent or so: (2, order + 1) numbers, all times e to the second result."""
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


@functools.cache
def truths():
    return [(moments(u, a, ORDER), sizes(u, a, ORDER)) for u, a in POINTS]


@pytest.fixture(scope="module")
def computed():
    u, a = np.array(POINTS).T.copy()
    out = np.full((4, len(POINTS), ORDER + 1), 1e300)
    _evaluate(u, a, out)
    return {"P": out[0], "R": out[1], "P short": out[2, :, :3], "R short": out[3, :, :3]}


def worst(name, values, k):
    """The largest error of one column over all points, and where it is."""
    form = int(name[0] == "R")
    found = []
    for value, (true, (size, exponent)), point in zip(values[:, k], truths(), POINTS, strict=True):
        found.append((error(value, true[form][k], size[form, k], exponent), point))
    return max(found)


@pytest.mark.parametrize("k", range(ORDER + 1))
@pytest.mark.parametrize("name", ["P", "R", "P short", "R short"])
def test_moments_keep_their_error_budget(computed, name, k):
    if k >= computed[name].shape[1]:
        return
    largest, point = worst(name, computed[name], k)
    assert largest <= BOUNDS[name[0]][k], point


@pytest.mark.parametrize("name", ["P", "R"])
def test_the_error_helper_sees_wrong_values(computed, name):
    """A value that is off in its tenth digit, or no number, where hardly anything cancels."""
    at = POINTS.index((-4.0, 1.0))
    for k in range(ORDER + 1):
        for wrong in (1 + 1e-10, 0.0, -1.0, math.nan, math.inf):
            changed = computed[name].copy()
            changed[at, k] *= wrong
            assert worst(name, changed, k)[0] > 3 * BOUNDS[name][k]
            assert worst(name, changed, k)[1] == (-4.0, 1.0)


# Integrals in 40 digits take long: the fast suite has one point on either side of v = 0, and few orders.
SPOTS = mostly_slow(
    [(1.5, 0.3), (-6.0, 7.5), (-12.0, 12.0), (2.0, 40.0), (-30.0, 3.0)], fast=[(1.5, 0.3), (-30.0, 3.0)]
)


@pytest.mark.parametrize("k", mostly_slow(range(ORDER + 1), fast=(0, 1, 8)))
@pytest.mark.parametrize("spot", SPOTS)
def test_the_truth_is_the_integral(spot, k):
    """The recursions that truth is computed by, against the definition, on both sides of v = 0."""
    u, a = spot
    p, r = moments(u, a, ORDER)
    (small, large), exponent = sizes(u, a, ORDER)
    with mp.workdps(40):
        for value, size, shift in ((p[k], small[k], 0), (r[k], large[k], 1)):
            scale, integral = mpf(float(size)) * mpmath.exp(exponent), by_integration(u, a, k, shift)
            assert abs(value - integral) < mpf("1e-20") * scale
            assert abs(value + mpf("1e-15") * scale - integral) > mpf("1e-16") * scale


def test_the_sizes_are_what_they_claim():
    """For k ≤ 1 and u > 0 nothing under the integral changes sign: D_1 = −P_1 + P_0, up to a percent."""
    for u, a in [(0.5, 0.01), (3.0, 2.0), (20.0, 1.0), (0.1, 500.0)]:
        p, r = moments(u, a, 1)
        (small, large), exponent = sizes(u, a, 1)
        with mp.workdps(30):
            unit = mpmath.exp(exponent)
            assert small[0] * unit == pytest.approx(p[0], rel=1e-6, abs=0)
            assert small[1] * unit == pytest.approx(p[0] - p[1], rel=1e-6, abs=0)
            assert large[0] * unit == pytest.approx(-r[0], rel=1e-6, abs=0)
            assert large[1] * unit == pytest.approx(r[1] - r[0], rel=1e-6, abs=0)


def test_the_short_forms_are_the_long_ones(computed):
    """To rounding: they may fuse other multiplications and additions."""
    for name in ("P", "R"):
        assert np.allclose(computed[name][:, :3], computed[f"{name} short"], rtol=1e-12, atol=1e-300)


def test_nothing_is_left_far_outside(computed):
    """u ≥ 40, where the half-line has probability 0 in doubles, and u ≤ −40 − a, where all of it is inside."""
    u, a = np.array(POINTS).T
    for values in computed.values():
        assert np.isfinite(values).all()
        assert not values[u > 40].any()
    inside = (u < -40) & (a < 0.05)
    assert inside.any()
    a = a[inside]
    true = np.exp(a * u[inside] + a * a / 2)
    assert np.allclose(computed["P"][inside, 0], true, rtol=1e-13)
    assert np.allclose(computed["P"][inside, 1], a * true, rtol=1e-13)


# --- the two that elu's relatives need for a narrow distribution -----------------------------------------

NARROW = [
    (u, a)
    for u in [*np.linspace(-40, 40, 65), 1e-9, -1e-9, 0.01, -0.01, 0.7]
    for a in (1e-12, 1e-9, 1e-3, 0.03, 0.3, 0.7, 1.0)
]


def _Phi(z):
    return mpmath.erfc(-z / mpmath.sqrt(2)) / 2


def _between(u, a):
    return _Phi(u + a) - _Phi(u) if u < 0 else _Phi(-u) - _Phi(-u - a)


@functools.cache
def narrow_truth(i):
    """Phi_between and half_line_less_one at NARROW[i], and E|λt|."""
    u, a = (mpf(float(v)) for v in NARROW[i])
    with mp.workdps(480):
        step = _between(u, a)
        less_one = mpmath.exp(a * u + a * a / 2) * _Phi(-u - a) - _Phi(-u)
    with mp.workdps(60):
        linear = a * (2 * mpmath.exp(-u * u / 2) / mpmath.sqrt(2 * mpmath.pi) + u * (1 - 2 * _Phi(-u)))
    return step, less_one, linear


def narrow_errors(out, chosen):
    """Errors in ε of Phi_between, relative to itself, and of half_line_less_one, relative to itself and to E|λt|."""
    rows = []
    with mp.workdps(60):
        for i in chosen:
            step, less_one, linear = narrow_truth(i)
            gaps = [
                max(abs(mpf(float(out[row, i])) - true) - FLOOR, mpf(0)) for row, true in ((0, step), (1, less_one))
            ]
            sizes_here = (step, abs(less_one), linear)
            rows.append([float(g / s / EPSILON) for g, s in zip((gaps[0], gaps[1], gaps[1]), sizes_here, strict=True)])
    return np.array(rows)


@pytest.fixture(scope="module")
def narrow():
    u, a = np.array(NARROW).T.copy()
    out = np.empty((2, len(NARROW)))
    _small(u, a, out)
    return out


# Truth takes 480 digits: the fast suite has every u with one a or two, and every a at many u.
@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_narrow_forms_keep_their_error_budget(narrow, every):
    chosen = range(0, len(NARROW), every)
    u = np.array(NARROW)[chosen, 0]
    assert set(u) == {u for u, _ in NARROW}
    between, itself, linear = narrow_errors(narrow, chosen).T
    assert between[(u >= -2) & (u <= 2)].max() <= 2.0
    # μ + α E[…] is what elu needs: nothing is lost there, however little of the half-line is left
    assert linear.max() <= 3.0
    assert itself[u <= 0].max() <= 3.0
    assert itself[u <= 2].max() <= 20.0


def test_nothing_is_left_where_the_exponential_overflows():
    out = np.empty((2, 3))
    _small(np.array([800.0, 1e6, 1e150]), np.array([1.0, 0.9, 1e-3]), out)
    assert not out.any()


def test_the_narrow_helper_sees_wrong_values(narrow):
    beside = [i for i, (u, _) in enumerate(NARROW) if abs(u) == 0.01]
    assert len(beside) == 14
    assert narrow_errors(narrow * (1 + 1e-12), beside).min() > 1000


# --- remainders ------------------------------------------------------------------------------------------


def exact_rest(rate, low, shifted, sigma):
    """λx + λ²σ²/2 with λ = rate + low, less what is made of the rounded products, in rationals."""
    whole, x, s = Fraction(rate) + Fraction(low), Fraction(shifted), Fraction(sigma)
    return whole * x + (whole * s) ** 2 / 2 - Fraction(rate * shifted) - Fraction(rate * sigma) ** 2 / 2


def test_the_rest_of_a_tilt():
    """To first order in ε: the second order, ε² (λσ)², is lost."""
    rng = np.random.default_rng(11)
    for _ in range(2000):
        rate, sigma = (float(10**e) for e in rng.uniform(-2, 2, 2))
        low = rate * EPSILON / 2 * rng.uniform(-1, 1)
        shifted = float(rng.normal() * 10 ** rng.uniform(-3, 3))
        true = float(exact_rest(rate, low, shifted, sigma))
        size = abs(rate * shifted) + (rate * sigma) ** 2
        assert _rest(rate, low, shifted, sigma) == pytest.approx(true, rel=1e-13, abs=10 * EPSILON**2 * size)
        assert abs(true) < 2 * EPSILON * size
    assert _rest(0.1, 0.0, 0.3, 0.7) != pytest.approx(float(exact_rest(0.1, 1e-18, 0.3, 0.7)), rel=1e-3, abs=0)
