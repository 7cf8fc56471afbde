"""Eigenvectors and singular vectors, against Hermite parts integrated on tensor nodes."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest

from numeric import GLU, MLP, Gaussian, approximate, spectral
from numeric.spectral import linear_part, spectrum, svd
from tests.oracle.tensor_nodes import gauss_hermite, support_axes, tensor_rule

D_OUT = 3


def layer_of(kind: str, d: int, n_hidden: int, seed: int = 0) -> MLP | GLU:
    rng = np.random.default_rng(seed)
    W, V = rng.normal(size=(2, n_hidden, d)) * 0.6 / np.sqrt(d)
    b, c = rng.normal(size=(2, n_hidden))
    W_out, b_out = rng.normal(size=(D_OUT, n_hidden)), rng.normal(size=D_OUT)
    if kind == "mlp":
        return MLP(W, b, W_out, b_out, activation="sin")
    return GLU(W, b, V, c, W_out, b_out, activation="gelu")


def inputs_of(form: str, d: int, seed: int = 1) -> Gaussian:
    rng = np.random.default_rng(seed)
    mean, A = rng.normal(size=d), rng.normal(size=(d, d))
    match form:
        case "full":
            return Gaussian(mean, A @ A.T)
        case "singular":
            return Gaussian(mean, A[:, :-1] @ A[:, :-1].T)
        case "factor":
            return Gaussian.from_factor(mean, A[:, :-1])
        case "diagonal":
            return Gaussian(mean, rng.uniform(0.5, 2.0, d))
        case _:
            return Gaussian(mean)


FORMS = ("full", "singular", "factor", "diagonal", "identity")


def hermite_parts(f: Callable[[np.ndarray], np.ndarray], inputs: Gaussian) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E[f ξ] and ½ E[f (ξξᵀ − I)] for every output, in coordinates x = m + R ξ of the support, and that R."""
    axes = support_axes(inputs.cov)
    nodes, weights = tensor_rule([gauss_hermite(60)] * axes.shape[1])
    values = f(inputs.mean + nodes @ axes.T)
    linear = np.einsum("n,no,ni->oi", weights, values, nodes)
    pairs = nodes[:, :, None] * nodes[:, None, :] - np.eye(axes.shape[1])
    return linear, 0.5 * np.einsum("n,no,nij->oij", weights, values, pairs), axes


def assert_eigenvectors(found: spectral.Spectrum, A: np.ndarray, axes: np.ndarray, tolerance: float = 1e-10) -> None:
    """The eigenvalues of A, and vectors R q with A q = λ q."""
    expected = np.linalg.eigvalsh(A)
    expected = expected[np.argsort(-np.abs(expected))][: len(found.values)]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.values, expected, atol=tolerance * scale)
    q = np.linalg.lstsq(axes, found.vectors.T, rcond=None)[0]
    np.testing.assert_allclose(axes @ q, found.vectors.T, atol=1e-9 * np.abs(found.vectors).max())
    np.testing.assert_allclose(A @ q, q * found.values, atol=1e3 * tolerance * scale)
    np.testing.assert_allclose(np.linalg.norm(q, axis=0), 1, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["mlp", "glu"])
def test_whitened_eigenvectors_are_those_of_the_hermite_part(kind: str, form: str) -> None:
    d = 3
    layer, inputs = layer_of(kind, d, 5), inputs_of(form, d)
    _, quadratic, axes = hermite_parts(layer, inputs)
    for degree in (2, 4):
        p = approximate(layer, inputs, degree)
        for output in range(D_OUT):
            assert_eigenvectors(spectrum(p, output, whitened=True), quadratic[output], axes)


@pytest.mark.parametrize("kind", ["mlp", "glu"])
def test_a_direction_in_output_space_is_a_sum_of_outputs(kind: str) -> None:
    layer, inputs = layer_of(kind, 3, 5), inputs_of("full", 3)
    _, quadratic, axes = hermite_parts(layer, inputs)
    p = approximate(layer, inputs, 2)
    direction = np.array([1.0, -1.0, 0.5])
    assert_eigenvectors(spectrum(p, direction, whitened=True), np.tensordot(direction, quadratic, 1), axes)
    np.testing.assert_array_equal(spectrum(p, [0, 1, 0]).values, spectrum(p, 1).values)


