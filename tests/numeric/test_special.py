"""The primitives keep the error budgets that their module states, and their constants are what they claim."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf
from numba import njit

from numeric import special
from tests.oracle import primitives

EPSILON = 2.0**-52
POINTS = np.concatenate(
    [
        np.linspace(-40, 40, 1601),
        np.random.default_rng(1).normal(0, 1, 1200),
        np.random.default_rng(2).normal(0, 1e-3, 200),
        [0.0, -0.0, 1e-300, -1.2, 1.2, np.nextafter(1.2, 2), -37.6, -38.4],
    ]
)
TINY = 10.0 ** np.linspace(-323, -1, 162)
SEAMS = np.ravel([[np.nextafter(s, -9), s, np.nextafter(s, 9)] for s in (2**-54, 2**0.5 - 1, 0.5**0.5 - 1, 1.0)])
SIGNED = np.concatenate([POINTS, np.linspace(-1.1, 1.1, 800), TINY, -TINY, SEAMS, -SEAMS])
ELEMENTARY = {
    "expm1": (mpmath.expm1, np.concatenate([SIGNED, np.linspace(41, 709.78, 200), [-700.0]]), 1.5),
    "log1p": (
        mpmath.log1p,
        np.concatenate([SIGNED[SIGNED > -1], TINY[TINY > 1e-15] - 1, 1 / TINY[TINY > 1e-308], [1.797e308]]),
        1.0,
    ),
    "tanh": (mpmath.tanh, np.concatenate([SIGNED, [300.0, -300.0]]), 2.0),
}
# The last two lie on both sides of the power law that serves the far tails
OUTWARDS = np.concatenate(
    [np.linspace(0, 14, 85), 10.0 ** np.arange(-12, 20), 10.0 ** np.arange(20, 308, 16), [5e-324, 2.0**31, 2.0**31 + 1]]
)


def normal_distribution(z):
    return mpmath.erfc(-z / mpmath.sqrt(2)) / 2


def density(z):
    return mpmath.exp(-z * z / 2) / mpmath.sqrt(2 * mpmath.pi)


def first(z):
    """E (z + Z)₊, as integrated by hand."""
    return z * normal_distribution(z) + density(z)


def second(z):
    """E (z + Z)₊²/2, as integrated by hand."""
    return ((1 + z * z) * normal_distribution(z) + z * density(z)) / 2


@njit
def _all(z, out):
    for i in range(z.size):
        out[0, i], out[1, i] = special.Phi_phi(z[i])
        out[2, i] = special.centred_Phi(z[i])
        out[3, i] = special.gauss(z[i])
        out[4, i] = special.exp(20 * z[i])
        below = -abs(z[i])
        out[5, i] = special.I_2(below, special.Phi_phi(below)[1])
        out[6, i] = special.I_1(below, special.Phi_phi(below)[1])
        out[7, i], out[8, i] = special.lifted_Phi_phi(z[i], abs(z[i]) > 20)


@njit
def _elementary(x, out):
    for i in range(x.size):
        out[0, i], out[1, i], out[2, i] = special.expm1(x[i]), special.log1p(x[i]), special.tanh(x[i])


@njit
def _ladder(v, out):
    for i in range(v.size):
        for k, tail in enumerate(special.scaled_ladder(v[i])):
            out[k, i] = tail


@njit
def _tilted(shift, a, out):
    for i in range(a.size):
        out[i] = special.exp_tilted(shift[i], a[i])


@njit
def _remainders(x, y, c, out):
    for i in range(x.size):
        out[0, i] = special.upper_half(x[i])
        out[1, i] = special.product_rest(x[i], y[i])
        out[2, i] = min(max((x[i] - c[i]) / y[i], -40.0), 40.0)
        out[3, i] = special.slip(out[2, i], x[i], c[i], y[i])


def tilted(shift, a):
    shift, a = np.broadcast_arrays(np.asarray(shift, float), np.asarray(a, float))
    out = np.empty(a.shape)
    _tilted(np.ascontiguousarray(shift), np.ascontiguousarray(a), out)
    return out


def remainders(x, y, c=0.0):
    """upper_half(x), product_rest(x, y), u = (x − c)/y within ±40, and by how much rounding moved |u|."""
    x, y, c = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, float)) for v in (x, y, c)))
    out = np.empty((4, x.size))
    _remainders(x.copy(), y.copy(), c.copy(), out)
    return out


def elementary(x, name):
    out = np.empty((3, np.size(x)))
    _elementary(np.atleast_1d(np.asarray(x, float)), out)
    return out[list(ELEMENTARY).index(name)]


def ladder(v):
    out = np.empty((10, np.size(v)))
    _ladder(np.atleast_1d(np.asarray(v, float)), out)
    return out


@pytest.fixture(scope="module")
def computed():
    out = np.empty((9, POINTS.size))
    _all(POINTS, out)
    return out


def worst(values, definition, points=POINTS):
    """The largest relative error in ε; one unit of the smallest subnormal is forgiven below 1e-307."""
    largest = 0.0
    with mp.workdps(60):
        for value, point in zip(values, points):
            true = definition(mpf(float(point)))
            error = abs(mpf(float(value)) - true)
            if abs(true) < mpf("1e-307"):
                error = max(error - mpf(5e-324), mpf(0))
            if error:
                largest = max(largest, float(error / abs(true) / EPSILON) if true else math.inf)
    return largest


@pytest.mark.parametrize(
    ("row", "definition", "budget"),
    [
        (0, normal_distribution, 5.0),
        (1, density, 1.5),
        (2, lambda z: mpmath.erf(z / mpmath.sqrt(2)) / 2, 4.0),
        (3, lambda z: mpmath.exp(-z * z / 2), 1.5),
        (4, lambda z: mpmath.exp(mpf(float(20 * float(z)))), 1.0),
        (5, lambda z: second(-abs(z)), 5.0),
        (6, lambda z: first(-abs(z)), 5.0),
        (7, normal_distribution, 5.0),
        # from 40 on nothing is left
        (8, lambda z: density(z) * (abs(z) < 40) * (mpf(2) ** 256 if abs(z) > 20 else 1), 1.5),
    ],
    ids=["Phi", "phi", "centred_Phi", "gauss", "exp", "I_2", "I_1", "lifted_Phi", "lifted_phi"],
)
def test_error_budget(computed, row, definition, budget):
    # exp overflows past 709.78, where the definition in arbitrary precision does not
    points = POINTS if row != 4 else np.minimum(POINTS, 35.0)
    values = computed[row] if row != 4 else np.where(POINTS <= 35.0, computed[row], np.exp(700.0))
    assert worst(values, definition, points) <= budget


@pytest.mark.parametrize("name", ELEMENTARY)
def test_error_budget_of_elementary_functions(name):
    definition, points, budget = ELEMENTARY[name]
    assert worst(elementary(points, name), definition, points) <= budget


@pytest.mark.parametrize("k", range(10))
def test_error_budget_of_the_ladder(k):
    budget = 3.0 if k <= 2 else 8.0
    assert worst(ladder(OUTWARDS)[k], lambda v: primitives.scaled_tail(k, v), OUTWARDS) <= budget


def test_scaled_tails_are_the_integrals_they_claim_to_be():
    with mp.workdps(30):
        for k, v in [(0, 0), (0, 3), (1, mpf(1) / 3), (2, 7), (5, 1), (9, 0), (10, 2)]:
            integral = mpmath.quad(
                lambda t, k=k, v=v: t**k / mpmath.factorial(k) * mpmath.exp(-v * t - t * t / 2), [0, 1, 3, 6, 12, 24]
            )
            assert abs(primitives.scaled_tail(k, v) / integral - 1) < mpf("1e-25")


def test_the_error_helper_sees_a_wrong_value():
    point = np.array([-3.0])
    with mp.workdps(60):
        right = np.array([float(normal_distribution(mpf(-3)))])
    assert worst(right, normal_distribution, point) <= 1
    assert worst(right * (1 + 20 * EPSILON), normal_distribution, point) > 10
    assert worst(np.array([0.0]), normal_distribution, point) > 1e15


@pytest.mark.parametrize("z", [math.inf, -math.inf, 1e308, -1e308, 41.0, -41.0])
def test_far_arguments_are_harmless(z):
    out = np.empty((9, 1))
    _all(np.array([z]), out)
    assert out[:4, 0].tolist() == [float(z > 0), 0.0, math.copysign(0.5, z), 0.0]
    assert out[4, 0] == (math.inf if z > 0 else 0.0)
    assert out[5:7, 0].tolist() == [0.0, 0.0]


def test_what_is_no_number_stays_none():
    out = np.empty((9, 1))
    _all(np.array([math.nan]), out)
    assert np.isnan(out).all()


def test_limits_of_elementary_functions():
    far = [math.inf, 1e308, 710.0, -math.inf, -1e308, -800.0]
    assert elementary(far, "expm1").tolist() == [math.inf] * 3 + [-1.0] * 3
    assert elementary(far, "tanh").tolist() == [1.0] * 3 + [-1.0] * 3
    assert elementary(math.inf, "log1p") == math.inf
    for name in ELEMENTARY:
        assert np.isnan(elementary(math.nan, name))
        assert np.signbit(elementary([0.0, -0.0, 1e-320, -1e-320], name)).tolist() == [False, True] * 2


def test_elementary_functions_respect_their_bounds():
    points = np.sort(SIGNED)
    assert np.array_equal(elementary(points, "tanh"), -elementary(-points, "tanh"))
    assert np.abs(elementary(points, "tanh")).max() == 1.0
    assert elementary(points, "expm1").min() == -1.0


def test_the_ladder_falls_to_its_limits():
    tails = ladder(np.sort(OUTWARDS[(OUTWARDS == 0) | (OUTWARDS > 1e-4)]))
    assert (np.diff(tails) <= 0).all()
    assert ladder(math.inf)[:, 0].tolist() == [0.0] * 10
    assert ladder(1e307)[:2, 0].tolist() == [pytest.approx(1e-307, rel=4 * EPSILON), 0.0]
    assert np.isnan(ladder(math.nan)).all()
    assert np.array_equal(ladder(0.0), ladder(-0.0))


def test_odd_and_complementary():
    out, mirrored = np.empty((9, POINTS.size)), np.empty((9, POINTS.size))
    _all(POINTS, out)
    _all(-POINTS, mirrored)
    assert np.array_equal(out[2], -mirrored[2])
    assert np.abs(out[0] + mirrored[0] - 1).max() <= EPSILON


@pytest.mark.parametrize("name", sorted(primitives.POLYNOMIALS))
def test_constants_are_the_fits_they_claim_to_be(name):
    with mp.workdps(60):
        coefficients, error = primitives.POLYNOMIALS[name]()
    assert getattr(special, name) == coefficients
    assert error < EPSILON / 40


def test_log_two_is_split_exactly():
    head, tail = primitives.log2_split()
    assert (head, tail) == (special.LOG2_HEAD, special.LOG2_TAIL)
    assert (1100 * head) / 1100 == head
    assert math.frexp(head)[0] * 2**33 % 1 == 0


def worst_of_tilted(shift, a, values):
    """The largest relative error of e^(shift + a²/2), in ε."""
    pairs = iter(zip(shift, a, strict=True))

    def definition(_):
        here = next(pairs)
        return mpmath.exp(mpf(float(here[0])) + mpf(float(here[1])) ** 2 / 2)

    return worst(values, definition, a)


def tilts():
    """Exponents all over the range and around 0, most of them what is left of parts as large as 5e9."""
    rng = np.random.default_rng(5)
    a = 10 ** np.concatenate([rng.uniform(-5, 5, 1000), rng.uniform(2, 5, 1500)])
    total = np.concatenate([rng.uniform(-745, 709, 1500), rng.uniform(-3, 3, 1000)])
    return total - a * a / 2, a


def test_exp_tilted_keeps_its_error_budget():
    shift, a = tilts()
    assert worst_of_tilted(shift, a, tilted(shift, a)) <= 1.0
    assert worst_of_tilted(shift, a, tilted(shift, -a)) <= 1.0
    assert worst_of_tilted(shift, a, tilted(shift, a) * (1 + 3 * EPSILON)) > 2.0


def test_limits_of_exp_tilted():
    for shift, a, value in [
        (math.inf, 1.0, math.inf),
        (-math.inf, 1.0, 0.0),
        (0.0, math.inf, math.inf),
        (0.0, 1e200, math.inf),
        (710.0, 0.0, math.inf),
        (1e308, 1e-300, math.inf),
        (-1e308, 1e154, 0.0),
        (-1e300, 1e150, 0.0),
        (-1e200, 1e100, 0.0),
        (-746.0, 0.0, 0.0),
        (-745.0, 0.0, 5e-324),
        (0.0, 5e-324, 1.0),
        (-5e-324, 0.0, 1.0),
        (-0.5, 1.0, 1.0),
    ]:
        assert tilted([shift], [a]) == value
    for shift, a in [(math.nan, 1.0), (0.0, math.nan), (math.nan, math.nan), (-math.inf, math.inf)]:
        assert np.isnan(tilted([shift], [a]))


def numbers(seed, n, span):
    rng = np.random.default_rng(seed)
    return rng.normal(size=n) * 2.0 ** rng.integers(-span, span, n)


def test_the_rest_of_a_product_is_exact():
    x, y = numbers(3, 5000, 200), numbers(4, 5000, 200)
    found = remainders(x, y)
    for a, b, high, rest in zip(x, y, found[0], found[1], strict=True):
        assert Fraction(a) * Fraction(b) == Fraction(a * b) + Fraction(rest)
        # 26 bits: squares of such numbers are exact
        assert Fraction(high) ** 2 == Fraction(high * high)
        assert 0 <= (a - high) / a < 2.0**-25
    assert np.count_nonzero(found[1]) > 4000
    assert remainders([3.0, 0.0, 0.1, 1e-200], [5.0, 7.0, 0.5, 1e-200])[1].tolist() == [0.0] * 4


@pytest.mark.parametrize("with_c", [False, True])
def test_slip_is_what_rounding_took_from_a_quotient(with_c):
    rng = np.random.default_rng(6)
    n = 5000
    mean, sigma = rng.normal(size=n) * 10 ** rng.uniform(-3, 3, n), 10 ** rng.uniform(-3, 3, n)
    c = rng.normal(size=n) * 10 ** rng.uniform(-2, 2, n) if with_c else np.zeros(n)
    moved = 0
    for mu, s, at, u, slip in zip(mean, sigma, c, *remainders(mean, sigma, c)[2:], strict=True):
        if abs(u) == 40:
            assert slip == 0
            continue
        true = abs((Fraction(mu) - Fraction(at)) / Fraction(s)) - abs(Fraction(u))
        assert abs(Fraction(slip) - true) <= abs(true) * Fraction(1, 10**10)
        assert abs(true) <= 2 * EPSILON * abs(u)
        # the comparison sees a rest that is not there
        assert not abs(Fraction(slip + 1e-25) - true) <= abs(true) * Fraction(1, 10**10) or abs(true) > 1e-16
        moved += slip != 0
    assert moved > n // 3
    assert remainders([7.0, -6.0, 0.0], [2.0, 0.5, 3.0], 0.0)[3].tolist() == [0.0] * 3
