"""What is integrated, by fixed rules or adaptively: warnings, overflow, std = 0, tiny stds, high orders, batches.

Truth is the definition in 40 digits and more, or mpmath's derivative of σ; errors of h_k are relative to
D_k = E[|σ| (|He_k| + k |He_(k−1)|)].
"""

import functools
import math
import re
import warnings

import mpmath
import numpy as np
import pytest
import sympy
from mpmath import mp, mpf

import numeric as nm
import symgauss as sg
from numeric.moments import PROMISED, AccuracyWarning
from tests.marks import mostly_slow
from tests.numeric.test_adaptive import definition

x = sg.x
# Too many oscillations for the panels at s = 1000, and means that leave double precision
WAVE = sg.Activation("fast_wave", sympy.sin(40 * x) * sympy.tanh(x))
GROWS = sg.Activation("grows", sympy.Piecewise((sympy.exp(x), x > 0), (x, True)))
EVERY = ["silu", "elu", "softsign", "gelu_tanh", "tanh"]
# tanh is a rule as silu is, and its integrator takes long to compile
MOST = mostly_slow(EVERY, fast=EVERY[:4])
SIGMA = {
    "silu": lambda y: y / (1 + mp.exp(-y)),
    "elu": lambda y: y if y > 0 else mp.expm1(y),
    "softsign": lambda y: y / (1 + abs(y)),
    "gelu_tanh": lambda y: y / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (y + mpf("0.044715") * y**3))),
    "tanh": mp.tanh,
}
KINKS = {"elu": (0.0,), "softsign": (0.0,)}


@functools.cache
def truth(name, mu, s, order):
    return definition(SIGMA[name], mu, s, order, KINKS.get(name, ()), digits=40 if order < 20 else 60)


def worst(values, name, mu, s):
    """The largest error of h_0 … relative to D_k; infinite for what is no number."""
    h, d = truth(name, mu, s, len(values) - 1)
    errors = [abs(mpf(float(v)) - t) / size for v, t, size in zip(values, h, d, strict=True)]
    return max(float(e) if math.isfinite(v) else math.inf for e, v in zip(errors, values, strict=True))


@functools.cache
def slopes(name, y):
    """σ(y), σ′(y), …, σ^(8)(y), from mpmath."""
    with mp.workdps(60):
        y = mpf(y)
        if name == "elu":
            return [y] + [mpf(1)] + [mpf(0)] * 7 if y > 0 else [mp.expm1(y)] + [mp.exp(y)] * 8
        return [SIGMA[name](y), *(mpmath.diff(SIGMA[name], y, k) for k in range(1, 9))]


def far_from_slopes(values, name, y):
    """The largest error of σ, σ′, … relative to the largest of them up to there."""
    true = slopes(name, y)
    largest, found = mpf(0), 0.0
    for value, t in zip(values, true, strict=False):
        largest = max(largest, abs(t))
        error = float(abs(mpf(float(value)) - t) / largest) if math.isfinite(value) else math.inf
        found = max(found, error if largest else float(value != 0))
    return found


# --- the truth and the comparisons -----------------------------------------------------------------------


def test_the_comparisons_notice_what_is_wrong():
    right = nm.hermite_coefficients("silu", 0.3, 0.8, order=4)
    assert worst(right, "silu", 0.3, 0.8) < 1e-14
    for k in range(5):
        for wrong in (right[k] + 1e-10, math.nan, math.inf):
            changed = right.copy()
            changed[k] = wrong
            assert worst(changed, "silu", 0.3, 0.8) > 1e-11
    for name in EVERY:
        right = np.array([float(v) for v in slopes(name, -0.7)])
        assert far_from_slopes(right, name, -0.7) < 1e-15
        for k in range(9):
            changed = right.copy()
            changed[k] = changed[k] * (1 + 1e-6) + 1e-6
            assert far_from_slopes(changed, name, -0.7) > 1e-8


