"""Mixtures: total moments against exact sums, samples by z-scores, parameters against NumPy and scikit-learn."""

import copy
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as SklearnMixture

import numeric as nm
from numeric.covariance import Diagonal, Full
from numeric.mixture.inputs import GaussianMixture
from tests.numeric.problems import assert_close, covariance

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)
EPS = float(np.finfo(float).eps)
TYPES = ("full", "diag", "tied")


# Truth


fractions = np.vectorize(lambda value: Fraction(float(value)), otypes=[object])


def exact_moments(weights: Any, means: Any, covs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Total mean and covariance of (K,), (K, d), (K, d, d), by the definition, in fractions."""
    weights, means, covs = fractions(weights), fractions(means), fractions(covs)
    weights = weights / weights.sum()
    mean = sum(w * m for w, m in zip(weights, means))
    cov = sum(w * (S + np.outer(m - mean, m - mean)) for w, m, S in zip(weights, means, covs))
    return mean, cov


def error(actual: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """actual − exact, of which only the difference is rounded."""
    assert actual.shape == exact.shape
    return (fractions(actual) - exact).astype(float)


def assert_total_moments(mixture: GaussianMixture, tolerance: float = 10 * EPS) -> None:
    """The total moments are those of the components, entries to `tolerance` √(Σ_ii Σ_jj)."""
    covs = np.stack([component.cov for component in mixture.components])
    mean, cov = exact_moments(mixture.weights, mixture.means, covs)
    std = np.sqrt(np.diag(cov).astype(float))
    # Of the mean, the rounding of its own size, and of the differences that it is made of.
    assert np.all(np.abs(error(mixture.mean, mean)) <= EPS * np.abs(mean.astype(float)) + tolerance * std)
    assert np.all(np.abs(error(mixture.cov, cov)) <= tolerance * np.outer(std, std))
    assert np.all(np.abs(mixture.std - std) <= tolerance * std)
    np.testing.assert_array_equal(mixture.cov, mixture.cov.T)


def z_scores(draws: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """How many standard errors means and covariances of normal draws are off; what is constant has to be right."""
    n, variances = len(draws), np.diag(cov)
    centred = draws - mean
    moments = np.concatenate([centred.mean(axis=0), (centred.T @ centred / n - cov).ravel()])
    spread = np.concatenate([variances, (np.outer(variances, variances) + cov**2).ravel()])
    assert np.abs(moments[spread == 0]).max(initial=0) == 0
    return moments / np.sqrt(np.where(spread > 0, spread, 1.0) / n)


def same(a: GaussianMixture, b: GaussianMixture) -> bool:
    """Equal to the last bit, in all that can be seen."""
    arrays = [(a.weights, b.weights), (a.means, b.means), (a.mean, b.mean), (a.cov, b.cov), (a.std, b.std)]
    arrays += [(p.cov, q.cov) for p, q in zip(a.components, b.components)]
    arrays += [(np.array(a.labels), np.array(b.labels))]
    return repr(a) == repr(b) and all(np.array_equal(x, y) for x, y in arrays)


def test_the_helpers_see_wrong_values() -> None:
    weights, means = [0.25, 0.75], [[0.0, 1.0], [4.0, 1.0]]
    covs = [[[1.0, 0.5], [0.5, 2.0]], [[3.0, 0.0], [0.0, 0.0]]]
    mean, cov = exact_moments(weights, means, covs)
    # 0.25·1 + 0.75·3 + 0.25·9 + 0.75·1, and so on
    assert mean.tolist() == [3, 1]
    assert cov.tolist() == [[Fraction(11, 2), Fraction(1, 8)], [Fraction(1, 8), Fraction(1, 2)]]
    assert error(np.array([3.0, 1.0 + EPS]), mean).tolist() == [0.0, EPS]

    mixture = GaussianMixture(weights, means, covs)
    assert_total_moments(mixture)
    for name, relative in (("_mean", 1e-14), ("_std", 1e-14), ("_cov", 1e-14)):
        wrong = copy.copy(mixture)
        setattr(wrong, name, np.array(getattr(mixture, name)) * (1 + relative))
        with pytest.raises(AssertionError):
            assert_total_moments(wrong)
        assert not same(wrong, mixture)
    assert same(copy.copy(mixture), mixture)
    assert not same(GaussianMixture(weights, means, [covs[1], covs[0]]), mixture)


def test_the_z_scores_see_wrong_values() -> None:
    rng = np.random.default_rng(0)
    mean, cov = np.array([1.0, 0.0, 7.0]), np.array([[1.0, 0.5, 0.0], [0.5, 2.0, 0.0], [0.0, 0.0, 0.0]])
    draws = nm.Gaussian(mean, cov).sample(100_000, rng)
    assert np.abs(z_scores(draws, mean, cov)).max() < 4
    assert np.abs(z_scores(draws, mean + 0.02 * np.eye(3)[0], cov)).max() > 5
    assert np.abs(z_scores(draws, mean, cov * 1.03)).max() > 5
    with pytest.raises(AssertionError):
        z_scores(draws, mean + 1e-9 * np.eye(3)[2], cov)


# Mixtures to try


def parameters(rng: np.random.Generator, K: int, d: int, covariance_type: str, rank: int) -> tuple[Any, Any, Any]:
    """Weights, means and covariances of this rank."""
    weights = rng.dirichlet(np.ones(K))
    means = 3 * rng.standard_normal((K, d))
    match covariance_type:
        case "full":
            return weights, means, np.stack([covariance(rng, d, rank) for _ in range(K)])
        case "diag":
            return weights, means, rng.uniform(0, 2, (K, d)) * (np.arange(d) < rank)
        case _:
            return weights, means, covariance(rng, d, rank)


def dense(covs: np.ndarray, covariance_type: str, K: int) -> np.ndarray:
    """The matrices (K, d, d) that are meant."""
    match covariance_type:
        case "full":
            return covs
        case "diag":
            return np.stack([np.diag(row) for row in covs])
        case _:
            return np.stack([covs] * K)


@st.composite
def problems(draw: st.DrawFn) -> tuple[tuple[Any, Any, Any], Any]:
    """Parameters of a small mixture and its type; singular, equal and weightless components included."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    K, d = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    covariance_type = draw(st.sampled_from(TYPES))
    weights, means, covs = parameters(rng, K, d, covariance_type, draw(st.integers(0, d)))
    match draw(st.sampled_from(["general", "coinciding", "weightless", "far", "unequal"])):
        case "coinciding":
            means[:] = means[0]
        case "weightless" if K > 1:
            weights[0] = 0.0
            weights /= weights.sum()
        case "far":
            means[-1] += 1e6
        case "unequal":
            means *= 10.0 ** rng.integers(-6, 7, (K, 1))
            weights = weights**10 / (weights**10).sum()
    return (weights, means, covs), covariance_type


# Moments


@SETTINGS
@given(problems())
def test_total_moments_are_the_definition(problem: tuple[tuple[Any, Any, Any], Any]) -> None:
    assert_total_moments(GaussianMixture(*problem[0], problem[1]))


@pytest.mark.parametrize("covariance_type", TYPES)
def test_parameters_are_those_given(covariance_type: Any) -> None:
    weights, means, covs = parameters(np.random.default_rng(1), 3, 4, covariance_type, 4)
    mixture = GaussianMixture(weights, means, covs, covariance_type)
    assert_close(mixture.weights, weights, 1.0, EPS)
    np.testing.assert_array_equal(mixture.means, means)
    assert (mixture.n_components, mixture.dim, mixture.covariance_type) == (3, 4, covariance_type)
    assert mixture.labels is None
    for component, mean, S in zip(mixture.components, means, dense(covs, covariance_type, 3)):
        assert type(component) is nm.Gaussian
        np.testing.assert_array_equal(component.mean, mean)
        np.testing.assert_array_equal(component.cov, S)
        assert isinstance(component.covariance, Diagonal if covariance_type == "diag" else Full)
        assert component.covariance is mixture.components[0].covariance or covariance_type != "tied"


@pytest.mark.parametrize("covariance_type", TYPES)
def test_moment_matched(covariance_type: Any) -> None:
    mixture = GaussianMixture(*parameters(np.random.default_rng(2), 3, 4, covariance_type, 2), covariance_type)
    matched = mixture.moment_matched()
    np.testing.assert_array_equal(matched.mean, mixture.mean)
    np.testing.assert_array_equal(matched.cov, mixture.cov)
    assert_close(matched.std, mixture.std, 1.0, 1e-15 * float(mixture.std.max()))


@pytest.mark.parametrize("covariance_type", TYPES)
def test_one_component_is_that_gaussian(covariance_type: Any) -> None:
    _, means, covs = parameters(np.random.default_rng(3), 1, 3, covariance_type, 2)
    mixture = GaussianMixture([1], means, covs, covariance_type)
    assert mixture.moment_matched() is mixture.components[0]
    np.testing.assert_array_equal(mixture.mean, means[0])
    np.testing.assert_array_equal(mixture.cov, dense(covs, covariance_type, 1)[0])
    np.testing.assert_allclose(mixture.std, mixture.components[0].std, rtol=1e-15)


def test_one_dimension() -> None:
    mixture = GaussianMixture([0.5, 0.5], [[-3.0], [3.0]], [[[1.0]], [[7.0]]])
    assert (mixture.mean.tolist(), mixture.cov.tolist()) == ([0.0], [[13.0]])
    np.testing.assert_allclose(mixture.std, np.sqrt(13.0), rtol=1e-15)


def test_weightless_components_change_nothing() -> None:
    weights, means, covs = parameters(np.random.default_rng(4), 3, 2, "full", 2)
    alone = GaussianMixture(weights, means, covs)
    means, covs = np.vstack([means, [[1e100, 5.0]]]), np.concatenate([covs, 1e200 * np.eye(2)[None]])
    mixture = GaussianMixture([*weights, 0.0], means, covs)
    np.testing.assert_array_equal(mixture.mean, alone.mean)
    np.testing.assert_allclose(mixture.cov, alone.cov, rtol=1e-14)
    assert set(mixture.sample_with_components(1000, 0)[1]) == {0, 1, 2}


def test_a_light_component_counts() -> None:
    # 1e-6 · (1 − 1e-6) · 1000² + 1: half of the variance is that one component in a million
    mixture = GaussianMixture([1 - 1e-6, 1e-6], [[0.0], [1000.0]], [[1.0], [1.0]], "diag")
    assert mixture.cov[0, 0] == pytest.approx(1.999999, rel=1e-10)
    assert_total_moments(mixture)


def test_coinciding_components_are_one() -> None:
    rng = np.random.default_rng(5)
    mean, S = 1e8 * rng.standard_normal(3), covariance(rng, 3, 3)
    mixture = GaussianMixture([0.1, 0.2, 0.7], [mean] * 3, [S] * 3)
    np.testing.assert_array_equal(mixture.mean, mean)
    np.testing.assert_allclose(mixture.cov, S, rtol=1e-15, atol=1e-16)
    # A covariance that all have in common is not multiplied by weights, which would round it.
    tied = GaussianMixture(rng.dirichlet(np.ones(50)), [mean] * 50, S, "tied")
    np.testing.assert_array_equal(tied.cov, S)
    np.testing.assert_array_equal(tied.std, np.sqrt(np.diag(S)))


def test_variances_below_zero_by_rounding_are_zero() -> None:
    mixture = GaussianMixture([0.5, 0.5], np.zeros((2, 2)), [[[1.0, 1e-10], [1e-10, -1e-9]]] * 2)
    assert mixture.std.tolist() == [1.0, 0.0]


def test_a_million_apart_with_spreads_of_one() -> None:
    rng = np.random.default_rng(6)
    means = np.array([[0.0, 1.0, 0.1], [1e6, 1.0, 0.3], [-1e6, 1.0, -0.2]])
    covs = np.stack([covariance(rng, 3, 3) for _ in range(3)])
    mixture = GaussianMixture([0.3, 0.5, 0.2], means, covs)
    assert_total_moments(mixture)
    _, exact = exact_moments(mixture.weights, means, covs)
    # What does not vary between components keeps every digit of the spreads within.
    assert np.all(np.abs(error(mixture.cov[1:, 1:], exact[1:, 1:])) < 5 * EPS)


@pytest.mark.parametrize("shares", [[0.98, 0.01, 0.01], [0.01, 0.01, 0.98], [1 - 2e-13, 1e-13, 1e-13]])
def test_light_components_far_away(shares: list[float]) -> None:
    rng = np.random.default_rng(7)
    means = np.array([[0.1, 0.2], [1.1, -0.7], [1e6, -1e6 / 3]])
    assert_total_moments(GaussianMixture(shares, means, np.stack([covariance(rng, 2, 2) for _ in range(3)])))


@pytest.mark.parametrize("offset", [2.0**20, 2.0**40, -(2.0**50)])
def test_a_common_offset_costs_nothing(offset: float) -> None:
    rng = np.random.default_rng(8)
    weights, means, covs = parameters(rng, 4, 3, "full", 3)
    # Means that are stored exactly with and without the offset.
    means = np.round(4 * means) / 4
    here, there = (GaussianMixture(weights, means + c, covs) for c in (0.0, offset))
    np.testing.assert_array_equal(there.cov, here.cov)
    np.testing.assert_array_equal(there.std, here.std)
    assert_total_moments(there)


def test_dead_coordinates_stay_dead() -> None:
    means = np.array([[0.1, 3.0], [0.1, 4.0], [0.1, 7.0]])
    S = np.diag([0.0, 2.0])
    for covs, covariance_type in (([S] * 3, "full"), ([[0.0, 2.0]] * 3, "diag"), (S, "tied")):
        mixture = GaussianMixture([0.3, 0.3, 0.4], means, covs, covariance_type)
        assert mixture.mean[0] == 0.1
        assert mixture.std[0] == 0
        assert np.all(mixture.cov[0] == 0)
        assert np.all(mixture.sample(50, 0)[:, 0] == 0.1)


def test_zero_covariances() -> None:
    mixture = GaussianMixture([0.5, 0.5], [[1.0, 2.0], [3.0, 2.0]], np.zeros((2, 2, 2)))
    assert mixture.cov.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    draws, indices = mixture.sample_with_components(100, 0)
    np.testing.assert_array_equal(draws, mixture.means[indices])


@SETTINGS
@given(problems(), st.integers(0, 10**6))
def test_the_order_of_components_does_not_matter(problem: tuple[tuple[Any, Any, Any], Any], seed: int) -> None:
    (weights, means, covs), covariance_type = problem
    order = np.random.default_rng(seed).permutation(len(weights))
    a = GaussianMixture(weights, means, covs, covariance_type)
    covs = covs if covariance_type == "tied" else covs[order]
    b = GaussianMixture(weights[order], means[order], covs, covariance_type)
    assert_same_moments(a, b)


@SETTINGS
@given(problems(), st.integers(0, 10**6))
def test_halves_of_a_component_are_that_component(problem: tuple[tuple[Any, Any, Any], Any], seed: int) -> None:
    (weights, means, covs), covariance_type = problem
    k = seed % len(weights)
    a = GaussianMixture(weights, means, covs, covariance_type)
    halves = np.append(weights, weights[k] / 2)
    halves[k] /= 2
    covs = covs if covariance_type == "tied" else np.concatenate([covs, covs[k : k + 1]])
    b = GaussianMixture(halves, np.vstack([means, means[k]]), covs, covariance_type)
    assert_same_moments(a, b)


@SETTINGS
@given(problems(), st.integers(0, 10**6))
def test_shifts_move_the_mean_alone(problem: tuple[tuple[Any, Any, Any], Any], seed: int) -> None:
    (weights, means, covs), covariance_type = problem
    # On a grid on which adding is exact.
    means = np.round(means * 2**10) / 2**10
    shift = np.random.default_rng(seed).integers(-(2**20), 2**20, means.shape[1]) / 2.0**10
    a, b = (GaussianMixture(weights, m, covs, covariance_type) for m in (means, means + shift))
    np.testing.assert_array_equal(a.cov, b.cov)
    np.testing.assert_allclose(b.mean, a.mean + shift, rtol=0, atol=4 * EPS * np.abs([means, means + shift]).max())


def assert_same_moments(a: GaussianMixture, b: GaussianMixture) -> None:
    scale = np.abs(a.means).max(axis=0) + a.std
    assert_close(a.mean, b.mean, scale, 10 * EPS)
    assert_close(a.std, b.std, a.std, 20 * EPS)
    assert_close(a.cov, b.cov, np.outer(a.std, a.std), 20 * EPS)


def test_overflow_is_refused() -> None:
    for means, S in (([[1e200], [-1e200]], 1.0), ([[1e308], [-1e308]], 1.0)):
        with pytest.raises(ValueError, match=r"means, covs: .* overflow in coordinate 0; rescale"):
            GaussianMixture([0.5, 0.5], means, [[S], [S]], "diag")


# Projections


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_project_is_that_of_every_component(covariance_type: Any, dtype: Any) -> None:
    rng = np.random.default_rng(9)
    mixture = GaussianMixture(*parameters(rng, 3, 4, covariance_type, 2), covariance_type)
    W, b = rng.standard_normal((7, 4)).astype(dtype), rng.standard_normal(7)
    means, stds = mixture.project(W, b)
    assert means.shape == stds.shape == (3, 7)
    assert means.dtype == stds.dtype == np.float64
    assert means.flags.c_contiguous
    assert stds.flags.c_contiguous
    for k, component in enumerate(mixture.components):
        mean, std = component.project(W, b)
        assert_close(means[k], mean, 20.0, EPS)
        np.testing.assert_array_equal(stds[k], std)
    assert_close(mixture.project(W)[0], means - b, 20.0, EPS)
    assert_close(means, mixture.means @ W.T.astype(np.float64) + b, 20.0, EPS)


# Samples


@pytest.mark.parametrize("covariance_type", TYPES)
def test_samples_are_of_the_components(covariance_type: Any) -> None:
    n = 200_000
    weights, means, covs = parameters(np.random.default_rng(10), 4, 3, covariance_type, 2)
    weights = np.array([0.5, 0.3, 0.15, 0.05])
    mixture = GaussianMixture(weights, means, covs, covariance_type)
    draws, indices = mixture.sample_with_components(n, 11)
    assert draws.shape == (n, 3)
    counts = np.bincount(indices, minlength=4)
    assert np.abs((counts - n * weights) / np.sqrt(n * weights * (1 - weights))).max() < 4
    for k, S in enumerate(dense(covs, covariance_type, 4)):
        singular = np.abs(S) < 1e-15
        assert np.abs(z_scores(draws[indices == k], means[k], np.where(singular, 0.0, S))).max() < 4.5
    assert np.abs((draws.mean(0) - mixture.mean) / mixture.std * np.sqrt(n)).max() < 4
    # Which component comes next does not depend on the last one.
    pairs = np.bincount(4 * indices[:-1] + indices[1:], minlength=16)
    expected = n * np.outer(weights, weights).ravel()
    assert np.abs((pairs - expected) / np.sqrt(expected)).max() < 4.5


def test_no_number_is_drawn_twice() -> None:
    mixture = GaussianMixture([0.5, 0.5], np.zeros((2, 2)), np.eye(2), "tied")
    draws = np.concatenate([mixture.sample(100, seed) for seed in (1, 2)])
    assert len(np.unique(draws)) == draws.size


def test_samples_are_seeded() -> None:
    mixture = GaussianMixture(*parameters(np.random.default_rng(12), 3, 2, "full", 2))
    draws, indices = mixture.sample_with_components(50, 3)
    np.testing.assert_array_equal(draws, mixture.sample(50, np.random.default_rng(3)))
    assert indices.dtype == np.intp
    assert not np.array_equal(draws, mixture.sample(50, 4))
    rng = np.random.default_rng(3)
    assert not np.array_equal(mixture.sample(50, rng), mixture.sample(50, rng))
    assert mixture.sample(0, 3).shape == (0, 2)
    with pytest.raises(ValueError, match="n: expected an integer ≥ 0"):
        mixture.sample(-1, 3)


# From samples


def labelled(seed: int, n: int = 300, d: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice([2, 3, 5, 11], n, p=[0.1, 0.5, 0.2, 0.2])
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) * labels[:, None] + labels[:, None], labels


def by_class(X: np.ndarray, labels: np.ndarray, covariance_type: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and matrices (K, d, d) of the classes, by NumPy."""
    parts = [X[labels == label].astype(np.float64) for label in np.unique(labels)]
    shares = np.array([len(part) / len(X) for part in parts])
    covs = np.stack([np.atleast_2d(np.cov(part.T, ddof=0)) for part in parts])
    if covariance_type == "tied":
        covs = np.stack([np.tensordot(shares, covs, 1)] * len(parts))
    if covariance_type == "diag":
        covs = covs * np.eye(X.shape[1])
    return shares, np.stack([part.mean(axis=0) for part in parts]), covs


def assert_parameters(mixture: GaussianMixture, expected: tuple[np.ndarray, ...], tolerance: float = 1e-14) -> None:
    """Weights, means and matrices (K, d, d)."""
    weights, means, covs = expected
    assert_close(mixture.weights, weights, 1.0, tolerance)
    assert_close(mixture.means, means, np.abs(means).max(), tolerance)
    assert_close(np.stack([c.cov for c in mixture.components]), covs, np.abs(covs).max() + 1e-300, tolerance)


def test_the_comparison_of_parameters_sees_wrong_values() -> None:
    expected = tuple(array * 1.0 for array in by_class(*labelled(13), "full"))
    mixture = GaussianMixture(*expected)
    assert_parameters(mixture, expected)
    for i in range(3):
        wrong = [array.copy() for array in expected]
        wrong[i].flat[0] += 1e-12 * np.abs(wrong[i]).max()
        with pytest.raises(AssertionError):
            assert_parameters(mixture, tuple(wrong))


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.uint8, np.int64, np.bool_])
def test_from_samples_is_numpy_on_each_class(covariance_type: Any, dtype: Any) -> None:
    X, labels = labelled(14)
    X = np.abs(X).astype(dtype) if dtype in (np.uint8, np.bool_) else X.astype(dtype)
    mixture = GaussianMixture.from_samples(X, labels, covariance_type)
    assert_parameters(mixture, by_class(X, labels, covariance_type))
    assert mixture.labels is not None
    assert mixture.labels.tolist() == [2, 3, 5, 11]
    assert mixture.covariance_type == covariance_type


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_totals_of_labelled_samples_are_those_of_the_samples(covariance_type: Any) -> None:
    X, labels = labelled(15)
    mixture = GaussianMixture.from_samples(X, labels, covariance_type)
    assert_close(mixture.mean, X.mean(axis=0), np.abs(X).max(), 1e-15)
    assert_close(mixture.cov, np.cov(X.T, ddof=0), np.abs(mixture.cov).max(), 1e-14)


def test_one_class_is_the_gaussian_of_the_samples() -> None:
    X, _ = labelled(16)
    expected = nm.Gaussian.from_samples(X)
    for covariance_type in ("full", "tied"):
        mixture = GaussianMixture.from_samples(X, np.zeros(len(X), int), covariance_type)
        np.testing.assert_array_equal(mixture.means[0], expected.mean)
        np.testing.assert_array_equal(mixture.components[0].cov, expected.cov)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_from_samples_in_chunks_views_and_files(covariance_type: Any, monkeypatch: Any, tmp_path: Path) -> None:
    X, labels = labelled(17)
    X = np.round(X).astype(np.int16)
    expected = GaussianMixture.from_samples(X, labels, covariance_type)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for alike in (mapped, np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], X.tolist()):
        assert same(GaussianMixture.from_samples(alike, labels, covariance_type), expected)
    assert same(GaussianMixture.from_samples(X, np.repeat(labels, 2)[::2].tolist(), covariance_type), expected)
    # Chunks in which not all classes occur.
    monkeypatch.setattr(
        "numeric.mixture.inputs.row_blocks", lambda n, _: (slice(i, min(i + 7, n)) for i in range(0, n, 7))
    )
    assert_parameters(
        GaussianMixture.from_samples(mapped, labels, covariance_type), by_class(X, labels, covariance_type)
    )


@pytest.mark.parametrize(
    ("labels", "distinct"),
    [
        (np.array([7, -1, 7, 0], np.int8), [-1, 0, 7]),
        (["cat", "apple", "cat", "bee"], ["apple", "bee", "cat"]),
        (np.array(["b", "a", "b", "c"], dtype=object), ["a", "b", "c"]),
        (np.array([b"b", b"a", b"b", b"c"]), [b"a", b"b", b"c"]),
        ([True, False, True, True], [False, True]),
    ],
)
def test_labels_of_every_kind(labels: Any, distinct: list[Any]) -> None:
    X = np.array([[1.0], [2.0], [3.0], [4.0]])
    mixture = GaussianMixture.from_samples(X, labels)
    assert mixture.labels is not None
    assert mixture.labels.tolist() == distinct
    assert_parameters(mixture, by_class(X, np.asarray(labels), "full"))
    with pytest.raises(ValueError, match="read-only"):
        mixture.labels[0] = mixture.labels[1]


@pytest.mark.parametrize("covariance_type", TYPES)
def test_single_samples_have_no_covariance(covariance_type: Any) -> None:
    X = np.array([[0.1, 1e9], [0.3, 7.0], [0.7, -1e-9]])
    mixture = GaussianMixture.from_samples(X, [2, 0, 1], covariance_type)
    np.testing.assert_array_equal(mixture.means, X[[1, 2, 0]])
    assert all(np.all(component.cov == 0) for component in mixture.components)
    assert_close(mixture.cov, np.cov(X.T, ddof=0), np.outer(X.std(0), X.std(0)), 1e-14)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_offsets_and_outlying_first_rows_cost_nothing(covariance_type: Any) -> None:
    """Each class has an offset of its own, and begins with a row that is far from the others."""
    rng = np.random.default_rng(18)
    X = rng.integers(-4, 5, (400, 2)) / 4
    labels = np.arange(400) % 2
    X[labels == 1] += 2.0**30
    X[0] = [-1e9, 3e8]
    mixture = GaussianMixture.from_samples(X, labels, covariance_type)
    for k, component in enumerate(mixture.components):
        exact = fractions(X[labels == k])
        mean = exact.sum(axis=0) / len(exact)
        assert np.all(np.abs(error(mixture.means[k], mean)) <= 2 * EPS * np.abs(mean.astype(float)))
        if covariance_type != "tied":
            cov = (exact - mean).T @ (exact - mean) / len(exact)
            cov = cov * np.eye(2, dtype=int) if covariance_type == "diag" else cov
            scale = np.sqrt(np.outer(np.diag(cov).astype(float), np.diag(cov).astype(float)))
            assert np.all(np.abs(error(component.cov, cov)) <= 1e-13 * scale)
    if covariance_type == "tied":
        parts = [fractions(X[labels == k]) for k in (0, 1)]
        centred = np.concatenate([part - part.sum(axis=0) / len(part) for part in parts])
        cov = centred.T @ centred / len(X)
        assert np.all(np.abs(error(mixture.components[0].cov, cov)) <= 1e-13 * np.abs(cov.astype(float)).max())


@pytest.mark.parametrize("covariance_type", TYPES)
def test_spreads_of_a_few_units_in_the_last_place(covariance_type: Any) -> None:
    """There the means are rounded by as much as the samples vary; the covariances are right all the same."""
    steps, labels = np.array([[0, 3], [1, 0], [0, 0], [1, 2], [3, 0], [0, 1]]), [0, 0, 1, 1, 1, 1]
    mixture = GaussianMixture.from_samples(1 + EPS * steps, labels, covariance_type)
    assert np.abs(mixture.means - 1).max() < 4 * EPS
    covs = np.stack([component.cov / EPS**2 for component in mixture.components])
    np.testing.assert_allclose(covs, by_class(steps, np.array(labels), covariance_type)[2], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_coordinates_that_never_vary_within_classes(covariance_type: Any) -> None:
    X, labels = labelled(19)
    X[:, 1] = labels / 10
    mixture = GaussianMixture.from_samples(X, labels, covariance_type)
    np.testing.assert_array_equal(mixture.means[:, 1], np.array([2, 3, 5, 11]) / 10)
    assert all(np.all(component.cov[1] == 0) for component in mixture.components)


# From scikit-learn


@pytest.mark.parametrize("kind", [SklearnMixture, BayesianGaussianMixture])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_from_sklearn(kind: Any, covariance_type: str) -> None:
    X, _ = labelled(20, n=120)
    gm = kind(n_components=3, covariance_type=covariance_type, random_state=0, max_iter=20, tol=0.1).fit(X)
    mixture = GaussianMixture.from_sklearn(gm)
    variances = gm.covariances_[:, None] * np.ones(3) if covariance_type == "spherical" else gm.covariances_
    simple: Any = "diag" if covariance_type == "spherical" else covariance_type
    assert_parameters(mixture, (gm.weights_, gm.means_, dense(variances, simple, 3)))
    assert mixture.covariance_type == simple
    assert mixture.labels is None
    noisy = GaussianMixture.from_sklearn(gm, noise_floor=0.5)
    assert_close(noisy.components[1].cov, mixture.components[1].cov + 0.5 * np.eye(3), 100.0, EPS)


def test_sklearn_samples_are_alike() -> None:
    X, _ = labelled(21, n=200)
    gm = SklearnMixture(2, random_state=0, max_iter=20).fit(X)
    mixture = GaussianMixture.from_sklearn(gm)
    draws = gm.sample(50_000)[0]
    assert np.abs((draws.mean(axis=0) - mixture.mean) / mixture.std * np.sqrt(50_000)).max() < 4.5


def test_from_sklearn_refuses_others() -> None:
    for unfitted in (SklearnMixture(2), BayesianGaussianMixture()):
        with pytest.raises(ValueError, match=r"gm: expected a fitted mixture, .*GaussianMixture .* call its fit\(X\)"):
            GaussianMixture.from_sklearn(unfitted)
    with pytest.raises(TypeError, match=r"gm: expected a fitted .* got KMeans; "):
        GaussianMixture.from_sklearn(KMeans(2).fit(np.eye(3)))
    with pytest.raises(TypeError, match="got the class GaussianMixture"):
        GaussianMixture.from_sklearn(SklearnMixture)
    with pytest.raises(TypeError, match="got GaussianMixture; "):
        GaussianMixture.from_sklearn(GaussianMixture([1.0], [[0.0]], [[[1.0]]]))
    broken = SimpleNamespace(weights_=[1.0], means_=[[0.0]], covariances_=[[[-1.0]]], covariance_type="full")
    with pytest.raises(ValueError, match=r"covs\[0\]: expected a positive semidefinite"):
        GaussianMixture.from_sklearn(broken)
    broken.covariance_type = "banded"
    with pytest.raises(ValueError, match="covariance_type: expected 'full', 'diag' or 'tied', got 'banded'"):
        GaussianMixture.from_sklearn(broken)


# Noise


@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_noise_floor_is_added_to_every_component(covariance_type: Any) -> None:
    weights, means, covs = parameters(np.random.default_rng(22), 3, 4, covariance_type, 2)
    X, labels = labelled(23)
    pairs = [
        [GaussianMixture(weights, means, covs, covariance_type, noise) for noise in (0.0, 0.25)],
        [GaussianMixture.from_samples(X, labels, covariance_type, noise) for noise in (0.0, 0.25)],
    ]
    for plain, noisy in pairs:
        assert (plain.noise_floor, noisy.noise_floor) == (0.0, 0.25)
        for a, b in zip(plain.components, noisy.components):
            np.testing.assert_array_equal(b.cov, a.cov + 0.25 * np.eye(a.dim))
        assert_close(noisy.cov, plain.cov + 0.25 * np.eye(plain.dim), np.abs(plain.cov).max(), 10 * EPS)
        assert "noise" not in repr(plain)
        assert repr(noisy).endswith(", noise floor 0.25)")
        assert np.all(noisy.std >= 0.5)


def test_noise_does_not_mend_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"covs\[0\]: expected variances ≥ 0"):
        GaussianMixture([1.0], [[0.0]], [[-1.0]], "diag", noise_floor=2.0)


@pytest.mark.parametrize("noise", [-1e-9, np.nan, np.inf])
def test_impossible_noise(noise: float) -> None:
    with pytest.raises(ValueError, match="noise_floor: expected a finite number ≥ 0"):
        GaussianMixture([1.0], [[0.0]], [[1.0]], "diag", noise)
    with pytest.raises(ValueError, match="noise_floor: expected a finite number ≥ 0"):
        GaussianMixture.from_samples([[0.0]], [0], noise_floor=noise)


@pytest.mark.parametrize("noise", ["0.1", True, 1j, None, [0.1]])
def test_noise_that_is_no_number(noise: Any) -> None:
    with pytest.raises(TypeError, match="noise_floor: expected a real number"):
        GaussianMixture([1.0], [[0.0]], [[1.0]], "diag", noise)


# Objects


def test_reprs() -> None:
    wide = GaussianMixture(np.full(10, 0.1), np.zeros((10, 784)), np.ones((10, 784)), "diag")
    assert repr(wide) == "GaussianMixture(10 components, dim=784, diagonal covariances)"
    one: dict[str, Any] = {"weights": [1.0], "means": [[0.0, 0.0]]}
    assert repr(GaussianMixture(**one, covs=[np.eye(2)])) == "GaussianMixture(1 component, dim=2, full covariance)"
    assert repr(GaussianMixture(**one, covs=np.eye(2), covariance_type="tied", noise_floor=1e-3)) == (
        "GaussianMixture(1 component, dim=2, tied covariance, noise floor 0.001)"
    )
    two = GaussianMixture([0.5, 0.5], [[0.0], [1.0]], [[[1.0]], [[1.0]]])
    assert repr(two) == "GaussianMixture(2 components, dim=1, full covariances)"


def arrays(mixture: GaussianMixture) -> list[np.ndarray]:
    found = [mixture.weights, mixture.means, mixture.mean, mixture.std, mixture.cov]
    for component in mixture.components:
        found += [component.mean, component.cov]
        match component.covariance:
            case Diagonal(variances):
                found.append(variances)
            case Full(matrix):
                found.append(matrix)
    return found


COPIES: list[Callable[[Any], Any]] = [lambda m: m, lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, copy.copy]


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("duplicate", COPIES)
def test_mixtures_do_not_change(covariance_type: Any, duplicate: Callable[[Any], Any]) -> None:
    given_arrays = [np.array(a) for a in parameters(np.random.default_rng(24), 3, 2, covariance_type, 2)]
    mixture = GaussianMixture(*given_arrays, covariance_type)
    before = copy.deepcopy(mixture)
    for array in given_arrays:
        array[...] = 0.0
    assert same(mixture, before)
    for array in arrays(duplicate(mixture)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
    with pytest.raises(AttributeError):
        mixture.weights = given_arrays[0]  # type: ignore[misc]


@pytest.mark.parametrize("covariance_type", TYPES)
def test_pickles(covariance_type: Any) -> None:
    made = [
        GaussianMixture(*parameters(np.random.default_rng(25), 3, 4, covariance_type, 2), covariance_type, 0.1),
        GaussianMixture.from_samples(*labelled(26), covariance_type),
    ]
    for mixture in made:
        loaded = pickle.loads(pickle.dumps(mixture))
        assert same(loaded, mixture)
        assert loaded.noise_floor == mixture.noise_floor
        np.testing.assert_array_equal(loaded.sample(20, 1), mixture.sample(20, 1))
        shared = {id(component.covariance) for component in loaded.components}
        assert len(shared) == (1 if covariance_type == "tied" else loaded.n_components)


def test_pickles_hold_every_array_once() -> None:
    K, d = 6, 50
    mixture = GaussianMixture(np.full(K, 1 / K), np.zeros((K, d)), np.stack([np.eye(d)] * K))
    assert mixture.cov.shape == (d, d)
    assert len(pickle.dumps(mixture)) < 8 * (K * d * d + K * d) + 3000
    tied = GaussianMixture(np.full(K, 1 / K), np.zeros((K, d)), np.eye(d), "tied")
    assert len(pickle.dumps(tied)) < 8 * (d * d + K * d) + 3000


def test_means_are_not_stored_twice() -> None:
    for covariance_type in TYPES:
        mixture = GaussianMixture(*parameters(np.random.default_rng(27), 3, 2, covariance_type, 2), covariance_type)
        assert all(np.shares_memory(component.mean, mixture.means) for component in mixture.components)


# What is refused

GOOD: dict[str, Any] = {
    "weights": [0.25, 0.75],
    "means": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
    "covs": np.stack([np.eye(3), 2 * np.eye(3)]),
}
ASYMMETRIC = np.stack([np.eye(3), np.eye(3) + np.eye(3, k=1)])
INDEFINITE = np.stack([np.eye(3), np.diag([1.0, 1.0, -0.5])])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": []}, r"weights: expected at least one entry"),
        ({"weights": [[0.5, 0.5]]}, r"weights: expected shape \(any,\), got \(1, 2\)"),
        ({"weights": [0.5, np.nan]}, r"weights: expected finite entries"),
        ({"weights": [1.25, -0.25]}, r"weights: expected none below 0, got -0.25 at index 1"),
        ({"weights": [1, 1]}, r"weights: expected a sum of 1, got 2; pass weights / weights.sum\(\)"),
        ({"weights": [0.5, 0.5 + 1e-7]}, r"weights: expected a sum of 1, got 1.00000"),
        ({"weights": [1e308, 1e308]}, r"weights: expected a sum of 1, got inf"),
        ({"weights": [0.0, 0.0]}, r"weights: expected a sum of 1, got 0; one has to be above 0"),
        ({"means": [0.0, 1.0]}, r"means: expected shape \(2, d\), a row for each of the weights, got \(2,\)"),
        ({"means": np.zeros((3, 3))}, r"means: expected shape \(2, d\).* got \(3, 3\)"),
        ({"means": np.zeros((2, 0))}, r"means: expected at least one entry"),
        ({"means": [[0, 0, 0], [0, np.inf, 0]]}, r"means: expected finite entries.* inf at index \(1, 1\)"),
        ({"covs": np.eye(3)}, r"covs: expected shape \(2, 3, 3\) for 2 components in 3 dimensions .*pass .*'tied'"),
        ({"covs": np.ones((2, 3))}, r"got \(2, 3\); pass covariance_type='diag' if that is what they are"),
        ({"covs": np.ones((2, 2, 2))}, r"covs: expected shape \(2, 3, 3\).* got \(2, 2, 2\)$"),
        ({"covs": np.ones((2, 3, 3)) * np.nan}, r"covs\[0\]: expected finite entries"),
        ({"covs": ASYMMETRIC}, r"covs\[1\]: expected a symmetric matrix, got covs\[1\]\[0, 1\] = 1.0"),
        ({"covs": INDEFINITE}, r"covs\[1\]: expected a positive semidefinite matrix, .* -0.5 times"),
        ({"covs": ASYMMETRIC[1], "covariance_type": "tied"}, r"covs: expected a symmetric matrix, got covs\[0, 1\]"),
        ({"covs": INDEFINITE[1], "covariance_type": "tied"}, r"covs: expected a positive semidefinite matrix"),
        ({"covs": np.full((3, 3), np.inf), "covariance_type": "tied"}, r"covs: expected finite entries"),
        (
            {"covs": [[1, 1, 1], [1, -2, 1]], "covariance_type": "diag"},
            r"covs\[1\]: expected variances ≥ 0, got -2.0 at index 1",
        ),
        ({"covs": [[1, 1, np.nan], [1, 1, 1]], "covariance_type": "diag"}, r"covs\[0\]: expected finite .* \(2,\)"),
        ({"covs": [[1, 1], [1]]}, r"covs: expected a rectangular array"),
        ({"covariance_type": "spherical"}, r"covariance_type: expected 'full', 'diag' or 'tied'.* pass variances"),
        ({"covariance_type": "FULL"}, r"covariance_type: expected 'full', 'diag' or 'tied', got 'FULL'$"),
        ({"covariance_type": None}, r"covariance_type: expected 'full', 'diag' or 'tied', got None"),
    ],
)
def test_wrong_values(change: dict[str, Any], message: str) -> None:
    GaussianMixture(**GOOD)
    with pytest.raises(ValueError, match=message):
        GaussianMixture(**{**GOOD, **change})


@pytest.mark.parametrize("name", ["weights", "means", "covs"])
@pytest.mark.parametrize("convert", [lambda a: np.asarray(a) * (1 + 0j), lambda a: np.asarray(a).astype(str)])
def test_wrong_types(name: str, convert: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=f"{name}: expected an array of real numbers, got dtype"):
        GaussianMixture(**{**GOOD, name: convert(GOOD[name])})


def test_weights_that_sum_to_1_up_to_rounding() -> None:
    for weights in ([0.5, 0.5 + 5e-9], np.float32([0.1, 0.2, 0.7]), np.float16([0.1, 0.2, 0.7]), [1, 0], [True, False]):
        mixture = GaussianMixture(weights, np.zeros((len(weights), 1)), [[1.0]], "tied")
        assert mixture.weights.dtype == np.float64
        assert abs(mixture.weights.sum() - 1) <= EPS
        np.testing.assert_allclose(mixture.weights, weights, rtol=1e-3)


def test_single_precision_and_integers() -> None:
    rng = np.random.default_rng(28)
    S = np.cov(rng.standard_normal((3, 40)).astype(np.float32)).astype(np.float32)
    mixture = GaussianMixture([0.5, 0.5], np.zeros((2, 3), np.int8), [S, S])
    np.testing.assert_array_equal(mixture.components[1].cov, S.astype(np.float64))
    integers = GaussianMixture([0.25, 0.75], [[0], [2]], [[1], [3]], "diag")
    assert integers.cov.tolist() == [[3.25]]


def test_strided_parameters() -> None:
    weights, means, covs = parameters(np.random.default_rng(29), 4, 3, "full", 3)
    expected = GaussianMixture(weights, means, covs)
    strided = GaussianMixture(np.repeat(weights, 2)[::2], np.asfortranarray(means), covs.transpose(2, 1, 0).T)
    assert same(strided, expected)
    assert same(
        GaussianMixture(weights[::-1], means[::-1], covs[::-1]),
        GaussianMixture(weights[::-1].copy(), means[::-1].copy(), covs[::-1].copy()),
    )


@pytest.mark.parametrize(
    ("X", "labels", "kind", "message"),
    [
        (np.zeros((0, 2)), [], ValueError, "X: expected at least one entry"),
        (np.zeros((2, 0)), [0, 0], ValueError, "X: expected at least one entry"),
        (np.zeros(3), [0, 0, 0], ValueError, r"X: expected shape \(any, any\), got \(3,\)"),
        (np.zeros((3, 2)), [0, 1], ValueError, r"labels: expected shape \(3,\), one for each row of X, got \(2,\)"),
        (np.zeros((2, 2)), [[0], [1]], ValueError, r"labels: expected shape \(2,\)"),
        (np.zeros((2, 2)), [[0], [1, 2]], ValueError, "labels: expected one for each row of X; "),
        (np.zeros((2, 2)), 3, ValueError, r"labels: expected shape \(2,\).* got \(\)"),
        (np.zeros((2, 2)), [0.0, 1.0], TypeError, r"labels: expected integers, .* dtype float64; .*\.astype\(int\)"),
        (np.zeros((2, 2)), [None, "a"], TypeError, "labels: expected integers, strings or booleans, got dtype object"),
        (np.zeros((2, 2)), [1j, 0], TypeError, "labels: expected integers, .* complex128$"),
        (np.zeros((2, 2)), np.ma.array([1, 0], mask=[0, 1]), TypeError, "labels: .* without a mask"),
        ([[0.0], [np.nan]], [0, 1], ValueError, r"X\[0:2\]: expected finite entries.* at index \(1, 0\)"),
        ([["a"], ["b"]], [0, 1], TypeError, "X: expected an array of real numbers"),
        ([[1e200], [-1e200]], [0, 0], ValueError, "X: the covariance overflows double precision"),
    ],
)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_wrong_samples(X: Any, labels: Any, kind: type[Exception], message: str, covariance_type: Any) -> None:
    with pytest.raises(kind, match=message):
        GaussianMixture.from_samples(X, labels, covariance_type)


def test_from_samples_knows_the_types() -> None:
    with pytest.raises(ValueError, match="covariance_type: expected"):
        GaussianMixture.from_samples([[0.0]], [0], "spherical")  # type: ignore[arg-type]


def test_it_is_public() -> None:
    assert nm.GaussianMixture is GaussianMixture
