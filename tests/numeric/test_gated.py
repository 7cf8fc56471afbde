"""The converted gated layer is the best polynomial: against brute force, against samples, and by its properties."""

import pickle
from collections.abc import Callable
from math import factorial
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.hermite_e import hermeval

import symgauss as sg
from numeric.convert import approximate
from numeric.gated import GatedPolynomial
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP
from numeric.series import GatedSeries
from tests.numeric.problems import (
    GATES,
    GatedProblem,
    assert_close,
    covariance,
    gated_problems,
    gated_weights,
    monomial_sum,
    size_of_terms,
    textbook,
    weights,
)
from tests.oracle.regression import regress_residual
from tests.oracle.tensor_nodes import fit_gated_layer, relative_distance

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)
ORACLE = 1e-11
SNAKE = sg.Activation("snake", sg.x + sympy.sin(2 * sg.x) ** 2 / 2)


def snake(y: np.ndarray) -> np.ndarray:
    return y + np.sin(2 * y) ** 2 / 2


def gate(name: str) -> tuple[Any, Callable[[np.ndarray], np.ndarray], tuple[float, ...]]:
    """What `GLU` takes as activation, and σ with its kinks from the definition."""
    return (SNAKE, snake, ()) if name == "snake" else (name, *textbook(name))


def random_case(seed: int, d: int, rank: int):
    rng = np.random.default_rng(seed)
    return gated_weights(rng, d, 4, 2), rng.standard_normal(d), covariance(rng, d, rank)


def example(degree: int = 3, activation: str = "silu", dtype: type = np.float64) -> GatedPolynomial:
    rng = np.random.default_rng(0)
    layer = GLU(*(part.astype(dtype) for part in gated_weights(rng, 3, 5, 2)), activation)
    return approximate(layer, Gaussian(rng.standard_normal(3), covariance(rng, 3, 3)), degree)


def distance(p: Callable, q: Callable, inputs: Gaussian) -> float:
    """The largest difference of two functions at draws from the inputs, relative to the largest value."""
    x = inputs.sample(200, 5)
    values = q(x)
    return float(np.abs(p(x) - values).max() / np.abs(values).max())


# Against weighted least squares on tensor nodes


@pytest.mark.parametrize("name", [*GATES, "snake"])
@pytest.mark.parametrize(("d", "rank"), [(1, 1), (2, 1), (2, 2), (3, 2)])
def test_least_squares_neuron_by_neuron(name: str, d: int, rank: int) -> None:
    parts, mean, cov = random_case(10 * d + rank, d, rank)
    activation, sigma, kinks = gate(name)
    for degree in range(5 if d < 3 else 3):
        p = approximate(GLU(*parts, activation), Gaussian(mean, cov), degree)
        oracle = fit_gated_layer(sigma, kinks, parts, mean, cov, degree)
        assert relative_distance(p, oracle, mean, cov, degree) < ORACLE


@pytest.mark.parametrize("name", ["silu", "relu"])
@pytest.mark.parametrize("rank", [1, 2])
def test_degree_8_in_two_dimensions(name: str, rank: int) -> None:
    parts, mean, cov = random_case(7 + rank, 2, rank)
    _, sigma, kinks = gate(name)
    p = approximate(GLU(*parts, name), Gaussian(mean, cov), 8)
    oracle = fit_gated_layer(sigma, kinks, parts, mean, cov, 8)
    assert relative_distance(p, oracle, mean, cov, 8) < ORACLE


def test_the_comparison_notices_every_term() -> None:
    parts, mean, cov = random_case(22, 2, 2)
    _, sigma, kinks = gate("silu")
    p = approximate(GLU(*parts, "silu"), Gaussian(mean, cov), 2)
    oracle = fit_gated_layer(sigma, kinks, parts, mean, cov, 2)
    for change in ("hermite", "up_mean", "coupling", "preactivation_std"):
        fields = {name: getattr(p, name) for name in p.__dataclass_fields__}
        wrong = GatedPolynomial(**(fields | {change: fields[change] * (1 + 1e-9)}))
        assert relative_distance(wrong, oracle, mean, cov, 2) > ORACLE


