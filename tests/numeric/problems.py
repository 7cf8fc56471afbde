"""What the tests of the conversion share: random layers and inputs, textbook activations, comparisons."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP
from tests.oracle.definitions import DEFINITIONS, definition

# Compared exactly, whatever else the catalogue grows to.
ACTIVATIONS = (
    "identity", "square", "abs", "step", "relu", "leaky_relu", "relu2", "relu6", "hardtanh",
    "gelu", "erf", "sin", "cos", "gaussian_bump",
)  # fmt: skip
assert set(ACTIVATIONS) <= set(DEFINITIONS)


GATES = ("sigmoid", "silu", "gelu", "relu", "identity", "square", "step")


class Problem(NamedTuple):
    layer: MLP
    inputs: Gaussian


class GatedProblem(NamedTuple):
    layer: GLU
    inputs: Gaussian


def textbook(name: str) -> tuple[Callable[[np.ndarray], np.ndarray], tuple[float, ...]]:
    """σ as its definition says, left-continuous at breakpoints (so that step(0) = 0), and the breakpoints."""
    known = definition(name)
    breaks = np.array([float(c) for c in known.breakpoints])

    def sigma(y: np.ndarray) -> np.ndarray:
        y = np.asarray(y, dtype=np.float64)
        return np.choose(np.searchsorted(breaks, y, side="left"), [piece(y) for piece in known.functions])

    return sigma, tuple(breaks)


def weights(rng: np.random.Generator, d: int, n_hidden: int, d_out: int, spread: float = 0.6):
    """W_in, b_in, W_out, b_out with preactivations of standard deviation about `spread` under N(0, I)."""
    return (
        spread * rng.standard_normal((n_hidden, d)) / np.sqrt(d),
        rng.standard_normal(n_hidden),
        rng.standard_normal((d_out, n_hidden)),
        rng.standard_normal(d_out),
    )


def covariance(rng: np.random.Generator, d: int, rank: int) -> np.ndarray:
    """A covariance of this rank with eigenvalues near 1."""
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0][:, :rank]
    matrix = basis * rng.uniform(0.5, 1.5, rank) @ basis.T
    return (matrix + matrix.T) / 2


def gated_weights(rng: np.random.Generator, d: int, n_hidden: int, d_out: int, spread: float = 0.6):
    """W_gate, b_gate, W_up, b_up, W_out, b_out, both projections spread as by `weights`."""
    return (*weights(rng, d, n_hidden, d_out, spread)[:2], *weights(rng, d, n_hidden, d_out, spread))


@st.composite
def problems(draw: st.DrawFn, activations: tuple[str, ...] = ACTIVATIONS) -> Problem:
    """A small layer with inputs of any kind: every form of covariance, singular and zero ones included."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    d, n_hidden, d_out = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 3))
    W_in, b_in, W_out, b_out = weights(rng, d, n_hidden, d_out)
    if draw(st.booleans()):
        W_in[0] = 0.0
    if draw(st.booleans()):
        W_in = W_in.astype(np.float32)
    layer = MLP(
        W_in,
        draw(st.sampled_from([b_in, None])),
        W_out,
        draw(st.sampled_from([b_out, None])),
        draw(st.sampled_from(activations)),
    )
    return Problem(layer, draw(gaussians(rng, d)))


@st.composite
def gated_problems(draw: st.DrawFn, gates: tuple[str, ...] = GATES) -> GatedProblem:
    """The same with a gated layer, with or without an output matrix, and with neurons of every degenerate kind."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    d, n_hidden, d_out = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 3))
    W_gate, b_gate, W_up, b_up, W_out, b_out = gated_weights(rng, d, n_hidden, d_out)
    match draw(st.sampled_from(["general", "still gate", "still up", "parallel"])):
        case "still gate":
            W_gate[0] = 0.0
        case "still up":
            W_up[0] = 0.0
        case "parallel":
            W_up[0] = -2.0 * W_gate[0]
    if draw(st.booleans()):
        W_gate, W_up = W_gate.astype(np.float32), W_up.astype(np.float32)
    outputs = draw(
        st.sampled_from([(W_out, b_out), (W_out, None), (None, rng.standard_normal(n_hidden)), (None, None)])
    )
    biases = draw(st.sampled_from([(b_gate, b_up), (b_gate, None), (None, b_up)]))
    layer = GLU(W_gate, biases[0], W_up, biases[1], *outputs, draw(st.sampled_from(gates)))
    return GatedProblem(layer, draw(gaussians(rng, d)))


@st.composite
def gaussians(draw: st.DrawFn, rng: np.random.Generator, d: int) -> Gaussian:
    """Every form of covariance, singular and zero ones included."""
    mean, rank = rng.standard_normal(d), draw(st.integers(1, d))
    match draw(st.sampled_from(["identity", "diagonal", "full", "factor", "dead"])):
        case "identity":
            return Gaussian(mean)
        case "diagonal":
            return Gaussian(mean, rng.uniform(0, 2, d) * (rng.random(d) < 0.7))
        case "full":
            return Gaussian(mean, covariance(rng, d, rank))
        case "factor":
            return Gaussian.from_factor(mean, rng.standard_normal((d, rank)))
        case _:
            return Gaussian(mean, np.zeros((d, d)))


def assert_close(actual: np.ndarray, expected: np.ndarray, scale: np.ndarray | float, tolerance: float) -> None:
    """|actual − expected| ≤ tolerance · scale everywhere; NaN is never close."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    excess = np.abs(actual.astype(np.float64) - expected) - tolerance * np.broadcast_to(scale, actual.shape)
    worst = np.max(np.abs(actual - expected), initial=0.0)
    assert np.all(excess <= 0), f"off by {worst}, allowed {tolerance} × {np.max(scale)}"


def size_of_terms(layer: MLP | GLU, values: np.ndarray) -> np.ndarray | float:
    """What rounding errors of an output are relative to: the sum of |W_out| over neurons, times values."""
    sums = np.ones(layer.n_hidden) if layer.W_out is None else np.abs(layer.W_out).sum(axis=1)
    total = sums + (0 if layer.b_out is None else np.abs(layer.b_out))
    return total * (1.0 + np.abs(values).max(initial=0.0))


def monomial_sum(tensors: list[np.ndarray], z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Σ_k C_k[z^{⊗k}] by enumerating all indices, and its absolute terms: the scale of its rounding."""
    value = np.zeros((len(z), len(tensors[0])))
    scale = np.zeros_like(value)
    for k, tensor in enumerate(tensors):
        for index in product(range(z.shape[1]), repeat=k):
            monomial = np.prod(z[:, list(index)], axis=1)[:, None]
            coefficient = tensor[(slice(None), *index)]
            value += monomial * coefficient
            scale += np.abs(monomial) * np.abs(coefficient)
    return value, scale
