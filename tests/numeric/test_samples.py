"""The best polynomial on data is ordinary least squares."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import numeric as nm
from numeric.mixture import conjugate_gradients
from tests.numeric.problems import gated_weights, weights

D, N = 4, 600


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Positive and skewed, in three classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, N)
    return np.abs(rng.standard_normal((N, D)) * (1 + labels[:, None]) + labels[:, None]) ** 1.3, labels


def layers() -> dict[str, nm.MLP | nm.GLU]:
    rng = np.random.default_rng(1)
    return {
        "MLP": nm.MLP(*weights(rng, D, 9, 2), activation="relu"),
        "GLU": nm.GLU(*gated_weights(rng, D, 7, 3), activation="silu"),
        "GLU without W_out": nm.GLU(*gated_weights(rng, D, 5, 2)[:4], activation="tanh"),
    }


def least_squares(X: np.ndarray, f: np.ndarray, degree: int) -> np.ndarray:
    """The values of the best polynomial, by the definition: all monomials in a dense system."""
    i, j = np.triu_indices(X.shape[1])
    features = [np.ones((len(X), 1)), X, X[:, i] * X[:, j]][: degree + 1]
    matrix = np.concatenate(features, axis=1)
    return matrix @ np.linalg.lstsq(matrix, f, rcond=None)[0]


def gap(p: Any, X: np.ndarray, best: np.ndarray, f: np.ndarray) -> float:
    return float((((p(X) - best) ** 2).mean(axis=0) / f.var(axis=0)).max())


def test_the_helper_is_least_squares() -> None:
    X, _ = data()
    quadratic = X[:, :1] * X[:, 1:2] - X[:, 2:3] + 3
    np.testing.assert_allclose(least_squares(X, quadratic, 2), quadratic, rtol=1e-9)
    assert np.abs(least_squares(X, quadratic, 1) - quadratic).max() > 1
    assert gap(lambda x: x[:, :1], X, X[:, :1] + 1, X[:, :1]) > 1e-2


@pytest.mark.parametrize("name", layers())
@pytest.mark.parametrize("degree", [0, 1, 2])
def test_it_is_least_squares_over_the_rows(name: str, degree: int) -> None:
    (X, labels), layer = data(), layers()[name]
    f = layer(X)
    best = least_squares(X, f, degree)
    left = ((f - best) ** 2).mean(axis=0) / f.var(axis=0)
    for samples in (nm.Samples(X), nm.Samples(X, labels, noise_floor=1e-2), nm.Samples([X[:100], X[100:]], labels)):
        p = nm.Solver(samples, degree, tol=1e-20).solve(layer)
        assert gap(p, X, best, f) < 1e-18
        np.testing.assert_allclose(p.fvu, left, rtol=1e-9, atol=1e-14)
        assert p.info.converged
        assert gap(nm.approximate(layer, samples, degree), X, best, f) < 1e-8


def test_other_arrays_and_chunks(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    layer = layers()["MLP"]
    X = (data()[0] * 8).astype(np.uint8)
    best = least_squares(X.astype(float), layer(X), 2)
    np.save(tmp_path / "X.npy", X)
    monkeypatch.setattr("numeric.samples._ELEMENTS", 7 * D)
    for given in (X, X.astype(np.float32), np.asfortranarray(X), np.load(tmp_path / "X.npy", mmap_mode="r")):
        p = nm.Solver(nm.Samples(given), tol=1e-16).solve(layer)
        assert gap(p, X.astype(float), best, layer(X)) < 1e-12


def test_fewer_rows_than_coefficients_are_met_exactly() -> None:
    layer, X = layers()["MLP"], data()[0][:10]
    p = nm.Solver(nm.Samples(X, noise_floor=0.1), tol=1e-16).solve(layer)
    assert gap(p, X, layer(X), layer(X)) < 1e-12
    assert p.total_fvu < 1e-12


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("small", [1e-3, 1e-10])
def test_a_noise_floor_above_the_variance_of_a_coordinate_does_no_harm(small: float, degree: int) -> None:
    (X, labels), layer, units = data(), layers()["MLP"], np.array([1.0, 1.0, 1.0, small])
    assert isinstance(layer, nm.MLP)
    # the same function in other units, of which least squares does not depend
    f, best = layer(X), least_squares(X, layer(X), degree)
    other = nm.MLP(layer.W_in / units, layer.b_in, layer.W_out, layer.b_out, activation="relu")
    p = nm.approximate(other, nm.Samples(X * units, labels, noise_floor=1e-2), degree)
    assert gap(p, X * units, best, f) < 1e-8


def test_no_more_noise_than_the_data_vary() -> None:
    X, labels = data()
    X[:, 3] *= 1e-3
    own = nm.GaussianMixture.from_samples(X, labels)
    for floor in (1e-9, 1e-2, 1e3):
        guide = nm.Samples(X, labels, noise_floor=floor).mixture
        noise = guide.components[0].cov - own.components[0].cov
        values = np.linalg.eigvals(np.linalg.solve(own.cov, noise))
        assert values.real.min() > -1e-9
        assert values.real.max() < 1 + 1e-9
        # where they vary by more it is all of it
        scale = np.sqrt(np.diagonal(own.cov))
        expected = floor * np.eye(4) if floor == 1e-9 else own.cov if floor == 1e3 else None
        if expected is not None:
            np.testing.assert_allclose(noise / np.outer(scale, scale), expected / np.outer(scale, scale), atol=1e-9)
    with pytest.raises(ValueError, match="noise_floor"):
        nm.Samples(X, noise_floor=-1.0)
    with pytest.raises(TypeError, match="noise_floor"):
        nm.Samples(X, noise_floor="")  # type: ignore[arg-type]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", ["direct", "iterative"])
@pytest.mark.parametrize("noise_floor", [0.0, 1e-4])
def test_few_distinct_rows_are_met_exactly(noise_floor: float, method: Any) -> None:
    layer, X = layers()["MLP"], data()[0]
    for distinct in (2, 5):
        for seed in range(5):
            chosen = np.random.default_rng(seed).integers(0, distinct, 80)
            samples = nm.Samples(X[chosen], noise_floor=noise_floor)
            p = nm.Solver(samples, method=method).solve(layer)
            assert gap(p, X[chosen], layer(X[chosen]), layer(X[chosen])) < 1e-12
            assert p.info.converged


def test_only_the_result_is_warned_about() -> None:
    solver = nm.Solver(nm.Samples(*data()), method="iterative", max_iterations=1)
    with pytest.warns(nm.AccuracyWarning) as caught:
        p = solver.solve(layers()["MLP"])
    assert [warning.filename for warning in caught] == [__file__]
    assert repr(p.info).endswith("not converged)")
    solver.max_iterations = 0
    with pytest.warns(nm.AccuracyWarning):
        assert repr(solver.solve(layers()["MLP"]).info).startswith("Info(0 iterations, energy error inf")


def test_mean_squares_beyond_double_precision() -> None:
    layer = layers()["MLP"]
    assert isinstance(layer, nm.MLP)
    huge = nm.MLP(layer.W_in, None, layer.W_out * [[1.0], [1e200]], activation="relu")
    for method in ("direct", "iterative"):
        with np.errstate(all="ignore"), pytest.raises(OverflowError, match="layers: the mean square of output 1"):
            nm.Solver(nm.Samples(data()[0]), method=method).solve(huge)


def test_moments_and_draws() -> None:
    X, labels = data()
    for samples in (nm.Samples(X), nm.Samples([X[:7], X[7:]], labels, noise_floor=5.0)):
        np.testing.assert_allclose(samples.mean, X.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(samples.std, X.std(axis=0), rtol=1e-12)
        np.testing.assert_allclose(samples.cov, np.cov(X.T, ddof=0), rtol=1e-12)
        np.testing.assert_allclose(samples.moment_matched().cov, samples.cov, rtol=1e-12)
        assert (len(samples), samples.dim) == X.shape
        drawn = samples.sample(5000, 0)
        assert {row.tobytes() for row in drawn} <= {row.tobytes() for row in X}
        z = (drawn.mean(axis=0) - X.mean(axis=0)) / (X.std(axis=0) / math.sqrt(5000))
        assert np.abs(z).max() < 4
    assert repr(samples) == "Samples(600 rows, dim=4)"


def test_it_begins_at_the_solution_of_the_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    X, labels = data()
    solver, layer = nm.Solver(nm.Samples(X, labels), method="iterative"), layers()["MLP"]
    begun = []
    original = conjugate_gradients.start

    def start(operator: Callable, right: Any, solution: Any = None) -> Any:
        begun.append(None if solution is None else solution.copy())
        return original(operator, right, solution)

    monkeypatch.setattr(conjugate_gradients, "start", start)
    solver.solve(layer)
    assert begun[0] is None
    guide = nm.approximate(layer, nm.GaussianMixture.from_samples(X, labels))
    # up to the constants, which are set aside
    begun = nm.DensePolynomial(solver._coordinates.center, solver._tensors(begun[1]))
    assert np.ptp(begun(X) - guide(X), axis=0).max() < 1e-3


def test_bad_input() -> None:
    X, labels = data()
    with pytest.raises(ValueError, match="X: expected shape"):
        nm.Samples(np.zeros(3))
    with pytest.raises(ValueError, match=r"X\[1\]: expected shape"):
        nm.Samples([X, X[:, :2]])
    with pytest.raises(ValueError, match="finite"):
        nm.Samples(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="labels"):
        nm.Samples(X, labels[:-1])
    with pytest.raises(ValueError, match="degree: expected at most 2 on data, got 3"):
        nm.Solver(nm.Samples(X), 3)
    p = nm.approximate(layers()["MLP"], nm.Samples(X))
    with pytest.raises(TypeError, match=r"save p\.polynomial"):
        p.save("never")
