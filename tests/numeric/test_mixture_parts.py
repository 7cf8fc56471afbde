"""The parts of the solver under a mixture: coordinates, operator, expectations, preconditioner, conjugate gradients."""

import math
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numeric.dense import CoefficientsTooLarge
from numeric.layers import MLP
from numeric.mixture import conjugate_gradients
from numeric.mixture.conjugate_gradients import remaining
from numeric.mixture.coordinates import Coordinates, whitening
from numeric.mixture.diagonalise import diagonalising_rotation
from numeric.mixture.expectations import right_hand_side
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.operator import MomentOperator
from numeric.mixture.preconditioner import Preconditioner
from numeric.solver import Solver
from tests.numeric.mixture_problems import glu, mixture, mlp, nodes
from tests.numeric.problems import assert_close

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)
TYPES = ("full", "diag", "tied")


def operator_of(coordinates: Coordinates) -> MomentOperator:
    return MomentOperator(coordinates.weights, coordinates.means, coordinates.covariances)


def preconditioner_of(coordinates: Coordinates) -> Any:
    made = Preconditioner(coordinates, coordinates.covariances)
    return lambda rows: made(rows, np)


def quadratics(rng: np.random.Generator, n: int, r: int) -> np.ndarray:
    """Rows (c, a, B) with symmetric B."""
    B = rng.standard_normal((n, r, r))
    return np.concatenate([rng.standard_normal((n, 1 + r)), (B + B.transpose(0, 2, 1)).reshape(n, -1)], axis=1)


def features(z: np.ndarray) -> np.ndarray:
    """1, z and (zzᵀ − I)/√2 at points (N, r): (N, 1 + r + r²). A quadratic is a row of coefficients of these."""
    r = z.shape[1]
    squares = (z[:, :, None] * z[:, None, :] - np.eye(r)) / np.sqrt(2)
    return np.concatenate([np.ones((len(z), 1)), z, squares.reshape(len(z), -1)], axis=1)


def gram_on_nodes(inputs: GaussianMixture, coordinates: Coordinates) -> np.ndarray:
    """E of all products of two features, by 3 nodes an axis, which are enough for degree 4."""
    x, w = nodes(inputs, 3)
    found = features((x - coordinates.center) @ coordinates.inward.T)
    return (w[:, None] * found).T @ found


@st.composite
def mixtures(draw: st.DrawFn) -> GaussianMixture:
    """Small ones of all types, singular ones included."""
    d, K = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return mixture(draw(st.integers(0, 10**6)), K, d, draw(st.sampled_from(TYPES)), draw(st.integers(1, d)))


# Coordinates


@SETTINGS
@given(mixtures())
def test_coordinates_whiten(inputs: GaussianMixture) -> None:
    c = Coordinates.of(inputs)
    r = np.linalg.matrix_rank(inputs.cov, tol=1e-10)
    assert c.dim == r
    assert (c.inward.shape, c.outward.shape) == ((r, inputs.dim), (inputs.dim, r))
    assert_close(c.inward @ c.outward, np.eye(r), 1.0, 1e-11)
    # back and forth on the support
    x = inputs.sample(20, 0) - c.center
    assert_close(x @ c.inward.T @ c.outward.T, x, 10.0, 1e-11)
    second = c.covariances + c.means[:, :, None] * c.means[:, None, :]
    assert_close(c.weights @ c.means, np.zeros(r), 1.0, 1e-12)
    assert_close(np.tensordot(c.weights, second, 1), np.eye(r), 1.0, 1e-11)
    for k, component in enumerate(inputs.components):
        assert_close(c.means[k], c.inward @ (component.mean - inputs.mean), 10.0, 1e-12)
        assert_close(c.covariances[k], c.inward @ component.cov @ c.inward.T, 10.0, 1e-11)
    np.testing.assert_array_equal(c.covariances, c.covariances.transpose(0, 2, 1))


