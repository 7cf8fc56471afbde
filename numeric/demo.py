"""make demo: a network trained on scikit-learn's digits, turned into polynomials of degree 1 to 4.

No samples are needed to convert, nor to say how good the polynomials are under the Gaussian: the weights, and the
mean and covariance of the training images, are enough. The samples drawn here only check that.
"""

import argparse
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.convert import approximate
from numeric.inputs import Gaussian
from numeric.layers import MLP
from numeric.polynomial import RidgePolynomial

Float64 = NDArray[np.float64]

SEED = 0
HIDDEN = 128
DEGREES = (1, 2, 3, 4)
SAMPLES = 100_000


class MissingExtra(ImportError):
    """A package of the extra "demo" is not installed."""


@dataclass(frozen=True)
class Digits:
    """8×8 images with pixels 0 to 16, and their classes."""

    train: Float64
    train_labels: NDArray[np.intp]
    held_out: Float64
    held_out_labels: NDArray[np.intp]


@dataclass(frozen=True)
class Row:
    """How well one polynomial stands in for the network; everything but `seconds` is a fraction."""

    degree: int
    fvu: float
    fvu_sampled: float
    fvu_on_images: float
    agreement: float
    accuracy: float
    seconds: float


def digits() -> Digits:
    """The digits that come with scikit-learn, a quarter of each class held out."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    chosen, others = train_test_split(np.arange(len(labels)), test_size=0.25, stratify=labels, random_state=SEED)
    labels = labels.astype(np.intp)
    return Digits(images[chosen], labels[chosen], images[others], labels[others])


def train(data: Digits) -> MLP:
    """scikit-learn's MLPClassifier, as it comes, and its logits as a layer."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier(hidden_layer_sizes=(HIDDEN,), activation="relu", random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(data.train, data.train_labels)
    (W_in, W_out), (b_in, b_out) = network.coefs_, network.intercepts_
    return MLP(W_in.T, b_in, W_out.T, b_out, activation="relu")


def unexplained(true: Float64, approximation: Float64) -> float:
    """The fraction of variance unexplained, Σ|f − p|²/Σ|f − mean f|², summed over points and outputs."""
    return float(((true - approximation) ** 2).sum() / ((true - true.mean(axis=0)) ** 2).sum())


def accuracy(function: Callable[[Float64], Float64], data: Digits) -> float:
    """The fraction of held-out images that get their own class."""
    return float(np.mean(function(data.held_out).argmax(axis=1) == data.held_out_labels))


def compare(layer: MLP, inputs: Gaussian, data: Digits) -> Iterator[tuple[RidgePolynomial, Row]]:
    """Converts at every degree and measures the results."""
    samples = inputs.sample(SAMPLES, SEED)
    on_samples, on_images = layer(samples), layer(data.held_out)
    for degree in DEGREES:
        polynomial, seconds = _timed(lambda n=degree: approximate(layer, inputs, degree=n))
        predicted = polynomial(data.held_out)
        yield (
            polynomial,
            Row(
                degree=degree,
                fvu=polynomial.total_fvu,
                fvu_sampled=unexplained(on_samples, polynomial(samples)),
                fvu_on_images=unexplained(on_images, predicted),
                agreement=float(np.mean(predicted.argmax(axis=1) == on_images.argmax(axis=1))),
                accuracy=accuracy(polynomial, data),
                seconds=seconds,
            ),
        )


def _timed(function: Callable[[], RidgePolynomial], repeats: int = 20) -> tuple[RidgePolynomial, float]:
    """The result of the first call, which may compile, and the shortest time of some more."""
    result, times = function(), []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return result, min(times)


def derivation() -> str:
    """What `symgauss` says of ReLU. In a process of its own: nothing in `numeric` imports sympy."""
    command = [sys.executable, "-X", "utf8", "-m", "symgauss", "derive", "relu"]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout


def table(rows: list[Row], of_network: float) -> str:
    """The rows as text, below the network's own accuracy."""
    lines = [
        "degree   fraction of variance unexplained   same class       right on          time",
        "           exact    sampled     held-out     as the network   held-out images   to convert",
        f"network                                                       {of_network:8.1%}",
    ]
    lines += [
        f"{r.degree:>4}    {r.fvu:9.6f}   {r.fvu_sampled:8.6f}   {r.fvu_on_images:8.6f}     {r.agreement:8.1%}"
        f"         {r.accuracy:8.1%}          {r.seconds * 1e3:.2f} ms"
        for r in rows
    ]
    return "\n".join(lines)


def run(picture: Path) -> None:
    """The demo: derive, train, convert, compare, draw."""
    _require_extra()
    from threadpoolctl import threadpool_limits

    from numeric.demo_picture import draw

    clock = _Clock()
    print("1. Derive and prove\n")
    print(_indented(derivation()))
    print(f"{clock}\n\n2. Train\n")
    # The matrices are too small for threads to help; on a busy machine they cost a hundredfold.
    with threadpool_limits(1):
        data = digits()
        layer = train(data)
        inputs = Gaussian.from_samples(data.train)
        print(_indented(_description(layer, inputs, data)))
        print(f"{clock}\n\n3. Convert: weights, mean and covariance in, polynomial out\n")
        results = list(compare(layer, inputs, data))
        print(_indented(table([row for _, row in results], accuracy(layer, data))))
        print(f"{clock}\n\n4. Look\n")
        quadratic = next(polynomial for polynomial, row in results if row.degree == 2)
        draw(quadratic, inputs, data.train, data.train_labels, picture)
    print(f"   {picture}: what the polynomial of degree 2 looks for in each class")
    print(clock)


def _description(layer: MLP, inputs: Gaussian, data: Digits) -> str:
    constant = int(np.sum(np.diag(inputs.cov) == 0))
    return (
        f"network   {layer}, right on {accuracy(layer, data):.1%} of {len(data.held_out)} held-out images\n"
        f"inputs    {inputs} of {len(data.train)} training images;\n"
        f"          {constant} pixels never vary, so the covariance is singular"
    )


class _Clock:
    """Prints as the time since it was last printed."""

    def __init__(self) -> None:
        self.start = time.perf_counter()

    def __str__(self) -> str:
        elapsed, self.start = time.perf_counter() - self.start, time.perf_counter()
        return f"{f'({elapsed:.1f} s)':>88}"


def _require_extra() -> None:
    try:
        import matplotlib as _matplotlib  # noqa: F401
        import sklearn as _sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            f'The demo needs {error.name}, which is not installed: pip install "symgauss[demo]", '
            'or pip install ".[demo]" in a checkout.'
        ) from None


def _indented(text: str) -> str:
    return "\n".join(f"   {line}".rstrip() for line in text.splitlines())


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m numeric.demo", description=__doc__)
    parser.add_argument("--picture", type=Path, default=Path("demo.png"), help="where to save it (default: demo.png)")
    options: Any = parser.parse_args(arguments)
    try:
        run(options.picture)
    except MissingExtra as error:
        parser.exit(1, f"{error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
