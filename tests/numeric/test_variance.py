"""The variance explained and left: against tensor nodes, in arbitrary precision, by samples, and by its properties."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.polynomial.hermite_e import hermegauss, hermevander

import symgauss as sg
from numeric import variance
from numeric.convert import approximate
from numeric.factored import FactoredPolynomial
from numeric.gated import GatedPolynomial
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP
from numeric.variance import Explained, explained
from tests.marks import mostly_slow
from tests.numeric.problems import (
    GatedProblem,
    Problem,
    covariance,
    gated_problems,
    gated_weights,
    problems,
    textbook,
    weights,
)
from tests.oracle.definitions import Definition, definition, y
from tests.oracle.tensor_nodes import fit, fit_gated_layer, fit_layer, gauss_hermite, support_axes, tensor_rule
from tests.oracle.variance import Truth, truth

SETTINGS = settings(max_examples=25, deadline=None, derandomize=True)
BOUND = 1e-14
"""Of Σ_ij |W_i W_j| √(V_i V_j), everywhere."""
NODES = 1e-9

SNAKE = sg.Activation("snake", sg.x + sympy.sin(2 * sg.x) ** 2 / 2)
SNAKE_DEFINED = Definition("snake", (y + sympy.sin(2 * y) ** 2 / 2,))
COMMON = ("relu", "step", "elu", "gelu", "tanh", "exp", "softsign", "snake")
RARER = (
    "leaky_relu", "abs", "relu2", "hardtanh", "hardswish", "erf", "silu", "sigmoid", "softplus", "sin", "gelu_tanh",
)  # fmt: skip
SMOOTH = ("gelu", "erf", "sin", "tanh", "silu", "softplus", "sigmoid")


def known_as(name: str) -> tuple[Any, Definition]:
    """What a layer takes as activation, and its definition."""
    return (SNAKE, SNAKE_DEFINED) if name == "snake" else (name, definition(name))


def assert_within(found: np.ndarray, true: np.ndarray, allowed: np.ndarray) -> None:
    """|found − true| ≤ allowed everywhere; NaN never is."""
    found, true = np.asarray(found), np.asarray(true)
    assert found.shape == true.shape, (found.shape, true.shape)
    excess = np.abs(found - true)
    assert np.all(excess <= allowed), f"off by {np.max(excess / np.maximum(allowed, 1e-300)):.3g} × what is allowed"


def assert_fraction(values: np.ndarray) -> None:
    values = np.asarray(values)
    assert np.all((values >= 0) & (values <= 1)), values


def test_helpers_refuse_wrong_values() -> None:
    assert_within(np.ones(2), np.ones(2) + 1e-15, np.full(2, 1e-14))
    for wrong in (np.array([1.0, 1.0 + 1e-13]), np.array([1.0, np.nan]), np.ones(3)):
        with pytest.raises(AssertionError):
            assert_within(wrong, np.ones(2), np.full(2, 1e-14))
    assert_fraction(np.array([0.0, 0.5, 1.0]))
    for wrong in (np.array([-1e-300]), np.array([1 + 1e-15]), np.array([0.3, np.nan])):
        with pytest.raises(AssertionError):
            assert_fraction(wrong)


# Against tensor nodes


def by_nodes(f: Callable, mean: np.ndarray, cov: np.ndarray, degree: int, count: int = 130) -> tuple[np.ndarray, ...]:
    """The variance of the parts of degree 1, …, n of f, what is left, and Var f: from best fits alone."""
    axes = support_axes(cov)
    z, w = tensor_rule([gauss_hermite(count)] * axes.shape[1])
    x = mean + z @ axes.T
    values = [fit(f, mean, cov, k, count)(x) for k in range(degree + 1)]
    parts = np.array([w @ (after - before) ** 2 for before, after in pairwise(values)])
    return parts.reshape(degree, values[0].shape[1]), w @ (f(x) - values[-1]) ** 2, w @ (f(x) - values[0]) ** 2


def assert_as_by_nodes(p: FactoredPolynomial, degree: int) -> None:
    parts, left, total = by_nodes(p.layer, p.inputs.mean, p.inputs.cov, degree)
    assert p.variance_by_degree.shape == (degree, p.d_out)
    np.testing.assert_allclose(p.variance_by_degree, parts, rtol=NODES, atol=1e-13)
    np.testing.assert_allclose(p.fvu, left / total, rtol=NODES)
    np.testing.assert_allclose(p.total_fvu, left.sum() / total.sum(), rtol=NODES)
    np.testing.assert_allclose(p.variance_by_degree.sum(axis=0) + p.fvu * total, total, rtol=1e-12)


@pytest.mark.parametrize("degree", range(5))
@pytest.mark.parametrize("name", SMOOTH)
def test_mlp_by_tensor_nodes(name: str, degree: int) -> None:
    rng = np.random.default_rng(degree)
    layer = MLP(*weights(rng, 2, 6, 3, spread=0.4), name)
    assert_as_by_nodes(approximate(layer, Gaussian(rng.standard_normal(2), covariance(rng, 2, 2)), degree), degree)


@pytest.mark.parametrize("degree", range(5))
@pytest.mark.parametrize("name", ["gelu", "silu", "sigmoid", "tanh"])
def test_glu_by_tensor_nodes(name: str, degree: int) -> None:
    rng = np.random.default_rng(10 + degree)
    layer = GLU(*gated_weights(rng, 2, 6, 3, spread=0.4), name)
    assert_as_by_nodes(approximate(layer, Gaussian(rng.standard_normal(2), covariance(rng, 2, 2)), degree), degree)


@pytest.mark.parametrize("degree", [0, 2])
def test_a_line_and_a_gate_without_output_matrix(degree: int) -> None:
    """One input, or a covariance of rank 1: all correlations are ±1."""
    rng = np.random.default_rng(3)
    assert_as_by_nodes(approximate(MLP(*weights(rng, 1, 4, 2), "gelu"), Gaussian([0.3], [0.7]), degree), degree)
    layer = GLU(*gated_weights(rng, 2, 4, 2)[:4], activation="silu")
    assert_as_by_nodes(approximate(layer, Gaussian(rng.standard_normal(2), covariance(rng, 2, 1)), degree), degree)


def test_tensor_nodes_see_a_wrong_polynomial() -> None:
    rng = np.random.default_rng(4)
    layer, inputs = MLP(*weights(rng, 2, 6, 3), "gelu"), Gaussian(np.zeros(2))
    with pytest.raises(AssertionError):
        assert_as_by_nodes(approximate(layer, inputs, 3), 2)
    wrong = approximate(layer, inputs, 2)
    wrong.hermite[0, 2] *= 1 + 1e-7
    with pytest.raises(AssertionError):
        assert_as_by_nodes(wrong, 2)


# In arbitrary precision


class Neurons(NamedTuple):
    """The neurons of a layer and their inputs; `up` is None in an MLP."""

    W: np.ndarray
    b: np.ndarray | None
    mean: np.ndarray
    cov: np.ndarray
    up: tuple[np.ndarray, np.ndarray] | None = None

    def truth(self, name: str, degree: int) -> Truth:
        return truth(known_as(name)[1], self.W, self.b, self.mean, self.cov, degree, self.up)

    def approximated(self, name: str, degree: int, W_out: np.ndarray) -> FactoredPolynomial:
        taken, inputs = known_as(name)[0], Gaussian(self.mean, self.cov)
        if self.up is None:
            return approximate(MLP(self.W, self.b, W_out, None, taken), inputs, degree)
        return approximate(GLU(self.W, self.b, *self.up, W_out, None, taken), inputs, degree)


def every_pair(deviations: np.ndarray) -> np.ndarray:
    """Outputs that are one neuron, the sum and the difference of two, all in units of their deviations."""
    size = np.asarray(deviations, dtype=np.float64)
    own = np.diag(1 / np.where(size > 0, size, 1.0))
    n = len(size)
    both = [own[i] + sign * own[j] for i in range(n) for j in range(i) for sign in (1, -1)]
    return np.array([*own, *both])


def compared(neurons: Neurons, name: str, degree: int) -> tuple[Explained, np.ndarray, np.ndarray]:
    """What is found for all single neurons and pairs, the truth, and 1e-14 of the scale."""
    known = neurons.truth(name, degree)
    W_out = every_pair(known.deviations)
    found = explained(neurons.approximated(name, degree, W_out))
    return found, known.residual(W_out), BOUND * known.scale(W_out)


def assert_in_bounds(neurons: Neurons, name: str, degree: int) -> None:
    found, true, bound = compared(neurons, name, degree)
    assert_within(found.residual, true, bound)
    assert_within(found.residual, true, found.error)


def three(s: float, far: float = 0.0, gated: bool = False) -> Neurons:
    """Correlations 0.6, −1 + 5e-7 and about −0.6, deviations near s, kinks at 0 near the mean or `far` from it."""
    W = s * np.array([[1.0, 0.0], [0.75, 1.0], [-1.0, 2.0**-10]])
    b = s * far * np.array([1.0, -1.25, -0.96875]) if far else min(s, 1.0) * np.array([0.25, -0.5, 0.375])
    U = np.array([[0.5, -1.0], [1.5, 2.0], [0.25, 0.75]])
    return Neurons(W, b, np.zeros(2), np.eye(2), (U, np.array([0.5, -0.25, 1.0])) if gated else None)


@pytest.mark.parametrize("name", mostly_slow([*COMMON, *RARER], fast=COMMON))
def test_the_bound_for_every_activation(name: str) -> None:
    assert_in_bounds(three(1.0), name, 2)


@pytest.mark.parametrize("name", mostly_slow(("relu", "step", "silu", "tanh"), fast=("relu", "silu")))
def test_the_bound_for_gates(name: str) -> None:
    assert_in_bounds(three(1.0, gated=True), name, 2)


@pytest.mark.parametrize(
    ("name", "s", "far", "degree"),
    [
        pytest.param("tanh", 0.05, 0.0, 2, marks=pytest.mark.slow),
        ("silu", 0.05, 0.0, 4),
        pytest.param("tanh", 20.0, 0.0, 2, marks=pytest.mark.slow),
        ("hardtanh", 20.0, 0.0, 4),
        ("gelu", 1.0, 6.0, 4),
        ("relu", 0.25, 4.0, 2),
    ],
)
def test_the_bound_where_neurons_are_narrow_or_wide_or_kinks_far(name: str, s: float, far: float, degree: int) -> None:
    assert_in_bounds(three(s, far), name, degree)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("name", mostly_slow(("tanh", "silu"), fast=("tanh",)))
def test_the_bound_for_narrow_neurons_beside_wide_ones(name: str, gated: bool) -> None:
    """Two narrow neurons and a wide one, all nearly parallel: series that end, and one that does not."""
    W = np.array([[0.05, 0.0], [-0.05, 0.05 * 2.0**-10], [20.0, 20 * 2.0**-9]])
    up = three(1.0, gated=True).up if gated else None
    assert_in_bounds(Neurons(W, np.array([0.25, 0.5, 1.0]), np.zeros(2), np.eye(2), up), name, 4)


@pytest.mark.parametrize("name", mostly_slow(("hardtanh", "hardswish"), fast=("hardswish",)))
def test_the_bound_where_pieces_are_very_narrow(name: str) -> None:
    """Kinks that are all but one: what is left must not come from differences between them."""
    assert_in_bounds(three(1e5), name, 2)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("elu", marks=pytest.mark.xfail(reason="e^y − 1 − y is rounded like y, up to 1e-12", strict=False)),
        "selu",
    ],
)
def test_the_bound_where_exponentials_are_almost_straight(name: str) -> None:
    assert_in_bounds(three(1e-4), name, 1)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("name", mostly_slow(("relu", "step", "tanh"), fast=("relu",)))
def test_the_bound_on_a_line(name: str, gated: bool) -> None:
    """One input: all correlations are ±1."""
    up = (np.array([[0.5], [-1.0], [0.75]]), np.array([0.3, -0.2, 1.0])) if gated else None
    neurons = Neurons(np.array([[1.0], [-0.5], [2.0]]), np.array([0.25, 0.5, -3.0]), np.zeros(1), np.eye(1), up)
    for degree in (0, 3):
        assert_in_bounds(neurons, name, degree)


@pytest.mark.parametrize("name", mostly_slow(("step", "relu", "silu"), fast=("step",)))
def test_the_bound_for_nearly_parallel_neurons(name: str) -> None:
    """1 − ρ from 1e-2 to 1e-13, the means a little different too."""
    angles = np.array([0.0, 0.1, 1e-2, 1e-4, 3e-7])
    W = np.column_stack([np.cos(angles), np.sin(angles)]) * np.array([[1.0], [2.0], [-1.0], [0.5], [1.0]])
    b = 0.3 * np.linalg.norm(W, axis=1) * np.sign(W[:, 0]) + np.array([0.0, 1e-3, 0.0, 1e-9, 0.0])
    assert_in_bounds(Neurons(W, b, np.zeros(2), np.eye(2)), name, 1)


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_copies_of_a_neuron_cancel(degree: int) -> None:
    """Rows that repeat, twice as long and turned round: what is left of their differences is nothing."""
    w = np.array([0.6, -0.3])
    W, b = np.stack([w, w, 2 * w, -w, 0.5 * w]), 0.3 * np.array([1.0, 1.0, 2.0, -1.0, 0.5])
    neurons = Neurons(W, b, np.array([0.5, -1.0]), np.array([[1.0, 0.5], [0.5, 2.0]]))
    W_out = np.array([[1, -1, 0, 0, 0], [2, 0, -1, 0, 0], [1, 0, 0, -1, 0], [3, 1, -1, 0, -4], [1.0, 1, 1, 1, 1]])
    known = neurons.truth("relu", degree)
    p = neurons.approximated("relu", degree, W_out)
    assert_within(explained(p).residual, known.residual(W_out), BOUND * known.scale(W_out))
    # y₊ − (−y)₊ = y, and the others are nothing at all
    np.testing.assert_allclose(p.fvu[:4], 0.0, atol=1e-14)
    assert p.fvu[4] > 1e-3
    assert_fraction(p.fvu)


@pytest.mark.parametrize("gated", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_relu_at_two_inputs(gated: bool) -> None:
    """The fraction itself, with the total variance from the residual of degree 0."""
    rng = np.random.default_rng(8)
    W_gate, b_gate, W_up, b_up, W_out, _ = gated_weights(rng, 2, 3, 2, spread=1.0)
    neurons = Neurons(W_gate, b_gate, rng.standard_normal(2), covariance(rng, 2, 2), (W_up, b_up) if gated else None)
    total = neurons.truth("relu", 0).residual(W_out)
    p = neurons.approximated("relu", 2, W_out)
    true = neurons.truth("relu", 2).residual(W_out) / total
    assert_within(p.fvu, true, NODES * true)
    assert_within(explained(p).total, total, 1e-13 * total)


@pytest.mark.parametrize("name", ["relu", "step"])
def test_parts_of_kinked_layers(name: str) -> None:
    """Against best fits on nodes split at the kinks, neuron by neuron."""
    rng = np.random.default_rng(9)
    parts, gates = weights(rng, 2, 4, 2), gated_weights(rng, 2, 4, 2)
    mean, cov, degree = rng.standard_normal(2), covariance(rng, 2, 2), 4
    axes = support_axes(cov)
    z, w = tensor_rule([gauss_hermite(degree + 1)] * 2)
    x = mean + z @ axes.T
    for layer, fitted, given_parts in (
        (MLP(*parts, name), fit_layer, parts),
        (GLU(*gates, name), fit_gated_layer, gates),
    ):
        values = [fitted(*textbook(name), given_parts, mean, cov, k)(x) for k in range(degree + 1)]
        true = np.array([w @ (after - before) ** 2 for before, after in pairwise(values)])
        np.testing.assert_allclose(
            approximate(layer, Gaussian(mean, cov), degree).variance_by_degree, true, rtol=1e-10, atol=1e-12
        )


@pytest.mark.slow
@pytest.mark.parametrize("degree", [0, 1, 2, 4, 8])
@pytest.mark.parametrize("name", [*COMMON, *RARER])
def test_the_bounds_everywhere(name: str, degree: int) -> None:
    """Nowhere farther off than the larger of the two bounds, rounding of the preactivations included."""
    for s in (0.05, 1.0, 20.0):
        for far in (0.0, 6.0):
            if name == "exp" and s > 1:
                continue
            found, true, bound = compared(three(s, far), name, degree)
            assert_within(found.residual, true, bound + 3 * found.error)


@pytest.mark.slow
@pytest.mark.parametrize("degree", [0, 1, 2, 4, 8])
@pytest.mark.parametrize("name", ["relu", "step", "hardtanh", "elu", "gelu", "silu", "sigmoid", "exp", "snake"])
def test_the_bounds_for_gates_everywhere(name: str, degree: int) -> None:
    for s in (0.05, 1.0, 20.0):
        for far in (0.0, 6.0):
            if name == "exp" and s > 1:
                continue
            found, true, bound = compared(three(s, far, gated=True), name, degree)
            assert_within(found.residual, true, bound + 3 * found.error)


def test_bounds_are_tight_enough_to_see_an_error() -> None:
    neurons = three(1.0)
    found, true, bound = compared(neurons, "relu", 2)
    with pytest.raises(AssertionError):
        assert_within(found.residual * (1 + 1e-12), true, bound)
    with pytest.raises(AssertionError):
        assert_within(found.residual * (1 + 1e-12), true, found.error)
    assert np.all(found.error <= 10 * bound)


# Polynomials


def test_a_bilinear_layer_is_a_quadratic() -> None:
    rng = np.random.default_rng(11)
    layer = GLU(*gated_weights(rng, 5, 7, 3), "identity")
    inputs = Gaussian(rng.standard_normal(5), covariance(rng, 5, 4))
    assert np.all(approximate(layer, inputs, 1).fvu > 1e-3)
    for degree in (2, 3):
        p = approximate(layer, inputs, degree)
        assert np.all(p.fvu <= 1e-14)
        assert p.total_fvu <= 1e-14


def test_a_square_times_a_line_is_a_cubic() -> None:
    rng = np.random.default_rng(12)
    layer = GLU(*gated_weights(rng, 5, 7, 3), "square")
    inputs = Gaussian(rng.standard_normal(5), covariance(rng, 5, 5))
    assert np.all(approximate(layer, inputs, 2).fvu > 1e-3)
    assert np.all(approximate(layer, inputs, 3).fvu <= 1e-14)


@SETTINGS
@given(problems(activations=("identity", "square")), st.integers(2, 5))
def test_polynomial_layers_leave_nothing(problem: Problem, degree: int) -> None:
    assert np.all(approximate(*problem, degree).fvu <= 1e-14)


# Against samples


def scores(p: FactoredPolynomial, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors between E(f − p)² and Var f as found and as sampled, for every output."""
    rng, chunk = np.random.default_rng(seed), 50_000
    center = p.layer(p.inputs.mean)
    sums = np.zeros((6, p.d_out))
    for start in range(0, samples, chunk):
        x = p.inputs.sample(min(chunk, samples - start), rng)
        f = p.layer(x)
        squares, shifted = (f - p(x)) ** 2, f - center
        sums += [v.sum(axis=0) for v in (squares, squares**2, shifted, shifted**2, shifted**3, shifted**4)]
    left, left_2, m1, m2, m3, m4 = sums / samples
    total = m2 - m1**2
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    found = explained(p)
    return (
        (found.residual - left) / np.sqrt((left_2 - left**2) / samples),
        (found.total - total) / np.sqrt((fourth - total**2) / samples),
    )


