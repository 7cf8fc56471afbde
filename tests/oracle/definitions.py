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
from sympy.codegen.cfunctions import expm1

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


class logistic(sympy.Function):
    """1/(1 + e^-x). Its derivative is a product, which keeps both tails where 1 - tanh² would lose them."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sympy.Expr:  # noqa: ARG002
        return self * logistic(-self.args[0])


class softplus(sympy.Function):
    """log(1 + e^x)."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sympy.Expr:  # noqa: ARG002
        return logistic(self.args[0])


class tanh(sympy.Function):
    """The hyperbolic tangent, whose derivative keeps its tails."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sympy.Expr:  # noqa: ARG002
        return 4 * logistic(2 * self.args[0]) * logistic(-2 * self.args[0])


class tanhshrink(sympy.Function):
    """x - tanh x, of which subtraction would leave nothing near 0."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sympy.Expr:  # noqa: ARG002
        return tanh(self.args[0]) ** 2


def _logistic(t: np.ndarray) -> np.ndarray:
    """Down to the subnormal numbers, where scipy's expit is 0."""
    return np.exp(np.minimum(t, 0)) / (1 + np.exp(-np.abs(t)))


def _tanhshrink(t: np.ndarray) -> np.ndarray:
    """Near 0 its power series, up to x^19, good to 2e-9."""
    return np.where(np.abs(t) < 0.5, np.polyval(_TANHSHRINK, np.clip(t, -0.5, 0.5)), t - np.tanh(t))


_TANHSHRINK = [float(c) for c in sympy.Poly(y - sympy.series(sympy.tanh(y), y, 0, 20).removeO(), y).all_coeffs()]


_NUMPY = {
    "Phi": ndtr,
    "phi": lambda t: np.exp(-t * t / 2) / np.sqrt(2 * np.pi),
    "logistic": _logistic,
    "softplus": lambda t: np.logaddexp(0, t),
    "tanh": np.tanh,
    "tanhshrink": _tanhshrink,
}

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

    @cached_property
    def log_magnitudes(self) -> list[Callable[[np.ndarray], np.ndarray]]:
        """log |piece| as float64 functions of arrays."""
        return [_log_magnitude(p) for p in self.pieces]

    @property
    def wave(self) -> float | None:
        """The phase t of a piece ± sin(y + t) that covers the whole line; None for all others."""
        phases = {sympy.sin(y): 0.0, sympy.cos(y): np.pi / 2}
        return phases.get(self.pieces[0], phases.get(-self.pieces[0])) if len(self.pieces) == 1 else None

    @property
    def growth(self) -> float:
        """g where σ(y) is e^(g y) on the right, 0 where it grows no faster than a square."""
        last = self.pieces[-1]
        return float(last.args[0].diff(y)) if isinstance(last, sympy.exp) and last.args[0].diff(y).is_positive else 0.0

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


def _log_magnitude(piece: sympy.Expr) -> Callable[[np.ndarray], np.ndarray]:
    """log |piece|; an exponential of y alone may be beyond the doubles."""
    if isinstance(piece, sympy.exp):
        return _vectorised(piece.args[0])
    function = _vectorised(piece)
    return lambda values: np.log(np.abs(function(values)))


def _roots(piece: sympy.Expr) -> list[float]:
    if piece.is_polynomial(y):
        return [float(r) for r in sympy.real_roots(piece, y)] if piece.has(y) else []
    function = _vectorised(piece)
    grid = np.arange(-ROOT_RANGE, ROOT_RANGE, 1 / 64) + 1e-3  # off the round numbers where roots like to be
    values = function(grid)
    changes = np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0)
    bracketed = [(grid[i], grid[i + 1]) for i in changes]
    return [brentq(lambda t: float(function(np.asarray(t))), a, b, xtol=1e-14, maxiter=1000) for a, b in bracketed]


def _exact(value: float | sympy.Expr) -> sympy.Rational:
    return sympy.Rational(value)


