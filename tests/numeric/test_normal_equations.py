"""The explicit normal equations: entries against moments and the master theorem, solutions against ridges."""

import itertools
import math

import numpy as np
import pytest

import numeric as nm
from numeric.normal_equations import (
    HermiteFeatures,
    activation_products,
    gated_products,
    gram_matrix,
    least_squares,
)

HERMITE = {0: [1.0], 1: [0, 1.0], 2: [-1, 0, 1.0], 3: [0, -3, 0, 1.0], 4: [3, 0, -6, 0, 1.0]}


def random_gaussian(seed, d, rank=None):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(d, rank or d)) / math.sqrt(d)
    return rng.normal(size=d), A @ A.T


def by_raw_moments(mean, cov, a, b):
    """E[φ_a φ_b] from the definition of the features and raw noncentral moments."""
    total = 0.0
    polynomials = [np.polynomial.polynomial.polymul(HERMITE[i], HERMITE[j]) for i, j in zip(a, b)]
    for powers in itertools.product(*(range(len(p)) for p in polynomials)):
        weight = math.prod(p[k] for p, k in zip(polynomials, powers))
        if weight:
            total += weight * float(nm.gaussian_moment(mean, cov, powers))
    return total / math.sqrt(math.prod(math.factorial(k) for k in (*a, *b)))


@pytest.mark.parametrize(("d", "degree"), [(1, 4), (2, 3), (3, 2)])
def test_gram_matrix_is_that_of_noncentral_moments(d, degree):
    mean, cov = random_gaussian(d, d)
    features = HermiteFeatures(d, degree)
    gram = gram_matrix(features, mean, cov)
    assert np.allclose(gram, gram.T, rtol=1e-12, atol=1e-12)
    for i, a in enumerate(features.indices):
        for j, b in enumerate(features.indices[: i + 1]):
            assert gram[i, j] == pytest.approx(by_raw_moments(mean, cov, a, b), rel=1e-10, abs=1e-10)
    assert by_raw_moments(mean, cov, features.indices[-1], features.indices[-1]) != pytest.approx(1.0, rel=1e-3)


def test_gram_matrix_of_standard_inputs_is_the_identity():
    features = HermiteFeatures(3, 4)
    assert np.allclose(gram_matrix(features, np.zeros(3), np.eye(3)), np.eye(len(features)), atol=1e-15)


@pytest.mark.parametrize("name", ["relu", "gelu", "sin"])
def test_products_with_an_activation_are_those_of_the_master_theorem(name):
    """φ_a written out in monomials, each by the Hermite form with repeated factors."""
    mean, cov = random_gaussian(4, 3)
    mu, C, cross = mean[1:], cov[1:, 1:], cov[0, 1:]
    derivatives = nm.expected_derivatives(name, mean[0], math.sqrt(cov[0, 0]), order=4)
    features = HermiteFeatures(2, 4)
    products = activation_products(features, mu, C, cross[:, None], derivatives[None])[0, :, 0]
    for row, a in enumerate(features.indices):
        total = 0.0
        for powers in itertools.product(range(a[0] + 1), range(a[1] + 1)):
            weight = HERMITE[a[0]][powers[0]] * HERMITE[a[1]][powers[1]]
            factors = [i for i, p in enumerate(powers) for _ in range(p)]
            if weight and factors:
                beta = nm.hermite_master_coefficients(mu[factors], C[np.ix_(factors, factors)], cross[factors])
                total += weight * float(beta @ derivatives[: len(factors) + 1])
            elif weight:
                total += weight * derivatives[0]
        true = total / math.sqrt(math.factorial(a[0]) * math.factorial(a[1]))
        assert products[row] == pytest.approx(true, rel=1e-11, abs=1e-11)


def layer_of(name, d, seed=0, n_hidden=7, d_out=2):
    rng = np.random.default_rng(seed)
    return nm.MLP(
        rng.normal(size=(n_hidden, d)),
        rng.normal(size=n_hidden),
        rng.normal(size=(d_out, n_hidden)),
        rng.normal(size=d_out),
        activation=name,
    )


def gated_layer_of(name, d, seed=0, n_hidden=7, d_out=2):
    rng = np.random.default_rng(seed)
    G, U = rng.normal(size=(2, n_hidden, d))
    b, c = rng.normal(size=(2, n_hidden))
    return nm.GLU(G, b, U, c, rng.normal(size=(d_out, n_hidden)), rng.normal(size=d_out), name)


def assert_same_function(p, q, inputs, tolerance=1e-10):
    x = inputs.sample(500, 3)
    values = p(x)
    assert np.abs(values - q(x)).max() <= tolerance * np.abs(values).max()


@pytest.mark.parametrize("name", ["relu", "gelu", "sin"])
@pytest.mark.parametrize("degree", range(5))
@pytest.mark.parametrize(("d", "rank"), [(1, 1), (2, 2), (3, 3), (4, 4), (3, 1), (4, 2)])
def test_the_normal_equations_reproduce_approximate(name, degree, d, rank):
    inputs = nm.Gaussian(*random_gaussian(10 + d, d, rank))
    layer = layer_of(name, d)
    ridge = nm.approximate(layer, inputs, degree)
    assert_same_function(least_squares(layer, inputs, degree), ridge, inputs)
    if rank == d:
        # features that are only scaled, not whitened: nothing is orthogonal, and the answer is the same
        scaled = np.diag(1 / np.sqrt(np.diag(inputs.cov)))
        assert_same_function(least_squares(layer, inputs, degree, transform=scaled), ridge, inputs, 1e-9)


