"""Gaussians: every form of covariance means the same thing."""

import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numeric.covariance import smallest_relative_eigenvalue
from numeric.inputs import Gaussian
from tests.numeric.problems import assert_close, covariance

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def forms(rng: np.random.Generator, d: int = 5) -> list[Gaussian]:
    mean = rng.standard_normal(d)
    return [
        Gaussian(mean),
        Gaussian(mean, rng.uniform(0, 2, d)),
        Gaussian(mean, covariance(rng, d, d)),
        Gaussian(mean, covariance(rng, d, 2)),
        Gaussian.from_factor(mean, rng.standard_normal((d, 2))),
        Gaussian.from_factor(mean, rng.standard_normal((d, 9))),
    ]


def test_reprs_say_what_they_are() -> None:
    assert [repr(g) for g in forms(np.random.default_rng(0))] == [
        "Gaussian(dim=5, identity covariance)",
        "Gaussian(dim=5, diagonal covariance)",
        "Gaussian(dim=5, full covariance)",
        "Gaussian(dim=5, full covariance)",
        "Gaussian(dim=5, covariance from a factor with 2 columns)",
        "Gaussian(dim=5, covariance from a factor with 9 columns)",
    ]


def test_project_is_the_definition() -> None:
    rng = np.random.default_rng(1)
    W, b = rng.standard_normal((7, 5)), rng.standard_normal(7)
    for inputs in forms(rng):
        mean, std = inputs.project(W, b)
        assert mean.dtype == std.dtype == np.float64
        assert_close(mean, W @ inputs.mean + b, 1.0, 1e-14)
        assert_close(std, np.sqrt(np.diag(W @ inputs.cov @ W.T)), 1.0, 1e-14)
        assert_close(inputs.project(W)[0], W @ inputs.mean, 1.0, 1e-14)


def test_all_panels_of_a_wide_covariance_are_used() -> None:
    rng = np.random.default_rng(2)
    d = 1100
    F = rng.standard_normal((d, d)) / np.sqrt(d)
    inputs = Gaussian(np.zeros(d), F @ F.T)
    W = rng.standard_normal((3, d))
    assert_close(inputs.project(W)[1], np.linalg.norm(W @ F, axis=1), 30.0, 1e-14)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-8, 1.0, 1e8, 1e150])
def test_weights_of_any_size(scale: float) -> None:
    rng = np.random.default_rng(3)
    W = rng.standard_normal((4, 5))
    for inputs in forms(rng):
        expected = inputs.project(W)[1]
        np.testing.assert_allclose(inputs.project(W * scale)[1], expected * scale, rtol=1e-13)


def test_rows_of_different_sizes() -> None:
    inputs = forms(np.random.default_rng(4))[2]
    W = np.diag([1e-250, 1.0, 1e100, 0.0, 1e-5])
    expected = np.diag(W) * np.sqrt(np.diag(inputs.cov))
    np.testing.assert_allclose(inputs.project(W)[1], expected, rtol=1e-14)


@SETTINGS
@given(st.integers(0, 10**6), st.integers(2, 12))
def test_directions_without_variance_get_none(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, d))
    F = rng.standard_normal((d, rank)) * np.exp(rng.standard_normal((d, 1)))
    null = np.linalg.svd(F)[0][:, rank:].T
    W = rng.standard_normal((3, len(null))) @ null
    assert np.all(Gaussian(np.zeros(d), F @ F.T).project(W)[1] == 0)
    assert np.all(Gaussian.from_factor(np.zeros(d), F).project(W)[1] < 1e-13 * np.linalg.norm(F))


def test_small_variance_is_not_taken_for_none() -> None:
    # 1e-6 of the length of w lies in the support: well above rounding
    inputs = Gaussian(np.zeros(2), np.ones((2, 2)))
    std = inputs.project(np.array([[1.0 + 1e-6, -1.0]]))[1]
    np.testing.assert_allclose(std, 1e-6, rtol=1e-3)
    assert inputs.project(np.array([[1.0, -1.0]]))[1] == 0


