"""The adaptive integrator against its definition in 40 to 120 digits, its error estimate, and what is beyond it.

Truth is `definition`: h_k = ∫ σ(μ + sz) He_k(z) φ(z) dz by Gauss-Legendre sums in mpmath over panels that
are cut at every kink, with σ written in mpmath; g_k is h_k/s^k in as many digits as that takes. Errors are
relative to D_k = E[|σ| (|He_k| + k |He_(k−1)|)], times 1 + κ_k with the condition number
κ_k = (|μ ∂_μ h_k| + |s ∂_s h_k|)/D_k; ∂_μ h_k = h_(k+1)/s and s ∂_s h_k = k h_k + h_(k+2).
"""

import functools
import itertools
import math
import time

import numpy as np
import pytest
from mpmath import mp, mpf
from numba import njit

from numeric import adaptive
from numeric.adaptive import integrate, integrate_derivatives, workspace
from numeric.jit import device, loop
from numeric.special import Phi_phi, exp

TOLERANCE = 1e-13
THRESHOLD = 0.3


# --- the truth -------------------------------------------------------------------------------------------


@functools.cache
def legendre(n, digits):
    """Nodes and weights of the n-point Gauss-Legendre rule."""
    with mp.workdps(digits):
        rule = []
        for start in np.polynomial.legendre.leggauss(n)[0]:
            x = mpf(start)
            for _ in range(math.ceil(math.log2(digits))):
                below, here = mpf(1), x
                for k in range(1, n):
                    below, here = here, ((2 * k + 1) * x * here - k * below) / (k + 1)
                slope = n * (below - x * here) / (1 - x * x)
                x -= here / slope
            rule.append((x, 2 / ((1 - x * x) * slope**2)))
        return rule


def edges_of(mu, s, cuts, farthest, singular):
    """Half units of z, and powers of 2 in y around 0 and the cuts; of 4 and down to 2^−40 if σ is singular there."""
    edges = [mpf(i) / 2 for i in range(-2 * farthest, 2 * farthest + 1)]
    for a in {mpf(0), *cuts}:
        distances = [mpf(0), *(mpf(2) ** j / s for j in range(-2, 40) if mpf(2) ** j < 100 * s)]
        if singular:
            distances += [min(1 / s, mpf(1)) * mpf(4) ** j for j in range(-20, 0)]
        edges += [(a - mu) / s + sign * d for d in distances for sign in (1, -1)]
    return sorted({e for e in edges if abs(e) <= farthest})


def definition(sigma, mu, s, order, cuts=(), digits=40, nodes=18, singular=False):
    """h_0 … h_order, and D_k to a percent or two, as mpmath numbers."""
    with mp.workdps(digits):
        mu, s, cuts = mpf(mu), mpf(s), [mpf(c) for c in cuts]
        panels = list(itertools.pairwise(edges_of(mu, s, cuts, 42, singular)))

        def density(z):
            return sigma(mu + s * z) * mp.exp(-z * z / 2)

        # φ falls by 10^−9 or so over a panel at most; 12 more digits than asked are kept
        sizes = [
            (b - a) * max(abs(density(a + (b - a) * t)) for t in (mpf("0.01"), mpf("0.5"), mpf("0.99")))
            for a, b in panels
        ]
        floor = max(sizes) * mpf(10) ** (-digits)
        h, d = [mpf(0)] * (order + 1), [mpf(0)] * (order + 1)
        for (a, b), size in zip(panels, sizes):
            if size <= floor:
                continue
            for x, w in legendre(nodes, digits):
                z = (a + b) / 2 + (b - a) / 2 * x
                f = w * (b - a) / 2 * density(z)
                before, now = mpf(0), mpf(1)
                for k in range(order + 1):
                    h[k] += f * now
                    d[k] += abs(f) * (abs(now) + k * abs(before))
                    before, now = now, z * now - k * before
        unit = mp.sqrt(2 * mp.pi)
        return [v / unit for v in h], [v / unit for v in d]


