import numpy as np
import pytest
import scipy.special
import sympy

from tests.oracle.cases import CASES
from tests.oracle.definitions import Definition, definition, y

Y = np.linspace(-9, 9, 181)[1::2]  # no breakpoint among them

PLAIN = {
    "identity": lambda t: t,
    "square": np.square,
    "abs": np.abs,
    "step": lambda t: (t > 0).astype(float),
    "relu": lambda t: np.maximum(t, 0),
    "leaky_relu": lambda t: np.where(t > 0, t, 0.01 * t),
    "relu2": lambda t: np.maximum(t, 0) ** 2,
    "relu6": lambda t: np.clip(t, 0, 6),
    "hardtanh": lambda t: np.clip(t, -1, 1),
    "gelu": lambda t: t * scipy.special.erfc(-t / np.sqrt(2)) / 2,
    "erf": scipy.special.erf,
    "sin": np.sin,
    "cos": np.cos,
    "gaussian_bump": lambda t: np.exp(-t * t / 2),
    "leaky_relu_0.2": lambda t: np.where(t > 0, t, 0.2 * t),
    "leaky_relu_-1000": lambda t: np.where(t > 0, t, -1000 * t),
    "hardtanh_-0.25_3": lambda t: np.clip(t, -0.25, 3),
    "hardtanh_-6_0": lambda t: np.clip(t, -6, 0),
}


def evaluate(sigma: Definition, t: np.ndarray) -> np.ndarray:
    piece = np.searchsorted([float(c) for c in sigma.breakpoints], t)
    return np.choose(piece, [f(t) for f in sigma.functions])


@pytest.mark.parametrize("key", CASES)
def test_pieces_are_the_function(key):
    np.testing.assert_allclose(evaluate(CASES[key].definition(), Y), PLAIN[key](Y), rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize("key", CASES)
def test_derivatives_are_slopes(key):
    before, *others = CASES[key].definition().derivatives(3)
    for after in others:
        if after is None:
            break
        slope = (evaluate(before, Y + 1e-5) - evaluate(before, Y - 1e-5)) / 2e-5
        np.testing.assert_allclose(evaluate(after, Y), slope, atol=1e-8)
        before = after


@pytest.mark.parametrize(
    ("name", "functions"),
    [
        ("step", 1),
        ("relu", 2),
        ("relu2", 3),
        ("relu6", 2),
        ("hardtanh", 2),
        ("abs", 2),
        ("gelu", 4),
        ("sin", 4),
    ],
)
def test_derivatives_end_at_the_first_jump(name, functions):
    assert [d is not None for d in definition(name).derivatives(3)] == [i < functions for i in range(4)]


def test_a_derivative_from_none_stays_none():
    assert definition("step").derivatives(3)[1:] == [None, None, None]


def test_roots():
    assert definition("hardtanh").roots == [0]
    assert definition("leaky_relu").roots == []  # it changes sign at its breakpoint
    second = definition("gelu").derivatives(2)[2]
    assert second is not None
    np.testing.assert_allclose(second.roots, [-np.sqrt(2), np.sqrt(2)], rtol=1e-13)


def test_waves_are_known_by_their_phase():
    for d in definition("sin").derivatives(3):
        assert d is not None
        roots = np.pi * np.arange(-3, 4) - d.wave
        np.testing.assert_allclose(evaluate(d, roots), 0, atol=1e-14)
    assert definition("gelu").wave is None
    assert definition("identity").wave is None


def test_malformed_definitions_are_refused():
    with pytest.raises(ValueError, match="2 pieces, 0 breakpoints"):
        Definition("bad", (y, y))
    with pytest.raises(ValueError, match="increase"):
        Definition("bad", (y, y, y), (sympy.S.One, sympy.S.Zero))
