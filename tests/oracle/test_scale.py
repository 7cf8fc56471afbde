"""The scales D against rigorous integrals of the same functions, cut where they change sign."""

import math
from itertools import pairwise

import numpy as np
import pytest
from flint import acb, arb

from tests.oracle.arb import Program, log2_abs, precision
from tests.oracle.cases import CASES
from tests.oracle.definition import hermite_polynomial, window
from tests.oracle.definitions import Definition, definition, y
from tests.oracle.points import sample_points
from tests.oracle.scale import WAVE_AVERAGED, hermite_roots, log2_scales

ORDERS = 9


def exact_log2_scale(sigma: Definition, mu: float, s: float, k: int, guess: float) -> float:
    """log2 D_k, as a sum of |∫ σ He_j φ| over intervals where σ He_j has one sign."""
    with precision(160):
        radius = window(mu, s, guess, sigma.growth)
        kinks = [float(c) for c in sigma.breakpoints] + sigma.roots
        if sigma.wave is not None:
            first, last = ((mu + sigma.wave + side * radius * s) / math.pi for side in (-1, 1))
            kinks += [n * math.pi - sigma.wave for n in range(math.ceil(first), math.floor(last) + 1)]
        cuts = [(c - mu) / s for c in kinks]
        goal = arb(2) ** arb(guess - 45)
        total = arb(0)
        for order, factor in ((k, 1), (k - 1, k)):
            if factor:
                roots = hermite_polynomial(order).complex_roots() if order > 0 else []
                inside = {float(r.real.mid()) for r, _ in roots} | set(cuts)
                ends = sorted({-radius, radius, *(z for z in inside if -radius < z < radius)})
                pieces = [_piece(sigma, mu, s, order, a, b, goal) for a, b in pairwise(ends)]
                total += factor * sum(pieces, arb(0))
        return log2_abs(total / (2 * arb.pi()).sqrt())


def _piece(sigma: Definition, mu: float, s: float, order: int, a: float, b: float, goal: arb) -> arb:
    center = (a + b) / 2
    chosen = sum(center > (float(c) - mu) / s for c in sigma.breakpoints)
    program, he = Program([sigma.pieces[chosen]], [y]), hermite_polynomial(order)

    def integrand(z: acb, analytic: bool) -> acb:
        return program([mu + s * z], acb, analytic)[0] * he(z) * (z * z / -2).exp()

    return abs(acb.integral(integrand, a, b, abs_tol=goal, depth_limit=10**4, eval_limit=10**6).real)


def assert_scale(log2_scale: float, true: float) -> None:
    assert log2_scale == pytest.approx(true, abs=1e-6)


@pytest.mark.parametrize("key", CASES)
def test_scales_of_h_at_random_points(key):
    sigma = CASES[key].definition()
    mu, s = CASES[key].points()
    if sigma.wave is not None:
        mu, s = mu[s < 5], s[s < 5]
    rng = np.random.default_rng(1)
    # The scales of a whole table take seconds, and no point influences another's.
    some = rng.choice(mu.size, 80, replace=False)
    mu, s = mu[some], s[some]
    found = log2_scales(sigma, mu, s, ORDERS)
    possible = np.flatnonzero(found[:, 0] > -1000)
    for i in possible[:8]:
        k = int(rng.integers(ORDERS))
        assert_scale(found[i, k], exact_log2_scale(sigma, float(mu[i]), float(s[i]), k, found[i, k]))
    assert possible.size >= 8


SMOOTH = ["sigmoid", "tanh", "tanhshrink", "softplus", "mish", "gelu_tanh", "softsign"]


@pytest.mark.parametrize("name", ["gelu", "erf", "gaussian_bump", "hardtanh", "relu2", "sin", "elu", *SMOOTH])
def test_scales_of_derivatives(name):
    mu, s = np.array([-20.0, 0.3, 12.0, 1e7]), np.array([1.0, 0.5, 1e-3, 1e4 if name in SMOOTH else 1e8])
    for derivative in definition(name).derivatives(3)[1:]:
        if derivative is None:
            break
        found = log2_scales(derivative, mu, s, 1)[:, 0]
        for i in range(3 if name == "sin" else 4):
            true = exact_log2_scale(derivative, mu[i], s[i], 0, max(found[i], -2000))
            assert found[i] == pytest.approx(true, abs=1e-6) or (found[i] == -math.inf and true < -1070)


def test_known_scales():
    """At μ = 0, s = 1: E|Z| = √(2/π); E[|Z|(|Z| + 1)] = 1 + √(2/π)."""
    (found,) = log2_scales(definition("identity"), np.array([0.0]), np.array([1.0]), 2)
    root = math.sqrt(2 / math.pi)
    assert_scale(found[0], math.log2(root))
    assert_scale(found[1], math.log2(1 + root))


@pytest.mark.parametrize(("mu", "s"), [(-500.0, 10.0), (-400.0, 30.0), (-4500.0, 90.0), (680.0, 1e-8)])
def test_exponentials_are_followed_to_their_mass(mu, s):
    """E e^y = e^(μ + s²/2), the mass around z = s; and so is E sigmoid(y) where all of it is in y < -50."""
    for name in ("exp", "sigmoid"):
        (found,) = log2_scales(definition(name), np.array([mu]), np.array([s]), 1)
        if name == "exp" or mu + s * s < -50 - 15 * s:
            assert_scale(found[0], (mu + s * s / 2) / math.log(2))


def test_far_tail():
    """E relu(y) = s (φ(40) - 40 Φ(-40)) = 9.2e-353 at μ = -40 s: logarithms reach it."""
    (found,) = log2_scales(definition("relu"), np.array([-40.0]), np.array([1.0]), 1)
    with precision(200):
        a = arb(40)
        true = (-a * a / 2).exp() / (2 * arb.pi()).sqrt() - a * (a / arb(2).sqrt()).erfc() / 2
        assert_scale(found[0], log2_abs(true))


def test_waves_average_out_smoothly():
    """On either side of the s from which |sin| counts as 2/π, the scales agree."""
    s = WAVE_AVERAGED * np.array([0.999, 1.001])
    below, above = log2_scales(definition("sin"), np.array([3.0, 3.0]), s, ORDERS)
    np.testing.assert_allclose(below, above, atol=1e-6)


def test_nothing_is_left_of_zero():
    assert (log2_scales(definition("relu"), np.array([-50.0]), np.array([1e-8]), 3) == -np.inf).all()
    zero = definition("identity").derivatives(2)[2]
    assert zero is not None
    assert log2_scales(zero, np.array([1.0]), np.array([1.0]), 1) == -np.inf


def test_points_do_not_influence_each_other():
    mu, s = sample_points([0.0], [1.0])
    for name in ("gelu", "sin", "relu6"):
        whole = log2_scales(definition(name), mu[::10], s[::10], 2)
        alone = log2_scales(definition(name), mu[1000:1001], s[1000:1001], 2)
        np.testing.assert_allclose(whole[100], alone[0], rtol=1e-12)


def test_hermite_roots():
    np.testing.assert_allclose(hermite_roots(4), [-np.sqrt(3), -1, 0, 1, np.sqrt(3)], atol=1e-14)


def test_a_wrong_scale_is_noticed():
    with pytest.raises(AssertionError):
        assert_scale(math.log2(1 + 2e-6), 0.0)
