"""E[σ(Y₁) σ(Y₂)] against its definition, against published kernels, and against what must hold for any σ.

Errors are relative to D = √(E σ(Y₁)² E σ(Y₂)²).
"""

import math
import warnings

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

import numeric as nm
import symgauss as sg
from numeric import bivariate
from numeric.bivariate import gaussian_covariance
from numeric.bivariate_quadrature import Pairs
from numeric.generated.covariance import COMPILED
from numeric.moments import AccuracyWarning
from tests.oracle.binormal import legendre
from tests.oracle.bivariate import expectation, second_moment
from tests.oracle.definitions import definition

PROMISED = 1e-12
# One of each kind: a step, a kink, Φ, Φ − ½, two kinks, exponentials; a rule, an integrated one.
REPRESENTATIVE = ("step", "relu", "gelu", "erf", "hardtanh", "elu", "silu", "softsign")
EVERY = [n if n in REPRESENTATIVE else pytest.param(n, marks=pytest.mark.slow) for n in nm.activation_names()]
# The definition in doubles cannot follow faster waves, and exponentials grow too fast.
WIDEST = {"sin": 8.0, "cos": 8.0, "exp": 5.0}
COLUMNS = ("mean_1", "std_1", "mean_2", "std_2", "rho")


def points(n, seed, widest=1e3):
    """Deviations from 1e-4 to 1e3 and moderate ones, |mean| ≤ 10 max(1, std), correlations up to 1 and at ±1."""
    rng = np.random.default_rng(seed)
    moderate, alike = rng.uniform(size=(2, n)) < 0.5
    std = np.where(moderate, 10 ** rng.uniform(-1, 1, (2, n)), 10 ** rng.uniform(-4, 3, (2, n)))
    std[1, alike] = std[0, alike]
    std = np.minimum(std, widest)
    mean = rng.uniform(-1, 1, (2, n)) * rng.choice([0, 1, 3, 10], n) * np.where(moderate, np.maximum(1, std), std)
    mean[1, alike] = np.where(rng.uniform(size=n) < 0.5, mean[0], mean[1])[alike]
    nearly = rng.choice([-1, 1], n) * (1 - 10 ** rng.uniform(-16, -1, n))
    rho = np.where(rng.uniform(size=n) < 0.5, rng.uniform(-1, 1, n), nearly)
    rho[::9], rho[1::9], rho[2::9] = 1.0, -1.0, 0.0
    return mean[0], std[0], mean[1], std[1], rho


def scales(name, columns):
    sigma = definition(name)
    return np.array(
        [math.sqrt(second_moment(sigma, a, b) * second_moment(sigma, c, d)) for a, b, c, d, _ in zip(*columns)]
    )


def truth(name, columns):
    return np.array([expectation(definition(name), *map(float, row)) for row in zip(*columns)])


def assert_accurate(found, true, scale, tolerance=PROMISED):
    """|error| ≤ tolerance D."""
    error = np.abs(found - true)
    bad = ~(error <= tolerance * scale + 1e-300)
    assert not bad.any(), (np.flatnonzero(bad), error[bad], scale[bad])


# --- against the definition ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_against_the_plane_integral(name):
    columns = points(14, seed=1, widest=WIDEST.get(name, 1e3))
    with warnings.catch_warnings():
        warnings.simplefilter("error", AccuracyWarning)
        found = gaussian_covariance(name, *columns)
    assert_accurate(found, truth(name, columns), scales(name, columns))


@pytest.mark.slow
@pytest.mark.parametrize("name", nm.activation_names())
def test_against_the_plane_integral_at_many_points(name):
    columns = points(150, seed=2, widest=WIDEST.get(name, 1e3))
    found = gaussian_covariance(name, *columns)
    assert_accurate(found, truth(name, columns), scales(name, columns))


FAR = [
    (-9.0, 1.0, -9.0, 1.0, 0.9),
    (-14.0, 1.0, -14.5, 1.0, 0.9999),
    (-14.0, 1.0, -14.0, 1.0, 1.0),
    (-20.0, 0.7, 2.0, 1.0, -0.6),
    (-26.0, 1.0, -25.0, 1.0, 0.3),
]


