"""MNIST for notebooks and benchmarks: the images from a folder, and a small network trained on them."""

import gzip
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numeric.layers import MLP

Float64 = NDArray[np.float64]

VARIABLE = "SYMGAUSS_MNIST"
_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class Mnist:
    """Images (n, 784) with pixels 0 to 255, as bytes, and their digits."""

    train: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]


def mnist(folder: str | os.PathLike[str] | None = None) -> Mnist:
    """The 60,000 training and 10,000 test images.

    Args:
        folder: with the four files of the data set, packed (.gz) or not; default: what the variable SYMGAUSS_MNIST
            names, and if that is not set scikit-learn downloads them from OpenML.

    Raises:
        OSError: files that are not there.
        ValueError: files that are not MNIST's.
    """
    place = folder if folder is not None else os.environ.get(VARIABLE)
    if place is None:
        from sklearn.datasets import fetch_openml

        images, labels = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
        images, labels = images.astype(np.uint8), labels.astype(np.uint8)
        return Mnist(images[:60000], labels[:60000], images[60000:], labels[60000:])
    train, train_labels, test, test_labels = (_read(Path(place), name) for name in _FILES)
    return Mnist(train.reshape(len(train), -1), train_labels, test.reshape(len(test), -1), test_labels)


def _read(folder: Path, name: str) -> NDArray[np.uint8]:
    packed = folder / f"{name}.gz"
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()
    count = content[3] if len(content) > 4 and content[:3] == b"\x00\x00\x08" else 0
    sizes = tuple(np.frombuffer(content, ">i4", count, offset=4).tolist()) if len(content) >= 4 + 4 * count else ()
    if not sizes or len(content) != 4 + 4 * count + int(np.prod(sizes)):
        raise ValueError(f"folder: {os.fspath(folder / name)!r} is not one of the files of MNIST")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * count).reshape(sizes)


def train(
    images: NDArray[np.floating], labels: NDArray[np.integer], steps: list[int], hidden: int = 512, seed: int = 0
) -> list[MLP]:
    """A ReLU network d → hidden → 10 after so many steps of Adam on the cross-entropy: one layer for each.

    Args:
        images: (n, d), pixels in [0, 1].
        labels: (n,), 0 … 9.
        steps: at which to keep a copy, increasing.
    """
    rng, X = np.random.default_rng(seed), np.asarray(images, np.float32)
    shapes = ((hidden, X.shape[1]), (hidden,), (10, hidden), (10,))
    scales = (np.sqrt(2 / X.shape[1]), 0.0, np.sqrt(1 / hidden), 0.0)
    weights = [(scale * rng.standard_normal(shape)).astype(np.float32) for scale, shape in zip(scales, shapes)]
    first, second = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    kept, order = [], np.zeros(0, int)
    for step in range(steps[-1] + 1):
        if step in steps:
            kept.append(MLP(*(w.copy() for w in weights), activation="relu"))
        if len(order) < 128:
            order = rng.permutation(len(X))
        batch, order = order[:128], order[128:]
        for i, gradient in enumerate(_gradients(weights, X[batch], labels[batch])):
            first[i] += 0.1 * (gradient - first[i])
            second[i] += 0.001 * (gradient**2 - second[i])
            size = np.sqrt(second[i] / (1 - 0.999 ** (step + 1))) + 1e-8
            weights[i] -= 1e-3 * first[i] / (1 - 0.9 ** (step + 1)) / size
    return kept


def _gradients(weights: list[NDArray], x: NDArray, labels: NDArray) -> list[NDArray]:
    """Of the mean cross-entropy."""
    W_in, b_in, W_out, b_out = weights
    before = x @ W_in.T + b_in
    hidden = np.maximum(before, 0)
    logits = hidden @ W_out.T + b_out
    excess = np.exp(logits - logits.max(axis=1, keepdims=True))
    excess /= excess.sum(axis=1, keepdims=True)
    excess[np.arange(len(x)), labels] -= 1
    excess /= len(x)
    back = (excess @ W_out) * (before > 0)
    return [back.T @ x, back.sum(axis=0), excess.T @ hidden, excess.sum(axis=0)]
