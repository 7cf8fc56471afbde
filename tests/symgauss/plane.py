"""The truth about covariances: E[σ(Y₁) τ(Y₂)] as a double integral, and activations written out by hand.

Gauss–Legendre sums over panels cut at the kinks, the inner integral given Y₁: nothing of symgauss is used but to
write down the formulas that are not in the catalogue.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
from mpmath.calculus.quadrature import GaussLegendre
from scipy.special import erf, ndtr
from sympy import Abs, Integer, Max, cos, exp, sin

from symgauss import Phi, x

Function = Callable[[Any], Any]
Place = tuple[Fraction, Fraction, Fraction, Fraction, Fraction]  # mu_1, sigma_1, mu_2, sigma_2, rho

_SELU = 1.0507009873554804934, 1.6732632423543772848


def _elu(y):
    return np.where(y > 0, y, np.expm1(np.minimum(y, 0)))


# The catalogue once more, by hand: name: (σ, the points where it is not smooth).
FUNCTIONS: dict[str, tuple[Function, tuple[float, ...]]] = {
    "abs": (np.abs, (0,)),
    "celu": (_elu, (0,)),
    "cos": (np.cos, ()),
    "elu": (_elu, (0,)),
    "erf": (erf, ()),
    "exp": (np.exp, ()),
    "gaussian_bump": (lambda y: np.exp(-y * y / 2), ()),
    "gelu": (lambda y: y * ndtr(y), ()),
    "hardshrink": (lambda y: np.where(np.abs(y) > 0.5, y, 0), (-0.5, 0.5)),
    "hardsigmoid": (lambda y: np.clip(y / 6 + 0.5, 0, 1), (-3, 3)),
    "hardswish": (lambda y: y * np.clip(y / 6 + 0.5, 0, 1), (-3, 3)),
    "hardtanh": (lambda y: np.clip(y, -1, 1), (-1, 1)),
    "identity": (lambda y: y, ()),
    "jump_relu": (lambda y: np.where(y > 0.001, y, 0), (0.001,)),
    "leaky_relu": (lambda y: np.where(y > 0, y, y / 100), (0,)),
    "relu": (lambda y: np.maximum(y, 0), (0,)),
    "relu2": (lambda y: np.maximum(y, 0) ** 2, (0,)),
    "relu6": (lambda y: np.clip(y, 0, 6), (0, 6)),
    "selu": (lambda y: _SELU[0] * np.where(y > 0, y, _SELU[1] * np.expm1(np.minimum(y, 0))), (0,)),
    "sin": (np.sin, ()),
    "softshrink": (lambda y: np.sign(y) * np.maximum(np.abs(y) - 0.5, 0), (-0.5, 0.5)),
    "square": (lambda y: y * y, ()),
    "step": (lambda y: np.where(y > 0, 1.0, 0.0), (0,)),
}

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)


def _panels(mean: float, std: float, cuts: Sequence[float]) -> tuple[Any, Any]:
    """Nodes z and weights w φ(z) for |z| ≤ 11, cut where mean + std z is a kink."""
    inner = [(cut - mean) / std for cut in cuts]
    edges = np.unique([*np.linspace(-11, 11, 19), *(z for z in inner if abs(z) < 11)])
    middle, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    z = (middle[:, None] + half[:, None] * _NODES).ravel()
    return z, (half[:, None] * _WEIGHTS).ravel() * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def plane_integral(f: Function, f_cuts: Sequence[float], g: Function, g_cuts: Sequence[float], place: Place):
    """E[f(Y₁) g(Y₂)] and E|f(Y₁) g(Y₂)| in doubles."""
    m_1, s_1, m_2, s_2, r = map(float, place)
    total, size = [], []
    for z, weight in zip(*_panels(m_1, s_1, f_cuts)):
        mean, std = m_2 + r * s_2 * z, s_2 * math.sqrt(1 - r * r)
        t, inner = _panels(mean, std, g_cuts)
        values = inner * g(mean + std * t)
        outer = weight * float(f(m_1 + s_1 * z))
        total.append(outer * math.fsum(values))
        size.append(abs(outer) * np.sum(np.abs(values)))
    return math.fsum(total), math.fsum(size)


def plane_integral_in_20_digits(f: Function, f_cuts: Sequence[int], place: Place) -> Any:
    """E[f(Y₁) f(Y₂)] by mpmath."""
    with mpmath.workdps(22):
        rule = GaussLegendre(mpmath.mp).calc_nodes(4, mpmath.mp.prec + 10)
        m_1, s_1, m_2, s_2, r = (mpmath.mpf(v.numerator) / v.denominator for v in place)

        def integral(h: Function, mean: Any, std: Any) -> Any:
            ends = sorted({*(mpmath.mpf(j) for j in range(-10, 11, 2)), *((cut - mean) / std for cut in f_cuts)})
            nodes = (
                ((a + b) / 2 + (b - a) / 2 * node, (b - a) / 2 * weight)
                for a, b in itertools.pairwise(end for end in ends if abs(end) <= 10)
                for node, weight in rule
            )
            return mpmath.fsum(weight * mpmath.npdf(z) * h(mean + std * z) for z, weight in nodes)

        root = mpmath.sqrt(1 - r * r)
        return integral(lambda y: f(y) * integral(f, m_2 + r * s_2 * (y - m_1) / s_1, s_2 * root), m_1, s_1)


def assert_close(computed: Any, true: Any, size: float, tolerance: float = 4e-14) -> None:
    error = abs(computed - true) / size
    assert error < tolerance, f"computed {computed}, true {true}, error {mpmath.nstr(error, 3)} of {size}"


# Formulas that are not in the catalogue, by hand too, and where they are not smooth.
UNUSUAL = {
    "steps to both sides": (Max(x, -1) * exp(-x / 2), lambda y: np.maximum(y, -1) * np.exp(-y / 2), (-1,)),
    "Φ with a slope": (x * Phi(2 * x - 1), lambda y: y * ndtr(2 * y - 1), ()),
    "Φ falling": (Phi(1 - x) + x, lambda y: ndtr(1 - y) + y, ()),
    "Φ and a step": (Phi(x) * x + Max(0, x), lambda y: y * ndtr(y) + np.maximum(y, 0), (0,)),
    "Φ and an exponential": (Phi(x) * exp(x / 2), lambda y: ndtr(y) * np.exp(y / 2), ()),
    "the square of y times Φ": (x**2 * Phi(x), lambda y: y * y * ndtr(y), ()),
    "a Gaussian factor": (x * exp(-(x**2) / 3), lambda y: y * np.exp(-y * y / 3), ()),
    "a Gaussian factor and a step": (
        Max(0, x) * exp(-(x**2) / 2) + x,
        lambda y: np.maximum(0, y) * np.exp(-y * y / 2) + y,
        (0,),
    ),
    "a Gaussian factor and Φ": (exp(x - x**2) * Phi(x), lambda y: np.exp(y - y * y) * ndtr(y), ()),
    "waves": (x * sin(x) + cos(3 * x - 1), lambda y: y * np.sin(y) + np.cos(3 * y - 1), ()),
    "a wave under a Gaussian": (
        exp(-(x**2) / 4 + x) * sin(2 * x),
        lambda y: np.exp(-y * y / 4 + y) * np.sin(2 * y),
        (),
    ),
    "a cube in pieces": (Abs(x - 1) ** 3, lambda y: np.abs(y - 1) ** 3, (1,)),
    "a constant": (Integer(2), lambda y: 2 + 0 * y, ()),
}
