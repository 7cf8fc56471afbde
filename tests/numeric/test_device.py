"""Layers whose weights are on a device: the same polynomials as NumPy's, made there, and errors that say what to do.

array_api_strict has a device whose arrays NumPy cannot read and refuses what the standard does not have; PyTorch's
arrays on the CPU are taken for arrays on a device. No GPU is needed.
"""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest

import numeric as nm
from numeric import variance
from numeric.conditional import covariances
from numeric.device import arrays, pairs, projections
from numeric.layers import Layer
from numeric.variance import explained
from tests.numeric.problems import covariance, gated_weights, weights

D, N, OUT = 5, 23, 3
DEVICE = strict.Device("device1")
COVARIANCES = ("identity", "diagonal", "factor", "full", "singular", "narrow")


def to_strict(array: np.ndarray) -> Any:
    return strict.asarray(array, device=DEVICE)


def to_torch(array: np.ndarray) -> Any:
    return pytest.importorskip("torch").asarray(array.copy())


@pytest.fixture(params=["strict", pytest.param("torch", marks=pytest.mark.torch)])
def to(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[np.ndarray], Any]:
    """NumPy's arrays to a library, whose arrays count as being on a device."""
    if request.param == "strict":
        return to_strict
    pytest.importorskip("torch")
    monkeypatch.setattr(arrays, "_on_cpu", lambda _: False)
    return to_torch


def gaussian(kind: str) -> nm.Gaussian:
    rng = np.random.default_rng(1)
    mean = rng.standard_normal(D)
    match kind:
        case "identity":
            return nm.Gaussian(mean)
        case "diagonal":
            return nm.Gaussian(mean, [1.0, 2.0, 0.0, 0.5, 1e-3])
        case "factor":
            return nm.Gaussian.from_factor(mean, rng.standard_normal((D, 2)))
        case "full":
            return nm.Gaussian(mean, covariance(rng, D, D))
        case "singular":
            return nm.Gaussian(mean, covariance(rng, D, 3))
    return nm.Gaussian(mean, 1e-6 * covariance(rng, D, D))


def parts_of(kind: type[Layer], dtype: type = np.float64) -> list[np.ndarray]:
    """Weights with a dead neuron, one that does not vary where Σ has no fourth axis, and two that nearly agree."""
    rng = np.random.default_rng(2)
    made = list(gated_weights(rng, D, N, OUT) if kind is nm.GLU else weights(rng, D, N, OUT))
    made[0][3], made[0][4] = 0.0, np.array([0.0, 0.0, 1.0, 0.0, 0.0])
    made[0][6] = made[0][5] * (1 + 1e-5 * rng.standard_normal(D))
    return [part.astype(dtype) for part in made]


def both(kind: type[Layer], parts: list[Any], to: Callable, activation: str) -> tuple[Any, Any]:
    """The layer in NumPy and on the device."""
    moved = [None if part is None else to(part) for part in parts]
    return kind(*parts, activation=activation), kind(*moved, activation=activation)


def same(found: Any, true: np.ndarray, tolerance: float, like: Any) -> None:
    """An array where another is, and equal to NumPy's relative to the largest entry."""
    assert type(found) is type(like)
    assert found.device == like.device
    values = arrays.host(found)
    assert values.shape == true.shape
    scale = np.abs(true).max(initial=0.0)
    assert np.abs(values - true).max(initial=0.0) <= tolerance * scale


def assert_equal(p: Any, q: Any, x: np.ndarray, to: Callable) -> None:
    """q, on the device, is p in all that both have."""
    like = q.hermite
    assert (q.degree, q.d_in, q.d_out, q.n_hidden) == (p.degree, p.d_in, p.d_out, p.n_hidden)
    for name in ("preactivation_mean", "preactivation_std", "hermite"):
        same(getattr(q, name), getattr(p, name), 1e-13, like)
    still = arrays.host(q.preactivation_std) == 0
    np.testing.assert_array_equal(still, p.preactivation_std == 0)
    if isinstance(p, nm.GatedPolynomial):
        for name in ("up_mean", "coupling"):
            same(getattr(q, name), getattr(p, name), 1e-13, like)
    same(q(to(x)), p(x), 1e-12, like)
    same(q.fvu, p.fvu, 1e-12, like)
    same(q.variance_by_degree, p.variance_by_degree, 1e-12, like)
    assert q.total_fvu == pytest.approx(p.total_fvu, rel=1e-12)


