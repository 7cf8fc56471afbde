"""The demo as a user runs it, and its numbers from the definition."""

import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from numeric import demo, demo_tables
from numeric.demo_picture import extreme_eigenvectors
from numeric.layers import MLP

ROOT = Path(__file__).parents[1]
FRACTIONS, PERCENTAGES = 3 * r"\s+(0\.\d{6})", 2 * r"\s+([\d.]+)%"
ROW = re.compile(rf"^\s+([1-4]){FRACTIONS}{PERCENTAGES}\s+([\d.]+) ms$", re.MULTILINE)


PER_CENT = re.compile(r"^   (degree \d|left|network(?:, \w+)?) ((?: +[\d.]+)+)$", re.MULTILINE)


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


@pytest.fixture(scope="module")
def variance(output: str) -> np.ndarray:
    """Fractions, (degrees 1 to 4 and what is left, classes)."""
    rows = percentages(output, "What each degree explains")
    assert list(rows) == ["degree 1", "degree 2", "degree 3", "degree 4", "left"]
    return np.array(list(rows.values()))


@pytest.fixture(scope="module")
def curves(output: str) -> dict[str, np.ndarray]:
    """Accuracies after removing 0, 1, …, 10 directions."""
    return percentages(output, "Right on held-out images without")


def percentages(output: str, title: str) -> dict[str, np.ndarray]:
    """The rows of the table below a title, as fractions."""
    _, below = output.split(title)
    table = below.split("\n\n")[1]
    return {name: np.array(row.split(), dtype=float) / 100 for name, row in PER_CENT.findall(table)}


@pytest.fixture(scope="module")
def data() -> demo.Digits:
    return demo.digits()


@pytest.fixture(scope="module")
def layer(data: demo.Digits) -> MLP:
    with threadpool_limits(1):
        return demo.train(data)


class Textbook:
    """The network, and its polynomial of degree 1 by the formulas for ReLU: E f and E f' of the preactivations."""

    def __init__(self, data: demo.Digits, layer: MLP) -> None:
        assert layer.b_in is not None
        assert layer.b_out is not None
        assert layer.W_out is not None
        self.W_in, self.b_in, self.W_out, self.b_out = layer.W_in, layer.b_in, layer.W_out, layer.b_out
        self.mean, self.cov = data.train.mean(axis=0), np.cov(data.train.T, ddof=0)
        mu = self.W_in @ self.mean + self.b_in
        s = np.sqrt(np.einsum("ij,jk,ik->i", self.W_in, self.cov, self.W_in))
        value = mu * ndtr(mu / s) + s * np.exp(-((mu / s) ** 2) / 2) / np.sqrt(2 * np.pi)
        self.at_mean = self.W_out @ value + self.b_out
        self.slope = self.W_out @ (ndtr(mu / s)[:, None] * self.W_in)
        values, vectors = np.linalg.eigh(self.cov)
        noise = np.random.default_rng(12345).standard_normal((50_000, 64))
        self.gaussian = self.mean + (noise * np.sqrt(np.maximum(values, 0))) @ vectors.T

    def network(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x @ self.W_in.T + self.b_in, 0) @ self.W_out.T + self.b_out

    def linear(self, x: np.ndarray) -> np.ndarray:
        return self.at_mean + (x - self.mean) @ self.slope.T


@pytest.fixture(scope="module")
def textbook(data: demo.Digits, layer: MLP) -> Textbook:
    return Textbook(data, layer)


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


def test_the_linear_row_follows_from_its_definition(rows: np.ndarray, data: demo.Digits, textbook: Textbook) -> None:
    network, linear = textbook.network, textbook.linear

    def unexplained(x: np.ndarray) -> float:
        return ((network(x) - linear(x)) ** 2).mean(axis=0).sum() / network(x).var(axis=0).sum()

    network_class, linear_class = (f(data.held_out).argmax(axis=1) for f in (network, linear))
    assert rows[0, 1] == pytest.approx(unexplained(textbook.gaussian), abs=3e-3)
    assert rows[0, 3] == pytest.approx(unexplained(data.held_out), abs=2e-6)
    assert rows[0, 4] == pytest.approx(np.mean(linear_class == network_class), abs=6e-4)
    assert rows[0, 5] == pytest.approx(np.mean(linear_class == data.held_out_labels), abs=6e-4)


