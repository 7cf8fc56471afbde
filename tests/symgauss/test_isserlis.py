"""Partitions are counted, moments agree with exact truth, true formulas are proved and corrupted ones refuted."""

import pickle
import time
from fractions import Fraction
from itertools import permutations, product
from math import comb, prod

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sympy import Integer, Rational, sqrt

import symgauss as sg
from symgauss import S, c, m
from tests.symgauss.vectors import (
    at,
    by_involutions,
    covariance,
    involutions,
    is_positive_definite,
    matrix,
    moment,
    value,
    witness,
)

ALL_POWERS = [p for p in product(range(9), repeat=4) if sum(p) <= 8]
PATTERNS = [p for p in ALL_POWERS if list(p) == sorted(p, reverse=True)]

fractions = st.fractions(min_value=-3, max_value=3, max_denominator=4)


def double_factorial(n):
    return prod(range(n, 0, -2))


# The symbols


def test_the_symbols():
    assert [str(s) for s in (m[0], m[10], c[3], S[0, 1], S[9, 9], S[0, 10], S[10, 11])] == (
        ["m_0", "m_10", "c_3", "S_01", "S_99", "S_0_10", "S_10_11"]
    )
    assert S[2, 1] == S[1, 2] == sympy.Symbol("S_12", real=True)
    assert m[np.int64(2)] == m[2]
    assert (sg.m_x.is_real, sg.v_x.is_positive, m[0].is_real, m[0].is_positive) == (True, True, True, None)
    assert (repr(m), repr(c), repr(S)) == ("m", "c", "S")
    assert pickle.loads(pickle.dumps(S)) == S
    assert len({S[i, j] for i in range(30) for j in range(i, 30)}) == 30 * 31 // 2


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: m[-1], IndexError, "count from 0"),
        (lambda: m[0.5], TypeError, "indices of m are integers"),
        (lambda: S[0], TypeError, "two indices"),
        (lambda: S[0, 1, 2], TypeError, "two indices"),
        (lambda: S[0, -1], IndexError, "indices of S count from 0"),
        (lambda: list(m), TypeError, "not iterable"),
        (lambda: list(S), TypeError, "not iterable"),
    ],
)
def test_bad_indices(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


# Partitions


def test_the_numbers_of_partitions_are_those_of_involutions():
    assert [len(sg.isserlis_partitions(n)) for n in range(10)] == [1, 1, 2, 4, 10, 26, 76, 232, 764, 2620]


@pytest.mark.parametrize("n", range(6))
def test_pairings_are_counted_by_double_factorials(n):
    pairings = [p for p in sg.isserlis_partitions(2 * n) if all(len(block) == 2 for block in p)]
    assert len(pairings) == double_factorial(2 * n - 1)


@pytest.mark.parametrize("n", range(8))
def test_partitions_are_partitions_in_order(n):
    partitions = sg.isserlis_partitions(n)
    assert list(partitions) == sorted(set(partitions))
    for partition in partitions:
        assert sorted(i for block in partition for i in block) == list(range(n))
        assert list(partition) == sorted(partition)
        assert all(len(block) == 1 or (len(block) == 2 and block[0] < block[1]) for block in partition)
    of_involutions = {tuple((i, p[i])[: 1 + (i < p[i])] for i in range(n) if i <= p[i]) for p in involutions(n)}
    assert set(partitions) == of_involutions


def test_small_partitions():
    assert sg.isserlis_partitions(0) == ((),)
    assert sg.isserlis_partitions(2) == (((0,), (1,)), ((0, 1),))


# Moments


def over_partitions(powers):
    """The sum that Isserlis' theorem speaks of, with every variable repeated as its power says."""
    variables = [i for i, p in enumerate(powers) for _ in range(p)]
    total = Integer(0)
    for partition in sg.isserlis_partitions(len(variables)):
        blocks = [[variables[k] for k in block] for block in partition]
        total += sympy.Mul(*(m[b[0]] if len(b) == 1 else S[b[0], b[1]] for b in blocks))
    return total


@pytest.mark.parametrize("powers", [p for p in PATTERNS if sum(p) <= 6] + [(1,) * 6, (0, 2, 0, 1, 3)], ids=str)
def test_moments_are_sums_over_partitions(powers):
    assert sg.gaussian_moment(powers) == over_partitions(powers)


@pytest.mark.parametrize("powers", [*PATTERNS, (1,) * 7, (1,) * 8, (0, 2, 0, 1, 3)], ids=str)
def test_moments_agree_with_linear_maps_of_independent_variables(powers):
    d = len(powers)
    mean = [Fraction(2 * i + 1, i + 2) * (-1) ** i for i in range(d)]
    factor = [[Fraction((3 * i + 5 * k) % 7 - 3, 1 + k) for k in range(2)] for i in range(d)]  # singular for d > 2
    formula = sg.gaussian_moment(powers)
    assert formula == sympy.expand(formula)
    assert value(formula, at(mean, covariance(factor))) == moment(powers, mean, factor)
    if sum(powers):
        assert value(formula, at([a + 1 for a in mean], covariance(factor))) != moment(powers, mean, factor)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple),
    st.lists(fractions, min_size=3, max_size=3),
    st.lists(st.lists(fractions, min_size=2, max_size=2), min_size=3, max_size=3),
)
@settings(max_examples=40, deadline=None)
def test_random_moments(powers, mean, factor):
    mean, factor = mean[: len(powers)], factor[: len(powers)]
    assert value(sg.gaussian_moment(powers), at(mean, covariance(factor))) == moment(powers, mean, factor)