def condition(h, d, mu, s):
    """κ_k for all k but the last two of h."""
    return [
        float((abs(mpf(mu) * h[k + 1] / mpf(s)) + abs(k * h[k] + h[k + 2])) / d[k]) if d[k] else 0.0
        for k in range(len(h) - 2)
    ]


# --- the functions, as compiled code and in mpmath -------------------------------------------------------

NAMES = ["sigmoid", "tanh", "softsign", "hyperbola", "gated", "power", "waves", "laplace", "step", "broken", "growth"]
CUTS = dict.fromkeys(("softsign", "power", "laplace", "step"), (0.0,)) | {"gated": (THRESHOLD,)}
TRUE = {
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "tanh": mp.tanh,
    "softsign": lambda x: x / (1 + abs(x)),
    "hyperbola": lambda x: mp.sqrt(1 + x * x),
    "gated": lambda x: x * mp.ncdf(x) if x > mpf(THRESHOLD) else mpf(0),
    "power": lambda x: abs(x) ** mpf(1.5),
    "waves": lambda x: mp.sin(2 * x) * mp.tanh(x),
    "laplace": lambda x: mp.exp(-abs(x)),
    "step": lambda x: mpf(x > 0),
    "cubic": lambda x: x**3 if x > mpf(THRESHOLD) else mpf(0),
}


@device
def family(x, which, parameter):
    """The function NAMES[which]: all in one, so that one compilation serves them all."""
    if which == 0.0:
        return 1.0 / (1.0 + exp(-x))
    if which == 1.0:
        return math.tanh(x)
    if which == 2.0:
        return x / (1.0 + abs(x))
    if which == 3.0:
        return math.sqrt(1.0 + x * x)
    if which == 4.0:
        return x * Phi_phi(x)[0] if x > THRESHOLD else 0.0
    if which == 5.0:
        return abs(x) ** 1.5
    if which == 6.0:
        return math.sin(2.0 * x) * math.tanh(x)
    if which == 7.0:
        return exp(-abs(x))
    if which == 8.0:
        return 1.0 if x > 0.0 else 0.0
    if which == 9.0:
        return parameter if x > 1.0 else x
    return exp(parameter * x)


@loop
def family_loop(mean, std, cuts, out, errors, which, parameter):
    work = workspace(out.shape[1], 1, cuts)
    for i in range(mean.size):
        errors[i] = integrate(family, (which, parameter), mean[i], std[i], cuts, out[i], work)


@device
def sign(x):
    """A step that returns integers, and takes no parameters."""
    return 1 if x > 0 else -1


@loop
def sign_loop(mean, std, cuts, out, errors):
    work = workspace(out.shape[1], 1, cuts)
    for i in range(mean.size):
        errors[i] = integrate(sign, (), mean[i], std[i], cuts, out[i], work)


def arrays(mu, s, cuts, order):
    points = [np.atleast_1d(np.asarray(a, dtype=float)) for a in (mu, s)]
    points = [a.copy() for a in np.broadcast_arrays(*points)]
    return (*points, np.array(cuts, dtype=float), np.empty((points[0].size, order + 1)), np.empty(points[0].size))


def hermite(name, mu, s, order, cuts=None, parameter=0.0):
    """h_0 … h_order and the estimated error, by the code under test."""
    inputs = arrays(mu, s, CUTS.get(name, ()) if cuts is None else cuts, order)
    family_loop(*inputs, float(NAMES.index(name)), parameter)
    return inputs[3], inputs[4]


# --- assertions ------------------------------------------------------------------------------------------


def assert_accurate(found, h, d, kappa, tolerance=TOLERANCE):
    """|error_k| ≤ tolerance (1 + κ_k) D_k for all k, where D_k is not close to underflow."""
    for k, value in enumerate(found):
        if d[k] > 1e-300:
            assert abs(mpf(value) - h[k]) <= tolerance * (1 + kappa[k]) * d[k], k


