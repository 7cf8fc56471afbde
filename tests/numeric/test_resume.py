"""An interrupted solve goes on as if it had not been; the arrays may be those of any library of the standard."""

import os
from pathlib import Path
from typing import Any

import array_api_strict
import numpy as np
import pytest

import numeric as nm
from numeric.mixture import arrays, conjugate_gradients
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
    with pytest.raises(BrokenFile):
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


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(arrays.empty_on("cpu"), np.ndarray)
    with pytest.raises(ValueError, match='device: expected "cpu", "cuda" or "cuda:1", got \'gpu\''):
        arrays.empty_on("gpu")
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ImportError, match="needs CuPy or PyTorch, and neither is installed"):
        arrays.empty_on("cuda:0")
