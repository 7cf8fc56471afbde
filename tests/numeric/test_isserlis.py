"""Gaussian moments and master coefficients against sums over partitions in exact rational arithmetic."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numeric as nm
from tests.marks import mostly_slow
from tests.oracle.panels import by_integration
from tests.oracle.partitions import moment_of_factors, moment_table

EPSILON = 2.0**-52


def random_gaussian(seed, d, rank=None):
    """Doubles with few bits: mean and covariance A Aᵀ are exact rationals too."""
    rng = np.random.default_rng(seed)
    A = rng.integers(-8, 9, (d, rank or d)) / 8
    return rng.integers(-16, 17, d) / 8, A @ A.T


def exact(array):
    return [exact(row) if np.ndim(row) else Fraction(float(row)) for row in array]


def assert_moment(value, factors, mean, cov):
    """Equal to the sum over partitions, up to rounding in each of its terms."""
    m, S = exact(mean), exact(cov)
    true = moment_of_factors(factors, m, S)
    size = moment_of_factors(factors, [abs(x) for x in m], [[abs(x) for x in row] for row in S])
    assert abs(Fraction(float(value)) - true) <= Fraction(40 * EPSILON) * size


def test_the_helper_notices_a_wrong_moment():
    mean, cov = random_gaussian(1, 3)
    right = nm.gaussian_moment(mean, cov, (2, 1, 1))
    assert_moment(right, [0, 0, 1, 2], mean, cov)
    for wrong in (right * (1 + 1e-12) + 1e-12, right + 1e-10, -right):
        with pytest.raises(AssertionError):
            assert_moment(wrong, [0, 0, 1, 2], mean, cov)


# There are 120 and 165 moments of orders 7 and 8, and ever more partitions in each.
@pytest.mark.parametrize(
    ("order", "every"),
    [
        *((order, 1) for order in range(7)),
        (7, 19),
        (8, 19),
        *(pytest.param(n, 1, marks=pytest.mark.slow) for n in (7, 8)),
    ],
)
def test_all_powers_in_four_variables(order, every):
    mean, cov = random_gaussian(order, 4)
    powers_of_order = [p for p in itertools.product(range(order + 1), repeat=4) if sum(p) == order]
    assert len(powers_of_order) == math.comb(order + 3, 3)
    for powers in powers_of_order[every // 2 :: every]:
        factors = [i for i, p in enumerate(powers) for _ in range(p)]
        assert_moment(nm.gaussian_moment(mean, cov, powers), factors, mean, cov)


def test_eight_different_variables():
    mean, cov = random_gaussian(5, 8)
    assert_moment(nm.gaussian_moment(mean, cov, (1,) * 8), list(range(8)), mean, cov)
    order = [7, 2, 5, 0, 3, 1, 6, 4]
    shuffled = nm.gaussian_moment(mean[order], cov[np.ix_(order, order)], (1,) * 8)
    assert shuffled == pytest.approx(float(nm.gaussian_moment(mean, cov, (1,) * 8)), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    powers=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    rank=st.integers(1, 4),
    scale=st.sampled_from([2.0**-40, 1.0, 2.0**40]),
    far=st.sampled_from([0.0, 1e6]),
)
def test_singular_tiny_huge_and_far(seed, powers, rank, scale, far):
    mean, cov = random_gaussian(seed, len(powers), min(rank, len(powers)))
    mean, cov = (mean + far) * scale, cov * scale**2
    factors = [i for i, p in enumerate(powers) for _ in range(p)]
    if len(factors) <= 8:
        assert_moment(nm.gaussian_moment(mean, cov, powers), factors, mean, cov)
        table = nm.gaussian_moments(mean, cov, powers)
        assert_moment(table[tuple(powers)], factors, mean, cov)


def test_zero_variance_is_a_constant():
    cov = np.zeros((2, 2))
    assert nm.gaussian_moment([3.0, -2.0], cov, (2, 3)) == -72
    assert nm.gaussian_moment([3.0, -2.0], cov, (0, 0)) == 1
    assert nm.gaussian_moment([0.0, 0.0], cov, (1, 0)) == 0


def test_order_forty_in_two_variables():
    """Positive means and correlation: no term cancels, and 1e-12 relative is asked for."""
    mean, cov = np.array([0.75, 0.5]), np.array([[1.25, 0.5], [0.5, 0.75]])
    table = nm.gaussian_moments(mean, cov, (20, 20))
    true = moment_table((20, 20), exact(mean), exact(cov))
    for a in range(21):
        for b in range(21):
            assert table[a, b] == pytest.approx(float(true[a][b]), rel=1e-12)
    assert nm.gaussian_moment(mean, cov, (20, 20)) == table[20, 20]
    centred = nm.gaussian_moments([0.0, 0.0], cov, (20, 20))
    none = [Fraction(0)] * 2
    expected = np.array([[float(v) for v in row] for row in moment_table((20, 20), none, exact(cov))])
    assert np.allclose(centred, expected, rtol=1e-12, atol=0)


def test_moments_of_one_standard_variable():
    table = nm.gaussian_moments([0.0], [[1.0]], (12,))
    double_factorials = [math.prod(range(k - 1, 0, -2)) if k % 2 == 0 else 0 for k in range(13)]
    assert table.tolist() == double_factorials


def test_tables_hold_the_single_moments():
    mean, cov = random_gaussian(3, 3)
    table = nm.gaussian_moments(mean, cov, (2, 0, 3))
    assert table.shape == (3, 1, 4)
    for powers in itertools.product(range(3), range(1), range(4)):
        assert table[powers] == pytest.approx(float(nm.gaussian_moment(mean, cov, powers)), rel=1e-13, abs=1e-13)


def test_batches_broadcast():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(5, 1, 3))
    A = rng.normal(size=(2, 3, 3))
    cov = A @ A.transpose(0, 2, 1)
    for powers in ((1, 1, 1), (3, 2, 4)):
        together = nm.gaussian_moment(mean, cov, powers)
        assert together.shape == (5, 2)
        assert together.dtype == np.float64
        table = nm.gaussian_moments(mean, cov, powers)
        assert table.shape == (5, 2, *(p + 1 for p in powers))
        for i in range(5):
            for j in range(2):
                alone = nm.gaussian_moment(mean[i, 0], cov[j], powers)
                assert together[i, j] == alone
                assert table[i, j][powers] == pytest.approx(float(alone), rel=1e-12)
    assert nm.gaussian_moment(np.empty((0, 3)), cov[0], (1, 1, 1)).shape == (0,)
    assert nm.gaussian_moments(np.empty((0, 2)), np.eye(2), (1, 1)).shape == (0, 2, 2)
    single = mean.astype(np.float32)
    assert np.array_equal(
        nm.gaussian_moment(single, cov, (2, 1, 1)), nm.gaussian_moment(single.astype(float), cov, (2, 1, 1))
    )
    assert nm.gaussian_moment([1, 2], [[1, 0], [0, 4]], (2, 2)) == 2 * 8
    assert np.array_equal(
        nm.gaussian_moment(mean[::-1], cov[:, ::-1, ::-1], (1, 1, 1)),
        nm.gaussian_moment(mean[::-1].copy(), cov[:, ::-1, ::-1].copy(), (1, 1, 1)),
    )


# The master theorem: with g(x) = x^k both sides are Gaussian moments.


def joint(seed, n, rank=None):
    mean, cov = random_gaussian(seed, n + 1, rank)
    return mean, cov


def master_arguments(mean, cov):
    return mean[0], cov[0, 0], mean[1:], cov[1:, 1:], cov[0, 1:]


def assert_master(alpha, mean, cov):
    """Σ α_m E X^(k+m) = E X^k Y_1…Y_n for k = 0 … n."""
    m, S = exact(mean), exact(cov)
    n = len(mean) - 1
    for k in range(n + 1):
        powers = [moment_of_factors([0] * (k + j), m, S) for j in range(n + 1)]
        total = sum(float(a) * float(p) for a, p in zip(alpha, powers))
        size = sum(abs(float(a) * float(p)) for a, p in zip(alpha, powers))
        true = float(moment_of_factors([0] * k + list(range(1, n + 1)), m, S))
        assert abs(total - true) <= 1e-12 * (size + abs(true))


@pytest.mark.parametrize("n", mostly_slow(range(1, 7), fast=range(1, 6)))
def test_master_coefficients(n):
    mean, cov = joint(n, n)
    alpha = nm.master_coefficients(*master_arguments(mean, cov))
    assert alpha.shape == (n + 1,)
    assert_master(alpha, mean, cov)
    wrong = alpha.copy()
    wrong[n // 2] += 1e-6
    with pytest.raises(AssertionError):
        assert_master(wrong, mean, cov)


# For 8 factors and k = 2 the truth is a sum over the partitions of ten.
@pytest.mark.parametrize(
    ("n", "highest"),
    [*((n, 2) for n in range(1, 7)), (8, 0), *(pytest.param(n, 2, marks=pytest.mark.slow) for n in (7, 8))],
)
def test_hermite_master_coefficients_with_derivatives_of_powers(n, highest):
    """g(x) = x^k has g_m = k!/(k−m)! E X^(k−m)."""
    mean, cov = joint(20 + n, n)
    m, S = exact(mean), exact(cov)
    beta = nm.hermite_master_coefficients(mean[1:], cov[1:, 1:], cov[0, 1:])
    assert beta.shape == (n + 1,)
    for k in range(highest + 1):
        derivatives = [float(math.perm(k, j) * moment_of_factors([0] * (k - j), m, S)) for j in range(k + 1)]
        total = sum(float(b) * g for b, g in zip(beta, derivatives))
        size = sum(abs(float(b) * g) for b, g in zip(beta, derivatives))
        true = float(moment_of_factors([0] * k + list(range(1, n + 1)), m, S))
        assert abs(total - true) <= 1e-12 * (size + abs(true))


@pytest.mark.parametrize("name", ["relu", "gelu", "sin"])
def test_both_forms_give_cross_moments_of_activations(name):
    """E[g(X) Y_1 Y_2] by conditioning on X, integrated from the definition."""
    mean, cov = np.array([0.3, -0.5, 0.8]), np.array([[1.2, 0.4, -0.3], [0.4, 0.9, 0.2], [-0.3, 0.2, 1.1]])
    m_x, v_x, m, S, c = master_arguments(mean, cov)
    act, s = nm.activation(name), math.sqrt(v_x)

    def given_x(x):
        line = m[:, None] + c[:, None] / v_x * (x - m_x)
        return line[0] * line[1] + S[0, 1] - c[0] * c[1] / v_x

    true = by_integration(lambda x: act(x) * given_x(x), m_x, s, 0, breaks=(0.0,))[0]
    g = nm.expected_derivatives(name, m_x, s, order=2)
    assert nm.hermite_master_coefficients(m, S, c) @ g == pytest.approx(true, rel=1e-13)
    powers = [by_integration(lambda x, k=k: act(x) * x**k, m_x, s, 0, breaks=(0.0,))[0] for k in range(3)]
    assert nm.master_coefficients(m_x, v_x, m, S, c) @ powers == pytest.approx(true, rel=1e-12)


def test_master_coefficients_without_variance_of_x():
    mean, cov = joint(7, 3)
    m, S = mean[1:], cov[1:, 1:]
    alpha = nm.master_coefficients(2.0, 0.0, m, S, np.zeros(3))
    assert alpha[0] == pytest.approx(float(nm.gaussian_moment(m, S, (1, 1, 1))), rel=1e-13)
    assert not alpha[1:].any()
    beta = nm.hermite_master_coefficients(m, S, np.zeros(3))
    assert np.array_equal(beta, alpha)


def test_master_coefficients_in_batches():
    joints = [joint(30 + i, 2) for i in range(4)]
    arguments = [np.array(a) for a in zip(*(master_arguments(*j) for j in joints))]
    together = nm.master_coefficients(*arguments)
    assert together.shape == (4, 3)
    for row, j in zip(together, joints):
        assert np.array_equal(row, nm.master_coefficients(*master_arguments(*j)))
    beta = nm.hermite_master_coefficients(arguments[2][:, None], arguments[3], arguments[4])
    assert beta.shape == (4, 4, 3)


BAD = [
    (([0.0], [[1.0]], (1, 1)), ValueError, "powers: expected 1 integers, one per variable, got 2"),
    (([0.0], [[1.0]], (-1,)), ValueError, r"powers\[0\]: expected an integer ≥ 0, got -1"),
    (([0.0], [[1.0]], (1.0,)), TypeError, r"powers\[0\]"),
    (([0.0, 0.0], np.eye(3), (1, 1)), ValueError, r"cov: expected shape \(…, 2, 2\), got \(3, 3\)"),
    ((0.0, 1.0, (1,)), ValueError, r"mean: expected shape \(…, n\) with n ≥ 1, got \(\)"),
    (([np.nan], [[1.0]], (1,)), ValueError, "mean: expected finite"),
    (([0.0], [[np.inf]], (1,)), ValueError, "cov: expected finite"),
    (([0.0], [[-1.0]], (1,)), ValueError, "cov: expected a covariance"),
    (([0.0, 0.0], [[1.0, 0.3], [0.2, 1.0]], (1, 1)), ValueError, "cov: expected a covariance, symmetric"),
    (([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]], (1, 1)), ValueError, "cov: expected a covariance"),
    ((np.zeros((3, 2)), np.ones((4, 1, 1)) * np.eye(2), (1, 1)), ValueError, "do not broadcast together: mean"),
    (([1j], [[1.0]], (1,)), TypeError, "mean: expected an array of real numbers"),
    ((np.zeros(6), np.eye(6), (40,) * 6), ValueError, "powers: .* need a table of 4,750,104,241 moments"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
@pytest.mark.parametrize("function", [nm.gaussian_moment, nm.gaussian_moments])
def test_bad_input(function, arguments, error, message):
    with pytest.raises(error, match=message):
        function(*arguments)


def test_bad_input_to_the_master_theorem():
    with pytest.raises(ValueError, match="cov_xy: expected var_x ≥ 0 and cov_xy² ≤ var_x"):
        nm.master_coefficients(0.0, 1.0, [0.0], [[1.0]], [1.5])
    with pytest.raises(ValueError, match="cov_xy: expected var_x ≥ 0"):
        nm.master_coefficients(0.0, -1.0, [0.0], [[1.0]], [0.0])
    with pytest.raises(ValueError, match="cov_xy: expected var_x ≥ 0"):
        nm.master_coefficients(0.0, 0.0, [0.0], [[1.0]], [0.1])
    with pytest.raises(ValueError, match="mean_y: expected at most 8 factors, got 9"):
        nm.hermite_master_coefficients(np.zeros(9), np.eye(9), np.zeros(9))
    with pytest.raises(ValueError, match=r"cov_xy: expected shape \(…, 2\), got \(3,\)"):
        nm.hermite_master_coefficients(np.zeros(2), np.eye(2), np.zeros(3))