@SETTINGS
@given(mixtures())
def test_groups_are_all_coordinates(inputs: GaussianMixture) -> None:
    c = Coordinates.of(inputs)
    assert np.concatenate([np.arange(c.dim)[group] for group in c.groups]).tolist() == list(range(c.dim))
    assert 1 <= len(c.groups) <= 16


def test_groups_have_similar_shares() -> None:
    rng = np.random.default_rng(0)
    # two kinds of coordinates, mixed up
    kinds = rng.permutation(np.repeat([0, 1], 30))
    variances = np.where(kinds, [[0.1], [4.0]], [[2.0], [0.3]]) * rng.uniform(0.5, 2, 60)
    c = Coordinates.of(GaussianMixture([0.4, 0.6], np.zeros((2, 60)), variances, "diag"))
    shares = c.weights[:, None] * np.einsum("kii->ki", c.covariances)
    assert len(c.groups) <= 16
    for group in c.groups:
        assert np.ptp(shares[0, group]) < 1e-8


def test_weightless_components_are_left_out() -> None:
    plain = mixture(1, 3, 2)
    covs = [component.cov for component in plain.components]
    c = Coordinates.of(GaussianMixture([0.4, 0.0, 0.6], plain.means, covs))
    assert c.chosen.tolist() == [0, 2]
    assert (len(c.weights), len(c.means), len(c.covariances)) == (2, 2, 2)


@pytest.mark.parametrize("still", [0, 1, 3])
def test_the_support(still: int) -> None:
    rng = np.random.default_rng(2)
    variances, means = rng.uniform(0.5, 2, (2, 5)), rng.standard_normal((2, 5))
    variances[:, :still], means[:, :still] = 0.0, 7.3
    c = Coordinates.of(GaussianMixture([0.3, 0.7], means, variances, "diag"))
    assert c.dim == 5 - still
    assert not c.inward[:, :still].any()
    assert not c.outward[:still].any()
    # means that differ are enough to vary
    points = Coordinates.of(GaussianMixture([0.3, 0.7], means, np.zeros((2, 5)), "diag"))
    assert points.dim == 1
    assert not points.covariances.any()


def test_one_hot_columns_leave_no_direction_of_rounding() -> None:
    """Every group of columns sums to 1, and the eigenvalue along the ones is 0."""
    for seed in range(160):
        rng = np.random.default_rng(seed)
        sizes, n = rng.integers(3, 12, size=int(rng.integers(1, 6))), 2000
        # some classes are rare
        columns = [np.eye(size)[rng.choice(size, n, p=rng.dirichlet(np.full(size, 0.3)))] for size in sizes]
        X = np.concatenate([*columns, rng.standard_normal((n, 2))], axis=1)
        seen = X[:, X.any(axis=0) & ~X.all(axis=0)]
        inward, _ = whitening(GaussianMixture.from_samples(seen, rng.integers(0, 3, n)))
        assert len(inward) == np.linalg.matrix_rank(seen - seen.mean(axis=0), tol=1e-8)


def test_units_do_not_matter_to_coordinates() -> None:
    plain, units = mixture(3, 3, 3), np.array([1e-8, 1.0, 1e8])
    scaled = GaussianMixture(
        plain.weights, plain.means * units, [k.cov * np.outer(units, units) for k in plain.components]
    )
    a, b = Coordinates.of(plain), Coordinates.of(scaled)
    assert_close(b.covariances, a.covariances, 1.0, 1e-9)
    assert_close(b.inward * units, a.inward, 10.0, 1e-9)
    assert_close(b.outward / units[:, None], a.outward, 10.0, 1e-9)


