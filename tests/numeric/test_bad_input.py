"""Bad input: one clear error each, before any work."""

import numpy as np
import pytest

from numeric.convert import approximate
from numeric.dense import DensePolynomial
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP

NAN, INF = np.nan, np.inf
W_IN, B_IN, W_OUT, B_OUT = np.ones((4, 3)), np.ones(4), np.ones((2, 4)), np.ones(2)
LAYER = MLP(W_IN, B_IN, W_OUT, B_OUT)
GATED = GLU(W_IN, B_IN, W_IN, B_IN, W_OUT, B_OUT)
INPUTS = Gaussian(np.zeros(3))
P = approximate(LAYER, INPUTS, 2)
Q = approximate(GATED, INPUTS, 2)


def with_entry(array: np.ndarray, value: float) -> np.ndarray:
    changed = np.array(array, dtype=float)
    changed.flat[-1] = value
    return changed


NOT_REAL = [
    np.ones(3) + 1j,
    np.array([1, "a", None], dtype=object),
    np.array(["a"]),
    np.array(["2020-01-01"], "M8"),
]


@pytest.mark.parametrize("bad", NOT_REAL, ids=lambda a: a.dtype.kind)
def test_dtypes_that_are_not_real(bad: np.ndarray) -> None:
    square = np.broadcast_to(bad[:1], (3, 3))
    calls = [
        lambda: Gaussian(bad),
        lambda: Gaussian(np.zeros(len(bad)), bad),
        lambda: Gaussian(np.zeros(3), square),
        lambda: Gaussian.from_samples(square),
        lambda: Gaussian.from_factor(np.zeros(3), square),
        lambda: MLP(square, None, np.ones((1, 3))),
        lambda: MLP(np.ones((3, 3)), square[0], np.ones((1, 3))),
        lambda: MLP(np.ones((3, 3)), None, square),
        lambda: MLP(np.ones((3, 3)), None, np.ones((3, 3)), square[0]),
        lambda: GLU(square, None, np.ones((3, 3)), None),
        lambda: GLU(np.ones((3, 3)), square[0], np.ones((3, 3)), None),
        lambda: GLU(np.ones((3, 3)), None, square, None),
        lambda: GLU(np.ones((3, 3)), None, np.ones((3, 3)), square[0]),
        lambda: GLU(np.ones((3, 3)), None, np.ones((3, 3)), None, square),
        lambda: GLU(np.ones((3, 3)), None, np.ones((3, 3)), None, None, square[0]),
        lambda: LAYER(square),
        lambda: GATED(square),
        lambda: P(square),
        lambda: Q(square),
        lambda: Q.about(square[0]),
        lambda: P.dense()(square),
        lambda: P.about(square[0]),
        lambda: DensePolynomial(np.zeros(3), [bad]),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"expected an array of real numbers, got dtype"):
            call()


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_entries_that_are_not_finite(value: float) -> None:
    calls = {
        "mean": lambda: Gaussian(with_entry(np.zeros(3), value)),
        "cov": lambda: Gaussian(np.zeros(3), with_entry(np.ones(3), value)),
        "cov ": lambda: Gaussian(np.zeros(3), with_entry(np.eye(3), value)),
        "X": lambda: Gaussian.from_samples(with_entry(np.ones((5, 3)), value)),
        "F": lambda: Gaussian.from_factor(np.zeros(3), with_entry(np.ones((3, 2)), value)),
        "W_in": lambda: MLP(with_entry(W_IN, value), B_IN, W_OUT),
        "b_in": lambda: MLP(W_IN, with_entry(B_IN, value), W_OUT),
        "W_out": lambda: MLP(W_IN, B_IN, with_entry(W_OUT, value)),
        "b_out": lambda: MLP(W_IN, B_IN, W_OUT, with_entry(B_OUT, value)),
        "W_gate": lambda: GLU(with_entry(W_IN, value), B_IN, W_IN, B_IN),
        "b_gate": lambda: GLU(W_IN, with_entry(B_IN, value), W_IN, B_IN),
        "W_up": lambda: GLU(W_IN, B_IN, with_entry(W_IN, value), B_IN),
        "b_up": lambda: GLU(W_IN, B_IN, W_IN, with_entry(B_IN, value)),
        "W_out ": lambda: GLU(W_IN, B_IN, W_IN, B_IN, with_entry(W_OUT, value)),
        "b_out ": lambda: GLU(W_IN, B_IN, W_IN, B_IN, None, with_entry(B_IN, value)),
        "center": lambda: P.about(with_entry(np.zeros(3), value)),
        "center ": lambda: DensePolynomial([value], [[1.0]]),
        r"coefficients\[0\]": lambda: DensePolynomial([0.0], [[value]]),
    }
    for name, call in calls.items():
        message = rf"^{name.strip()}.*: expected finite entries, got 1 .* at index"
        with pytest.raises(ValueError, match=message):
            call()


