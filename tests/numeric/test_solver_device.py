"""The solver on other libraries and devices: the same results, few looks at numbers, full memories, failures."""

import contextlib
import pickle
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest

import numeric as nm
from numeric import solver as solving
from numeric.dense import DensePolynomial
from numeric.device.arrays import host
from numeric.layers import GLU, MLP
from numeric.mixture import arrays, batches, conjugate_gradients, iteration
from numeric.mixture import operator as operating
from numeric.mixture.coordinates import Coordinates
from numeric.mixture.expectations import placed, right_hand_side
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.operator import MomentOperator
from tests.numeric.mixture_problems import gap, glu, mixture, mlp, scale

Array = strict._array_object.Array


def strict_template(device: str) -> Any:
    return strict.zeros(0, dtype=strict.float64, device=strict.Device(device))


def torch_template() -> Any:
    torch = pytest.importorskip("torch")
    return torch.zeros(0, dtype=torch.float64)


TEMPLATES = {
    "strict": lambda: strict_template("CPU_DEVICE"),
    "strict on a device": lambda: strict_template("device1"),
    "torch": torch_template,
}


def named(made: Any) -> Callable[[Any], Any]:
    """`empty_on`, for which the device of an array is called "cuda"."""
    return lambda name: made if isinstance(name, str) and name == "cuda" else arrays.empty_on(name)