def fifty_inputs(gated: bool, name: str) -> FactoredPolynomial:
    rng = np.random.default_rng(50)
    inputs = Gaussian(rng.standard_normal(50), covariance(rng, 50, 50))
    if gated:
        return approximate(GLU(*gated_weights(rng, 50, 30, 3, spread=1.5), name), inputs, 2)
    return approximate(MLP(*weights(rng, 50, 60, 3, spread=1.5), name), inputs, 2)


@pytest.mark.parametrize(("gated", "name"), [(False, "relu"), (True, "silu")])
def test_samples(gated: bool, name: str) -> None:
    for z in scores(fifty_inputs(gated, name), 200_000, seed=1):
        assert np.abs(z).max() < 4


@pytest.mark.slow
@pytest.mark.parametrize(("gated", "name"), [(False, "relu"), (False, "gelu"), (True, "silu"), (True, "step")])
def test_ten_million_samples(gated: bool, name: str) -> None:
    for z in scores(fifty_inputs(gated, name), 10_000_000, seed=2):
        assert np.abs(z).max() < 4


def test_samples_see_a_wrong_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    p = fifty_inputs(False, "relu")
    right = explained(p)
    wrong = Explained(right.by_degree, right.residual * 1.03, right.error)
    monkeypatch.setattr(f"{__name__}.explained", lambda _: wrong)
    assert np.abs(scores(p, 200_000, seed=1)[0]).max() > 4


