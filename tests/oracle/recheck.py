"""One row of a table computed again, by everything that is known about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from flint import arb

from tests.oracle.arb import precision
from tests.oracle.cases import Case
from tests.oracle.definition import PRECISION
from tests.oracle.storage import Table
from tests.oracle.tables import condition_numbers, g_from_h, scales
from tests.oracle.truth import AGREEMENT, G_ORDER, ORDER, by_definition, can_confirm, slopes_by_definition, source

STORED_RELATIVE = 2.0**-60
STORED_ABSOLUTE = 1e-320
"""What hi (1 + lo) can resolve."""

SCALE_TOLERANCE = 2.0**-9
KAPPA_TOLERANCE = 0.015


def recheck(case: Case, table: Table, row: int) -> bool:
    """Compare a row with its source, its definition, and scales and condition numbers made anew.

    Returns:
        Whether the row could be integrated from the definition (all but the trivial ones can).

    Raises:
        AssertionError: at the first number that is wrong, with its place.
    """
    mu, s = float(table.mu[row]), float(table.s[row])
    h_scale, g_scale = scales(case, np.array([mu]), np.array([s]))
    confirmed = can_confirm(case, s, h_scale[0, : ORDER + 1].tolist())
    if confirmed:
        defined = by_definition(case, mu, s, h_scale[0, : ORDER + 1].tolist())
        _compare("h", table, row, defined, h_scale[0], AGREEMENT)
        slopes = slopes_by_definition(case, mu, s, g_scale[0].tolist())
        _compare("g", table, row, slopes, g_scale[0], AGREEMENT)
    h = source(case)(mu, s)
    g = g_from_h(h, s)
    share = AGREEMENT if case.is_quadrature else 0.0
    _compare("h", table, row, h, h_scale[0], share)
    _compare("g", table, row, g, g_scale[0], share)
    kappas = condition_numbers([h], table.mu[[row]], table.s[[row]], h_scale, g_scale)
    for quantity, kappa in zip("hg", kappas):
        stored = getattr(table, f"{quantity}_kappa")[row]
        _near(f"{quantity} log(1 + κ)", np.log1p(stored), np.log1p(kappa[0]), KAPPA_TOLERANCE)
    for quantity, scale in (("h", h_scale[0, : ORDER + 1]), ("g", g_scale[0])):
        stored = getattr(table, f"{quantity}_log2_scale")[row]
        _near(f"{quantity} log2 D", stored, scale, SCALE_TOLERANCE)
    return confirmed


def _compare(
    quantity: str, table: Table, row: int, true: Sequence[arb | None], log2_scale: np.ndarray, share: float
) -> None:
    """Stored values against balls where there are some, to the storage's resolution and a share of D."""
    hi, lo = getattr(table, f"{quantity}_hi")[row], getattr(table, f"{quantity}_lo")[row]
    for k, ball in enumerate(true[: (ORDER if quantity == "h" else G_ORDER) + 1]):
        if ball is None:
            continue
        with precision(PRECISION):
            stored = arb(float(hi[k])) * (1 + arb(float(lo[k])))
            difference = (stored - ball).abs_upper()
            # A value lost below the doubles is stored as 0.
            allowed = STORED_RELATIVE * abs(stored) + STORED_ABSOLUTE
            if share:
                allowed += share * arb(2) ** float(log2_scale[k])
            good = bool(difference <= allowed)
        place = f"{quantity}_{k} at μ={table.mu[row]!r}, s={table.s[row]!r}"
        assert good, f"{place}: table {stored.str(20)}, true {ball.str(20)}"


def _near(what: str, stored: np.ndarray, true: np.ndarray, tolerance: float) -> None:
    good = np.allclose(stored, true, rtol=0, atol=tolerance)
    assert good, f"{what}: table {stored}, true {true}"
