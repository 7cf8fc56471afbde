"""MNIST from its files, the small trainer, and the mixture of its digits where the data are there."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

import numeric as nm
from numeric.demo_mnist import VARIABLE, mnist, train

FILES = {
    "train-images-idx3-ubyte": np.arange(5 * 28 * 28, dtype=np.uint8).reshape(5, 28, 28),
    "train-labels-idx1-ubyte": np.array([3, 1, 4, 1, 5], np.uint8),
    "t10k-images-idx3-ubyte": np.full((2, 28, 28), 7, np.uint8),
    "t10k-labels-idx1-ubyte": np.array([9, 2], np.uint8),
}


def idx(array: np.ndarray) -> bytes:
    """The format: two zero bytes, 8 for bytes, the number of axes, their lengths, the entries."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, array in FILES.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    return tmp_path


def test_the_files_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(folder))
    for data in (mnist(folder), mnist(str(folder)), mnist()):
        np.testing.assert_array_equal(data.train, FILES["train-images-idx3-ubyte"].reshape(5, 784))
        assert data.train_labels.tolist() == [3, 1, 4, 1, 5]
        assert data.test.shape == (2, 784)
        assert data.test_labels.tolist() == [9, 2]
    unpacked = folder / "t10k-labels-idx1-ubyte"
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    unpacked.write_bytes(idx(np.array([1, 0], np.uint8)))
    assert mnist(folder).test_labels.tolist() == [1, 0]


@pytest.mark.parametrize("content", [b"", b"\0\0\x08", idx(FILES["t10k-labels-idx1-ubyte"])[:-1], b"PK\3\4 something"])
def test_other_files_are_refused(folder: Path, content: bytes) -> None:
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte' is not one of the files of MNIST"):
        mnist(folder)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte"):
        mnist(folder)


def test_the_trainer_learns_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 2000)
    images = 0.1 * rng.random((2000, 30)) + np.eye(10)[labels] @ rng.random((10, 30))
    first, last = train(images, labels, [0, 800], hidden=20)
    assert nm.accuracy(first, images, labels) < 0.5
    assert nm.accuracy(last, images, labels) > 0.95
    np.testing.assert_array_equal(train(images, labels, [0, 800], hidden=20)[1].W_in, last.W_in)


@pytest.mark.slow
@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"needs MNIST in the folder that {VARIABLE} names")
def test_the_best_quadratic_of_a_network_under_a_mixture_of_its_digits() -> None:
    data = mnist()
    X = data.train.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196) / 255
    layer = train(X, data.train_labels, [900])[0]
    mixture = nm.GaussianMixture.from_samples(X, data.train_labels, noise_floor=1e-4)
    p = nm.Solver(mixture).solve(layer)
    assert p.info.converged
    assert p.info.iterations <= 60
    closer = nm.Solver(mixture, tol=1e-13).solve(layer)
    x = mixture.sample(20_000, 0)
    f = layer(x)
    assert (((p(x) - closer(x)) ** 2).mean(axis=0) / f.var(axis=0)).max() < 1e-8
    error, total = ((f - p(x)) ** 2).sum(axis=1), ((f - f.mean(axis=0)) ** 2).sum(axis=1).mean()
    assert abs(error.mean() / total - p.total_fvu) < 5 * error.std() / total / len(x) ** 0.5
    matched = nm.approximate(layer, mixture.moment_matched())
    assert p.total_fvu < 0.6 * nm.total_fvu(layer, matched, x)