# Properties


def any_scale(problem: Problem | GatedProblem, exponent: int, copies: np.ndarray | None = None) -> Any:
    """The layer with its preactivations scaled, and with some of its neurons repeated."""
    layer, inputs = problem
    chosen = np.arange(layer.n_hidden) if copies is None else copies
    scale = 10.0**exponent

    def rows(matrix: Any, factor: float = 1.0) -> Any:
        return None if matrix is None else matrix[chosen].astype(np.float64) * factor

    W_out = None if layer.W_out is None else np.resize(layer.W_out.T, (len(chosen), layer.d_out)).T
    if isinstance(layer, MLP):
        return MLP(rows(layer.W_in, scale), rows(layer.b_in, scale), W_out, None, layer.activation), inputs
    gate = rows(layer.W_gate, scale), rows(layer.b_gate, scale)
    return GLU(*gate, rows(layer.W_up), rows(layer.b_up), W_out, None, layer.activation), inputs


@SETTINGS
@given(st.one_of(problems(), gated_problems()), st.integers(0, 5), st.integers(-30, 6), st.integers(0, 2**32 - 1))
def test_fractions_at_any_scale(problem: Problem | GatedProblem, degree: int, exponent: int, seed: int) -> None:
    assume(exponent <= 2 or problem.layer.activation.name not in ("sin", "cos"))
    copies = np.random.default_rng(seed).integers(0, problem.layer.n_hidden, problem.layer.n_hidden + 2)
    layer, inputs = any_scale(problem, exponent, copies)
    p = approximate(layer, inputs, degree)
    assert p.fvu.shape == (p.d_out,)
    assert p.variance_by_degree.shape == (degree, p.d_out)
    assert_fraction(p.fvu)
    assert_fraction(p.total_fvu)
    assert np.all(p.variance_by_degree >= 0)
    found = explained(p)
    assert np.all(found.residual >= 0)
    assert np.all(np.isfinite(found.error) & (found.error >= 0))
    np.testing.assert_allclose(p.fvu * found.total, found.residual, rtol=1e-15, atol=1e-300)