@pytest.mark.parametrize("name", ["step", "relu", "gelu"])
def test_far_tails(name):
    """Where the terms of the formulas cancel or nothing else is left; D is 1e-20 … 1e-150 there."""
    columns = tuple(np.array(FAR).T)
    assert_accurate(gaussian_covariance(name, *columns), truth(name, columns), scales(name, columns))


# --- published kernels -----------------------------------------------------------------------------------

ANGLES = np.array([0.0, 1e-6, 0.1, 0.7, 1.5707, 2.2, 3.0])


@pytest.mark.parametrize("width", [1e-4, 1.0, 30.0, 1e3])
def test_arc_cosine_kernels(width):
    """Cho & Saul (2009): k_n(x, y) = 2 E[step ⋅ step ⋅ (uv)ⁿ] = |x|ⁿ|y|ⁿ J_n(θ)/π."""
    rho = np.cos(ANGLES)
    with mp.workdps(30):
        theta = [mp.acos(mpf(float(r))) for r in rho]
        J_0 = [mp.pi - t for t in theta]
        J_1 = [mp.sin(t) + (mp.pi - t) * mp.cos(t) for t in theta]
        steps = [float(j / (2 * mp.pi)) for j in J_0]
        relus = [float(mpf(width) * mpf(2.5) * j / (2 * mp.pi)) for j in J_1]
    np.testing.assert_allclose(gaussian_covariance("step", 0.0, width, 0.0, 2.5, rho), steps, rtol=1e-12)
    np.testing.assert_allclose(gaussian_covariance("relu", 0.0, width, 0.0, 2.5, rho), relus, rtol=1e-12)


@pytest.mark.parametrize("width", [1e-4, 1e-2, 1.0, 30.0, 1e3])
def test_the_kernel_of_williams(width):
    """Williams (1997): E[erf(u) erf(v)] = 2/π asin(2 uv/√((1 + 2u²)(1 + 2v²))), moments written by their symbols."""
    rho = np.array([-1.0, -0.999, -0.4, 1e-9, 1e-3, 0.6, 0.99999, 1.0])
    with mp.workdps(40):
        s, t = mpf(width), mpf(0.3)
        root = mp.sqrt((1 + 2 * s * s) * (1 + 2 * t * t))
        true = [float(2 / mp.pi * mp.asin(2 * mpf(r) * s * t / root)) for r in rho.tolist()]
    np.testing.assert_allclose(gaussian_covariance("erf", 0.0, width, 0.0, 0.3, rho), true, rtol=1e-12)


def test_waves_and_exponentials_in_closed_form():
    """E e^{y₁ + y₂} and E cos y₁ cos y₂, from the characteristic function, at widths that no quadrature follows."""
    columns = tuple(
        np.array([(3.0, 1e3, 2.0, 1e3, 1.0), (3.0, 1e3, -2.0, 999.5, 1 - 1e-7), (1e4, 0.5, 1e4, 0.3, 0.2)]).T
    )
    with mp.workdps(60):
        true = []
        for row in zip(*columns):
            m, s, n, t, r = map(mpf, map(float, row))
            plus, minus = (mp.exp(-(s * s + t * t + 2 * sign * r * s * t) / 2) for sign in (1, -1))
            true.append(float((mp.cos(m + n) * plus + mp.cos(m - n) * minus) / 2))
        exponent = mpf(1) - mpf(2) + (1 + 4 + 2 * mpf(-0.7) * 2) / 2
        exponential = float(mp.exp(exponent))
    np.testing.assert_allclose(gaussian_covariance("cos", *columns), true, atol=1e-12)
    assert gaussian_covariance("exp", 1.0, 1.0, -2.0, 2.0, -0.7) == pytest.approx(exponential, rel=1e-14)


# --- formulas and quadrature -----------------------------------------------------------------------------


def both_ways(name, columns):
    """By formula with its doubt, and by quadrature alone."""
    act, pairs = nm.activation(name), Pairs(*columns)
    value, doubt = bivariate._by_formula(act, pairs)
    return value, doubt, bivariate._integrated(act, pairs, value, np.full(len(pairs), np.inf))


