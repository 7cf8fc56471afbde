"""The brute-force fits are what they say they are."""

import numpy as np
import pytest

from tests.oracle.tensor_nodes import (
    fit,
    fit_gated_layer,
    fit_layer,
    fit_neuron,
    gauss_hermite,
    panels,
    relative_distance,
    rotation,
    support_axes,
    tensor_rule,
)

MEAN = np.array([0.3, -1.2])
COV = np.array([[1.0, 0.4], [0.4, 0.5]])


def relu(y: np.ndarray) -> np.ndarray:
    return np.maximum(y, 0.0)


def test_rules_integrate_moments() -> None:
    for z, w in (gauss_hermite(12), panels([0.3, -40.0, 1.7])):
        moments = [w @ z**k for k in range(9)]
        np.testing.assert_allclose(moments, [1, 0, 1, 0, 3, 0, 15, 0, 105], atol=1e-12)


def test_panels_see_the_kink() -> None:
    # E max(Z − c, 0) = φ(c) − c Φ(−c); a rule that ignores the kink misses it by 1e-3
    from scipy.special import ndtr

    c = 0.37
    true = np.exp(-c * c / 2) / np.sqrt(2 * np.pi) - c * ndtr(-c)
    z, w = panels([c])
    assert abs(w @ relu(z - c) - true) < 1e-15
    z, w = gauss_hermite(40)
    assert abs(w @ relu(z - c) - true) > 1e-5


def test_a_polynomial_is_its_own_fit() -> None:
    def f(x: np.ndarray) -> np.ndarray:
        return np.column_stack([1 + x[:, 0] * x[:, 1] ** 2, x[:, 0] - 3 * x[:, 1]])

    assert relative_distance(fit(f, MEAN, COV, 3, 6), f, MEAN, COV, 3) < 1e-14
    assert relative_distance(fit(f, MEAN, COV, 2, 6), f, MEAN, COV, 3) > 1e-2


def test_relu_on_a_line_by_hand() -> None:
    # best quadratic of max(Z, 0): φ(0) + z/2 + φ(0)/2 (z² − 1)
    phi = 1 / np.sqrt(2 * np.pi)
    best = fit_neuron(relu, [0.0], np.array([1.0]), 0.0, np.zeros(1), np.eye(1), 2)
    x = np.linspace(-2, 2, 7)[:, None]
    np.testing.assert_allclose(best(x)[:, 0], phi / 2 + x[:, 0] / 2 + phi / 2 * x[:, 0] ** 2, rtol=0, atol=1e-14)


def test_the_residual_is_orthogonal_and_no_neighbour_is_better() -> None:
    w, b = np.array([1.0, -0.7]), 0.2
    axes = support_axes(COV)
    direction = axes.T @ w
    s = float(np.linalg.norm(direction))
    turned = axes @ rotation(direction / s)
    z, weights = tensor_rule([panels([-float(w @ MEAN + b) / s]), gauss_hermite(8)])
    x = MEAN + z @ turned.T
    best = fit_neuron(relu, [0.0], w, b, MEAN, COV, 2)
    residual = relu(x @ w + b) - best(x)[:, 0]
    monomials = np.column_stack([x[:, 0] ** i * x[:, 1] ** j for i in range(3) for j in range(3 - i)])
    np.testing.assert_allclose(weights * residual @ monomials, 0, atol=1e-14)
    for column in monomials.T:
        assert weights @ (residual + 1e-3 * column) ** 2 > weights @ residual**2


@pytest.mark.parametrize("rank", [1, 2])
def test_turned_axes_agree_with_fixed_ones(rank: int) -> None:
    rng = np.random.default_rng(3)
    F = rng.standard_normal((2, rank))
    cov = F @ F.T
    weights = (
        rng.standard_normal((3, 2)) / 2,
        rng.standard_normal(3),
        rng.standard_normal((2, 3)),
        np.ones(2),
    )

    def f(x: np.ndarray) -> np.ndarray:
        return np.sin(x @ weights[0].T + weights[1]) @ weights[2].T + weights[3]

    fixed = fit(f, MEAN, cov, 3, 30)
    assert relative_distance(fit_layer(np.sin, [], weights, MEAN, cov, 3), fixed, MEAN, cov, 3) < 1e-13


def test_a_neuron_across_the_support_is_constant() -> None:
    cov = np.outer([1.0, 1.0], [1.0, 1.0])
    best = fit_neuron(relu, [0.0], np.array([1.0, -1.0]), 0.5, np.array([2.0, 1.0]), cov, 2)
    np.testing.assert_allclose(best(np.array([[2.0, 1.0], [3.0, 2.0]])), 1.5, rtol=1e-14)


def test_a_gated_relu_by_hand() -> None:
    # best linear polynomials for independent standard X, Y: of max(X, 0) Y it is φ(0) Y, of max(X, 0) X it is
    # E[X²; X > 0] + E[X³; X > 0] X = 1/2 + 2 φ(0) X
    phi = 1 / np.sqrt(2 * np.pi)
    x = np.array([[0.3, -1.0], [2.0, 0.7]])
    e, f = np.eye(2)
    best = fit_neuron(relu, [0.0], e, 0.0, np.zeros(2), np.eye(2), 1, (f, 0.0))
    np.testing.assert_allclose(best(x)[:, 0], phi * x[:, 1], rtol=0, atol=1e-14)
    best = fit_neuron(relu, [0.0], e, 0.0, np.zeros(2), np.eye(2), 1, (e, 0.0))
    np.testing.assert_allclose(best(x)[:, 0], 0.5 + 2 * phi * x[:, 0], rtol=0, atol=1e-14)
    still = fit_neuron(relu, [0.0], 0 * e, 3.0, np.zeros(2), np.eye(2), 1, (f, 1.0))
    np.testing.assert_allclose(still(x)[:, 0], 3.0 * (x[:, 1] + 1.0), rtol=0, atol=1e-14)


@pytest.mark.parametrize("rank", [1, 2])
def test_gated_layers_agree_with_fixed_axes(rank: int) -> None:
    rng = np.random.default_rng(4)
    F = rng.standard_normal((2, rank))
    cov = F @ F.T
    G, U = rng.standard_normal((2, 3, 2)) / 2
    b, c, W_out, b_out = rng.standard_normal(3), rng.standard_normal(3), rng.standard_normal((2, 3)), np.ones(2)

    def f(x: np.ndarray) -> np.ndarray:
        return (np.sin(x @ G.T + b) * (x @ U.T + c)) @ W_out.T + b_out

    fixed = fit(f, MEAN, cov, 3, 30)
    turned = fit_gated_layer(np.sin, [], (G, b, U, c, W_out, b_out), MEAN, cov, 3)
    assert relative_distance(turned, fixed, MEAN, cov, 3) < 1e-13
    other = fit_gated_layer(np.sin, [], (G, b, U * (1 + 1e-9), c, W_out, b_out), MEAN, cov, 3)
    assert relative_distance(other, fixed, MEAN, cov, 3) > 1e-11


def test_distance_sees_a_wrong_value() -> None:
    def q(x: np.ndarray) -> np.ndarray:
        return 1 + x[:, :1] ** 2

    assert relative_distance(q, q, MEAN, COV, 2) == 0
    assert relative_distance(lambda x: q(x) * (1 + 1e-10), q, MEAN, COV, 2) == pytest.approx(1e-10, rel=1e-3)
    assert relative_distance(lambda x: q(x) + 1e-9 * x[:, 1:], q, MEAN, COV, 2) > 1e-11