def _leaky_relu(negative_slope: float = 0.01) -> Definition:
    slope = _exact(negative_slope)
    return Definition("leaky_relu", (slope * y, y), (sympy.S.Zero,), {"negative_slope": float(negative_slope)})


def _hardtanh(min_val: float = -1, max_val: float = 1) -> Definition:
    low, high = _exact(min_val), _exact(max_val)
    return Definition("hardtanh", (low, y, high), (low, high), {"min_val": float(min_val), "max_val": float(max_val)})


def _elu(alpha: float = 1) -> Definition:
    return Definition("elu", (_exact(alpha) * expm1(y), y), (sympy.S.Zero,), {"alpha": float(alpha)})


def _selu() -> Definition:
    alpha = sympy.Rational("1.6732632423543772848170429916717")
    scale = sympy.Rational("1.0507009873554804934193349852946")
    return Definition("selu", (scale * alpha * expm1(y), scale * y), (sympy.S.Zero,))


def _celu(alpha: float = 1) -> Definition:
    a = _exact(alpha)
    return Definition("celu", (a * expm1(y / a), y), (sympy.S.Zero,), {"alpha": float(alpha)})


def _jump_relu(threshold: float = 0.001) -> Definition:
    return Definition("jump_relu", (sympy.S.Zero, y), (_exact(threshold),), {"threshold": float(threshold)})


def _softshrink(lambd: float = 0.5) -> Definition:
    a = _exact(lambd)
    return Definition("softshrink", (y + a, sympy.S.Zero, y - a), (-a, a), {"lambd": float(lambd)})


def _hardshrink(lambd: float = 0.5) -> Definition:
    a = _exact(lambd)
    return Definition("hardshrink", (y, sympy.S.Zero, y), (-a, a), {"lambd": float(lambd)})


def _smooth(name: str, formula: sympy.Expr) -> Callable[[], Definition]:
    return lambda: Definition(name, (formula,))


def _pieces(name: str, *alternating: sympy.Expr | int) -> Callable[[], Definition]:
    """piece, breakpoint, piece, breakpoint, …, piece."""
    parts = tuple(sympy.sympify(a) for a in alternating)
    return lambda: Definition(name, parts[::2], parts[1::2])


_GELU_TANH = 2 * sympy.sqrt(2 / sympy.pi)

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
    "elu": _elu,
    "selu": _selu,
    "celu": _celu,
    "hardsigmoid": _pieces("hardsigmoid", 0, -3, (y + 3) / 6, 3, 1),
    "hardswish": _pieces("hardswish", 0, -3, y * (y + 3) / 6, 3, y),
    "jump_relu": _jump_relu,
    "softshrink": _softshrink,
    "hardshrink": _hardshrink,
    "exp": _smooth("exp", sympy.exp(y)),
    "softsign": _pieces("softsign", y / (1 - y), 0, y / (1 + y)),
    "sigmoid": _smooth("sigmoid", logistic(y)),
    "logsigmoid": _smooth("logsigmoid", -softplus(-y)),
    "tanh": _smooth("tanh", tanh(y)),
    "tanhshrink": _smooth("tanhshrink", tanhshrink(y)),
    "silu": _smooth("silu", y * logistic(y)),
    "softplus": _smooth("softplus", softplus(y)),
    "mish": _smooth("mish", y * tanh(softplus(y))),
    # (1 + tanh u)/2 = logistic(2u), which keeps its left tail in doubles.
    "gelu_tanh": _smooth("gelu_tanh", y * logistic(_GELU_TANH * (y + sympy.Rational("0.044715") * y**3))),
    "quick_gelu": _smooth("quick_gelu", y * logistic(sympy.Rational("1.702") * y)),
}


def definition(name: str, **parameters: float) -> Definition:
    """The textbook definition of an activation.

    >>> definition("relu6").breakpoints
    (0, 6)
    """
    return DEFINITIONS[name](**parameters)
