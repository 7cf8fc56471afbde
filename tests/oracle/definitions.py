"""The activations as textbooks define them: breakpoints, and one smooth formula on each piece between them.

Nothing here comes from `symgauss`: what its algebra finds is compared with integrals of these formulas. A
smooth activation without closed form is one line of `DEFINITIONS` more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import sympy
from scipy.optimize import brentq
from scipy.special import ndtr

y = sympy.Symbol("y", real=True)


class phi(sympy.Function):
    """Standard normal density. Opaque, so that SymPy leaves products of tails alone."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sympy.Expr:  # noqa: ARG002 (SymPy's signature)
        return -self.args[0] * phi(self.args[0])


class Phi(sympy.Function):
    """Standard normal distribution function. SymPy would turn erfc(-x) into 2 - erfc(x), which has no
    tail."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sympy.Expr:  # noqa: ARG002
        return phi(self.args[0])


_NUMPY = {"Phi": ndtr, "phi": lambda t: np.exp(-t * t / 2) / np.sqrt(2 * np.pi)}

ROOT_RANGE = 50.0
"""Roots of formulas that are neither polynomials nor a sine are looked for in [-50, 50]."""


@dataclass(frozen=True)
class Definition:
    """σ(y) = pieces[i] for breakpoints[i-1] < y < breakpoints[i].

    Attributes:
        name: the activation's name.
        pieces: one formula in `y` more than there are breakpoints.
        breakpoints: increasing exact numbers.
        parameters: the parameters the formulas were written with.
    """

    name: str
    pieces: tuple[sympy.Expr, ...]
    breakpoints: tuple[sympy.Rational, ...] = ()
    parameters: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.pieces) != len(self.breakpoints) + 1:
            raise ValueError(f"{self.name}: {len(self.pieces)} pieces, {len(self.breakpoints)} breakpoints")
        if list(self.breakpoints) != sorted(self.breakpoints):
            raise ValueError(f"{self.name}: breakpoints must increase")

    def derivative(self) -> Definition | None:
        """σ′ where it is a function (σ has no jump; kinks of σ are allowed), else None."""
        for left, right, c in zip(self.pieces, self.pieces[1:], self.breakpoints):
            if sympy.simplify((left - right).subs(y, c)) != 0:
                return None
        return Definition(self.name + "′", tuple(sympy.diff(p, y) for p in self.pieces), self.breakpoints)

    def derivatives(self, count: int) -> list[Definition | None]:
        """σ, σ′, …, with None from the first one that is no function."""
        result: list[Definition | None] = [self]
        while len(result) <= count:
            result.append(result[-1].derivative() if result[-1] is not None else None)
        return result

    @cached_property
    def functions(self) -> list[Callable[[np.ndarray], np.ndarray]]:
        """The pieces as float64 functions of arrays."""
        return [_vectorised(p) for p in self.pieces]

    @property
    def wave(self) -> float | None:
        """The phase t of a piece ± sin(y + t) that covers the whole line; None for all others."""
        phases = {sympy.sin(y): 0.0, sympy.cos(y): np.pi / 2}
        return phases.get(self.pieces[0], phases.get(-self.pieces[0])) if len(self.pieces) == 1 else None

    @property
    def has_features(self) -> bool:
        """Whether something smooth but neither polynomial nor a wave happens at |y| of order one."""
        return self.wave is None and not all(p.is_polynomial(y) for p in self.pieces)

    @cached_property
    def roots(self) -> list[float]:
        """Sign changes inside the pieces (those of a wave are left out: there are infinitely many)."""
        if self.wave is not None:
            return []
        ends = [-sympy.oo, *self.breakpoints, sympy.oo]
        found = [r for p, a, b in zip(self.pieces, ends, ends[1:]) for r in _roots(p) if a < r < b]
        return sorted(set(found))


def _vectorised(piece: sympy.Expr) -> Callable[[np.ndarray], np.ndarray]:
    function = sympy.lambdify(y, piece, modules=[_NUMPY, "scipy", "numpy"])
    return lambda values: np.broadcast_to(function(values), np.shape(values))


def _roots(piece: sympy.Expr) -> list[float]:
    if piece.is_polynomial(y):
        return [float(r) for r in sympy.real_roots(piece, y)] if piece.has(y) else []
    function = _vectorised(piece)
    grid = np.arange(-ROOT_RANGE, ROOT_RANGE, 1 / 64) + 1e-3  # off the round numbers where roots like to be
    values = function(grid)
    changes = np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0)
    return [brentq(lambda t: float(function(np.asarray(t))), grid[i], grid[i + 1], xtol=1e-14) for i in changes]


def _exact(value: float | sympy.Expr) -> sympy.Rational:
    return sympy.Rational(value)


def _leaky_relu(negative_slope: float = 0.01) -> Definition:
    slope = _exact(negative_slope)
    return Definition("leaky_relu", (slope * y, y), (sympy.S.Zero,), {"negative_slope": float(negative_slope)})


def _hardtanh(min_val: float = -1, max_val: float = 1) -> Definition:
    low, high = _exact(min_val), _exact(max_val)
    return Definition("hardtanh", (low, y, high), (low, high), {"min_val": float(min_val), "max_val": float(max_val)})


def _smooth(name: str, formula: sympy.Expr) -> Callable[[], Definition]:
    return lambda: Definition(name, (formula,))


def _pieces(name: str, *alternating: sympy.Expr | int) -> Callable[[], Definition]:
    """piece, breakpoint, piece, breakpoint, …, piece."""
    parts = tuple(sympy.sympify(a) for a in alternating)
    return lambda: Definition(name, parts[::2], parts[1::2])


DEFINITIONS: dict[str, Callable[..., Definition]] = {
    "identity": _smooth("identity", y),
    "square": _smooth("square", y**2),
    "abs": _pieces("abs", -y, 0, y),
    "step": _pieces("step", 0, 0, 1),
    "relu": _pieces("relu", 0, 0, y),
    "leaky_relu": _leaky_relu,
    "relu2": _pieces("relu2", 0, 0, y**2),
    "relu6": _pieces("relu6", 0, 0, y, 6, 6),
    "hardtanh": _hardtanh,
    "gelu": _smooth("gelu", y * Phi(y)),
    "erf": _smooth("erf", sympy.erf(y)),
    "sin": _smooth("sin", sympy.sin(y)),
    "cos": _smooth("cos", sympy.cos(y)),
    "gaussian_bump": _smooth("gaussian_bump", sympy.exp(-(y**2) / 2)),
}


def definition(name: str, **parameters: float) -> Definition:
    """The textbook definition of an activation.

    >>> definition("relu6").breakpoints
    (0, 6)
    """
    return DEFINITIONS[name](**parameters)