@SETTINGS
@given(st.one_of(problems(), gated_problems()), st.integers(0, 4))
def test_more_degrees_leave_less_of_the_same(problem: Problem | GatedProblem, degree: int) -> None:
    low, high = (explained(approximate(*problem, n)) for n in (degree, degree + 1))
    size = scale_of(problem)
    assert_within(high.by_degree[:degree], low.by_degree, 1e-13 * size)
    assert_within(high.total, low.total, 1e-13 * size)
    assert_within(high.residual + high.by_degree[degree], low.residual, 1e-13 * size)
    assert np.all(high.residual <= low.residual + 1e-13 * size)


def scale_of(problem: Problem | GatedProblem) -> np.ndarray:
    """(Σ_i |W_oi| √Var f_i)², what sums over pairs are rounded relative to."""
    layer, inputs = problem
    if isinstance(layer, GLU):
        neurons = GLU(layer.W_gate, layer.b_gate, layer.W_up, layer.b_up, None, None, layer.activation)
    else:
        neurons = MLP(layer.W_in, layer.b_in, np.eye(layer.n_hidden), None, layer.activation)
    deviations = np.sqrt(explained(approximate(neurons, inputs, 0)).total)
    return (deviations if layer.W_out is None else np.abs(layer.W_out) @ deviations) ** 2