@pytest.mark.parametrize("name", ["relu", "silu", "identity"])
@pytest.mark.parametrize(("d", "rank"), [(1, 1), (2, 2), (4, 4), (4, 2)])
def test_the_normal_equations_reproduce_gated_layers(name, d, rank):
    inputs = nm.Gaussian(*random_gaussian(20 + d, d, rank))
    layer = gated_layer_of(name, d)
    bare = nm.GLU(layer.W_gate, None, layer.W_up, layer.b_up, activation=name)
    for degree in range(5):
        for f in (layer, bare):
            assert_same_function(least_squares(f, inputs, degree), nm.approximate(f, inputs, degree), inputs)


@pytest.mark.parametrize("name", ["relu", "gelu"])
def test_gated_products_are_those_of_the_master_theorem(name):
    """E[g(y) u φ_a] with u as one more factor among the Y_i."""
    mean, cov = random_gaussian(4, 4)
    mu, C, cross = mean[1:3], cov[1:3, 1:3], cov[0, 1:]
    derivatives = nm.expected_derivatives(name, mean[0], math.sqrt(cov[0, 0]), order=4)
    features = HermiteFeatures(2, 3)
    products = activation_products(features, mu, C, cross[:2, None], derivatives[None])
    gated = gated_products(features, products, mean[3:], cov[:1, 3], cov[1:3, 3:])[:, 0]
    for row, a in enumerate(features.indices):
        total = 0.0
        for powers in itertools.product(range(a[0] + 1), range(a[1] + 1)):
            weight = HERMITE[a[0]][powers[0]] * HERMITE[a[1]][powers[1]]
            factors = [2, *(i for i, p in enumerate(powers) for _ in range(p))]
            beta = nm.hermite_master_coefficients(
                mean[1:][factors], cov[1:, 1:][np.ix_(factors, factors)], cross[factors]
            )
            total += weight * float(beta @ derivatives[: len(factors) + 1])
        true = total / math.sqrt(math.factorial(a[0]) * math.factorial(a[1]))
        assert gated[row] == pytest.approx(true, rel=1e-11, abs=1e-13)
        assert gated[row] != pytest.approx(true * (1 + 1e-9), rel=1e-11, abs=1e-13)


def test_the_comparison_notices_a_wrong_polynomial():
    inputs = nm.Gaussian(*random_gaussian(12, 2))
    layer = layer_of("gelu", 2)
    other = nm.approximate(nm.MLP(layer.W_in * (1 + 1e-8), layer.b_in, layer.W_out, layer.b_out, "gelu"), inputs, 3)
    with pytest.raises(AssertionError):
        assert_same_function(least_squares(layer, inputs, 3), other, inputs)


def test_float32_weights_and_no_biases():
    inputs = nm.Gaussian(*random_gaussian(1, 3))
    rng = np.random.default_rng(1)
    layer = nm.MLP(rng.normal(size=(5, 3)).astype(np.float32), None, rng.normal(size=(1, 5)).astype(np.float32))
    p, q = least_squares(layer, inputs, 3), nm.approximate(layer, inputs, 3)
    assert_same_function(q.dense(), p, inputs)


def test_constant_inputs_and_dead_neurons():
    inputs = nm.Gaussian([1.0, 2.0], np.zeros((2, 2)))
    one_way = nm.Gaussian([1.0, 2.0], [[0.0, 0.0], [0.0, 1.0]])
    for f in (layer_of("relu", 2), gated_layer_of("relu", 2)):
        p = least_squares(f, inputs, 2)
        assert np.allclose(p(inputs.mean), f(inputs.mean), rtol=1e-14)
        assert_same_function(least_squares(f, one_way, 3), nm.approximate(f, one_way, 3), one_way)


def test_a_mixture_is_least_squares_on_tensor_nodes():
    """Two components, unequal weights, an entire activation: quadrature of the normal equations themselves."""
    parts = [(0.7, nm.Gaussian([0.0, 0.5], [[1.0, 0.3], [0.3, 0.5]])), (0.3, nm.Gaussian([1.0, -1.0], [0.2, 0.8]))]
    degree = 3
    t, w = np.polynomial.hermite_e.hermegauss(60)
    grid = np.stack(np.meshgrid(t, t), axis=-1).reshape(-1, 2)
    weight = np.outer(w, w).reshape(-1) / w.sum() ** 2
    x = np.concatenate([g.mean + grid @ np.linalg.cholesky(g.cov).T for _, g in parts])
    root = np.sqrt(np.concatenate([pi * weight for pi, _ in parts]))[:, None]
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    design = np.stack([x[:, 0] ** i * x[:, 1] ** j for i, j in powers], axis=1)
    for layer in (layer_of("sin", 2), gated_layer_of("sin", 2)):
        solution = np.linalg.lstsq(design * root, layer(x) * root, rcond=None)[0]
        p = least_squares(layer, parts, degree)
        assert np.abs(p(x) - design @ solution)[root[:, 0] > 1e-6].max() < 1e-9 * np.abs(layer(x)).max()


def test_bad_input():
    layer, inputs = layer_of("relu", 2), nm.Gaussian([0.0, 0.0])
    with pytest.raises(ValueError, match=r"degree: 99 in 2 variables has 5,050 features; .* at most 5,000"):
        least_squares(layer, inputs, 99)
    with pytest.raises(TypeError, match="degree"):
        least_squares(layer, inputs, 2.0)
    with pytest.raises(ValueError, match=r"inputs: expected dim 2 to match layer\.d_in, got 3"):
        least_squares(layer, nm.Gaussian([0.0, 0.0, 0.0]), 2)
    with pytest.raises(ValueError, match="inputs: expected weights ≥ 0 that sum to 1"):
        least_squares(layer, [(0.5, inputs), (0.4, inputs)], 2)
    with pytest.raises(ValueError, match="transform: expected shape"):
        least_squares(layer, inputs, 2, transform=np.eye(3))
