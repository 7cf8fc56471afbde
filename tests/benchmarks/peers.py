"""Against other libraries, for what both can do: `make bench-peers`.

    python -m tests.benchmarks.peers [--repeats 15] [--quick]

The Walrus (loop hafnians) for moments of Gaussian vectors, polyapprox for the conversion of MLPs, where it is
right: degree 1 under any Gaussian, degree 2 under N(0, I). Peers are optional; an absent one is named and
skipped. Numbers are compared before they are timed, on one thread. A run with all peers is recorded in
results/peers.txt.
"""

import argparse
import statistics
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import numpy as np
from threadpoolctl import threadpool_limits

import numeric as nm
from tests.benchmarks.timing import compare, machine, record

# How many times faster than the peer, at least.
BATCH_LIMIT = 300.0
TABLE_LIMIT = 1.0
AGREEMENT = 1e-10
LABEL = 60


def peer(name: str) -> tuple[ModuleType | None, str]:
    """The module, or None, and what to say about it."""
    try:
        module = import_module(name)
    except ImportError:
        return None, f"{name}: not installed, skipped"
    try:
        return module, f"{name} {version(name)}"
    except PackageNotFoundError:
        return module, f"{name}, version unknown"


def row(
    label: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    repeats: int,
    scale: float = 1.0,
    limit: float | None = None,
) -> str:
    """Times of both in turns, and how many times faster ours is: the median of the ratios, and their range.

    `scale` multiplies the peer's time where only a part of its work is done, `limit` is the factor to reach.
    """
    times = [(a, b * scale) for a, b in compare(ours, theirs, repeats)]
    factors = [b / a for a, b in times]
    factor = statistics.median(factors)
    mine, other = (statistics.median(column) * 1e3 for column in zip(*times))
    verdict = "" if limit is None else f"  ≥ {limit:g}  {'ok' if factor >= limit else 'TOO SLOW'}"
    return (
        f"{label:<{LABEL}} {mine:10.4g} ms {other:10.4g} ms  {factor:8.4g} × "
        f"[{min(factors):.4g}, {max(factors):.4g}]{verdict}"
    )


def heading() -> str:
    return f"{'':<{LABEL}} {'ours':>13} {'peer':>13}  {'faster':>10} [range]"


Compared = tuple[np.ndarray, np.ndarray, np.ndarray | float]


def agreement(*compared: Compared) -> str:
    """The largest difference of ours and theirs relative to a scale; too large a one ends the run."""
    worst = max(float(np.max(np.abs(ours - theirs) / scale)) for ours, theirs, scale in compared)
    if not worst <= AGREEMENT:
        raise SystemExit(f"the numbers differ by {worst:.1e}, more than {AGREEMENT:.0e}: nothing to time")
    return f"agree to {worst:.1e}"