def test_components_are_nearly_diagonal_if_they_can_be() -> None:
    rng = np.random.default_rng(4)
    Q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    covs = np.stack([Q * rng.uniform(0.1, 3, 6) @ Q.T for _ in range(4)])
    c = Coordinates.of(GaussianMixture(np.full(4, 0.25), np.zeros((4, 6)), (covs + covs.transpose(0, 2, 1)) / 2))
    off = c.covariances - np.einsum("kij,ij->kij", c.covariances, np.eye(6))
    assert np.abs(off).max() < 1e-3
    assert np.abs(c.covariances).max() > 1


# Diagonalising


SIZES = [1, 2, 31, 32, 33, 70]


def off_diagonal(matrices: np.ndarray, Q: np.ndarray) -> float:
    turned = Q @ matrices @ Q.T
    return float(np.abs(turned * (1 - np.eye(len(Q)))).max())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_commuting_matrices_become_diagonal(size: int, count: int) -> None:
    rng = np.random.default_rng(size)
    basis = np.linalg.qr(rng.standard_normal((size, size)))[0]
    matrices = np.stack([basis * rng.uniform(0, 3, size) @ basis.T for _ in range(count)])
    before = matrices.copy()
    Q = diagonalising_rotation(matrices)
    np.testing.assert_array_equal(matrices, before)
    assert_close(Q @ Q.T, np.eye(size), 1.0, 1e-12)
    # a sine of 1e-4 is as good as none, and leaves its square
    assert off_diagonal(matrices, Q) < 1e-3
    if size > 1:
        assert off_diagonal(matrices, np.eye(size)) > 0.1