@SETTINGS
@given(problems(), st.integers(0, 4), st.randoms(use_true_random=False))
def test_order_scale_and_constants_do_not_matter(problem: Problem, degree: int, random: Any) -> None:
    layer, inputs = problem
    order = list(range(layer.n_hidden))
    random.shuffle(order)
    b_in = None if layer.b_in is None else layer.b_in[order]
    factors = 2.0 ** np.arange(-3, layer.d_out - 3) * (-1) ** np.arange(layer.d_out)
    changed = MLP(
        layer.W_in[order],
        b_in,
        factors[:, None] * layer.W_out[:, order],
        np.full(layer.d_out, 7.0),
        layer.activation,
    )
    expected, found = explained(approximate(layer, inputs, degree)), explained(approximate(changed, inputs, degree))
    size = 1e-13 * scale_of(problem)
    assert_within(found.residual / factors**2, expected.residual, size)
    assert_within(found.by_degree / factors**2, expected.by_degree, size)


@SETTINGS
@given(gated_problems(), st.integers(0, 3))
def test_a_gate_without_output_matrix_is_one_with_the_identity(problem: GatedProblem, degree: int) -> None:
    layer, inputs = problem
    parts = layer.W_gate, layer.b_gate, layer.W_up, layer.b_up
    bare = approximate(GLU(*parts, None, None, layer.activation), inputs, degree)
    full = approximate(GLU(*parts, np.eye(layer.n_hidden), None, layer.activation), inputs, degree)
    total = explained(full).total
    assert bare.fvu.shape == (layer.n_hidden,)
    assert_within(bare.fvu * total, full.fvu * total, 1e-13 * total)
    assert_within(bare.variance_by_degree, full.variance_by_degree, 1e-13 * total)


