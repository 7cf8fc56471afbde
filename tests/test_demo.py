"""The demo as a user runs it, and its numbers from the definition."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from numeric import demo
from numeric.demo_picture import extreme_eigenvectors

ROOT = Path(__file__).parents[1]
FRACTIONS, PERCENTAGES = 3 * r"\s+(0\.\d{6})", 2 * r"\s+([\d.]+)%"
ROW = re.compile(rf"^\s+([1-4]){FRACTIONS}{PERCENTAGES}\s+([\d.]+) ms$", re.MULTILINE)


def python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def output(folder: Path) -> str:
    result = python("-m", "numeric.demo", folder=folder)
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def rows(output: str) -> np.ndarray:
    """degree; exact, sampled and held-out FVU; agreement and accuracy as fractions; milliseconds."""
    table = np.array([[float(number) for number in row] for row in ROW.findall(output)])
    table[:, 4:6] /= 100
    return table


def test_the_proof_is_shown(output: str) -> None:
    assert "E relu(mu + sigma Z) = mu*Phi(mu/sigma) + sigma*phi(mu/sigma)" in output
    assert "relu: mean proved" in output
    assert "the covariance is singular" in output


def test_the_table_is_plausible(rows: np.ndarray, output: str) -> None:
    assert rows[:, 0].tolist() == list(demo.DEGREES)
    assert (np.diff(rows[:, 1]) < 0).all(), "less is left of the Gaussian variance with every degree"
    assert rows[0, 1] < 0.5
    assert (rows[1:, 1:4] < 0.1).all()
    assert (rows[:, 4:6] <= 1).all()
    (of_network,) = re.findall(r"right on ([\d.]+)% of 450 held-out images", output)
    assert float(of_network) > 95
    # Two functions whose classes agree so often are right nearly as often.
    assert (np.abs(rows[:, 5] - float(of_network) / 100) <= 1 - rows[:, 4] + 0.002).all()
    assert (rows[:, 6] < 1000).all()


def test_sampled_fvu_is_the_exact_one_up_to_noise(rows: np.ndarray) -> None:
    """A hundred thousand samples: their mean squares are within 2 %, six standard errors or so."""
    np.testing.assert_allclose(rows[:, 2], rows[:, 1], rtol=0.02)
    assert (rows[:, 2] != rows[:, 1]).any(), "two figures, not one printed twice"


def test_the_linear_row_follows_from_its_definition(rows: np.ndarray) -> None:
    """Degree 1 by the formulas for ReLU, with SciPy: E f and E f' under the preactivation's Gaussian."""
    data = demo.digits()
    with threadpool_limits(1):
        layer = demo.train(data)
    mean, cov = data.train.mean(axis=0), np.cov(data.train.T, ddof=0)
    assert layer.b_in is not None
    assert layer.b_out is not None
    mu = layer.W_in @ mean + layer.b_in
    s = np.sqrt(np.einsum("ij,jk,ik->i", layer.W_in, cov, layer.W_in))
    value = mu * ndtr(mu / s) + s * np.exp(-((mu / s) ** 2) / 2) / np.sqrt(2 * np.pi)
    slope = layer.W_out @ (ndtr(mu / s)[:, None] * layer.W_in)

    def linear(x: np.ndarray) -> np.ndarray:
        return layer.W_out @ value + layer.b_out + (x - mean) @ slope.T

    def network(x: np.ndarray) -> np.ndarray:
        return np.maximum(x @ layer.W_in.T + layer.b_in, 0) @ layer.W_out.T + layer.b_out

    def unexplained(x: np.ndarray) -> float:
        return ((network(x) - linear(x)) ** 2).mean(axis=0).sum() / network(x).var(axis=0).sum()

    values, vectors = np.linalg.eigh(cov)
    noise = np.random.default_rng(12345).standard_normal((50_000, 64))
    gaussian = mean + (noise * np.sqrt(np.maximum(values, 0))) @ vectors.T
    network_class, linear_class = (f(data.held_out).argmax(axis=1) for f in (network, linear))
    assert rows[0, 1] == pytest.approx(unexplained(gaussian), abs=3e-3)
    assert rows[0, 3] == pytest.approx(unexplained(data.held_out), abs=2e-6)
    assert rows[0, 4] == pytest.approx(np.mean(linear_class == network_class), abs=6e-4)
    assert rows[0, 5] == pytest.approx(np.mean(linear_class == data.held_out_labels), abs=6e-4)


@pytest.mark.usefixtures("output")
def test_one_picture_of_sensible_size(folder: Path) -> None:
    assert [path.name for path in folder.iterdir()] == ["demo.png"]
    content = (folder / "demo.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert 1000 < width < 2500
    assert 500 < height < 1500
    assert 30_000 < len(content) < 500_000


def test_extreme_eigenvectors() -> None:
    rng = np.random.default_rng(0)
    half = rng.normal(size=(3, 5, 5))
    quadratic, towards = half + half.transpose(0, 2, 1), rng.normal(size=(3, 5))
    values, vectors = extreme_eigenvectors(quadratic, towards)
    np.testing.assert_allclose(np.einsum("oij,orj->ori", quadratic, vectors), values[:, :, None] * vectors, atol=1e-13)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=2), 1)
    assert (np.einsum("ord,od->or", vectors, towards) > 0).all()
    largest = np.linalg.eigvalsh(quadratic)
    np.testing.assert_allclose(values, largest[:, [0, -1]])


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    code = "import sys; sys.modules['sklearn'] = None; from numeric import demo; sys.exit(demo.main([]))"
    result = python("-c", code, folder=tmp_path)
    assert result.returncode == 1
    assert 'pip install "symgauss[demo]"' in result.stderr
    assert "Traceback" not in result.stderr


def test_importing_the_demo_needs_no_extra(tmp_path: Path) -> None:
    code = "import sys, numeric.demo; print({'sympy', 'symgauss', 'sklearn', 'matplotlib'} & set(sys.modules))"
    assert python("-c", code, folder=tmp_path).stdout.strip() == "set()"
