"""The quadratures against identities, against each other, and with errors planted in them."""

import math

import mpmath
import numpy as np
import pytest
from flint import arb, arb_series

from tests.oracle import nodes
from tests.oracle.arb import log2_abs
from tests.oracle.cases import CASES
from tests.oracle.definitions import definition
from tests.oracle.nodes import HALVES_AGREE, ORDERS, SMOOTH, arithmetic, hermite_multiples, softsign, trapezoid
from tests.oracle.scale import log2_scales
from tests.oracle.test_definitions import evaluate

POINTS = [(0.3, 1.0), (0.0, 1e-8), (-500.0, 10.0), (40.0, 0.9), (-7.0, 1.5), (3.0, 1e4), (12.0, 3.0)]


def assert_agree(name, found, true, mu, s):
    scales = log2_scales(definition(name), np.array([mu]), np.array([s]), ORDERS)[0]
    with arithmetic():
        for f, t, scale in zip(found, true, scales, strict=True):
            assert log2_abs((f - t).abs_upper()) < scale - 90


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("t", [-30.0, -0.7, 0.0, 1e-3, 2.0, 25.0])
def test_series_are_the_derivatives(name, t):
    """Those of the definition keep their tails in doubles, these do in balls."""
    with arithmetic():
        found = [float(d) for d in SMOOTH[name].derivatives(arb(t))[:4]]
    plain = [float(evaluate(d, np.array([t]))[0]) for d in definition(name).derivatives(3)]
    np.testing.assert_allclose(found, plain, rtol=1e-9, atol=1e-17 if t == 0 else 0)


def reflected(h: list[arb]) -> list[arb]:
    """The coefficients of σ(-y) at μ from those of σ at -μ."""
    return [-v if k % 2 else v for k, v in enumerate(h)]


def difference(a: list[arb], b: list[arb]) -> list[arb]:
    return [x - y for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize(("mu", "s"), POINTS)
def test_identities(mu, s):
    """tanh y = 2 sigmoid(2y) - 1, tanhshrink y = y - tanh y, σ(y) - σ(-y) = y for softplus and silu."""
    with arithmetic():
        line = [arb(mu), arb(s), *[arb(0)] * (ORDERS - 2)]
        one = [arb(1), *[arb(0)] * (ORDERS - 1)]
        tanh, sigmoid = trapezoid("tanh", mu, s), trapezoid("sigmoid", 2 * mu, 2 * s)
        assert_agree("tanh", tanh, difference([2 * h for h in sigmoid], one), mu, s)
        assert_agree("identity", trapezoid("tanhshrink", mu, s), difference(line, tanh), mu, s)
        for name in ("softplus", "silu"):
            odd = difference(trapezoid(name, mu, s), reflected(trapezoid(name, -mu, s)))
            assert_agree("identity", odd, line, mu, s)
        softplus = reflected(trapezoid("softplus", -mu, s))
        assert_agree("logsigmoid", trapezoid("logsigmoid", mu, s), [-h for h in softplus], mu, s)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("mu", [-20.0, 0.0, 0.9, 8.0])
def test_both_forms_agree_where_they_meet(name, mu):
    sigma = SMOOTH[name]
    with arithmetic():
        assert_agree(name, sigma._by_series(mu, 1.0), sigma._by_decay(mu, 1.0), mu, 1.0)


@pytest.mark.parametrize(("mu", "s"), [(0.3, 1.0), (-4.0, 2.5), (1e-3, 0.01)])
def test_softsign_against_mpmath(mu, s):
    found = softsign(mu, s)
    with mpmath.workdps(40):
        cut = -mpmath.mpf(mu) / mpmath.mpf(s)
        grid = sorted([mpmath.mpf(z) / 2 for z in range(-28, 29)] + ([cut] if abs(cut) < 14 else []))
        for k in (0, 1, 2, 5):

            def density(z, k=k):
                before, he = 0, mpmath.mpf(1)
                for j in range(k):
                    before, he = he, z * he - j * before
                value = mu + s * z
                return value / (1 + abs(value)) * he * mpmath.npdf(z)

            assert abs(mpmath.mpf(found[k].str(40, radius=False)) - mpmath.quad(density, grid)) < 1e-24


def test_hermite_multiples():
    with arithmetic():
        assert [int(float(v)) for v in hermite_multiples(arb(3), arb(2), 5)] == [2, 6, 16, 36, 60]


def test_too_few_nodes_are_noticed():
    """The halves of a rule with a step of 3 differ; so do those of a rule for a function with a jump."""
    coarse = nodes.Smooth(SMOOTH["tanh"].jet, 1, 3.0, left=(-1, 0))
    for mu, s in [(0.3, 1.0), (0.3, 2.0)]:
        with pytest.raises(ArithmeticError, match="half the nodes"):
            coarse(mu, s)

    def jump(x: arb_series) -> arb_series:
        return SMOOTH["sigmoid"].jet(x) + (1 if x[0] > 0 else 0)

    with pytest.raises(ArithmeticError, match="half the nodes"):
        nodes.Smooth(jump, 1, 3 / 16)(0.3, 1.0)
    assert HALVES_AGREE**2 < 1e-25


def test_the_nodes_reach_everywhere():
    """Each row of the tables has its mass within the nodes of the second form."""
    for case in CASES.values():
        if case.source == "trapezoid":
            mu, s = case.points()
            wide = s > 1
            peak = np.abs(mu[wide]) - min(case.rates) * s[wide] ** 2
            assert (peak + 13 * s[wide] < nodes.FARTHEST)[peak > 0].all()


def test_the_working_precision_is_put_back():
    before = nodes.ctx.cap, nodes.ctx.prec
    with pytest.raises(ZeroDivisionError), arithmetic():
        raise ZeroDivisionError
    assert (nodes.ctx.cap, nodes.ctx.prec) == before
    assert math.isclose(float(trapezoid("sigmoid", 0.0, 1.0)[0]), 0.5)
    assert (nodes.ctx.cap, nodes.ctx.prec) == before