@pytest.mark.parametrize(
    "name", [n if n in REPRESENTATIVE else pytest.param(n, marks=pytest.mark.slow) for n in COMPILED]
)
def test_formulas_know_how_good_they_are(name):
    columns = points(150, seed=3, widest=WIDEST.get(name, 1e3))
    value, doubt, by_quadrature = both_ways(name, columns)
    scale = scales(name, columns)
    sound = np.isfinite(doubt) & (scale > 1e-290)
    assert_accurate(value[sound], by_quadrature[sound], (doubt + 5e-14 * scale)[sound], tolerance=1.0)
    # and not too modest: most of what layers ask is in the formula's hands
    rng = np.random.default_rng(4)
    mean, std = rng.normal(0, 1, (2, 400)), rng.uniform(0.5, 2, (2, 400))
    moderate = (mean[0], std[0], mean[1], std[1], rng.uniform(-1, 1, 400))
    value, doubt = bivariate._by_formula(nm.activation(name), Pairs(*moderate))
    assert np.mean(doubt <= bivariate.TRUSTED * scales(name, moderate)) > 0.99


def test_parameters_reach_the_formula():
    columns = points(8, seed=5)
    for name, parameters in (("leaky_relu", {"negative_slope": 0.3}), ("hardtanh", {"min_val": -2.0, "max_val": 0.5})):
        sigma = definition(name, **parameters)
        true = np.array([expectation(sigma, *map(float, row)) for row in zip(*columns)])
        scale = [math.sqrt(second_moment(sigma, a, b) * second_moment(sigma, c, d)) for a, b, c, d, _ in zip(*columns)]
        assert_accurate(gaussian_covariance(nm.activation(name, **parameters), *columns), true, np.array(scale))


def test_activations_that_are_not_checked_in():
    """A copy of ReLU under another name is integrated, and agrees with the formula."""
    mine = sg.Activation("my_relu", sympy.Max(0, sg.x))
    columns = points(40, seed=6)
    found = gaussian_covariance(mine, *columns)
    assert_accurate(found, gaussian_covariance("relu", *columns), scales("relu", columns), 1e-13)


# --- what must hold --------------------------------------------------------------------------------------

KINDS = ("relu", "hardtanh", "silu")
# the square of anything smaller underflows
TINY = 1e-150
deviations = st.floats(1e-4, 1e3) | st.floats(0.3, 3.0) | st.sampled_from([0.0, 1e-310, 1.0])
means = st.floats(-10, 10) | st.just(0.0)
correlations = st.floats(-1, 1) | st.sampled_from([-1.0, 0.0, 1.0]) | st.floats(0, 50).map(lambda d: 1 - 2.0**-d)


def norm(name, mean, std):
    return math.sqrt(gaussian_covariance(name, mean, std, mean, std, 1.0))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), means, deviations, means, deviations, correlations)
def test_properties(name, mean_1, std_1, mean_2, std_2, rho):
    value = float(gaussian_covariance(name, mean_1, std_1, mean_2, std_2, rho))
    assert value == gaussian_covariance(name, mean_2, std_2, mean_1, std_1, rho)
    scale = norm(name, mean_1, std_1) * norm(name, mean_2, std_2)
    assert abs(value) <= scale * (1 + 1e-12) + TINY
    apart = math.prod(nm.hermite_coefficients(name, m, s, order=0)[0] for m, s in ((mean_1, std_1), (mean_2, std_2)))
    assert abs(gaussian_covariance(name, mean_1, std_1, mean_2, std_2, 0.0) - apart) <= 1e-12 * scale + TINY
    still = float(nm.activation(name)(mean_1)) * nm.hermite_coefficients(name, mean_2, std_2, order=0)[0]
    assert gaussian_covariance(name, mean_1, 0.0, mean_2, std_2, rho) == still


@settings(max_examples=25, deadline=None)
@given(means, deviations, means, deviations, correlations)
def test_relu_of_both_signs_is_the_variable(mean_1, std_1, mean_2, std_2, rho):
    """relu(y) − relu(−y) = y, so that four covariances add up to E Y₁Y₂."""
    signs = np.array([1.0, -1.0])
    first, second = signs[:, None], signs
    four = gaussian_covariance("relu", first * mean_1, std_1, second * mean_2, std_2, first * second * rho)
    true = mean_1 * mean_2 + rho * std_1 * std_2 * (std_1 >= 1e-300 and std_2 >= 1e-300)
    assert abs(np.sum(first * second * four) - true) <= 4e-12 * math.hypot(mean_1, std_1) * math.hypot(mean_2, std_2)


