"""h_0, h_1, h_2 of a million preactivations, against `scipy.special.ndtr(mean/std)`, on one thread.

    python -m tests.benchmarks.bench_moments [--repeats 25]

mean ~ N(0, 9), std ~ U(0.5, 2), preallocated `out`; what is timed is the public function, its checks
included. Then start-up: importing `numeric`, and the first call with the machine code in the cache.
"""

import argparse
import statistics
import subprocess
import sys

import numpy as np
from scipy.special import ndtr

import numeric as nm
from tests.benchmarks.timing import compare, heading, line

LIMITS = {"relu": 0.25, "gelu": 0.5}
PAIRS = 10**6
IMPORT = "import time; t = time.perf_counter(); import numeric; print(time.perf_counter() - t)"
FIRST = (
    "import time, numeric; t = time.perf_counter(); numeric.hermite_coefficients('relu', 0.0, 1.0); "
    "print(time.perf_counter() - t)"
)


def kernels(repeats: int) -> None:
    rng = np.random.default_rng(0)
    mean, std = rng.normal(0, 3, PAIRS), rng.uniform(0.5, 2, PAIRS)
    out, quotient = np.empty((PAIRS, 3)), np.empty(PAIRS)
    print(f"h_0, h_1, h_2 of {PAIRS:,} pairs | ndtr(mean/std), nanoseconds a pair, {repeats} repeats")
    print(heading("ns"))
    for name in sorted(nm.activation_names(), key=lambda n: (n not in LIMITS, n)):
        times = compare(
            lambda name=name: nm.hermite_coefficients(name, mean, std, out=out),
            lambda: ndtr(mean / std, out=quotient),
            repeats,
        )
        print(line(name, times, LIMITS.get(name), unit=PAIRS * 1e-9, name="ns"))


def start_up(repeats: int) -> None:
    for label, code, limit in (("import numeric", IMPORT, 0.5), ("first call, warm cache", FIRST, 0.3)):
        times = [float(subprocess.check_output([sys.executable, "-c", code], text=True)) for _ in range(repeats)]
        verdict = "ok" if statistics.median(times) <= limit else "TOO SLOW"
        print(
            f"{label:<44} {statistics.median(times):8.3f} s  [{min(times):.3f}, {max(times):.3f}]  ≤ {limit}  {verdict}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=25)
    repeats = parser.parse_args().repeats
    kernels(repeats)
    print()
    start_up(max(repeats // 3, 3))


if __name__ == "__main__":
    main()