def test_shapes() -> None:
    calls = {
        r"mean: expected shape \(any,\), got \(\)": lambda: Gaussian(0.0),
        r"mean: expected shape \(any,\), got \(1, 3\)": lambda: Gaussian(np.zeros((1, 3))),
        r"mean: expected at least one entry": lambda: Gaussian([]),
        r"cov: expected None, variances of shape \(3,\) or a matrix .* got \(2,\)": lambda: Gaussian(
            np.zeros(3), np.ones(2)
        ),
        r"cov: .* got \(3, 2\)": lambda: Gaussian(np.zeros(3), np.ones((3, 2))),
        r"cov: .* got \(\)": lambda: Gaussian(np.zeros(3), 1.0),
        r"X: expected shape \(any, any\), got \(3,\)": lambda: Gaussian.from_samples(np.zeros(3)),
        r"X: expected shape \(any, any\), got \(\)": lambda: Gaussian.from_samples(1.0),
        r"X: expected at least one entry along every axis, got shape \(0, 3\)": lambda: Gaussian.from_samples(
            np.zeros((0, 3))
        ),
        r"F: expected shape \(3, any\), got \(2, 3\)": lambda: Gaussian.from_factor(np.zeros(3), np.ones((2, 3))),
        r"F: expected shape \(3, any\), got \(3,\)": lambda: Gaussian.from_factor(np.zeros(3), np.ones(3)),
        r"W_in: expected shape \(any, any\), got \(3,\)": lambda: MLP(np.ones(3), None, W_OUT),
        r"b_in: expected shape \(4,\), got \(3,\)": lambda: MLP(W_IN, np.ones(3), W_OUT),
        r"W_out: expected shape \(any, 4\), got \(4, 2\)": lambda: MLP(W_IN, B_IN, W_OUT.T),
        r"b_out: expected shape \(2,\), got \(4,\)": lambda: MLP(W_IN, B_IN, W_OUT, np.ones(4)),
        r"W_in: expected at least one entry": lambda: MLP(np.ones((0, 3)), None, np.ones((2, 0))),
        r"W_gate: expected shape \(any, any\), got \(3,\)": lambda: GLU(np.ones(3), None, W_IN, None),
        r"b_gate: expected shape \(4,\), got \(3,\)": lambda: GLU(W_IN, np.ones(3), W_IN, None),
        r"W_up: expected shape \(4, 3\), got \(3, 4\)": lambda: GLU(W_IN, None, W_IN.T, None),
        r"W_up: expected shape \(4, 3\), got \(4, 2\)": lambda: GLU(W_IN, None, W_IN[:, :2], None),
        r"b_up: expected shape \(4,\), got \(3,\)": lambda: GLU(W_IN, None, W_IN, np.ones(3)),
        r"W_out: expected shape \(any, 4\), got \(4, 3\)": lambda: GLU(W_IN, None, W_IN, None, W_IN),
        r"b_out: expected shape \(4,\), got \(2,\)": lambda: GLU(W_IN, None, W_IN, None, None, np.ones(2)),
        r"b_out: expected shape \(2,\), got \(3,\)": lambda: GLU(W_IN, None, W_IN, None, W_OUT, np.ones(3)),
        r"W_gate: expected at least one entry": lambda: GLU(np.ones((0, 3)), None, np.ones((0, 3)), None),
        r"x: expected shape \(…, 3\), got \(2, 4\)": lambda: LAYER(np.ones((2, 4))),
        r"x: expected shape \(…, 3\), got \(4,\)\Z": lambda: GATED(np.ones(4)),
        r"x: expected shape \(…, 3\), got \(5,\)": lambda: Q(np.ones(5)),
        r"x: expected shape \(…, 3\), got \(\)": lambda: LAYER(1.0),
        r"x: expected shape \(…, 3\), got \(3, 1\)": lambda: P(np.ones((3, 1))),
        r"x: expected shape \(…, 3\), got \(4,\)": lambda: P.dense()(np.ones(4)),
        r"center: expected shape \(3,\), got \(2,\)": lambda: P.about(np.ones(2)),
        r"coefficients\[1\]: expected shape \(1, 2\), got \(2,\)": lambda: DensePolynomial([0, 0], [[1], [1, 2]]),
        r"coefficients: expected at least the constant": lambda: DensePolynomial([0, 0], []),
        r"W_in: expected a rectangular array": lambda: MLP([[1, 2], [3]], None, W_OUT),
    }
    for message, call in calls.items():
        with pytest.raises(ValueError, match="^" + message):
            call()


