"""True Hermite coefficients at given points: from the source of their case, or from the definition."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import sympy
from flint import arb

from tests.oracle.arb import Program, log2_abs, precision
from tests.oracle.cases import CASES, Case
from tests.oracle.definition import PRECISION, hermite_coefficient
from tests.oracle.moments import hermite_coefficients as by_moments
from tests.oracle.nodes import softsign, trapezoid

ORDER = 8
"""Tables go to h_8; its condition number needs h_10."""
NEEDED = ORDER + 3
G_ORDER = 3

AGREEMENT = 1e-25
"""Source and definition must differ by less than this times D_k."""

WAVE_LARGEST_S = 200.0
"""The integral of sin(μ + sz) is found by following its oscillations; beyond this s they are too many."""
SMALLEST_LOG2_SCALE = -960.0
"""Below D = 1e-289 no error counts (the floor is 1e-300), so nothing would be confirmed there."""


@dataclass(frozen=True)
class Formula:
    """The proved mean of an activation, and its Hermite coefficients as programs on balls."""

    mean: str
    program: Program

    def __call__(self, mu: float, s: float) -> list[arb]:
        return self.program.values([mu, s])


@lru_cache
def formula(key: str) -> Formula:
    """The formula `symgauss` derives, after `symgauss` has proved it."""
    import symgauss  # slow, and not needed to read tables

    case = CASES[key]
    # A parameter is the double that a kernel gets, not the decimal that it was written as.
    exact = {name: sympy.Rational(value) for name, value in case.definition().parameters.items()}
    activation = symgauss.activation(case.name, **exact)
    proof = symgauss.prove_mean(activation)
    if not proof.holds:
        raise AssertionError(f"{key}: the mean is {proof.status}\n{proof}")
    coefficients = symgauss.hermite_coefficients(activation, NEEDED - 1)
    program = Program(coefficients, [symgauss.mu, symgauss.sigma])
    return Formula(str(symgauss.gaussian_mean(activation)), program)


def source(case: Case) -> Callable[[float, float], list[arb]]:
    """(μ, s) to balls around h_0 … h_10: rigorous if a formula or moments, to 40 digits of D if a
    quadrature."""
    if case.source == "proof":
        return formula(case.key)
    if case.source == "moments":
        return lambda mu, s: by_moments(case.definition(), mu, s)
    if case.source == "panels":
        return softsign
    return lambda mu, s: trapezoid(case.name, mu, s)


def by_definition(case: Case, mu: float, s: float, log2_scales: list[float]) -> list[arb]:
    """Balls around h_0 … at one point, by integration; one for every scale given, 0 where nothing is left."""
    sigma = case.definition()
    return [
        hermite_coefficient(sigma, k, mu, s, scale) if scale > -math.inf else arb(0)
        for k, scale in enumerate(log2_scales)
    ]


def slopes_by_definition(case: Case, mu: float, s: float, log2_scales: list[float]) -> list[arb | None]:
    """Balls around g_0 … as means of σ, σ′, …, None where one is no function or nothing is left of it."""
    return [
        hermite_coefficient(sigma, 0, mu, s, scale) if sigma is not None and scale > SMALLEST_LOG2_SCALE else None
        for sigma, scale in zip(case.derivatives(), log2_scales)
    ]


def can_confirm(case: Case, s: float, log2_scales: list[float]) -> bool:
    """Whether integration from the definition is possible and says something."""
    if case.definition().wave is not None and s > WAVE_LARGEST_S:
        return False
    return min(log2_scales) > SMALLEST_LOG2_SCALE


def disagreement(found: arb, defined: arb, log2_scale: float) -> float:
    """An upper bound of |found - defined| / D."""
    with precision(PRECISION):
        return float(2 ** min(1000.0, log2_abs((found - defined).abs_upper()) - log2_scale))