def test_the_derivatives_of_the_truth():
    with mp.workdps(30):
        t = mp.tanh(mpf("0.4"))
        found = slopes("tanh", 0.4)
        t = mp.tanh(mpf(0.4))
        assert abs(found[1] - (1 - t * t)) < mpf("1e-25")
        assert abs(found[3] - (1 - t * t) * (6 * t * t - 2)) < mpf("1e-20")


# --- warnings --------------------------------------------------------------------------------------------


def test_a_warning_carries_the_estimate():
    mean, std = np.array([0.3, 0.1, 0.3]), np.array([1e3, 1.0, 0.0])
    with pytest.warns(AccuracyWarning) as caught:
        h = nm.hermite_coefficients(WAVE, mean, std)
    assert len(caught) == 1
    found = re.fullmatch(
        r"fast_wave: 1 of 3 pairs were not integrated to 1e-10; the worst, mean 0\.3, std 1000\.0, "
        r"has an estimated relative error of (\S+)\.",
        str(caught[0].message),
    )
    assert found
    estimate = float(found[1])
    assert estimate > PROMISED
    # E sin(40y) tanh(y) is that of sin(40y) sign(y) but for what is within a few units of 0, which is 1e-3 of all
    assert abs(h[0, 0]) <= estimate + 1e-2
    assert np.isfinite(h).all()
    # the caller is blamed
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", ["softsign", "silu", "elu"])
def test_no_warning_for_what_is_well_behaved(name):
    mean, std = np.meshgrid([-30.0, -1.0, 0.0, 0.5, 400.0], [0.0, 1e-12, 1e-3, 0.3, 1.0, 7.0, 1e3, 1e6])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(nm.hermite_coefficients(name, mean, std)).all()
        assert np.isfinite(nm.hermite_coefficients(name, mean[1:], std[1:], order=12)).all()
        assert np.isfinite(nm.expected_derivatives(name, mean, std)).all()