def test_covariances_that_are_none() -> None:
    with pytest.raises(ValueError, match=r"cov: expected variances ≥ 0, got -1e-20 at index 1"):
        Gaussian(np.zeros(2), [1.0, -1e-20])
    with pytest.raises(ValueError, match=r"symmetric matrix, got cov\[0, 1\] = 0.5 and cov\[1, 0\] = 0.4"):
        Gaussian(np.zeros(2), [[1.0, 0.5], [0.4, 1.0]])
    with pytest.raises(ValueError, match=r"smallest eigenvalue is -0.333 times the largest"):
        Gaussian(np.zeros(2), [[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="semidefinite"):
        Gaussian(np.zeros(2), -np.eye(2))
    with pytest.raises(ValueError, match="semidefinite"):
        Gaussian(np.zeros(2), [[0.0, 1e-3], [1e-3, 1.0]])
    with pytest.raises(ValueError, match="semidefinite"):
        Gaussian(np.zeros(2), np.diag([1.0, -1e-7]))
    Gaussian(np.zeros(2), np.diag([1.0, -1e-9]))
    Gaussian(np.zeros(2), np.zeros((2, 2)))


@pytest.mark.parametrize("scale", [1e-200, 1e-8, 1e8, 1e200])
def test_semidefinite_at_any_scale(scale: float) -> None:
    Gaussian(np.zeros(2), scale * np.array([[1.0, 1.0], [1.0, 1.0]]))
    with pytest.raises(ValueError, match="semidefinite"):
        Gaussian(np.zeros(2), scale * np.array([[1.0, 1.1], [1.1, 1.0]]))


def test_unknown_activation_suggests_names() -> None:
    with pytest.raises(ValueError, match="gelu"):
        MLP(W_IN, B_IN, W_OUT, activation="gleu")
    with pytest.raises(ValueError, match="silu"):
        GLU(W_IN, B_IN, W_IN, B_IN, activation="sillu")
    with pytest.raises(TypeError):
        MLP(W_IN, B_IN, W_OUT, activation=np.tanh)


@pytest.mark.parametrize("degree", [2.0, "2", None, True, np.float64(1), np.bool_(True), [1]])
def test_degrees_of_the_wrong_kind(degree: object) -> None:
    with pytest.raises(TypeError, match=r"degree: expected an integer ≥ 0, got"):
        approximate(LAYER, INPUTS, degree)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"k: expected an integer ≥ 0, got"):
        P.coefficient(degree)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"k: expected an integer ≥ 0, got"):
        P.dense().coefficient(degree)  # type: ignore[arg-type]


def test_negative_degrees() -> None:
    with pytest.raises(ValueError, match=r"degree: expected an integer ≥ 0, got -1"):
        approximate(LAYER, INPUTS, -1)
    with pytest.raises(ValueError, match=r"k: expected an integer ≥ 0, got -1"):
        P.coefficient(-1)
    with pytest.raises(ValueError, match=r"n: expected an integer ≥ 0, got -1"):
        INPUTS.sample(-1, 0)


def test_approximate_refuses_what_does_not_fit_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: object) -> None:
        raise AssertionError("work began")

    monkeypatch.setattr(Gaussian, "project", work)
    monkeypatch.setattr(Gaussian, "project_pairs", work)
    for layer in (LAYER, GATED):
        with pytest.raises(ValueError, match=r"inputs: expected dim 3 to match layer.d_in, got 2"):
            approximate(layer, Gaussian(np.zeros(2)))
    with pytest.raises(TypeError, match=r"layer: expected an MLP or a GLU, got ndarray"):
        approximate(W_IN, INPUTS)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"a Gaussian, a GaussianMixture or Samples, got ndarray; Samples"):
        approximate(LAYER, np.zeros((5, 3)))  # type: ignore[arg-type]
    for layer in (LAYER, GATED):
        with pytest.raises(AssertionError, match="work began"):
            approximate(layer, INPUTS)


def test_overflow_is_an_error_not_garbage() -> None:
    huge = Gaussian(np.zeros(1), [1e300])
    with pytest.raises(OverflowError, match="preactivation of neuron 1"):
        approximate(MLP([[1.0], [1e200]], None, [[1.0, 1.0]], activation="relu"), huge)
    with pytest.raises(OverflowError, match=r"the gate's preactivation of neuron 1 overflows: mean 0\.0, std inf"):
        approximate(GLU([[1.0], [1e200]], None, [[1.0], [1.0]], None), huge)
    with pytest.raises(OverflowError, match=r"what the gate of neuron 1 multiplies overflows: mean 0\.0, coupling inf"):
        approximate(GLU([[1.0], [1.0]], None, [[1.0], [1e200]], None), huge)
    with pytest.raises(OverflowError, match="the gated product of neuron 0 overflows"):
        approximate(GLU([[1e150]], None, [[0.0]], [1e200]), Gaussian(np.zeros(1)), 1)
    with pytest.raises(OverflowError, match="the mean of 'square' is beyond double precision for 1 of 1 pairs"):
        approximate(MLP([[1e50]], None, [[1.0]], activation="square"), huge)
    with pytest.raises(ValueError, match="overflows double precision"):
        Gaussian.from_samples([[1e300], [-1e300]])
