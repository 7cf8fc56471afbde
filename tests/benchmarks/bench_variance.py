"""The exact fraction of variance unexplained of a large layer: time and memory.

    python -m tests.benchmarks.bench_variance [--repeats 3] [--small]

784 inputs with a full covariance whose eigenvalues fall like those of images, 4096 neurons, 10 outputs, degree 2.
Every case runs in a process of its own, after a small layer of its kind has compiled what it needs; the table shows
the median time of the repeats with the smallest and the largest, and the peak memory of the process, weights and
covariance included. In the nearly parallel case neurons come in groups of 16 with correlations from 0.9 to 0.999.
"""

import argparse
import resource
import statistics
import subprocess
import sys
from typing import NamedTuple

import numpy as np

from numeric.convert import approximate
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP
from numeric.variance import explained
from tests.benchmarks.timing import seconds

SECONDS_LIMIT = 30.0
MEMORY_LIMIT = 2.0


class Size(NamedTuple):
    d_in: int
    n_hidden: int
    d_out: int


LARGE = Size(784, 4096, 10)
SMALL = Size(128, 512, 10)
WARM = Size(16, 24, 2)
CASES = ("MLP, relu", "MLP, silu", "MLP, relu, nearly parallel", "MLP, silu, nearly parallel", "GLU, silu", "GLU, relu")
GROUP = 16


def inputs(size: Size, rng: np.random.Generator) -> Gaussian:
    """A full covariance with eigenvalues 1, 2^−1.5, 3^−1.5, … in random directions."""
    basis = np.linalg.qr(rng.standard_normal((size.d_in, size.d_in)))[0]
    matrix = basis * np.arange(1.0, size.d_in + 1) ** -1.5 @ basis.T
    return Gaussian(rng.standard_normal(size.d_in), (matrix + matrix.T) / 2)


def rows(size: Size, some: Gaussian, rng: np.random.Generator, near: bool = False) -> np.ndarray:
    """Random weights with preactivations of standard deviation 1; `near`: in groups that are almost parallel."""
    W = rng.standard_normal((size.n_hidden, size.d_in))
    W /= some.project(W)[1][:, None]
    if near:
        g = rng.uniform(0.9, 0.999, size.n_hidden) ** 0.5
        leaders = W[np.arange(size.n_hidden) // GROUP]
        W = g[:, None] * leaders + np.sqrt(1 - g**2)[:, None] * W
        W /= some.project(W)[1][:, None]
    return W


def problem(case: str, size: Size) -> tuple[MLP | GLU, Gaussian]:
    rng = np.random.default_rng(40)
    some = inputs(size, rng)
    kind, name, *near = case.split(", ")
    W, b = rows(size, some, rng, bool(near)), rng.standard_normal(size.n_hidden)
    b -= W @ some.mean
    W_out = rng.standard_normal((size.d_out, size.n_hidden)) / size.n_hidden**0.5
    if kind == "MLP":
        return MLP(W, b, W_out, None, name), some
    return GLU(W, b, rows(size, some, rng), None, W_out, None, name), some


def run(case: str, size: Size, repeats: int) -> None:
    p = approximate(*problem(case, WARM), 2)
    explained(p, progress=False)
    p = approximate(*problem(case, size), 2)
    times = [seconds(lambda: explained(p, progress=False)) for _ in range(repeats)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30
    median = statistics.median(times)
    verdicts = "ok" if median <= SECONDS_LIMIT else "TOO SLOW", "ok" if peak <= MEMORY_LIMIT else "TOO MUCH"
    print(
        f"{case:<30} {median:8.2f} s  [{min(times):.2f}, {max(times):.2f}]  ≤ {SECONDS_LIMIT:g}  {verdicts[0]}"
        f"   {peak:6.2f} GiB  ≤ {MEMORY_LIMIT:g}  {verdicts[1]}   FVU {p.total_fvu:.4f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="an eighth of the neurons; the limits are for all of them")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    size = SMALL if arguments.small else LARGE
    if arguments.case:
        run(arguments.case, size, arguments.repeats)
        return
    print(f"{size.d_in} → {size.n_hidden} → {size.d_out}, degree 2, full covariance, {arguments.repeats} repeats\n")
    sys.stdout.flush()
    options = ["--repeats", str(arguments.repeats), *(["--small"] if arguments.small else [])]
    for case in CASES:
        subprocess.run([sys.executable, "-m", "tests.benchmarks.bench_variance", "--case", case, *options], check=True)


if __name__ == "__main__":
    main()