def assert_honest(found, estimate, h, d, most=1e-10):
    """max_k |error_k|/D_k ≤ estimate ≤ most."""
    worst = max(float(abs(mpf(v) - h[k]) / d[k]) for k, v in enumerate(found) if d[k] > 1e-300)
    assert worst <= estimate <= most


def test_the_assertions_notice_what_is_wrong():
    h, d = definition(mp.tanh, 0.7, 1.3, 4)
    kappa = condition(h, d, 0.7, 1.3)
    right = [float(v) for v in h[:3]]
    assert_accurate(right, h, d, kappa)
    assert_honest(right, 1e-15, h, d)
    for k in range(3):
        wrong = right.copy()
        wrong[k] += 3e-13 * (1 + kappa[k]) * float(d[k])
        with pytest.raises(AssertionError):
            assert_accurate(wrong, h, d, kappa)
        with pytest.raises(AssertionError):
            assert_honest(wrong, 1e-14, h, d)
    for estimate in (1e-17, 1e-9, math.inf, math.nan):
        with pytest.raises(AssertionError):
            assert_honest([right[0] * (1 + 1e-16), right[1], right[2] + 1e-16], estimate, h, d)


def test_the_truth_is_right():
    """Against closed forms of E sin and of a tail probability, and against itself with other panels."""
    with mp.workdps(40):
        mu, s = mpf("0.7"), mpf("1.25")
        h, _ = definition(mp.sin, mu, s, 3)
        damped = mp.exp(-s * s / 2)
        for value, closed in zip(h, (mp.sin(mu), s * mp.cos(mu), -s * s * mp.sin(mu), -(s**3) * mp.cos(mu))):
            assert abs(value - closed * damped) < 1e-25
        h, d = definition(TRUE["step"], -30, 1, 2, cuts=(0,))
        assert abs(h[0] / mp.ncdf(-30) - 1) < 1e-25
        assert h[0] == d[0]
        coarse = definition(TRUE["power"], 0.3, 2.0, 2, cuts=(0,), singular=True)[0]
        fine = definition(TRUE["power"], 0.3, 2.0, 2, cuts=(0, 0.1, 0.77), nodes=30, singular=True)[0]
        assert max(abs(a - b) for a, b in zip(coarse, fine)) < 1e-22


def test_the_gauss_kronrod_rule_follows_from_its_definition():
    """The nodes it adds to Gauss's are the zeros of Stieltjes' E with ∫ P_10 E x^j = 0 for j ≤ 10."""
    odd = (1, 3, 5, 7, 9)  # P_10 is even and E odd: only odd j say anything, and E has only odd terms
    nodes, kronrod, gauss = ([mpf(v) for v in a] for a in (adaptive.NODES, adaptive.KRONROD, adaptive.GAUSS))
    with mp.workdps(50):
        rule = [(x, w, [mp.legendre(k, x) for k in range(12)]) for x, w in legendre(24, 50)]

        def integral(i, j):
            return mp.fsum(w * p[10] * p[i] * x**j for x, w, p in rule)

        system = mp.matrix([[integral(i, j) for i in odd] for j in odd])
        e = [*mp.lu_solve(system, mp.matrix([-integral(11, j) for j in odd])), mpf(1)]

        def stieltjes(x):
            return mp.fsum(c * mp.legendre(i, x) for c, i in zip(e, (*odd, 11)))

        for number, x in enumerate(nodes):
            zero = mp.findroot((lambda t: mp.legendre(10, t)) if number % 2 else stieltjes, x)
            assert abs(x - zero) < 1.2e-16
        for weights, degree in ((kronrod, 31), (gauss, 19)):
            for k in range(degree + 1):
                assert abs(mp.fsum(w * mp.legendre(k, x) for w, x in zip(weights, nodes)) - 2 * (k == 0)) < 5e-15
            assert abs(mp.fsum(w * x ** (degree + 1) for w, x in zip(weights, nodes)) - mpf(2) / (degree + 2)) > 1e-14
    assert np.array_equal(adaptive.DIFFERENCE, adaptive.KRONROD - adaptive.GAUSS)