@pytest.mark.parametrize("name", ["relu", "gelu", "silu"])
def test_equal_variables_have_second_moments(name):
    mean, std = np.array([0.0, -3.0, 2.0, 0.4]), np.array([1.0, 0.7, 1e-3, 100.0])
    true = np.array([second_moment(definition(name), m, s) for m, s in zip(mean, std)])
    assert_accurate(gaussian_covariance(name, mean, std, mean, std, 1.0), true, true)


def test_where_nothing_varies():
    assert gaussian_covariance("step", 0.0, 0.0, 2.0, 0.0, 0.5) == 0.0  # step(0) = 0 as written
    assert gaussian_covariance("relu", 3.0, 0.0, 2.0, 0.0, -1.0) == 6.0
    assert gaussian_covariance("silu", 3.0, 1e-310, 2.0, 0.0, 1.0) == pytest.approx(
        6 / (1 + math.exp(-3)) / (1 + math.exp(-2))
    )
    # a deviation that is tiny but no zero
    assert gaussian_covariance("relu", 0.0, 1e-307, 1.0, 1.0, 0.0) > 0


# --- arguments -------------------------------------------------------------------------------------------


def test_shapes_and_types():
    column, row = np.zeros((3, 1)), np.ones((1, 4))
    found = gaussian_covariance("relu", column, row, 0, 1, 0.5)
    assert found.shape == (3, 4)
    assert found.dtype == np.float64
    assert gaussian_covariance("relu", 0, 1, 0, 1, 1).shape == ()
    assert gaussian_covariance("relu", np.zeros((0, 2)), 1, 0, 1, 0).shape == (0, 2)
    assert gaussian_covariance("silu", [], [], [], [], []).shape == (0,)
    exact = gaussian_covariance("gelu", 1.0, 2.0, -1.0, 0.5, 0.25)
    assert gaussian_covariance("gelu", np.float32(1), np.int8(2), [[-1]], np.float16(0.5), 0.25) == exact
    assert gaussian_covariance("relu", *points(20, 7)[:4], 0.1)[::2].shape == (10,)
    strided = np.asfortranarray(np.arange(6.0).reshape(2, 3))[:, ::2]
    assert np.array_equal(
        gaussian_covariance("relu", strided, 1.0, strided, 1.0, 0.3),
        gaussian_covariance("relu", strided.copy(), 1.0, strided.copy(), 1.0, 0.3),
    )


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_bad_numbers_are_named(place, bad):
    arguments = [np.zeros(3), np.ones(3), np.zeros(3), np.ones(3), np.zeros(3)]
    arguments[place][1] = bad
    with pytest.raises(ValueError, match=f"^{COLUMNS[place]} has 1 bad of 3 entries, the first .* at flat index 1"):
        gaussian_covariance("relu", *arguments)


def test_what_is_no_deviation_and_no_correlation():
    with pytest.raises(
        ValueError, match=r"^std_2 has 1 bad of 1 entries, the first -1.0 .*expected finite numbers ≥ 0"
    ):
        gaussian_covariance("relu", 0, 1, 0, -1, 0)
    with pytest.raises(
        ValueError, match=r"^rho has 2 bad of 3 entries, the first 1.01 .*expected numbers from −1 to 1"
    ):
        gaussian_covariance("relu", 0, 1, 0, 1, [1.01, 0.0, -2.0])
    with pytest.raises(ValueError, match=r"do not broadcast together: mean_1 \(2,\), .*, rho \(3,\)"):
        gaussian_covariance("relu", [0, 0], 1, 0, 1, [0, 0, 0])
    for bad in (1j, np.array([None]), "one"):
        with pytest.raises(TypeError, match=r"^(mean_2|rho): "):
            gaussian_covariance("relu", 0, 1, bad, 1, 0)
    with pytest.raises(nm.UnknownActivation):
        gaussian_covariance("rellu", 0, 1, 0, 1, 0)


