"""The activations, with the parameters, that have a table of true values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np

from tests.oracle.definitions import Definition, definition
from tests.oracle.points import SEED, Array, distinct, sample_points

CLOSED_FORM_BOUND = 16.0
QUADRATURE_BOUND = 1e-14 / 2.2e-16
ALGEBRAIC_BOUND = 1e-12 / 2.2e-16

LARGEST_EXPONENT = 690.0
"""e^690 = 5e299."""

Source = Literal["proof", "moments", "trapezoid", "panels"]
"""Where truth comes from: a formula that symgauss proved, truncated Gaussian moments, or a quadrature."""


@dataclass(frozen=True)
class Case:
    """An activation with parameters.

    Attributes:
        key: the name of the table. name: the name of the activation. parameters: what is not at its
        default. source: where truth comes from. rates: those at which exponential tails of σ, σ′, … die.
        bound: the largest η / (ε (1 + κ)) allowed. s_max: the largest standard deviation of the domain.
    """

    key: str
    name: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    source: Source = "proof"
    rates: tuple[float, ...] = ()
    bound: float = CLOSED_FORM_BOUND
    s_max: float = 1e8

    @property
    def is_quadrature(self) -> bool:
        """Whether truth is a quadrature, without balls that are rigorous."""
        return self.source in ("trapezoid", "panels")

    def definition(self) -> Definition:
        """The textbook definition."""
        return _definition(self.name, tuple(self.parameters.items()))

    def derivatives(self) -> list[Definition | None]:
        """σ, σ′, σ″, σ‴, with None from the first one that is no function."""
        return _derivatives(self.name, tuple(self.parameters.items()))

    def centers_and_lengths(self) -> tuple[list[float], list[float]]:
        """Where σ changes, and on which scales."""
        breakpoints = [float(c) for c in self.definition().breakpoints]
        lengths = [b - a for a, b in pairwise(breakpoints)]
        return breakpoints or [0.0], lengths or [1.0]

    def points(self, seed: int = SEED) -> tuple[Array, Array]:
        """The points (μ, s) of its table."""
        mu, s = sample_points(*self.centers_and_lengths(), seed=seed, s_max=self.s_max, rates=self.rates)
        return distinct(below_overflow(mu, s, self.s_max), s) if self.definition().growth else (mu, s)


def below_overflow(mu: Array, s: Array, s_max: float) -> Array:
    """Means with max(1, s)^8 e^(μ + s²/2) < 1e300, the largest h_k of an exponential: where μ is too large,
    [-50 s, 50 s] is shrunk to what is allowed."""
    reach, top = 50 * np.maximum(1, s), _highest_mean(s)
    if _highest_mean(s_max) < -50 * s_max:
        raise ValueError(f"nothing is allowed at s = {s_max}")
    return np.where(mu > top, (mu + reach) / (2 * reach) * (top + reach) - reach, mu)


def _highest_mean(s: Array | float) -> Array:
    return LARGEST_EXPONENT - np.square(s) / 2 - 8 * np.log(np.maximum(1, s))


@lru_cache
def _definition(name: str, parameters: tuple[tuple[str, float], ...]) -> Definition:
    return definition(name, **dict(parameters))


@lru_cache
def _derivatives(name: str, parameters: tuple[tuple[str, float], ...]) -> list[Definition | None]:
    return _definition(name, parameters).derivatives(3)


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
    Case("elu", "elu", source="moments", rates=(1.0,)),
    Case("elu_0.5", "elu", {"alpha": 0.5}, "moments", (1.0,)),
    Case("elu_1.7", "elu", {"alpha": 1.7}, "moments", (1.0,)),
    Case("selu", "selu", source="moments", rates=(1.0,)),
    Case("celu", "celu", source="moments", rates=(1.0,)),
    Case("celu_0.5", "celu", {"alpha": 0.5}, "moments", (2.0,)),
    Case("celu_2", "celu", {"alpha": 2.0}, "moments", (0.5,)),
    Case("exp", "exp", source="moments", rates=(1.0,), s_max=111.0),
    *(Case(name, name, source="moments") for name in ("hardsigmoid", "hardswish", "jump_relu")),
    Case("jump_relu_0.7", "jump_relu", {"threshold": 0.7}, "moments"),
    Case("jump_relu_-0.5", "jump_relu", {"threshold": -0.5}, "moments"),
    Case("softshrink", "softshrink", source="moments"),
    Case("softshrink_2", "softshrink", {"lambd": 2.0}, "moments"),
    Case("hardshrink", "hardshrink", source="moments"),
    Case("hardshrink_2", "hardshrink", {"lambd": 2.0}, "moments"),
    *(
        Case(name, name, source="trapezoid", rates=rates, bound=QUADRATURE_BOUND, s_max=1e4)
        for name, rates in {
            "sigmoid": (1.0,),
            "silu": (1.0,),
            "tanh": (2.0,),
            "softplus": (1.0,),
            "logsigmoid": (1.0,),
            "mish": (1.0, 2.0),
            "tanhshrink": (2.0,),
            "gelu_tanh": (1.6, 5.0),
            "quick_gelu": (1.702,),
        }.items()
    ),
    Case("softsign", "softsign", source="panels", bound=ALGEBRAIC_BOUND, s_max=1e4),
]

CASES: dict[str, Case] = {case.key: case for case in _CASES}


def chosen(keys: list[str]) -> list[Case]:
    """The cases named, all of them when none is."""
    unknown = [key for key in keys if key not in CASES]
    if unknown:
        raise SystemExit(f"no such table: {', '.join(unknown)}; there are {', '.join(CASES)}")
    return [CASES[key] for key in keys or CASES]