# Against samples


@pytest.mark.parametrize(("name", "rank"), [("relu", 20), ("silu", 6)])
def test_regression_on_samples_in_20_dimensions(name: str, rank: int) -> None:
    rng = np.random.default_rng(20 + rank)
    layer = GLU(*gated_weights(rng, 20, 24, 1, spread=1.0), name)
    mean, root = rng.standard_normal(20), rng.standard_normal((20, rank)) / np.sqrt(rank)
    p = approximate(layer, Gaussian.from_factor(mean, root), 2)
    result = regress_residual(layer, p, mean, root, 2, samples=150_000, seed=0)
    assert np.abs(result.z_scores).max() < 4.5
    assert result.p_values.min() > 1e-3


def test_samples_refuse_what_forgets_that_gate_and_up_are_correlated() -> None:
    rng = np.random.default_rng(3)
    layer = GLU(*gated_weights(rng, 5, 8, 1, spread=1.0), "silu")
    mean, root = rng.standard_normal(5), rng.standard_normal((5, 5)) / np.sqrt(5)
    p = approximate(layer, Gaussian.from_factor(mean, root), 2)
    fields = {name: getattr(p, name) for name in p.__dataclass_fields__}
    forgetful = GatedPolynomial(**(fields | {"coupling": 0.0 * p.coupling}))
    assert regress_residual(layer, p, mean, root, 2, 100_000, 0).p_values.min() > 1e-3
    assert regress_residual(layer, forgetful, mean, root, 2, 100_000, 0).p_values.min() < 1e-6


# Exact cases


@SETTINGS
@given(gated_problems(gates=("identity",)))
def test_bilinear_layers_reproduce_themselves(problem: GatedProblem) -> None:
    x = problem.inputs.sample(6, 1)
    y = problem.layer(x)
    for degree in (2, 3, 6):
        assert_close(approximate(*problem, degree)(x), y, size_of_terms(problem.layer, y), 1e-13)


@SETTINGS
@given(gated_problems(gates=("square",)))
def test_cubic_layers_reproduce_themselves(problem: GatedProblem) -> None:
    x = problem.inputs.sample(6, 1)
    y = problem.layer(x)
    for degree in (3, 4, 7):
        assert_close(approximate(*problem, degree)(x), y, size_of_terms(problem.layer, y), 1e-13)


def test_the_comparison_of_layers_with_themselves_notices_1_in_10_to_the_12() -> None:
    rng = np.random.default_rng(1)
    G, b, U, c, W, e = gated_weights(rng, 3, 5, 2)
    inputs = Gaussian(rng.standard_normal(3))
    layer, other = GLU(G, b, U, c, W, e, "identity"), GLU(G, b, U * (1 + 3e-12), c, W, e, "identity")
    x = inputs.sample(6, 1)
    with pytest.raises(AssertionError):
        assert_close(approximate(other, inputs, 2)(x), layer(x), size_of_terms(layer, layer(x)), 1e-13)


@pytest.mark.parametrize(
    ("name", "product"), [("sigmoid", "silu"), ("step", "relu"), ("relu", "relu2"), ("identity", "square")]
)
@pytest.mark.parametrize("degree", [0, 1, 2, 5, 8])
def test_a_gate_of_itself_is_an_activation(name: str, product: str, degree: int) -> None:
    """y = z, so that nothing of z is left when y is known: σ(y) y is another activation in the catalogue."""
    rng = np.random.default_rng(4)
    W_in, b_in, W_out, b_out = weights(rng, 4, 6, 2)
    inputs = Gaussian(rng.standard_normal(4), covariance(rng, 4, 4))
    gated = approximate(GLU(W_in, b_in, W_in, b_in, W_out, b_out, name), inputs, degree)
    assert distance(gated, approximate(MLP(W_in, b_in, W_out, b_out, product), inputs, degree), inputs) < 1e-13


