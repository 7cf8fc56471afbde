"""Gradients with respect to mean and standard deviation, against integrals of the chain rule under the mean.

Truth knows neither Stein's identity nor the heat equation: with y = μ + sZ and σ continuous,

    ∂_μ E[σ(y) He_k(Z)] = E[σ′(y) He_k(Z)]        ∂_s E[σ(y) He_k(Z)] = E[σ′(y) Z He_k(Z)]

by rigorous integration with 57 digits.
"""

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
import sympy
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

import numeric as nm
from tests.marks import mostly_slow
from tests.oracle.arb import precision
from tests.oracle.definition import PRECISION, hermite_coefficient
from tests.oracle.definitions import Definition, definition, y

# Gradients are made of what the kernels of test_moments.py give: the fast suite has one of each kind, a kink, Φ, a
# wave, exponentials that overflow, half-lines, a rule, and one that is integrated.
FAST = ("relu", "gelu", "sin", "exp", "elu", "silu", "softsign")
NAMES = mostly_slow(nm.activation_names(), fast=FAST)
SMOOTH = ("gelu", "sin", "silu", "tanh")
CHECKED = mostly_slow(("relu", "elu", *SMOOTH), fast=("relu", "elu", "gelu", "sin", "silu"))
ORDER = 3
# The worst met is 3e-15; the kernels themselves are good to a few ε.
TOLERANCE = 1e-14
FUNCTIONS = [nm.hermite_coefficient_gradients, nm.expected_derivative_gradients]

POINTS = [(c * s + d, s) for s in (1e-8, 1e-3, 0.7, 3.0, 1e4) for c, d in ((0.4, 0.0), (0.0, -1.3))]


def times_z(slope, mu, s):
    z = (y - sympy.Rational(mu)) / sympy.Rational(s)
    return Definition(slope.name, tuple(z * piece for piece in slope.pieces), slope.breakpoints)


def integral(sigma, k, mu, s):
    """E[σ(y) He_k(Z)], to 1e-17 of s^(2k+1) or better."""
    return hermite_coefficient(sigma, k, mu, s, min(0.0, (2 * k + 1) * math.log2(s)) - 40)


@lru_cache
def true_h_gradients(name, mu, s):
    """∂_μ h_k up to k = ORDER + 1 and ∂_s h_k up to ORDER, as balls."""
    slope = definition(name).derivative()
    assert slope is not None
    stretched = times_z(slope, mu, s)
    d_mean = [integral(slope, k, mu, s) for k in range(ORDER + 2)]
    return d_mean, [integral(stretched, k, mu, s) for k in range(ORDER + 1)]


def true_g_gradients(name, mu, s):
    """∂_μ g_k and ∂_s g_k: means of derivatives where those are smooth, g_k = h_k/s^k otherwise."""
    if name in SMOOTH:
        slopes = definition(name).derivatives(ORDER + 1)[1:]
        return [[integral(f, 0, mu, s) for f in fs] for fs in (slopes, [times_z(f, mu, s) for f in slopes])]
    d_mean, d_std = true_h_gradients(name, mu, s)
    h = [integral(definition(name), k, mu, s) for k in range(ORDER + 1)]
    with precision(PRECISION):
        powers = [arb(s) ** k for k in range(ORDER + 2)]
        by_mean = [d_mean[k] / powers[k] for k in range(ORDER + 1)]
        return by_mean, [d_std[k] / powers[k] - k * h[k] / powers[k + 1] for k in range(ORDER + 1)]


def assert_close(found, true, size):
    """|found − true| ≤ TOLERANCE · size, and truth is known that well."""
    with precision(PRECISION):
        for k, (value, ball, of) in enumerate(zip(found, true, size, strict=True)):
            error = abs(arb(float(value)) - ball).abs_upper()
            assert float(error) <= TOLERANCE * float(abs(of).mid()) + 1e-300, (k, value, ball)


def terms_of_d_std(d_mean):
    """|k h_k|/s + |h_{k+2}|/s, which ∂_s h_k is the sum of."""
    with precision(PRECISION):
        return [abs(d_mean[k + 1]) + (k * abs(d_mean[k - 1]) if k else 0) for k in range(ORDER + 1)]


def test_the_helper_notices_a_wrong_value():
    d_mean, d_std = true_h_gradients("gelu", 0.28, 0.7)
    for k, changed in ((0, 1e-13), (1, -1e-13), (3, math.nan), (2, math.inf)):
        for true in (d_mean[: ORDER + 1], d_std):
            right = np.array([float(t.mid()) for t in true])
            assert_close(right, true, true)
            right[k] *= 1 + changed
            with pytest.raises(AssertionError):
                assert_close(right, true, true)