@SETTINGS
@given(problems(), st.integers(0, 3))
def test_what_does_not_vary_is_approximated_perfectly(problem: Problem, degree: int) -> None:
    layer, inputs = problem
    nothing = MLP(layer.W_in, layer.b_in, np.zeros((2, layer.n_hidden)), None, layer.activation)
    still = Gaussian(inputs.mean, np.zeros((layer.d_in, layer.d_in)))
    for p in (approximate(nothing, inputs, degree), approximate(layer, still, degree)):
        np.testing.assert_array_equal(p.fvu, 0.0)
        np.testing.assert_array_equal(p.variance_by_degree, 0.0)
        assert p.total_fvu == 0
    # f − f
    W_in, b_in = np.vstack([layer.W_in] * 2), None if layer.b_in is None else np.tile(layer.b_in, 2)
    p = approximate(MLP(W_in, b_in, np.hstack([layer.W_out, -layer.W_out]), None, layer.activation), inputs, degree)
    np.testing.assert_array_equal(p.fvu, 0.0)


@pytest.mark.parametrize("degree", [20, 40, 100])
@pytest.mark.parametrize(("name", "s"), [("relu", 1.0), ("step", 1.0), ("tanh", 20.0), ("silu", 1.0)])
def test_high_degrees_leave_less_of_the_same(name: str, s: float, degree: int) -> None:
    """He_n reaches as far as 2√n, and what is left of a kink does too."""
    layer = MLP([[s, 0.2 * s], [0.5 * s, -s]], [0.3 * s, 0.2], [[1.0, 1.0]], None, name)
    total = explained(approximate(layer, Gaussian(np.zeros(2)), 0)).total
    found = explained(approximate(layer, Gaussian(np.zeros(2)), degree))
    assert_within(found.total, total, 1e-13 * total)


def test_a_neuron_at_degree_30() -> None:
    assert_in_bounds(three(1.0), "relu", 30)


@pytest.mark.parametrize("scale", [1e150])
def test_size_of_outputs_does_not_matter(scale: float) -> None:
    layer = MLP([[1.0], [0.5]], [0.3, -0.2], [[1.0, 2.0]], None, "relu")
    large = MLP(layer.W_in, layer.b_in, scale * layer.W_out, None, "relu")
    expected = approximate(layer, Gaussian([0.0]), 2).fvu
    np.testing.assert_allclose(approximate(large, Gaussian([0.0]), 2).fvu, expected, rtol=1e-12)


def test_results_are_read_only() -> None:
    p = approximate(MLP([[1.0]], None, [[1.0]], activation="relu"), Gaussian([0.0]), 2)
    with pytest.raises(ValueError, match="read-only"):
        p.variance_by_degree[0, 0] = 7.0


