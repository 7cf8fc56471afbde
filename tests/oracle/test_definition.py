"""The integrator against integrals that are known in other ways."""

import math

import mpmath
import numpy as np
import pytest
import sympy
from flint import arb
from sympy.codegen.cfunctions import log1p

from tests.oracle.arb import log2_abs, precision
from tests.oracle.definition import LARGEST_ORDER, hermite_coefficient, hermite_polynomial, window
from tests.oracle.definitions import Definition, definition, y
from tests.oracle.scale import log2_scales

HE = (lambda z: z**0, lambda z: z, lambda z: z * z - 1, lambda z: z**3 - 3 * z)


def coefficients(sigma: Definition, mu: float, s: float, orders: int) -> tuple[list[arb], list[float]]:
    scales = log2_scales(sigma, np.array([mu]), np.array([s]), orders)[0].tolist()
    return [hermite_coefficient(sigma, k, mu, s, scale) for k, scale in enumerate(scales)], scales


def error(found: arb, true: object, log2_scale: float) -> float:
    """An upper bound of |found - true| / D."""
    with precision(300):
        if isinstance(true, mpmath.mpf):
            true = arb(mpmath.nstr(true, 60))
        return float(2 ** (log2_abs((found - true).abs_upper()) - log2_scale))


def assert_agree(found: list[arb], true: list, scales: list[float]) -> None:
    for f, t, scale in zip(found, true, scales, strict=True):
        assert error(f, t, scale) < 1e-26


def test_hermite_polynomials():
    x = sympy.Symbol("x")
    for k in range(LARGEST_ORDER + 1):
        mine = [int(c) for c in hermite_polynomial(k).coeffs()]
        textbook = sympy.Poly(2 ** sympy.Rational(-k, 2) * sympy.hermite(k, x / sympy.sqrt(2)), x)
        assert mine == textbook.all_coeffs()[::-1]


def test_hermite_polynomials_are_orthogonal():
    """With μ = 0, s = 1, σ = He_j: h_k = j! if k = j, else 0."""
    for j in (0, 1, 4, 7):
        polynomial = sum(int(c) * y**i for i, c in enumerate(hermite_polynomial(j).coeffs()))
        found, scales = coefficients(Definition("He", (sympy.sympify(polynomial),)), 0.0, 1.0, 9)
        assert_agree(found, [arb(math.factorial(j) if k == j else 0) for k in range(9)], scales)


@pytest.mark.parametrize(("mu", "s"), [(0.3, 1e-8), (-2e9, 1e8), (50.0, 2.0), (0.0, 1.0)])
def test_square(mu, s):
    found, scales = coefficients(definition("square"), mu, s, 5)
    with precision(300):
        m, w = arb(mu), arb(s)
        true = [m * m + w * w, 2 * m * w, 2 * w * w, arb(0), arb(0)]
    assert_agree(found, true, scales)


@pytest.mark.parametrize(("mu", "s"), [(0.3, 1.0), (-7.0, 1e-8), (40.0, 3.0), (1.0, 150.0)])
def test_sine(mu, s):
    """h_k = s^k exp(-s²/2) × the k-th derivative of the sine."""
    found, scales = coefficients(definition("sin"), mu, s, 9)
    with precision(300):
        m, w = arb(mu), arb(s)
        cycle = [m.sin(), m.cos(), -m.sin(), -m.cos()]
        true = [w**k * (-w * w / 2).exp() * cycle[k % 4] for k in range(9)]
    assert_agree(found, true, scales)


HALF_LINES = [
    pytest.param(name, mu, s, marks=pytest.mark.slow if name != "relu" and place % 3 else ())
    for name in ("step", "relu", "relu2")
    for place, (mu, s) in enumerate([(0.5, 1.0), (-20.0, 1.0), (-3.7e-7, 1e-8), (1e8, 3e7)])
]


@pytest.mark.parametrize(("name", "mu", "s"), HALF_LINES)
def test_half_lines_against_mpmath(name, mu, s):
    """mpmath integrates from the breakpoint on; t is the distance from it in standard deviations."""
    power = {"step": 0, "relu": 1, "relu2": 2}[name]
    found, scales = coefficients(definition(name), mu, s, 4)
    with mpmath.workdps(50):
        a = -mpmath.mpf(mu) / mpmath.mpf(s)
        peak = mpmath.npdf(max(a, 0))  # mpmath stops at an absolute error
        ends = [0, *(mpmath.mpf(2) ** j / (1 + abs(a)) for j in range(-1, 11))]
        true = []
        for k in range(4):
            he = HE[k]

            def density(t, he=he):
                return (t * mpmath.mpf(s)) ** power * he(a + t) * mpmath.npdf(a + t) / peak

            true.append(mpmath.quad(density, ends) * peak)
    assert_agree(found, true, scales)