@pytest.mark.parametrize("n", [*range(9), 20, 40])
def test_moments_of_one_variable(n):
    terms = [
        comb(n, 2 * k) * double_factorial(2 * k - 1) * m[0] ** (n - 2 * k) * S[0, 0] ** k for k in range(n // 2 + 1)
    ]
    assert sg.gaussian_moment([n]) == sympy.Add(*terms)


def test_the_number_of_pairings_is_the_moment_of_a_standard_normal():
    vanish = {m[0]: 0, S[0, 0]: 1}
    assert [sg.gaussian_moment([n]).subs(vanish) for n in (2, 4, 6, 8, 10)] == [1, 3, 15, 105, 945]


def test_permuting_variables_permutes_the_symbols():
    powers = (3, 1, 2)
    for order in permutations(range(3)):
        renamed = {m[i]: m[order[i]] for i in range(3)}
        renamed |= {S[i, j]: S[order[i], order[j]] for i in range(3) for j in range(i, 3)}
        permuted = [powers[order.index(i)] for i in range(3)]
        assert sg.gaussian_moment(powers).xreplace(renamed) == sg.gaussian_moment(permuted)


def test_equal_variables():
    same = {m[1]: m[0], S[0, 1]: S[0, 0], S[1, 1]: S[0, 0]}
    assert sympy.expand(sg.gaussian_moment([2, 3]).xreplace(same)) == sg.gaussian_moment([5])


def test_independent_variables():
    apart = sg.gaussian_moment([2, 3]).subs(S[0, 1], 0)
    assert sympy.expand(apart - sg.gaussian_moment([2]) * sg.gaussian_moment([0, 3])) == 0


def test_derivatives_of_moments():
    formula = sg.gaussian_moment([3, 2])
    assert sympy.expand(formula.diff(m[0]) - 3 * sg.gaussian_moment([2, 2])) == 0
    assert sympy.expand(formula.diff(S[0, 1]) - 6 * sg.gaussian_moment([2, 1])) == 0
    assert sympy.expand(formula.diff(S[0, 0]) - 3 * sg.gaussian_moment([1, 2])) == 0


def test_high_orders_are_no_enumeration():
    start = time.perf_counter()
    formula = sg.gaussian_moment([20, 20])
    assert time.perf_counter() - start < 10
    one = Fraction(1)
    where = at([one / 2, -one], covariance([[one, 2 * one], [one / 3, -one]]))
    assert value(formula, where) == moment((20, 20), [one / 2, -one], [[one, 2 * one], [one / 3, -one]])


def test_powers_may_be_any_integers():
    assert sg.gaussian_moment(np.array([2, 1])) == sg.gaussian_moment((2, 1)) == sg.gaussian_moment(iter([2, 1]))
    assert sg.gaussian_moment([]) == sg.gaussian_moment([0, 0]) == 1
    assert sg.gaussian_moment([0, 0, 1]) == m[2]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: sg.gaussian_moment([1, -1]), ValueError, "every power must be at least 0, got -1"),
        (lambda: sg.gaussian_moment([1.5]), TypeError, "every power must be an integer"),
        (lambda: sg.gaussian_moment(3), TypeError, "sequence with one integer per variable"),
        (lambda: sg.gaussian_moment("21"), TypeError, "sequence with one integer per variable"),
        (lambda: sg.prove_moment([-2]), ValueError, "at least 0"),
        (lambda: sg.isserlis_partitions(-1), ValueError, "n must be at least 0"),
        (lambda: sg.isserlis_partitions(2.0), TypeError, "n must be an integer"),
        (lambda: sg.prove_moment([1], "m_0"), TypeError, "must be a SymPy expression"),
        (lambda: sg.prove_moment([1], m[1]), ValueError, "contains m_1"),
        (lambda: sg.prove_moment([1], sympy.Symbol("m_0")), ValueError, "contains m_0"),
        (lambda: sg.prove_moment([1, 1], sg.mu * S[0, 1]), ValueError, "contains mu"),
    ],
)
def test_bad_arguments(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


# Proofs


@pytest.mark.parametrize("powers", [*PATTERNS, (1,) * 8, (2, 1, 1, 1, 1, 1), (0, 3, 0, 1), ()], ids=str)
def test_moments_are_proved(powers):
    start = time.perf_counter()
    proof = sg.prove_moment(powers)
    assert proof.holds, str(proof)
    assert proof.formula == sg.gaussian_moment(powers)
    assert time.perf_counter() - start < 10


def swapped(formula, term):
    """One term with a covariance where a product of means was, or the other way round, or another index."""
    for symbol in sorted(term.free_symbols, key=str):
        i = int(str(symbol)[-1])
        yield formula - term + term.subs(symbol, S[i, i] if symbol == m[i] else m[i])
        yield formula - term + term.subs(symbol, m[0] if symbol != m[0] else m[1])


CORRUPTIONS = {
    "dropped": lambda f, t: [f - t],
    "sign": lambda f, t: [f - 2 * t],
    "factor": lambda f, t: [f + t],
    "third": lambda f, t: [f - t / 3],
    "a part in a billion": lambda f, t: [f + t / 10**9],
    "power": lambda f, t: [f - t + t * s for s in sorted(t.free_symbols, key=str)],
    "swap": swapped,
}


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize("powers", [(1, 1), (2, 1), (2, 2), (1, 1, 1, 1), (3, 2, 1)], ids=str)
def test_every_corrupted_term_is_refuted(powers, kind):
    formula = sg.gaussian_moment(powers)
    for term in sympy.Add.make_args(formula):
        for corrupted in CORRUPTIONS[kind](formula, term):
            if sympy.expand(corrupted - formula) != 0:
                assert_refuted(powers, corrupted)


def assert_refuted(powers, formula):
    """Refuted, and the witness is one: S positive definite, both values right, and different."""
    proof = sg.prove_moment(powers, formula)
    assert proof.status == "refuted", str(proof)
    assert not proof.holds
    point, claimed, true = witness(proof.steps[-1].reason)
    cov = matrix(point, len(powers))
    assert is_positive_definite(cov)
    mean = [point[str(m[i])] for i in range(len(powers))]
    assert value(formula, at(mean, cov)) == claimed != true
    variables = [i for i, p in enumerate(powers) for _ in range(p)]
    assert by_involutions([mean[i] for i in variables], [[cov[i][j] for j in variables] for i in variables]) == true


def test_the_check_of_witnesses_can_fail():
    with pytest.raises(AssertionError):
        assert_refuted((1, 1), S[0, 1] + m[0] * m[1])


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=3).filter(lambda p: sum(p) <= 6).map(tuple),
    st.data(),
    st.sampled_from([Rational(-2), Rational(-1), Rational(1), Rational(1, 7), Rational(1, 10**20)]),
)
@settings(max_examples=60, deadline=None)
def test_random_corruptions_are_refuted(powers, data, factor):
    formula = sg.gaussian_moment(powers)
    symbols = [m[i] for i in range(len(powers))] + [S[i, j] for i in range(len(powers)) for j in range(i, len(powers))]
    wrong = factor * sympy.Mul(*data.draw(st.lists(st.sampled_from(symbols), max_size=5)))
    assert_refuted(powers, formula + wrong)