@pytest.mark.parametrize("degree", [0, 1, 2, 5])
def test_a_constant_factor_is_a_constant_factor(degree: int) -> None:
    rng = np.random.default_rng(5)
    W_in, b_in, W_out, b_out = weights(rng, 4, 6, 2)
    F = rng.standard_normal((4, 3))
    blind = np.linalg.svd(F.T)[2][-1] * rng.standard_normal((6, 1))
    factors = rng.standard_normal(6)
    mean = rng.standard_normal(4)
    expected = MLP(W_in, b_in, W_out * factors, b_out)
    for inputs in (Gaussian(mean, F @ F.T), Gaussian.from_factor(mean, F)):
        q = approximate(expected, inputs, degree)
        for W_up in (np.zeros((6, 4)), blind):
            p = approximate(GLU(W_in, b_in, W_up, factors - W_up @ mean, W_out, b_out, "gelu"), inputs, degree)
            assert distance(p, q, inputs) < 1e-13


@pytest.mark.parametrize("name", GATES)
def test_a_constant_gate_is_a_constant_factor(name: str) -> None:
    rng = np.random.default_rng(6)
    G, b, U, c, *_ = gated_weights(rng, 3, 4, 2)
    G[1] = 0.0
    layer = GLU(G, b, U, c, None, None, name)
    inputs = Gaussian(rng.standard_normal(3), covariance(rng, 3, 3))
    x = inputs.sample(20, 0)
    assert approximate(layer, inputs, 2).preactivation_std[1] == 0
    for degree in (1, 2, 5):
        assert_close(approximate(layer, inputs, degree)(x)[:, 1], layer(x)[:, 1], 10.0, 1e-15)
    mean = layer.activation(b[1:2]) * (U[1] @ inputs.mean + c[1])
    assert_close(approximate(layer, inputs, 0)(x)[:, 1], np.tile(mean, 20), 10.0, 1e-15)


def test_the_formula_before_its_terms_cancel() -> None:
    """Σ_{j≤n} (ν h_j + r (h_{j+1} + j h_{j−1}))/j! He_j(Z) + (z − ν − r Z) Σ_{j<n} h_j/j! He_j(Z)."""
    for degree in range(9):
        p = example(degree)
        layer = p.layer
        bare = approximate(GLU(layer.W_gate, layer.b_gate, layer.W_up, layer.b_up), p.inputs, degree)
        x = p.inputs.sample(30, 1)
        Z = (x - p.center) @ layer.W_gate.T / p.preactivation_std
        rest = (x - p.center) @ layer.W_up.T - p.coupling * Z
        norms = np.array([factorial(j) for j in range(degree + 2)])
        before = np.column_stack([np.zeros(5), p.hermite[:, :-2]]) * np.arange(degree + 1)
        a = p.up_mean[:, None] * p.hermite[:, :-1] + p.coupling[:, None] * (p.hermite[:, 1:] + before)
        expected = np.empty((30, 5))
        for i in range(5):
            expected[:, i] = hermeval(Z[:, i], a[i] / norms[:-1])
            expected[:, i] += rest[:, i] * hermeval(Z[:, i], [*(p.hermite[i, :degree] / norms[:degree]), 0.0])
        assert_close(bare(x), expected, np.abs(expected).max(), 1e-13)


# Properties


@SETTINGS
@given(gated_problems(), st.integers(0, 5))
def test_degrees_are_nested(problem: GatedProblem, degree: int) -> None:
    low, high = approximate(*problem, degree), approximate(*problem, degree + 2)
    assert low.hermite.shape == (problem.layer.n_hidden, degree + 2)
    scale = np.abs(high.hermite).max(axis=1, keepdims=True) + 1e-300
    assert_close(low.hermite, high.hermite[:, : degree + 2], scale, 1e-13)
    for ours, theirs in ((low.up_mean, high.up_mean), (low.cross_covariance, high.cross_covariance)):
        np.testing.assert_array_equal(ours, theirs)


