"""Factored and dense polynomials: the same function in different clothes."""

import pickle
import time
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.hermite_e import hermeval

from numeric.convert import approximate
from numeric.dense import CoefficientsTooLarge, DensePolynomial, available_memory, check_memory, symmetrise
from numeric.inputs import Gaussian
from numeric.layers import MLP
from numeric.polynomial import RidgePolynomial
from numeric.series import HermiteSeries, powers_about
from tests.numeric.problems import Problem, assert_close, monomial_sum, problems, weights

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def example(degree: int = 3, seed: int = 0, activation: str = "gelu") -> RidgePolynomial:
    rng = np.random.default_rng(seed)
    return approximate(MLP(*weights(rng, 3, 5, 2), activation), Gaussian(rng.standard_normal(3)), degree)


def random_tensors(rng: np.random.Generator, d: int, d_out: int, degree: int) -> list[np.ndarray]:
    return [rng.standard_normal((d_out, *(d,) * k)) for k in range(degree + 1)]


# Hermite series


@pytest.mark.parametrize("degree", [0, 1, 2, 5, 8, 40])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_series_is_its_definition(degree: int, dtype: type) -> None:
    rng = np.random.default_rng(degree)
    n = 1100
    norms = np.sqrt([float(factorial(k)) for k in range(degree + 1)])
    hermite = rng.standard_normal((n, degree + 1)) * norms
    std = rng.uniform(0.5, 2, n)
    u = (std * rng.uniform(-3, 3, (4, n))).astype(dtype)
    expected = np.empty(u.shape)
    for i in range(n):
        expected[:, i] = hermeval(u[:, i] / std[i], hermite[i] / norms**2)
    values = HermiteSeries(hermite, std)(u.copy(), slice(0, n))
    assert values.dtype == dtype
    scale = 1 + np.abs(expected).max()
    assert_close(values, expected, scale, 4 * float(np.finfo(dtype).eps) * (degree + 1))
    part = HermiteSeries(hermite, std)(u[:, 300:900].copy(), slice(300, 900))
    np.testing.assert_array_equal(part, values[:, 300:900])


def test_series_without_variance_is_constant() -> None:
    series = HermiteSeries(np.array([[2.0, 0.0, 0.0]]), np.zeros(1))
    np.testing.assert_array_equal(series(np.array([[-1e9], [0.0], [3.0]]), slice(0, 1)), 2.0)


def test_series_of_tiny_spread() -> None:
    # q(u) = 1 + 2u + 3 (u² − s²) with s = 1e-120: h = (1, 2s, 6s²)
    s = 1e-120
    series = HermiteSeries(np.array([[1.0, 2 * s, 6 * s**2]]), np.array([s]))
    np.testing.assert_allclose(series(np.array([[0.5], [-1.0]]), slice(0, 1))[:, 0], [2.75, 2.0], rtol=1e-14)


def test_powers_are_those_of_the_series() -> None:
    rng = np.random.default_rng(1)
    degree, n = 6, 4
    std, shift = rng.uniform(0.5, 2, n), rng.standard_normal(n)
    derivatives = rng.standard_normal((n, degree + 1))
    powers = powers_about(derivatives, std, shift)
    series = HermiteSeries(derivatives * std[:, None] ** np.arange(degree + 1), std)
    v = rng.standard_normal((5, n))
    expected = series(v + shift, slice(0, n))
    actual = sum(powers[:, m] * v**m for m in range(degree + 1))
    scale = sum(np.abs(powers[:, m] * v**m) for m in range(degree + 1))
    assert_close(np.asarray(actual), expected, scale + 1, 1e-14)


def test_powers_without_variance_are_the_taylor_polynomial() -> None:
    powers = powers_about(np.array([[1.0, 2.0, 6.0]]), np.zeros(1), np.zeros(1))
    np.testing.assert_array_equal(powers, [[1.0, 2.0, 3.0]])


# Ridge polynomials


def test_repr_and_sizes() -> None:
    p = example(2)
    assert repr(p) == "RidgePolynomial(degree=2, 3 → 2, 5 ridges, gelu)"
    assert (p.degree, p.d_in, p.d_out, p.n_hidden, p.activation.name, p.info) == (2, 3, 2, 5, "gelu", None)
    assert repr(p.dense()) == "DensePolynomial(degree=2, 3 → 2)"