def test_variance_by_degree_follows_from_its_definition(
    variance: np.ndarray, rows: np.ndarray, textbook: Textbook
) -> None:
    np.testing.assert_allclose(variance.sum(axis=0), 1.0, atol=5 * 0.5e-4 + 1e-9)
    total = textbook.network(textbook.gaussian).var(axis=0)
    of_degree_1 = np.einsum("oi,ij,oj->o", textbook.slope, textbook.cov, textbook.slope)
    np.testing.assert_allclose(variance[0], of_degree_1 / total, rtol=0.03)
    # What is left of all classes together, after each degree.
    left = 1 - (np.cumsum(variance[:4], axis=0) * total).sum(axis=1) / total.sum()
    np.testing.assert_allclose(left, rows[:, 1], atol=1e-3)


def test_attacks_begin_with_the_accuracies_known(curves: dict[str, np.ndarray], rows: np.ndarray, output: str) -> None:
    assert list(curves) == ["network", "degree 1", "degree 2", "network, raw", "network, random"]
    assert {len(curve) for curve in curves.values()} == {11}
    (of_network,) = re.findall(r"right on ([\d.]+)% of 450 held-out images", output)
    starts = {name: curve[0] for name, curve in curves.items()}
    for name in ("network", "network, raw", "network, random"):
        assert starts[name] == pytest.approx(float(of_network) / 100)
    assert [starts["degree 1"], starts["degree 2"]] == pytest.approx(list(rows[:2, 5]))


def test_the_attack_succeeds_and_chance_does_not(curves: dict[str, np.ndarray], output: str) -> None:
    assert curves["network"][10] <= 0.20
    assert curves["network, random"][10] > 0.85
    assert curves["network, raw"][10] > curves["network"][10]
    assert "that is weaker here" in output


def test_attacks_follow_from_their_definition(
    curves: dict[str, np.ndarray], data: demo.Digits, textbook: Textbook
) -> None:
    """Singular value decompositions of the slopes, and projections written out."""

    def attacked(function: Callable[[np.ndarray], np.ndarray], directions: np.ndarray, center: np.ndarray) -> float:
        basis = np.linalg.qr(directions.T)[0]
        x = data.held_out - (data.held_out - center) @ basis @ basis.T
        return float(np.mean(function(x).argmax(axis=1) == data.held_out_labels))

    slope, mean = textbook.slope, textbook.mean
    values, vectors = np.linalg.eigh(slope @ textbook.cov @ slope.T)
    by_variance = (vectors[:, np.argsort(-values)].T) @ slope
    by_size = np.linalg.svd(slope)[2]
    image = 1.1 / len(data.held_out)
    for k in range(1, 11):
        for name, function in (("network", textbook.network), ("degree 1", textbook.linear)):
            # Without any slope left, all images have the same logits up to rounding.
            if (name, k) != ("degree 1", 10):
                assert curves[name][k] == pytest.approx(attacked(function, by_variance[:k], mean), abs=image)
        assert curves["network, raw"][k] == pytest.approx(
            attacked(textbook.network, by_size[:k], np.zeros(64)), abs=image
        )
    share = np.bincount(data.held_out_labels)[textbook.at_mean.argmax()] / len(data.held_out)
    assert curves["degree 1"][10] == pytest.approx(share, abs=image)


@pytest.mark.usefixtures("output")
def test_two_pictures_of_sensible_size(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["demo.png", "demo_reading.png"]
    for path, shortest in ((folder / "demo.png", 500), (folder / "demo_reading.png", 300)):
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", content[16:24])
        assert 1000 < width < 2500
        assert shortest < height < 1500
        assert 20_000 < len(content) < 500_000


def test_the_second_picture_lies_beside_the_first() -> None:
    assert demo.reading_path(Path("a/b.c.pdf")) == Path("a/b.c_reading.pdf")


def test_a_picture_of_an_unknown_kind_is_refused_at_once(tmp_path: Path) -> None:
    result = python("-m", "numeric.demo", "--picture", "demo.jpg", folder=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "--picture: path: expected a name that ends in .png, .pdf or .svg, got 'demo.jpg'" in result.stderr


def test_tables_say_what_they_are_given() -> None:
    curves = {"network": np.array([0.969, 0.5, 0.02]), "network, raw": np.array([1.0, 0.0, 0.123456])}
    table = demo_tables.attack_table(curves)
    assert re.sub(" +", " ", table) == "removed 0 1 2\nnetwork 96.9 50.0 2.0\nnetwork, raw 100.0 0.0 12.3"
    assert len({len(line) for line in table.splitlines()}) == 1


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