@SETTINGS
@given(gated_problems(), st.integers(0, 5))
def test_the_output_matrix_multiplies(problem: GatedProblem, degree: int) -> None:
    layer, inputs = problem
    bare = approximate(
        GLU(layer.W_gate, layer.b_gate, layer.W_up, layer.b_up, activation=layer.activation), inputs, degree
    )
    x = inputs.sample(5, 0)
    W = np.eye(layer.n_hidden) if layer.W_out is None else layer.W_out
    b = np.zeros(layer.d_out) if layer.b_out is None else layer.b_out
    p = approximate(layer, inputs, degree)
    expected = bare(x) @ W.T + b
    tolerance = 1e-13 if p.W_gate.dtype == np.float64 else 1e-12
    assert_close(p(x), expected, size_of_terms(layer, bare(x)), tolerance * 4**degree)
    for k in range(min(degree, 3) + 1):
        tensor = np.einsum("on,n...->o...", W, bare.coefficient(k)) + (b if k == 0 else 0)
        assert_close(p.coefficient(k), tensor, 1 + np.abs(W).sum() * np.abs(bare.coefficient(k)).max(), 1e-13)


@SETTINGS
@given(gated_problems(), st.integers(0, 4), st.integers(-8, 8))
def test_scale_of_the_inputs_does_not_matter(problem: GatedProblem, degree: int, exponent: int) -> None:
    layer, inputs = problem
    if layer.activation.name == "step":  # where a gate without variance sits at the jump, rounding decides
        return
    scale = 10.0**exponent
    G, U = layer.W_gate.astype(float) / scale, layer.W_up.astype(float) / scale
    scaled = GLU(G, layer.b_gate, U, layer.b_up, layer.W_out, layer.b_out, layer.activation)
    stretched = Gaussian(inputs.mean * scale, inputs.cov * scale**2)
    x = inputs.sample(5, 0)
    expected = approximate(layer, inputs, degree)(x)
    actual = approximate(scaled, stretched, degree)(x * scale)
    assert_close(actual, expected, size_of_terms(layer, expected), 1e-12 * 4**degree)


@SETTINGS
@given(gated_problems(), st.integers(0, 4), st.sampled_from([1e-200, 1e-9, -3.0, 1e9, 1e200]))
def test_proportional_to_what_is_gated(problem: GatedProblem, degree: int, scale: float) -> None:
    layer, inputs = problem
    U, c = layer.W_up.astype(float) * scale, None if layer.b_up is None else layer.b_up * scale
    scaled = GLU(layer.W_gate, layer.b_gate, U, c, activation=layer.activation)
    plain = GLU(layer.W_gate, layer.b_gate, layer.W_up, layer.b_up, activation=layer.activation)
    x = inputs.sample(5, 0)
    expected = approximate(plain, inputs, degree)(x)
    actual = approximate(scaled, inputs, degree)(x) / scale
    assert_close(actual, expected, 1 + np.abs(expected).max(), 1e-12 * 4**degree)


@SETTINGS
@given(gated_problems())
def test_constant_inputs_give_the_value_there(problem: GatedProblem) -> None:
    layer, inputs = problem
    still = Gaussian(inputs.mean, np.zeros((layer.d_in, layer.d_in)))
    expected = layer(inputs.mean)
    for degree in (0, 2):
        p = approximate(layer, still, degree)
        assert_close(p(inputs.mean), expected, size_of_terms(layer, expected), 1e-13)
        assert not p.preactivation_std.any()
        assert not p.cross_covariance.any()


