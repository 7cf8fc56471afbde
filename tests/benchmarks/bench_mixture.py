"""The best quadratic of a network under a mixture fitted to MNIST: iterations, time, memory, and what it leaves.

    python -m tests.benchmarks.bench_mixture [--mnist FOLDER] [--small] [--adam RATE ...]

Ten components, one for each digit, from the 60,000 training images with pixels in [0, 1] and a noise floor of 1e-4; a
network 784 → 512 → 10 (ReLU) trained for three epochs. The gap is E(p − p*)² over Var f, of the worst output, with p*
from a solve that goes on to 1e-12. An application of the operator is timed beside the two matrix products per
component and output that it cannot do without. Then the same with 14 × 14 pixels (`--small`: only that), and beside it
stochastic gradients for ten times the solver's time, with a picture of both: Adam on batches of fresh samples of the
mixture, in the same whitened coordinates, from the quadratic of the moment-matched Gaussian, the best of four rates.
With 28 × 28 pixels that takes 23 minutes a rate: `--adam` names the rates, and its picture is mixture_sgd_784.png.
"""

import argparse
import os
import resource
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import numeric as nm
from numeric.demo_mnist import VARIABLE, Mnist, mnist, train
from numeric.mixture import conjugate_gradients
from numeric.mixture.expectations import right_hand_side
from tests.benchmarks.timing import RESULTS, seconds

Float64 = NDArray[np.float64]

ITERATIONS, SECONDS, MEMORY, RATIO = 120, 600.0, 4.0, 1.25
NOISE = 1e-4
RATES = (3e-5, 1e-4, 3e-4, 1e-3)
STEPS = 3 * 60000 // 128


def pixels(images: NDArray[np.uint8], small: bool) -> Float64:
    scaled = images / 255.0
    return scaled.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(images), -1) if small else scaled


def curve(solver: nm.Solver, layer: nm.MLP) -> tuple[Float64, Float64, Float64]:
    """The true gap of the worst output, the estimate, and the seconds after every iteration; to far below 1e-8."""
    right = right_hand_side(layer, solver.inputs, solver._coordinates)
    state = conjugate_gradients.start(solver._operator, right)
    estimates, times, began = [], [], time.perf_counter()
    while len(state.gains) < 300:
        conjugate_gradients.step(solver._operator, solver._precondition, state)
        times.append(time.perf_counter() - began)
        estimates.append(state.estimate())
        if (estimates[-1] < 1e-12 * np.sum(state.gains, axis=0)).all():
            break
    gains = np.array(state.gains)
    variance = gains.sum(axis=0) - right[:, 0] ** 2
    left = np.cumsum(gains[::-1], axis=0)[::-1]
    gaps = np.concatenate([left[1:], np.zeros((1, len(right)))])
    return (gaps / variance).max(axis=1), (np.array(estimates) / variance).max(axis=1), np.array(times)


def application(solver: nm.Solver, outputs: int, repeats: int = 5) -> tuple[float, float]:
    """Seconds of an application, and of its matrix products alone."""
    operator, rng = solver._operator, np.random.default_rng(0)
    rows = rng.standard_normal((outputs, operator.size))
    B = operator.parts(rows)[2]
    B += B.transpose(0, 2, 1).copy()
    C = operator.scaled

    def products() -> None:
        for matrix in B:
            for component in C:
                (component @ matrix) @ component

    pairs = [(seconds(lambda: operator(rows)), seconds(products)) for _ in range(repeats)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def stochastic(
    solver: nm.Solver, layer: nm.MLP, limit: float, best: float, total: Float64, most: float, fastest: float
) -> tuple[list[float], list[float]]:
    """Seconds and total FVU of Adam on fresh samples, from zero; the excess over the best is computed exactly."""
    operator, rng = solver._operator, np.random.default_rng(0)
    coordinates, d = solver._coordinates, solver._coordinates.dim
    rows = solver._rows(nm.approximate(layer, solver.inputs.moment_matched()), slice(0, layer.d_out))
    first, second = np.zeros_like(rows), np.zeros_like(rows)
    right = right_hand_side(layer, solver.inputs, coordinates)
    times, values, spent, step = [], [], 0.0, 0
    while spent < limit:
        began = time.perf_counter()
        x = solver.inputs.sample(256, rng)
        z = (x - coordinates.center) @ coordinates.inward.T
        c, a, B = operator.parts(rows)
        values_p = c + z @ a.T + np.stack([((z @ b) * z).sum(1) - np.trace(b) for b in B], 1) / np.sqrt(2)
        excess = (values_p - layer(x)) / len(x)
        quadratic = np.stack([z.T @ (excess[:, [o]] * z) - excess[:, o].sum() * np.eye(d) for o in range(len(B))])
        gradient = operator.joined(excess.sum(0), excess.T @ z, quadratic / np.sqrt(2))
        step += 1
        rate = fastest * min(1.0, step / 100) * max(0.0, 1 - spent / limit)
        first += 0.1 * (gradient - first)
        second += 0.001 * (gradient**2 - second)
        rows -= rate * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-10)
        spent += time.perf_counter() - began
        if not times or spent > 1.3 * times[-1] or spent >= limit:
            energy = (rows * (2 * right - operator(rows))).sum()  # what it explains, E f included
            times.append(spent)
            values.append(best + (most - energy) / total.sum())
    return times, values


