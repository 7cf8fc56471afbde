"""The activations, with the parameters, that have a table of true values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from tests.oracle.definitions import Definition, definition

CLOSED_FORM_BOUND = 16.0
QUADRATURE_BOUND = 1e-14 / 2.2e-16


@dataclass(frozen=True)
class Case:
    """An activation with parameters.

    Attributes:
        key: the name of the table. name: the name of the activation. parameters: what is not at its
        default. closed_form: whether truth is a proved formula (else it is the definition, and kernels are
        quadratures).
    """

    key: str
    name: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    closed_form: bool = True

    @property
    def bound(self) -> float:
        """The largest η / (ε (1 + κ)) allowed."""
        return CLOSED_FORM_BOUND if self.closed_form else QUADRATURE_BOUND

    @property
    def s_max(self) -> float:
        """The largest standard deviation of the domain."""
        return 1e8 if self.closed_form else 1e4

    def definition(self) -> Definition:
        """The textbook definition."""
        return _definition(self.name, tuple(self.parameters.items()))

    def centers_and_lengths(self) -> tuple[list[float], list[float]]:
        """Where σ changes, and on which scales."""
        breakpoints = [float(c) for c in self.definition().breakpoints]
        lengths = [b - a for a, b in pairwise(breakpoints)]
        return breakpoints or [0.0], lengths or [1.0]


@lru_cache
def _definition(name: str, parameters: tuple[tuple[str, float], ...]) -> Definition:
    return definition(name, **dict(parameters))


_CASES = [
    *(
        Case(name, name)
        for name in ("identity", "square", "abs", "step", "relu", "leaky_relu", "relu2", "relu6", "hardtanh")
    ),
    *(Case(name, name) for name in ("gelu", "erf", "sin", "cos", "gaussian_bump")),
    Case("leaky_relu_0.2", "leaky_relu", {"negative_slope": 0.2}),
    Case("leaky_relu_-1000", "leaky_relu", {"negative_slope": -1000.0}),
    Case("hardtanh_-0.25_3", "hardtanh", {"min_val": -0.25, "max_val": 3.0}),
    Case("hardtanh_-6_0", "hardtanh", {"min_val": -6.0, "max_val": 0.0}),
]

CASES: dict[str, Case] = {case.key: case for case in _CASES}


def chosen(keys: list[str]) -> list[Case]:
    """The cases named, all of them when none is."""
    unknown = [key for key in keys if key not in CASES]
    if unknown:
        raise SystemExit(f"no such table: {', '.join(unknown)}; there are {', '.join(CASES)}")
    return [CASES[key] for key in keys or CASES]
