"""E[σ(Y₁) σ(Y₂)] of a million pairs, against `scipy.special.ndtr` of as many numbers, on one thread.

    python -m tests.benchmarks.bench_bivariate [--repeats 15]

mean ~ N(0, 1), std ~ U(0.5, 2), rho ~ U(−1, 1). First Φ₂ alone, then the public function by formula, its checks and
the few pairs that it integrates included, then integrals, of a thousand pairs.
"""

import argparse

import numpy as np
from scipy.special import ndtr

import numeric as nm
from numeric.binormal import Phi2_loop
from tests.benchmarks.timing import compare, heading, line

PAIRS, FEW = 10**6, 10**3
LIMITS = {"relu": 8.0, "gelu": 8.0}
FORMULAS = ("step", "relu", "leaky_relu", "gelu", "erf", "hardtanh", "hardswish", "elu")
# A pair costs thousands of times what one Φ does, or the mesh has changed; softsign's means are integrals themselves.
INTEGRALS = {"silu": 20_000.0, "tanh": 20_000.0, "softplus": 20_000.0, "softsign": None}
PHI2_LIMIT = 4.0


def inputs(n: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    mean, std = rng.normal(0, 1, (2, n)), rng.uniform(0.5, 2, (2, n))
    return mean[0], std[0], mean[1], std[1], rng.uniform(-1, 1, n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    columns = inputs(PAIRS)
    h, k, rho = columns[0] / columns[1], columns[2] / columns[3], columns[4]
    out, quotient = np.empty(PAIRS), np.empty(PAIRS)
    print(f"E[σ(Y₁) σ(Y₂)] of {PAIRS:,} pairs | ndtr of as many numbers, nanoseconds each, {repeats} repeats")
    print(heading("ns"))

    def floor() -> None:
        ndtr(h, out=quotient)

    times = compare(lambda: Phi2_loop(h, k, rho, out), floor, repeats)
    print(line("Φ₂", times, PHI2_LIMIT, unit=PAIRS * 1e-9, name="ns"), flush=True)
    for name in FORMULAS:
        times = compare(lambda name=name: nm.gaussian_covariance(name, *columns), floor, repeats)
        print(line(name, times, LIMITS.get(name), unit=PAIRS * 1e-9, name="ns"), flush=True)
    few = inputs(FEW)
    for name, limit in INTEGRALS.items():
        times = compare(
            lambda name=name: nm.gaussian_covariance(name, *few), lambda: ndtr(few[0], out=quotient[:FEW]), repeats
        )
        print(line(f"{name}, integrated", times, limit, unit=FEW * 1e-9, name="ns"), flush=True)


if __name__ == "__main__":
    main()