# --- overflow --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("act", "mean", "std"), [("exp", 0.5, 40.0), (GROWS, 0.5, 60.0), ("exp", 800.0, 0.0)])
def test_means_beyond_double_precision_are_errors(act, mean, std):
    name = act if isinstance(act, str) else act.name
    message = (
        rf"std: the mean of '{name}' is beyond double precision for 1 of 3 pairs, the first mean {mean}, std {std}; "
        r".* grows too fast for a preactivation that wide; scale the inputs or the weights down\."
    )
    out = np.zeros((3, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(OverflowError, match=message):
            nm.hermite_coefficients(act, [0.1, mean, 0.1], [1.0, std, 2.0])
        with pytest.raises(OverflowError, match=message):
            nm.hermite_coefficients(act, [0.1, mean, 0.1], [1.0, std, 2.0], out=out)
    assert np.isfinite(nm.hermite_coefficients(act, [0.1, 0.1], [1.0, 2.0])).all()


def test_the_largest_means_that_fit():
    h = nm.hermite_coefficients("exp", [0.0, 700.0, -800.0], [37.6, 1.0, 40.0], order=0)[:, 0]
    with mp.workdps(40):
        true = [mpmath.exp(mpf(37.6) ** 2 / 2), mpmath.exp(mpf(700.5)), mpf(1)]
        assert all(abs(mpf(float(v)) / t - 1) < mpf("1e-15") for v, t in zip(h, true, strict=True))
    # e^{s²/2} Φ(s), the left half being nothing against it
    (value,) = nm.hermite_coefficients(GROWS, 0.0, 15.0, order=0)
    assert value == pytest.approx(math.exp(112.5), rel=1e-12)
    # integration needs σ itself to be finite up to 39 s, which is sooner at an end than the mean is
    with pytest.raises(OverflowError, match="grows too fast"):
        nm.hermite_coefficients(GROWS, 0.0, 20.0, order=0)


@pytest.mark.parametrize("name", ["silu", "elu", "softsign"])
def test_orders_beyond_double_precision_are_errors(name):
    with pytest.raises(OverflowError, match=r"order: 400 is beyond double precision, from k = \d+ on; ask for less"):
        nm.hermite_coefficients(name, 0.3, 1.1, order=400)


# --- std = 0 and next to it ------------------------------------------------------------------------------

AT = [-30.0, -3.3, -0.7, -1e-9, 1e-9, 0.4, 2.5, 30.0]


@pytest.mark.parametrize("name", MOST)
@pytest.mark.parametrize("std", [0.0, 1e-310])
def test_zero_std(name, std):
    h = nm.hermite_coefficients(name, AT, std, order=12)
    assert np.array_equal(h[:, 0], nm.activation(name)(AT))
    assert not h[:, 1:].any()
    for order in (0, 1, 2, 5, 8):
        g = nm.expected_derivatives(name, AT, std, order=order)
        assert g.shape == (8, order + 1)
        assert np.array_equal(g[:, 0], h[:, 0])
        for row, y in zip(g, AT, strict=True):
            # mpmath cannot differentiate the formula of gelu_tanh at ±30, where it divides by 0
            assert abs(y) == 30 or far_from_slopes(row, name, y) < 1e-13


@pytest.mark.parametrize("name", ["silu", "elu", "softsign"])
def test_zero_std_and_derivatives_that_are_not_known(name):
    message = rf"order: got 9, but std is 0 for 1 of 3 pairs, where g_k is the k-th derivative of '{name}' itself"
    out = np.full((3, 10), 7.0)
    with pytest.raises(ValueError, match=message):
        nm.expected_derivatives(name, [1.0, 2.0, 3.0], [1.0, 0.0, 1.0], order=9, out=out)
    assert (out == 7).all()
    assert np.isfinite(nm.expected_derivatives(name, [1.0, 3.0], 1.0, order=9)).all()


def test_zero_std_and_any_order():
    g = nm.expected_derivatives("relu", [1.0, -1.0], 0.0, order=11)
    assert g.tolist() == [[1.0, 1.0] + [0.0] * 10, [0.0] * 12]
    assert nm.expected_derivatives("exp", 0.0, 0.0, order=11).tolist() == [1.0] * 12


@pytest.mark.parametrize("name", MOST)
@pytest.mark.parametrize("std", [1e-300, 1e-40, 1e-12])
def test_tiny_std(name, std):
    """h_k = s^k σ^(k)(μ) up to s², relative to D_k, and g_k = σ^(k)(μ), away from the kinks."""
    at = [-3.3, -0.7, 0.4, 2.5]
    values = nm.activation(name)(at)
    h = nm.hermite_coefficients(name, at, std, order=8)
    assert np.allclose(h[:, 0], values, rtol=1e-14, atol=0)
    sizes = np.abs(values)[:, None] * [math.sqrt(math.factorial(k)) for k in range(1, 9)]
    assert (np.abs(h[:, 1:]) <= 1e-11 * sizes).all()
    # elu's g_k is s^(k−2) times something divided by s^(k−2), which is lost where that is no number
    order = 3 if (name, std) == ("elu", 1e-300) else 8
    for row, y in zip(nm.expected_derivatives(name, at, std, order=order), at, strict=True):
        assert far_from_slopes(row, name, y) < 1e-11


# --- high orders -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "order"),
    [
        *(("silu", 12), ("elu", 12), ("softsign", 40)),
        # truth in 60 digits takes seconds
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("silu", 40), ("elu", 40), ("softsign", 12))),
    ],
)
def test_high_orders(name, order):
    for mu, s in [(0.4, 0.9), (-1.3, 3.0)]:
        h = nm.hermite_coefficients(name, mu, s, order=order)
        assert worst(h, name, mu, s) < 1e-13
        assert worst(h * (1 + 1e-9), name, mu, s) > 1e-12
        g = nm.expected_derivatives(name, mu, s, order=order)
        assert worst(g * s ** np.arange(order + 1), name, mu, s) < 1e-12