@pytest.mark.parametrize("orders", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_gelu_against_mpmath_in_its_tail(orders):
    """Each order takes mpmath seconds."""
    found, scales = coefficients(definition("gelu"), -30.0, 1.0, orders)
    with mpmath.workdps(60):

        def density(z, he):
            return he(z) * (z - 30) * mpmath.ncdf(z - 30) * mpmath.npdf(z) * mpmath.mpf(10) ** 97

        grid = [mpmath.mpf(z) for z in range(6, 25)]
        # mpmath stops at an absolute error, hence the factor.
        true = [mpmath.quad(lambda z, he=he: density(z, he), grid) / mpmath.mpf(10) ** 97 for he in HE[:orders]]
    assert float(true[0]) < 0 < abs(float(true[0])) < 1e-90
    assert_agree(found, true, scales)


def test_narrow_pieces_are_not_missed():
    """At s = 1e8, E[hardtanh′] = P(-1 < y < 1) comes from an interval of width 2e-8 in z."""
    slope = definition("hardtanh").derivative()
    assert slope is not None
    found, scales = coefficients(slope, 0.0, 1e8, 1)
    with precision(300):
        true = (1 / (arb(1e8) * arb(2).sqrt())).erf()
    assert_agree(found, [true], scales)


def test_the_window_holds_all_that_matters():
    """∫_{|z|>R} (2 + 2y²) z^16 φ dz, bounded by its leading term twice over, is below 1e-30 D."""
    for mu, s, log2_scale in [(0.0, 1.0, 0.0), (5e9, 1e8, 60.0), (-30.0, 1.0, -900.0), (0.0, 1e-8, -26.0)]:
        radius = window(mu, s, log2_scale)
        tail = math.log(8 * (1 + abs(mu) + s) ** 2) + 18 * math.log(radius) - radius**2 / 2
        assert tail < log2_scale * math.log(2) - 30 * math.log(10)


@pytest.mark.parametrize(("mu", "s"), [(-500.0, 10.0), (-4500.0, 100.0), (0.3, 1e-8)])
def test_exponentials_are_integrated_where_their_mass_is(mu, s):
    """h_k = s^k e^(μ + s²/2)."""
    found, scales = coefficients(definition("exp"), mu, s, 9)
    with precision(300):
        m, w = arb(mu), arb(s)
        true = [w**k * (m + w * w / 2).exp() for k in range(9)]
    assert_agree(found, true, scales)


def test_a_wrong_value_is_noticed():
    found, scales = coefficients(definition("relu"), 0.5, 1.0, 2)
    with precision(300):
        wrong = [found[0] * (1 + arb(2) ** -80), found[1]]
    with pytest.raises(AssertionError):
        assert_agree(found, wrong, scales)
    assert error(found[0], wrong[0], scales[0]) > 1e-25


def test_nothing_is_integrated_without_a_scale():
    with pytest.raises(ValueError, match="scale"):
        hermite_coefficient(definition("relu"), 0, -50.0, 1e-8, -math.inf)


SMOOTH = {
    "tanh": (sympy.tanh(y), mpmath.tanh),
    "mish": (y * sympy.tanh(log1p(sympy.exp(y))), lambda t: t * mpmath.tanh(mpmath.log1p(mpmath.exp(t)))),
    "root": (1 / sympy.sqrt(1 + y**2), lambda t: 1 / mpmath.sqrt(1 + t * t)),
}


# Poles and a branch cut near the mean, and from afar; the others take mpmath longer.
@pytest.mark.parametrize(
    ("name", "mu", "s"),
    [
        ("tanh", 0.4, 1.0),
        ("root", 0.4, 1.0),
        ("mish", -30.0, 2.5),
        pytest.param("mish", 0.4, 1.0, marks=pytest.mark.slow),
        pytest.param("tanh", -30.0, 2.5, marks=pytest.mark.slow),
        pytest.param("root", -30.0, 2.5, marks=pytest.mark.slow),
    ],
)
def test_poles_and_branch_cuts_are_no_obstacle(name, mu, s):
    """Activations without closed form need their definition only."""
    formula, plain = SMOOTH[name]
    found, scales = coefficients(Definition("smooth", (formula,)), mu, s, 3)
    grid = [mpmath.mpf(z) for z in range(-17, 18)]
    with mpmath.workdps(50):
        # mpmath stops at an absolute error, hence the factor.
        lift = mpmath.mpf(2) ** -round(scales[0])
        true = [
            mpmath.quad(lambda z, he=he: lift * plain(mu + s * z) * he(z) * mpmath.npdf(z), grid) / lift
            for he in HE[:3]
        ]
    assert_agree(found, true, scales)