def test_truth_of_a_cube():
    """σ = y³ has E σ = μ³ + 3 μ s² and g_1 = 3 μ² + 3 s²."""
    cube = Definition("cube", (y**3,))
    slope, stretched = cube.derivative(), times_z(cube.derivative(), 0.5, 2.0)
    assert float(integral(slope, 0, 0.5, 2.0).mid()) == pytest.approx(3 * 0.25 + 3 * 4, rel=1e-15)
    assert float(integral(stretched, 0, 0.5, 2.0).mid()) == pytest.approx(6 * 0.5 * 2, rel=1e-15)
    assert float(integral(stretched, 1, 0.5, 2.0).mid()) == pytest.approx(3 * 0.25 + 9 * 4, rel=1e-15)


@pytest.mark.parametrize("name", CHECKED)
def test_coefficients_against_the_chain_rule(name):
    points = [(mu, s) for mu, s in POINTS if name != "sin" or s < 1e4]
    found = nm.hermite_coefficient_gradients(name, *np.transpose(points), order=ORDER)
    for i, (mu, s) in enumerate(points):
        d_mean, d_std = true_h_gradients(name, mu, s)
        assert_close(found[0][i], d_mean[: ORDER + 1], d_mean[: ORDER + 1])
        assert_close(found[1][i], d_std, terms_of_d_std(d_mean))


@pytest.mark.parametrize("name", CHECKED)
def test_expected_derivatives_against_the_chain_rule(name):
    near = [(mu, s) for mu, s in POINTS if name in SMOOTH or mu > 0]
    points = [(mu, s) for mu, s in near if name != "sin" or s < 1e4]
    found = nm.expected_derivative_gradients(name, *np.transpose(points), order=ORDER)
    for i, (mu, s) in enumerate(points):
        for values, true in zip(found, true_g_gradients(name, mu, s)):
            assert_close(values[i], true, true)


def test_a_sine_wide_against_its_period_is_gone():
    for function in FUNCTIONS:
        for gradient in function("sin", [0.3, -4e3], 1e4):
            assert np.all(np.abs(gradient) < 1e-300)


@pytest.mark.parametrize("name", NAMES)
def test_finite_differences(name):
    mu, s = np.array([0.3, -1.7, 2.2]), np.array([0.9, 1.6, 0.6])
    step = 1e-3
    for values, gradients in zip((nm.hermite_coefficients, nm.expected_derivatives), FUNCTIONS):
        d_mean, d_std = gradients(name, mu, s, order=4)

        def difference(d_mu, d_s, values=values):
            """Five points: the error is that of step⁴."""
            at = [values(name, mu + j * d_mu, s + j * d_s, order=4) for j in (-2, -1, 1, 2)]
            return (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step)

        size = np.abs(values(name, mu, s, order=6)).max()
        assert np.allclose(d_mean, difference(step, 0.0), rtol=1e-8, atol=1e-9 * size)
        assert np.allclose(d_std, difference(0.0, step), rtol=1e-8, atol=1e-9 * size)


@pytest.mark.parametrize("name", NAMES)
def test_the_recursions(name):
    mu, s = np.array([0.4, -1.3, 0.1]), np.array([0.9, 1.7, 0.2])
    k = np.arange(13)
    h, g = nm.hermite_coefficients(name, mu, s, order=14), nm.expected_derivatives(name, mu, s, order=14)
    d_mean, d_std = nm.hermite_coefficient_gradients(name, mu, s, order=12)
    scale = 1e-12 * np.sqrt([math.factorial(j + 2) for j in k]) / s[:, None]
    assert np.all(np.abs(d_mean - h[:, 1:-1] / s[:, None]) <= scale)
    assert np.all(np.abs(d_std - (k * h[:, :-2] + h[:, 2:]) / s[:, None]) <= 15 * scale)
    d_mean, d_std = nm.expected_derivative_gradients(name, mu, s, order=12)
    assert np.array_equal(d_mean, g[:, 1:-1])
    assert np.array_equal(d_std, g[:, 2:] * s[:, None])


@pytest.mark.parametrize("name", ["relu", "silu", "sin"])
def test_both_forms_agree_where_they_meet(name):
    """From s < ¾ to s ≥ ¾: nothing jumps."""
    s = 0.75 + np.array([-2e-15, -1e-16, 0.0, 2e-15])
    for function in FUNCTIONS:
        for gradient in function(name, 0.3, s, order=6):
            assert all(np.allclose(a, b, rtol=1e-13, atol=1e-12) for a, b in pairwise(gradient))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