# --- batches ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [nm.hermite_coefficients, nm.expected_derivatives])
@pytest.mark.parametrize("name", MOST)
def test_batches_of_mixed_regimes_are_their_pairs(name, function):
    """Narrow, wide, std = 0, tails, whatever the others in a block are; bit for bit where integration is adaptive.

    Elsewhere vector code and the code for what is left over of a block may fuse other multiplications and additions.
    """
    rng = np.random.default_rng(9)
    n = 300 if name != "softsign" else 40
    mean = rng.normal(size=n) * 10 ** rng.uniform(-2, 2, n)
    std = 10 ** rng.uniform(-4, 3, n) * (rng.random(n) > 0.1)
    for order in (2, 8):
        together = function(name, mean, std, order=order)
        alone = np.array([function(name, m, s, order=order) for m, s in zip(mean, std, strict=True)])
        reversed_order = function(name, mean[::-1], std[::-1], order=order)[::-1]
        assert np.isfinite(together).all()
        if nm.activation(name).kernels.KIND == "integrated":
            assert np.array_equal(together, alone)
            assert np.array_equal(reversed_order, together)
            continue
        # g_k is measured as s^k g_k, the size of which is |μ| + s, as that of h_k is, times √k!
        power = std[:, None] ** np.arange(order + 1) if function is nm.expected_derivatives else 1.0
        size = (np.abs(mean) + std)[:, None] * [math.sqrt(math.factorial(k)) for k in range(order + 1)]
        for other in (alone, reversed_order):
            assert (np.abs(other - together) * power <= 1e-13 * size).all()
        assert not (np.abs(alone + 1e-9 - together) * power <= 1e-13 * size).all()


@pytest.mark.parametrize("name", MOST)
def test_layouts_types_and_out(name):
    rng = np.random.default_rng(3)
    mean, std = rng.normal(size=(4, 1, 6)), 10 ** rng.uniform(-1, 1, (5, 1))
    for order in (2, 8):
        expected = nm.hermite_coefficients(name, np.ascontiguousarray(np.broadcast_to(mean, (4, 5, 6))), std, order)
        wide = np.zeros((8, 1, 12))
        wide[::2, :, ::-2] = mean
        assert np.array_equal(nm.hermite_coefficients(name, wide[::2, :, ::-2], std, order), expected)
        shape = (4, 5, 6, order + 1)
        every = [np.empty(shape), np.empty(shape[::-1]).T, np.empty((*shape[:3], 2 * order + 2))[..., ::2]]
        for out in every:
            out[...] = np.nan
            assert nm.hermite_coefficients(name, mean, std, order, out=out) is out
            assert np.array_equal(out, expected)
    single = mean.astype(np.float32)
    assert np.array_equal(nm.hermite_coefficients(name, single, std), nm.hermite_coefficients(name, single * 1.0, std))
    assert np.array_equal(nm.hermite_coefficients(name, [1, -2], 3), nm.hermite_coefficients(name, [1.0, -2.0], 3.0))
    assert np.array_equal(nm.hermite_coefficients(name, True, 1), nm.hermite_coefficients(name, 1.0, 1.0))
    assert nm.hermite_coefficients(name, np.empty((0, 3)), 1.0, order=4).shape == (0, 3, 5)
    assert nm.expected_derivatives(name, np.empty(0), np.empty(0), order=11).shape == (0, 12)


def test_out_that_shares_memory_with_the_input():
    block = np.random.default_rng(0).uniform(0.5, 1, size=(400, 3))
    mean = block.reshape(-1)[:400]
    expected = nm.hermite_coefficients("silu", mean.copy(), 1.0)
    nm.hermite_coefficients("silu", mean, 1.0, out=block)
    assert np.array_equal(block, expected)