def test_degree_0_leaves_everything() -> None:
    rng = np.random.default_rng(13)
    p = approximate(MLP(*weights(rng, 3, 5, 2), "relu"), Gaussian(np.zeros(3)), 0)
    assert p.variance_by_degree.shape == (0, 2)
    np.testing.assert_array_equal(p.fvu, 1.0)
    assert p.total_fvu == 1.0


def test_a_gate_that_does_not_vary_multiplies_a_line() -> None:
    U = np.array([[1.0, 2.0], [0.0, 3.0]])
    layer = GLU(np.zeros((2, 2)), [1.0, 2.0], U, None, None, None, "square")
    p = approximate(layer, Gaussian(np.zeros(2)), 0)
    np.testing.assert_array_equal(p.fvu, 1.0)
    np.testing.assert_allclose(explained(p).residual, [5.0, 9.0 * 16], rtol=1e-15)
    p = approximate(layer, Gaussian(np.zeros(2)), 1)
    np.testing.assert_array_equal(p.fvu, 0.0)
    np.testing.assert_allclose(p.variance_by_degree, [[5.0, 9.0 * 16]], rtol=1e-15)


@pytest.mark.parametrize("gated", [False, True])
def test_float32_weights_count_as_the_doubles_they_are(gated: bool) -> None:
    rng = np.random.default_rng(14)
    parts = [part.astype(np.float32) for part in (gated_weights if gated else weights)(rng, 6, 9, 2)]
    inputs, kind = Gaussian(rng.standard_normal(6), covariance(rng, 6, 6)), GLU if gated else MLP
    single = approximate(kind(*parts, "silu"), inputs, 2)
    double = approximate(kind(*(part.astype(np.float64) for part in parts), "silu"), inputs, 2)
    assert single.fvu.dtype == np.float64
    np.testing.assert_allclose(single.fvu, double.fvu, rtol=1e-13)
    np.testing.assert_allclose(single.variance_by_degree, double.variance_by_degree, rtol=1e-13)


@pytest.mark.parametrize(
    ("name", "s", "size"),
    [
        ("tanh", 1e150, 1.0),
        ("step", 1e200, 1.0),
        ("relu", 1e100, 1e100),
        ("silu", 1e-100, 1e-100),
        ("abs", 1e-150, 1e-150),
    ],
)
def test_extreme_weights(name: str, s: float, size: float) -> None:
    """Far from 1, while variances are doubles."""
    p = approximate(MLP([[s], [-2 * s]], None, [[1.0, 0.25]], None, name), Gaussian([0.0]), 0)
    assert 0.01 < explained(p).total[0] / size**2 < 10
    assert p.fvu[0] == 1


@pytest.mark.parametrize(("name", "mean", "s"), [("sin", 1e4, 1.0), ("sin", 0.3, 1e3), ("sigmoid", -740.0, 1.0)])
def test_functions_that_doubles_cannot_resolve(name: str, mean: float, s: float) -> None:
    """Where neighbouring doubles give values with few digits, panels stop to halve."""
    p = approximate(MLP([[s]], [mean], [[1.0]], None, name), Gaussian([0.0]), 2)
    assert_fraction(p.fvu)


# Many neurons


def repeated(gated: bool, name: str, distinct: int, n: int, spread: float) -> tuple[Any, Any]:
    """A layer of a few neurons, and one of n copies of them whose output weights add up to the same."""
    rng = np.random.default_rng(n)
    *parts, _, _ = (gated_weights if gated else weights)(rng, 6, distinct, 3, spread)
    place = rng.permutation(np.arange(n) % distinct)
    many = rng.standard_normal((3, n))
    summed = np.zeros((3, distinct))
    np.add.at(summed.T, place, many.T)
    kind = GLU if gated else MLP
    return kind(*parts, summed, None, name), kind(*(part[place] for part in parts), many, None, name)


@pytest.mark.parametrize(
    ("gated", "name", "distinct", "n", "spread"),
    [
        (False, "gelu", 7, 300, 0.5),
        (False, "relu", 60, 513, 1.0),
        (False, "tanh", 20, 4500, 0.3),
        (True, "silu", 7, 513, 0.5),
        (True, "step", 60, 300, 1.0),
    ],
)
def test_copies_of_neurons_in_many_blocks(gated: bool, name: str, distinct: int, n: int, spread: float) -> None:
    rng = np.random.default_rng(15)
    few, many = repeated(gated, name, distinct, n, spread)
    inputs = Gaussian(rng.standard_normal(6), covariance(rng, 6, 6))
    expected, found = (explained(approximate(layer, inputs, 2)) for layer in (few, many))
    assert_within(found.residual, expected.residual, 1e-12 * expected.residual + found.error)
    np.testing.assert_allclose(found.by_degree, expected.by_degree, rtol=1e-10)
    np.testing.assert_allclose(found.fvu, expected.fvu, rtol=1e-10)


