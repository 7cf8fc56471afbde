"""What residual variances are made of: panels, coefficients of all orders, what series leave out, the progress bar."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from flint import arb
from numpy.polynomial.hermite_e import hermevander
from scipy.special import ndtr

from numeric import progress
from numeric.activations import activation
from numeric.pairs import gated, reach, ungated
from numeric.panels import NODES, Panels, density, resolve, series_coefficients
from numeric.progress import Progress
from numeric.reduced import Reduced
from numeric.residuals import LEFT_OUT, TERMS, Factor, Residuals, residuals
from tests.marks import mostly_slow
from tests.oracle.arb import precision
from tests.oracle.definitions import definition
from tests.oracle.local import BITS
from tests.oracle.residual import Factor as TrueFactor
from tests.oracle.residual import Neuron

ORDERS = 40


def of_neurons(name: str, mean: Any, std: Any, degree: int, factor: Factor | None = None) -> Residuals:
    mean, std = np.array(mean, dtype=float), np.array(std, dtype=float)
    reduced = Reduced.around(activation(name), mean, std, degree if factor is None else degree - 1)
    return residuals(reduced, std, factor or Factor.one(len(mean)), degree)


def true_neuron(name: str, mean: float, std: float, degree: int, factor: tuple | None = None) -> Neuron:
    with precision(BITS):
        made = None if factor is None else TrueFactor(*(arb(v) for v in factor), gated=True)
        return Neuron(definition(name), arb(mean), arb(std), degree, made)


def assert_coefficients(found: Residuals, true: Neuron, row: int = 0) -> None:
    """α_k, β_k and V to rounding relative to √V."""
    size = float(true.variance) ** 0.5
    alpha, beta = (values[:ORDERS].astype(float) for values in true.series)
    assert np.abs(found.alpha[row, :ORDERS] - alpha).max() <= 5e-15 * size
    if true.factor.gated:
        assert float(true.factor.beside) * np.abs(found.beta[row, :ORDERS] - beta).max() <= 5e-15 * size
    assert abs(found.variance[row] - float(true.variance)) <= 1e-14 * float(true.variance)


# Coefficients


CASES = [
    ("relu", 0.3, 1.0, 2),
    ("step", -1.5, 0.5, 0),
    ("hardtanh", 0.25, 1.0, 3),
    ("hardtanh", 0.25, 20.0, 2),
    ("relu2", 4.0, 1.0, 1),
    ("hardswish", -2.5, 1.0, 4),
    ("elu", 0.25, 0.5, 2),
    ("tanh", 0.3, 0.05, 4),
    ("tanh", 0.3, 20.0, 2),
    ("silu", 0.3, 1.0, 8),
    ("gelu", -1.0, 0.05, 2),
    ("exp", -0.5, 2.0, 2),
    ("sin", 1.0, 0.05, 8),
    ("softsign", 0.25, 1.0, 1),
]


@pytest.mark.parametrize(("name", "mean", "std", "degree"), CASES)
def test_coefficients_to_rounding_of_the_residual(name: str, mean: float, std: float, degree: int) -> None:
    assert_coefficients(of_neurons(name, [mean], [std], degree), true_neuron(name, mean, std, degree))


@pytest.mark.parametrize(("name", "degree"), [("relu", 2), ("silu", 0), ("tanh", 3), ("step", 1)])
def test_coefficients_with_a_factor(name: str, degree: int) -> None:
    factor = (0.5, -0.75, 1.25)
    found = of_neurons(name, [0.25], [1.0], degree, Factor(*(np.array([v]) for v in factor), gated=True))
    assert_coefficients(found, true_neuron(name, 0.25, 1.0, degree, factor))


def test_many_neurons_are_as_good_as_one() -> None:
    """More than a block of them, narrow and wide ones, some that do not vary."""
    rng = np.random.default_rng(0)
    mean, std = rng.standard_normal(1100), np.exp(rng.uniform(-4, 4, 1100))
    std[::50] = 0.0
    for name in ("tanh", "relu", "hardtanh"):
        every = of_neurons(name, mean, std, 2)
        for i in (0, 1, 511, 512, 513, 1099):
            one = of_neurons(name, mean[i : i + 1], std[i : i + 1], 2)
            np.testing.assert_allclose(every.variance[i], one.variance[0], rtol=1e-14)
            np.testing.assert_allclose(
                every.alpha[i, :64], one.alpha[0, :64], rtol=0, atol=1e-14 * one.variance[0] ** 0.5
            )
        np.testing.assert_array_equal(every.variance[::50], 0.0)


def test_coefficients_that_are_wrong_are_seen() -> None:
    true, found = true_neuron("relu", 0.3, 1.0, 2), of_neurons("relu", [0.3], [1.0], 2)
    found.alpha[0, 7] += 1e-14 * found.variance[0] ** 0.5
    with pytest.raises(AssertionError):
        assert_coefficients(found, true)
    found = of_neurons("relu", [0.3], [1.0], 2)
    found.variance[0] *= 1 + 1e-13
    with pytest.raises(AssertionError):
        assert_coefficients(found, true)


def test_what_a_series_leaves() -> None:
    """`beyond` bounds the share of V after so many terms; for kinks it falls slowly, for smooth neurons to nothing."""
    for name, mean, std in (("relu", 0.3, 1.0), ("step", -1.5, 0.5), ("gelu", 0.3, 0.5), ("tanh", 0.3, 20.0)):
        found, true = of_neurons(name, [mean], [std], 1), true_neuron(name, mean, std, 1)
        alpha, _ = true.series
        for m, share in zip(TERMS, found.beyond[0]):
            if m <= min(256, found.alpha.shape[1]):
                left = float((true.variance - np.sum(alpha[:m] ** 2)) / true.variance)
                assert share >= left * (1 - 1e-9) - 1e-18
                assert share <= 2 * left + 1e-15
    assert of_neurons("gelu", [0.3], [0.5], 1).beyond[0, -1] < 1e-17


# Pairs


def test_series_reach_as_far_as_they_say() -> None:
    """At the largest |g| for m terms, m terms and all terms differ by no more than what may be left out."""
    made = of_neurons("relu", [0.3, -0.4], [1.0, 2.0], 2)
    rows, size = slice(0, 2), np.sqrt(np.outer(made.variance, made.variance))
    terms, largest = reach(made, made, rows, rows, gated=False)
    assert np.all(np.diff(largest) >= 0)
    everything, one = np.ones_like(largest), np.ones(2)
    for m in range(3, len(terms)):
        g = np.full((2, 2), largest[m])
        found, whole = np.empty((2, 2)), np.empty((2, 2))
        ungated(made.alpha, made.alpha, one, one, g, terms[m : m + 1], everything, 3, found)
        ungated(made.alpha, made.alpha, one, one, g, terms[-1:], everything, 3, whole)
        assert np.all(np.abs(found - whole) <= 2 * LEFT_OUT * size)
        ungated(made.alpha, made.alpha, one, one, 1.02 * g, terms[m : m + 1], largest[m : m + 1], 3, found)
        assert np.all(np.isnan(found))


@pytest.mark.parametrize("first", [1, 2, 5])
def test_sums_of_series_by_hand(first: int) -> None:
    rng = np.random.default_rng(first)
    a, b, c, d = rng.standard_normal((4, 2, 64))
    g, c12, c21, c22 = rng.uniform(-0.9, 0.9, (4, 2, 2))
    out, k, rests = np.empty((2, 2)), np.arange(first, first + 64), np.ones((2, 2))
    ungated(a, c, *rests, g, np.array([64]), np.array([1.0]), first, out)
    np.testing.assert_allclose(out, np.einsum("ik,jk,ijk->ij", a, c, g[..., None] ** k), rtol=1e-13, atol=1e-13)
    gated(a, b, c, d, *rests, g, c12, c21, c22, np.array([64]), np.array([1.0]), first, out)
    power, root = g[..., None] ** (k - 1), np.sqrt(k)
    below = np.where(k > 1, g[..., None] ** np.maximum(k - 2, 0), 0.0)
    expected = np.einsum("ik,jk,ijk->ij", a, c, power * g[..., None])
    expected += c12 * np.einsum("ik,jk,ijk->ij", a, d, root * power) + c21 * np.einsum(
        "ik,jk,ijk->ij", b, c, root * power
    )
    expected += c22 * np.einsum("ik,jk,ijk->ij", b, d, power)
    expected += c12 * c21 * np.einsum("ik,jk,ijk->ij", b, d, (k - 1) * below)
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)


# Activations without the piece around μ


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "abs", "hardtanh", "hardswish", "elu", "step", "relu2"])
def test_what_is_taken_away_is_a_polynomial(name: str) -> None:
    """σ less what is left of it is the polynomial of the piece that μ is on, or nothing."""
    mean = np.array([-4.0, -0.5, 0.0, 0.25, 5.0])
    reduced = Reduced.around(activation(name), mean, np.ones(5), 2)
    z = np.linspace(-8, 8, 400)
    for i, m in enumerate(mean):
        y = (m + z)[None, :]
        taken = activation(name)(y) - reduced.values(y, np.array([i]))
        fitted = np.polynomial.Polynomial.fit(y[0], taken[0], 2)
        np.testing.assert_allclose(taken[0], fitted(y[0]), rtol=0, atol=1e-12)
        near = np.array([[m - 1e-3, m + 1e-3]])
        if reduced.taken[i] and not np.any(np.abs(reduced.cuts - m) < 1e-2):
            np.testing.assert_array_equal(reduced.values(near, np.array([i])), 0.0)


def test_a_kink_far_out_keeps_its_digits() -> None:
    """ReLU around 12 leaves (−y)₊, 1e-33 of it: far below the rounding of σ(12)."""
    found, true = of_neurons("relu", [12.0], [1.0], 1), true_neuron("relu", 12.0, 1.0, 1)
    assert 1e-36 < float(true.variance) < 1e-34
    assert_coefficients(found, true)


# Panels


def moments_of(name: str, mean: Any, std: Any, order: int) -> tuple[np.ndarray, Panels]:
    """E[σ(y) he_k(Z)] and, last, E σ(y)² on the panels of every neuron."""
    mean, std = np.array(mean, dtype=float), np.array(std, dtype=float)
    sigma = activation(name)
    kernels = sigma.kernels
    cuts = np.asarray(getattr(kernels.cuts, "py_func", kernels.cuts)(*sigma.arguments))
    panels = resolve(lambda y, owner: sigma(y), mean, std, cuts).for_order(order)  # noqa: ARG005
    z, w = panels.nodes()
    values = sigma(mean[panels.owner, None] + std[panels.owner, None] * z)
    out = np.zeros((len(mean), order + 1))
    series_coefficients(panels.offsets * len(NODES), z.ravel(), (w * values).ravel(), out)
    squares = np.add.reduceat((w * values**2).sum(axis=1), panels.offsets[:-1])
    return np.column_stack([out, squares]), panels


PANELLED = ("relu", "step", "tanh", "gelu", "elu", "hardtanh", "softsign", "exp")


@pytest.mark.parametrize("name", mostly_slow(PANELLED, fast=("tanh", "hardtanh", "softsign")))
def test_panels_integrate_to_rounding(name: str) -> None:
    mean, std = [0.3, -6.0, 0.3, 0.3], [1.0, 1.0, 0.05, 20.0 if name != "exp" else 5.0]
    found, panels = moments_of(name, mean, std, 6)
    for i in range(4):
        known = true_neuron(name, mean[i], std[i], 5)
        true = np.array([float(h) for h in [*known.hermite, known._squares[0]]])
        scale = np.sqrt(true[-1])
        np.testing.assert_allclose(found[i, :-1], true[:-1], rtol=0, atol=1e-14 * scale)
        np.testing.assert_allclose(found[i, -1], true[-1], rtol=1e-14)
    assert len(panels) == 4


def test_panels_cover_the_line_without_gaps() -> None:
    mean, std = np.array([0.0, 3.0, -200.0]), np.array([1.0, 1e-3, 50.0])
    _, panels = moments_of("hardtanh", mean, std, 200)
    for i, (m, s) in enumerate(zip(mean, std)):
        some = slice(panels.offsets[i], panels.offsets[i + 1])
        left, right = panels.left[some], panels.right[some]
        assert np.all(np.abs(left[1:] - right[:-1]) <= 1e-14 * (1 + np.abs(left[1:])))
        assert np.all(right > left)
        assert left[0] <= -13
        assert right[-1] >= 13
        for cut in (-1.0, 1.0):
            z = (cut - m) / s
            if left[0] < z < right[-1]:
                assert np.abs(np.append(left, right) - z).min() <= 1e-13 * (1 + abs(z))
    offsets, edges = panels.edges
    assert len(edges) == len(panels.left) + len(panels)
    np.testing.assert_array_equal(edges[offsets[1:] - 1], panels.right[panels.offsets[1:] - 1])


def test_panels_that_ignore_a_kink_are_seen_to_be_wrong() -> None:
    sigma = activation("relu")
    mean, std = np.array([0.3]), np.array([1.0])
    whole = Panels(np.array([0, 8]), np.arange(-12.0, 12.0, 3.0), np.arange(-9.0, 15.0, 3.0))
    z, w = whole.nodes()
    wrong = np.sum(w * sigma(mean + std * z))
    true = 0.3 * ndtr(0.3) + density(np.array(0.3))
    assert abs(wrong - true) > 1e-6
    assert abs(moments_of("relu", mean, std, 1)[0][0, 0] - true) < 1e-15


def test_series_coefficients_are_sums_of_hermite_polynomials() -> None:
    rng = np.random.default_rng(3)
    z, values = rng.standard_normal(48), rng.standard_normal(48)
    out = np.zeros((2, 12))
    series_coefficients(np.array([0, 16, 48]), z, values, out)
    norms = np.sqrt(np.cumprod([1.0, *range(1, 12)]))
    terms = values[:, None] * hermevander(z, 11) / norms
    np.testing.assert_allclose(out, [terms[:16].sum(axis=0), terms[16:].sum(axis=0)], rtol=1e-12, atol=1e-12)


# The progress bar


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


def work(clock: Clock, seconds: float, steps: int = 10, show: bool | None = None) -> None:
    with Progress("work", steps, show) as bar:
        for _ in range(steps):
            clock.now += seconds / steps
            bar.advance()


def test_a_bar_is_shown_on_a_terminal_and_cleaned_up(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    work(clock, 20.0)
    text = terminal.getvalue()
    assert "work" in text
    assert "━" in text
    assert " 50%, 10 s left" in text
    assert text.startswith("\r")
    assert text.endswith("\r\x1b[K")
    assert "\n" not in text


def test_short_work_is_silent(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    work(clock, 1.9)
    assert terminal.getvalue() == ""


def test_a_bar_is_not_redrawn_all_the_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    work(clock, 10.0, steps=10_000)
    assert 10 < terminal.getvalue().count("work") <= 41


def test_nothing_is_shown_where_nobody_looks(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(progress.sys, "stderr", pipe)
    work(clock, 20.0)
    assert pipe.getvalue() == ""
    work(clock, 20.0, show=True)
    assert "work" in pipe.getvalue()


def test_it_can_be_turned_off(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    work(clock, 20.0, show=False)
    assert terminal.getvalue() == ""


def test_it_is_cleaned_up_after_an_error(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)

    def fail() -> None:
        with Progress("work", 10) as bar:
            clock.now += 5.0
            bar.advance()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_no_work_is_done_at_once(clock: Clock) -> None:
    with Progress("nothing", 0, show=True) as bar:
        clock.now += 5.0
        bar.advance(0)
    assert bar.done == 0
