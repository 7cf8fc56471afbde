"""An interrupted solve goes on as if it had not been; the arrays may be those of any library of the standard."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import array_api_strict
import numpy as np
import pytest

import numeric as nm
from numeric.mixture import conjugate_gradients
from numeric.mixture.coordinates import Coordinates
from numeric.mixture.resume import digest
from numeric.safetensors_format import BrokenFile
from tests.numeric.problems import weights


def problem(d: int = 20) -> tuple[nm.GaussianMixture, nm.MLP]:
    rng = np.random.default_rng(0)
    roots = rng.standard_normal((4, d, d)) * rng.exponential(size=(4, 1, d))
    mixture = nm.GaussianMixture(np.full(4, 0.25), rng.standard_normal((4, d)), roots @ roots.transpose(0, 2, 1) / d)
    return mixture, nm.MLP(*weights(rng, d, 30, 3), activation="relu")


def test_an_interrupted_solve_goes_on_without_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixture, layer = problem()
    whole = nm.Solver(mixture, method="iterative").solve(layer)
    assert whole.info.iterations > 15
    step, calls = conjugate_gradients.step, []

    def interrupted(*args: Any) -> bool:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return step(*args)

    with monkeypatch.context() as patch:
        patch.setattr(conjugate_gradients, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            nm.Solver(mixture, method="iterative").solve(layer, out=tmp_path / "state")
    calls.clear()
    monkeypatch.setattr(conjugate_gradients, "step", lambda *args: calls.append(1) or step(*args))
    resumed = nm.Solver(mixture, method="iterative").solve(layer, out=tmp_path / "state")
    assert len(calls) == whole.info.iterations - 7
    assert resumed.info.iterations == whole.info.iterations
    for k in range(3):
        np.testing.assert_array_equal(resumed.coefficient(k), whole.coefficient(k))
    calls.clear()
    again = nm.Solver(mixture, method="iterative").solve(layer, out=tmp_path / "state")
    assert not calls
    np.testing.assert_array_equal(again.quadratic, whole.quadratic)
    assert os.listdir(tmp_path / "state") == ["state-000000.safetensors"]


def lines_of_a_step() -> list[int]:
    """All lines of `step` that an iteration runs through."""
    mixture, layer = problem(4)
    found: list[int] = []
    with tracing(lambda line: found.append(line)):
        nm.Solver(mixture, method="iterative", max_iterations=3).solve(layer)
    return sorted(set(found))


@contextlib.contextmanager
def tracing(at: Callable[[int], None]) -> Iterator[None]:
    """Calls `at` before every line of `step`."""
    code, before = conjugate_gradients.step.__code__, sys.gettrace()

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            at(frame.f_lineno)
        return local

    sys.settrace(lambda frame, *_: local if frame.f_code is code else None)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.mark.filterwarnings("ignore:3 iterations leave")
def test_an_interruption_at_any_line_of_an_iteration_loses_nothing(tmp_path: Path) -> None:
    mixture, layer = problem()
    whole, lines = nm.Solver(mixture, method="iterative").solve(layer), lines_of_a_step()
    assert len(lines) > 6
    for chosen in lines:
        seen: list[int] = []

        def interrupt(line: int, chosen: int = chosen, seen: list[int] = seen) -> None:
            seen.extend([line] * (line == chosen))
            if len(seen) == 6:
                seen.clear()
                raise KeyboardInterrupt

        with tracing(interrupt), contextlib.suppress(KeyboardInterrupt):
            nm.Solver(mixture, method="iterative").solve(layer, out=tmp_path / str(chosen))
        resumed = nm.Solver(mixture, method="iterative").solve(layer, out=tmp_path / str(chosen))
        np.testing.assert_array_equal(resumed.quadratic, whole.quadratic)
        assert resumed.info.iterations == whole.info.iterations


def interrupted_at(monkeypatch: pytest.MonkeyPatch, count: int) -> list[int]:
    """From now on the step of this number is interrupted; all are counted."""
    step, calls = conjugate_gradients.step, []

    def interrupted(*args: Any) -> bool:
        calls.append(1)
        if len(calls) == count:
            raise KeyboardInterrupt
        return step(*args)

    monkeypatch.setattr(conjugate_gradients, "step", interrupted)
    return calls


def test_it_goes_on_with_less_memory_and_with_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixture, layer = problem()
    # two outputs at a time
    few, many = 2 * 2 * 8 * 8 * (1 + 20 + 400), 10**9
    for before, after in ((few, many), (many, few)):
        monkeypatch.setattr("numeric.solver.available_memory", lambda before=before: before)
        whole = nm.Solver(mixture, method="iterative").solve(layer)
        with monkeypatch.context() as patch:
            interrupted_at(patch, 8)
            with pytest.raises(KeyboardInterrupt):
                nm.Solver(mixture, method="iterative").solve(layer, out=tmp_path / str(before))
        monkeypatch.setattr("numeric.solver.available_memory", lambda after=after: after)
        resumed = nm.Solver(mixture, method="iterative").solve(layer, out=tmp_path / str(before))
        np.testing.assert_array_equal(resumed.quadratic, whole.quadratic)


@pytest.mark.parametrize("count", [4, 14])
def test_on_data_too_the_mixture_that_guides_included(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixture, layer = problem(8)
    solver = nm.Solver(nm.Samples(mixture.sample(200, 0), np.arange(200) % 3), method="iterative")
    with monkeypatch.context() as patch:
        steps = interrupted_at(patch, 0)
        whole = solver.solve(layer)
        total = len(steps)
        assert total - whole.info.iterations > 4  # of them guide
    with monkeypatch.context() as patch:
        interrupted_at(patch, count)
        with pytest.raises(KeyboardInterrupt):
            solver.solve(layer, out=tmp_path)
    steps = interrupted_at(monkeypatch, 0)
    resumed = solver.solve(layer, out=tmp_path)
    assert len(steps) == total - (count - 1)
    np.testing.assert_array_equal(resumed.quadratic, whole.quadratic)


def test_other_data_are_another_problem() -> None:
    mixture, _ = problem(3)
    coordinates, X = Coordinates.of(mixture), mixture.sample(20, 0)
    right = np.ones((1, 13))
    known = {digest(coordinates, right, None, nm.Samples(given)) for given in (X, X.copy(), np.asfortranarray(X))}
    assert len(known) == 1
    assert digest(coordinates, right, None, nm.Samples(X + 1e-9)) not in known


def test_the_state_of_the_first_layers_serves_more(tmp_path: Path) -> None:
    mixture, layer = problem()
    first = nm.Solver(mixture, method="iterative").solve(layer, out=tmp_path)
    found = nm.Solver(mixture, method="iterative").solve([layer, layer], out=tmp_path)
    for p in found:
        np.testing.assert_array_equal(p.quadratic, first.quadratic)
    assert sorted(os.listdir(tmp_path)) == ["state-000000.safetensors", "state-000003.safetensors"]
    other = nm.MLP(layer.W_in, None, layer.W_out, activation="relu")
    with pytest.raises(ValueError, match="another problem"):
        nm.Solver(mixture, method="iterative").solve([layer, other], out=tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    mixture, layer = problem(3)
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotADirectoryError, match="out: expected a folder, found a file"):
            nm.Solver(mixture).solve(layer, out=out)


def test_starts_that_do_not_fit() -> None:
    mixture, layer = problem(3)
    solver = nm.Solver(mixture)
    p = solver.solve(layer)
    with pytest.raises(TypeError, match="start: expected a list, one polynomial for each layer, got SolvedPolynomial"):
        solver.solve([layer], start=p)  # type: ignore[call-overload]
    other, wide = problem(4)
    with pytest.raises(ValueError, match="start: expected a polynomial 3 → 3, got 4 → 3"):
        solver.solve(layer, start=nm.approximate(wide, other.moment_matched()))


def test_the_state_of_another_problem_is_refused(tmp_path: Path) -> None:
    mixture, layer = problem()
    nm.Solver(mixture, method="iterative").solve(layer, out=tmp_path)
    before = (tmp_path / "state-000000.safetensors").read_bytes()
    other = nm.MLP(layer.W_in, None, layer.W_out, activation="relu")
    with pytest.raises(ValueError, match=r"out: .*holds the state of another problem"):
        nm.Solver(mixture, method="iterative").solve(other, out=tmp_path)
    with pytest.raises(ValueError, match="another problem"):
        nm.Solver(mixture, method="iterative").solve(
            layer, start=nm.approximate(layer, mixture.moment_matched()), out=tmp_path
        )
    assert (tmp_path / "state-000000.safetensors").read_bytes() == before


def test_damaged_states_are_refused(tmp_path: Path) -> None:
    mixture, layer = problem()
    nm.Solver(mixture, method="iterative").solve(layer, out=tmp_path)
    path = tmp_path / "state-000000.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(BrokenFile, match="Or delete it: the solve begins anew"):
        nm.Solver(mixture, method="iterative").solve(layer, out=tmp_path)
    layer.save(path)
    with pytest.raises(BrokenFile, match="the state of an interrupted solve"):
        nm.Solver(mixture, method="iterative").solve(layer, out=tmp_path)


def test_states_are_written_about_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixture, layer = problem()
    written: list[int] = []
    monkeypatch.setattr("numeric.mixture.resume.write", lambda *_: written.append(1))
    nm.Solver(mixture, method="iterative").solve(layer, out=tmp_path)
    assert len(written) == 1
    monkeypatch.setattr("numeric.mixture.resume._EVERY", 0.0)
    p = nm.Solver(mixture, method="iterative").solve(layer, out=tmp_path)
    assert len(written) == 2 + p.info.iterations


def test_the_same_code_runs_on_any_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mixture, layer = problem(8)
    expected = nm.Solver(mixture, method="iterative").solve(layer)
    X = mixture.sample(200, 0)
    on_data = nm.Solver(nm.Samples(X), method="iterative").solve(layer)
    monkeypatch.setattr("numeric.solver.empty_on", lambda _: array_api_strict.zeros(0, dtype=array_api_strict.float64))
    solver = nm.Solver(mixture, method="iterative", device="somewhere")
    assert isinstance(solver._operator.scaled, array_api_strict._array_object.Array)
    strict = solver.solve(layer, out=tmp_path)
    np.testing.assert_allclose(strict.quadratic, expected.quadratic, rtol=1e-6, atol=1e-9)
    assert strict.info.iterations == expected.info.iterations
    np.testing.assert_array_equal(solver.solve(layer, out=tmp_path).quadratic, strict.quadratic)
    assert solver.solve(layer, start=strict).info.iterations < expected.info.iterations
    values = nm.Solver(nm.Samples(X), method="iterative", device="somewhere").solve(layer)(X)
    np.testing.assert_allclose(values, on_data(X), rtol=1e-3, atol=1e-3)