@pytest.mark.parametrize("kind", ["mlp", "glu"])
def test_raw_eigenvectors_are_unit_vectors_of_input_space(kind: str) -> None:
    """R A Rᵀ whitened back: for Σ of full rank A is determined."""
    layer, inputs = layer_of(kind, 3, 5), inputs_of("full", 3)
    _, quadratic, axes = hermite_parts(layer, inputs)
    inverse = np.linalg.inv(axes)
    for output in range(D_OUT):
        found = spectrum(approximate(layer, inputs, 3), output)
        assert_eigenvectors(found, inverse.T @ quadratic[output] @ inverse, np.eye(3), 1e-9)


def test_the_assertion_notices_a_wrong_eigenvalue() -> None:
    layer, inputs = layer_of("mlp", 3, 5), inputs_of("full", 3)
    _, quadratic, axes = hermite_parts(layer, inputs)
    found = spectrum(approximate(layer, inputs, 2), 0, whitened=True)
    with pytest.raises(AssertionError):
        assert_eigenvectors(found, 1.000001 * quadratic[0], axes)
    with pytest.raises(AssertionError):
        assert_eigenvectors(found, quadratic[1], axes)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["mlp", "glu"])
def test_the_linear_part(kind: str, form: str) -> None:
    layer, inputs = layer_of(kind, 3, 5), inputs_of(form, 3)
    linear, _, axes = hermite_parts(layer, inputs)
    for degree in (1, 3):
        p = approximate(layer, inputs, degree)
        np.testing.assert_allclose(linear_part(p) @ axes, linear, atol=1e-11)
        whitened = linear_part(p, whitened=True)
        np.testing.assert_allclose(whitened @ whitened.T, linear @ linear.T, atol=1e-11)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["mlp", "glu"])
def test_variances_add_up(kind: str, form: str) -> None:
    d = 12
    p = approximate(layer_of(kind, d, 20), inputs_of(form, d), 3)
    for output in range(D_OUT):
        found = spectrum(p, output, whitened=True)
        assert found.complete
        assert found.variance.sum() == pytest.approx(p.variance_by_degree[1, output], rel=1e-12)
    np.testing.assert_allclose((linear_part(p, whitened=True) ** 2).sum(axis=1), p.variance_by_degree[0], rtol=1e-12)
    values = svd(p, whitened=True).values
    assert (values**2).sum() == pytest.approx(p.variance_by_degree[0].sum(), rel=1e-12)


def test_singular_vectors() -> None:
    p = approximate(layer_of("glu", 6, 9), inputs_of("singular", 6), 2)
    linear = linear_part(p)
    found = svd(p)
    np.testing.assert_allclose((found.outputs.T * found.values) @ found.vectors, linear, atol=1e-13)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(3), atol=1e-13)
    assert (np.diff(found.values) <= 0).all()
    np.testing.assert_array_equal(svd(p, 2).vectors, found.vectors[:2])
    whitened = svd(p, whitened=True)
    precision = np.linalg.pinv(p.inputs.cov)
    np.testing.assert_allclose(whitened.vectors @ precision @ whitened.vectors.T, np.eye(3), atol=1e-9)


