"""make demo: a network trained on scikit-learn's digits, turned into polynomials of degree 1 to 4, and read.

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

from numeric.attacks import Projection, attack_curve, svd_attack
from numeric.compare import accuracy, agreement, total_fvu
from numeric.convert import approximate
from numeric.demo_tables import Row, attack_table, table, variance_table
from numeric.inputs import Gaussian
from numeric.layers import MLP
from numeric.plots import MissingExtra, picture_format, require
from numeric.polynomial import RidgePolynomial
from numeric.spectral import linear_part

Float64 = NDArray[np.float64]

SEED = 0
HIDDEN = 128
DEGREES = (1, 2, 3, 4)
SAMPLES = 100_000
DRAWS = 20


@dataclass(frozen=True)
class Digits:
    """8×8 images with pixels 0 to 16, and their classes."""

    train: Float64
    train_labels: NDArray[np.intp]
    held_out: Float64
    held_out_labels: NDArray[np.intp]


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
                fvu_sampled=total_fvu(on_samples, polynomial, samples),
                fvu_on_images=total_fvu(on_images, predicted),
                agreement=agreement(on_images, predicted),
                accuracy=accuracy(predicted, None, data.held_out_labels),
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


def attacks(layer: MLP, linear: RidgePolynomial, quadratic: RidgePolynomial, data: Digits) -> dict[str, Float64]:
    """Accuracy on held-out images after removing 0, 1, … directions along which the linear part looks.

    By variance and about the mean: what remains of an image along them is what the mean image has there. In the paper
    (see `numeric.attacks`) it is nothing, and they come by size; that is "network, raw". All of them together span
    the same in both orders. They may be fewer than classes, which need only the differences between logits.
    """
    count = int(np.linalg.matrix_rank(linear_part(linear, whitened=True)))
    whitened = svd_attack(linear, count, whitened=True, center=linear.center)
    published = svd_attack(linear, count)
    rng = np.random.default_rng(SEED)
    by_chance = [Projection(rng.standard_normal((count, layer.d_in)), linear.center) for _ in range(DRAWS)]

    def curves(functions: list[Any], attack: Projection) -> Float64:
        return attack_curve(functions, attack, data.held_out, data.held_out_labels)

    names = ["network", "degree 1", "degree 2"]
    return dict(zip(names, curves([layer, linear, quadratic], whitened))) | {
        "network, raw": curves([layer], published)[0],
        "network, random": np.mean([curves([layer], attack)[0] for attack in by_chance], axis=0),
    }


def derivation() -> str:
    """What `symgauss` says of ReLU. In a process of its own: nothing in `numeric` imports sympy."""
    command = [sys.executable, "-X", "utf8", "-m", "symgauss", "derive", "relu"]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout


def run(picture: Path) -> None:
    """The demo: derive, train, convert, compare, read, draw."""
    require("demo", "matplotlib", "sklearn", purpose="The demo")
    from threadpoolctl import threadpool_limits

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
        of_network = accuracy(layer, data.held_out, data.held_out_labels)
        print(_indented(table([row for _, row in results], of_network)))
        print(f"{clock}\n\n4. Read\n")
        polynomials = {row.degree: polynomial for polynomial, row in results}
        curves = attacks(layer, polynomials[1], polynomials[2], data)
        print(_indented(_reading(polynomials[4], curves)))
        print(f"{clock}\n\n5. Look\n")
        _draw(polynomials, curves, data, picture)
    print(clock)


def _reading(polynomial: RidgePolynomial, curves: dict[str, Float64]) -> str:
    count = len(curves["network"]) - 1
    return f"""\
What each degree explains of the variance of each class's logit, in %, exact:

{variance_table(polynomial)}

Right on held-out images without the first 0 … {count} directions of the linear part, in %:

{attack_table(curves)}

The directions are singular vectors of the linear part (rank {count}), by variance. Along them
each image is set to the mean image, so that only differences between images go.
raw: by size instead, and set to 0, mean included, as Belrose & Rigg do; that is weaker here.
random: {count} directions drawn by chance instead, mean of {DRAWS} draws."""


def _draw(polynomials: dict[int, RidgePolynomial], curves: dict[str, Float64], data: Digits, picture: Path) -> None:
    from numeric.demo_picture import draw_classes, draw_reading

    picture.parent.mkdir(parents=True, exist_ok=True)
    beside = reading_path(picture)
    draw_classes(polynomials[2], data.train, data.train_labels, picture)
    draw_reading(polynomials[4], curves, beside)
    print(f"   {picture}: what the polynomial of degree 2 looks for in each class")
    print(f"   {beside}: variance by degree, eigenvalues, attacks")


def reading_path(picture: Path) -> Path:
    """Where the second picture goes: beside the first, with "_reading" added to its name."""
    return picture.with_stem(f"{picture.stem}_reading")


def _description(layer: MLP, inputs: Gaussian, data: Digits) -> str:
    constant = int(np.sum(inputs.std == 0))
    right = accuracy(layer, data.held_out, data.held_out_labels)
    return (
        f"network   {layer}, right on {right:.1%} of {len(data.held_out)} held-out images\n"
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


def _indented(text: str) -> str:
    return "\n".join(f"   {line}".rstrip() for line in text.splitlines())


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m numeric.demo", description=__doc__)
    parser.add_argument(
        "--picture",
        type=_picture,
        default=Path("demo.png"),
        help="where to save the first picture (default: demo.png); the second is put beside it, as demo_reading.png",
    )
    options: Any = parser.parse_args(arguments)
    try:
        run(options.picture)
    except MissingExtra as error:
        parser.exit(1, f"{error}\n")
    return 0


def _picture(text: str) -> Path:
    try:
        picture_format(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


if __name__ == "__main__":
    sys.exit(main())