# --- h_k -------------------------------------------------------------------------------------------------

# Every function at a small, a moderate and a large s, and in its tails; more would take minutes in mpmath.
POINTS = {
    "sigmoid": [(0.4, 1e-8), (-1.3, 0.3), (-30.0, 1.0), (-500.0, 10.0), (-2.5e5, 1e4), (0.5, 1e8)],
    "tanh": [(-0.7, 1e-3), (1.7, 1.0), (-3.0, 10.0), (2e3, 1e4), (1e9, 1e8)],
    "softsign": [(0.3, 1e-3), (0.3, 0.3), (0.0, 1.0), (2e3, 1e4), (-3e9, 1e8)],
    "hyperbola": [(0.4, 1e-8), (-30.0, 1.0), (2e3, 1e4), (0.5, 1e8)],
    "gated": [(0.3, 1e-8), (-0.7, 0.3), (-30.0, 1.0), (-3.0, 10.0), (-2.5e5, 1e4)],
    "power": [(2e-8, 1e-8), (-1.3, 0.3), (1.7, 1.0), (0.5, 1e8)],
    "waves": [(50.0, 1e-8), (-1.3, 0.3), (1.7, 1.0), (-3.0, 10.0)],
    "laplace": [(-1e-8, 1e-8), (0.3, 0.3), (300.0, 10.0), (2e3, 1e4), (-3e9, 1e8)],
    "step": [(1e-9, 1e-8), (-1.3, 0.3), (36.0, 1.0), (-3.7e5, 1e4), (-3e9, 1e8)],
}


@pytest.mark.parametrize(("name", "mu", "s"), [(name, *point) for name, points in POINTS.items() for point in points])
def test_hermite_coefficients_and_their_error_estimate(name, mu, s):
    cuts = CUTS.get(name, ())
    h, d = definition(TRUE[name], mu, s, 10, cuts, singular=name == "power")
    found, estimate = hermite(name, mu, s, 8)
    assert_accurate(found[0], h, d, condition(h, d, mu, s))
    assert_honest(found[0], estimate[0], h, d)


@pytest.mark.parametrize(("name", "mu", "s"), [("tanh", 0.5, 2.0), ("step", -40.0, 1.0)])
def test_high_orders(name, mu, s):
    """K = 40; for the step at −40, D_0 = 4e-350 is 0 in double precision, but D_40 is 1e-285."""
    h, d = definition(TRUE[name], mu, s, 42, CUTS.get(name, ()), nodes=30)
    found, estimate = hermite(name, mu, s, 40)
    assert_accurate(found[0], h, d, condition(h, d, mu, s))
    assert_honest(found[0], estimate[0], h, d)


def test_orders_agree_with_each_other():
    """The mesh depends on K, the result does not."""
    many, _ = hermite("tanh", 0.7, 3.0, 60)
    assert np.isfinite(many).all()
    for order in (0, 1, 2, 13, 30):
        few, _ = hermite("tanh", 0.7, 3.0, order)
        sizes = [math.sqrt(math.factorial(k)) for k in range(order + 1)]
        assert np.all(np.abs(few[0] - many[0, : order + 1]) < 1e-14 * np.array(sizes))