@pytest.mark.parametrize("whitened", [False, True])
@pytest.mark.parametrize("kind", ["mlp", "glu"])
def test_lanczos_is_the_dense_decomposition(kind: str, whitened: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    d = 256
    p = approximate(layer_of(kind, d, 400), inputs_of("full", d), 2)
    dense = spectrum(p, 1, 8, whitened=whitened)
    monkeypatch.setattr(spectral, "_DENSE", 0)
    lanczos = spectrum(p, 1, 8, whitened=whitened)
    scale = np.abs(dense.values).max()
    np.testing.assert_allclose(lanczos.values, dense.values, atol=1e-8 * scale)
    sign = np.sign(np.einsum("kd,kd->k", lanczos.vectors, dense.vectors))
    np.testing.assert_allclose(sign[:, None] * lanczos.vectors, dense.vectors, atol=1e-8 * np.abs(dense.vectors).max())
    assert not lanczos.complete


@pytest.mark.parametrize("kind", ["mlp", "glu"])
def test_contributions_of_neurons_add_up_to_the_eigenvalue(kind: str) -> None:
    p = approximate(layer_of(kind, 5, 7), inputs_of("full", 5), 2)
    found = spectrum(p, 2)
    for index, value in enumerate(found.values):
        neurons, contributions = found.neurons(index, 7)
        assert sorted(neurons) == list(range(7))
        assert contributions.sum() == pytest.approx(value, rel=1e-12, abs=1e-12)
        assert (np.diff(np.abs(contributions)) <= 0).all()
    alone = layer_of(kind, 5, 7)
    W_out = np.zeros_like(alone.W_out)
    neurons, contributions = found.neurons(0, 1)
    W_out[2, neurons[0]] = alone.W_out[2, neurons[0]]
    single = (
        MLP(alone.W_in, alone.b_in, W_out, None, activation=alone.activation)
        if isinstance(alone, MLP)
        else GLU(alone.W_gate, alone.b_gate, alone.W_up, alone.b_up, W_out, None, activation=alone.activation)
    )
    A = approximate(single, p.inputs, 2).about(p.inputs.mean).quadratic[2]
    assert found.vectors[0] @ A @ found.vectors[0] == pytest.approx(contributions[0], rel=1e-10)


def test_a_glu_without_output_matrix() -> None:
    rng = np.random.default_rng(3)
    glu = GLU(0.2 * rng.normal(size=(4, 3)), None, rng.normal(size=(4, 3)), None, activation="gelu")
    p = approximate(glu, inputs_of("full", 3), 2)
    linear, quadratic, axes = hermite_parts(glu, p.inputs)
    np.testing.assert_allclose(linear_part(p) @ axes, linear, atol=1e-11)
    assert_eigenvectors(spectrum(p, 3, whitened=True), quadratic[3], axes)


def test_float32_weights_and_repr() -> None:
    layer = layer_of("mlp", 4, 6)
    single = MLP(
        layer.W_in.astype(np.float32), layer.b_in, layer.W_out.astype(np.float32), layer.b_out, layer.activation
    )
    p = approximate(single, inputs_of("full", 4), 2)
    found = spectrum(p, 0)
    assert found.values.dtype == np.float64
    np.testing.assert_allclose(found.values, spectrum(approximate(layer, p.inputs, 2), 0).values, rtol=1e-4, atol=1e-6)
    assert repr(found).startswith("Spectrum(4 eigenvalues, raw: ")
    assert repr(svd(p)).startswith("SingularVectors(")
    assert np.array_equal(pickle.loads(pickle.dumps(found)).values, found.values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: spectrum(approximate(p.layer, p.inputs, 1), 0), "degree 1 has no quadratic part; .* degree=2"),
        (lambda p: svd(approximate(p.layer, p.inputs, 0)), "degree 0 has no linear part"),
        (lambda p: spectrum(p, 3), "output: expected 0 … 2"),
        (lambda p: spectrum(p, [1.0, 2.0]), "output: expected"),
        (lambda p: spectrum(p, [1.0, np.nan, 0.0]), "output"),
        (lambda p: spectrum(p, 0, 5), "there are 4 eigenvalues, got 5"),
        (lambda p: spectrum(p, 0, 0), "there are 4 eigenvalues, got 0"),
        (lambda p: svd(p, 4), "there are 3 singular values"),
        (lambda p: spectrum(p, 0).variance, "whitened=True"),
    ],
)
def test_bad_input(call: Callable, message: str) -> None:
    p = approximate(layer_of("mlp", 4, 6), inputs_of("full", 4), 2)
    with pytest.raises(ValueError, match=message):
        call(p)


def test_what_is_no_polynomial() -> None:
    with pytest.raises(TypeError, match=r"numeric\.approximate"):
        spectrum(layer_of("mlp", 4, 6), 0)  # pyright: ignore[reportArgumentType]