def explained_best(solver: nm.Solver, layer: nm.MLP) -> float:
    """Σ_o E p*²."""
    right = right_hand_side(layer, solver.inputs, solver._coordinates)
    state = conjugate_gradients.start(solver._operator, right)
    while len(state.gains) < 200 and conjugate_gradients.step(solver._operator, solver._precondition, state):
        if (state.estimate() < 1e-11 * np.sum(state.gains, axis=0)).all():
            break
    return float(np.sum(state.gains))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, default=os.environ.get(VARIABLE), help=f"default: ${VARIABLE}")
    parser.add_argument("--small", action="store_true", help="14 × 14 pixels only; the limits are for 28 × 28")
    parser.add_argument("--adam", type=float, nargs="*", default=[], help="rates for 28 × 28, 23 minutes each")
    options = parser.parse_args()
    if options.mnist is None:
        print(f"skipped: no MNIST; pass --mnist FOLDER or set {VARIABLE}")
        return
    data = mnist(options.mnist)
    for small in (True,) if options.small else (False, True):
        study(data, small, RATES if small else tuple(options.adam))
        print()


def study(data: Mnist, small: bool, rates: tuple[float, ...]) -> None:
    X, labels = pixels(data.train, small), data.train_labels
    layer = train(X, labels, [STEPS])[0]
    right = nm.accuracy(layer, pixels(data.test, small), data.test_labels)
    print(f"{layer}, right on {right:.2%} of the test images")
    began = time.perf_counter()
    mixture = nm.GaussianMixture.from_samples(X, labels, noise_floor=NOISE)
    fitted = time.perf_counter()
    solver = nm.Solver(mixture)
    prepared = time.perf_counter()
    p = solver.solve(layer)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30
    took = time.perf_counter() - prepared
    print(f"{mixture}: fitted in {fitted - began:.1f} s, solver set up in {prepared - fitted:.1f} s")
    print(f"solved to 1e-8: {p.info.iterations} iterations (≤ {ITERATIONS}), {took:.1f} s with right-hand side", end="")
    print(f"; in all {took + prepared - began:.1f} s (≤ {SECONDS:g}), peak {peak:.2f} GiB (≤ {MEMORY:g})")
    mine, floor = application(solver, layer.d_out)
    print(f"an application {mine:.3f} s, its matrix products {floor:.3f} s: {mine / floor:.2f} (≤ {RATIO})")
    gaps, estimates, times = curve(solver, layer)
    print(f"true gap of the solution {gaps[p.info.iterations - 1]:.1e}\n\niteration   gap       estimate   seconds")
    for i in range(9, len(gaps), 10):
        print(f"{i + 1:9d}   {gaps[i]:.1e}   {estimates[i]:.1e}   {times[i]:7.1f}")
    fvus(layer, mixture, p)
    if rates:
        compare(layer, solver, p, took, gaps, times, rates)


def fvus(layer: nm.MLP, mixture: nm.GaussianMixture, p: nm.SolvedPolynomial) -> None:
    """Exact FVU beside the sampled one, and those of simpler polynomials on the same samples."""
    x = mixture.sample(20000, 1)
    f = layer(x)
    print(f"\nFVU under the mixture, exact {p.total_fvu:.5f}; on 20,000 samples:")
    matched = mixture.moment_matched()
    for name, other in {
        "best quadratic": p,
        "quadratic of the matched Gaussian": nm.approximate(layer, matched, 2),
        "best linear": nm.approximate(layer, mixture, 1),
    }.items():
        error = ((f - other(x)) ** 2).sum(axis=1)
        variance = ((f - f.mean(axis=0)) ** 2).sum(axis=1).mean()
        print(f"  {name:<34} {error.mean() / variance:.5f} ± {error.std() / variance / len(x) ** 0.5:.5f}")


def compare(
    layer: nm.MLP,
    solver: nm.Solver,
    p: nm.SolvedPolynomial,
    took: float,
    gaps: Float64,
    times: Float64,
    rates: tuple[float, ...],
) -> None:
    total = p._unexplained.total
    most = explained_best(solver, layer)
    runs = {rate: stochastic(solver, layer, 10 * took, p.total_fvu, total, most, rate) for rate in rates}
    print(
        f"\nAdam for {10 * took:.0f} s, FVU by rate: " + ", ".join(f"{r:g}: {v[-1]:.5f}" for r, (_, v) in runs.items())
    )
    print(f"the solver after {took:.0f} s: {p.total_fvu:.5f}")
    spent, values = min(runs.values(), key=lambda run: run[1][-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from matplotlib.figure import Figure

        from numeric import plots

        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        ax = figure.subplots()
        ax.loglog(
            times, p.total_fvu * (1 + 0 * gaps) + gaps, "-", color="#0072b2", label="conjugate gradients (worst output)"
        )
        ax.loglog(spent, values, "s-", color="#d55e00", label="Adam on fresh samples")
        ax.axhline(p.total_fvu, color="0.4", linestyle=":", label="best quadratic")
        ax.set(xlabel="seconds", ylabel="FVU")
        ax.legend()
        name = "mixture_sgd.png" if layer.d_in < 784 else f"mixture_sgd_{layer.d_in}.png"
        plots.save(ax, RESULTS / name)


if __name__ == "__main__":
    main()
