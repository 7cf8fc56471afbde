"""Φ₂ and its companions against integrals in ball arithmetic, far tails and |r| → 1 included, and identities."""

import functools
import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from numba import njit
from scipy.special import ndtr

from numeric import binormal
from numeric.covariance_kernels import association_sized
from numeric.cuda.single import binormal as single
from tests.oracle import binormal as oracle

EPSILON = 2.0**-52
# What the module promises: absolutely, relatively in units of 1 + κ, and the same for the products beside Φ₂.
ABSOLUTE, RELATIVE = 2 * EPSILON, 5 * EPSILON
FLOOR = 1e-300
JUST_BELOW_ONE = float(np.nextafter(1, 0))

HEIGHTS = (-37.5, -12.0, -3.1, -1.3, -0.4, -1e-3, 0.0, 1e-9, 0.7, 2.5, 7.0)
CORRELATIONS = (-JUST_BELOW_ONE, -1 + 1e-9, -0.98, -0.7, -0.2, 1e-5, 0.4, 0.6, 0.9, 1 - 1e-7, JUST_BELOW_ONE)


def corners(h, k, r, less=None, more=None):
    """Φ₂, φ(h) Φ(k′), φ(k) Φ(h′), φ(h) φ(k′) and Φ₂ − Φ(h) Φ(k), one row each."""
    h, k, r = (np.ascontiguousarray(v, float).reshape(-1) for v in np.broadcast_arrays(h, k, r))
    out = np.empty((5, h.size))
    less = 1 - r if less is None else np.full(h.size, less)
    more = 1 + r if more is None else np.full(h.size, more)
    binormal.corner_loop(h, k, r, less, more, out)
    return out


def Phi2(h, k, r):
    shape = np.broadcast_shapes(*(np.shape(v) for v in (h, k, r)))
    h, k, r = (np.ascontiguousarray(np.broadcast_to(v, shape), float).reshape(-1) for v in (h, k, r))
    out = np.empty(h.size)
    binormal.Phi2_loop(h, k, r, out)
    return out.reshape(shape)


@functools.cache
def truth(h, k, r):
    """Φ₂, 1 + κ."""
    value = oracle.by_angle(h, k, r)
    return value, 1 + (oracle.condition(h, k, r, value) if value > 1e-320 else 0)


def absolute(found, h, k, r):
    return float(abs(mpf(float(found)) - truth(h, k, r)[0]))


def relative(found, h, k, r):
    """The relative error over 1 + κ; 0 below the floor."""
    value, weight = truth(h, k, r)
    return float(abs(mpf(float(found)) - value) / value / weight) if value > FLOOR else 0.0


def assert_accurate(found, points):
    for value, point in zip(found, points, strict=True):
        assert absolute(value, *point) <= ABSOLUTE, point
        assert relative(value, *point) <= RELATIVE, point


def grid():
    """A dense grid: every height with every other one, the correlations by turns."""
    turns = itertools.cycle(CORRELATIONS)
    return [(h, k, next(turns)) for h, k in itertools.combinations_with_replacement(HEIGHTS, 2) for _ in range(3)]


def nearly_parallel(n=100):
    """1 − |r| down to 1e-16, with h ∓ k of the size of √(1 − r²): where wedges are narrow and kinks are sharp."""
    rng = np.random.default_rng(3)
    less, side = 10 ** rng.uniform(-16, -0.5, n), rng.choice([-1, 1], n)
    h = rng.normal(0, 1.5, n) * 10 ** rng.choice([-2.0, 0.0, 0.7], n)
    k = side * h + rng.normal(size=n) * np.sqrt(2 * less) * rng.choice([0, 1, 4], n)
    return list(zip(h.tolist(), k.tolist(), (side * (1 - less)).tolist()))


def around_the_switch(n=60):
    """R = √(h² + k′²) = 1.5, on both sides of it."""
    rng = np.random.default_rng(4)
    R, angle, r = 1.5 + rng.choice([-1e-6, 1e-6], n), rng.uniform(-math.pi, math.pi, n), rng.uniform(-0.99, 0.99, n)
    h = R * np.cos(angle)
    return list(zip(h.tolist(), (r * h + np.sqrt(1 - r * r) * R * np.sin(angle)).tolist(), r.tolist()))


# --- against truth ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [grid(), nearly_parallel(), around_the_switch()], ids=["grid", "parallel", "switch"])
def test_error_budget(points):
    assert_accurate(Phi2(*np.array(points).T), points)


