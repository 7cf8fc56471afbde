"""Tables of true Hermite coefficients, one file per activation; this command remakes them:

    python -m tests.oracle.tables [NAME ...] [--check N] [--jobs J]

A table holds h_0 … h_8 and g_1 … g_3 (g_k = h_k / s**k may be a number where h_k is zero in doubles) as hi
(1 + lo), their scales D and their condition numbers κ:

    D(h_k) = E[|σ(y)| (|He_k(Z)| + k |He_{k-1}(Z)|)],      κ(h_k) = (|μ ∂_μ h_k| + |s ∂_s h_k|) / D(h_k),
    D(g_k) = E|σ⁽ᵏ⁾(y)|, or D(h_k)/s**k where σ⁽ᵏ⁾ is no function,    κ(g_k) likewise,

with ∂_μ h_k = h_{k+1}/s, ∂_s h_k = (k h_k + h_{k+2})/s, ∂_μ g_k = g_{k+1}, ∂_s g_k = s g_{k+2}. Scales and
condition numbers are rounded, κ downwards, to what a bound needs. The same sources give the same bytes.

Where truth comes from, says the case (`truth.source`); random rows of each table are compared with the
definition, by rigorous integration.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from flint import arb
from numpy.typing import NDArray

from tests.oracle.arb import log2_abs, precision, split
from tests.oracle.cases import CASES, Case, chosen
from tests.oracle.definition import PRECISION
from tests.oracle.points import SEED
from tests.oracle.scale import log2_scales
from tests.oracle.storage import FOLDER, Table, save
from tests.oracle.truth import (
    AGREEMENT,
    G_ORDER,
    NEEDED,
    ORDER,
    by_definition,
    can_confirm,
    disagreement,
    formula,
    slopes_by_definition,
    source,
)

Array = NDArray[np.float64]

CONFIRMED = 300


def build(case: Case, confirm: int = CONFIRMED, seed: int = SEED) -> Table:
    """Compute a table; `confirm` of its rows are compared with the definition.

    Raises:
        AssertionError: if source and definition differ, or the mean is not proved.
    """
    mu, s = case.points(seed)
    h_scale, g_scale = scales(case, mu, s)
    truth = source(case)
    balls = [truth(m, w) for m, w in zip(mu.tolist(), s.tolist())]
    rows = _rows_to_confirm(case, s, h_scale, confirm)
    worst = max((row_disagreement(case, mu[i], s[i], balls[i], h_scale[i], g_scale[i]) for i in rows), default=0.0)
    if not worst <= AGREEMENT:
        raise AssertionError(f"{case.key}: {case.source} and definition differ by {worst:.1e} D")
    confirmed = np.zeros(mu.size, dtype=bool)
    confirmed[rows] = True
    g_balls = [g_from_h(row, float(s_i)) for row, s_i in zip(balls, s)]
    h_hi, h_lo = _split_all([row[: ORDER + 1] for row in balls])
    g_hi, g_lo = _split_all([row[: G_ORDER + 1] for row in g_balls])
    h_kappa, g_kappa = condition_numbers(balls, mu, s, h_scale, g_scale)
    return Table(
        about=_about(case, worst, seed),
        mu=mu,
        s=s,
        h_hi=h_hi,
        h_lo=h_lo,
        h_log2_scale=h_scale[:, : ORDER + 1],
        h_kappa=h_kappa,
        g_hi=g_hi,
        g_lo=g_lo,
        g_log2_scale=g_scale,
        g_kappa=g_kappa,
        confirmed=confirmed,
    )


def _about(case: Case, worst: float, seed: int) -> dict[str, Any]:
    return {
        "activation": case.name,
        "parameters": dict(case.parameters),
        "definition": [str(p) for p in case.definition().pieces],
        "breakpoints": [str(c) for c in case.definition().breakpoints],
        "mean": formula(case.key).mean if case.source == "proof" else None,
        "worst disagreement of formula and definition / D": float(f"{worst:.1e}"),
        "seed": seed,
    }


def scales(case: Case, mu: Array, s: Array) -> tuple[Array, Array]:
    """log2 of D(h_0 … h_10) and of D(g_0 … g_3)."""
    h_scale = log2_scales(case.definition(), mu, s, NEEDED)
    g_scale = h_scale[:, : G_ORDER + 1] - np.arange(G_ORDER + 1) * np.log2(s)[:, None]
    for k, derivative in enumerate(case.derivatives()):
        if derivative is not None:
            g_scale[:, k] = log2_scales(derivative, mu, s, 1)[:, 0]
    return h_scale, g_scale


def _rows_to_confirm(case: Case, s: Array, h_scale: Array, count: int) -> NDArray[np.intp]:
    possible = confirmable(case, s, h_scale[:, : ORDER + 1])
    if possible.size < count:
        raise AssertionError(f"{case.key}: only {possible.size} rows can be integrated from the definition")
    return np.sort(np.random.default_rng(SEED).choice(possible, count, replace=False))


def confirmable(case: Case, s: Array, h_scale: Array) -> NDArray[np.intp]:
    """The rows whose definition can be integrated, with values that matter."""
    return np.array([i for i in range(s.size) if can_confirm(case, s[i], list(h_scale[i]))], dtype=np.intp)


def row_disagreement(
    case: Case, mu: float, s: float, found: Sequence[arb], h_scale: Array, g_scale: Array | None = None
) -> float:
    """The largest |found - defined| / D of h_0 … h_8, and of the slopes of a quadrature, of a row.

    Slopes are integrated apart: for small s, h_k says nothing about g_k = h_k / s**k.
    """
    goals = h_scale[: ORDER + 1].tolist()
    defined = by_definition(case, float(mu), float(s), goals)
    worst = max(disagreement(f, d, goal) for f, d, goal in zip(found, defined, goals))
    if case.is_quadrature and g_scale is not None:
        slopes = zip(g_from_h(found, s), slopes_by_definition(case, float(mu), float(s), g_scale.tolist()), g_scale)
        worst = max(worst, *(disagreement(f, d, goal) for f, d, goal in slopes if d is not None))
    return worst


def g_from_h(h: Sequence[arb], s: float) -> list[arb]:
    """g_k = h_k / s**k, two orders more than the table has."""
    with precision(PRECISION):
        return [h[k] / arb(s) ** k for k in range(G_ORDER + 3)]


def condition_numbers(h: list[list[arb]], mu: Array, s: Array, h_scale: Array, g_scale: Array) -> tuple[Array, Array]:
    """κ of h_0 … h_8 and of g_0 … g_3, one row of balls for every point."""
    g = [g_from_h(row, float(w)) for row, w in zip(h, s)]
    return (
        _conditions(_h_changes, h, mu, s, h_scale[:, : ORDER + 1]),
        _conditions(_g_changes, g, mu, s, g_scale),
    )


def _h_changes(h: Sequence[arb], k: int, mu: arb, s: arb) -> arb:
    """|μ ∂_μ h_k| + |s ∂_s h_k|."""
    return abs(mu * h[k + 1] / s) + abs(k * h[k] + h[k + 2])


def _g_changes(g: Sequence[arb], k: int, mu: arb, s: arb) -> arb:
    """|μ ∂_μ g_k| + |s ∂_s g_k|."""
    return abs(mu * g[k + 1]) + abs(s * s * g[k + 2])


def _conditions(changes: Callable[..., arb], balls: list[list[arb]], mu: Array, s: Array, scale: Array) -> Array:
    """κ; where nothing is left of D, 0."""
    log2_changes = np.empty(scale.shape)
    with precision(PRECISION):
        for i, row in enumerate(balls):
            m, w = arb(float(mu[i])), arb(float(s[i]))
            log2_changes[i] = [log2_abs(changes(row, k, m, w)) for k in range(scale.shape[1])]
    with np.errstate(invalid="ignore"):
        return np.exp2(np.where(np.isfinite(scale), log2_changes - scale, -np.inf))


def _split_all(balls: list[list[arb]]) -> tuple[Array, Array]:
    pairs = np.array([[split(b) for b in row] for row in balls])
    return pairs[..., 0], pairs[..., 1]


def _remake(key: str, confirm: int) -> str:
    start = time.perf_counter()
    table = build(CASES[key], confirm)
    path = FOLDER / f"{key}.npz"
    save(table, path)
    worst = table.about["worst disagreement of formula and definition / D"]
    seconds = time.perf_counter() - start
    return (
        f"{key:18} {table.mu.size} points, {table.confirmed.sum()} confirmed from the definition "
        f"to {worst:.0e} D, {path.stat().st_size / 1000:.0f} kB, {seconds:.0f} s"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Remake tables and say how each went."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle.tables", description="Remake the tables.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="tables to remake (all)")
    parser.add_argument("--check", type=int, default=CONFIRMED, metavar="N", help="rows to confirm per table")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="processes")
    options = parser.parse_args(arguments)
    keys = [case.key for case in chosen(options.names)]
    print(f"{len(keys)} tables, {options.check} rows of each confirmed by integration", flush=True)
    with ProcessPoolExecutor(max(1, options.jobs)) as pool:
        for line in pool.map(_remake, keys, [options.check] * len(keys)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
