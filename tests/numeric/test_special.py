"""The primitives keep the error budgets that their module states, and their constants are what they claim."""

import math

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
        (8, lambda z: density(z) * (mpf(2) ** 256 if abs(z) > 20 else 1), 1.5),
    ],
    ids=["Phi", "phi", "centred_Phi", "gauss", "exp", "I_2", "I_1", "lifted_Phi", "lifted_phi"],
)
def test_error_budget(computed, row, definition, budget):
    # exp overflows past 709.78, where the definition in arbitrary precision does not
    points = POINTS if row != 4 else np.minimum(POINTS, 35.0)
    values = computed[row] if row != 4 else np.where(POINTS <= 35.0, computed[row], np.exp(700.0))
    assert worst(values, definition, points) <= budget


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