@pytest.fixture(params=[*list(TEMPLATES)[:-1], pytest.param("torch", marks=pytest.mark.torch)])
def template(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An array of some library, which the solver's device "cuda" stands for."""
    made = TEMPLATES[request.param]()
    monkeypatch.setattr(solving, "empty_on", named(made))
    return made


@pytest.fixture
def on_strict(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = strict_template("device1")
    monkeypatch.setattr(solving, "empty_on", named(made))
    return made


def problem(d: int = 12) -> tuple[GaussianMixture, list[MLP | GLU]]:
    bare = glu(3, d, "gelu", 4)
    outputs = GLU(bare.W_gate, bare.b_gate, bare.W_up, None, None, np.ones(4), "gelu")
    return mixture(1, 3, d), [mlp(2, d, "relu", 9, 3), glu(3, d, "relu", 9, 2), outputs]


def solver(inputs: Any, device: str = "cuda", **options: Any) -> nm.Solver:
    return nm.Solver(inputs, device=device, method="iterative", **options)


def assert_same(p: Any, q: Any, tolerance: float = 1e-12) -> None:
    error = gap(p, q, p.inputs) / scale(p.layer, p.inputs)
    assert np.all(error <= tolerance), error


# The same results


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_right_hand_sides(template: Any, degree: int) -> None:
    inputs, layers = problem(5)
    coordinates = Coordinates.of(inputs)
    for layer in layers:
        found = right_hand_side(layer, inputs, coordinates, degree, template)
        assert type(found) is type(template)
        expected = right_hand_side(layer, inputs, coordinates, degree)
        np.testing.assert_allclose(host(found), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("together", [1, 10**3, 10**9])
def test_products_of_several_outputs_together(template: Any, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operating, "TOGETHER", together)
    monkeypatch.setattr("numeric.mixture.expectations.TOGETHER", together)
    inputs, layers = problem(6)
    coordinates = Coordinates.of(inputs)
    parts = (coordinates.weights, coordinates.means, coordinates.covariances)
    rows = np.concatenate([right_hand_side(layer, inputs, coordinates) for layer in layers])
    there = np.concatenate([host(right_hand_side(layer, inputs, coordinates, 2, template)) for layer in layers])
    np.testing.assert_allclose(there, rows, rtol=1e-12, atol=1e-12)
    applied = MomentOperator(*(arrays.like(part, template) for part in parts))(arrays.like(rows.copy(), template))
    np.testing.assert_allclose(host(applied), MomentOperator(*parts)(rows), rtol=1e-11, atol=1e-12)


@pytest.mark.usefixtures("template")
def test_the_same_polynomials_in_as_many_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, layers = problem()
    expected = solver(inputs, "cpu", tol=1e-14).solve(layers)
    late = solver(inputs, tol=1e-14).solve(layers)
    monkeypatch.setattr(iteration, "_LOOK", 1)
    found = solver(inputs, tol=1e-14).solve(layers)
    for p, q, r in zip(found, expected, late):
        assert_same(p, q)
        assert_same(r, q)
        assert abs(p.info.iterations - q.info.iterations) <= 1
        assert 0 <= r.info.iterations - p.info.iterations < 5
        assert isinstance(p.quadratic, np.ndarray)
        np.testing.assert_allclose(p.fvu, q.fvu, rtol=1e-9)


@pytest.mark.usefixtures("template")
def test_on_data() -> None:
    inputs, layers = problem(5)
    X = inputs.sample(300, 0)
    for p, q in zip(*(solver(nm.Samples(X), device, tol=1e-14).solve(layers) for device in ("cuda", "cpu"))):
        np.testing.assert_allclose(p(X), q(X), rtol=1e-6, atol=1e-6 * np.abs(q(X)).max())


@pytest.mark.parametrize("degree", [0, 1, 3])
@pytest.mark.usefixtures("template")
def test_other_degrees(degree: int) -> None:
    inputs, layers = problem(3)
    for layer in layers:
        p, q = (nm.Solver(inputs, degree, device=device).solve(layer) for device in ("cuda", "cpu"))
        np.testing.assert_allclose(p(inputs.means), q(inputs.means), rtol=1e-11, atol=1e-12)


@pytest.mark.usefixtures("template")
def test_outputs_that_depend_on_each_other() -> None:
    """Directions are dropped, and the iteration ends with none left in the middle of several."""
    inputs = mixture(1, 2, 3)
    plain = mlp(5, 3, "relu", 6, 4)
    W = plain.W_out * np.array([[1.0], [0.0], [1.0], [1.0]])
    W[2] = 2 * W[0]
    layer = MLP(plain.W_in, plain.b_in, W, None, "relu")
    p, q = (solver(inputs, device, tol=1e-25).solve(layer) for device in ("cuda", "cpu"))
    # the energy of the output that is zero has no scale
    error = gap(p, q, inputs)
    assert np.all(error <= 1e-12 * np.abs(layer(inputs.sample(99, 0))).max() ** 2), error


# Looks at numbers


@contextlib.contextmanager
def blind(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Numbers of strict arrays can only be seen through `host` of the iteration; counts how often they are."""
    looks, real, allowed = [0], conjugate_gradients.host, [False]

    def host(array: Any) -> Any:
        looks[0] += 1
        allowed[0] = True
        try:
            return real(array)
        finally:
            allowed[0] = False

    with monkeypatch.context() as patch:
        patch.setattr(conjugate_gradients, "host", host)
        for name in ("__bool__", "__float__", "__int__", "__index__", "__array__", "__buffer__"):
            if not hasattr(Array, name):
                continue
            original = getattr(Array, name)

            def seen(self: Any, *args: Any, original: Any = original, **kwargs: Any) -> Any:
                assert allowed[0], "a number was looked at"
                return original(self, *args, **kwargs)

            patch.setattr(Array, name, seen)
        yield looks


@pytest.mark.parametrize("count", [1, 5, 9])
def test_nothing_is_looked_at_within_iterations(on_strict: Any, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, layers = problem()
    made = solver(inputs)
    right = right_hand_side(layers[0], inputs, made._coordinates, 2, on_strict)
    state = conjugate_gradients.start(made._operator, right)
    least = strict.zeros(3, dtype=strict.float64, device=strict.Device("device1"))
    with blind(monkeypatch) as looks:
        assert conjugate_gradients.step(made._operator, made._precondition, state, count, least)
        assert looks == [1]
        with pytest.raises(AssertionError, match="looked at"):
            bool(right[0, 0] > 0)
    assert len(state.gains) == count


def test_several_iterations_at_once_are_those_one_by_one() -> None:
    inputs, layers = problem()
    made = solver(inputs, "cpu")
    right = right_hand_side(layers[0], inputs, made._coordinates)
    several, single = (conjugate_gradients.start(made._operator, right) for _ in range(2))
    conjugate_gradients.step(made._operator, made._precondition, several, 7)
    for _ in range(7):
        conjugate_gradients.step(made._operator, made._precondition, single)
    for name in ("solution", "residual", "directions", "images", "gains"):
        np.testing.assert_array_equal(getattr(several, name), getattr(single, name))


def test_iterations_that_make_no_sense_are_not_done() -> None:
    """Four unknowns are found in four iterations, however many are asked for, and no more directions come then."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((4, 4))
    A, b = root @ root.T, rng.standard_normal((1, 4))
    least = 1e-13 * np.abs(b).max(axis=1)
    state = conjugate_gradients.start(lambda rows: rows @ A, b)
    assert conjugate_gradients.step(lambda rows: rows @ A, lambda rows, _: rows, state, 40, least)
    assert len(state.gains) < 15
    np.testing.assert_allclose(state.solution @ A, b, rtol=1e-9)
    state.residual = np.zeros((1, 4))
    assert not conjugate_gradients.step(lambda rows: rows @ A, lambda rows, _: rows, state, 40, least)


@pytest.mark.usefixtures("template")
def test_an_interrupted_solve_goes_on_without_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, layers = problem()
    whole = solver(inputs).solve(layers[0])
    step, calls = conjugate_gradients.step, []
    with monkeypatch.context() as patch:
        patch.setattr(conjugate_gradients, "step", lambda *args: calls.append(1) or step(*args, *failing(calls, 2)))
        with pytest.raises(KeyboardInterrupt):
            solver(inputs).solve(layers[0], out=tmp_path)
    assert (tmp_path / "state-000000.safetensors").exists()
    resumed = solver(inputs).solve(layers[0], out=tmp_path)
    np.testing.assert_array_equal(resumed.quadratic, whole.quadratic)
    assert resumed.info.iterations == whole.info.iterations


def failing(calls: list[int], at: int, error: BaseException | None = None) -> tuple[()]:
    if len(calls) == at:
        raise error or KeyboardInterrupt
    return ()


@pytest.mark.parametrize("seed", range(4))
def test_as_far_as_iterations_one_by_one_would_go(seed: int) -> None:
    """On a singular system rounding ends them, in the middle of several, and nothing is left of what came after."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((12, 9))
    A, b = root @ root.T, rng.standard_normal((3, 9)) @ root.T
    scale_ = 1 / np.diag(A)
    ends = []
    for count in (1, 7, 40):
        state = conjugate_gradients.start(lambda rows: rows @ A, b)
        while len(state.gains) < 60 and conjugate_gradients.step(
            lambda rows: rows @ A, lambda rows, _: rows * scale_, state, count
        ):
            pass
        ends.append(state)
    assert len(ends[0].gains) < 60
    for end in ends[1:]:
        np.testing.assert_array_equal(end.gains, ends[0].gains)
        np.testing.assert_array_equal(end.solution, ends[0].solution)


# Memory


class OutOfMemoryError(RuntimeError):
    """As PyTorch's and CuPy's are called."""


@pytest.mark.usefixtures("template")
def test_few_outputs_together(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, layers = problem()
    expected = solver(inputs, "cpu", tol=1e-14).solve(layers)
    monkeypatch.setattr("numeric.solver.TOGETHER", 0)
    size = 1 + 12 + 144
    # the mixture's own arrays, and two outputs
    most = 16 * 3 * 144 + 2.5 * 16 * 8 * size
    monkeypatch.setattr(solving, "free_bytes", lambda _: int(most / solving._SHARE))
    run, counts = iteration.Iteration.__call__, []
    monkeypatch.setattr(
        iteration.Iteration,
        "__call__",
        lambda self, operator, right, *rest: counts.append(right.shape[0]) or run(self, operator, right, *rest),
    )
    for p, q in zip(solver(inputs, tol=1e-14).solve(layers), expected):
        assert_same(p, q)
    assert counts == [2, 2, 2, 2, 1]


def test_no_more_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, layers = problem(8)
    assert nm.Solver(inputs)._together() == 128
    for block, expected in ((2, 4), (5, 5)):  # 4 = d/2
        monkeypatch.setattr(solving, "_BLOCK", block)
        assert solver(inputs, "cpu")._together() == expected
    for p, q in zip(solver(inputs, "cpu").solve(layers), layers):
        assert p.info.converged
        assert p.layer is q


@pytest.mark.parametrize("out", [False, True])
@pytest.mark.usefixtures("on_strict")
def test_out_of_memory_halves_what_is_done_together(out: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, layers = problem()
    expected = solver(inputs, "cpu", tol=1e-14).solve(layers)
    made, seen, after = solver(inputs, tol=1e-14), [], 6 if out else 0
    monkeypatch.setattr("numeric.mixture.resume._EVERY", 0.0)  # a state of nine has been written by then
    operator = made._operator

    def small(rows: Any) -> Any:
        seen.append(rows.shape[0])
        if rows.shape[0] > 3 and len(seen) > after:
            raise OutOfMemoryError("CUDA out of memory")
        return operator(rows)

    made._operator = small  # type: ignore[assignment]
    found = made.solve(layers, out=tmp_path if out else None)
    assert seen[: after + 2] == [9] * (after + 1) + [3]
    assert set(seen[after + 1 :]) == {3}
    for p, q in zip(found, expected):
        assert_same(p, q)


def test_right_hand_sides_that_do_not_fit_are_made_on_the_cpu(on_strict: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, layers = problem()
    expected = solver(inputs, tol=1e-14).solve(layers)
    real, seen = solving.right_hand_side, []

    def full(*args: Any) -> Any:
        seen.append(args[4:] == (on_strict,))
        if seen[-1]:
            raise OutOfMemoryError("CUDA out of memory")
        return real(*args)

    monkeypatch.setattr(solving, "right_hand_side", full)
    for p, q in zip(solver(inputs, tol=1e-14).solve(layers), expected):
        assert_same(p, q)
    assert seen == [True, False] * 3


@pytest.mark.usefixtures("on_strict")
def test_not_even_one_output_fits() -> None:
    inputs, layers = problem()
    made, seen = solver(inputs), []

    def full(rows: Any) -> Any:
        seen.append(rows.shape[0])
        raise OutOfMemoryError("CUDA out of memory")

    made._operator = full  # type: ignore[assignment]
    with pytest.raises(MemoryError, match=r'device: the iteration for one output takes about .* GiB are free; .*"cpu"'):
        made.solve(layers)
    assert seen == [9, 3, 1]


# What is solved is not lost


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), RuntimeError("CUDA error: unspecified launch failure\nmore"), OSError("disk")]
)
@pytest.mark.usefixtures("on_strict")
def test_an_error_carries_what_is_solved(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, layers = problem(8)
    expected = solver(inputs).solve(layers[0])
    monkeypatch.setattr(solving, "_BLOCK", 4)  # 3 + 1, of 3 + 2 + 4
    run, calls = iteration.Iteration._converge, []
    monkeypatch.setattr(
        iteration.Iteration, "_converge", lambda *args: calls.append(1) or run(*args, *failing(calls, 2, error))
    )
    with pytest.raises(type(error)) as caught:
        solver(inputs).solve(layers)
    first, *others = caught.value.solved  # type: ignore[attr-defined]
    assert others == [None, None]
    assert isinstance(first.polynomial, DensePolynomial)
    assert first.info.converged
    assert_same(first, expected, 1e-6)
    assert "1 of 3 layers are solved" in caught.value.__notes__[0]


@pytest.mark.usefixtures("on_strict")
def test_nothing_is_done_on_a_device_that_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was solved in pieces is in one piece by then, and the error is the one that says what to do."""
    inputs, layers = problem(8)
    monkeypatch.setattr(nm.Solver, "_together", lambda _: 2)
    run, joined, failed = iteration.Iteration._converge, batches.joined, []

    def converge(*args: Any) -> Any:
        failed.append(1)
        if len(failed) == 3:
            raise RuntimeError("CUDA error: the device is lost")
        return run(*args)

    def joined_before(parts: list[Any]) -> Any:
        if len(failed) == 3 and len(parts) > 1:
            raise RuntimeError("CUDA error: the device is lost")
        return joined(parts)

    monkeypatch.setattr(iteration.Iteration, "_converge", converge)
    monkeypatch.setattr(batches, "joined", joined_before)
    there = [moved(layer) for layer in layers]
    with pytest.raises(RuntimeError, match="the device failed after 0 iterations") as caught:
        solver(inputs).solve(there)
    first, *others = caught.value.solved  # type: ignore[attr-defined]
    assert others == [None, None]
    assert_same(first.cpu(), solver(inputs, "cpu").solve(layers[0]), 1e-6)


def test_errors_carry_polynomials_of_higher_degrees_too(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, layers = problem(3)
    made, real, calls = nm.Solver(inputs, 3), solving.explicit_least_squares, []
    with monkeypatch.context() as patch:
        patch.setattr(
            solving, "explicit_least_squares", lambda *args: calls.append(1) or real(*args, *failing(calls, 2))
        )
        with pytest.raises(KeyboardInterrupt) as caught:
            made.solve(layers)
    first, *others = caught.value.solved  # type: ignore[attr-defined]
    assert others == [None, None]
    np.testing.assert_array_equal(first.quadratic, made.solve(layers[0]).quadratic)


@pytest.mark.parametrize("degree", [2, 3])
def test_a_warning_that_is_an_error_carries_what_it_warns_of(degree: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one for all layers together, of the worst."""
    inputs, layers = problem(3)
    made = nm.Solver(inputs, degree, max_iterations=1, tol=1e-300, method="iterative")
    real = solving.explicit_least_squares
    monkeypatch.setattr(
        solving, "explicit_least_squares", lambda *args: replace(real(*args), error=np.ones(args[0].d_out))
    )
    with pytest.warns(nm.AccuracyWarning) as said:
        expected = made.solve(layers)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", nm.AccuracyWarning)
        with pytest.raises(nm.AccuracyWarning) as caught:
            made.solve(layers)
    for p, q in zip(caught.value.solved, expected):  # type: ignore[attr-defined]
        np.testing.assert_array_equal(p.quadratic, q.quadratic)


@pytest.mark.usefixtures("on_strict")
def test_a_device_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, layers = problem()
    whole = solver(inputs).solve(layers[0])
    monkeypatch.setattr("numeric.mixture.resume._EVERY", 0.0)
    step = conjugate_gradients.step
    lost = RuntimeError("CUDA error: the device is lost\nCompile with …")
    for out, way_on in (
        (None, "with out=, a folder for its state"),
        (tmp_path, "the same call goes on from the state"),
    ):
        calls: list[int] = []

        def failing_step(*args: Any, calls: list[int] = calls) -> bool:
            calls.append(1)
            failing(calls, 3, lost)
            return step(*args)

        with monkeypatch.context() as patch:
            patch.setattr(conjugate_gradients, "step", failing_step)
            with pytest.raises(RuntimeError) as caught:
                solver(inputs).solve(layers[0], out=out)
        assert str(caught.value).startswith(
            f"the device failed after 10 iterations (CUDA error: the device is lost); {way_on}"
        )
        assert caught.value.__cause__ is lost
        assert not hasattr(caught.value, "solved")
    resumed = solver(inputs).solve(layers[0], out=tmp_path)
    np.testing.assert_array_equal(resumed.quadratic, whole.quadratic)


def test_errors_on_the_cpu_are_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: Any) -> bool:
        raise RuntimeError("as it is")

    monkeypatch.setattr(conjugate_gradients, "step", wrong)
    inputs, layers = problem()
    with pytest.raises(RuntimeError, match=r"^as it is$"):
        solver(inputs, "cpu").solve(layers)


# Layers on a device


def moved(layer: MLP | GLU, device: str = "device1") -> MLP | GLU:
    there = placed(layer, strict_template(device))
    assert there is not layer
    return there


def test_weights_may_be_anywhere(on_strict: Any) -> None:
    inputs, layers = problem()
    for layer in layers:
        there = moved(layer)
        assert placed(there, on_strict) is there
        assert placed(there, strict_template("device2")) is not there
        assert placed(layer, np.zeros(0)) is layer
        expected = solver(inputs, "cpu", tol=1e-14).solve(layer)
        for device in ("cpu", "cuda"):
            for given in (there, moved(layer, "device2")):
                p = solver(inputs, device, tol=1e-14).solve(given)
                assert p.layer is given
                assert_same(p.cpu(), expected)
        X = inputs.sample(60, 0)
        np.testing.assert_allclose(
            nm.Solver(nm.Samples(X), 1, device="cuda").solve(there).cpu()(X),
            nm.Solver(nm.Samples(X), 1).solve(layer)(X),
            rtol=1e-9,
        )
        assert nm.Solver(mixture(1, 2, 12), 3).solve(there).info.converged


def assert_there(found: Any, expected: np.ndarray, there: Any, tolerance: float = 1e-9) -> None:
    """An array of the library and on the device of another, with these values."""
    assert type(found) is type(there)
    assert found.device == there.device
    np.testing.assert_allclose(host(found), expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.usefixtures("on_strict")
def test_polynomials_are_where_the_weights_are(degree: int, device: str, tmp_path: Path) -> None:
    inputs = mixture(1, 3, 5)
    X = inputs.sample(40, 0)
    for layer in (mlp(2, 5, "relu", 9, 3), glu(3, 5, "silu", 9, 2)):
        given = moved(layer, "device2")
        there = given.projections[0][0]
        expected = nm.Solver(inputs, degree, tol=1e-14).solve(layer)
        p = nm.Solver(inputs, degree, device=device, tol=1e-14).solve(given)
        for k in range(4):
            assert_there(p.coefficient(k), expected.coefficient(k), there)
        with pytest.raises(AssertionError):
            assert_there(p.constant, 1.001 * expected.constant, there)
        with pytest.raises(AssertionError):
            assert_there(p.constant, expected.constant, strict.zeros(0))
        assert_there(p(arrays.like(X, there)), expected(X), there)
        assert_there(p.fvu, expected.fvu, there)
        assert_there(p.variance_by_degree, expected.variance_by_degree, there) if degree else None
        assert p.total_fvu == pytest.approx(expected.total_fvu, rel=1e-9)
        assert repr(p) == f"{repr(expected)[:-1]}, on {there.device})"
        assert isinstance(p.cpu().constant, np.ndarray)
        assert p.cpu() is p.cpu().cpu()
        assert p.cpu().total_fvu == p.total_fvu
        p.save(tmp_path / "p")
        loaded: Any = nm.load(tmp_path / "p")
        np.testing.assert_array_equal(loaded.constant, p.cpu().constant)
        with pytest.raises(ValueError, match="x: expected an array where the weights are"):
            p(X)


@pytest.mark.usefixtures("on_strict")
def test_starts_on_a_device() -> None:
    inputs, layers = problem()
    given = moved(layers[0], "device2")
    p = solver(inputs).solve(given)
    for start in (p, p.cpu()):
        again = solver(inputs).solve([given, layers[0]], start=[start, start])
        assert all(q.info.iterations < p.info.iterations / 2 for q in again)
        assert [type(q.constant) for q in again] == [Array, np.ndarray]


def test_on_data_where_the_weights_are(on_strict: Any) -> None:
    inputs, layers = problem(5)
    X = inputs.sample(300, 0)
    for layer in layers:
        p = solver(nm.Samples(X), tol=1e-14).solve(moved(layer))
        q = solver(nm.Samples(X), "cpu", tol=1e-14).solve(layer)
        assert_there(p(arrays.like(X, on_strict)), q(X), on_strict, 1e-6)
        assert_there(p.fvu, q.fvu, on_strict, 1e-6)


def test_approximate_solves_where_the_weights_are(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, layers = problem()
    seen, real = [], MomentOperator.__call__
    monkeypatch.setattr(MomentOperator, "__call__", lambda self, rows: seen.append(type(rows)) or real(self, rows))
    monkeypatch.setattr("numeric.mixture.direct.DIRECT", 0)
    monkeypatch.setattr(solving, "DIRECT", 0)
    for layer in layers:
        for given, kind in ((layer, np.ndarray), (moved(layer), Array)):
            seen.clear()
            p = nm.approximate(given, inputs)
            assert set(seen) == {kind}
            assert type(p.constant) is kind


def test_the_device_of_an_array() -> None:
    inputs, layers = problem()
    made = solver(inputs, strict_template("device2"))
    assert str(made._operator.scaled.device) == str(strict.Device("device2"))
    assert_same(made.solve(layers[0]), solver(inputs, "cpu").solve(layers[0]), 1e-7)


@pytest.mark.parametrize("together", [1, 2, 5])
def test_layers_in_pieces(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, layers = problem(8)
    expected = solver(inputs, "cpu", tol=1e-14).solve(layers)
    monkeypatch.setattr(nm.Solver, "_together", lambda _: together)
    for p, q, layer in zip(solver(inputs, "cpu", tol=1e-14).solve(layers), expected, layers):
        assert_same(p, q)
        assert p.layer is layer
        assert p.info.energy_error.shape == (layer.d_out,)


def test_coefficients_that_a_device_cannot_hold_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are put together on the CPU; their memory on the device is free by then."""
    there, rng = strict_template("device1"), np.random.default_rng(0)
    tensors, found, alive = [rng.standard_normal((2, 3, 3)) for _ in range(3)], batches.Found(6), []
    for tensor in tensors:
        piece = arrays.like(tensor.copy(), there)
        alive.append(weakref.ref(piece))
        found.add([piece], np.zeros(2), 4)
        del piece

    def full(_: list[Any]) -> Any:
        raise OutOfMemoryError("CUDA out of memory")

    def placed_after(array: np.ndarray, other: Any) -> Any:
        assert not any(piece() for piece in alive)
        return arrays.like(array, other)

    with monkeypatch.context() as patch:
        patch.setattr(batches, "joined", full)
        patch.setattr(batches, "moved", placed_after)
        found.gather()
    (whole,), error, iterations = found.whole()
    assert_there(whole, np.concatenate(tensors), there)
    assert (error.shape, iterations, found.complete) == ((6,), 4, True)
    found.gather()
    assert found.whole()[0][0] is whole


def test_batches_are_of_about_the_same_size() -> None:
    for left, most, first in ((1000, 392, 334), (393, 392, 197), (9, 4, 3), (9, 2, 2), (5, 5, 5), (1, 128, 1)):
        assert solving._share(left, most) == first


@pytest.mark.parametrize("kind", range(3))
def test_some_outputs_of_a_layer(kind: int) -> None:
    inputs, layers = problem(5)
    x, layer = inputs.sample(9, 0), layers[kind]
    assert batches.of_outputs(layer, slice(0, layer.d_out)) is layer
    for rows in (slice(0, 1), slice(1, 2), slice(1, layer.d_out)):
        np.testing.assert_allclose(batches.of_outputs(layer, rows)(x), layer(x)[:, rows], rtol=1e-13)


def test_pieces_cover_everything_once() -> None:
    counts = [3, 1, 4]
    for together in range(1, 10):
        found = [
            (piece.number, o)
            for first in range(0, 8, together)
            for piece in batches.pieces(counts, first, first + together)
            for o in range(piece.rows.start, piece.rows.stop)
        ]
        assert found == [(number, o) for number, count in enumerate(counts) for o in range(count)]


@pytest.mark.parametrize("method", ["direct", "iterative"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.usefixtures("on_strict")
def test_solvers_pickle(device: str, method: Any) -> None:
    """With what they have set up, to be used in other processes."""
    inputs, layers = problem(5)
    for given in (inputs, nm.Samples(inputs.sample(60, 0))):
        made = nm.Solver(given, device=device, method=method, tol=1e-14)
        expected, found = made.solve(layers[0]), pickle.loads(pickle.dumps(made)).solve(layers[0])
        np.testing.assert_allclose(found.quadratic, expected.quadratic, rtol=0, atol=1e-6)


# Without a GPU


def without(monkeypatch: pytest.MonkeyPatch, **modules: Any) -> None:
    for name in ("cupy", "torch"):
        monkeypatch.setitem(sys.modules, name, modules.get(name))


def fake_torch(cuda: str | None, available: bool = False, count: int = 0) -> Any:
    return SimpleNamespace(
        version=SimpleNamespace(cuda=cuda),
        cuda=SimpleNamespace(is_available=lambda: available, device_count=lambda: count),
        zeros=lambda *shape, **options: (shape, options),
        float64="float64",
    )


def fake_cupy(found: Any) -> Any:
    def count() -> int:
        if isinstance(found, Exception):
            raise found
        return found

    device = contextlib.nullcontext
    runtime = SimpleNamespace(getDeviceCount=count)
    return SimpleNamespace(cuda=SimpleNamespace(runtime=runtime, Device=device), zeros=lambda count: f"{count} of CuPy")


NO_DRIVER = RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        ({}, "CuPy is not installed; PyTorch is not installed"),
        ({"torch": fake_torch(None)}, "CuPy is not installed; PyTorch is installed without CUDA"),
        ({"torch": fake_torch("13.0")}, "CuPy is not installed; PyTorch finds no GPU, or no driver that is new enough"),
        ({"cupy": fake_cupy(NO_DRIVER)}, "CuPy finds no GPU that it can use (cudaErrorInsufficientDriver: CUDA driver"),
        ({"cupy": fake_cupy(NO_DRIVER), "torch": fake_torch(None)}, "is insufficient); PyTorch is installed without"),
    ],
)
def test_what_is_missing(modules: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, **modules)
    for degree in (1, 2, 3):
        with pytest.raises(arrays.NoDevice) as caught:
            nm.Solver(mixture(1), degree, device="cuda")
        assert isinstance(caught.value, RuntimeError)
        assert str(caught.value).startswith("device: 'cuda' needs an NVIDIA GPU with its driver, and CuPy or PyTorch")
        assert said in str(caught.value)
        assert "pip install 'symgauss[cuda]'" in str(caught.value)
        assert str(caught.value).endswith('device="cpu" needs none of this')


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(arrays.empty_on("cpu"), np.ndarray)
    for name in ("gpu", "cuda:", "cuda:x", "cuda:-1", "CUDA", "", None, 0):
        with pytest.raises(ValueError, match='device: expected "cpu", "cuda" or "cuda:1", or an array, got'):
            arrays.empty_on(name)  # type: ignore[arg-type]
    without(monkeypatch, torch=fake_torch("13.0", True, 2))
    assert arrays.empty_on("cuda") == ((0,), {"dtype": "float64", "device": "cuda:0"})
    assert arrays.empty_on("cuda:1")[1]["device"] == "cuda:1"
    with pytest.raises(ValueError, match="device: expected cuda:0 to cuda:1, of which there are 2, got 'cuda:2'"):
        arrays.empty_on("cuda:2")
    # CuPy first, unless it does not work
    without(monkeypatch, torch=fake_torch("13.0", True, 1), cupy=fake_cupy(1))
    assert arrays.empty_on("cuda") == "0 of CuPy"
    without(monkeypatch, torch=fake_torch("13.0", True, 1), cupy=fake_cupy(NO_DRIVER))
    assert arrays.empty_on("cuda")[1]["device"] == "cuda:0"


def test_cupy_computes_on_a_current_device() -> None:
    entered: list[str] = []

    @contextlib.contextmanager
    def device() -> Iterator[None]:
        entered.append("in")
        yield
        entered.append("out")

    fake = type("ndarray", (), {"__module__": "cupy._core", "device": device()})
    with arrays.on(fake()):
        assert entered == ["in"]
    assert entered == ["in", "out"]
    with arrays.on(np.zeros(0)):
        pass