# At std 3e-157 and mean -1e-196 the derivatives of softsign that order 2 takes all but overflow, and its integrator
# says that it does not know how good they are; the gradients are numbers all the same.
@pytest.mark.filterwarnings("ignore:softsign.*were not integrated:numeric.AccuracyWarning")
@given(mu=st.floats(-1e140, 1e140), log_s=st.floats(-300, 140), order=st.integers(0, 5))
def test_every_scale_gives_numbers(name, mu, log_s, order):
    s = 10.0**log_s
    if name == "exp":  # e^μ is no number
        mu, s = math.fmod(mu, 100), min(s, 10.0)
    d_mean, d_std = nm.hermite_coefficient_gradients(name, mu, s, order)
    assert np.isfinite(d_mean).all()
    assert np.isfinite(d_std).all()


@pytest.mark.parametrize("exponent", [-990, -450, -133, -30, 100, 700])
def test_relu_has_the_same_gradients_on_every_scale(exponent):
    """g_9 overflows below 1e-38, and h overflows nowhere."""
    mu, s = np.array([0.3, -1.2, 0.0]), np.array([0.5, 0.4, 0.9])
    one = nm.hermite_coefficient_gradients("relu", mu, s, order=8)
    two = nm.hermite_coefficient_gradients("relu", mu * 2.0**exponent, s * 2.0**exponent, order=8)
    for a, b in zip(one, two):
        assert np.allclose(a, b, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("exponent", [-660, -300, 0, 60, 70, 300, 500])
def test_derivatives_of_relu_scale_like_powers(exponent):
    """∂_s g_1 = s g_3 is a number where g_3, that times 2^exponent less, is not."""
    scale = 2.0**exponent
    d_mean, d_std = nm.expected_derivative_gradients("relu", 0.3 * scale, 0.5 * scale, order=1)
    mean, std = nm.expected_derivative_gradients("relu", 0.3, 0.5, order=1)
    assert np.allclose(d_mean * [1.0, scale], mean, rtol=1e-14, atol=0)
    assert np.allclose(d_std * [1.0, scale], std, rtol=1e-14, atol=0)


def test_squares_beyond_the_range_of_their_coefficients():
    """h_0 = μ² + s² overflows, its gradient 2μ and 2s does not; h_2 = 2s² underflows, 2s does not."""
    mu, s = np.array([1e200, 3e-170, 0.0]), np.array([2e190, 1e-180, 1e-200])
    d_mean, d_std = nm.hermite_coefficient_gradients("square", mu, s, order=2)
    assert np.allclose(d_mean, np.transpose([2 * mu, 2 * s, 0 * s]), rtol=1e-15, atol=0)
    assert np.allclose(d_std, np.transpose([2 * s, 2 * mu, 4 * s]), rtol=1e-15, atol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("s", [0.0, 1e-310])
def test_zero_standard_deviation_has_the_gradients_of_the_limit(name, s):
    mu = np.array([-7.3, -0.4, 0.25, 1.7, 9.1])
    slope = nm.expected_derivatives(name, mu, 0.0, order=1)[:, 1]
    d_mean, d_std = nm.hermite_coefficient_gradients(name, mu, s, order=12)
    assert np.array_equal(d_mean[:, 0], slope)
    assert np.array_equal(d_std[:, 1], slope)
    assert not d_mean[:, 1:].any()
    assert not np.delete(d_std, 1, axis=1).any()
    for limit, found in zip(nm.hermite_coefficient_gradients(name, mu, 1e-16, order=12), (d_mean, d_std)):
        assert np.allclose(found, limit, rtol=1e-9, atol=1e-9)
    d_mean, d_std = nm.expected_derivative_gradients(name, mu, s, order=4)
    assert np.array_equal(d_mean, nm.expected_derivatives(name, mu, 0.0, order=5)[:, 1:])
    assert not d_std.any()


def test_zero_standard_deviation_at_a_kink_takes_the_piece_of_the_formula():
    d_mean, d_std = nm.hermite_coefficient_gradients("relu", [0.0, 2.0, 0.0], [0.0, 0.0, 1.0], order=1)
    assert d_mean[:2].tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert d_std[:2].tolist() == [[0.0, 0.0], [0.0, 1.0]]
    assert np.allclose(d_mean[2], [0.5, 1 / math.sqrt(2 * math.pi)], rtol=1e-15)
    limit = nm.hermite_coefficient_gradients("relu", 0.0, 1e-300, order=1)
    assert np.allclose(limit, [[0.5, 1 / math.sqrt(2 * math.pi)], [1 / math.sqrt(2 * math.pi), 0.5]], rtol=1e-15)
    for gradient in nm.hermite_coefficient_gradients("step", 0.0, 0.0):
        assert not gradient.any()


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("name", mostly_slow(("relu", "silu", "tanh", "softsign"), fast=("relu", "silu", "softsign")))
def test_shapes_and_types(function, name):
    rng = np.random.default_rng(3)
    mean, std = rng.normal(size=(4, 1, 3)), rng.uniform(0.1, 2, size=(2, 1))
    std[0] = 0
    expected = function(name, np.ascontiguousarray(np.broadcast_to(mean, (4, 2, 3))), std)
    for i, gradient in enumerate(expected):
        assert gradient.shape == (4, 2, 3, 3)
        assert gradient.dtype == np.float64
        assert gradient.flags.c_contiguous
        assert gradient.flags.writeable
        assert np.array_equal(function(name, np.asfortranarray(mean), std)[i], gradient)
        alone = [[[function(name, mean[a, 0, c], std[b, 0])[i] for c in range(3)] for b in range(2)] for a in range(4)]
        assert np.allclose(alone, gradient, rtol=1e-13, atol=1e-14)
        single = mean.astype(np.float32)
        assert np.array_equal(function(name, single, std)[i], function(name, single.astype(float), std)[i])
        assert np.array_equal(function(name, [1, -2], 3)[i], function(name, [1.0, -2.0], 3.0)[i])
        assert function(name, 1, 2)[i].shape == (3,)
        assert function(name, 1, 2, order=0)[i].shape == (1,)
        assert function(name, 1, 0, order=0)[i].shape == (1,)
        assert function(name, np.empty((0, 3)), 1.0, order=4)[i].shape == (0, 3, 5)
        assert function(name, np.empty(0), np.empty(0), order=11)[i].shape == (0, 12)
    assert not np.may_share_memory(*expected)
    assert function(name, 1, 2, order=7)[1].shape == (8,)


def test_orders_continue_one_another():
    mu, s = np.linspace(-3, 3, 9), np.linspace(0.2, 3, 9)
    for function in FUNCTIONS:
        full = function("gelu", mu, s, order=9)
        for order in range(9):
            for a, b in zip(function("gelu", mu, s, order=order), full):
                assert np.allclose(a, b[:, : order + 1], rtol=1e-13, atol=1e-14)


def test_parameters():
    leaky = nm.activation("leaky_relu", negative_slope=1.0)
    assert np.allclose(nm.hermite_coefficient_gradients(leaky, 0.3, 0.7), [[1, 0, 0], [0, 1, 0]], atol=1e-15)
    assert np.allclose(nm.expected_derivative_gradients(leaky, 0.3, 0.7), [[1, 0, 0], [0, 0, 0]], atol=1e-15)


BAD = [
    (("relu", np.nan, 1.0), {}, ValueError, "mean has 1 bad of 1 entries, the first nan"),
    (("relu", [0.0, np.inf], 1.0), {}, ValueError, "flat index 1"),
    (("relu", 0.0, -1e-9), {}, ValueError, "std has 1 bad of 1 entries, the first -1e-09 .* ≥ 0"),
    (("relu", 0.0, np.nan), {}, ValueError, "std"),
    (("relu", np.zeros(3), np.ones(4)), {}, ValueError, r"mean of shape \(3,\) and std of shape \(4,\)"),
    (("relu", 1j, 1.0), {}, TypeError, "mean: expected an array of real numbers, got dtype complex128; take .real"),
    (("relu", 0.0, np.array([None])), {}, TypeError, "std: .*got dtype object"),
    (("relu", 0.0, 1.0), {"order": -1}, ValueError, "order: expected an integer ≥ 0, got -1"),
    (("relu", 0.0, 1.0), {"order": 2.0}, TypeError, "order: .*got 2.0"),
    (("rleu", 0.0, 1.0), {}, nm.UnknownActivation, "'rleu' is not known. Did you mean 'relu'"),
    ((np.tanh, 0.0, 1.0), {}, TypeError, "activation is ufunc"),
    (("exp", [0.0, 0.0], [1.0, 50.0]), {}, OverflowError, "'exp' .* 1 of 2 pairs, the first mean 0.0, std 50.0"),
    (("gelu", 0.3, 1.1), {"order": 400}, OverflowError, "from k = .*ask for a lower order"),
]


@pytest.mark.parametrize(("arguments", "options", "error", "message"), BAD)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_bad_input(function, arguments, options, error, message):
    with pytest.raises(error, match=message):
        function(*arguments, **options)


def test_derivatives_that_leave_double_precision():
    with pytest.raises(OverflowError, match="'step'"):
        nm.expected_derivative_gradients("step", 0.0, 1e-200)
    with pytest.raises(ValueError, match="known up to k = 8"):
        nm.expected_derivative_gradients("softsign", 0.3, 0.0, order=12)
    assert np.isfinite(nm.hermite_coefficient_gradients("step", 0.0, 1e-200)).all()
