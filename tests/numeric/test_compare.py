"""Comparison on data: against the definitions, in exact or high-precision arithmetic."""

import pickle
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numeric import compare as module
from numeric.compare import (
    Comparison,
    accuracy,
    agreement,
    comparison,
    fvu,
    kl_divergence,
    r_squared,
    total_fvu,
)
from numeric.convert import approximate
from numeric.inputs import Gaussian
from numeric.layers import MLP
from tests.numeric.problems import weights

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


# The definitions


def exact_fvu(f: np.ndarray, p: np.ndarray) -> tuple[list[float], float]:
    """By output and in total, in rational arithmetic; 0/0 = 0."""
    residuals, variances = [], []
    for f_o, p_o in zip(f.T, p.T):
        values, others = [Fraction(float(v)) for v in f_o], [Fraction(float(v)) for v in p_o]
        mean = sum(values) / len(values)
        residuals.append(sum((v - w) ** 2 for v, w in zip(values, others)))
        variances.append(sum((v - mean) ** 2 for v in values))
    ratio = lambda a, b: float(a / b) if b else (np.inf if a else 0.0)  # noqa: E731
    return [ratio(a, b) for a, b in zip(residuals, variances)], ratio(sum(residuals), sum(variances))


def exact_divergences(f: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Σ P log(P/Q) of every row, as the definition says, in 60 digits with exponents of any size."""
    with mpmath.workdps(60):
        found = []
        for f_row, p_row in zip(f, p):
            P, Q = ([mpmath.exp(mpmath.mpf(float(v))) for v in row] for row in (f_row, p_row))
            P, Q = [v / mpmath.fsum(P) for v in P], [v / mpmath.fsum(Q) for v in Q]
            found.append(float(mpmath.fsum(a * mpmath.log(a / b) for a, b in zip(P, Q))))
    return np.array(found)


def first_largest(row: np.ndarray) -> int:
    return next(i for i, v in enumerate(row) if all(v >= w for w in row))


def assert_same(actual: Any, expected: Any, tolerance: float = 1e-12) -> None:
    """Equal to a relative tolerance, infinities and NaN included."""
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=0)


def test_the_definitions_by_hand() -> None:
    f, p = np.array([[1.0, 0.0], [3.0, 0.0]]), np.array([[1.0, 0.0], [2.0, 1.0]])
    assert exact_fvu(f, p) == ([0.5, np.inf], 1.0)
    # P = (1/2, 1/2), Q = (3/4, 1/4)
    by_hand = 0.5 * np.log(2 / 3) + 0.5 * np.log(2)
    assert_same(exact_divergences(np.zeros((1, 2)), np.log([[3.0, 1.0]])), [by_hand])
    assert [first_largest(row) for row in np.array([[0, 2, 2], [1, 1, 0], [0, 0, 1]])] == [1, 0, 2]


def test_the_helper_notices_errors() -> None:
    for wrong in (1.0 + 1e-11, np.nan, np.inf):
        with pytest.raises(AssertionError):
            assert_same(wrong, 1.0)
    with pytest.raises(AssertionError):
        assert_same(1e-300, 0.0)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of outputs: near or far from each other, at any offset and scale, constant outputs and ties included."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    scale = 10.0 ** draw(st.integers(-3, 3))
    f = scale * rng.standard_normal(shape) + draw(st.sampled_from([0.0, 1e3, -1e6]))
    p = f + scale * 10.0 ** draw(st.integers(-6, 1)) * rng.standard_normal(shape)
    if draw(st.booleans()):
        f[:, 0] = 0.1
    if draw(st.booleans()):
        p[:, -1] = f[:, -1]
    if draw(st.booleans()):
        f, p = np.round(f), np.round(p)
    return f, p


@SETTINGS
@given(pairs(), st.integers(1, 50))
def test_everything_is_its_definition_in_any_chunks(pair: tuple[np.ndarray, np.ndarray], rows: int) -> None:
    f, p = pair
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MOST_POINTS", 1)
        patch.setattr(module, "_ELEMENTS", rows * f.shape[1])
        found = comparison(f, p)
        single = fvu(f, p), total_fvu(f, p), r_squared(f, p), kl_divergence(f, p), agreement(f, p)
    assert found.n == len(f)
    by_output, total = exact_fvu(f, p)
    assert_same(found.fvu, by_output, 1e-9)  # what an offset of 1e6 costs a deviation of 1e-3
    assert_same(found.total_fvu, total, 1e-9)
    assert_same(found.r_squared, 1 - np.array(by_output), 1e-9)
    assert found.total_r_squared == 1 - found.total_fvu
    divergences = exact_divergences(f, p)
    rounding = 1e-15 * (np.abs(p - f).max() + 1)
    assert abs(found.kl - divergences.mean()) <= 1e-8 * divergences.mean() + rounding
    assert found.kl >= 0
    if len(f) > 1:
        error = divergences.std(ddof=1) / np.sqrt(len(f))
        assert abs(found.kl_standard_error - error) <= 1e-8 * divergences.max() + rounding
    else:
        assert np.isnan(found.kl_standard_error)
    assert found.agreement == np.mean([first_largest(a) == first_largest(b) for a, b in zip(f, p)])
    np.testing.assert_equal(
        single,
        (found.fvu, found.total_fvu, found.r_squared, (found.kl, found.kl_standard_error), found.agreement),
    )


# Fraction of variance unexplained


@pytest.mark.parametrize(("f", "p", "expected"), [(0.1, 0.1, 0.0), (0.1, 0.2, np.inf), (1e9, 1e9, 0.0)])
def test_outputs_that_do_not_vary(f: float, p: float, expected: float) -> None:
    # 0.1 summed 100,000 times is not 10,000; its deviations are zero all the same
    values, others = np.full((100_000, 1), f), np.full((100_000, 1), p)
    assert fvu(values, others).item() == expected
    assert total_fvu(values, others) == expected


def test_the_mean_has_an_fvu_of_one_and_an_offset_costs_nothing() -> None:
    f = np.random.default_rng(0).standard_normal((20_000, 2)) + 2.0**30
    assert_same(fvu(f, np.broadcast_to(f.mean(axis=0), f.shape)), [1.0, 1.0], 1e-9)
    # the residual is not centred
    assert_same(fvu(f, f + 1.0), 1 / f.var(axis=0), 1e-9)


def test_under_the_inputs_of_a_polynomial_it_estimates_its_fvu() -> None:
    rng = np.random.default_rng(1)
    layer = MLP(*weights(rng, 4, 20, 3, spread=1.5), "relu")
    inputs = Gaussian(rng.standard_normal(4), np.diag([1.0, 2.0, 0.5, 0.0]))
    p = approximate(layer, inputs, 2)
    found = comparison(layer, p, inputs.sample(40_000, 2))
    # means of 40,000 squares, of standard errors of 1 or 2 percent
    np.testing.assert_allclose(found.fvu, p.fvu, rtol=0.1)
    np.testing.assert_allclose(found.total_fvu, p.total_fvu, rtol=0.1)


# Divergence of softmaxes

HARD = {
    "equal": ([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]]),
    "shifted": ([[1.0, 2.0, 3.0]], [[1e3 + 1.0, 1e3 + 2.0, 1e3 + 3.0]]),
    "a single output": ([[5.0]], [[-3.0]]),
    "shifted far": ([[0.5, 0.25, 0.0]], [[2.0**30 + 0.5, 2.0**30 + 0.25, 2.0**30 + 2.0**-10]]),
    "near": ([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0 + 2.0**-30]]),
    "huge, same class": ([[1e6, 0.0]], [[2e6, 0.0]]),
    "huge, other class": ([[1e6, 0.0]], [[0.0, 1e6]]),
    "approximation alone huge": ([[0.0, 0.5]], [[0.0, 1e5]]),
    "unlikely class": ([[800.0, 0.0]], [[800.0, 700.0]]),
    "unlikely class, now likely": ([[600.0, 0.0]], [[0.0, 10.0]]),
    "equal but for a class without weight": ([[2000.0, 1.0, -2000.0]], [[2000.0, 1.0, 1500.0]]),
}


@pytest.mark.parametrize(("f", "p"), HARD.values(), ids=HARD)
def test_divergences_that_are_hard(f: list[list[float]], p: list[list[float]]) -> None:
    f_values, p_values = np.array(f), np.array(p)
    truth = exact_divergences(f_values, p_values)
    found = kl_divergence(f_values, p_values)
    assert found.mean >= 0
    np.testing.assert_allclose(found.mean, truth[0], rtol=1e-12, atol=1e-55)


def test_a_divergence_near_zero_keeps_its_digits() -> None:
    # P log(P/Q) cancels from 1 to 1e-17 here
    f = np.random.default_rng(3).standard_normal((50, 10))
    p = f + 2.0**-28 * np.sign(np.random.default_rng(4).standard_normal(f.shape))
    assert_same(kl_divergence(f, p).mean, exact_divergences(f, p).mean(), 1e-7)
    assert 1e-18 < kl_divergence(f, p).mean < 1e-16


def test_no_divergence_is_negative() -> None:
    f = np.random.default_rng(10).standard_normal((200, 4))
    f[:, 3] = -2000.0
    for p in (f, f + 0.1, f + np.array([0.0, 0.0, 0.0, 600.0])):
        assert min(kl_divergence(f[[i]], p[[i]]).mean for i in range(200)) >= 0


def test_the_standard_error_is_that_of_a_mean() -> None:
    # two values of KL, a and 0, half of the points each: standard deviation a/2
    f, p = np.zeros((1000, 2)), np.zeros((1000, 2))
    p[::2, 0] = np.log(3.0)
    a = exact_divergences(f[:1], p[:1])[0]
    found = kl_divergence(f, p)
    assert_same(found.mean, a / 2)
    assert_same(found.standard_error, a / 2 / np.sqrt(999))


# Classes


def test_ties_go_to_the_first() -> None:
    f = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [-0.0, 0.0]])
    p = np.array([[2.0, 1.0], [1.0, 2.0], [1.0, 1.0], [5.0, 0.0]])
    assert agreement(f, p) == 0.5
    assert accuracy(f, None, [0, 0, 1, 0]) == 1.0
    assert accuracy(f, None, [1, 1, 0, 1]) == 0.0


def test_accuracy_is_the_share_of_right_labels() -> None:
    rng = np.random.default_rng(5)
    x, labels = rng.standard_normal((100, 4)), rng.integers(0, 4, 100)
    expected = np.mean([first_largest(row) == label for row, label in zip(x, labels)])
    for kind in (np.uint8, np.int64, np.uint64):
        assert accuracy(lambda z: z, x, labels.astype(kind)) == expected
    assert accuracy(x, None, labels.tolist()) == expected
    assert accuracy(x.reshape(20, 5, 4), None, labels.reshape(20, 5)) == expected


# What data may be


def test_functions_values_and_shapes() -> None:
    rng = np.random.default_rng(6)
    layer = MLP(*weights(rng, 3, 8, 2), "gelu")
    p = approximate(layer, Gaussian(np.zeros(3)), 1)
    x = rng.standard_normal((4, 5, 3))
    expected = comparison(layer(x), p(x))
    for found in (
        comparison(layer, p, x),
        comparison(layer(x), p, x),
        comparison(layer, p(x), x),
        comparison(layer(x), p(x), x),
    ):
        assert found.n == 20
        np.testing.assert_allclose(found.fvu, expected.fvu, rtol=1e-12)
        np.testing.assert_allclose([found.kl, found.agreement], [expected.kl, expected.agreement], rtol=1e-12)
    assert comparison(layer, p, x[0, 0]).n == 1


def test_integers_reach_functions_as_float64_and_float32_as_it_is() -> None:
    seen = []
    for kind in (np.uint8, np.int32, np.bool_, np.float32, np.float16, np.longdouble):
        fvu(lambda z: seen.append(z.dtype) or z, lambda z: z, np.ones((3, 2), kind))
    assert set(seen[:6]) == {np.dtype(np.float64)}
    assert seen[6:] == [np.float32] * 2 + [np.float16] * 2 + [np.float64] * 2
    # 200 + 100 is not 44
    values = np.array([[100, 200], [200, 100]], np.uint8)
    assert fvu(lambda z: z + z, values, values).tolist() == exact_fvu(2.0 * values, 1.0 * values)[0]


def test_float32_values_are_summed_in_float64() -> None:
    f = (1.0 + np.random.default_rng(7).random((20_000, 1))).astype(np.float32)
    p = f + np.float32(2**-10)
    true = exact_fvu(f, p)[0]  # of 20,000 fractions, which takes seconds
    for found in (fvu(f, p), fvu(lambda z: z, lambda z: z + np.float32(2**-10), f)):
        assert_same(found, true)


def test_memory_stays_bounded_for_memory_maps(tmp_path: Path) -> None:
    n, d = 400_000, 16
    x = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(n, d))
    x[:] = np.random.default_rng(8).standard_normal((n, d), dtype=np.float32)
    W = np.random.default_rng(9).standard_normal((d, 3))
    tracemalloc.start()
    found = comparison(lambda z: z @ W, lambda z: z @ W + 0.5, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 4
    np.testing.assert_allclose(found.fvu, 0.25 / (x @ W).var(axis=0), rtol=1e-6)


def test_every_function_is_evaluated_once_at_every_point() -> None:
    calls: list[int] = []
    x = np.arange(60_000.0).reshape(20_000, 3)
    comparison(lambda z: calls.append(len(z)) or z, x, x)
    assert (calls[0], sum(calls[1:])) == (1, 20_000)


def test_repr_pickle_and_read_only() -> None:
    found = Comparison(10_000, np.array([0.25, 0.5]), 0.375, 0.012345, 0.00087, 0.984)
    assert repr(found) == "Comparison(n=10000, total_fvu=0.375, kl=0.0123 ± 0.0009, agreement=98.4%)"
    found = comparison(np.eye(2), np.ones((2, 2)))
    copy = pickle.loads(pickle.dumps(found))
    assert repr(copy) == repr(found)
    for one in (found, copy):
        with pytest.raises(ValueError, match="read-only"):
            one.fvu[0] = 1.0
        with pytest.raises(AttributeError):
            one.n = 3  # type: ignore[misc]


# Bad input


def with_entry(value: float, shape: tuple[int, ...] = (4, 2)) -> np.ndarray:
    changed = np.ones(shape)
    changed.flat[-1] = value
    return changed


def never(_: np.ndarray) -> np.ndarray:
    raise AssertionError("work began")


ONES, TWO = np.ones((4, 2)), lambda z: z[:, :2]
MEASURES = (comparison, fvu, total_fvu, r_squared, kl_divergence, agreement)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.__name__)
def test_what_cannot_be_compared(measure: Any) -> None:
    calls = {
        r"x\[0:4\]: expected finite entries, got 1 .* at index \(3, 1\)": (never, never, with_entry(np.nan)),
        r"x\[0:4\]: .*inf": (never, ONES, with_entry(np.inf)),
        r"true\[0:4\]: expected finite": (with_entry(np.nan), never, ONES),
        r"approximation\[0:4\]: expected finite": (never, with_entry(np.inf), ONES),
        r"true\(x\): expected finite": (lambda z: z * np.nan, TWO, ONES),
        r"approximation\(x\): expected finite": (TWO, lambda z: z / 0, ONES),
        r"x: expected at least one point and one entry for each, got shape \(0, 2\)": (never, never, np.ones((0, 2))),
        r"x: expected at least one point .* got shape \(3, 0\)": (never, never, np.ones((3, 0))),
        r"true: expected at least one point": (np.ones((0, 2)), np.ones((0, 2)), None),
        r"x: expected shape \(…, any\), got \(\)": (never, never, 1.0),
        r"true: expected shape \(…, any\), got \(\)": (1.0, 1.0, None),
        r"x: expected a rectangular array": (never, never, [[1, 2], [3]]),
        r"approximation: expected shape \(4, any\) to match x, got \(3, 2\)": (never, np.ones((3, 2)), ONES),
        r"approximation: expected shape \(4, any\) to match true, got \(2, 2, 2\)": (ONES, np.ones((2, 2, 2)), None),
        r"approximation: expected 2 outputs, as many as true has, got 3": (ONES, np.ones((4, 3)), None),
        r"approximation: expected 1 outputs, as many as true has, got 2": (lambda z: z[:, :1], TWO, ONES),
        r"true\(x\): expected shape \(1, any\) .* got \(1,\); return values\[..., None\]": (
            lambda z: z[:, 0],
            TWO,
            ONES,
        ),
        r"approximation\(x\): expected shape \(1, any\) for x of shape \(1, 2\), got \(2, 1\)": (
            TWO,
            lambda z: z.T,
            ONES,
        ),
        r"true\(x\): expected shape \(4, 2\)": (lambda z: z if len(z) == 1 else z[:, :1], TWO, ONES),
    }
    with np.errstate(divide="ignore"):
        for message, arguments in calls.items():
            with pytest.raises(ValueError, match="^" + message):
                measure(*arguments)
    with pytest.raises(TypeError, match=r"x: expected points \(…, d\), because approximation is a function; got None"):
        measure(ONES, never)
    for bad in (ONES + 1j, ONES.astype(str), np.ma.masked_array(ONES)):
        for arguments in ((never, never, bad), (bad, ONES, None), (lambda _, bad=bad: bad[:1], ONES, ONES)):
            with pytest.raises(TypeError, match=r"expected an array"):
                measure(*arguments)


def test_a_layer_says_itself_that_points_have_the_wrong_length() -> None:
    layer = MLP(np.ones((4, 3)), None, np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"x: expected shape \(…, 3\)"):
        comparison(layer, layer, np.ones((5, 4)))


def test_overflow_is_an_error() -> None:
    huge = np.array([[1e200, 0.0], [-1e200, 0.0]])
    for measure in (comparison, fvu, total_fvu):
        with pytest.raises(OverflowError, match="squares of values are beyond double precision"):
            measure(huge, -huge)
    assert kl_divergence(huge, -huge).mean == 1e200
    for measure in (comparison, kl_divergence):
        with pytest.raises(OverflowError, match="differences of logits"):
            measure(1e108 * huge, -1e108 * huge)


def test_labels_that_are_none() -> None:
    x = np.ones((4, 2))
    calls = {
        r"labels: expected 0 … 1, one for each output, got 2 at index 3": [0, 1, 0, 2],
        r"labels: expected 0 … 1, one for each output, got -1 at index 0": [-1, 1, 0, 0],
        r"labels: expected shape \(4,\), one for each point, got \(3,\)": [0, 1, 0],
        r"labels: expected shape \(4,\), .* got \(4, 2\); one-hot labels become integers by .argmax": np.ones(
            (4, 2), int
        ),
        r"labels: expected shape \(4,\), one for each point, got \(\)": 1,
    }
    for message, labels in calls.items():
        with pytest.raises(ValueError, match="^" + message):
            accuracy(x, None, labels)
        with pytest.raises(ValueError, match="^" + message):
            accuracy(lambda z: z if len(z) == 1 else never(z), x, labels)
    for labels in ([0.0, 1.0, 0.0, 1.0], [True] * 4, ["a"] * 4):
        with pytest.raises(TypeError, match=r"labels: expected"):
            accuracy(x, None, labels)
    with pytest.raises(ValueError, match=r"function: expected at least one point"):
        accuracy(np.ones((0, 2)), None, [])
    with pytest.raises(TypeError, match=r"x: expected points \(…, d\), because function is a function"):
        accuracy(never, None, [0])