def test_samples_have_the_mean_and_covariance() -> None:
    n = 200_000
    for inputs in forms(np.random.default_rng(5)):
        x = inputs.sample(n, np.random.default_rng(6))
        assert x.shape == (n, 5)
        centred = x - inputs.mean
        deviations = np.sqrt(np.diag(inputs.cov))
        assert np.all(np.abs(centred.mean(0)) <= 5 * deviations / np.sqrt(n))
        error = np.abs(centred.T @ centred / n - inputs.cov)
        assert np.all(error <= 5 * np.sqrt(2 / n) * np.outer(deviations, deviations) + 1e-15)


def test_samples_are_seeded_and_stay_on_the_support() -> None:
    cov = covariance(np.random.default_rng(7), 6, 3)
    cov[2] = cov[:, 2] = 0.0
    null = np.linalg.svd(cov)[0][:, np.linalg.matrix_rank(cov, tol=1e-10) :]
    inputs = Gaussian(np.arange(6.0), cov)
    x = inputs.sample(100, 8)
    np.testing.assert_array_equal(x, inputs.sample(100, np.random.default_rng(8)))
    assert np.all(x[:, 2] == 2.0)
    assert np.abs((x - inputs.mean) @ null).max() < 1e-13
    assert inputs.sample(0, 8).shape == (0, 6)


def test_samples_of_a_barely_singular_covariance_stay_on_the_support() -> None:
    # Cholesky succeeds here, with a last pivot of √ε that is nothing but rounding
    cov = np.array([[1.0, 1.0], [1.0, 1.0 + np.finfo(float).eps]])
    assert np.linalg.cholesky(cov)[1, 1] > 1e-8
    x = Gaussian(np.zeros(2), cov).sample(100, 0)
    assert np.abs(x @ np.array([1.0, -1.0])).max() < 1e-14


def test_from_samples_is_numpy_with_ddof_0() -> None:
    rng = np.random.default_rng(9)
    X = rng.standard_normal((500, 4)) @ rng.standard_normal((4, 4)) + 3
    for given_dtype in (np.float64, np.float32, np.float16):
        samples = X.astype(given_dtype)
        inputs = Gaussian.from_samples(samples)
        wide = samples.astype(np.float64)
        assert_close(inputs.mean, wide.mean(0), 10.0, 1e-14)
        assert_close(inputs.cov, np.cov(wide.T, ddof=0), 100.0, 1e-14)


def test_from_samples_takes_integers_views_and_lists() -> None:
    X = np.random.default_rng(10).integers(0, 256, (60, 5)).astype(np.uint8)
    expected = Gaussian.from_samples(X.astype(np.float64))
    for same in (X, np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], X.tolist()):
        inputs = Gaussian.from_samples(same)
        np.testing.assert_array_equal(inputs.mean, expected.mean)
        np.testing.assert_array_equal(inputs.cov, expected.cov)


def test_from_samples_in_many_chunks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    X = np.random.default_rng(11).standard_normal((1000, 3)).astype(np.float32)
    expected = Gaussian.from_samples(X)
    monkeypatch.setattr("numeric.inputs.row_blocks", lambda n, _: (slice(i, i + 7) for i in range(0, n, 7)))
    np.save(tmp_path / "X.npy", X)
    inputs = Gaussian.from_samples(np.load(tmp_path / "X.npy", mmap_mode="r"))
    assert_close(inputs.mean, expected.mean, 1.0, 1e-15)
    assert_close(inputs.cov, expected.cov, 1.0, 1e-15)


def test_from_samples_survives_a_large_offset() -> None:
    rng = np.random.default_rng(12)
    X = np.round(rng.standard_normal((2000, 3)), 3)
    shifted = Gaussian.from_samples(X + 2.0**30)
    # the offset costs the samples themselves 2^30 ε; the covariance nothing beyond that
    assert_close(shifted.cov, np.cov(X.T, ddof=0), 1.0, 1e-6)
    assert_close(shifted.cov, np.cov((X + 2.0**30 - 2.0**30).T, ddof=0), 1.0, 1e-14)