@pytest.mark.slow
def test_error_budget_at_many_points():
    points = [*nearly_parallel(400), *around_the_switch(300)]
    points += [(h, k, r) for h, k in itertools.combinations_with_replacement(HEIGHTS, 2) for r in CORRELATIONS]
    assert_accurate(Phi2(*np.array(points).T), points)


@pytest.mark.parametrize(
    "point",
    [
        *((side * h, h, r) for h in (40.0, -40.0, 1e-310, 5e-324) for side in (1, -1) for r in (-1.0, -0.5, 0.3, 1.0)),
        *((h, -h, -JUST_BELOW_ONE) for h in (0.0, 1e-8, 1.0, 9.0, 38.0)),
        *((h, h, JUST_BELOW_ONE) for h in (0.0, -1e-8, -1.0, -9.0, -38.0)),
        *((-38.0, k, r) for k in (-38.0, 0.0, 38.0) for r in (-JUST_BELOW_ONE, -0.9, 0.9, JUST_BELOW_ONE)),
        *((h, k, r) for h, k in ((0.3, 0.3), (0.3, -0.3), (-1.0, 2.0), (2.0, -1.0), (9.0, -8.0)) for r in (-1.0, 1.0)),
    ],
)
def test_extreme_corners(point):
    h, k, r = point
    assert absolute_of_limit(float(Phi2(h, k, r)), h, k, r) <= ABSOLUTE
    value = oracle.by_angle(h, k, r)
    if abs(r) == 1 and value > FLOOR:
        # Φ of the smaller one, or Φ(h) − Φ(−k): only for that difference do the inputs' digits matter
        assert abs(mpf(float(Phi2(h, k, r))) / value - 1) <= RELATIVE * (1 + (h * h + k * k) * (r < 0) / float(value))


def absolute_of_limit(found, h, k, r):
    return float(abs(mpf(found) - oracle.by_angle(h, k, r)))


@pytest.mark.parametrize("row", [1, 2, 3])
def test_the_products_beside_it(row):
    """φ(h) Φ(k′) and the like: relatively, but for what rounding h, k and r costs, |d log|."""
    points = [*grid()[::4], *nearly_parallel(60)]
    found = corners(*np.array(points).T)[row]
    for value, (h, k, r) in zip(found, points, strict=True):
        true = oracle.derivatives(h, k, r)[row - 1]
        if true < FLOOR:
            continue
        with mp.workdps(40):
            root = mp.sqrt((1 - mpf(r)) * (1 + mpf(r)))
            k_1, h_1 = (k - mpf(r) * h) / root, (h - mpf(r) * k) / root
            # d log of φ(h) Φ(k′) by h, k and r: h², and |k′| or less for what moves k′
            moves = (abs(h) + abs(k)) / root + abs(k_1 * h_1)
            bend = max(abs(h_1), abs(k_1)) if row == 3 else max(0, -k_1 if row == 1 else -h_1) + 1
            kappa = h * h + k * k + moves * bend
        assert abs(mpf(value) / true - 1) <= 3 * EPSILON * (1 + kappa), (h, k, r)


def test_association():
    for h, k, r in [*grid()[::2], (0.0, 0.0, 0.5), (1e-9, -2e-9, 1e-12), (0.3, 0.4, 1e-300), (-2.0, 1.0, -0.5)]:
        with mp.workdps(60):
            true = oracle.by_angle(h, k, r) - oracle.product_of_distributions(h, k)
            error = abs(mpf(corners(h, k, r)[4, 0]) - true)
        assert error <= 4 * EPSILON
        # the truth is a difference, and has 1e-19 Φ₂
        if abs(r) <= 0.5 and abs(true) > 1e-12:
            assert error <= 30 * EPSILON * abs(true), (h, k, r)
    assert corners(1e-9, -2e-9, 1e-12)[4, 0] == pytest.approx(1e-12 / (2 * math.pi), rel=8 * EPSILON)