@SETTINGS
@given(gated_problems())
def test_pairs_are_projected_like_single_preactivations(problem: GatedProblem) -> None:
    layer, inputs = problem
    p = approximate(layer, inputs, 1)
    (W_gate, b_gate), (W_up, b_up) = layer.projections
    mean, std = inputs.project(W_gate, b_gate)
    np.testing.assert_array_equal(p.preactivation_mean, mean)
    np.testing.assert_array_equal(p.up_mean, inputs.project(W_up, b_up)[0])
    assert_close(p.preactivation_std, std, std, 1e-12)
    exact = np.einsum("ni,ij,nj->n", W_gate.astype(float), inputs.cov, W_up.astype(float))
    scale = np.abs(W_gate) @ inputs.std * (np.abs(W_up) @ inputs.std)
    assert_close(p.cross_covariance, exact, scale, 1e-15)


def test_every_form_of_covariance_gives_the_same_polynomial() -> None:
    rng = np.random.default_rng(1)
    parts, mean, variances = gated_weights(rng, 3, 4, 2), rng.standard_normal(3), np.array([0.5, 0.0, 2.0])
    layer = GLU(*parts, "relu")
    x = Gaussian(mean, variances).sample(20, 2)
    first = approximate(layer, Gaussian(mean, variances), 3)
    factor = np.diag(np.sqrt(variances))
    for inputs in (Gaussian(mean, np.diag(variances)), Gaussian.from_factor(mean, factor[:, [0, 2]])):
        p = approximate(layer, inputs, 3)
        assert_close(p(x), first(x), 10.0, 1e-13)
        assert_close(p.cross_covariance, np.einsum("ni,i,ni->n", parts[0], variances, parts[2]), 1.0, 1e-15)
    white = Gaussian(mean)
    cross = approximate(layer, white, 0).cross_covariance
    assert_close(cross, np.einsum("ni,ni->n", parts[0], parts[2]), 1.0, 1e-15)


def test_float32_weights_are_converted_in_double() -> None:
    single = example(3, dtype=np.float32)
    layer = single.layer
    parts = (layer.W_gate, layer.b_gate, layer.W_up, layer.b_up, layer.W_out, layer.b_out)
    double = approximate(GLU(*(part.astype(float) for part in parts)), single.inputs, 3)
    for name in ("hermite", "up_mean", "coupling", "quadratic"):
        np.testing.assert_array_equal(getattr(single, name), getattr(double, name))
    x = single.inputs.sample(10, 0)
    assert_close(single(x.astype(np.float32)), double(x), 10.0, 1e-6)
    assert single(x.astype(np.float32)).dtype == np.float32


# Evaluation


@pytest.mark.parametrize("degree", [0, 1, 2, 5, 8, 40])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_series_is_its_definition(degree: int, dtype: type) -> None:
    rng = np.random.default_rng(degree)
    n = 1100
    norms = np.sqrt([float(factorial(k)) for k in range(degree + 1)])
    slopes, intercepts = rng.standard_normal((2, n, degree + 1)) * norms
    std, mean = rng.uniform(0.5, 2, n), rng.standard_normal(n)
    u = (std * rng.uniform(-3, 3, (4, n))).astype(dtype)
    w = rng.standard_normal((4, n)).astype(dtype)
    expected = np.empty(u.shape)
    for i in range(n):
        t = u[:, i] / std[i]
        z = mean[i] + w[:, i].astype(float)
        expected[:, i] = z * hermeval(t, slopes[i] / norms**2) + hermeval(t, intercepts[i] / norms**2)
    series = GatedSeries(slopes, intercepts, std, mean)
    values = series(u.copy(), w, slice(0, n))
    assert values.dtype == dtype
    assert_close(values, expected, 1 + np.abs(expected).max(), 4 * float(np.finfo(dtype).eps) * (degree + 1))
    part = series(u[:, 300:900].copy(), w[:, 300:900].copy(), slice(300, 900))
    np.testing.assert_array_equal(part, values[:, 300:900])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_result_type_and_shapes(dtype: type) -> None:
    ones = np.ones((5, 3), dtype)
    for layer in (GLU(ones, None, ones, None, np.ones((2, 5), dtype)), GLU(ones, None, ones, np.ones(5))):
        p = approximate(layer, Gaussian(np.zeros(3)))
        for x_dtype in (np.float16, np.float32, np.float64, np.int32):
            x = np.ones((4, 3), x_dtype)
            assert p(x).dtype == layer(x).dtype
        for batch in ((), (0,), (7,), (2, 0), (2, 3)):
            assert p(np.ones((*batch, 3))).shape == (*batch, layer.d_out)
            assert p.dense()(np.ones((*batch, 3))).shape == (*batch, layer.d_out)


