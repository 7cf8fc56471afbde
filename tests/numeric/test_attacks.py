"""Attacks: the projection by its definition, and directions that a differentiation of the mean confirms."""

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numeric import attacks as module
from numeric import compare as compare_module
from numeric.attacks import Projection, attack_curve, eigenvector_attack, project_out, svd_attack
from numeric.compare import accuracy
from numeric.convert import approximate
from numeric.factored import FactoredPolynomial
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP
from tests.numeric.problems import assert_close, covariance, gated_weights, weights

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)


def nearest_without(x: np.ndarray, directions: np.ndarray, center: np.ndarray) -> np.ndarray:
    """The definition: of all points with no component of x − center along the directions, the one nearest to x."""
    correction = np.linalg.lstsq(directions.T, (x - center).T, rcond=1e-12)[0]
    return x - (directions.T @ correction).T


@st.composite
def spans(draw: st.DrawFn) -> tuple[np.random.Generator, np.ndarray]:
    """Directions of any lengths: none, fewer or more than dimensions, zero and repeated ones among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k, d = draw(st.integers(0, 7)), draw(st.integers(1, 5))
    rank = draw(st.integers(0, d))
    directions = rng.standard_normal((k, rank)) @ rng.standard_normal((rank, d))
    if draw(st.booleans()):
        directions[: k // 2] = rng.choice(directions, k // 2) if k else directions
    return rng, directions * 10.0 ** rng.integers(-3, 4, (k, 1))


@SETTINGS
@given(spans(), st.booleans())
def test_projection_is_its_definition(span: tuple[np.random.Generator, np.ndarray], centred: bool) -> None:
    rng, directions = span
    d = directions.shape[1]
    center = rng.standard_normal(d) if centred else None
    projection = Projection(directions, center)
    V = projection.directions
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    units = np.divide(directions, lengths, out=np.zeros_like(directions), where=lengths > 0)
    assert_close(V @ V.T, np.eye(len(V)), 1.0, 1e-14)
    assert len(V) == np.linalg.matrix_rank(units, tol=1e-10)
    x = rng.standard_normal((2, 3, d))
    expected = nearest_without(x.reshape(-1, d), units, np.zeros(d) if center is None else center)
    assert_close(projection(x), expected.reshape(x.shape), 1.0, 1e-9)
    np.testing.assert_array_equal(project_out(x, directions, center), projection(x))
    # twice is once, and nothing is left
    assert_close(projection(projection(x)), projection(x), 1.0, 1e-14)
    assert_close(projection.components(projection(x).reshape(-1, d)), np.zeros((6, len(V))), 1.0, 1e-14)


def test_projection_by_hand() -> None:
    x = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    np.testing.assert_array_equal(project_out(x, [0, 0, 2]), [[1, 2, 0], [4, 5, 0]])
    np.testing.assert_array_equal(project_out(x, [[0, 0, 2], [0, 1e-300, 0]]), [[1, 0, 0], [4, 0, 0]])
    np.testing.assert_array_equal(project_out(x, [[0, 0, 2]], [7, 8, 9]), [[1, 2, 9], [4, 5, 9]])
    np.testing.assert_array_equal(project_out(x, np.zeros((2, 3))), x)
    assert_close(project_out(x, [[1, 1, 0], [1, -1, 0]]), np.array([[0, 0, 3], [0, 0, 6.0]]), 1.0, 1e-15)


def test_spans_are_nested_in_the_order_given() -> None:
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((5, 8))
    directions[2] = directions[0] - 2 * directions[1]
    basis = Projection(directions).directions
    assert len(basis) == 4
    for j, rank in enumerate([1, 2, 2, 3, 4], start=1):
        inside = directions[:j] @ basis[:rank].T @ basis[:rank]
        assert_close(inside, directions[:j], 10.0, 1e-14)
    rotation = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    assert_close(Projection(rotation).directions, rotation, 1.0, 1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_directions_that_agree_to_rounding_are_one(dtype: type) -> None:
    rng = np.random.default_rng(1)
    first, second = rng.standard_normal((2, 100))
    eps = float(np.finfo(dtype).eps)
    same = np.stack([first, second, first + second]).astype(dtype)
    assert len(Projection(same).directions) == 2
    other = np.stack([first, first + 50 * eps * np.abs(first).max() * second]).astype(dtype)
    assert len(Projection(other).directions) == 2


def test_nearly_parallel_directions_come_out_orthogonal() -> None:
    rng = np.random.default_rng(2)
    first = rng.standard_normal(50)
    directions = np.stack([first + 10.0**-e * rng.standard_normal(50) for e in range(1, 12)])
    V = Projection(directions).directions
    assert len(V) == 11
    assert_close(V @ V.T, np.eye(11), 1.0, 1e-14)


def test_dtypes_and_shapes() -> None:
    rng = np.random.default_rng(3)
    projection = Projection(rng.standard_normal((2, 4)))
    x = 100 * rng.standard_normal((3, 4))
    exact = projection(x)
    for dtype in (np.float16, np.float32, np.float64):
        found = projection(x.astype(dtype))
        assert found.dtype == dtype
        assert_close(found, exact, np.abs(x).max(), 2 * float(np.finfo(dtype).eps))
    whole = np.round(x).astype(np.int8)
    assert projection(whole).dtype == np.float64
    assert projection(x.astype(np.longdouble)).dtype == np.float64
    np.testing.assert_array_equal(projection(whole), projection(whole.astype(float)))
    for shape in ((4,), (0, 4), (2, 0, 4), (2, 3, 4)):
        assert projection(np.ones(shape)).shape == shape
    strided = np.repeat(np.asfortranarray(x), 2, axis=1)[::-1, ::2]
    assert_close(projection(strided), exact[::-1], 1.0, 1e-13)
    before = x.copy()
    projection(x)
    np.testing.assert_array_equal(x, before)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, V = np.random.default_rng(4).standard_normal((7, 4)), np.ones((1, 4))
    expected = project_out(x, V, np.arange(4.0))
    pairs = lambda n, *_: (slice(i, i + 2) for i in range(0, n, 2))  # noqa: E731
    monkeypatch.setattr(module, "row_blocks", pairs)
    assert_close(project_out(x, V, np.arange(4.0)), expected, 1.0, 1e-14)


def test_memory_is_that_of_the_result(tmp_path: Path) -> None:
    x = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(100_000, 256))
    tracemalloc.start()
    out = Projection(np.ones((3, 256)))(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # chunks of 64 MiB in float64, three at a time
    assert peak < out.nbytes + 4 * 2**26


def test_a_projection_does_not_change() -> None:
    directions, center = np.eye(3)[:2].copy(), np.ones(3)
    projection = Projection(directions, center)
    directions[:], center[:] = 5.0, 5.0
    copy = pickle.loads(pickle.dumps(projection))
    for one in (projection, copy):
        np.testing.assert_array_equal(one([5.0, 6.0, 7.0]), [1, 1, 7])
        for array in (one.directions, one.center):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1.0
        with pytest.raises(AttributeError):
            one.center = None  # type: ignore[misc]
    assert repr(projection) == "Projection(removes 2 of 3 directions, about a center)"
    assert repr(Projection(np.zeros((0, 3)))) == "Projection(removes 0 of 3 directions)"
    assert pickle.loads(pickle.dumps(Projection(np.eye(2)))).center is None


# Attacks: the linear part is what differentiating E f(x + t) gives, the quadratic part half of the second derivative


def mean_outputs(layer: MLP | GLU, inputs: Gaussian, shift: np.ndarray) -> np.ndarray:
    """E f(x + shift), shape (d_out,): the constant that approximates best."""
    moved = Gaussian(inputs.mean + shift, inputs.cov)
    return approximate(layer, moved, 0)(inputs.mean)


def gradient(layer: MLP | GLU, inputs: Gaussian, h: float = 1e-4) -> np.ndarray:
    steps = h * np.eye(inputs.dim)
    return np.stack(
        [(mean_outputs(layer, inputs, e) - mean_outputs(layer, inputs, -e)) / (2 * h) for e in steps], axis=1
    )


def half_hessian(layer: MLP | GLU, inputs: Gaussian, output: int, h: float = 1e-3) -> np.ndarray:
    steps = h * np.eye(inputs.dim)
    f = lambda shift: mean_outputs(layer, inputs, shift)[output]  # noqa: E731
    return np.array([[f(a + b) - f(a - b) - f(b - a) + f(-a - b) for a in steps] for b in steps]) / (8 * h**2)


def case(kind: str, seed: int = 5) -> tuple[MLP | GLU, Gaussian]:
    rng = np.random.default_rng(seed)
    d, n_hidden, d_out = 6, 12, 3
    inputs = Gaussian(rng.standard_normal(d), covariance(rng, d, 4) if kind == "singular" else covariance(rng, d, d))
    if kind == "gated":
        return GLU(*gated_weights(rng, d, n_hidden, d_out, spread=1.5), "silu"), inputs
    return MLP(*weights(rng, d, n_hidden, d_out, spread=1.5), "gelu"), inputs


CASES = ("mlp", "gated", "singular")


def assert_same_span(V: np.ndarray, W: np.ndarray, tolerance: float) -> None:
    """Rows that span the same space, those of V orthonormal."""
    assert V.shape == W.shape
    assert_close(V @ V.T, np.eye(len(V)), 1.0, 1e-12)
    Q = np.linalg.qr(W.T)[0]
    assert_close(V.T @ V, Q @ Q.T, 1.0, tolerance)


def test_the_helpers_notice_errors() -> None:
    assert_same_span(np.eye(3)[:2], np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 0.0]]), 1e-14)
    for V, W in ((np.eye(3)[:2], np.eye(3)[1:]), (np.eye(3)[:2], np.eye(3)), (2 * np.eye(3)[:1], np.eye(3)[:1])):
        with pytest.raises(AssertionError):
            assert_same_span(V, W, 1e-3)
    # f = (a·x)² has gradient 2 (a·m) a and half Hessian a aᵀ
    a, m = np.array([1.0, -2.0]), np.array([0.5, 1.0])
    square = MLP([a], None, [[1.0]], activation="square")
    assert_close(gradient(square, Gaussian(m)), 2 * (a @ m) * a[None], 1.0, 1e-7)
    assert_close(half_hessian(square, Gaussian(m), 0), np.outer(a, a), 1.0, 1e-7)


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", CASES)
def test_svd_attack_takes_the_leading_right_singular_vectors_of_the_mean_gradient(kind: str, degree: int) -> None:
    layer, inputs = case(kind)
    p = approximate(layer, inputs, degree)
    truth = np.linalg.svd(gradient(layer, inputs))[2]
    for count in range(4):
        attack = svd_attack(p, count)
        assert attack.center is None
        assert_same_span(attack.directions, truth[:count], 1e-5)
    # in their order
    assert_close(np.abs(svd_attack(p, 3).directions @ truth[:3].T), np.eye(3), 1.0, 1e-5)
    assert repr(svd_attack(p, 2, center=p.center)) == "Projection(removes 2 of 6 directions, about a center)"


@pytest.mark.parametrize("degree", [1, 3])
@pytest.mark.parametrize("kind", CASES)
def test_whitened_svd_attack_takes_what_carries_most_variance(kind: str, degree: int) -> None:
    layer, inputs = case(kind)
    p = approximate(layer, inputs, degree)
    L = gradient(layer, inputs)
    components = np.linalg.eigh(L @ inputs.cov @ L.T)[1][:, ::-1]
    for count in range(4):
        assert_same_span(svd_attack(p, count, whitened=True).directions, components.T[:count] @ L, 1e-5)


@pytest.mark.parametrize("whitened", [False, True])
@pytest.mark.parametrize("kind", CASES)
def test_without_all_of_its_directions_a_linear_approximant_is_constant(kind: str, whitened: bool) -> None:
    layer, inputs = case(kind)
    p = approximate(layer, inputs, 1)
    attack = svd_attack(p, 3, whitened, center=p.center)
    values = p(attack(inputs.sample(20, 6)))
    assert_close(values, np.broadcast_to(p(p.center), values.shape), 10.0, 1e-13)
    # whereas one fewer leaves something
    assert np.ptp(p(svd_attack(p, 2, whitened, center=p.center)(inputs.sample(20, 6))), axis=0).max() > 1e-3


@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize("kind", CASES)
def test_eigenvector_attack_takes_the_leading_eigenvectors_of_the_mean_hessian(kind: str, degree: int) -> None:
    layer, inputs = case(kind)
    p = approximate(layer, inputs, degree)
    for output in (0, 2):
        A = half_hessian(layer, inputs, output)
        values, vectors = np.linalg.eigh(A)
        truth = vectors[:, np.argsort(-np.abs(values))].T
        for count in (0, 1, 3, 6):
            assert_same_span(eigenvector_attack(p, output, count).directions, truth[:count], 1e-4)
    unit = eigenvector_attack(p, [0.0, 0.0, 1.0], 2, center=p.center)
    np.testing.assert_allclose(unit.directions, eigenvector_attack(p, 2, 2).directions)
    assert unit.center is not None


@pytest.mark.parametrize("kind", ["mlp", "gated"])
def test_whitened_eigenvector_attack(kind: str) -> None:
    layer, inputs = case(kind)
    p = approximate(layer, inputs, 2)
    A = half_hessian(layer, inputs, 1)
    # ζ = qᵀ Σ^(−1/2) (x − m) for the eigenvectors q of Σ^(1/2) A Σ^(1/2)
    spread, axes = np.linalg.eigh(inputs.cov)
    root, inverse = axes * np.sqrt(spread) @ axes.T, axes / np.sqrt(spread) @ axes.T
    values, vectors = np.linalg.eigh(root @ A @ root)
    truth = (inverse @ vectors[:, np.argsort(-np.abs(values))]).T
    for count in (1, 2, 4):
        assert_same_span(eigenvector_attack(p, 1, count, whitened=True).directions, truth[:count], 1e-4)


def quadratic_values(p: FactoredPolynomial, x: np.ndarray) -> np.ndarray:
    z = x - p.center
    return np.einsum("oij,ni,nj->no", p.about(p.center).quadratic, z, z)


@pytest.mark.parametrize("whitened", [False, True])
def test_without_its_eigenvectors_the_quadratic_part_vanishes(whitened: bool) -> None:
    rng = np.random.default_rng(7)
    W_in, b_in, W_out, b_out = weights(rng, 8, 3, 2)
    p = approximate(MLP(W_in, b_in, W_out, b_out, "gelu"), Gaussian(rng.standard_normal(8), covariance(rng, 8, 8)), 2)
    x = rng.standard_normal((10, 8))
    for count, left in ((3, False), (2, True)):
        attack = eigenvector_attack(p, 1, count, whitened, center=p.center)
        assert (np.abs(quadratic_values(p, attack(x))[:, 1]).max() > 1e-6) == left
    with pytest.raises(ValueError, match=r"count: expected at most 3, the rank of the quadratic part of p, got 4"):
        eigenvector_attack(p, 1, 4, whitened)


# Curves


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_curve_is_the_accuracy_after_each_projection(dtype: type, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_module, "_MOST_POINTS", 1)
    monkeypatch.setattr(compare_module, "_ELEMENTS", 5 * rows)
    rng = np.random.default_rng(8)
    layer = MLP(*weights(rng, 5, 10, 3), "gelu")
    p = approximate(layer, Gaussian(np.full(5, 3.0)), 2)
    x, labels = (6 * rng.random((4, 25, 5))).astype(dtype), rng.integers(0, 3, (4, 25))
    for center in (None, p.center):
        attack = svd_attack(p, 3, center=center)
        curve = attack_curve([layer, p], attack, x, labels)
        expected = [
            [accuracy(f, Projection(attack.directions[:k], center)(x), labels) for k in range(4)] for f in (layer, p)
        ]
        np.testing.assert_array_equal(curve, expected)
        np.testing.assert_array_equal(attack_curve(p, attack, x, labels), expected[1])
    np.testing.assert_array_equal(attack_curve(p, svd_attack(p, 0), x, labels), [accuracy(p, x, labels)])


def test_functions_of_a_curve_see_the_dtype_of_the_points() -> None:
    for dtype, expected in ((np.float32, np.float32), (np.uint8, np.float64)):
        seen = set()
        attack_curve(
            lambda z, seen=seen: seen.add(z.dtype) or z, Projection(np.eye(3)[:2]), np.ones((4, 3), dtype), [0] * 4
        )
        assert seen == {np.dtype(expected)}


def test_the_attack_finds_what_a_classifier_looks_at() -> None:
    # classes differ along two of 40 coordinates, in which the weights say so
    rng = np.random.default_rng(9)
    x, labels = rng.standard_normal((2000, 40)), rng.integers(0, 3, 2000)
    means = 4 * np.array([[1.0, 0.0], [-0.5, 0.9], [-0.5, -0.9]])
    x[:, :2] += means[labels]
    W_in = np.concatenate([np.zeros((30, 2)), 0.05 * rng.standard_normal((30, 38))], axis=1)
    W_in[:, :2] = rng.standard_normal((30, 2))
    hidden = np.maximum(x @ W_in.T, 0)
    W_out = np.linalg.lstsq(hidden, np.eye(3)[labels], rcond=None)[0].T
    layer = MLP(W_in, None, W_out, activation="relu")
    p = approximate(layer, Gaussian(np.zeros(40)), 1)
    curve = attack_curve(layer, svd_attack(p, 2), x, labels)
    assert curve[0] > 0.9
    assert curve[-1] < 0.45
    by_chance = attack_curve(layer, Projection(rng.standard_normal((2, 40))), x, labels)
    assert by_chance[-1] > 0.85


# Bad input


def never(_: np.ndarray) -> np.ndarray:
    raise AssertionError("work began")


def test_directions_that_are_none() -> None:
    calls = {
        r"directions: expected shape \(k, d\), or \(d,\) for a single one, got \(\)": (1.0,),
        r"directions: expected shape .* got \(1, 2, 3\)": (np.ones((1, 2, 3)),),
        r"directions: expected shape .* got \(3, 0\)": (np.ones((3, 0)),),
        r"directions: expected finite entries, got 1 .* at index \(1, 0\)": ([[1.0, 2.0], [np.nan, 0.0]],),
        r"center: expected shape \(2,\), got \(3,\)": (np.eye(2), np.ones(3)),
        r"center: expected finite": (np.eye(2), [1.0, np.inf]),
    }
    for message, arguments in calls.items():
        with pytest.raises(ValueError, match="^" + message):
            Projection(*arguments)
        with pytest.raises(ValueError, match="^" + message):
            project_out(np.ones((4, 2)), *arguments)
    for bad in (np.eye(2) + 1j, np.array([["a", "b"]])):
        for call in (lambda bad=bad: Projection(bad), lambda bad=bad: Projection(np.eye(2))(bad)):
            with pytest.raises(TypeError, match="expected an array of real numbers"):
                call()


def test_points_that_do_not_fit() -> None:
    projection = Projection(np.eye(3)[:2])
    for x, found in ((1.0, r"\(\)"), (np.ones(2), r"\(2,\)"), (np.ones((3, 1)), r"\(3, 1\)")):
        with pytest.raises(ValueError, match=r"x: expected shape \(…, 3\), got " + found):
            projection(x)
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"x\[0:2\]: expected finite entries, got 1 .* at index \(1, 2\)"):
            projection([[1.0, 2.0, 3.0], [4.0, 5.0, value]])


def test_attacks_that_there_are_not() -> None:
    layer, inputs = case("mlp")
    constant, line, p = (approximate(layer, inputs, n) for n in (0, 1, 2))
    with pytest.raises(ValueError, match=r"p: degree 0 has no linear part"):
        svd_attack(constant, 1)
    with pytest.raises(ValueError, match=r"p: degree 1 has no quadratic part"):
        eigenvector_attack(line, 0, 1)
    for call in (lambda p: svd_attack(p, 1), lambda p: eigenvector_attack(p, 0, 1)):
        with pytest.raises(TypeError, match=r"p: expected what numeric.approximate returned, got MLP"):
            call(layer)
    for whitened in (False, True):
        with pytest.raises(ValueError, match=r"count: expected at most 3, the rank of the linear part of p, got 4"):
            svd_attack(p, 4, whitened)
    with pytest.raises(ValueError, match=r"count: there are 6 eigenvalues, got 7"):
        eigenvector_attack(p, 0, 7)
    for count in (1.0, "1", None, True):
        for call in (lambda c: svd_attack(p, c), lambda c: eigenvector_attack(p, 0, c)):
            with pytest.raises(TypeError, match=r"count: expected an integer ≥ 0"):
                call(count)
    for call in (lambda: svd_attack(p, -1), lambda: eigenvector_attack(p, 0, -1)):
        with pytest.raises(ValueError, match=r"count: expected an integer ≥ 0, got -1"):
            call()
    for output, kind in ((3, ValueError), ([1.0], ValueError), ("a", TypeError)):
        for count in (0, 1):
            with pytest.raises(kind, match="output: expected"):
                eigenvector_attack(p, output, count)
    with pytest.raises(ValueError, match=r"center: expected shape \(6,\)"):
        svd_attack(p, 1, center=np.ones(3))
    flat = approximate(MLP(np.zeros((2, 3)), None, np.ones((1, 2)), activation="gelu"), Gaussian(np.zeros(3)), 2)
    with pytest.raises(ValueError, match=r"count: expected at most 0, the rank of the linear part of p, got 1"):
        svd_attack(flat, 1)
    with pytest.raises(ValueError, match=r"count: expected at most 0, the rank of the quadratic part of p, got 1"):
        eigenvector_attack(flat, 0, 1)


def test_curves_that_cannot_be_drawn() -> None:
    attack, x, labels = Projection(np.eye(3)[:2]), np.ones((4, 3)), np.zeros(4, int)
    tried_out = lambda z: z if len(z) == 1 else never(z)  # noqa: E731
    with pytest.raises(TypeError, match=r"attack: expected a Projection, .* got ndarray; Projection\(directions\)"):
        attack_curve([never], np.eye(3), x, labels)  # type: ignore[arg-type]
    for functions in ([], [1.0], 3, [never, None]):
        with pytest.raises(TypeError, match=r"functions: expected a function"):
            attack_curve(functions, attack, x, labels)  # type: ignore[arg-type]
    calls = {
        r"x: expected shape \(…, 3\) to match the attack, got \(4, 2\)": (never, x[:, :2], labels),
        r"x: expected shape \(…, 3\) to match the attack, got \(\)": (never, 1.0, labels),
        r"x: expected at least one point": (never, x[:0], labels[:0]),
        r"x\[0:4\]: expected finite": (never, x * np.nan, labels),
        r"labels: expected shape \(4,\), one for each point, got \(3,\)": (tried_out, x, labels[:3]),
        r"labels: expected 0 … 2, one for each output, got 3 at index 0": (tried_out, x, labels + 3),
        r"functions\[0\]\(x\): expected shape \(1, any\)": (lambda z: z[:, 0], x, labels),
    }
    for message, (function, points, classes) in calls.items():
        with pytest.raises(ValueError, match="^" + message):
            attack_curve(function, attack, points, classes)
    with pytest.raises(ValueError, match=r"functions\[1\]: expected 3 outputs, as many as functions\[0\] has, got 2"):
        attack_curve([tried_out, lambda z: z[:, :2]], attack, x, labels)