@given(st.sampled_from([p for p in PATTERNS if 2 <= sum(p) <= 5]), st.data())
@settings(max_examples=40, deadline=None)
def test_substitutions_that_change_the_formula_are_refuted(powers, data):
    powers = tuple(p for p in powers if p)
    formula = sg.gaussian_moment(powers)
    symbols = sorted(formula.free_symbols, key=str)
    old, new = (data.draw(st.sampled_from(symbols)) for _ in range(2))
    corrupted = sympy.expand(formula.subs(old, new))
    assume(corrupted != formula)
    assert_refuted(powers, corrupted)


@pytest.mark.parametrize("powers", [(2, 1), (2, 2), (1, 1, 1)])
def test_moments_of_others_are_refuted(powers):
    for other in PATTERNS:
        if sum(other) <= 4 and len([p for p in other if p]) <= len(powers) and any(other):
            formula = sg.gaussian_moment(other)
            expected = "proved" if tuple(p for p in other if p) == powers else "refuted"
            assert sg.prove_moment(powers, formula).status == expected


def test_what_vanishes_at_many_points_is_refuted_still():
    nasty = prod(m[0] - k for k in range(-8, 9)) * prod(S[0, 0] - k for k in range(30))
    assert sg.prove_moment([2], sg.gaussian_moment([2]) + nasty).status == "refuted"