def test_any_memory_layout() -> None:
    p = example()
    x = np.random.default_rng(3).standard_normal((6, 3))
    expected = p(x)
    assert_close(p(np.asfortranarray(x)), expected, 10.0, 1e-15)
    assert_close(p(np.repeat(x, 2, axis=0)[::2]), expected, 10.0, 1e-15)
    assert_close(p(x.reshape(2, 3, 3)), expected.reshape(2, 3, 2), 10.0, 1e-15)
    layer = p.layer
    W_out = np.repeat(layer.W_out, 2, axis=1)[:, ::2]
    W_up, b_up = np.asfortranarray(layer.W_up), np.repeat(layer.b_up, 2)[::2]
    strided = GLU(np.asfortranarray(layer.W_gate), layer.b_gate, W_up, b_up, W_out, layer.b_out)
    assert_close(approximate(strided, p.inputs, 3)(x), expected, 10.0, 1e-14)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    p = example(3, dtype=np.float32)
    layer = p.layer
    bare = approximate(GLU(layer.W_gate, layer.b_gate, layer.W_up, layer.b_up), p.inputs, 3)
    x = p.inputs.sample(9, 1)
    expected = [[q(x), *map(q.coefficient, range(4))] for q in (p, bare)]
    pairs = lambda n, *_: (slice(i, min(i + 2, n)) for i in range(0, n, 2))  # noqa: E731
    for module in ("factored", "ridge", "inputs", "covariance"):
        monkeypatch.setattr(f"numeric.{module}.row_blocks", pairs)
    for q, values in zip((p, bare), expected):
        for ours, theirs in zip([q(x), *map(q.coefficient, range(4))], values):
            assert_close(ours, theirs, 10.0, 1e-14)
    again = approximate(layer, Gaussian(p.inputs.mean, p.inputs.cov), 3)
    assert_close(again.coupling, p.coupling, 1.0, 1e-15)


def test_large_mean_costs_nothing() -> None:
    rng = np.random.default_rng(4)
    G, b, U, c, W, e = gated_weights(rng, 3, 5, 2)
    m = np.round(rng.standard_normal(3), 2) + 2.0**20
    moved = approximate(GLU(G, b - G @ m, U, c - U @ m, W, e), Gaussian(m))
    plain = approximate(GLU(G, b, U, c, W, e), Gaussian(np.zeros(3)))
    x = m + np.round(rng.standard_normal((4, 3)), 2)
    assert_close(moved(x), plain(x - m), 10.0, 2.0**20 * 1e-15)


def test_gates_of_vanishing_and_of_enormous_weight() -> None:
    """step(s Z) z with z = s′ (Z + X): E[z; Z > 0] = s′ φ(0) at any s, although the covariance s s′ underflows."""
    half = 1 / np.sqrt(2 * np.pi)
    x = np.array([[1.0, 0.5], [-2.0, 0.3]])
    for s in (1e-200, 1.0, 1e200):
        for up in (1e-200, 1.0, 1e200):
            layer = GLU([[s, 0.0]], None, [[up, up]], None, activation="step")
            p = approximate(layer, Gaussian(np.zeros(2)), 1)
            # of step(Z)(Z + X): φ(0) + Z/2 + X/2
            assert_close(p(x) / up, half + x.sum(axis=1, keepdims=True) / 2, 1.0, 1e-14)