@pytest.mark.parametrize(
    ("rate", "mu", "s", "order"), [(0.8, -3.0, 20.0, 8), (-0.5, 0.3, 2.0, 60), (1.0, -600.0, 10.0, 20)]
)
def test_exponential_growth(rate, mu, s, order):
    """E e^(cy) He_k = (cs)^k e^(cμ + c²s²/2): the mass is at z = cs, up to 16."""
    found, estimate = hermite("growth", mu, s, order, parameter=rate)
    with mp.workdps(30):
        shift = mpf(rate) * mpf(s)
        mean = mp.exp(mpf(rate) * mpf(mu) + shift**2 / 2)
        h = [mean * shift**k for k in range(order + 1)]
        # h_k is a lower bound of D_k, and so is a tenth of the size that He_k has in the bulk
        d = [max(abs(v), mean * mp.sqrt(mp.factorial(k)) / 10) for k, v in enumerate(h)]
    kappa = [abs(rate * mu) + float(shift**2) + order] * (order + 1)
    assert_accurate(found[0], h, d, kappa)
    assert estimate[0] < 1e-12


def test_no_parameters_and_integer_values():
    inputs = arrays([0.3, -2.0], [1.0, 0.5], (0.0,), 2)
    sign_loop(*inputs)
    for row, mu, s in zip(inputs[3], inputs[0], inputs[1]):
        u = mu / s
        density = math.exp(-u * u / 2) / math.sqrt(2 * math.pi)
        assert np.allclose(row, [math.erf(u / math.sqrt(2)), 2 * density, -2 * u * density], rtol=1e-14)


def test_close_cuts_far_away():
    """Cuts 1e-3 apart seen from μ = 2.5e9 with s = 1e8: the widths of pieces must not be differences of z."""
    once, _ = hermite("laplace", 2.5e9, 1e8, 0)
    found, estimate = hermite("laplace", 2.5e9, 1e8, 0, cuts=(-1e-3, 0.0, 1e-3))
    # z = −25 has a rounding error of 3e-15, which φ(z) multiplies by 25
    assert abs(found[0, 0] / once[0, 0] - 1) < 3e-13
    assert estimate[0] < 1e-12


def test_nodes_stay_on_their_side_of_a_cut():
    """s is a few units in the last place of the cut, or far below one: y alone could not tell the sides apart."""
    for s in (1e-8, 1e-15, 1e-16, 1e-18):
        found, _ = hermite("gated", THRESHOLD, s, 1)
        gate = THRESHOLD * 0.5 * (1 + math.erf(THRESHOLD / math.sqrt(2)))
        assert np.allclose(found[0], [gate / 2, gate / math.sqrt(2 * math.pi)], rtol=max(1e-13, 10 * s), atol=0)


def test_many_cuts_in_any_order():
    cuts = np.random.default_rng(5).permutation(np.linspace(-300.0, 300.0, 41))
    for mu, s in ((0.3, 1.0), (-20.0, 50.0), (1e6, 1e8)):
        found, estimate = hermite("laplace", mu, s, 8, cuts=[*cuts, cuts[3]])
        plain, _ = hermite("laplace", mu, s, 8)
        sizes = plain[0, 0] * np.array([math.sqrt(math.factorial(k)) for k in range(9)])
        assert np.all(np.abs(found[0] - plain[0]) < 1e-13 * sizes)
        assert estimate[0] < 1e-12


# --- beyond the integrator -------------------------------------------------------------------------------


def test_waves_too_fast_for_the_panels_are_reported_in_bounded_time():
    """A hundred thousand periods under the Gaussian: the cap is hit, the estimate says that nothing is right."""
    start = time.perf_counter()
    found, estimate = hermite("waves", 0.0, 1e6, 2)
    assert time.perf_counter() - start < 1.0
    assert np.isfinite(found).all()
    assert estimate[0] > 1e-3


def test_an_undeclared_cut_is_found_by_halving():
    h, d = definition(TRUE["gated"], 0.2, 1.0, 6, CUTS["gated"])
    found, estimate = hermite("gated", 0.2, 1.0, 4, cuts=())
    assert_accurate(found[0], h, d, condition(h, d, 0.2, 1.0))
    assert_honest(found[0], estimate[0], h, d)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_comes_out_as_none(bad):
    found, estimate = hermite("broken", [0.0, -60.0], 1.0, 2, parameter=bad)
    assert estimate[0] == math.inf
    assert not np.isfinite(found[0]).any()
    # nothing bad inside the window
    assert np.allclose(found[1], [-60, 1, 0], atol=1e-12)
    assert estimate[1] < 1e-12