def test_values_beyond_double_precision_are_an_error():
    with pytest.raises(
        OverflowError, match=r"^std: .* of 'exp' is beyond double precision for 1 of 2 pairs, .*std_1 40"
    ):
        gaussian_covariance("exp", 0.0, [1.0, 40.0], 0.0, [1.0, 40.0], 0.9)
    # a mean beyond it is none while the covariance is not
    assert gaussian_covariance("exp", 0.0, 40.0, 0.0, 40.0, -1.0) == pytest.approx(1.0)


def test_what_is_less_accurate_than_promised_is_said(monkeypatch):
    monkeypatch.setattr(bivariate, "PROMISED", 1e-16)
    with pytest.warns(AccuracyWarning, match=r"^silu: 2 of 2 pairs were not integrated to 1e-16; the worst, mean_1 .*"):
        gaussian_covariance("silu", [0.0, 0.1], 1.0, 0.0, 2.0, 0.5)


@pytest.mark.slow
def test_what_cannot_be_followed_is_said():
    """Waves that are resolved, and ten thousand periods that are not."""
    wave = sg.Activation("fast_wave", sympy.sin(40 * sg.x) * sympy.tanh(sg.x))
    with warnings.catch_warnings():
        warnings.simplefilter("error", AccuracyWarning)
        found = gaussian_covariance(wave, 0.3, 0.1, 0.2, 0.05, 0.5)
    sigma = lambda y: np.sin(40 * y) * np.tanh(y)  # noqa: E731
    x, weight = np.polynomial.hermite_e.hermegauss(120)
    weight = weight / math.sqrt(2 * math.pi)
    second = sigma(0.2 + 0.05 * (0.5 * x[:, None] + math.sqrt(0.75) * x))
    assert found == pytest.approx(np.sum(weight * sigma(0.3 + 0.1 * x) * (second @ weight)), abs=1e-13)
    with pytest.warns(
        AccuracyWarning, match=r"fast_wave: 1 of 1 pairs were not integrated to 1e-12; the worst, mean_1 0"
    ):
        gaussian_covariance(wave, 0.0, 1e3, 0.0, 1e3, 1.0)


# --- the helpers -----------------------------------------------------------------------------------------


def test_the_definition_knows_what_is_known():
    """Against formulas for polynomials, exponentials and quadrants, and against nested integrals in mpmath."""
    m, s, n, t, r = row = (0.7, 1.3, -0.4, 0.6, -0.35)
    cov = r * s * t
    square = m * m * n * n + m * m * t * t + n * n * s * s + 4 * m * n * cov + 2 * cov**2 + s * s * t * t
    assert expectation(definition("square"), *row) == pytest.approx(square, rel=1e-14)
    exponential = math.exp(m + n + (s * s + t * t + 2 * cov) / 2)
    assert expectation(definition("exp"), *row) == pytest.approx(exponential, rel=1e-14)
    for rho in (-1.0, -0.9999, 0.3, 1 - 1e-9):
        angle = 0.25 + math.asin(rho) / (2 * math.pi)
        assert expectation(definition("step"), 0.0, 50.0, 0.0, 1e-3, rho) == pytest.approx(angle, abs=1e-15)
    with mp.workdps(25):
        starts, length = (-9, -6, -3, 0, 3, 6), 3
        rule = [(a + length * x, length * w * mp.npdf(a + length * x)) for a in starts for x, w in legendre(24)]
        bent = mp.sqrt(1 - mpf(r) ** 2)
        rows = [(w * mp.tanh(m + s * x), n + t * r * x) for x, w in rule]
        nested = mp.fsum(f * w * mp.tanh(centre + t * bent * z) for f, centre in rows for z, w in rule)
    assert expectation(definition("tanh"), *row) == pytest.approx(float(nested), abs=1e-14)


def test_the_assertions_notice_what_is_wrong():
    columns = points(5, seed=9)
    true, scale = truth("relu", columns), scales("relu", columns)
    assert_accurate(true, true, scale)
    for i in range(5):
        wrong = true.copy()
        wrong[i] += 2e-12 * scale[i] + 1e-299
        with pytest.raises(AssertionError):
            assert_accurate(wrong, true, scale)
    with pytest.raises(AssertionError):
        assert_accurate(np.full(5, math.nan), true, scale)
    # another correlation is another expectation
    assert (
        abs(expectation(definition("relu"), 0, 1, 0, 1, 0.5) - expectation(definition("relu"), 0, 1, 0, 1, 0.5001))
        > 1e-5
    )
