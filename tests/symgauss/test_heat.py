"""Each check of the heat certificate by itself: a formula that it stops and no other check would."""

import pytest
import sympy
from sympy import Rational, cos, exp, sin

import symgauss as sg
from symgauss import Phi, mu, phi, sigma
from symgauss.heat import MeanForm
from symgauss.surds import Outside

M_RELU = mu * Phi(mu / sigma) + sigma * phi(mu / sigma)
a = sympy.Symbol("a", real=True)
q = sympy.Symbol("q", positive=True)


@pytest.mark.parametrize("factor", [sigma**2 - 1, 2 - 3 * sigma**2, sigma**2 + a, 1 + a * sigma**2])
def test_denominators_must_not_vanish(factor):
    with pytest.raises(Outside, match=r"the denominator .* only sigma and 1 \+ q\*sigma\*\*2"):
        MeanForm(mu / factor)


@pytest.mark.parametrize("factor", [mu, mu + 5, 1 + sigma, 1 + sigma**4, 1 + sigma + sigma**2])
def test_denominators_are_those_of_means(factor):
    with pytest.raises(Outside, match="the denominator"):
        MeanForm(1 / factor)


@pytest.mark.parametrize("factor", [1 + sigma + sigma**2, 1 + sigma**4, 1 + sigma])
def test_roots_are_those_of_means(factor):
    with pytest.raises(Outside, match="the root of"):
        MeanForm(mu * sympy.sqrt(factor))


def test_what_is_allowed():
    MeanForm(mu / (sigma * (1 + q * sigma**2) * (2 + 3 * sigma**2) * sympy.sqrt(1 + q * sigma**2)) * sympy.sqrt(1 + q))


GROWTH = [
    # At mu = 0 these are e^{±1/sigma²}: no power of sigma bounds the first.
    (exp((1 - mu**2) / (2 * sigma**2)), "is no heat kernel"),
    (exp(-(1 + mu**2) / (2 * sigma**2)), "is no heat kernel"),
    (exp(mu**2 / sigma**2), "is no heat kernel"),
    (exp(mu**3), "exp of degree 3 in mu"),
    (exp(-(mu**4)), "exp of degree 4 in mu"),
    (exp(-(mu**2) / sigma**4), "more singular than a heat kernel"),
    (exp(-(mu**2) / sigma**2 + mu / sigma), "with an odd singularity"),
    (exp(-((mu - 1) ** 2) / sigma**2) * mu / sigma, r"sigma\*\*\(-1\) remains at mu = 1"),
    (exp(-3 * (mu + 2) ** 2 / sigma**2) * (mu + 1) ** 2 / sigma**2, r"sigma\*\*\(-2\) remains at mu = -2"),
    (1 / sigma, r"sigma\*\*\(-1\) remains"),
]


@pytest.mark.parametrize(("term", "reason"), GROWTH)
def test_growth(term, reason):
    with pytest.raises(Outside, match=reason):
        MeanForm(M_RELU + term).check_growth()


@pytest.mark.parametrize(
    "term",
    [
        exp(-((mu - 1) ** 2) / sigma**2) * (mu - 1) ** 3 / sigma**3,
        exp(-3 * (mu + 2) ** 2 / (5 * sigma**2)) * (mu + 2) / sigma,
        exp(-((mu - Rational(1, 3)) ** 2) / (7 * sigma**2)) * (3 * mu - 1) ** 2 / sigma**2,
        exp(-(mu**2) / sigma**2) * cos(mu / sigma**2),
        exp(3 * mu + sigma**2),
    ],
)
def test_what_is_bounded(term):
    MeanForm(M_RELU + term).check_growth()


INITIAL = [
    (sigma * cos(mu / sigma), "an oscillation has no limit"),
    (sin(mu + 1 / sigma), "an oscillation has no limit"),
    (Phi((mu**2 - 1) / sigma), "switches where a polynomial of degree > 1 vanishes"),
    (Phi((mu**2 + 1) / sigma) - 1, "switches where a polynomial of degree > 1 vanishes"),
    (mu / sigma, "a negative power of sigma has no limit"),
    (Phi((mu - 2) / sigma), "M → 1 for 2 < x < oo, but the activation is 0 there"),
    (Phi(mu / sigma) - 1, "M → -1 for -oo < x < 0, but the activation is 0 there"),
    (Phi((mu + 1) / sigma) - Phi((mu - 3) / sigma), "M → 1 for -1 < x < 3, but the activation is 0 there"),
    (sigma + 2, "M → 2 for -oo < x < oo, but the activation is 0 there"),
]


@pytest.mark.parametrize(("claim", "reason"), INITIAL)
def test_initial_value(claim, reason):
    with pytest.raises(Outside) as stopped:
        MeanForm(claim).check_initial_value(sg.Activation("zero", 0))
    assert reason in str(stopped.value)
