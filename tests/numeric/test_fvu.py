"""Exact fractions of variance unexplained: against tensor nodes, arbitrary precision, samples, and what must hold."""

from __future__ import annotations

import io
import sys

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numeric import GLU, MLP, Gaussian, approximate
from numeric.progress import Progress
from numeric.variance import explained
from tests.marks import mostly_slow
from tests.numeric.problems import covariance, gated_weights, weights
from tests.oracle.definitions import definition
from tests.oracle.tensor_nodes import gauss_hermite, support_axes, tensor_rule
from tests.oracle.variance import truth

# Much of what follows is in test_variance.py with other problems: the fast suite has a kind of each here.
EVERY = ("relu", "step", "gelu", "hardtanh", "silu", "elu", "softsign", "tanh")
SMOOTH = ("gelu", "erf", "sin", "exp", "silu", "sigmoid", "tanh")


def assert_within(found: np.ndarray, true: np.ndarray, scale: np.ndarray | float, tolerance: float) -> None:
    """|found − true| ≤ tolerance · scale; NaN is never within."""
    difference = np.abs(np.asarray(found, dtype=np.longdouble) - true)
    assert np.all(difference <= tolerance * np.asarray(scale)), f"{difference / scale} > {tolerance}"


def test_the_assertion_notices_a_wrong_value() -> None:
    assert_within(np.array([1.0 + 1e-16]), np.array([1.0]), 1.0, 1e-15)
    for wrong in (1.0 + 1e-14, np.nan):
        with pytest.raises(AssertionError):
            assert_within(np.array([wrong]), np.array([1.0]), 1.0, 1e-15)