def test_zero_is_zero():
    found, estimate = hermite("step", -100.0, 1.0, 4)
    assert not found.any()
    assert estimate[0] == 0.0


# --- g_k -------------------------------------------------------------------------------------------------

N = 8


def sigmoid_polynomials():
    """σ^(k) = P_k(σ) for the sigmoid: P_(k+1)(S) = P_k′(S) (S − S²); row k has the coefficients of S^0 … S^9."""
    rows = [[0, 1] + [0] * 8]
    for _ in range(N):
        slope = [k * c for k, c in enumerate(rows[-1])][1:]
        rows.append([(slope[k - 1] if k else 0) - (slope[k - 2] if k > 1 else 0) for k in range(10)])
    return np.array(rows, dtype=float)


POLYNOMIALS = sigmoid_polynomials()


@njit
def sigmoid_derivative(k, x):
    """By symmetry from −|x|, where P_k has no cancellation."""
    small = 1.0 / (1.0 + exp(abs(x)))
    total = 0.0
    for i in range(9, -1, -1):
        total = total * small + POLYNOMIALS[k, i]
    if x > 0.0:
        return 1.0 - total if k == 0 else (total if k % 2 else -total)
    return total


@njit
def family_derivative(k, x, which):
    if which == 0.0:
        return sigmoid_derivative(k, x)
    if which == 1.0:
        return exp(-abs(x)) * (-1.0 if k % 2 == 1 and x > 0.0 else 1.0)
    if which == 2.0:
        return 1.0 if k == 0 and x > 0.0 else 0.0
    factor = 1.0 if k == 0 else (3.0 if k == 1 else 6.0)
    return factor * x ** (3 - k) if k < 4 and x > THRESHOLD else 0.0


@device
def family_derivatives(x, which):
    return (
        family_derivative(0, x, which),
        family_derivative(1, x, which),
        family_derivative(2, x, which),
        family_derivative(3, x, which),
        family_derivative(4, x, which),
        family_derivative(5, x, which),
        family_derivative(6, x, which),
        family_derivative(7, x, which),
        0 if which == 2.0 else family_derivative(8, x, which),
    )


@loop
def family_derivatives_loop(mean, std, cuts, jumps, out, errors, which):
    work = workspace(out.shape[1], 9, cuts)
    for i in range(mean.size):
        errors[i] = integrate_derivatives(family_derivatives, (which,), mean[i], std[i], cuts, jumps, out[i], work)


SMOOTH_OFF_CUTS = ["sigmoid", "laplace", "step", "cubic"]
JUMPS = {
    "sigmoid": np.empty((0, N)),
    "laplace": np.array([[(-1.0) ** i - 1 for i in range(N)]]),
    "step": np.array([[1.0] + [0.0] * (N - 1)]),
    "cubic": np.array([[THRESHOLD**3, 3 * THRESHOLD**2, 6 * THRESHOLD, 6.0] + [0.0] * (N - 4)]),
}


def derivatives(name, mu, s, order, jumps=None):
    """g_0 … g_order and the estimated error, by the code under test."""
    cuts = (THRESHOLD,) if name == "cubic" else CUTS.get(name, ())
    mean, std, cuts, out, errors = arrays(mu, s, cuts, order)
    which = float(SMOOTH_OFF_CUTS.index(name))
    family_derivatives_loop(mean, std, cuts, JUMPS[name] if jumps is None else jumps, out, errors, which)
    return out[0], errors[0]