@pytest.mark.parametrize("kind", [nm.MLP, nm.GLU])
@pytest.mark.parametrize("form", COVARIANCES)
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_polynomials_are_those_of_numpy(to: Callable, kind: type[Layer], form: str, activation: str) -> None:
    inputs = gaussian(form)
    layer, moved = both(kind, parts_of(kind), to, activation)
    for degree in (0, 1, 3):
        p, q = nm.approximate(layer, inputs, degree), nm.approximate(moved, inputs, degree)
        assert_equal(p, q, inputs.sample(7, 0), to)


def without(parts: list[np.ndarray], *which: int) -> list[Any]:
    return [None if i in which else part for i, part in enumerate(parts)]


@pytest.mark.parametrize(("kind", "missing"), [(nm.MLP, (1, 3)), (nm.GLU, (1,)), (nm.GLU, (3, 4, 5))])
def test_biases_and_the_output_matrix_may_be_missing(to: Callable, kind: type[Layer], missing: tuple[int, ...]) -> None:
    inputs = gaussian("full")
    layer, moved = both(kind, without(parts_of(kind), *missing), to, "gelu")
    p, q = nm.approximate(layer, inputs, 2), nm.approximate(moved, inputs, 2)
    assert_equal(p, q, inputs.sample(7, 0), to)
    assert (q.W_out is None) == (p.W_out is None)
    assert (q.b_out is None) == (p.b_out is None)


@pytest.mark.parametrize("kind", [nm.MLP, nm.GLU])
def test_single_precision_weights(to: Callable, kind: type[Layer]) -> None:
    inputs = gaussian("full")
    layer, moved = both(kind, parts_of(kind, np.float32), to, "silu")
    p, q = nm.approximate(layer, inputs, 2), nm.approximate(moved, inputs, 2)
    assert_equal(p, q, inputs.sample(7, 0), to)
    x = inputs.sample(7, 0).astype(np.float32)
    for f, g in ((layer, moved), (p, q)):
        values = g(to(x))
        assert str(values.dtype).endswith("float32")
        same(values, f(x), 1e-5, q.hermite)


@pytest.mark.parametrize("kind", [nm.MLP, nm.GLU])
def test_neurons_that_single_precision_cannot_follow(to: Callable, kind: type[Layer]) -> None:
    inputs = nm.Gaussian(gaussian("full").mean, 1e-16 * np.eye(D))
    layer, moved = both(kind, parts_of(kind, np.float32), to, "tanh")
    p, q = nm.approximate(layer, inputs, 2), nm.approximate(moved, inputs, 2)
    assert p._lost_in_single.any()
    np.testing.assert_array_equal(q._lost_in_single, p._lost_in_single)
    x = inputs.sample(7, 0).astype(np.float32)
    same(q(to(x)), p(x), 1e-5, q.hermite)


@pytest.mark.parametrize("kind", [nm.MLP, nm.GLU])
def test_layers_are_evaluated_where_they_are(to: Callable, kind: type[Layer]) -> None:
    layer, moved = both(kind, parts_of(kind), to, "relu")
    x = np.random.default_rng(0).standard_normal((2, 4, D))
    same(moved(to(x)), layer(x), 1e-14, to(x))
    same(moved(to(x[0, 0])), layer(x[0, 0]), 1e-14, to(x))
    assert moved(to(np.ones(D, dtype=np.int64))).dtype == to(x).dtype
    x[0, 0, 0] = np.nan
    assert np.isnan(arrays.host(moved(to(x)))).any(axis=-1).sum() == 1


def test_weights_are_not_copied(to: Callable) -> None:
    parts = [to(part) for part in parts_of(nm.MLP)]
    layer = nm.MLP(*parts)
    p = nm.approximate(layer, gaussian("full"))
    if to is to_strict:
        assert layer.W_in is parts[0]
    else:
        assert layer.W_in.data_ptr() == parts[0].data_ptr()
    assert p.W_in is layer.W_in


@pytest.mark.torch
def test_arrays_on_the_cpu_become_views_of_numpy() -> None:
    torch = pytest.importorskip("torch")
    W = torch.nn.Parameter(torch.ones((2, 3)))
    layer = nm.MLP(W, None, torch.ones((1, 2)))
    assert isinstance(layer.W_in, np.ndarray)
    assert layer.W_in.dtype == np.float32
    assert np.shares_memory(layer.W_in, W.detach().numpy())
    assert layer.cpu() is layer
    assert isinstance(nm.MLP(*(strict.asarray(part) for part in parts_of(nm.MLP))).W_in, np.ndarray)


