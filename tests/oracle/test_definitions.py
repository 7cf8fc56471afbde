import numpy as np
import pytest
import scipy.special
import sympy

from tests.oracle.cases import CASES
from tests.oracle.definitions import Definition, definition, y

Y = np.linspace(-9, 9, 181)[1::2] + 0.013  # no breakpoint among them

LOST = {"gelu_tanh": 1e-15, "tanhshrink": 2e-9}
"""What the plain formulas lose by cancellation, and what a power series leaves out."""

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
    "elu": lambda t: np.where(t > 0, t, np.expm1(t)),
    "elu_0.5": lambda t: np.where(t > 0, t, 0.5 * np.expm1(t)),
    "elu_1.7": lambda t: np.where(t > 0, t, 1.7 * np.expm1(t)),
    "selu": lambda t: 1.0507009873554805 * np.where(t > 0, t, 1.6732632423543772 * np.expm1(t)),
    "celu": lambda t: np.maximum(0, t) + np.minimum(0, np.expm1(t)),
    "celu_0.5": lambda t: np.maximum(0, t) + np.minimum(0, 0.5 * np.expm1(t / 0.5)),
    "celu_2": lambda t: np.maximum(0, t) + np.minimum(0, 2 * np.expm1(t / 2)),
    "exp": np.exp,
    "hardsigmoid": lambda t: np.clip(t / 6 + 0.5, 0, 1),
    "hardswish": lambda t: t * np.clip(t / 6 + 0.5, 0, 1),
    "jump_relu": lambda t: np.where(t > 0.001, t, 0),
    "jump_relu_0.7": lambda t: np.where(t > 0.7, t, 0),
    "jump_relu_-0.5": lambda t: np.where(t > -0.5, t, 0),
    "softshrink": lambda t: np.sign(t) * np.maximum(np.abs(t) - 0.5, 0),
    "softshrink_2": lambda t: np.sign(t) * np.maximum(np.abs(t) - 2, 0),
    "hardshrink": lambda t: np.where(np.abs(t) > 0.5, t, 0),
    "hardshrink_2": lambda t: np.where(np.abs(t) > 2, t, 0),
    "sigmoid": lambda t: 1 / (1 + np.exp(-t)),
    "silu": lambda t: t / (1 + np.exp(-t)),
    "tanh": np.tanh,
    "softplus": lambda t: np.log1p(np.exp(t)),
    "logsigmoid": lambda t: -np.log1p(np.exp(-t)),
    "mish": lambda t: t * np.tanh(np.log1p(np.exp(t))),
    "tanhshrink": lambda t: t - np.tanh(t),
    "gelu_tanh": lambda t: t / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (t + 0.044715 * t**3))),
    "quick_gelu": lambda t: t / (1 + np.exp(-1.702 * t)),
    "softsign": lambda t: t / (1 + np.abs(t)),
}


def evaluate(sigma: Definition, t: np.ndarray) -> np.ndarray:
    piece = np.searchsorted([float(c) for c in sigma.breakpoints], t)
    return np.choose(piece, [f(t) for f in sigma.functions])


@pytest.mark.parametrize("key", CASES)
def test_pieces_are_the_function(key):
    np.testing.assert_allclose(
        evaluate(CASES[key].definition(), Y), PLAIN[key](Y), rtol=1e-13, atol=LOST.get(key, 1e-300)
    )


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
        ("elu", 3),
        ("selu", 2),
        ("celu", 3),
        ("hardsigmoid", 2),
        ("hardswish", 2),
        ("jump_relu", 1),
        ("softshrink", 2),
        ("hardshrink", 1),
        ("softsign", 3),
        ("mish", 4),
        ("exp", 4),
        ("sin", 4),
    ],
)
def test_derivatives_end_at_the_first_jump(name, functions):
    assert [d is not None for d in definition(name).derivatives(3)] == [i < functions for i in range(4)]


@pytest.mark.parametrize(("alpha", "functions"), [(0.5, 2), (1.0, 3), (1.7, 2)])
def test_the_slope_of_elu_jumps_unless_alpha_is_1(alpha, functions):
    found = definition("elu", alpha=alpha).derivatives(3)
    assert [d is not None for d in found] == [i < functions for i in range(4)]


TAILS = {
    "sigmoid": (lambda t: np.exp(t), [0, 1, 2, 3]),
    "softplus": (lambda t: np.exp(t), [0, 1, 2, 3]),
    "logsigmoid": (lambda t: np.exp(t), [2, 3]),
    "tanh": (lambda t: 4 * np.exp(2 * t), [1]),
    "silu": (lambda t: np.exp(t) * np.abs(t), [0]),
    "mish": (lambda t: np.exp(t) * np.abs(t), [0]),
    "quick_gelu": (lambda t: np.exp(1.702 * t) * np.abs(t), [0]),
}


@pytest.mark.parametrize("name", TAILS)
def test_doubles_keep_the_tails(name):
    """On the left, and derivatives on the right by symmetry; 1 - tanh² would be 0 there."""
    tail, orders = TAILS[name]
    t = np.array([-40.0, -100.0, -300.0])
    assert definition("sigmoid").functions[0](np.array([-730.0])) > 0
    derivatives = definition(name).derivatives(3)
    for k in orders:
        np.testing.assert_allclose(np.abs(evaluate(derivatives[k], t)), tail(t), rtol=1e-12)
        if name in ("sigmoid", "tanh") and k:
            np.testing.assert_allclose(np.abs(evaluate(derivatives[k], -t)), tail(t), rtol=1e-12)


def test_tanhshrink_keeps_its_digits():
    """y³/3 - 2y⁵/15 near 0, y - tanh y elsewhere, and both where they meet."""
    t = np.array([1e-8, -1e-8, 1e-3])
    found = evaluate(definition("tanhshrink"), t)
    np.testing.assert_allclose(found, t**3 / 3 - 2 * t**5 / 15, rtol=1e-11)
    meeting = np.array([0.5 - 1e-12, 0.5 + 1e-12])
    np.testing.assert_allclose(*evaluate(definition("tanhshrink"), meeting), rtol=2e-9)


def test_magnitudes_beyond_doubles():
    (log_magnitude,) = definition("exp").log_magnitudes
    np.testing.assert_array_equal(log_magnitude(np.array([-2000.0, 1500.0])), [-2000.0, 1500.0])
    assert [definition(n).growth for n in ("exp", "elu", "sigmoid", "relu2")] == [1.0, 0.0, 0.0, 0.0]


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
