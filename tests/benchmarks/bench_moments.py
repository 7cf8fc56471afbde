"""h_0, h_1, h_2 of a million preactivations, against `scipy.special.ndtr(mean/std)`, on one thread.

    python -m tests.benchmarks.bench_moments [--repeats 25]

mean ~ N(0, 9), std ~ U(0.5, 2), preallocated `out`; what is timed is the public function, its checks
included. Quadrature kernels have two regimes, so they are timed with a tenth and with ten times of std as well,
against the same floor. Then start-up: importing `numeric`, the first call with the machine code in the cache, and
an activation that was never seen before, from its formula to its first Hermite coefficients.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

import numpy as np
from scipy.special import ndtr

import numeric as nm
from tests.benchmarks.timing import compare, heading, line

QUADRATURE = ("sigmoid", "logsigmoid", "tanh", "tanhshrink", "silu", "softplus", "mish", "quick_gelu", "gelu_tanh")
LIMITS = {
    "relu": 0.25,
    "gelu": 0.5,
    **dict.fromkeys(("elu", "selu", "celu"), 2.0),
    **dict.fromkeys(("hardsigmoid", "hardswish", "hardshrink", "hardtanh"), 1.0),
    **dict.fromkeys(QUADRATURE, 10.0),
}
# Integrated adaptively: microseconds a pair, and no limit.
INTEGRATED = ("softsign",)
PAIRS = 10**6
# Names are loaded when they are asked for, and Numba with the first of them.
IMPORT = (
    "import time; t = time.perf_counter(); from numeric import hermite_coefficients; print(time.perf_counter() - t)"
)
FIRST = (
    "import time; from numeric import hermite_coefficients; t = time.perf_counter(); "
    "hermite_coefficients('relu', 0.0, 1.0); print(time.perf_counter() - t)"
)


def kernels(repeats: int) -> None:
    rng = np.random.default_rng(0)
    mean, std = rng.normal(0, 3, PAIRS), rng.uniform(0.5, 2, PAIRS)
    out, quotient = np.empty((PAIRS, 3)), np.empty(PAIRS)
    print(f"h_0, h_1, h_2 of {PAIRS:,} pairs | ndtr(mean/std), nanoseconds a pair, {repeats} repeats")
    print(heading("ns"))
    for name in sorted(set(nm.activation_names()) - set(INTEGRATED), key=lambda n: (n not in LIMITS, n)):
        widths = {"": 1.0, ", std/10": 0.1, ", 10 std": 10.0} if name in QUADRATURE else {"": 1.0}
        for label, width in widths.items():
            times = compare(
                lambda name=name, scaled=width * std: nm.hermite_coefficients(name, mean, scaled, out=out),
                lambda: ndtr(mean / std, out=quotient),
                repeats,
            )
            print(line(name + label, times, LIMITS.get(name), unit=PAIRS * 1e-9, name="ns"), flush=True)
    few = slice(None, PAIRS // 1000)
    for name in INTEGRATED:
        times = compare(
            lambda name=name: nm.hermite_coefficients(name, mean[few], std[few], out=out[few]),
            lambda: ndtr(mean[few] / std[few], out=quotient[few]),
            repeats,
        )
        print(line(f"{name}, integrated", times, None, unit=PAIRS // 1000 * 1e-9, name="ns"))


NEW = {
    "closed form": "x + sympy.sin(2*x)**2/{n}",
    "quadrature": "x*sympy.tanh(x)/{n}",
    "integrated": "sympy.sqrt(x**2 + {n})",
}
COMPILE = (
    "import time, sympy, symgauss as sg, numeric as nm; x = sg.x; t = time.perf_counter(); "
    "nm.hermite_coefficients(sg.Activation('unseen', {formula}), 0.3, 1.2); print(time.perf_counter() - t)"
)


def run_time(repeats: int) -> None:
    """Seconds from a formula to coefficients: in an empty cache, and in the next process."""
    for kind, formula in NEW.items():
        code = COMPILE.format(formula=formula.format(n=7))
        cold, warm = [], []
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                environment = os.environ | {"XDG_CACHE_HOME": folder}
                for times in (cold, warm):
                    times.append(
                        float(subprocess.check_output([sys.executable, "-c", code], text=True, env=environment))
                    )
        for label, times, limit in (("cold", cold, 5.0), ("next process", warm, 5.0)):
            _seconds(f"new activation, {kind}, {label}", times, limit)


def start_up(repeats: int) -> None:
    for label, code, limit in (
        ("import of a name that needs Numba", IMPORT, 0.5),
        ("first call, warm cache", FIRST, 0.3),
    ):
        times = [float(subprocess.check_output([sys.executable, "-c", code], text=True)) for _ in range(repeats)]
        _seconds(label, times, limit)


def _seconds(label: str, times: list[float], limit: float) -> None:
    median = statistics.median(times)
    verdict = "ok" if median <= limit else "TOO SLOW"
    print(f"{label:<44} {median:8.3f} s  [{min(times):.3f}, {max(times):.3f}]  ≤ {limit}  {verdict}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=25)
    repeats = parser.parse_args().repeats
    kernels(repeats)
    print()
    start_up(max(repeats // 3, 3))
    run_time(max(repeats // 8, 1))


if __name__ == "__main__":
    main()
