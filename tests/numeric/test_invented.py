"""Activations nobody has prepared anything for, compiled: against their definition in 30 digits and more.

The list was drawn from the strategies of `tests/symgauss/invented.py` and written down, after some that are
interesting by themselves. Errors are relative to D_k = E[|σ| (|He_k| + k |He_(k−1)|)], and of g_k to D_k/s^k.
"""

import numpy as np
import pytest
import sympy

import numeric
import symgauss as sg
from symgauss import Phi, phi, x
from tests.symgauss.invented import error, slopes, truth

TOLERANCE = 1e-11
HALF, THIRD = sympy.Rational(1, 2), sympy.Rational(1, 3)


def sigmoid(z):
    return 1 / (1 + sympy.exp(-z))


def softplus(z):
    return sympy.log(1 + sympy.exp(z))


def piecewise(*parts):
    """Expressions and between them the places where one ends and the next begins."""
    *first, last = parts
    return sympy.Piecewise(*((e, x < c) for e, c in zip(first[::2], first[1::2], strict=True)), (last, True))


# name: (σ, how it is evaluated)
QUICK = {
    "swish_3": (x * sigmoid(3 * x), "quadrature"),
    "bell": (sympy.exp(-sympy.Abs(x)), "closed form"),
    "indicator": (piecewise(0, -HALF, 1, 3 * HALF / 2, 0), "integrated"),
}
SLOW = {
    # interesting by themselves
    "tanh_cubed": (sympy.tanh(x) ** 3, "quadrature"),
    "staircase": (piecewise(x, -1, sympy.S.One, 0, sympy.exp(-x), 3 * HALF, -1), "integrated"),
    "x_tanh": (x * sympy.tanh(x), "quadrature"),
    "log_cosh": (sympy.log(sympy.cosh(x)), "quadrature"),
    "hyperbola": (sympy.sqrt(1 + x**2) - 1, "integrated"),
    "sin_tanh": (sympy.sin(x) * sympy.tanh(x), "integrated"),
    "x_Phi_squared": (x * Phi(x) ** 2, "integrated"),
    "ringing": (sympy.exp(-sympy.Abs(x)) * sympy.sin(3 * x), "integrated"),
    "relu_cubed": (sympy.Max(0, x) ** 3, "integrated"),
    "x_gelu": (x**2 * Phi(x), "integrated"),
    "shifted_softplus": (softplus(x) - sympy.log(2), "quadrature"),
    "serf": (x * sympy.erf(softplus(x)), "integrated"),
    "snap": (piecewise(sympy.tanh(x), THIRD, sympy.cos(x)), "integrated"),
    "four_cuts": (piecewise(0, -2, x**2, -HALF, sympy.S(1), THIRD, 2 - x, 2, x / 4), "integrated"),
    # drawn
    "drawn_1": (sympy.Abs(x - 3 * HALF) * phi(x / 2 - 2), "integrated"),
    "drawn_2": (sympy.exp(3 * x / 4) * Phi(x / 2 - 3 * HALF), "integrated"),
    "drawn_3": (
        piecewise(x * Phi(2 * x + 3 * HALF), THIRD, x * sympy.Min(HALF, sympy.Max(-3 * HALF, x))),
        "integrated",
    ),
    "drawn_4": (piecewise(x, 2 * THIRD, x * sympy.exp(x / 4)), "integrated"),
    "drawn_5": (
        piecewise(sympy.sqrt(x**2 + 1) * sympy.Abs(x + HALF), -7 * THIRD, sympy.atan(x) * phi(2 * x + 1), 2, x),
        "integrated",
    ),
    "drawn_6": (sympy.sin(2 * x + 1) + sympy.Max(0, x) ** 2, "closed form"),
    "drawn_7": (sympy.tanh(x / 2 - 2) + x, "integrated"),
}
# Its second derivative is infinite at the breakpoint
QUICK["power"] = (sympy.Abs(x) ** (3 * HALF), "integrated")
EVERY = [
    *(pytest.param(name, *value, id=name) for name, value in QUICK.items()),
    *(pytest.param(name, *value, id=name, marks=pytest.mark.slow) for name, value in SLOW.items()),
]
# In the middle, narrow beside a breakpoint, wide, and far out in a tail
POINTS = [(0.3, 0.7), (-0.499, 1e-3), (0.6, 30.0), (-14.0, 1.1)]
# e^(3y/4) is beyond doubles within the window of s = 30
GROWING = {"drawn_2": 8.0}


def compiled_agrees(name, expr, kind):
    compiled = sg.compile(sg.Activation(name, expr))
    assert compiled.kind == kind
    points = [(mean, min(std, GROWING.get(name, std))) for mean, std in POINTS]
    means, stds = np.array(points).T
    h = numeric.hermite_coefficients(compiled, means, stds, order=4)
    g = numeric.expected_derivatives(compiled, means, stds, order=3)
    for i, (mean, std) in enumerate(points):
        true, size = truth(expr, mean, std, 4, digits=50 if mean < -10 else 30, graded=name == "power")
        assert error(h[i], true, size) < TOLERANCE, (mean, std)
        assert error(g[i], slopes(true[:4], std), slopes(size[:4], std)) < TOLERANCE, (mean, std)


@pytest.mark.parametrize(("name", "expr", "kind"), EVERY)
def test_a_compiled_invention_agrees_with_its_definition(name, expr, kind):
    compiled_agrees(name, expr, kind)


def test_the_comparison_notices_a_wrong_value():
    true, size = truth(sympy.tanh(x), 0.3, 0.7, 3)
    found = numeric.hermite_coefficients("tanh", 0.3, 0.7, order=3)
    assert error(found, true, size) < TOLERANCE
    assert error(found * [1, 1, 1 + 1e-9, 1], true, size) > TOLERANCE
    assert error([*found[:3], np.nan], true, size) == np.inf
    assert error(numeric.expected_derivatives("tanh", 0.3, 0.7, order=3), true, size) > TOLERANCE