def problem(rng: np.random.Generator, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    """Means and covariances of full rank, a batch of the leading axes."""
    factor = rng.standard_normal((*shape, shape[-1]))
    return rng.standard_normal(shape), factor @ np.swapaxes(factor, -1, -2) / shape[-1]


def moments(walrus: ModuleType, repeats: int, quick: bool) -> list[str]:
    """Fourth moments of a batch, and one table of 400."""
    batch, sample = (10**4, 200) if quick else (10**5, 2000)
    mean, cov = problem(np.random.default_rng(30), batch, 4)

    def loop() -> np.ndarray:
        return np.array([walrus.loop_hafnian(cov[i], D=mean[i]) for i in range(sample)])

    ones = (1, 1, 1, 1)
    # the sum over partitions with every term positive: what rounding is relative to
    scale = nm.gaussian_moment(np.abs(mean[:sample]), np.abs(cov[:sample]), ones)
    same = agreement((nm.gaussian_moment(mean[:sample], cov[:sample], ones), loop(), scale))
    lines = [f"{batch:,} moments E X₁X₂X₃X₄ | loop_hafnian in a loop, {sample:,} of them timed and scaled; {same}"]
    lines.append(
        row(
            f"{batch:,} fourth-order moments in 4 variables",
            lambda: nm.gaussian_moment(mean, cov, ones),
            loop,
            repeats,
            scale=batch / sample,
            limit=BATCH_LIMIT,
        )
    )
    # no term is negative, so that both must be right to the last digits everywhere
    m, S, powers, calls = np.array([0.7, 0.4]), np.array([[1.0, 0.3], [0.3, 0.8]]), (19, 19), 100
    theirs = walrus.hafnian_batched(S, 20, mu=m)
    same = agreement((nm.gaussian_moments(m, S, powers), theirs, np.abs(theirs)))
    lines.append(f"all {theirs.size} moments E X₁ⁱX₂ʲ, i, j < 20 | hafnian_batched; {same}")
    lines.append(
        row(
            f"{calls} times 400 moments in 2 variables",
            lambda: [nm.gaussian_moments(m, S, powers) for _ in range(calls)],
            lambda: [walrus.hafnian_batched(S, 20, mu=m) for _ in range(calls)],
            repeats,
            limit=TABLE_LIMIT,
        )
    )
    return lines


def conversion(ols: ModuleType, repeats: int, quick: bool) -> list[str]:
    """Dense coefficients of degree 1 under a full Gaussian, of degree 2 under N(0, I)."""
    d, n_hidden, d_out = (16, 64, 4) if quick else (64, 256, 10)
    rng = np.random.default_rng(31)
    mean, cov = problem(rng, d)
    # far from singular: the peer inverts the covariance, which costs digits that are not compared here
    cov += np.eye(d)
    W_in, b_in = rng.standard_normal((n_hidden, d)) / d**0.5, rng.standard_normal(n_hidden)
    W_out, b_out = rng.standard_normal((d_out, n_hidden)) / n_hidden**0.5, rng.standard_normal(d_out)
    full, standard = nm.Gaussian(mean, cov), nm.Gaussian(np.zeros(d))
    lines = []
    for name in ("relu", "gelu"):
        layer = nm.MLP(W_in, b_in, W_out, b_out, activation=name)

        def linear(layer: nm.MLP = layer) -> tuple[np.ndarray, ...]:
            p = nm.approximate(layer, full, 1)
            return p.constant, p.linear

        def quadratic(layer: nm.MLP = layer) -> tuple[np.ndarray, ...]:
            p = nm.approximate(layer, standard, 2)
            return p.constant, p.linear, p.quadratic

        def their_linear(name: str = name) -> tuple[np.ndarray, ...]:
            fit = ols.ols(W_in, b_in, W_out, b_out, act=name, mean=mean, cov=cov)
            return fit.alpha, fit.beta.T

        def their_quadratic(name: str = name) -> tuple[np.ndarray, ...]:
            fit = ols.ols(W_in, b_in, W_out, b_out, act=name, order="quadratic")
            return fit.alpha, fit.beta.T, fit.unpack_gamma()

        for degree, ours, theirs in ((1, linear, their_linear), (2, quadratic, their_quadratic)):
            same = agreement(*((a, b, float(np.max(np.abs(b)))) for a, b in zip(ours(), theirs())))
            inputs = "full Gaussian" if degree == 1 else "N(0, I)"
            label = f"{name}, degree {degree}, {inputs}; {same}"
            lines.append(row(label, ours, theirs, repeats))
    return [f"coefficients of MLP({d} → {n_hidden} → {d_out}) | ols", *lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="small sizes; nothing is recorded")
    arguments = parser.parse_args()
    report, complete = [heading()], True
    for name, module, work in (("thewalrus", "thewalrus", moments), ("polyapprox", "polyapprox.ols", conversion)):
        found, title = peer(name)
        complete &= found is not None
        report += ["", title]
        if found is not None:
            with threadpool_limits(1):
                report += work(import_module(module), arguments.repeats, arguments.quick)
    text = "\n".join(report) + "\n"
    print(text)
    if complete and not arguments.quick:
        record("peers", f"{machine()}\n\n{text}")
    else:
        print("not recorded: " + ("a quick run" if arguments.quick else "a peer is missing"))


if __name__ == "__main__":
    main()