M21 = sg.gaussian_moment([2, 1])


@pytest.mark.parametrize(
    "claim",
    [
        m[1] * (m[0] ** 2 + S[0, 0]) + 2 * m[0] * S[0, 1],
        (m[0] + S[0, 1]) ** 2 * m[1] + M21 - sympy.expand((m[0] + S[0, 1]) ** 2 * m[1]),
        0.5 * m[1] * (2 * m[0] ** 2 + 2.0 * S[0, 0]) + 2 * m[0] * S[0, 1],
        sympy.expand(M21 * (1 + S[0, 0] ** 2)) / (1 + S[0, 0] ** 2),
        sympy.factor(M21),
    ],
)
def test_other_ways_to_write_a_moment_are_proved(claim):
    assert sg.prove_moment([2, 1], claim).holds


@pytest.mark.parametrize(
    "claim",
    [
        sqrt(S[0, 0] ** 2) * m[1] + m[0] ** 2 * m[1] + 2 * m[0] * S[0, 1],
        M21 + sympy.cos(m[0]) ** 2 + sympy.sin(m[0]) ** 2 - 1,
        sympy.expand(M21 * (S[0, 0] - S[1, 1])) / (S[0, 0] - S[1, 1]),
        sympy.Piecewise((M21, S[0, 0] > 0), (0, True)),
        M21 + sympy.Integral(m[0], (m[0], -1, 1)),
        M21 + sympy.pi / 10**60,
        sympy.nan,
    ],
)
def test_what_the_method_does_not_cover_is_unproved(claim):
    proof = sg.prove_moment([2, 1], claim)
    assert proof.status == "unproved", str(proof)
    assert not proof.holds


@pytest.mark.parametrize(
    "claim",
    [
        Integer(0),
        0.25,
        m[0] ** 2 * m[1],
        M21 + sqrt(S[0, 0]) / 1000,
        M21 + sympy.I,
        M21 / (1 + m[0] ** 2),
        M21 + 1 / (S[0, 1] - 1),
        sympy.Piecewise((M21, m[0] > 0), (0, True)),
        sympy.gamma(m[0] ** 2),
        M21 + sympy.pi / 10**12,
    ],
)
def test_wrong_formulas_of_any_kind_are_refuted(claim):
    proof = sg.prove_moment([2, 1], claim)
    assert proof.status == "refuted", str(proof)
    assert "the formula gives" in proof.steps[-1].reason


def test_variables_without_power_may_stand_in_a_claim():
    assert sg.prove_moment([0, 2], m[1] ** 2 + S[1, 1]).holds
    proof = sg.prove_moment([0, 2, 0], m[1] ** 2 + S[0, 1])
    assert proof.status == "refuted"
    assert "m_0 = " in proof.steps[-1].reason
    assert "m_2" not in proof.steps[-1].reason


def test_many_variables_of_which_few_occur():
    assert sg.prove_moment([0] * 60 + [2, 1]).holds


def test_the_text_of_a_proof():
    assert str(sg.prove_moment([2, 0, 1])).splitlines() == [
        "X_0**2 X_2: moment proved",
        "  form            a polynomial in m[i] and S[i, j]                  rational coefficients",
        "  coefficient     moment = ∂_0^2 ∂_2 exp(t·m + t·St/2) at t = 0     difference is 0",
    ]
    assert str(sg.prove_moment([])).startswith("1: moment proved")


def test_the_text_of_a_refutation():
    proof = sg.prove_moment([1, 1], m[0] * m[1])
    assert repr(proof) == "<Proof: X_0 X_1: moment refuted>"
    assert str(proof).endswith(
        "refuted: at m_0 = 1, m_1 = -1, S_00 = 1, S_01 = 1, S_11 = 2 the formula gives -1, the moment 0"
    )


def test_latex():
    text = sg.prove_moment([2] + [0] * 9 + [1])._repr_latex_()
    assert r"\mathrm{E}[X_{0}^{2} X_{10}] = S_{00} m_{10} + 2 S_{0 10} m_{0} + m_{0}^{2} m_{10}" in text
    assert r"\partial_{0}^{2} \partial_{10}\, e^{t \cdot m + \frac12 t \cdot S t}" in text
    assert text.count(r"\text{proved}") == 2


def test_wick():
    """Centred variables: the sum over pairings alone."""
    centred = sg.gaussian_moment((1,) * 6).subs({m[i]: 0 for i in range(6)})
    assert len(sympy.Add.make_args(centred)) == 15