def test_sizes_of_associations_are_honest_far_out():
    @njit
    def sized(h, k, r):
        return association_sized(h, k, r, 1.0 - r, 1.0 + r)

    def density(h, k, t):
        return mp.exp(-(h * h - 2 * h * k * t + k * k) / (2 * (1 - t * t))) / (2 * mp.pi * mp.sqrt(1 - t * t))

    rng, units, of_itself = np.random.default_rng(12), [], []
    for far in (2.0, 4.0, 5.9, 6.1, 8.0, 10.0, 13.0):
        for near in (0.0, 0.2, -far):
            r = float(rng.choice([-1, 1]) * rng.uniform(0.3, 0.5))
            h, k = (far, near) if rng.random() < 0.5 else (-near, -far)
            with mp.workdps(40):
                true = mp.quad(functools.partial(density, mpf(h), mpf(k)), mp.linspace(0, mpf(r), 9))
                value, size = sized(h, k, r)
                error = abs(mpf(value) - true)
                units.append(error / (4 * EPSILON * mpf(size) + mpf(FLOOR)))
                of_itself.append(error / abs(true))
    assert max(units) <= 1, units
    assert max(of_itself) > 1e-9  # which is why it is not the size farther out


@pytest.mark.parametrize("less", [1e-20, 1e-25, 1e-30])
@pytest.mark.parametrize("side", [1, -1])
def test_correlations_nearer_to_one_than_doubles_are(less, side):
    """1 ∓ r given: h = ±k apart by a few √(1 − r²) makes all the difference, and r = ±1 to rounding."""
    for h, gap in [(0.4, 0.0), (-1.3, 0.0), (0.0, 1.5), (0.0, -0.5)]:
        k = side * h + gap * math.sqrt(2 * less)
        near, far = (less, 2.0) if side > 0 else (2.0, less)
        with mp.workdps(60):
            r = side * (1 - mpf(less))
            true = oracle.by_angle(h, k, r)
            weight = 1 + oracle.condition(h, k, r, true)
        found = corners(h, k, float(side), near, far)[0, 0]
        assert abs(mpf(found) - true) <= min(ABSOLUTE, RELATIVE * weight * true + mpf(FLOOR))


def test_conditional_arguments_keep_their_digits():
    @njit
    def given(k, h, r):
        return binormal.conditional(k, h, r, 1.0 - r, 1.0 + r)

    rng = np.random.default_rng(8)
    for less in 10 ** rng.uniform(-16, -0.4, 300):
        side, h = rng.choice([-1, 1]), rng.normal()
        r = side * (1 - less)
        k = side * h * (1 + rng.normal() * less)
        with mp.workdps(50):
            root = mp.sqrt((1 - mpf(r)) * (1 + mpf(r)))
            true = (mpf(k) - mpf(r) * mpf(h)) / root
            # k ∓ h is exact when it is small, and what is left is of the size of (1 ∓ r) h
            size = (abs(mpf(k) - side * mpf(h)) + abs(mpf(h)) * (1 - abs(mpf(r)))) / root
        assert abs(given(k, h, r) - true) <= 4 * EPSILON * size
    assert given(0.3, 0.3, 1.0) == 0.0
    assert given(0.3, -0.3, -1.0) == 0.0
    assert given(0.4, 0.3, 1.0) > 1e200
    assert given(0.2, 0.3, 1.0) < -1e200


# --- limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("far", [math.inf, 1e308, 50.0])
@pytest.mark.parametrize("r", [-1.0, -0.6, 0.0, 0.6, 1.0])
def test_far_arguments_are_limits(far, r):
    for k in (-3.0, 0.0, 1.7):
        assert Phi2(far, k, r) == Phi2(k, far, r) == pytest.approx(ndtr(k), rel=1e-14)
        assert Phi2(-far, k, r) == Phi2(k, -far, r) == 0.0
    assert Phi2(far, far, r) == 1.0
    assert Phi2(far, -far, r) == Phi2(-far, -far, r) == 0.0


def test_what_is_no_number_stays_none():
    for place in range(3):
        point = [0.1, 0.2, 0.3]
        point[place] = math.nan
        assert np.isnan(Phi2(*point))


# --- identities ------------------------------------------------------------------------------------------

numbers = st.floats(-41, 41) | st.floats(-2, 2) | st.sampled_from([0.0, -0.0, 1e-300, -1e-300, math.inf, -math.inf])
correlations = (
    st.floats(-1, 1) | st.floats(0, 36).map(lambda d: 1 - 2.0**-d) | st.floats(0, 36).map(lambda d: 2.0**-d - 1)
)