@pytest.mark.parametrize("s", [1e-6, 1e-12, 1e-25, 1e-70])
@pytest.mark.parametrize(
    "name", mostly_slow(("silu", "tanh", "softplus", "gelu_tanh", "softsign", "gelu"), fast=("silu", "softsign"))
)
def test_a_neuron_that_hardly_varies_has_its_digits(name: str, s: float) -> None:
    """Of σ(μ + sZ) degree k explains (σ^(k)(μ) s^k)²/k!, up to s² of it, however far that is below σ² ε²."""
    mean, layer = 0.3, MLP([[s]], [0.3], [[1.0]], None, name)
    with mpmath.workdps(60):
        functions = {
            "silu": lambda x: x / (1 + mpmath.exp(-x)),
            "tanh": mpmath.tanh,
            "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
            "gelu_tanh": lambda x: x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + 0.044715 * x**3))),
            "softsign": lambda x: x / (1 + abs(x)),
            "gelu": lambda x: x * mpmath.ncdf(x),
        }
        series = mpmath.taylor(functions[name], mpmath.mpf(mean), 3)
        true = [float(series[k] ** 2 * mpmath.factorial(k) * mpmath.mpf(s) ** (2 * k)) for k in (1, 2, 3)]
    p = approximate(layer, Gaussian([0.0]), 3)
    np.testing.assert_allclose(p.variance_by_degree[:, 0], true, rtol=1e-9, atol=1e-300)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(p.variance_by_degree[:1, 0] * (1 + 1e-8), true[:1], rtol=1e-9)
    gated = GLU([[s]], [0.3], [[0.0]], [2.0], [[1.0]], None, name)
    q = approximate(gated, Gaussian([0.0]), 3)
    np.testing.assert_allclose(q.variance_by_degree[:, 0], 4 * np.array(true), rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("s", [1e-4, 2e-3, 0.1])
def test_a_saturated_neuron_has_its_digits(s: float) -> None:
    """E tanh′ and E tanh″ far out are sums of e^{2jμ + 2j²s²}."""
    mean = -30.0
    p = approximate(MLP([[s]], [mean], [[1.0]], None, "tanh"), Gaussian([0.0]), 2)
    with mpmath.workdps(60):
        m, t = mpmath.mpf(mean), mpmath.mpf(s)
        g = [
            2 * sum((-1) ** (j + 1) * (2 * j) ** k * mpmath.exp(2 * j * m + 2 * j * j * t * t) for j in range(1, 4))
            for k in (1, 2)
        ]
        true = [float((g[0] * t) ** 2), float((g[1] * t * t) ** 2 / 2)]
    np.testing.assert_allclose(p.variance_by_degree[:, 0], true, rtol=1e-9, atol=0)


def on_nodes(f, inputs: Gaussian, count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Values on tensor nodes of the support, and the weights."""
    axes = support_axes(inputs.cov)
    nodes, w = tensor_rule([gauss_hermite(count)] * axes.shape[1])
    return f(inputs.mean + nodes @ axes.T), w


def variances_on_nodes(layer: MLP | GLU, inputs: Gaussian, p) -> tuple[np.ndarray, np.ndarray]:
    """E(f − p)² and Var f."""
    (f, w), (q, _) = on_nodes(layer, inputs), on_nodes(p, inputs)
    return w @ (f - q) ** 2, w @ (f - w @ f) ** 2


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("name", mostly_slow(SMOOTH, fast=("gelu", "exp")))
def test_fvu_is_that_of_tensor_nodes(name: str, rank: int) -> None:
    rng = np.random.default_rng(5)
    inputs = Gaussian(0.3 * rng.standard_normal(2), 0.5 * covariance(rng, 2, rank))
    layers = [
        MLP(*weights(rng, 2, 6, 3), activation=name),
        GLU(*gated_weights(rng, 2, 6, 3), activation=name),
    ]
    for layer in layers:
        parts = []
        for degree in range(5):
            p = approximate(layer, inputs, degree)
            residual, total = variances_on_nodes(layer, inputs, p)
            made = explained(p)
            assert_within(p.fvu, residual / total, residual / total, 1e-9)
            assert_within(made.total, total, total, 1e-11)
            assert p.total_fvu == pytest.approx(residual.sum() / total.sum(), rel=1e-9)
            assert p.variance_by_degree.shape == (degree, 3)
            parts.append(total - residual)
        steps = np.diff(parts, axis=0)
        assert_within(p.variance_by_degree, steps, total, 1e-11)


@pytest.mark.parametrize(
    ("name", "gated"),
    [
        pytest.param(name, gated, marks=() if (name, gated) in (("relu", False), ("step", True)) else pytest.mark.slow)
        for name in EVERY
        for gated in (False, True)
    ],
)
def test_the_residual_is_right_to_fourteen_digits_of_what_is_summed(name: str, gated: bool) -> None:
    """Neurons any way apart, of which the first two are almost parallel and the third is opposite to the first."""
    rng = np.random.default_rng(0)
    W, b, U, c = (
        rng.standard_normal((3, 2)),
        rng.standard_normal(3),
        rng.standard_normal((3, 2)),
        rng.standard_normal(3),
    )
    W[1] = W[0] + 1e-6 * rng.standard_normal(2)
    W[2] = -2 * W[0]
    W_out, inputs = rng.standard_normal((2, 3)), Gaussian(0.3 * rng.standard_normal(2), covariance(rng, 2, 2))
    layer = GLU(W, b, U, c, W_out, activation=name) if gated else MLP(W, b, W_out, activation=name)
    for degree in (0, 2, 5):
        p = approximate(layer, inputs, degree)
        true = truth(definition(name), W, b, inputs.mean, inputs.cov, degree, (U, c) if gated else None)
        made = explained(p)
        # first what is promised of every activation, then what not quite all of them keep
        assert_within(made.residual, true.residual(W_out), made.error, 1.0)
        if (name, gated, degree) == ("softsign", False, 5):
            pytest.xfail("σ is rounded like 1, and degree 5 leaves 1e-4 of it: 1.3e-14")
        assert_within(made.residual, true.residual(W_out), true.scale(W_out), 1e-14)


@pytest.mark.parametrize("name", mostly_slow(("relu", "step", "hardtanh"), fast=("hardtanh",)))
def test_one_input(name: str) -> None:
    """Every pair of preactivations is parallel or opposite."""
    rng = np.random.default_rng(2)
    W, b, W_out = rng.standard_normal((4, 1)), rng.standard_normal(4), rng.standard_normal((2, 4))
    inputs = Gaussian([0.2], [[1.5]])
    for degree in (0, 1, 3):
        made = explained(approximate(MLP(W, b, W_out, activation=name), inputs, degree))
        true = truth(definition(name), W, b, inputs.mean, inputs.cov, degree)
        assert_within(made.residual, true.residual(W_out), true.scale(W_out), 1e-14)


def test_layers_that_are_polynomials_leave_nothing() -> None:
    rng = np.random.default_rng(3)
    inputs = Gaussian(rng.standard_normal(5), covariance(rng, 5, 5))
    arrays = gated_weights(rng, 5, 9, 3)
    for name, degree in (("identity", 2), ("square", 3)):
        p = approximate(GLU(*arrays, activation=name), inputs, degree)
        assert (p.fvu <= 1e-14).all()
        assert approximate(GLU(*arrays, activation=name), inputs, degree - 1).total_fvu > 1e-3
    assert approximate(MLP(*weights(rng, 5, 9, 3), activation="square"), inputs, 2).total_fvu == 0


SAMPLED = [("relu", False), ("silu", True)]


def sampled_z(name: str, gated: bool, count: int) -> np.ndarray:
    """z-scores of the sampled mean square residual of every output, d = 50."""
    rng = np.random.default_rng(7)
    inputs = Gaussian(0.3 * rng.standard_normal(50), covariance(rng, 50, 40))
    arrays = gated_weights(rng, 50, 60, 4) if gated else weights(rng, 50, 60, 4)
    layer = (GLU if gated else MLP)(*arrays, activation=name)
    p = approximate(layer, inputs, 2)
    sums = np.zeros((2, 4))
    chunk = 50_000
    for seed in range(count // chunk):
        x = inputs.sample(chunk, seed)
        squares = (layer(x) - p(x)) ** 2
        sums += squares.sum(axis=0), (squares**2).sum(axis=0)
    mean, mean_square = sums / count
    return (mean - explained(p).residual) / np.sqrt((mean_square - mean**2) / count)


@pytest.mark.parametrize(("name", "gated"), [SAMPLED[0], pytest.param(*SAMPLED[1], marks=pytest.mark.slow)])
def test_a_few_samples_agree(name: str, gated: bool) -> None:
    assert np.abs(sampled_z(name, gated, 200_000)).max() < 4


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gated"), SAMPLED)
def test_ten_million_samples_agree(name: str, gated: bool) -> None:
    assert np.abs(sampled_z(name, gated, 10_000_000)).max() < 4


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["relu", "step", "gelu", "silu", "hardtanh"]),
    st.booleans(),
    st.integers(0, 4),
)
def test_fractions_are_fractions(seed: int, name: str, gated: bool, degree: int) -> None:
    rng = np.random.default_rng(seed)
    d, n = int(rng.integers(1, 5)), int(rng.integers(1, 9))
    W, U = 10.0 ** rng.uniform(-6, 4) * rng.standard_normal((2, n, d))
    b, c, W_out = rng.standard_normal(n), rng.standard_normal(n), rng.standard_normal((3, n))
    W[rng.random(n) < 0.2] = 0.0
    W[-1] = W[0]
    W_out[0] = 0.0
    W_out[2] = W_out[1]
    A = rng.standard_normal((d, int(rng.integers(1, d + 1))))
    inputs = Gaussian(rng.standard_normal(d), A @ A.T)
    layer = GLU(W, b, U, c, W_out, activation=name) if gated else MLP(W, b, W_out, activation=name)
    made = explained(approximate(layer, inputs, degree))
    assert (made.fvu >= 0).all()
    assert (made.fvu <= 1).all()
    assert 0 <= made.total_fvu <= 1
    assert (made.by_degree >= 0).all()
    assert made.fvu[0] == 0
    np.testing.assert_allclose(made.residual[1], made.residual[2], rtol=1e-12)
    less = explained(approximate(layer, inputs, degree + 1))
    assert (less.residual <= made.residual + made.error + less.error).all()
    np.testing.assert_allclose(less.total, made.total, rtol=1e-9, atol=1e-12 * made.total.max())
    if degree == 0:
        varies = made.total > 0
        np.testing.assert_allclose(made.fvu[varies], 1.0)


def test_constant_layers_leave_nothing() -> None:
    p = approximate(
        MLP(np.zeros((3, 2)), [0.5, -1.0, 2.0], np.ones((2, 3)), activation="silu"), Gaussian([0.0, 0.0]), 2
    )
    np.testing.assert_array_equal(p.fvu, [0.0, 0.0])
    assert p.total_fvu == 0


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("n", mostly_slow((257, 600), fast=(257,)))
def test_blocks_are_the_sum_over_pairs(gated: bool, n: int) -> None:
    """Several blocks of neurons against the same neurons one by one, as outputs of their own, and all pairs."""
    rng = np.random.default_rng(11)
    arrays = gated_weights(rng, 4, n, 2) if gated else weights(rng, 4, n, 2)
    kind = GLU if gated else MLP
    inputs = Gaussian(rng.standard_normal(4), covariance(rng, 4, 4))
    layer = kind(*arrays, activation="relu")
    made = explained(approximate(layer, inputs, 2))
    order = rng.permutation(n)
    mixed = [a[:, order] if a.shape == (2, n) else a[order] if len(a) == n else a for a in arrays]
    again = explained(approximate(kind(*mixed, activation="relu"), inputs, 2))
    np.testing.assert_allclose(again.residual, made.residual, rtol=1e-11)
    np.testing.assert_allclose(again.by_degree, made.by_degree, rtol=1e-11)
    x = inputs.sample(100_000, 0)
    squares = (layer(x) - approximate(layer, inputs, 2)(x)) ** 2
    assert (np.abs(squares.mean(axis=0) - made.residual) < 4 * squares.std(axis=0) / np.sqrt(len(x))).all()


def test_outputs_of_a_glu_without_a_matrix_are_its_neurons() -> None:
    rng = np.random.default_rng(12)
    W, b, U, c, *_ = gated_weights(rng, 4, 7, 2)
    inputs = Gaussian(rng.standard_normal(4), covariance(rng, 4, 3))
    alone = explained(approximate(GLU(W, b, U, c, activation="gelu"), inputs, 2))
    matrix = explained(approximate(GLU(W, b, U, c, np.eye(7), activation="gelu"), inputs, 2))
    np.testing.assert_allclose(alone.residual, matrix.residual, rtol=1e-13)
    np.testing.assert_allclose(alone.by_degree, matrix.by_degree, rtol=1e-12)


def test_scales_and_signs_of_outputs() -> None:
    rng = np.random.default_rng(13)
    W, b, W_out, _ = weights(rng, 3, 8, 2)
    inputs = Gaussian(rng.standard_normal(3), covariance(rng, 3, 3))
    fvu = approximate(MLP(W, b, W_out, activation="tanh"), inputs, 1).fvu
    for scale in (-1.0, 1e-150, 1e150):
        np.testing.assert_allclose(
            approximate(MLP(W, b, scale * W_out, activation="tanh"), inputs, 1).fvu, fvu, rtol=1e-13
        )
    single = approximate(MLP(W.astype(np.float32), b, W_out.astype(np.float32), activation="tanh"), inputs, 1)
    np.testing.assert_allclose(single.fvu, fvu, rtol=1e-5)


def test_a_variance_beyond_double_precision_is_refused() -> None:
    p = approximate(MLP([[5.0]], None, [[1.0]], activation="exp"), Gaussian([0.0]), 2)
    assert p.total_fvu == pytest.approx(1 - (25 + 25**2 / 2) / np.expm1(25), rel=1e-12)
    with pytest.raises(OverflowError, match="beyond double precision"):
        _ = approximate(MLP([[25.0]], None, [[1.0]], activation="exp"), Gaussian([0.0]), 2).fvu


def test_the_bar_is_drawn_on_request_and_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numeric.progress._PATIENCE", -1.0)
    monkeypatch.setattr("numeric.progress._EVERY", -1.0)
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("work", 4, show=True) as bar:
        for _ in range(4):
            bar.advance()
    text = terminal.getvalue()
    assert "work" in text
    assert " 25%" in text
    assert "100%" in text
    assert text.endswith("\r\033[K")
    quiet = io.StringIO()
    monkeypatch.setattr(sys, "stderr", quiet)
    with Progress("work", 4) as bar:
        bar.advance(4)
    assert quiet.getvalue() == ""