def test_from_samples_keeps_dead_coordinates_dead() -> None:
    rng = np.random.default_rng(13)
    X = rng.standard_normal((333, 3))
    X[:, 1] = 0.1
    inputs = Gaussian.from_samples(X)
    assert inputs.mean[1] == 0.1
    assert np.all(inputs.cov[1] == 0)
    assert np.all(inputs.cov[:, 1] == 0)
    assert np.all(Gaussian.from_samples(X[:1]).cov == 0)


def test_gaussians_do_not_change() -> None:
    mean, cov = np.zeros(2), np.eye(2)
    inputs = Gaussian(mean, cov)
    mean[0], cov[0, 0] = 5.0, 7.0
    assert inputs.mean[0] == 0
    assert inputs.cov[0, 0] == 1
    for array in (inputs.mean, inputs.cov):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_pickles() -> None:
    for inputs in forms(np.random.default_rng(14)):
        inputs.sample(1, 0)
        copy = pickle.loads(pickle.dumps(inputs))
        assert repr(copy) == repr(inputs)
        np.testing.assert_array_equal(copy.cov, inputs.cov)
        np.testing.assert_array_equal(copy.sample(3, 1), inputs.sample(3, 1))


def test_rounding_is_forgiven() -> None:
    rng = np.random.default_rng(15)
    cov = covariance(rng, 30, 10)
    noisy = cov + 1e-15 * rng.standard_normal((30, 30))
    assert_close(Gaussian(np.zeros(30), noisy).cov, cov, 1.0, 1e-14)
    single = np.cov(rng.standard_normal((5, 30)).astype(np.float32).T)
    Gaussian(np.zeros(30), single.astype(np.float32))
    inputs = Gaussian(np.zeros(30), noisy)
    np.testing.assert_array_equal(inputs.cov, inputs.cov.T)


def test_from_samples_with_an_outlying_first_row() -> None:
    """Sums are taken about the first row; what that costs is taken back by a second pass."""
    rng = np.random.default_rng(8)
    tail = rng.integers(-4, 5, size=(999, 3)) / 4
    X = np.vstack([[1e9, -3e8, 7e9], tail + 1.0])
    exact = [[Fraction(float(v)) for v in row] for row in X]
    n = len(X)
    mean = [sum(row[j] for row in exact) / n for j in range(3)]
    inputs = Gaussian.from_samples(X)
    for i in range(3):
        assert inputs.mean[i] == pytest.approx(float(mean[i]), rel=1e-15)
        for j in range(3):
            true = sum((row[i] - mean[i]) * (row[j] - mean[j]) for row in exact) / n
            assert inputs.cov[i, j] == pytest.approx(float(true), rel=1e-13)


def test_std_is_that_of_the_covariance() -> None:
    F = np.array([[3.0, 4.0], [0.0, 2.0]])
    for inputs in (Gaussian([0, 0]), Gaussian([0, 0], [4.0, 0.0]), Gaussian([0, 0], F @ F.T)):
        assert np.allclose(inputs.std, np.sqrt(np.diag(inputs.cov)))
    assert Gaussian.from_factor([0, 0], F).std.tolist() == [5.0, 2.0]


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_a_semidefinite_matrix_costs_no_eigenvalues(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = covariance(np.random.default_rng(5), 5, rank)

    def refuse(_: np.ndarray) -> None:
        raise AssertionError("eigenvalues were computed")

    monkeypatch.setattr(np.linalg, "eigvalsh", refuse)
    assert smallest_relative_eigenvalue(matrix, 1e-9) == 0.0
    with pytest.raises(AssertionError, match="were computed"):
        smallest_relative_eigenvalue(matrix - 0.1 * np.eye(5), 1e-9)