@pytest.mark.torch
def test_parameters_and_bfloat16_of_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(arrays, "_on_cpu", lambda _: False)
    parts = [torch.nn.Parameter(torch.asarray(part).to(torch.bfloat16)) for part in parts_of(nm.GLU)]
    layer = nm.GLU(*parts, activation="silu")
    assert layer.W_up.dtype == torch.bfloat16
    assert not layer.W_up.requires_grad
    assert layer.cpu().W_up.dtype == np.float32
    p, q = nm.approximate(layer.cpu(), gaussian("full")), nm.approximate(layer, gaussian("full"))
    assert q.hermite.dtype == torch.float64
    same(q.hermite, p.hermite, 1e-13, q.hermite)
    same(q.fvu, p.fvu, 1e-12, q.hermite)
    x = torch.zeros((4, D), dtype=torch.bfloat16)
    for f in (q, layer):
        assert f(x).dtype == torch.bfloat16


# The CPU's share


@pytest.mark.parametrize("kind", [nm.MLP, nm.GLU])
def test_cpu_gives_the_ordinary_polynomial(to: Callable, kind: type[Layer], tmp_path: Path) -> None:
    inputs = gaussian("full")
    layer, moved = both(kind, parts_of(kind), to, "gelu")
    p, q = nm.approximate(layer, inputs, 2), nm.approximate(moved, inputs, 2)
    assert p.cpu() is p
    made = q.cpu()
    assert q.cpu() is made
    assert type(made) is type(p)
    assert isinstance(made.W_out, np.ndarray)
    np.testing.assert_allclose(made.linear, p.linear, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(nm.svd(q).values, nm.svd(p).values, rtol=1e-11)
    np.testing.assert_allclose(nm.spectrum(q, 0).values, nm.spectrum(p, 0).values, rtol=1e-9, atol=1e-13)
    path = tmp_path / "polynomial"
    q.save(path)
    loaded: Any = nm.load(path)
    np.testing.assert_array_equal(loaded.hermite, made.hermite)
    moved.save(path)
    assert isinstance(nm.load(path), kind)


@pytest.mark.parametrize(("kind", "missing"), [(nm.MLP, ()), (nm.MLP, (1, 3)), (nm.GLU, ()), (nm.GLU, (3, 4, 5))])
def test_coefficients_are_made_where_the_weights_are(to: Callable, kind: type[Layer], missing: tuple[int, ...]) -> None:
    inputs = gaussian("full")
    layer, moved = both(kind, without(parts_of(kind, np.float32), *missing), to, "gelu")
    for degree in (0, 1, 3):
        p, q = nm.approximate(layer, inputs, degree), nm.approximate(moved, inputs, degree)
        for k in range(5):
            same(q.coefficient(k), p.coefficient(k), 1e-11, q.hermite)
        for name in ("constant", "linear", "quadratic"):
            same(getattr(q, name), getattr(p, name), 1e-11, q.hermite)
        x = inputs.sample(6, 0).reshape(2, 3, D)
        assert_dense_equal(p.about(inputs.mean), q.about(to(inputs.mean)), x, to)
    with pytest.raises(nm.CoefficientsTooLarge, match="allowed by max_bytes"):
        q.coefficient(2, max_bytes=100)


def assert_dense_equal(p: nm.DensePolynomial, q: nm.DensePolynomial, x: np.ndarray, to: Callable) -> None:
    """q, on the device, is p in all that both have."""
    like = q.coefficient(0)
    assert (q.degree, q.d_in, q.d_out) == (p.degree, p.d_in, p.d_out)
    for k in range(p.degree + 2):
        same(q.coefficient(k), p.coefficient(k), 1e-11, like)
    same(q(to(x)), p(x), 1e-11, like)
    same(q(to(x.astype(np.float32))), p(x.astype(np.float32)), 1e-11, like)
    other = q.about(x[0, 0])
    for k in range(p.degree + 2):
        same(other.coefficient(k), p.about(x[0, 0]).coefficient(k), 1e-11, like)
    assert type(q.cpu().constant) is np.ndarray
    assert q.cpu().cpu() is not q
    assert repr(q).startswith(repr(p)[:-1] + ", on ")


def test_dense_polynomials_live_on_a_device(to: Callable, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    tensors = [rng.standard_normal((2, *(3,) * k)) for k in range(4)]
    p, q = nm.DensePolynomial(np.ones(3), tensors), nm.DensePolynomial(to(np.ones(3)), list(map(to, tensors)))
    x = rng.standard_normal((1, 4, 3))
    assert_dense_equal(p, q, x, to)
    wrong = nm.DensePolynomial(np.ones(3), [1.001 * t for t in tensors])
    with pytest.raises(AssertionError):
        assert_dense_equal(wrong, q, x, to)
    with pytest.raises(ValueError, match="x: expected an array where the weights are"):
        q(x)
    q.save(tmp_path / "p")
    loaded: Any = nm.load(tmp_path / "p")
    np.testing.assert_array_equal(loaded.coefficient(3), p.coefficient(3))
    with pytest.raises(ValueError, match="expected all arrays in one library and on one device"):
        nm.DensePolynomial(np.ones(3), [tensors[0], to(tensors[1])])
    not_finite = tensors[1].copy()
    not_finite[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"coefficients\[1\]"):
        nm.DensePolynomial(np.ones(3), [to(tensors[0]), to(not_finite)])


def test_inputs_on_a_device_are_copied(to: Callable) -> None:
    """A Gaussian is NumPy's, wherever its mean and covariance come from."""
    inputs, rng = gaussian("full"), np.random.default_rng(4)
    X = rng.standard_normal((40, D))
    for found, expected in (
        (nm.Gaussian(to(inputs.mean), to(inputs.cov)), inputs),
        (nm.Gaussian.from_samples(to(X)), nm.Gaussian.from_samples(X)),
        (nm.Gaussian.from_factor(to(inputs.mean), to(X.T)), nm.Gaussian.from_factor(inputs.mean, X.T)),
    ):
        np.testing.assert_array_equal(found.cov, expected.cov)
        np.testing.assert_array_equal(found.mean, expected.mean)
    labels = np.arange(40) % 2
    for found, expected in (
        (nm.GaussianMixture.from_samples(to(X), labels), nm.GaussianMixture.from_samples(X, labels)),
        (
            nm.GaussianMixture(to(np.ones(1)), to(X[:1]), to(X[1:2] ** 2), "diag"),
            nm.GaussianMixture([1], X[:1], X[1:2] ** 2, "diag"),
        ),
    ):
        np.testing.assert_array_equal(found.cov, expected.cov)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_moments_are_where_the_arrays_are(to: Callable, dtype: type) -> None:
    rng = np.random.default_rng(5)
    mean, factor = rng.standard_normal((4, 3)).astype(dtype), rng.standard_normal((4, 3, 3))
    cov = (factor @ factor.transpose(0, 2, 1)).astype(dtype)
    cov = 0.5 * (cov + cov.transpose(0, 2, 1))
    y, std, rho = rng.standard_normal((2, 5)).astype(dtype), np.ones(5, dtype), np.linspace(-1, 1, 5).astype(dtype)
    for function, given in (
        (lambda *arrays: nm.gaussian_covariance("relu", *arrays), (y[0], std, y[1], 0 * std, rho)),
        (lambda *arrays: nm.gaussian_covariance("silu", *arrays), (y[0], std, y[1], std, rho)),
        (lambda *arrays: nm.gaussian_moment(*arrays, (2, 1, 0)), (mean, cov)),
        (lambda *arrays: nm.gaussian_moments(*arrays, (2, 1, 1)), (mean, cov)),
        (nm.hermite_master_coefficients, (mean, cov, 0.5 * mean)),
        (nm.master_coefficients, (mean[:, 0], 99 * cov[:, 0, 0] + 99, mean, cov, cov[:, 0])),
        (lambda *arrays: nm.hermite_coefficient_gradients("gelu", *arrays)[1], (y, std)),
        (lambda *arrays: nm.expected_derivative_gradients("gelu", *arrays)[0], (y, std)),
    ):
        there = [to(array) for array in given]
        found, known = function(*there), function(*given)
        same(found, known, 1e-5 if dtype == np.float32 else 1e-12, there[0])
        assert arrays.host(found).dtype == dtype
        # a number or a NumPy array joins the others
        same(function(*there[:-1], given[-1]), known, 1e-5 if dtype == np.float32 else 1e-12, there[0])
    with pytest.raises(ValueError, match="rho has 1 bad of 1 entries"):
        nm.gaussian_covariance("relu", to(y[0]), 1.0, 0.0, 1.0, 1.5)
    with pytest.raises(ValueError, match="expected a covariance, symmetric"):
        nm.gaussian_moment(to(mean), to(-cov), (1, 1, 1))


@pytest.mark.torch
def test_arrays_are_lent_to_another_library_on_the_same_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """By DLPack, without a copy; here on the CPU, which is taken for a GPU."""
    torch = pytest.importorskip("torch")
    array, other = torch.arange(3.0), strict.zeros(0)
    assert type(arrays.brought(array, other)) is type(other)  # both are on the CPU, but not of one library
    monkeypatch.setattr(arrays, "_on_cpu", lambda _: False)
    assert arrays.brought(array, torch.zeros(0)) is array
    assert type(arrays.brought(array, other)) is type(other)  # by way of the CPU
    monkeypatch.setattr(arrays, "_gpu", lambda _: 0)
    monkeypatch.setattr(arrays, "numpy_of", None)
    lent = arrays.brought(array, other)
    assert type(lent) is type(other)
    array[0] = 7.0
    assert float(lent[0]) == 7.0
    assert arrays.brought(array.to(torch.bfloat16), other).dtype == strict.float32


def test_a_variance_that_is_known_goes_along(to: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    q = nm.approximate(both(nm.MLP, parts_of(nm.MLP), to, "relu")[1], gaussian("full"))
    known = arrays.host(q.fvu)
    monkeypatch.setattr(variance, "explained", None)
    np.testing.assert_array_equal(q.cpu().fvu, known)


def test_representations_say_where(to: Callable) -> None:
    layer, moved = both(nm.MLP, parts_of(nm.MLP), to, "relu")
    assert repr(moved) == repr(layer)[:-1] + f", on {moved.W_in.device})"
    p, q = nm.approximate(layer, gaussian("full")), nm.approximate(moved, gaussian("full"))
    assert repr(q) == repr(p)[:-1] + f", on {moved.W_in.device})"


def test_the_covariance_is_moved_once_and_forgotten(to: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    moves = []
    monkeypatch.setattr(projections, "moved", lambda a, other: moves.append(a.shape) or arrays.moved(a, other))
    inputs = nm.Gaussian(np.zeros(D), np.eye(D))
    layer = both(nm.MLP, parts_of(nm.MLP), to, "relu")[1]
    for degree in (1, 2):
        _ = nm.approximate(layer, inputs, degree).fvu
    assert moves.count((D, D)) == 1
    ending = weakref.ref(inputs.covariance)
    del inputs
    gc.collect()
    assert ending() is None


# What is rounding is 0, as on the CPU


@pytest.mark.parametrize("form", ["full", "factor"])
def test_the_noise_of_cancelled_rows_counts_as_none(to: Callable, form: str) -> None:
    rng = np.random.default_rng(3)
    F = rng.standard_normal((8, 2))
    along = np.linalg.svd(F)[0][:, 2:].T @ np.diag(np.ones(8))  # rows that F takes to 0
    W = np.concatenate([along * 10.0 ** rng.integers(-200, 200, (6, 1)), along + 1e-12, along + 1e-7])
    inputs = nm.Gaussian.from_factor(np.zeros(8), F) if form == "factor" else nm.Gaussian(np.zeros(8), F @ F.T)
    true = inputs.project(W)[1]
    found = arrays.host(inputs.project(to(W))[1])
    assert 0 < (true == 0).sum() < len(W)
    np.testing.assert_array_equal(found[true == 0], 0.0)
    np.testing.assert_allclose(found[-6:], true[-6:], rtol=0.05)


def test_weights_of_any_size(to: Callable) -> None:
    W = np.random.default_rng(4).standard_normal((6, D)) * 10.0 ** np.array([[-300], [-160], [0], [5], [160], [300]])
    for form in COVARIANCES:
        true, found = gaussian(form).project(W), gaussian(form).project(to(W))
        np.testing.assert_allclose(arrays.host(found[1]), true[1], rtol=1e-14)
        pair = [
            gaussian(form).project_pairs(*given)
            for given in ((W, None, W[::-1], None), (to(W), None, to(W[::-1].copy()), None))
        ]
        for a, b in zip(*pair):
            np.testing.assert_allclose(arrays.host(b), a, rtol=1e-11, atol=1e-12 * np.abs(a).min())


# Blocks of pairs


@pytest.mark.parametrize("kind", [nm.MLP, nm.GLU])
def test_several_blocks_and_pairs_that_are_integrated(
    to: Callable, kind: type[Layer], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, moved = both(kind, parts_of(kind), to, "relu")
    p = nm.approximate(layer, gaussian("full"), 2)
    integrated = []

    def spied(*arguments: Any) -> np.ndarray:
        integrated.append(len(arguments[-1]))
        return covariances(*arguments)

    monkeypatch.setattr(variance, "covariances", spied)
    monkeypatch.setattr(pairs, "_LARGEST", 8)
    q = nm.approximate(moved, gaussian("full"), 2)
    made, true = explained(q), explained(p)
    assert sum(integrated) >= 2
    for name in ("by_degree", "residual", "error"):
        np.testing.assert_allclose(getattr(made, name), getattr(true, name), rtol=1e-12)


def test_blocks_are_as_large_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    W = np.broadcast_to(0.0, (5000, 4096))
    sizes = []
    for free in (2**37, 2**28, 2**27):
        monkeypatch.setattr(pairs, "free_bytes", lambda _, free=free: free)
        sizes.append(pairs.block_size(W, 4096, 0, gated=True))
        assert 2 * pairs.bytes_needed(sizes[-1], 4096, 4096, 0, gated=True) <= free
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 2048


def test_too_little_memory_is_said_and_changes_nothing(to: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    q = nm.approximate(both(nm.MLP, parts_of(nm.MLP), to, "relu")[1], gaussian("full"))
    with monkeypatch.context() as scarce:
        scarce.setattr(pairs, "free_bytes", lambda _: 10**4)
        with pytest.raises(MemoryError, match=r"takes about 0\.\d GiB .* 0\.0 GiB are free .*ask \.cpu\(\)"):
            _ = q.fvu
    assert "_explained" not in vars(q)
    assert arrays.host(q.fvu).shape == (OUT,)


def test_memory_that_runs_out_on_the_way_is_said_in_the_same_words(
    to: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OutOfMemoryError(RuntimeError):
        """By this name PyTorch and CuPy have it."""

    def series(*_: Any) -> Any:
        raise OutOfMemoryError("CUDA out of memory")

    q = nm.approximate(both(nm.GLU, parts_of(nm.GLU), to, "relu")[1], gaussian("full"))
    with monkeypatch.context() as full:
        full.setattr(pairs.Tables, "series", series)
        with pytest.raises(MemoryError, match="free some, or ask"):
            _ = q.fvu
    assert arrays.host(q.fvu).shape == (OUT,)


# Moments


def test_integers_on_a_device_are_numbers_and_complex_numbers_are_refused(
    to: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    mean, cov, seen = np.array([1, 2]), np.array([[2, 1], [1, 3]]), []

    def kernel(mean: Any, cov: Any, powers: tuple[int, ...]) -> Any:
        seen.append(mean)
        return to(nm.gaussian_moment(*map(arrays.host, (mean, cov)), powers))

    monkeypatch.setattr("numeric.isserlis.on_cuda", lambda _: True)
    monkeypatch.setattr("numeric.cuda.gaussian_moment", kernel)
    same(nm.gaussian_moment(to(mean), to(cov), (1, 1)), np.array(3.0), 1e-15, to(np.ones(1)))
    assert [str(array.dtype).rpartition(".")[2] for array in seen] == ["float64"]
    with pytest.raises(TypeError, match=r"cov: expected an array of real numbers, got dtype .*complex128"):
        nm.gaussian_moment(to(mean), to(cov + 0j), (1, 1))


@pytest.mark.parametrize("function", [nm.hermite_coefficients, nm.expected_derivatives])
def test_a_warning_blames_the_caller(to: Callable, function: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numeric.moments.PROMISED", -1.0)
    with pytest.warns(nm.AccuracyWarning) as caught:
        function("softsign", to(np.ones(3)), 1.0, order=1)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("function", [nm.hermite_coefficients, nm.expected_derivatives])
def test_moments_stay_where_their_arguments_are(to: Callable, function: Callable) -> None:
    rng = np.random.default_rng(5)
    mean, std = rng.standard_normal((3, 1)), np.abs(rng.standard_normal(4))
    true = function("gelu", mean, std, order=3)
    same(function("gelu", to(mean), to(std), order=3), true, 0.0, to(mean))
    same(function("gelu", to(mean), std, order=3), true, 0.0, to(mean))
    same(function("gelu", mean, to(std), order=3), true, 0.0, to(mean))
    same(function("softsign", to(mean), 1.0, order=1), function("softsign", mean, 1.0, order=1), 0.0, to(mean))
    single = function("gelu", to(mean.astype(np.float32)), 1.0)
    assert str(single.dtype).endswith("float32")
    with pytest.raises(ValueError, match="out: expected None for arrays on a device"):
        function("gelu", to(mean), 1.0, out=np.zeros((3, 1, 3)))
    with pytest.raises(ValueError, match="std has 1 bad of 3 entries"):
        function("gelu", to(mean), to(-np.eye(3)[:, :1]))


def test_activations_are_evaluated_where_their_argument_is(to: Callable) -> None:
    y = np.linspace(-3, 3, 7)
    same(nm.activation("silu")(to(y)), nm.activation("silu")(y), 0.0, to(y))


# Errors


def test_weights_in_different_places(to: Callable) -> None:
    W_in, b_in, W_out, b_out = parts_of(nm.MLP)
    there = str(to(W_in).device).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=rf"got W_in, W_out: .* on {there}; b_in, b_out: NumPy on the CPU"):
        nm.MLP(to(W_in), b_in, to(W_out), b_out)
    parts = parts_of(nm.GLU)
    with pytest.raises(ValueError, match=r"W_gate, b_gate, b_up, W_out, b_out: NumPy on the CPU; W_up: "):
        nm.GLU(*parts[:2], to(parts[2]), *parts[3:])


def test_devices_of_one_library_are_different_places() -> None:
    W_in, _, W_out, _ = parts_of(nm.MLP)
    other = strict.asarray(W_out, device=strict.Device("device2"))
    with pytest.raises(ValueError, match=r"W_in: .*device1.*; W_out: .*device2"):
        nm.MLP(to_strict(W_in), None, other)


@pytest.mark.parametrize("kind", [nm.MLP, nm.GLU])
def test_points_in_another_place(to: Callable, kind: type[Layer]) -> None:
    layer, moved = both(kind, parts_of(kind), to, "relu")
    x = np.zeros(D)
    for f in (layer, nm.approximate(layer, gaussian("full"))):
        with pytest.raises(ValueError, match=r"x: expected an array where the weights are, NumPy on the CPU, got "):
            f(to(x))
    for f in (moved, nm.approximate(moved, gaussian("full"))):
        with pytest.raises(ValueError, match=r"x: expected .*, got NumPy on the CPU; \.cpu\(\) has the same"):
            f(x)


def test_weights_that_numpy_would_refuse_are_refused(to: Callable) -> None:
    W_in, b_in, W_out, _ = parts_of(nm.MLP)
    with pytest.raises(ValueError, match=rf"W_out: expected shape \(any, {N}\), got \({OUT}, {N - 1}\)"):
        nm.MLP(to(W_in), to(b_in), to(W_out[:, 1:].copy()))
    with pytest.raises(ValueError, match=r"W_in: expected at least one entry along every axis, got shape \(0, 5\)"):
        nm.MLP(to(W_in[:0]), None, to(W_out))
    b_in[7] = np.inf
    with pytest.raises(ValueError, match=r"b_in: expected finite entries, .* the first is inf at index \(7,\)"):
        nm.MLP(to(W_in), to(b_in), to(W_out))
    with pytest.raises(TypeError, match=r"W_in: expected an array of real numbers, got dtype .*complex128"):
        nm.MLP(to(W_in + 0j), None, to(W_out))
    layer = nm.MLP(to(W_in), None, to(W_out), to(np.ones(OUT, dtype=np.int64)))
    assert str(layer.b_out.dtype).endswith("float64")
    with pytest.raises(ValueError, match=r"x: expected shape \(…, 5\), got \(4,\)"):
        layer(to(np.zeros(4)))


def test_overflows_name_the_neuron(to: Callable) -> None:
    parts = parts_of(nm.MLP)
    parts[0][8] = 1e308
    with pytest.raises(OverflowError, match="the preactivation of neuron 8 overflows"):
        nm.approximate(nm.MLP(*map(to, parts)), nm.Gaussian(np.full(D, 10.0)))