def derivative_sizes(name, mu, s, order):
    """D_k to a few percent: E|σ^(k)| off the cuts by the trapezoidal rule, and all boundary terms."""
    z = np.linspace(-40, 40, 16001) + 1e-4
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    which = float(SMOOTH_OFF_CUTS.index(name))
    values = np.array([[family_derivative(k, mu + s * t, which) for t in z] for k in range(N + 1)])
    sizes = []
    for k in range(order + 1):
        m = max(k - N, 0)
        weight = abs(np.polynomial.hermite_e.hermeval(z, [0] * m + [1]))
        sizes.append(mpf(float(np.sum(abs(values[k - m]) * weight * density))) / mpf(s) ** m)
    for c in (THRESHOLD,) if name == "cubic" else CUTS.get(name, ()):
        u = (mpf(c) - mpf(mu)) / mpf(s)
        for k in range(1, order + 1):
            for i in range(min(k, N)):
                m = k - 1 - i
                term = (
                    mpf(float(np.polynomial.hermite_e.hermeval(float(u), [0] * m + [1])))
                    * mp.npdf(u)
                    / mpf(s) ** (m + 1)
                )
                sizes[k] += abs(term * JUMPS[name][0, i])
    return sizes


# The definition h_k/s^k loses 8 k digits at s = 1e-8.
DERIVATIVE_POINTS = [
    ("sigmoid", 0.4, 1e-8, 120),
    ("sigmoid", -1.3, 0.3, 50),
    ("sigmoid", -20.0, 2.0, 50),
    ("sigmoid", 30.0, 100.0, 40),
    ("laplace", 1e-8, 1e-8, 120),
    ("laplace", -1.5e-7, 1e-8, 120),
    ("laplace", -0.7, 1.0, 40),
    ("laplace", 3e3, 1e4, 40),
    ("step", -3.85e-7, 1e-8, 120),
    ("step", -3e9, 1e8, 40),
    ("cubic", 0.31, 1e-3, 80),
    ("cubic", -3.0, 10.0, 40),
]


@pytest.mark.parametrize(("name", "mu", "s", "digits"), DERIVATIVE_POINTS)
def test_expected_derivatives_and_their_error_estimate(name, mu, s, digits):
    order = 10
    cuts = (THRESHOLD,) if name == "cubic" else CUTS.get(name, ())
    g = [v / mpf(s) ** k for k, v in enumerate(definition(TRUE[name], mu, s, order + 2, cuts, digits, digits // 2)[0])]
    d = derivative_sizes(name, mu, s, order)
    # as for h_k, with ∂_μ g_k = g_(k+1) and s ∂_s g_k = s² g_(k+2)
    kappa = [
        float((abs(mu * g[k + 1]) + abs(mpf(s) ** 2 * g[k + 2])) / d[k]) if d[k] else 0.0 for k in range(order + 1)
    ]
    found, estimate = derivatives(name, mu, s, order)
    assert_accurate(found, g, d, kappa)
    # the estimate knows nothing of errors in σ^(k) itself: those of the polynomials P_k are some 1e-14
    own = 2e-14 if name == "sigmoid" else 0.0
    assert_honest(found, estimate + own, g, [1.05 * v for v in d], most=1e-9)


def test_the_boundary_terms_are_needed():
    g = [v / mpf(0.5) ** k for k, v in enumerate(definition(TRUE["laplace"], 0.2, 0.5, 5, (0.0,))[0])]
    d = derivative_sizes("laplace", 0.2, 0.5, 3)
    right, _ = derivatives("laplace", 0.2, 0.5, 3)
    assert_accurate(right, g, d, [1.0] * 4)
    for i in range(3):
        jumps = JUMPS["laplace"].copy()
        jumps[0, i] += 1e-10
        wrong, _ = derivatives("laplace", 0.2, 0.5, 3, jumps)
        with pytest.raises(AssertionError):
            assert_accurate(wrong, g, d, [1.0] * 4)
