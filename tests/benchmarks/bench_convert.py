"""Converting and evaluating a large MLP, against the work that cannot be avoided.

    python -m tests.benchmarks.bench_convert [--repeats 5] [--small]

4096 inputs with a full covariance, 16384 neurons, 4096 outputs, float32 weights, GELU, degree 2. Each ratio
is taken between neighbouring runs in one process, and the table shows the median of the repeats with the
smallest and the largest. Memory is the peak of a subprocess that converts, evaluates and does nothing else.
"""

import argparse
import resource
import subprocess
import sys
import time
from functools import partial
from typing import NamedTuple

import numpy as np

from numeric.convert import approximate
from numeric.dense import CoefficientsTooLarge
from numeric.inputs import Gaussian
from numeric.layers import MLP
from tests.benchmarks.timing import compare, heading, line

CONVERSION_LIMIT = 1.15
EVALUATION_LIMIT = 1.5
MEMORY_LIMIT = 6.0
BATCH = 1000


class Size(NamedTuple):
    d_in: int
    n_hidden: int
    d_out: int


LARGE = Size(4096, 16384, 4096)
SMALL = Size(512, 2048, 512)


def problem(size: Size) -> tuple[MLP, Gaussian, np.ndarray]:
    """A random layer, inputs with a smooth full covariance, and a batch of inputs."""
    rng = np.random.default_rng(20)
    layer = MLP(
        rng.standard_normal((size.n_hidden, size.d_in), dtype=np.float32) / np.float32(size.d_in**0.5),
        rng.standard_normal(size.n_hidden, dtype=np.float32),
        rng.standard_normal((size.d_out, size.n_hidden), dtype=np.float32) / np.float32(size.n_hidden**0.5),
        rng.standard_normal(size.d_out, dtype=np.float32),
        activation="gelu",
    )
    index = np.arange(size.d_in)
    covariance = np.exp(-np.abs(index[:, None] - index) / 8.0)
    inputs = Gaussian(rng.standard_normal(size.d_in), covariance)
    return layer, inputs, rng.standard_normal((BATCH, size.d_in), dtype=np.float32)


def time_all(size: Size, repeats: int) -> None:
    layer, inputs, x = problem(size)
    print(f"{size.d_in} → {size.n_hidden} → {size.d_out}, float32, gelu, full covariance, {repeats} repeats")
    print()
    print(heading())
    wide = layer.W_in.astype(np.float64)
    product = partial(np.matmul, wide, inputs.cov, out=np.empty_like(wide))
    times = compare(lambda: approximate(layer, inputs, 2), product, repeats)
    print(line("convert, degree 2 | W_in Σ in float64", times, CONVERSION_LIMIT))
    for degree in (2, 8):
        p = approximate(layer, inputs, degree)
        times = compare(lambda p=p: p(x), lambda: layer(x), repeats)
        print(line(f"evaluate 1,000 inputs, degree {degree} | network", times, EVALUATION_LIMIT))


def use_once(size: Size) -> None:
    """What the memory of the subprocess is spent on."""
    layer, inputs, x = problem(size)
    p = approximate(layer, inputs, 2)
    p(x)
    if size == LARGE:
        start = time.perf_counter()
        try:
            _ = p.quadratic
        except CoefficientsTooLarge as error:
            print(f"quadratic part refused in {time.perf_counter() - start:.4f} s: {error}")
        else:
            raise AssertionError("the dense quadratic part was not refused")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30
    verdict = "ok" if peak <= MEMORY_LIMIT else "TOO MUCH"
    print(f"peak memory of making, converting and evaluating: {peak:.2f} GiB  ≤ {MEMORY_LIMIT}  {verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="an eighth of every size; the limits are for the full one")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    size = SMALL if arguments.small else LARGE
    if arguments.once:
        use_once(size)
        return
    time_all(size, arguments.repeats)
    print(flush=True)
    same_size = ["--small"] if arguments.small else []
    subprocess.run([sys.executable, "-m", "tests.benchmarks.bench_convert", "--once", *same_size], check=True)


if __name__ == "__main__":
    main()
