"""How exact the kernels are, against the tables:

    python -m tests.oracle.accuracy [NAME ...] [--seed N]

prints the worst η / (ε (1 + κ)) of every activation and where it occurs, η = |computed - true| / D, and
fails if one is above its bound. An absolute error of 1e-300 is forgiven everywhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.oracle.cases import Case, chosen
from tests.oracle.storage import Table, load
from tests.oracle.tables import build
from tests.oracle.truth import G_ORDER, ORDER

Array = NDArray[np.float64]

EPSILON = 2.2e-16
FLOOR = 1e-300


@dataclass(frozen=True)
class Worst:
    """The worst error of one quantity (h or g) of one activation."""

    quantity: str
    ratio: float
    k: int
    mu: float
    s: float
    computed: float
    true: float
    by_order: tuple[float, ...]

    def __str__(self) -> str:
        orders = " ".join(f"{r:.2g}" for r in self.by_order)
        place = f"{self.quantity}_{self.k} at μ={self.mu!r}, s={self.s!r}: {self.computed!r}, true {self.true!r}"
        return f"{self.ratio:9.3g}  {place}\n{'':30}by order: {orders}"


def ratios(computed: Array, hi: Array, lo: Array, log2_scale: Array, kappa: Array) -> Array:
    """η / (ε (1 + κ)) for each entry; infinite where the computed value is not finite.

    The error is (computed - hi) - hi lo: the first difference is exact whenever it is small.
    """
    with np.errstate(all="ignore"):
        error = np.maximum(np.abs((computed - hi) - hi * lo) - FLOOR, 0)
        unit = EPSILON * (1 + kappa) * np.exp2(log2_scale)
        ratio = np.where(error == 0, 0, error / unit)
    return np.where(np.isfinite(computed) & ~np.isnan(ratio), ratio, np.inf)


def worst(quantity: str, table: Table, computed: Array) -> Worst:
    """The largest ratio of h ("h") or g ("g") over a table."""
    hi = getattr(table, f"{quantity}_hi")
    parts = (getattr(table, f"{quantity}_{part}") for part in ("lo", "log2_scale", "kappa"))
    if computed.shape != hi.shape:
        raise ValueError(f"computed has shape {computed.shape}, the table {hi.shape}")
    found = ratios(computed, hi, *parts)
    row, k = np.unravel_index(np.argmax(found), found.shape)
    return Worst(
        quantity,
        float(found[row, k]),
        int(k),
        float(table.mu[row]),
        float(table.s[row]),
        float(computed[row, k]),
        float(hi[row, k]),
        tuple(found.max(axis=0).tolist()),
    )


def kernel_worst(case: Case, table: Table | None = None) -> list[Worst]:
    """The worst errors of the compiled kernels of `numeric`: of h_0 … h_8 and of g_0 … g_3.

    The table is the checked-in one unless another is given.
    """
    import numeric

    table = table or load(case.key)
    activation = numeric.activation(case.name, **case.parameters) if case.parameters else case.name
    h = numeric.hermite_coefficients(activation, table.mu, table.s, order=ORDER)
    g = numeric.expected_derivatives(activation, table.mu, table.s, order=G_ORDER)
    return [worst("h", table, h), worst("g", table, g)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; 1 if a bound is exceeded."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle.accuracy", description="Kernels against truth.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="tables to compare with (all)")
    parser.add_argument(
        "--seed", type=int, help="at new points from this seed (makes tables, seconds to a minute each)"
    )
    options = parser.parse_args(arguments)
    cases = chosen(options.names)
    print(f"{'activation':18} {'worst η/(ε(1+κ))':>10}  where")
    failures = 0
    for case in cases:
        table = load(case.key) if options.seed is None else build(case, confirm=0, seed=options.seed)
        for result in kernel_worst(case, table):
            good = result.ratio <= case.bound
            failures += not good
            print(f"{case.key:18}{'' if good else '!':2}{result}", flush=True)
    print(f"{failures} above their bounds" if failures else "all within their bounds")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