@pytest.mark.parametrize("size", SIZES)
def test_other_matrices_become_more_diagonal(size: int) -> None:
    rng = np.random.default_rng(100 + size)
    roots = rng.standard_normal((3, size, size)) / np.sqrt(size)
    matrices = roots @ roots.transpose(0, 2, 1)
    Q = diagonalising_rotation(matrices)
    assert_close(Q @ Q.T, np.eye(size), 1.0, 1e-12)

    def squares(M: np.ndarray) -> float:
        return float((M**2).sum() - np.einsum("kii->ki", M**2).sum())

    after = squares(Q @ matrices @ Q.T)
    assert after <= squares(matrices) * (1 if size == 1 else 0.95)
    # no rotation of two coordinates does better
    for i, j in [(0, 1), (0, size - 1), (size // 2, size - 1)] if size > 2 else []:
        for angle in (-0.05, 0.05):
            plane = np.eye(size)
            plane[[i, j], [i, j]] = math.cos(angle)
            plane[i, j], plane[j, i] = math.sin(angle), -math.sin(angle)
            assert squares(plane @ Q @ matrices @ Q.T @ plane.T) > after * (1 - 1e-6)


def test_equal_and_zero_matrices() -> None:
    for matrices in (np.zeros((2, 4, 4)), np.stack([np.eye(4)] * 3), np.zeros((2, 0, 0))):
        Q = diagonalising_rotation(matrices)
        assert_close(Q @ Q.T, np.eye(matrices.shape[1]), 1.0, 1e-14)


# The operator


@SETTINGS
@given(mixtures(), st.integers(0, 2**32 - 1))
def test_the_operator_is_the_gram_matrix(inputs: GaussianMixture, seed: int) -> None:
    coordinates = Coordinates.of(inputs)
    operator, gram = operator_of(coordinates), gram_on_nodes(inputs, coordinates)
    assert operator.size == len(gram) == 1 + coordinates.dim + coordinates.dim**2
    rows = quadratics(np.random.default_rng(seed), 3, coordinates.dim)
    expected = rows @ gram
    scale = np.abs(rows) @ np.abs(gram) + 1
    assert_close(operator(rows), expected, scale, 1e-12)
    with pytest.raises(AssertionError):
        assert_close(operator(rows * (1 + 1e-8)), expected, scale, 1e-12)


@SETTINGS
@given(mixtures(), st.integers(0, 2**32 - 1), st.floats(-3, 3))
def test_the_operator_is_linear_symmetric_and_positive(inputs: GaussianMixture, seed: int, factor: float) -> None:
    coordinates = Coordinates.of(inputs)
    operator = operator_of(coordinates)
    p, q = quadratics(np.random.default_rng(seed), 2, coordinates.dim)[:, None]
    images = operator(np.concatenate([p, q, p + factor * q]))
    scale = np.abs(images).max() + 1
    assert_close(images[2], images[0] + factor * images[1], 10 * scale, 1e-13)
    assert_close(p @ images[1], q @ images[0], 10 * scale * (np.abs(p).sum() + np.abs(q).sum()), 1e-13)
    assert (p @ images[0]).item() >= -1e-12 * scale * np.abs(p).sum()
    B = operator.parts(images)[2]
    assert_close(B, B.transpose(0, 2, 1), scale, 1e-14)


def test_the_operator_of_one_gaussian_is_the_identity() -> None:
    coordinates = Coordinates.of(mixture(5, 1, 5))
    rows = quadratics(np.random.default_rng(5), 3, 5)
    assert_close(operator_of(coordinates)(rows), rows, 10.0, 1e-12)


def test_parts_and_rows() -> None:
    operator = operator_of(Coordinates.of(mixture(6, 2, 3)))
    rows = quadratics(np.random.default_rng(6), 4, 3)
    c, a, B = operator.parts(rows)
    assert (c.shape, a.shape, B.shape) == ((4,), (4, 3), (4, 3, 3))
    np.testing.assert_array_equal(operator.joined(c, a, B), rows)
    z = np.random.default_rng(7).standard_normal((9, 3))
    squares = np.einsum("ni,oij,nj->no", z, B, z) - np.einsum("oii->o", B)
    assert_close(features(z) @ rows.T, c + z @ a.T + squares / np.sqrt(2), 10.0, 1e-14)


@pytest.mark.parametrize("r", [127, 128, 130])
def test_panels(r: int) -> None:
    rng = np.random.default_rng(r)
    roots = rng.standard_normal((2, r, r)) / np.sqrt(r)
    C, pi = roots @ roots.transpose(0, 2, 1), np.array([0.3, 0.7])
    B = rng.standard_normal((2, r, r))
    B += B.transpose(0, 2, 1)
    expected = np.sqrt(2) * sum(p * c @ B @ c for p, c in zip(pi, C))
    assert_close(MomentOperator(pi, np.zeros((2, r)), C).sandwich(B), expected, np.abs(expected).max(), 1e-13)


# Expectations of a layer


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("rank", [1, 2])
def test_the_right_hand_side_is_the_integral(covariance_type: str, rank: int) -> None:
    inputs = mixture(8, 3, 2, covariance_type, rank)
    coordinates = Coordinates.of(inputs)
    x, w = nodes(inputs, 60)
    found = features((x - coordinates.center) @ coordinates.inward.T)
    plain = glu(9)
    bare = type(plain)(plain.W_gate, None, plain.W_up, plain.b_up, None, np.arange(6.0), "gelu")
    for layer in (mlp(10), plain, bare):
        expected = (w[:, None] * layer(x)).T @ found
        assert_close(right_hand_side(layer, inputs, coordinates), expected, 10.0, 1e-11)
        r = coordinates.dim
        for degree, count in ((0, 1), (1, 1 + r)):
            rows = right_hand_side(layer, inputs, coordinates, degree)
            assert_close(rows, expected[:, :count], 10.0, 1e-11)


def test_neurons_that_do_not_vary_are_constants() -> None:
    inputs = GaussianMixture([0.4, 0.6], [[0.0, 1.0], [2.0, -1.0]], [[0.0, 1.0], [1.0, 0.5]], "diag")
    coordinates = Coordinates.of(inputs)
    x, w = nodes(inputs, 60)
    found = features((x - coordinates.center) @ coordinates.inward.T)
    for layer in (mlp(11), glu(12)):
        layer.projections[0][0][:3, 1] = 0.0  # still in the first component
        layer.projections[0][0][0] = 0.0  # and in both
        expected = (w[:, None] * layer(x)).T @ found
        assert_close(right_hand_side(layer, inputs, coordinates), expected, 10.0, 1e-11)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_expectations_that_overflow() -> None:
    inputs = mixture(13, 2, 2)
    layer = mlp(14, 2, "exp", d_out=2)
    layer.W_out[1] *= 1e308
    layer.W_in[:] *= 8
    with pytest.raises(OverflowError, match=r"layer: what output 1 has in common .* beyond double precision"):
        right_hand_side(layer, inputs, Coordinates.of(inputs))


# The preconditioner


def matrix_of(linear: Any, r: int) -> np.ndarray:
    """The matrix in the orthonormal basis of quadratics with symmetric B."""
    basis = np.zeros(((1 + r) * (2 + r) // 2, 1 + r + r * r))
    basis[: 1 + r, : 1 + r] = np.eye(1 + r)
    for row, (i, j) in enumerate(combinations_with_replacement(range(r), 2), start=1 + r):
        basis[row, [1 + r + i * r + j, 1 + r + j * r + i]] = 1 if i == j else np.sqrt(0.5)
    return linear(basis) @ basis.T


@SETTINGS
@given(mixtures())
def test_the_preconditioner_is_symmetric_and_positive(inputs: GaussianMixture) -> None:
    coordinates = Coordinates.of(inputs)
    inverse = matrix_of(preconditioner_of(coordinates), coordinates.dim)
    assert_close(inverse, inverse.T, np.abs(inverse).max(), 1e-11)
    assert np.linalg.eigvalsh(inverse)[0] >= -1e-11 * np.abs(inverse).max()


@pytest.mark.parametrize(("K", "d"), [(1, 4), (2, 1), (3, 5), (4, 24)])
def test_it_is_the_inverse_for_diagonal_components_without_means(K: int, d: int) -> None:
    rng = np.random.default_rng(15)
    inputs = GaussianMixture(rng.dirichlet(np.ones(K)), np.ones((K, d)), rng.uniform(0.1, 3, (K, d)), "diag")
    coordinates = Coordinates.of(inputs)
    rows = quadratics(rng, 3, d)
    precondition, operator = preconditioner_of(coordinates), operator_of(coordinates)
    assert_close(precondition(operator(rows)), rows, np.abs(rows).max(), 1e-8)
    assert_close(operator(precondition(rows)), rows, np.abs(rows).max(), 1e-8)


def test_it_inverts_1_z_and_squares_among_themselves() -> None:
    coordinates = Coordinates.of(mixture(16, 3, 4))
    alone = [0, 1, 2, 3, 4, *(5 + 5 * i for i in range(4))]
    block = operator_of(coordinates)(np.eye(21)[alone])[:, alone]
    inverse = preconditioner_of(coordinates)(np.eye(21)[alone])[:, alone]
    assert_close(inverse @ block, np.eye(9), 1.0, 1e-10)


def test_it_helps() -> None:
    rng = np.random.default_rng(17)
    roots = [np.linalg.qr(rng.standard_normal((8, 8)))[0] * np.exp(rng.uniform(-2, 1, 8)) for _ in range(3)]
    coordinates = Coordinates.of(
        GaussianMixture([0.2, 0.3, 0.5], rng.standard_normal((3, 8)), [root @ root.T for root in roots])
    )
    gram, inverse = (matrix_of(f, 8) for f in (operator_of(coordinates), preconditioner_of(coordinates)))
    before, after = np.linalg.eigvalsh(gram), np.linalg.eigvals(inverse @ gram).real
    assert after.max() / after.min() < 0.3 * before[-1] / before[0]


@pytest.mark.filterwarnings("error")
def test_products_that_are_rounding_are_left_out() -> None:
    """Of components along different axes no product of these has any square, whatever rounding makes of it."""
    Q = np.linalg.qr(np.random.default_rng(18).standard_normal((7, 7)))[0]
    covs = [np.outer(axis, axis) for axis in Q]
    coordinates = Coordinates.of(GaussianMixture(np.full(7, 1 / 7), np.zeros((7, 7)), (np.array(covs))))
    inverse = matrix_of(preconditioner_of(coordinates), 7)
    assert np.abs(inverse).max() < 1e3


# Conjugate gradients


def positive(seed: int, size: int, spread: float) -> np.ndarray:
    """A symmetric matrix with eigenvalues from 1/spread to 1."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((size, size)))[0]
    return basis * np.exp(rng.uniform(-math.log(spread), 0, size)) @ basis.T


def run(
    A: np.ndarray, b: np.ndarray, steps: int, inverse: np.ndarray | None = None, begin: np.ndarray | None = None
) -> conjugate_gradients.State:
    """At most so many steps, preconditioned with an approximate inverse."""
    A = (A + A.T) / 2

    def apply(rows: np.ndarray) -> np.ndarray:
        return rows @ A

    def precondition(rows: np.ndarray, xp: Any) -> np.ndarray:
        assert xp is np or xp.__name__.endswith("numpy")
        return rows if inverse is None else rows @ inverse

    state = conjugate_gradients.start(apply, b, begin)
    for _ in range(steps):
        if not conjugate_gradients.step(apply, precondition, state):
            break
    return state


@SETTINGS
@given(st.integers(0, 2**32 - 1), st.integers(1, 25), st.integers(1, 4), st.booleans())
def test_several_right_hand_sides(seed: int, size: int, n: int, preconditioned: bool) -> None:
    A, b = positive(seed, size, 50), np.random.default_rng(seed).standard_normal((n, size))
    state = run(A, b, 3 * size + 5, np.diag(1 / np.diag(A)) if preconditioned else None)
    expected = np.linalg.solve(A, b.T).T
    assert_close(state.solution, expected, np.abs(expected).max(), 1e-7)
    assert_close(state.residual, b - state.solution @ A, np.abs(b).max(), 1e-10)


def test_right_hand_sides_that_depend_on_each_other() -> None:
    A, rng = positive(18, 20, 100), np.random.default_rng(18)
    two = rng.standard_normal((2, 20))
    b = np.vstack([two, two[0], 3 * two[1] - two[0], np.zeros(20), 1e-100 * two[1], 1e100 * two[0]])
    state = run(A, b, 60)
    expected = np.linalg.solve(A, b.T).T
    assert_close(state.solution, expected, np.abs(expected).max(axis=1, keepdims=True), 1e-7)
    # no more directions than there are independent ones
    assert np.count_nonzero(run(A, b, 1).directions.any(axis=1)) == 2
    assert np.all(run(A, b, 1).gains[0][[4]] == 0)


def test_nothing_to_do() -> None:
    A, b = positive(19, 5, 10), np.random.default_rng(19).standard_normal((2, 5))
    assert run(A, np.zeros((2, 5)), 3).gains == []
    assert not run(A, np.zeros((2, 5)), 3).solution.any()
    state = run(A, b, 1)
    assert (len(state.gains), state.solution.shape) == (1, (2, 5))
    again = run(A, b, 30, begin=np.linalg.solve(A, b.T).T)
    assert_close(again.solution, np.linalg.solve(A, b.T).T, 10.0, 1e-10)


def test_a_start_is_not_changed() -> None:
    A, b = positive(20, 5, 10), np.random.default_rng(20).standard_normal((2, 5))
    begin = np.ones((2, 5))
    given_ = b.copy()
    run(A, b, 4, begin=begin)
    np.testing.assert_array_equal(begin, 1.0)
    np.testing.assert_array_equal(b, given_)


def test_singular_systems() -> None:
    A, rng = positive(21, 12, 30), np.random.default_rng(21)
    P = np.eye(12) - np.full((12, 12), 1 / 12)
    A, b = P @ A @ P, rng.standard_normal((3, 12)) @ P
    state = run(A, b, 40)
    expected = b @ np.linalg.pinv(A, rcond=1e-10)
    assert_close(state.solution @ P, expected, np.abs(expected).max(), 1e-7)


def energies(A: np.ndarray, b: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(p − p*)·A (p − p*) after every step, (steps + 1, n), and the gains (steps, n)."""
    expected, left = np.linalg.solve(A, b.T).T, []
    for count in range(steps + 1):
        state = run(A, b, count)
        rest = state.solution - expected
        left.append(np.einsum("ni,ij,nj->n", rest, A, rest))
    return np.array(left), np.array(state.gains)


def test_gains_are_what_is_gained() -> None:
    A, b = positive(22, 30, 30), np.random.default_rng(22).standard_normal((3, 30))
    left, gains = energies(A, b, 8)
    assert_close(left[:-1] - left[1:], gains, left[0], 1e-12)
    assert np.all(gains >= 0)


@pytest.mark.parametrize("spread", [3.0, 100.0, 1e4])
@pytest.mark.parametrize("n", [1, 3])
def test_what_is_left_is_bounded(spread: float, n: int) -> None:
    for seed in range(5):
        A, b = positive(seed, 60, spread), np.random.default_rng(seed).standard_normal((n, 60))
        left, gains = energies(A, b, 25)
        for count in range(1, len(gains) + 1):
            assert np.all(left[count] <= remaining(gains[:count]) + 1e-13 * left[0])
        np.testing.assert_allclose(run(A, b, 25).estimate(), remaining(gains), rtol=1e-6)


@pytest.mark.parametrize("ratio", [0.05, 0.3, 0.5, 0.8, 0.95])
def test_steady_convergence_is_bounded(ratio: float) -> None:
    """Gains qᵏ: what is left after n of them is qⁿ/(1 − q)."""
    gains = ratio ** np.arange(400.0)
    for count in range(1, 200, 7):
        bound = remaining(gains[:count, None])[0]
        left = ratio**count / (1 - ratio)
        # how long halving takes is known when it was halved a few times
        assert bound >= left * (1 - 1e-12) or count < 4 * math.log(0.5) / math.log(ratio)
    # and it is what the last four steps gained, or the last four halvings
    assert bound < left * max(ratio**-4.1, 20)


def test_too_little_is_known_at_first() -> None:
    for count in range(1, 4):
        assert np.all(np.isinf(remaining(np.ones((count, 2)))))
    state = conjugate_gradients.start(lambda rows: rows, np.ones((3, 4)))
    assert np.all(np.isinf(state.estimate()))
    assert remaining(np.zeros((0, 2)).reshape(0, 2)).shape == (2,)


# All normal equations at once


def test_too_many_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = mixture(30, 2, 5)
    monkeypatch.setattr("numeric.mixture.direct.available_memory", lambda: 10**4)
    with pytest.raises(CoefficientsTooLarge, match=r'method: "direct" in 5 variables takes .* bytes, more than'):
        Solver(inputs, method="direct")
    assert Solver(inputs, method="iterative").solve(mlp(30, 5)).info.converged


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_units_do_not_matter_to_any_degree(degree: int) -> None:
    inputs, layer, units = mixture(31, 2, 3), mlp(31, 3), np.array([1.0, 1e-9, 1e9])
    covs = [np.outer(units, units) * component.cov for component in inputs.components]
    scaled = GaussianMixture(inputs.weights, inputs.means * units, covs)
    other = MLP(layer.W_in / units, layer.b_in, layer.W_out, layer.b_out, activation=layer.activation)
    x = inputs.sample(50, 0)
    expected = Solver(inputs, degree).solve(layer)(x)
    assert_close(Solver(scaled, degree).solve(other)(x * units), expected, np.abs(expected).max(), 1e-9)