@pytest.mark.parametrize("n", [300, 513])
def test_all_pairs_by_brute_force(n: int) -> None:
    """Every pair at once: Hermite coefficients on Gauss-Hermite nodes, powers of a dense matrix of correlations."""
    rng = np.random.default_rng(n)
    W_in, b_in, W_out, b_out = weights(rng, 40, n, 2)
    inputs = Gaussian(rng.standard_normal(40), covariance(rng, 40, 40))
    p = approximate(MLP(W_in, b_in, W_out, b_out, "gelu"), inputs, 2)
    std = np.sqrt(np.einsum("ij,jk,ik->i", W_in, inputs.cov, W_in))
    g = W_in @ inputs.cov @ W_in.T / np.outer(std, std)
    z, w = hermegauss(120)
    orders = 50
    norms = np.sqrt(np.cumprod([1.0, *range(1, orders + 1)]))
    mean = W_in @ inputs.mean + b_in
    values = p.activation(mean[:, None] + std[:, None] * z)
    coefficients = values * w / w.sum() @ (hermevander(z, orders) / norms)
    terms = [np.einsum("oi,ij,oj->o", W_out * c, g**k, W_out * c) for k, c in enumerate(coefficients.T)]
    np.testing.assert_allclose(p.variance_by_degree, terms[1:3], rtol=1e-11)
    np.testing.assert_allclose(explained(p).residual, np.sum(terms[3:], axis=0), rtol=1e-11)


@pytest.mark.parametrize("gated", [False, True])
def test_one_thread_is_as_good_as_many(gated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(16)
    parts = (gated_weights if gated else weights)(rng, 8, 600, 2, spread=1.0)
    p = approximate((GLU if gated else MLP)(*parts, "relu"), Gaussian(rng.standard_normal(8)), 2)
    results = []
    for cores in (1, 7):
        monkeypatch.setattr(variance.os, "cpu_count", lambda cores=cores: cores)
        results.append(explained(p))
    np.testing.assert_array_equal(results[0].residual, results[1].residual)
    np.testing.assert_array_equal(results[0].by_degree, results[1].by_degree)


# What a user sees


def test_it_is_silent_unless_asked(capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(17)
    p = approximate(MLP(*weights(rng, 4, 300, 2), "gelu"), Gaussian(np.zeros(4)), 2)
    monkeypatch.setattr("numeric.progress._PATIENCE", -1.0)
    monkeypatch.setattr("numeric.progress._EVERY", -1.0)
    _ = p.fvu
    explained(p, progress=False)
    assert capfd.readouterr() == ("", "")
    explained(p, progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "residual variance" in shown.err
    assert "100%" in shown.err
    assert shown.err.endswith("\r\x1b[K")


def test_it_is_computed_once_and_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(variance, "explained", lambda p: calls.append(p) or explained(p))
    p = approximate(MLP([[1.0]], None, [[1.0]], activation="relu"), Gaussian([0.0]), 1)
    assert calls == []
    assert p.fvu[0] == pytest.approx(p.total_fvu)
    _ = p.variance_by_degree
    assert calls == [p]


def test_by_hand() -> None:
    """ReLU at 0: E y₊² = 1/2, mean 1/√2π, slope 1/2."""
    p = approximate(MLP([[1.0]], None, [[2.0]], activation="relu"), Gaussian([0.0]), 1)
    assert isinstance(p, FactoredPolynomial)
    total = 4 * (1 / 2 - 1 / (2 * np.pi))
    np.testing.assert_allclose(p.variance_by_degree, [[1.0]], rtol=1e-15)
    np.testing.assert_allclose(p.fvu, [(total - 1) / total], rtol=1e-14)
    # z y for independent y and z: nothing of degree 1, everything of degree 2
    layer = GLU([[1.0, 0.0]], None, [[0.0, 3.0]], None, activation="identity")
    q = approximate(layer, Gaussian(np.zeros(2)), 2)
    assert isinstance(q, GatedPolynomial)
    np.testing.assert_allclose(q.variance_by_degree, [[0.0], [9.0]], rtol=1e-15)
    np.testing.assert_array_equal(q.fvu, 0.0)


def test_overflow_is_said() -> None:
    p = approximate(MLP([[1e160]], None, [[1.0]], activation="relu"), Gaussian([0.0]), 1)
    with pytest.raises(OverflowError, match="variance"):
        _ = p.fvu


def test_a_fast_wave_on_a_line_keeps_its_variance() -> None:
    """x + sin²(2x)/2 = x + 1/4 − cos(4x)/4: at s = 20 the wave has variance 1/32 to all digits, the line s²."""
    layer, inputs = MLP([[20.0]], [0.25], [[1.0]], activation=SNAKE), Gaussian([0.0])
    for degree, expected in ((0, 400 + 1 / 32), (1, 1 / 32), (3, 1 / 32)):
        assert explained(approximate(layer, inputs, degree)).residual[0] == pytest.approx(expected, rel=1e-12)