@pytest.mark.parametrize("degree", [1, 2, 8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gates_blind_to_the_inputs_stay_constant(degree: int, dtype: type) -> None:
    rng = np.random.default_rng(11)
    for _ in range(20):
        F = rng.normal(size=(2, 1))
        w = np.array([[F[1, 0], -F[0, 0]]]) * rng.normal()
        layer = GLU(w.astype(dtype), [0.5], rng.normal(size=(1, 2)).astype(dtype), [0.3], activation="relu")
        inputs = Gaussian.from_factor([0.3, -0.2], F)
        x = inputs.sample(50, rng).astype(dtype)
        p = approximate(layer, inputs, degree)
        assert np.abs(p(x) - layer(x)).max() < (1e-5 if dtype == np.float32 else 1e-13)
        if dtype == np.float64:
            assert p.preactivation_std[0] == p.coupling[0] == 0


@pytest.mark.parametrize("degree", [0, 1, 2, 8])
def test_a_gate_that_single_precision_cannot_follow_is_a_constant_there(degree: int) -> None:
    """64 float32 weights orthogonal to all inputs up to their own rounding: y is noise, s is 1e-8 of its terms."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        F = rng.normal(size=(64, 1))
        w = rng.normal(size=(1, 64))
        w -= (w @ F) / (F.T @ F) * F.T
        inputs = Gaussian.from_factor(np.zeros(64), F)
        U = rng.normal(size=(1, 64)).astype(np.float32)
        for bias in (0.0, 1.0):  # at the kink, and where the gate is open
            p = approximate(GLU(w.astype(np.float32), [bias], U, [2.0], activation="relu"), inputs, degree)
            assert p.preactivation_std[0] > 0
            x = inputs.sample(200, rng).astype(np.float32)
            expected = bias * (x @ U.T + 2.0) if degree else 2.0 * bias
            assert np.abs(p(x) - expected).max() < 1e-4
        # a step has a mean that depends on what gate and factor share, however little the gate varies
        p = approximate(GLU(w.astype(np.float32), None, U, [2.0], activation="step"), inputs, degree)
        mean = 2.0 / 2 + p.coupling[0] / np.sqrt(2 * np.pi)
        assert_close(p(np.zeros(64, np.float32)), [mean], 10.0, 1e-6)


def test_nan_propagates_in_its_row_only() -> None:
    values = example()([[np.nan, 0, 0], [1, 0, 0]])
    assert np.isnan(values[0]).all()
    assert np.isfinite(values[1]).all()


# Coefficients


@SETTINGS
@given(gated_problems(), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_coefficients_make_the_same_function(problem: GatedProblem, degree: int, seed: int) -> None:
    p = approximate(*problem, degree)
    rng = np.random.default_rng(seed)
    x = problem.inputs.sample(5, rng)
    for center in (np.zeros(p.d_in), problem.inputs.mean, rng.standard_normal(p.d_in)):
        dense = p.about(center)
        value, scale = monomial_sum(list(dense.coefficients), x - center)
        tolerance = 1e-13 if p.W_gate.dtype == np.float64 else 1e-11
        largest = np.abs(p.hermite).max() * (1 + np.abs(p.up_mean).max())
        assert_close(dense(x), value, scale + np.abs(value), 1e-13)
        assert_close(p(x), value, scale + size_of_terms(p.layer, value) * (1 + largest), tolerance * 10**degree)


def test_coefficients_about_the_mean_by_hand() -> None:
    # sin: g_k are sines and cosines, damped; the terms of z S_1 + (ν g_2 + c g_3)/2 H_2 + c g_2 H_1
    rng = np.random.default_rng(2)
    G, b, U, c, W, e = gated_weights(rng, 3, 5, 2)
    m = rng.standard_normal(3)
    p = approximate(GLU(G, b, U, c, W, e, "sin"), Gaussian(m), 2).about(m)
    mu, s, nu, cross = G @ m + b, np.linalg.norm(G, axis=1), U @ m + c, np.einsum("ni,ni->n", G, U)
    g = np.exp(-(s**2) / 2) * np.array([np.sin(mu), np.cos(mu), -np.sin(mu), -np.cos(mu)])
    square = (nu * g[2] + cross * g[3]) / 2
    assert_close(p.constant, W @ (nu * g[0] - square * s**2) + e, 10.0, 1e-14)
    slope = (nu * g[1] + cross * g[2])[:, None] * G + g[0][:, None] * U
    assert_close(p.linear, W @ slope, 10.0, 1e-14)
    mixed = np.einsum("on,n,ni,nj->oij", W, g[1] / 2, G, U)
    quadratic = mixed + np.swapaxes(mixed, 1, 2) + np.einsum("on,n,ni,nj->oij", W, square, G, G)
    assert_close(p.quadratic, quadratic, 10.0, 1e-14)


def test_properties_are_the_coefficients_about_the_origin() -> None:
    p = example(3)
    dense = p.dense()
    for ours, k in ((p.constant, 0), (p.linear, 1), (p.quadratic, 2), (p.coefficient(3), 3)):
        assert ours.dtype == np.float64
        assert ours.shape == (2, *(3,) * k)
        np.testing.assert_array_equal(ours, dense.coefficient(k))
        for axis in range(1, k):
            np.testing.assert_array_equal(ours, np.swapaxes(ours, axis, axis + 1))
    assert not p.coefficient(4).any()
    assert p.quadratic is p.quadratic


def test_a_linear_function_of_degree_1_is_its_own_tangent() -> None:
    p = example(1)
    x = p.inputs.sample(5, 0)
    assert_close(p(x), p.constant + x @ p.linear.T, 10.0, 1e-14)
    assert not p.quadratic.any()


# The rest of the public face


def test_repr_and_sizes() -> None:
    p = example(2)
    assert repr(p) == "GatedPolynomial(degree=2, 3 → 2, 5 gated ridges, silu)"
    assert (p.degree, p.d_in, p.d_out, p.n_hidden, p.activation.name, p.info) == (2, 3, 2, 5, "silu", None)
    assert repr(p.dense()) == "DensePolynomial(degree=2, 3 → 2)"


def test_what_it_was_made_from_is_at_hand() -> None:
    p = example(2)
    layer, inputs = p.layer, p.inputs
    assert p.W_gate is layer.W_gate
    assert p.W_up is layer.W_up
    assert p.W_out is layer.W_out
    assert p.b_out is layer.b_out
    assert p.center is inputs.mean
    np.testing.assert_array_equal(p.spread, inputs.std)
    y, z = (inputs.sample(1000, 0) @ V.T + b for V, b in layer.projections)
    assert np.abs(p.preactivation_mean - y.mean(axis=0)).max() < 0.2
    assert np.abs(p.preactivation_std - y.std(axis=0)).max() < 0.2
    assert np.abs(p.up_mean - z.mean(axis=0)).max() < 0.2
    exact = np.einsum("ni,ij,nj->n", layer.W_gate, inputs.cov, layer.W_up)
    assert_close(p.cross_covariance, exact, 1.0, 1e-15)
    assert_close(p.coupling * p.preactivation_std, exact, 1.0, 1e-15)
    assert p.hermite.shape == (5, 4)


def test_pickles_without_what_it_can_make_again() -> None:
    p = example(2)
    x = np.ones((2, 3))
    size = len(pickle.dumps(p))
    _ = p.quadratic, p(x), p(x.astype(np.float32))
    assert len(pickle.dumps(p)) == size
    copy = pickle.loads(pickle.dumps(p))
    np.testing.assert_array_equal(copy(x), p(x))
    np.testing.assert_array_equal(copy.quadratic, p.quadratic)
    assert repr(copy) == repr(p)