@settings(max_examples=300, deadline=None)
@given(numbers, numbers, correlations)
@example(0.0, -38.0, 0.0)
def test_identities(h, k, r):
    value = float(Phi2(h, k, r))
    assert value == Phi2(k, h, r)
    assert abs(value + float(Phi2(h, -k, -r)) - ndtr(h)) <= 4 * EPSILON
    # ndtr is wrong by up to 2000 ε of itself in the tail, and 0 where the true value is subnormal
    assert max(0.0, ndtr(h) - ndtr(-k)) - 4 * EPSILON <= value <= min(ndtr(h), ndtr(k)) * (1 + 1e-12) + 1e-307
    assert abs(float(Phi2(h, k, 0.0)) - ndtr(h) * ndtr(k)) <= 2 * EPSILON
    # Slepian's inequality: it grows with r, as it does with h and k
    assert value <= float(Phi2(h, k, min(r + 0.01, 1.0))) + 4 * EPSILON
    assert value <= float(Phi2(h + 0.01, k, r)) + 4 * EPSILON


def test_without_thresholds_it_is_an_angle():
    """Φ₂(0, 0, r) = ¼ + asin(r)/2π (Sheppard 1899), relatively accurate down to r → −1."""
    with mp.workdps(40):
        for r in (*CORRELATIONS, -1.0, 1.0):
            true = mpf(1) / 4 + mp.asin(mpf(r)) / (2 * mp.pi)
            assert abs(mpf(float(Phi2(0.0, 0.0, r))) - true) <= 2 * EPSILON * true


# --- the helpers and the constants -----------------------------------------------------------------------


def test_the_assertions_notice_what_is_wrong():
    point = (-3.0, -2.0, 0.3)
    right = float(truth(*point)[0])
    assert_accurate([right], [point])
    for wrong in (right * (1 + 1e-12), right + 1e-15, 0.0, math.nan):
        with pytest.raises(AssertionError):
            assert_accurate([wrong], [point])
    assert relative(right * 1.5, *point) > 1e-2


@pytest.mark.parametrize("point", [*grid()[::29], *nearly_parallel(12), (-3.0, -4.0, 1 - 1e-10), (0.3, -0.2, 0.0)])
def test_the_two_integrals_agree(point):
    """Plackett's from r = −1 against the definition."""
    value = oracle.by_angle(*point)
    if value > 1e-11 * math.exp(-(point[0] ** 2) / 2):
        assert abs(oracle.by_conditioning(*point) / value - 1) < 1e-18


def test_the_integrals_know_what_is_known():
    with mp.workdps(40):
        for r in (-0.999, -0.3, 0.0, 0.5, 1 - 1e-12):
            assert abs(oracle.by_angle(0.0, 0.0, r) - mpf(1) / 4 - mp.asin(mpf(r)) / (2 * mp.pi)) < 1e-20
        assert abs(oracle.by_angle(-2.0, 0.7, 0.0) / oracle.product_of_distributions(-2.0, 0.7) - 1) < 1e-20
        assert abs(oracle.by_angle(-2.0, 0.7, 0.8) - oracle.by_angle(-2.0, 0.7, 0.8000001)) > 1e-12


def test_constants_are_what_they_claim_to_be():
    for name, numbers_of in oracle.constants().items():
        assert getattr(binormal, name) == numbers_of
    assert oracle.arc(19)[1] < EPSILON / 40
    for name, numbers_of in oracle.single_constants().items():
        assert list(map(np.float32, getattr(single, name))) == list(map(np.float32, numbers_of))
    assert oracle.arc(oracle.SINGLE_DEGREE)[1] < 2.0**-25


def test_rules_are_exact_for_polynomials():
    with mp.workdps(60):
        weight = lambda x: mp.exp(-x - oracle.CURVATURE * x * x)  # noqa: E731
        for m, moment in enumerate(oracle.weight_moments(2 * oracle.NODES - 1)):
            by_rule = mp.fsum(w * x**m * weight(x) for x, w in oracle.gaussian_rule(oracle.NODES))
            by_numbers = sum(w * float(weight(x)) * x**m for x, w in zip(binormal.FAR_NODES, binormal.FAR_WEIGHTS))
            assert abs(by_rule / moment - 1) < 1e-30
            assert by_numbers == pytest.approx(float(moment), rel=1e-12)
        for nodes, weights in (
            (binormal.NEAR_NODES, binormal.NEAR_WEIGHTS),
            (binormal.BETWEEN_NODES, binormal.BETWEEN_WEIGHTS),
        ):
            for m in range(2 * len(nodes)):
                assert sum(w * x**m for x, w in zip(nodes, weights)) == pytest.approx(1 / (m + 1), rel=1e-14)
