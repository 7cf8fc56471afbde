"""Wrappers around the kernels: broadcasting, types, strides, `out`, zero variance, orders, and bad input."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numeric as nm
from tests.numeric import kinds
from tests.oracle.panels import by_integration

NAMES = nm.activation_names()
AT_ZERO = ("abs", "step", "relu", "leaky_relu", "relu2", "elu", "celu", "selu", "softsign")
BREAKS = dict.fromkeys(AT_ZERO, (0,)) | {
    "relu6": (0, 6),
    "hardtanh": (-1, 1),
    "hardshrink": (-0.5, 0.5),
    "softshrink": (-0.5, 0.5),
    "hardsigmoid": (-3, 3),
    "hardswish": (-3, 3),
    "jump_relu": (0.001,),
}


def breaks_of(name):
    return BREAKS.get(name, ())


def any_order(name):
    """Whether orders above 8 come from the same formulas; otherwise they are integrated."""
    return hasattr(nm.activation(name).kernels, "hermite_loop_any")


def assert_close_to_definition(values, name, mu, s, order):
    """Equal to the integral to 1e-12 of E|σ|√k!, the size that a Hermite coefficient can have."""
    act = nm.activation(name)
    true = by_integration(act, mu, s, order, breaks_of(name))
    size = math.sqrt(by_integration(lambda y: act(y) ** 2, mu, s, 0, breaks_of(name))[0])
    scale = size * np.sqrt([math.factorial(k) for k in range(order + 1)])
    assert np.all(np.abs(values - true) <= 2e-12 * scale + 1e-300)


def test_the_integration_helper_knows_polynomials_and_notices_errors():
    cube = by_integration(lambda y: y**3, 0.5, 2.0, 3)
    assert np.allclose(cube, [0.5**3 + 3 * 0.5 * 4, 2 * (3 * 0.25 + 12), 4 * 6 * 0.5, 8 * 6], rtol=1e-13)
    right = nm.hermite_coefficients("relu", 0.3, 1.1, order=4)
    assert_close_to_definition(right, "relu", 0.3, 1.1, 4)
    for k in range(5):
        wrong = right.copy()
        wrong[k] += 1e-10
        with pytest.raises(AssertionError):
            assert_close_to_definition(wrong, "relu", 0.3, 1.1, 4)


# test_accuracy.py has the values of all of them.
@pytest.mark.parametrize("name", kinds.NAMES)
@settings(max_examples=15, deadline=None)
@given(mu=st.floats(-4, 4), s=st.floats(0.05, 4))
def test_coefficients_are_those_of_the_definition(name, mu, s):
    assert_close_to_definition(nm.hermite_coefficients(name, mu, s, order=8), name, mu, s, 8)


@pytest.mark.parametrize("name", kinds.NAMES)
def test_high_orders_continue_the_unrolled_ones(name):
    mu, s = np.array([0.4, -1.3]), np.array([0.9, 1.7])
    many = nm.hermite_coefficients(name, mu, s, order=14)
    for i in range(2):
        assert_close_to_definition(many[i], name, mu[i], s[i], 14)
    few = nm.hermite_coefficients(name, mu, s, order=8)
    size = np.abs(few[:, :1]) + np.abs(mu[:, None]) + 1
    few_and_many = np.abs(many[:, :9] - few) / (size * np.sqrt([math.factorial(k) for k in range(9)]))
    assert few_and_many.max() <= (0 if any_order(name) else 1e-13)
    g = nm.expected_derivatives(name, mu, s, order=14)
    assert np.allclose(g * s[:, None] ** np.arange(15), many, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("name", ["relu6", "hardtanh"])
def test_high_orders_of_intervals_narrow_against_the_spread(name):
    wide = nm.hermite_coefficients(name, 5.0, 40.0, order=12)
    assert_close_to_definition(wide, name, 5.0, 40.0, 12)


@pytest.mark.parametrize("name", kinds.NAMES)
def test_every_order_gives_the_same_numbers(name):
    mu, s = np.linspace(-3, 3, 11), np.linspace(0.2, 3, 11)
    full = nm.hermite_coefficients(name, mu, s, order=9 if any_order(name) else 8)
    for order in range(9):
        # the short loop may fuse other multiplications and additions than the long one
        few = nm.hermite_coefficients(name, mu, s, order=order)
        assert np.allclose(few, full[:, : order + 1], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", kinds.NAMES)
@pytest.mark.parametrize("function", [nm.hermite_coefficients, nm.expected_derivatives])
def test_shapes_types_and_strides(name, function):
    rng = np.random.default_rng(3)
    mean, std = rng.normal(size=(4, 1, 6)), rng.uniform(0.1, 2, size=(5, 1))
    expected = function(name, np.ascontiguousarray(np.broadcast_to(mean, (4, 5, 6))), std)
    assert expected.shape == (4, 5, 6, 3)
    assert expected.dtype == np.float64
    assert np.array_equal(function(name, mean, std), expected)
    big = np.zeros((8, 1, 12))
    big[::2, :, ::-2] = mean
    assert np.array_equal(function(name, big[::2, :, ::-2], std), expected)
    assert np.array_equal(function(name, np.asfortranarray(mean), std), expected)
    single = mean.astype(np.float32)
    assert np.array_equal(function(name, single, std), function(name, single.astype(float), std))
    assert np.array_equal(function(name, [1, -2], 3), function(name, [1.0, -2.0], 3.0))
    assert function(name, 1, 2).shape == (3,)
    assert function(name, np.empty((0, 3)), 1.0, order=4).shape == (0, 3, 5)
    assert function(name, np.empty(0), np.empty(0), order=11).shape == (0, 12)


def test_more_pairs_than_a_block_and_every_remainder():
    for n in (1, 255, 256, 257, 1000):
        mu, s = np.linspace(-5, 5, n), np.linspace(0.1, 2, n)
        together = nm.hermite_coefficients("gelu", mu, s)
        alone = np.array([nm.hermite_coefficients("gelu", m, d) for m, d in zip(mu, s)])
        assert np.array_equal(together, alone)


def test_out_is_written_whatever_its_strides():
    mu, s = np.linspace(-2, 2, 7), np.linspace(0.5, 1, 7)
    expected = nm.hermite_coefficients("relu", mu, s)
    for out in (np.empty((7, 3)), np.empty((3, 7)).T, np.empty((14, 6))[::2, ::-2]):
        assert nm.hermite_coefficients("relu", mu, s, out=out) is out
        assert np.array_equal(out, expected)
    block = np.zeros((7, 3))
    block[:, 0], block[:, 1] = mu, s
    nm.hermite_coefficients("relu", block[:, 0], block[:, 1], out=block)
    assert np.array_equal(block, expected)


def test_out_that_shares_memory_with_the_input():
    block = np.random.default_rng(0).uniform(0.5, 1, size=(600, 3))
    flat = block.reshape(-1)
    mean = flat[:600]
    expected = nm.hermite_coefficients("relu", mean.copy(), 1.0)
    nm.hermite_coefficients("relu", mean, 1.0, out=block)
    assert np.array_equal(block, expected)


@pytest.mark.parametrize("name", NAMES)
def test_zero_standard_deviation_gives_the_activation_itself(name):
    """By the kernels that test_accuracy.py needs anyway."""
    assert_the_activation_itself(name, 8, 8)


@pytest.mark.parametrize("name", kinds.NAMES)
def test_zero_standard_deviation_and_kernels_for_other_orders(name):
    assert_the_activation_itself(name, 10, 2)


def assert_the_activation_itself(name, h_order, g_order):
    mu = np.array([-7.0, -1.0, -0.5, 0.0, 0.25, 1.0, 6.0, 9.0])
    h = nm.hermite_coefficients(name, mu, 0.0, order=h_order)
    # vector code may fuse other multiplications and additions
    assert np.allclose(h[:, 0], nm.activation(name)(mu), rtol=1e-14, atol=0)
    assert not h[:, 1:].any()
    g = nm.expected_derivatives(name, mu, 0.0, order=g_order)
    assert np.allclose(g[:, 0], h[:, 0], rtol=1e-14, atol=0)
    inside = np.array([-7.0, -0.4, 0.25, 9.0])
    step = 1e-4
    slope = (nm.activation(name)(inside + step) - nm.activation(name)(inside - step)) / (2 * step)
    assert np.allclose(nm.expected_derivatives(name, inside, 0.0, order=g_order)[:, 1], slope, atol=1e-6)


def test_zero_and_positive_deviations_together():
    s = np.array([0.0, 1.0, 0.0, 1e-310])
    h = nm.hermite_coefficients("step", np.zeros(4), s, order=1)
    assert h[:, 0].tolist() == [0.0, 0.5, 0.0, 0.0]
    assert nm.expected_derivatives("relu", 0.0, 0.0).tolist() == [0.0, 0.0, 0.0]
    assert nm.expected_derivatives("relu", 2.0, 0.0).tolist() == [2.0, 1.0, 0.0]
    assert nm.expected_derivatives("hardtanh", [-1.0, 1.0], 0.0, order=1)[:, 1].tolist() == [0.0, 1.0]


ANY_MEAN, ANY_LOG_S = st.floats(-1e150, 1e150), st.floats(-300, 150)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(mu=ANY_MEAN, log_s=ANY_LOG_S, order=st.integers(3, 8))
def test_no_scale_gives_nan(name, mu, log_s, order):
    assert_no_nan(name, mu, 10.0**log_s, order)


@pytest.mark.parametrize("name", kinds.NAMES)
@settings(max_examples=25, deadline=None)
@given(mu=ANY_MEAN, log_s=ANY_LOG_S, order=st.integers(0, 2))
def test_no_scale_gives_nan_at_low_orders(name, mu, log_s, order):
    """Kernels of their own."""
    assert_no_nan(name, mu, 10.0**log_s, order)


def assert_no_nan(name, mu, s, order):
    try:
        h = nm.hermite_coefficients(name, mu, s, order=order)
        g = nm.expected_derivatives(name, mu, s, order=min(order, 3))
    except OverflowError:
        assert nm.activation(name).kernels.MAY_OVERFLOW
        return
    assert not np.isnan(h).any()
    assert not np.isnan(g).any()


@pytest.mark.parametrize("name", ["relu", "abs", "leaky_relu", "identity"])
@settings(max_examples=30, deadline=None)
@given(
    mu=st.one_of(st.just(0.0), st.floats(1e-3, 5), st.floats(-5, -1e-3)),
    s=st.floats(0.01, 5),
    exponent=st.integers(-200, 200),
)
def test_homogeneous_activations_scale_exactly(name, mu, s, exponent):
    scale = 2.0**exponent
    h = nm.hermite_coefficients(name, mu, s, order=8)
    assert np.array_equal(nm.hermite_coefficients(name, mu * scale, s * scale, order=8), h * scale)


@settings(max_examples=50, deadline=None)
@given(mu=st.floats(-30, 30), s=st.floats(1e-3, 30), slope=st.floats(-2, 2))
def test_linear_relations_between_activations(mu, s, slope):
    def h(name, at=mu, **parameters):
        return nm.hermite_coefficients(nm.activation(name, **parameters), at, s, order=4)

    tolerance = 1e-12 * (abs(mu) + s) * 50
    assert np.allclose(h("abs"), 2 * h("relu") - h("identity"), atol=tolerance, rtol=0)
    leaky = slope * h("identity") + (1 - slope) * h("relu")
    assert np.allclose(h("leaky_relu", negative_slope=slope), leaky, atol=tolerance, rtol=0)
    assert np.allclose(h("relu6"), h("relu") - h("relu", mu - 6), atol=tolerance, rtol=0)
    clipped = h("hardtanh", min_val=0, max_val=6)
    assert np.allclose(clipped, h("relu6"), atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", ["step", "relu", "abs", "leaky_relu", "relu2", "relu6", "hardtanh"])
def test_derivatives_of_high_order_vanish_far_from_the_kinks(name):
    """φ(z)/s^k with φ = 0 in doubles, and s^k = 0 too."""
    assert np.array_equal(nm.expected_derivatives(name, 60.5, 1e-40, order=14)[9:], np.zeros(6))


def test_parameters():
    leaky = nm.activation("leaky_relu", negative_slope=0.2)
    assert leaky.parameters == {"negative_slope": 0.2}
    assert leaky(np.array([-1.0, 2.0])).tolist() == [-0.2, 2.0]
    assert nm.activation(leaky) is leaky
    assert repr(nm.activation("leaky_relu", negative_slope=0.1234567891)).endswith("negative_slope=0.1234567891)")
    assert nm.activation(leaky, negative_slope=0.3).parameters == {"negative_slope": 0.3}
    assert pickle.loads(pickle.dumps(leaky)) == leaky
    assert len({leaky, nm.activation("leaky_relu", negative_slope=0.2), nm.activation("leaky_relu")}) == 2
    assert nm.activation("hardtanh").parameters == {"min_val": -1.0, "max_val": 1.0}
    assert nm.activation("bump") == nm.activation("gaussian_bump")
    constant = nm.activation("hardtanh", min_val=2, max_val=2)
    assert np.allclose(nm.hermite_coefficients(constant, [-3, 5], 2.0), [[2, 0, 0], [2, 0, 0]], atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_calling_an_activation_keeps_the_floating_type(name):
    act = nm.activation(name)
    x = np.linspace(-3, 3, 12).reshape(3, 4)
    assert act(x).dtype == np.float64
    assert act(x.astype(np.float32)).dtype == np.float32
    assert act(np.arange(3)).dtype == np.float64
    assert act(x.astype(np.float16)).dtype == np.float16
    assert act(np.array(True)) == act(1.0)
    assert act(x[:, ::2].T).shape == (2, 3)
    assert np.array_equal(act(x[:, ::2].T), act(x)[:, ::2].T)
    assert np.allclose(act(x.astype(np.float32)), act(x), rtol=1e-5, atol=1e-6)


def test_records_of_the_symbolic_side_are_accepted():
    import symgauss as sg

    record = sg.activation("leaky_relu", negative_slope=0.2)
    assert nm.activation(record) == nm.activation("leaky_relu", negative_slope=0.2)
    assert np.array_equal(nm.hermite_coefficients(record, 1, 2), nm.hermite_coefficients(nm.activation(record), 1, 2))
    # another formula under a name of the catalogue is compiled on its own
    own = nm.activation(sg.Activation("relu", sg.x**2))
    assert own != nm.activation("relu")
    assert nm.hermite_coefficients(own, 3.0, 0.5).tolist() == [9.25, 3.0, 0.5]


BAD = [
    (("relu", np.nan, 1.0), {}, ValueError, "mean has 1 bad of 1 entries, the first nan"),
    (("relu", [0.0, np.inf], 1.0), {}, ValueError, "flat index 1"),
    (("relu", 0.0, -1e-9), {}, ValueError, "std has 1 bad of 1 entries, the first -1e-09 .* ≥ 0"),
    (("relu", 0.0, [0.5, -1.0, 0.0]), {}, ValueError, "std has 1 bad of 3 entries, the first -1.0 at flat index 1"),
    (("relu", 0.0, np.nan), {}, ValueError, "std"),
    (("relu", 0.0, np.inf), {}, ValueError, "std"),
    (("relu", np.zeros(3), np.ones(4)), {}, ValueError, r"mean of shape \(3,\) and std of shape \(4,\)"),
    (("relu", 1j, 1.0), {}, TypeError, "mean: expected an array of real numbers, got dtype complex128; take .real"),
    (("relu", 0.0, np.array([None])), {}, TypeError, "std: .*got dtype object"),
    (("relu", "zero", 1.0), {}, TypeError, "mean: .*got dtype <U4"),
    (("relu", 0.0, 1.0), {"order": -1}, ValueError, "order: expected an integer ≥ 0, got -1"),
    (("relu", 0.0, 1.0), {"order": 2.0}, TypeError, "order: .*got 2.0"),
    (("relu", 0.0, 1.0), {"order": True}, TypeError, "order: .*got True"),
    (("relu", 0.0, 1.0), {"out": np.empty(4)}, ValueError, r"out is float64 \(4,\); expected .* \(3,\)"),
    (("relu", 0.0, 1.0), {"out": np.empty(3, np.float32)}, ValueError, "out is float32"),
    (("relu", 0.0, 1.0), {"out": [0, 0, 0]}, ValueError, "out is list"),
    (("rleu", 0.0, 1.0), {}, nm.UnknownActivation, "'rleu' is not known. Did you mean 'relu'"),
    (("ReLU", 0.0, 1.0), {}, nm.UnknownActivation, "'ReLU' is not known. Did you mean 'relu'"),
    ((np.ma.masked_array([1.0], [True]), 1.0, 1.0), {}, TypeError, "activation is MaskedArray"),
    (("relu", np.ma.masked_array([1.0], [True]), 1.0), {}, TypeError, "mean: expected an array without a mask"),
    (("qqqqqqq", 0.0, 1.0), {}, nm.UnknownActivation, "activation_names"),
    ((np.tanh, 0.0, 1.0), {}, TypeError, "activation is ufunc"),
]


@pytest.mark.parametrize(("arguments", "options", "error", "message"), BAD)
@pytest.mark.parametrize("function", [nm.hermite_coefficients, nm.expected_derivatives])
def test_bad_input(function, arguments, options, error, message):
    with pytest.raises(error, match=message):
        function(*arguments, **options)


def test_orders_beyond_double_precision_are_refused():
    with pytest.raises(OverflowError, match=r"order: 400 is beyond double precision, from k = \d+ on"):
        nm.hermite_coefficients("gelu", 0.3, 1.1, order=400)
    assert np.isfinite(nm.hermite_coefficients("gelu", 0.3, 1.1, order=60)).all()


@pytest.mark.parametrize("name", NAMES)
def test_nan_passes_through_an_activation(name):
    act = nm.activation(name)
    for dtype in (np.float32, np.float64):
        values = act(np.array([np.nan, 1.0, np.nan, -1.0], dtype))
        assert np.isnan(values).tolist() == [True, False, True, False]


@settings(max_examples=60, deadline=None)
@given(slope=st.floats(-1e6, 1e6), mu=st.floats(-40, 40), s=st.floats(0.01, 10))
def test_steep_leaky_relu_keeps_the_gentle_side(slope, mu, s):
    """Far right of the kink E σ = μ + (1 − a) s I_1(−μ/s), however steep the other side is."""
    h = nm.hermite_coefficients(nm.activation("leaky_relu", negative_slope=slope), mu, s, order=1)
    tail = nm.hermite_coefficients("relu", -abs(mu), s, order=1)
    near = 1.0 if mu > 0 else slope
    assert h[0] == pytest.approx(near * mu + (1 - slope) * tail[0], rel=1e-11, abs=1e-12 * s)
    side = math.copysign(1.0, mu) if mu else -1.0
    assert h[1] == pytest.approx(near * s - side * (1 - slope) * tail[1], rel=1e-12, abs=1e-12 * s)


@pytest.mark.parametrize(("a", "b"), [(-6.0, 0.0), (-1.0, 0.0), (-1e6, 1e-6), (0.0, 6.0), (2.0, 2.0)])
def test_intervals_far_from_the_mean_on_either_side(a, b):
    """Mirrored about 0 an interval gives mirrored numbers, far tails included."""
    mu, s = np.array([800.0, -800.0, 3.0, -40.0, 1e-3]), np.array([100.0, 100.0, 2.0, 1.5, 1e-4])
    one = nm.hermite_coefficients(nm.activation("hardtanh", min_val=a, max_val=b), mu, s, order=8)
    two = nm.hermite_coefficients(nm.activation("hardtanh", min_val=-b, max_val=-a), -mu, s, order=8)
    signs = -((-1.0) ** np.arange(9))
    assert np.allclose(one, two * signs, rtol=1e-13, atol=0)


def test_bad_input_leaves_out_untouched():
    out = np.full((2, 3), 7.0)
    with pytest.raises(ValueError):
        nm.hermite_coefficients("relu", [0.0, np.nan], 1.0, out=out)
    assert (out == 7).all()
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        nm.hermite_coefficients("relu", [0.0, 1.0], 1.0, out=out)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"slope": 1}, TypeError, "no parameter 'slope'; its parameters: negative_slope"),
        ({"negative_slope": np.nan}, ValueError, "expected a finite number"),
        ({"negative_slope": "x"}, TypeError, "expected a real number"),
    ],
)
def test_bad_parameters(parameters, error, message):
    with pytest.raises(error, match=message):
        nm.activation("leaky_relu", **parameters)


def test_parameters_that_contradict_each_other():
    with pytest.raises(ValueError, match=r"hardtanh.*needs min_val <= max_val"):
        nm.activation("hardtanh", min_val=2)
    with pytest.raises(TypeError, match="expected a name"):
        nm.activation(3)
    with pytest.raises(TypeError, match="x: expected an array of real numbers"):
        nm.activation("relu")(np.array([1j]))