@SETTINGS
@given(problems(), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_coefficients_make_the_same_function(problem: Problem, degree: int, seed: int) -> None:
    p = approximate(*problem, degree)
    rng = np.random.default_rng(seed)
    x = problem.inputs.sample(5, rng)
    for center in (np.zeros(p.d_in), problem.inputs.mean, rng.standard_normal(p.d_in)):
        dense = p.about(center)
        value, scale = monomial_sum(list(dense.coefficients), x - center)
        tolerance = 1e-13 if p.W_in.dtype == np.float64 else 1e-11
        size = scale + np.abs(value) + np.abs(p.W_out).sum(axis=1) * np.abs(p.hermite).max()
        assert_close(dense(x), value, size, 1e-13)
        assert_close(p(x), value, size, tolerance * 10**degree)


def test_properties_are_the_coefficients_about_the_origin() -> None:
    p = example(3)
    dense = p.dense()
    for ours, k in ((p.constant, 0), (p.linear, 1), (p.quadratic, 2), (p.coefficient(3), 3)):
        assert ours.dtype == np.float64
        assert ours.shape == (2, *(3,) * k)
        np.testing.assert_array_equal(ours, dense.coefficient(k))
    assert np.all(dense.center == 0)
    assert p.quadratic is p.quadratic
    np.testing.assert_array_equal(dense.constant, p.constant)
    np.testing.assert_array_equal(dense.linear, p.linear)
    np.testing.assert_array_equal(dense.quadratic, p.quadratic)


def test_coefficients_are_symmetric_to_the_last_bit() -> None:
    p = example(4)
    for k in (2, 3, 4):
        tensor = p.coefficient(k)
        for axis in range(1, k):
            np.testing.assert_array_equal(tensor, np.swapaxes(tensor, axis, axis + 1))


def test_zeros_above_the_degree() -> None:
    p = example(1)
    assert p.coefficient(4).shape == (2, 3, 3, 3, 3)
    assert not p.coefficient(4).any()
    assert not p.quadratic.any()
    assert p.dense().quadratic.shape == (2, 3, 3)


def test_coefficients_about_the_mean_by_hand() -> None:
    # n ≤ 2: W_out diag(g_1) W_in and ½ W_inᵀ diag(W_out[o] ⊙ g_2) W_in; gelu's derivatives by their integrals
    rng = np.random.default_rng(2)
    W_in, b_in, W_out, b_out = weights(rng, 3, 5, 2)
    m = rng.standard_normal(3)
    p = approximate(MLP(W_in, b_in, W_out, b_out, "sin"), Gaussian(m), 2).about(m)
    mu, s = W_in @ m + b_in, np.linalg.norm(W_in, axis=1)
    damping = np.exp(-(s**2) / 2)
    g_0, g_1, g_2 = np.sin(mu) * damping, np.cos(mu) * damping, -np.sin(mu) * damping
    assert_close(p.constant, W_out @ (g_0 - g_2 * s**2 / 2) + b_out, 10.0, 1e-14)
    assert_close(p.linear, W_out @ (g_1[:, None] * W_in), 10.0, 1e-14)
    quadratic = np.einsum("oh,hi,hj->oij", W_out * g_2 / 2, W_in, W_in)
    assert_close(p.quadratic, quadratic, 10.0, 1e-14)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    p = example(4)
    expected = [p.coefficient(k) for k in range(5)]
    pairs = lambda n, *_: (slice(i, i + 2) for i in range(0, n, 2))  # noqa: E731
    monkeypatch.setattr("numeric.factored.row_blocks", pairs)
    for k in range(5):
        assert_close(p.coefficient(k), expected[k], 10.0, 1e-15)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_result_type_and_shapes(dtype: type) -> None:
    layer = MLP(np.ones((5, 3), dtype), None, np.ones((2, 5), dtype))
    p = approximate(layer, Gaussian(np.zeros(3)))
    for x_dtype in (np.float16, np.float32, np.float64, np.int32):
        x = np.ones((4, 3), x_dtype)
        assert p(x).dtype == layer(x).dtype
    for batch in ((), (0,), (7,), (2, 0), (2, 3)):
        assert p(np.ones((*batch, 3))).shape == (*batch, 2)
        assert p.dense()(np.ones((*batch, 3))).shape == (*batch, 2)


def test_evaluation_leaves_x_alone() -> None:
    x = np.ones((4, 3))
    example()(x)
    assert np.all(x == 1)


def test_any_memory_layout() -> None:
    p = example()
    x = np.random.default_rng(3).standard_normal((6, 3))
    expected = p(x)
    assert_close(p(np.asfortranarray(x)), expected, 10.0, 1e-15)
    assert_close(p(np.repeat(x, 2, axis=0)[::2]), expected, 10.0, 1e-15)
    single = p(x.astype(np.float32))
    assert_close(single, expected, 10.0, 1e-6)


def test_large_mean_costs_nothing() -> None:
    # the network itself sees only 1e-8 of its preactivations here; the polynomial sees x − m exactly
    rng = np.random.default_rng(4)
    W_in, b_in, W_out, b_out = weights(rng, 3, 5, 2)
    m = np.round(rng.standard_normal(3), 2) + 2.0**20
    shift = W_in @ m
    moved = approximate(MLP(W_in, b_in - shift, W_out, b_out), Gaussian(m))
    plain = approximate(MLP(W_in, b_in, W_out, b_out), Gaussian(np.zeros(3)))
    z = np.round(rng.standard_normal((4, 3)), 2)
    x = m + z
    assert_close(moved(x), plain(x - m), 10.0, 2.0**20 * 1e-15)


def test_pickles_without_what_it_can_make_again() -> None:
    p = example(2)
    x = np.ones((2, 3))
    size = len(pickle.dumps(p))
    _ = p.quadratic, p(x)
    assert len(pickle.dumps(p)) == size
    copy = pickle.loads(pickle.dumps(p))
    np.testing.assert_array_equal(copy(x), p(x))
    np.testing.assert_array_equal(copy.quadratic, p.quadratic)
    dense = pickle.loads(pickle.dumps(p.dense()))
    np.testing.assert_array_equal(dense(x), p.dense()(x))


# Memory


def large() -> RidgePolynomial:
    wide = np.broadcast_to(np.float32(0.01), (16, 4096))
    return approximate(MLP(wide, None, np.broadcast_to(np.float32(1), (4096, 16))), Gaussian(np.zeros(4096)))


def test_what_does_not_fit_is_refused_at_once_with_its_size() -> None:
    p = large()
    size = 8 * 4096 * 4096**2
    requests = (lambda: p.quadratic, lambda: p.coefficient(2), p.dense, lambda: p.about(np.ones(4096)))
    for request in requests:
        start = time.process_time()
        with pytest.raises(CoefficientsTooLarge, match=r"\d bytes") as caught:
            request()
        assert time.process_time() - start < 1
        assert isinstance(caught.value, MemoryError)
        assert caught.value.bytes >= size
        assert f"{caught.value.bytes:,} bytes" in str(caught.value)
    assert p.constant.shape == (4096,)
    with pytest.raises(CoefficientsTooLarge):
        p.coefficient(30)
    with pytest.raises(CoefficientsTooLarge, match=r"take 549,755,813,888 bytes, and 134,217,728 bytes more"):
        _ = p.quadratic
    with pytest.raises(CoefficientsTooLarge, match=r"take about 2\^12000016 bytes"):
        p.coefficient(10**6)


def test_max_bytes() -> None:
    p = example(2)
    assert p.coefficient(2, max_bytes=8 * 3 * 9).shape == (2, 3, 3)
    with pytest.raises(CoefficientsTooLarge, match="allowed by max_bytes"):
        p.coefficient(2, max_bytes=8 * 3 * 9 - 1)
    with pytest.raises(CoefficientsTooLarge, match="take 144 bytes, and 72 bytes more"):
        p.coefficient(2, max_bytes=0)
    # a tensor of order 3, and 3 + 4 tables of its shape, of one output
    with pytest.raises(CoefficientsTooLarge, match="take 432 bytes, and 1,512 bytes more"):
        example(3).coefficient(3, max_bytes=0)
    with pytest.raises(CoefficientsTooLarge):
        p.about(np.zeros(3), max_bytes=0)
    with pytest.raises(CoefficientsTooLarge) as caught:
        p.dense(max_bytes=0)
    assert pickle.loads(pickle.dumps(caught.value)).bytes == caught.value.bytes > 0


def test_available_memory_is_plausible() -> None:
    assert 2**27 < available_memory() < 2**50
    check_memory(1, 1, [0, 1, 2, 3])


# Dense polynomials


@pytest.mark.parametrize("degree", range(5))
def test_dense_evaluation_is_the_sum_of_monomials(degree: int) -> None:
    rng = np.random.default_rng(degree)
    tensors = random_tensors(rng, 3, 2, degree)
    center = rng.standard_normal(3)
    p = DensePolynomial(center, tensors)
    x = rng.standard_normal((7, 3))
    value, scale = monomial_sum(tensors, x - center)
    assert_close(p(x), value, scale, 1e-14)
    assert_close(p(x[0]), value[0], scale[0], 1e-14)


def test_dense_coefficients_become_symmetric() -> None:
    tensor = np.zeros((1, 2, 2, 2))
    tensor[0, 0, 1, 0] = 3.0
    p = DensePolynomial(np.zeros(2), [np.zeros(1), np.zeros((1, 2)), np.zeros((1, 2, 2)), tensor])
    cubic = p.coefficient(3)[0]
    assert cubic[0, 0, 1] == cubic[0, 1, 0] == cubic[1, 0, 0] == 1.0
    assert cubic.sum() == 3.0


def test_symmetrise_is_the_mean_over_permutations() -> None:
    from itertools import permutations

    tensor = np.random.default_rng(5).standard_normal((2, 3, 3, 3))
    expected = sum(tensor.transpose(0, *(1 + np.array(order))) for order in permutations(range(3))) / 6
    assert_close(symmetrise(tensor.copy()), np.asarray(expected), 1.0, 1e-15)


def test_moving_the_center_keeps_the_function() -> None:
    rng = np.random.default_rng(6)
    p = DensePolynomial(rng.standard_normal(3), random_tensors(rng, 3, 2, 4))
    x = rng.standard_normal((7, 3))
    moved = p.about([1.0, -2.0, 0.5])
    np.testing.assert_array_equal(moved.center, [1.0, -2.0, 0.5])
    _, scale = monomial_sum(list(moved.coefficients), x - moved.center)
    assert_close(moved(x), p(x), scale, 1e-13)
    back = moved.about(p.center)
    for k in range(5):
        assert_close(back.coefficient(k), p.coefficient(k), 100.0, 1e-14)


def test_moving_agrees_with_the_ridge() -> None:
    p = example(4)
    center = np.array([0.3, -0.2, 1.0])
    for k in range(5):
        assert_close(p.dense().about(center).coefficient(k), p.about(center).coefficient(k), 10.0, 1e-13)


def test_dense_does_not_change() -> None:
    C_1 = np.ones((1, 2))
    p = DensePolynomial(np.zeros(2), [np.zeros(1), C_1])
    C_1[:] = 7.0
    assert np.all(p.linear == 1)
    with pytest.raises(ValueError, match="read-only"):
        p.linear[0, 0] = 2.0


def test_dense_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    p = example(3).dense()
    x = np.random.default_rng(7).standard_normal((20, 3))
    expected = p(x)
    monkeypatch.setattr("numeric.dense.row_blocks", lambda n, *_: (slice(i, i + 3) for i in range(0, n, 3)))
    assert_close(p(x), expected, 10.0, 1e-15)


@pytest.mark.parametrize("name", ["relu", "step", "gelu"])
@pytest.mark.parametrize("degree", [2, 8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neurons_blind_to_the_inputs_stay_constant(name: str, degree: int, dtype: type) -> None:
    """w is orthogonal to the factor up to rounding: what is left of y − μ must not be divided by what is left of s."""
    rng = np.random.default_rng(11)
    for _ in range(20):
        F = rng.normal(size=(2, 1))
        w = np.array([[F[1, 0], -F[0, 0]]]) * rng.normal()
        layer = MLP(w.astype(dtype), [0.5], [[1.0]], activation=name)
        inputs = Gaussian.from_factor([0.3, -0.2], F)
        x = inputs.sample(50, rng).astype(dtype)
        p = approximate(layer, inputs, degree)
        assert np.abs(p(x) - layer(x)).max() < (1e-5 if dtype == np.float32 else 1e-13)


def test_small_variances_that_are_real_survive() -> None:
    F = np.array([[1.0, 0.0], [1.0, 1e-12]])
    p = approximate(MLP([[1.0, -1.0]], None, [[1.0]], activation="relu"), Gaussian.from_factor([0.0, 0.0], F))
    assert p.preactivation_std == pytest.approx(1e-12, rel=1e-3)


@pytest.mark.parametrize("degree", [2, 4, 8])
def test_a_blind_neuron_at_its_kink_does_not_blow_rounding_up(degree: int) -> None:
    """Samples rounded to float32 leave the support by 1e-8; divided by an s of 1e-17 that would be huge."""
    rng = np.random.default_rng(11)
    for _ in range(20):
        F = rng.normal(size=(2, 1))
        # scaled, because a b − b a alone is exactly 0 in floating point too
        w = np.array([[F[1, 0], -F[0, 0]]]) * rng.normal()
        inputs = Gaussian.from_factor([0.0, 0.0], F)
        p = approximate(MLP(w, None, [[1.0]], activation="relu"), inputs, degree)
        x = inputs.sample(50, rng).astype(np.float32).astype(np.float64)
        assert np.abs(p(x)).max() < 1e-6
        assert p.preactivation_std[0] == 0


def test_a_neuron_that_single_precision_cannot_follow_is_a_constant_there() -> None:
    """64 float32 weights orthogonal to all inputs up to their own rounding: y is noise, s is 1e-8 of its terms."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        F = rng.normal(size=(64, 1))
        w = rng.normal(size=(1, 64))
        w -= (w @ F) / (F.T @ F) * F.T
        inputs = Gaussian.from_factor(np.zeros(64), F)
        p = approximate(MLP(w.astype(np.float32), None, np.ones((1, 1), np.float32), activation="relu"), inputs, 8)
        assert p.preactivation_std[0] > 0
        assert np.abs(p(inputs.sample(200, rng).astype(np.float32))).max() < 1e-5
