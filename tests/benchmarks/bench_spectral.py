"""Eigenvectors of the quadratic part of a large layer, without a matrix of its size.

    python -m tests.benchmarks.bench_spectral [--small]

4096 inputs, 16384 neurons, float32 weights, GELU: ten eigenvectors of one output by Lanczos' method on the factored
form, raw and whitened (inputs with a full covariance, whose Cholesky factor is not counted). Memory is the peak of the
process, weights and covariance included.
"""

import argparse
import resource
import time

import numpy as np

from numeric import MLP, Gaussian, approximate
from numeric.spectral import spectrum

SECONDS_LIMIT = 60.0
MEMORY_LIMIT = 3.0
COUNT = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a quarter of every size; the limits are for the full one")
    scale = 4 if parser.parse_args().small else 1
    d, n_hidden = 4096 // scale, 16384 // scale
    rng = np.random.default_rng(0)
    W_in = rng.standard_normal((n_hidden, d), dtype=np.float32) / np.float32(d**0.5)
    layer = MLP(W_in, rng.standard_normal(n_hidden), rng.standard_normal((10, n_hidden)), activation="gelu")
    index = np.arange(d)
    full = Gaussian(np.zeros(d), np.exp(-np.abs(index[:, None] - index) / 8.0))
    print(f"{d} → {n_hidden}, float32, {COUNT} eigenvectors")
    for name, inputs in (("identity", Gaussian(np.zeros(d))), ("full", full)):
        p = approximate(layer, inputs, 2)
        inputs.covariance.against_root(np.ones((1, d)))
        start = time.perf_counter()
        found = spectrum(p, 0, COUNT, whitened=True)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30
        verdict = "ok" if seconds <= SECONDS_LIMIT and peak <= MEMORY_LIMIT else "MISSED"
        limits = f"{seconds:6.1f} s  ≤ {SECONDS_LIMIT:g}   peak {peak:.2f} GiB  ≤ {MEMORY_LIMIT:g}"
        print(f"{name:<10} {limits}  {verdict}   {found}")


if __name__ == "__main__":
    main()
