"""The converted layer is the best polynomial: against brute force, against samples, and by its properties."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from numeric.convert import approximate
from numeric.inputs import Gaussian
from numeric.layers import MLP
from tests.numeric.problems import (
    ACTIVATIONS,
    Problem,
    assert_close,
    covariance,
    problems,
    size_of_terms,
    textbook,
    weights,
)
from tests.oracle.regression import regress_residual
from tests.oracle.tensor_nodes import fit, fit_layer, relative_distance

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)
SMOOTH = ("gelu", "erf", "sin", "cos", "gaussian_bump")
ORACLE = 1e-11


def random_case(seed: int, d: int, rank: int):
    rng = np.random.default_rng(seed)
    return weights(rng, d, 4, 2), rng.standard_normal(d), covariance(rng, d, rank)


# Against weighted least squares on tensor nodes


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("d", "rank"), [(1, 1), (2, 1), (2, 2), (3, 2), (3, 3)])
def test_least_squares_neuron_by_neuron(name: str, d: int, rank: int) -> None:
    parts, mean, cov = random_case(10 * d + rank, d, rank)
    sigma, kinks = textbook(name)
    for degree in range(1, 5):
        p = approximate(MLP(*parts, name), Gaussian(mean, cov), degree)
        oracle = fit_layer(sigma, kinks, parts, mean, cov, degree)
        assert relative_distance(p, oracle, mean, cov, degree) < ORACLE


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize(("d", "rank"), [(1, 1), (2, 2), (3, 2), (3, 3)])
def test_least_squares_of_the_whole_layer(name: str, d: int, rank: int) -> None:
    parts, mean, cov = random_case(100 + 10 * d + rank, d, rank)
    sigma, _ = textbook(name)
    W_in, b_in, W_out, b_out = parts

    def f(x: np.ndarray) -> np.ndarray:
        return sigma(x @ W_in.T + b_in) @ W_out.T + b_out

    for degree in range(1, 5):
        p = approximate(MLP(*parts, name), Gaussian(mean, cov), degree)
        oracle = fit(f, mean, cov, degree, 36 if rank == 3 else 60)
        assert relative_distance(p, oracle, mean, cov, degree) < ORACLE
        assert relative_distance(lambda x, p=p: p(x) * (1 + 2e-11), oracle, mean, cov, degree) > ORACLE


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("rank", [1, 2])
def test_degree_8_in_two_dimensions(name: str, rank: int) -> None:
    parts, mean, cov = random_case(7 + rank, 2, rank)
    sigma, kinks = textbook(name)
    p = approximate(MLP(*parts, name), Gaussian(mean, cov), 8)
    oracle = fit_layer(sigma, kinks, parts, mean, cov, 8)
    assert relative_distance(p, oracle, mean, cov, 8) < ORACLE


def test_every_form_of_covariance_gives_the_same_polynomial() -> None:
    rng = np.random.default_rng(1)
    parts, mean, variances = weights(rng, 3, 4, 2), rng.standard_normal(3), np.array([0.5, 0.0, 2.0])
    layer = MLP(*parts, "relu")
    x = Gaussian(mean, variances).sample(20, 2)
    expected = approximate(layer, Gaussian(mean, variances), 3)(x)
    factor = np.diag(np.sqrt(variances))
    for inputs in (Gaussian(mean, np.diag(variances)), Gaussian.from_factor(mean, factor[:, [0, 2]])):
        assert_close(approximate(layer, inputs, 3)(x), expected, 10.0, 1e-13)
    layer = MLP(parts[0] @ factor, *parts[1:], "relu")
    z = rng.standard_normal((20, 3))
    whitened = approximate(layer, Gaussian(np.zeros(3)), 3)(z)
    centred = MLP(parts[0], parts[1] - parts[0] @ mean, *parts[2:], "relu")
    shifted = approximate(centred, Gaussian(mean, variances), 3)
    assert_close(shifted(mean + z @ factor), whitened, 10.0, 1e-12)


# Against samples


@pytest.mark.parametrize(("name", "rank"), [pytest.param("relu", 12, marks=pytest.mark.slow), ("gelu", 5)])
def test_regression_on_samples_in_12_dimensions(name: str, rank: int) -> None:
    rng = np.random.default_rng(12 + rank)
    layer = MLP(*weights(rng, 12, 20, 2, spread=1.0), name)
    mean, root = rng.standard_normal(12), rng.standard_normal((12, rank)) / np.sqrt(rank)
    p = approximate(layer, Gaussian.from_factor(mean, root), 2)
    result = regress_residual(layer, p, mean, root, 2, samples=1_000_000, seed=0)
    assert np.abs(result.z_scores).max() < 4.5
    assert result.p_values.min() > 1e-3


# Properties


@SETTINGS
@given(problems(activations=("identity",)))
def test_linear_layers_reproduce_themselves(problem: Problem) -> None:
    x = problem.inputs.sample(6, 1)
    y = problem.layer(x)
    for degree in (1, 2, 5):
        assert_close(approximate(*problem, degree)(x), y, size_of_terms(problem.layer, y), 1e-13)


@SETTINGS
@given(problems(activations=("square",)))
def test_quadratic_layers_reproduce_themselves(problem: Problem) -> None:
    x = problem.inputs.sample(6, 1)
    y = problem.layer(x)
    for degree in (2, 3, 6):
        assert_close(approximate(*problem, degree)(x), y, size_of_terms(problem.layer, y), 1e-12)


@SETTINGS
@given(problems(), st.integers(0, 6))
def test_degrees_are_nested(problem: Problem, degree: int) -> None:
    low, high = approximate(*problem, degree), approximate(*problem, degree + 2)
    assert low.hermite.shape == (problem.layer.n_hidden, degree + 1)
    scale = np.abs(high.hermite).max(axis=1, keepdims=True) + 1e-300
    assert_close(low.hermite, high.hermite[:, : degree + 1], scale, 1e-13)


@SETTINGS
@given(problems())
def test_degree_0_is_the_mean(problem: Problem) -> None:
    layer, _ = problem
    p = approximate(*problem, 0)
    constant = layer.W_out @ p.hermite[:, 0] + (0 if layer.b_out is None else layer.b_out)
    x = problem.inputs.sample(3, 0)
    assert_close(p(x), np.tile(constant, (3, 1)), size_of_terms(layer, constant), 1e-14)
    assert_close(p.constant, constant, size_of_terms(layer, constant), 1e-14)
    assert not p.linear.any()


@SETTINGS
@given(problems(), st.integers(0, 5), st.randoms(use_true_random=False))
def test_order_of_neurons_does_not_matter(problem: Problem, degree: int, random) -> None:
    layer, inputs = problem
    order = list(range(layer.n_hidden))
    random.shuffle(order)
    b_in = None if layer.b_in is None else layer.b_in[order]
    shuffled = MLP(layer.W_in[order], b_in, layer.W_out[:, order], layer.b_out, layer.activation)
    x = inputs.sample(5, 0)
    expected = approximate(layer, inputs, degree)(x)
    tolerance = 1e-13 * 4**degree
    assert_close(approximate(shuffled, inputs, degree)(x), expected, size_of_terms(layer, expected), tolerance)


@SETTINGS
@given(problems(), st.integers(0, 5), st.floats(-3, 3))
def test_dead_neurons_add_a_constant(problem: Problem, degree: int, bias: float) -> None:
    layer, inputs = problem
    b_in = np.zeros(layer.n_hidden) if layer.b_in is None else layer.b_in
    more = MLP(
        np.vstack([layer.W_in, np.zeros((1, layer.d_in), layer.W_in.dtype)]),
        np.append(b_in, bias),
        np.hstack([layer.W_out, np.ones((layer.d_out, 1))]),
        layer.b_out,
        layer.activation,
    )
    x = inputs.sample(5, 0)
    expected = approximate(layer, inputs, degree)(x) + layer.activation(np.array([bias]))
    tolerance = 1e-13 * 4**degree
    assert_close(approximate(more, inputs, degree)(x), expected, size_of_terms(layer, expected), tolerance)


@SETTINGS
@given(problems(), st.integers(0, 4), st.integers(-8, 8))
def test_scale_of_the_inputs_does_not_matter(problem: Problem, degree: int, exponent: int) -> None:
    layer, inputs = problem
    scale = 10.0**exponent
    scaled = MLP(layer.W_in.astype(float) / scale, layer.b_in, layer.W_out, layer.b_out, layer.activation)
    stretched = Gaussian(inputs.mean * scale, inputs.cov * scale**2)
    x = inputs.sample(5, 0)
    # where a neuron without variance sits at the jump, rounding decides
    assume(layer.activation.name != "step")
    p, q = approximate(layer, inputs, degree), approximate(scaled, stretched, degree)
    expected = p(x)
    tolerance = 1e-12 * 4**degree
    assert_close(q(x * scale), expected, size_of_terms(layer, expected), tolerance)
    dense = q.about(stretched.mean)
    for k in range(degree + 1):
        original = p.about(inputs.mean).coefficient(k)
        magnitude = np.abs(original).max() + size_of_terms(layer, expected).max()
        assert_close(dense.coefficient(k) * scale**k, original, magnitude, 1e-10)


@SETTINGS
@given(problems(activations=SMOOTH), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_affine_changes_of_coordinates(problem: Problem, degree: int, seed: int) -> None:
    layer, inputs = problem
    rng = np.random.default_rng(seed)
    d = layer.d_in
    A = np.linalg.qr(rng.standard_normal((d, d)))[0] * rng.uniform(0.5, 2, d)
    shift = rng.standard_normal(d)
    # x = A z + c
    W_in = layer.W_in.astype(float)
    b_in = W_in @ shift + (0 if layer.b_in is None else layer.b_in)
    inverse = np.linalg.inv(A)
    moved = Gaussian(inverse @ (inputs.mean - shift), inverse @ inputs.cov @ inverse.T)
    z = moved.sample(5, 0)
    p = approximate(layer, inputs, degree)
    q = approximate(MLP(W_in @ A, b_in, layer.W_out, layer.b_out, layer.activation), moved, degree)
    expected = p(z @ A.T + shift)
    assert_close(q(z), expected, size_of_terms(layer, expected), 1e-11)


@SETTINGS
@given(problems())
def test_constant_inputs_give_the_value_there(problem: Problem) -> None:
    layer, inputs = problem
    still = Gaussian(inputs.mean, np.zeros((layer.d_in, layer.d_in)))
    expected = layer(inputs.mean)
    for degree in (0, 2):
        p = approximate(layer, still, degree)
        assert_close(p(inputs.mean), expected, size_of_terms(layer, expected), 1e-13)
        assert np.all(p.preactivation_std == 0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_dead_pixels(name: str) -> None:
    # one coordinate never varies, and one neuron looks at nothing else
    rng = np.random.default_rng(20)
    X = rng.standard_normal((200, 3))
    X[:, 1] = 0.3
    W_in, b_in, W_out, b_out = weights(rng, 3, 4, 2)
    W_in[0] = [0.0, 2.0, 0.0]
    inputs = Gaussian.from_samples(X)
    layer = MLP(W_in, b_in, W_out, b_out, name)
    p = approximate(layer, inputs, 3)
    assert p.preactivation_std[0] == 0
    assert np.all(p.preactivation_std[1:] > 0)
    sigma, kinks = textbook(name)
    oracle = fit_layer(sigma, kinks, (W_in, b_in, W_out, b_out), inputs.mean, inputs.cov, 3)
    assert relative_distance(p, oracle, inputs.mean, inputs.cov, 3) < ORACLE
    assert np.isfinite(p.quadratic).all()


def test_neurons_of_vanishing_weight() -> None:
    # ReLU at mean 0: s φ(0) + y/2, at s = 1e-200
    x = np.array([[1.0], [-2.0]])
    p = approximate(MLP([[1e-200]], None, [[1e200]], activation="relu"), Gaussian([0.0]), 1)
    assert_close(p(x), 1 / np.sqrt(2 * np.pi) + x / 2, 1.0, 1e-14)
    p = approximate(MLP([[1e-200]], [1.0], [[1.0]], activation="gelu"), Gaussian([0.0]), 4)
    assert_close(p(x), MLP([[0.0]], [1.0], [[1.0]], activation="gelu")(x), 1.0, 1e-15)


def test_float32_weights_are_converted_in_double() -> None:
    rng = np.random.default_rng(21)
    parts = [part.astype(np.float32) for part in weights(rng, 6, 9, 2)]
    inputs = Gaussian(rng.standard_normal(6), covariance(rng, 6, 6))
    single = approximate(MLP(*parts, "gelu"), inputs, 3)
    double = approximate(MLP(*(part.astype(float) for part in parts), "gelu"), inputs, 3)
    np.testing.assert_array_equal(single.hermite, double.hermite)
    np.testing.assert_array_equal(single.quadratic, double.quadratic)
    x = inputs.sample(10, 0)
    assert_close(single(x.astype(np.float32)), double(x), 10.0, 1e-6)


def test_layouts_of_weights_change_nothing() -> None:
    rng = np.random.default_rng(22)
    W_in, b_in, W_out, b_out = weights(rng, 6, 9, 2)
    inputs = Gaussian(rng.standard_normal(6), covariance(rng, 6, 6))
    expected = approximate(MLP(W_in, b_in, W_out, b_out), inputs)
    spaced = np.repeat(W_out, 2, axis=1)[:, ::2]
    strided = MLP(np.asfortranarray(W_in), np.repeat(b_in, 2)[::2], spaced, b_out)
    p = approximate(strided, inputs)
    assert_close(p.hermite, expected.hermite, 1.0, 1e-14)
    assert_close(p.quadratic, expected.quadratic, 10.0, 1e-14)


def test_numpy_integers_are_degrees() -> None:
    layer, inputs = MLP([[1.0]], None, [[1.0]]), Gaussian([0.0])
    assert approximate(layer, inputs).degree == 2
    assert approximate(layer, inputs, np.int64(3)).degree == 3
