"""The master theorem against moments with g(x) = x^k, its proofs, and corrupted coefficients, which are refuted."""

import time
from fractions import Fraction
from itertools import permutations, product
from math import perm

import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sympy import Integer, Rational

import symgauss as sg
from symgauss import S, c, m, m_x, v_x
from tests.symgauss.vectors import (
    at_with_x,
    by_involutions,
    covariance,
    is_positive_definite,
    moment,
    value,
    witness,
)

PAPER, HERMITE = "paper", "hermite"
FORMS = {
    PAPER: (sg.master_coefficients, sg.prove_master_theorem),
    HERMITE: (sg.hermite_master_coefficients, sg.prove_hermite_master_theorem),
}

fractions = st.fractions(min_value=-2, max_value=2, max_denominator=3)


def numbers(size, rank=2):
    """A mean and a factor of the covariance of X, Y_0, Y_1, …"""
    mean = [Fraction((5 * i + 3) % 7 - 3, i % 3 + 1) for i in range(size)]
    return mean, [[Fraction((3 * i + 4 * k + 1) % 5 - 2, k + 1) for k in range(rank)] for i in range(size)]


def right_side(form, coefficients, where, k, mean, factor):
    """Σ α_j E[X^k X^j] or Σ β_j E (x^k)^(j) for numbers: moments of X, the first variable."""

    def of_x(power):
        return moment((power,), mean[:1], factor[:1])

    terms = (
        value(a, where) * (of_x(k + j) if form == PAPER else perm(k, j) * of_x(k - j) if j <= k else 0)
        for j, a in enumerate(coefficients)
    )
    return sum(terms, Fraction(0))


# Coefficients


def test_small_orders():
    assert sg.master_coefficients(0) == sg.hermite_master_coefficients(0) == (1,)
    assert sg.master_coefficients(1) == (m[0] - c[0] * m_x / v_x, c[0] / v_x)
    assert sg.hermite_master_coefficients(1) == (m[0], c[0])
    a0, a1, a2 = sg.master_coefficients(2)
    left, right = (m[i] - c[i] * m_x / v_x for i in range(2))
    assert a0 == left * right + S[0, 1] - c[0] * c[1] / v_x
    assert sympy.expand(a1 - (c[0] * right + c[1] * left) / v_x) == 0
    assert a2 == c[0] * c[1] / v_x**2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", range(6))
def test_the_theorem_for_powers(form, n):
    mean, factor = numbers(n + 1)
    where = at_with_x(mean, covariance(factor))
    coefficients = FORMS[form][0](n)
    assert len(coefficients) == n + 1
    for k in range(5):
        left = moment((k, *(1,) * n), mean, factor)
        assert right_side(form, coefficients, where, k, mean, factor) == left
        if n:
            wrong = [coefficients[0] + 1, *coefficients[1:]]
            assert right_side(form, wrong, where, k, mean, factor) != left or moment((k,), mean, factor) == 0


@given(
    st.sampled_from(list(FORMS)),
    st.integers(0, 3),
    st.integers(0, 3),
    st.lists(fractions, min_size=4, max_size=4),
    st.lists(st.lists(fractions, min_size=2, max_size=2), min_size=4, max_size=4),
)
@settings(max_examples=50, deadline=None)
def test_the_theorem_at_random(form, n, k, mean, factor):
    mean, factor = mean[: n + 1], factor[: n + 1]
    assume(form == HERMITE or any(factor[0]))
    where = at_with_x(mean, covariance(factor))
    left = moment((k, *(1,) * n), mean, factor)
    assert right_side(form, FORMS[form][0](n), where, k, mean, factor) == left


@pytest.mark.parametrize("n", range(5))
def test_the_hermite_form_when_x_is_a_number(n):
    mean, factor = numbers(n + 1)
    factor[0] = [Fraction(0)] * 2
    where = at_with_x(mean, covariance(factor))
    coefficients = sg.hermite_master_coefficients(n)
    for k in range(4):
        left = mean[0] ** k * moment((1,) * n, mean[1:], factor[1:])
        assert right_side(HERMITE, coefficients, where, k, mean, factor) == left


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("powers", [(2,), (3,), (2, 1), (2, 2), (1, 3)], ids=str)
def test_repeated_variables(form, powers):
    variables = [i for i, p in enumerate(powers) for _ in range(p)]
    n = len(variables)
    same = {m[a]: m[i] for a, i in enumerate(variables)} | {c[a]: c[i] for a, i in enumerate(variables)}
    same |= {S[a, b]: S[variables[a], variables[b]] for a, b in product(range(n), repeat=2)}
    mean, factor = numbers(len(powers) + 1)
    where = at_with_x(mean, covariance(factor))
    coefficients = [a.xreplace(same) for a in FORMS[form][0](n)]
    for k in range(4):
        assert right_side(form, coefficients, where, k, mean, factor) == moment((k, *powers), mean, factor)


@pytest.mark.parametrize("form", FORMS)
def test_coefficients_are_symmetric_in_the_variables(form):
    for order in permutations(range(3)):
        renamed = {m[i]: m[order[i]] for i in range(3)} | {c[i]: c[order[i]] for i in range(3)}
        renamed |= {S[i, j]: S[order[i], order[j]] for i in range(3) for j in range(i, 3)}
        for a in FORMS[form][0](3):
            assert sympy.expand(a.xreplace(renamed) - a) == 0


@pytest.mark.parametrize("n", range(7))
def test_the_hermite_form_is_moments_times_covariances(n):
    beta = sg.hermite_master_coefficients(n)
    assert beta[0] == sg.gaussian_moment((1,) * n)
    assert beta[n] == sympy.Mul(*(c[i] for i in range(n)))
    assert all(b == sympy.expand(b) for b in beta)
    assert not {v_x, m_x} & set().union(*(b.free_symbols for b in beta))
    shifted = sg.gaussian_moment((1,) * n).xreplace({m[i]: m[i] + m_x * c[i] for i in range(n)})
    assert sympy.expand(shifted - sum(b * m_x**k for k, b in enumerate(beta))) == 0


def test_uncorrelated_variables_leave_one_coefficient():
    apart = {c[i]: 0 for i in range(4)}
    for coefficients in (sg.master_coefficients(4), sg.hermite_master_coefficients(4)):
        assert [sympy.expand(a.subs(apart)) for a in coefficients] == [sg.gaussian_moment((1,) * 4), 0, 0, 0, 0]


def test_the_two_forms_are_one_theorem():
    """For y = x: E[g(X) X^n], Stein's identity n times."""
    same = {m[i]: m_x for i in range(3)} | {c[i]: v_x for i in range(3)}
    same |= {S[i, j]: v_x for i in range(3) for j in range(i, 3)}
    assert [sympy.expand(a.xreplace(same)) for a in sg.master_coefficients(3)] == [0, 0, 0, 1]
    assert [sympy.expand(b.xreplace(same)) for b in sg.hermite_master_coefficients(3)] == (
        [m_x**3 + 3 * m_x * v_x, 3 * m_x**2 * v_x + 3 * v_x**2, 3 * m_x * v_x**2, v_x**3]
    )


# Proofs


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", range(7))
def test_the_theorem_is_proved(form, n):
    coefficients, prove = FORMS[form]
    start = time.perf_counter()
    proof = prove(n)
    assert proof.holds, str(proof)
    assert proof.formula == coefficients(n)
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    "write",
    [
        sympy.expand,
        sympy.together,
        sympy.factor,
        lambda a: sympy.together(a).subs(v_x, 1 / (1 / v_x)),
        lambda a: sympy.cancel(a * (1 + v_x)) / (1 + v_x),
        lambda a: a * 1.0,
        lambda a: a.xreplace({v_x: sympy.Abs(v_x)}),
    ],
)
def test_other_ways_to_write_the_coefficients_are_proved(write):
    assert sg.prove_master_theorem(3, [write(a) for a in sg.master_coefficients(3)]).holds


def test_any_number_of_coefficients_may_be_offered():
    assert sg.prove_master_theorem(2, [*sg.master_coefficients(2), 0, 0]).holds
    assert sg.prove_hermite_master_theorem(2, (b for b in (*sg.hermite_master_coefficients(2), 0.0))).holds
    assert sg.prove_master_theorem(2, [*sg.master_coefficients(2), v_x]).status == "refuted"
    assert sg.prove_master_theorem(0, []).status == "refuted"


def assert_refuted(form, n, coefficients):
    """Refuted, and the witness is one: covariance positive definite, both values right, and different."""
    proof = FORMS[form][1](n, coefficients)
    assert proof.status == "refuted", str(proof)
    assert not proof.holds
    point, claimed, true = witness(proof.steps[-1].reason)
    cov = [[point["v_x"], *(point[str(c[i])] for i in range(n))]]
    cov += [[point[str(c[i])], *(point[str(S[i, j])] for j in range(n))] for i in range(n)]
    assert is_positive_definite(cov)
    mean, t = [point["m_x"], *(point[str(m[i])] for i in range(n))], point["t"]
    # With g(x) = e^{tx}/E e^{tX} as a weight, all means move by t times the covariance with X.
    moved = [a + t * b for a, b in zip(mean, cov[0])]
    assert by_involutions(moved[1:], [row[1:] for row in cov[1:]]) == true
    where = at_with_x(mean, cov)
    powers = [by_involutions([moved[0]] * k, [[cov[0][0]] * k] * k) if form == PAPER else t**k for k in range(9)]
    assert sum(value(a, where) * p for a, p in zip(coefficients, powers)) == claimed != true


@pytest.mark.parametrize("form", FORMS)
def test_the_check_of_witnesses_can_fail(form):
    with pytest.raises(AssertionError):
        assert_refuted(form, 2, FORMS[form][0](2))


def replaced(old):
    """The coefficients with symbols exchanged for others."""
    return lambda a: [b.xreplace(old) for b in a]


PAIRS = [(i, j) for j in range(4) for i in range(j)]
SPOILED = {
    "those of n − 1": lambda a: sg.master_coefficients(len(a) - 2),
    "those of n − 2": lambda a: sg.master_coefficients(len(a) - 3),
    "the mean of X forgotten": replaced({m_x: Integer(0)}),
    "the variance of X forgotten": replaced({v_x: Integer(1)}),
    "independent residuals": replaced({S[i, j]: c[i] * c[j] / v_x for i, j in PAIRS}),
    "covariances for those of the residuals": replaced({S[i, j]: S[i, j] + c[i] * c[j] / v_x for i, j in PAIRS}),
    "reversed": lambda a: a[::-1],
    "two exchanged": lambda a: [*a[:-2], a[-1], a[-2]],
    "the Hermite form's": lambda a: sg.hermite_master_coefficients(len(a) - 1),
    "one dropped": lambda a: a[:-1],
    "a sign": lambda a: [-a[0], *a[1:]],
    "a factor": lambda a: [*a[:-1], a[-1] * v_x],
    "another variable": replaced({c[1]: c[0]}),
    "another covariance": replaced({S[0, 1]: S[0, 0]}),
    "a sum": lambda a: [sum(a), *a[1:]],
    "nothing": lambda _: [],
}


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize("n", [2, 3, 4])
def test_spoiled_coefficients_are_refuted(kind, n):
    assert_refuted(PAPER, n, SPOILED[kind](sg.master_coefficients(n)))


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_the_paper_s_coefficients_are_not_those_of_the_hermite_form(n):
    proof = sg.prove_hermite_master_theorem(n, sg.master_coefficients(n))
    assert proof.status == "refuted"
    assert "not of this form" in proof.steps[0].reason


def test_large_orders_are_refuted_too():
    for form, (coefficients, _) in FORMS.items():
        a = list(coefficients(6))
        a[3] -= sympy.Add.make_args(a[3])[0]
        assert_refuted(form, 6, a)


@given(
    st.sampled_from(list(FORMS)),
    st.integers(1, 4),
    st.sampled_from([Rational(-2), Rational(-1), Rational(-1, 2), Rational(1), Rational(1, 10**15)]),
    st.data(),
)
@settings(max_examples=80, deadline=None)
def test_random_factors_of_terms_are_refuted(form, n, factor, data):
    a = list(FORMS[form][0](n))
    k = data.draw(st.integers(0, n))
    written = data.draw(st.sampled_from([a[k], sympy.expand(a[k])]))
    a[k] += factor * data.draw(st.sampled_from(sympy.Add.make_args(written)))
    assert_refuted(form, n, a)


@given(st.sampled_from(list(FORMS)), st.integers(2, 4), st.data())
@settings(max_examples=80, deadline=None)
def test_random_exchanges_of_symbols_are_refuted(form, n, data):
    a = list(FORMS[form][0](n))
    k = data.draw(st.integers(0, n))
    terms = list(sympy.Add.make_args(a[k]))
    i = data.draw(st.integers(0, len(terms) - 1))
    symbols = [m_x, v_x, *(m[i] for i in range(n)), *(c[i] for i in range(n)), *(S[i, i + 1] for i in range(n - 1))]
    old = data.draw(st.sampled_from(sorted(terms[i].free_symbols, key=str)))
    terms[i] = terms[i].subs(old, data.draw(st.sampled_from(symbols)))
    spoiled = [*a[:k], sympy.Add(*terms), *a[k + 1 :]]
    assume(sympy.expand(spoiled[k] - a[k]) != 0)
    if form == HERMITE or v_x not in (old, *terms[i].free_symbols):
        assert FORMS[form][1](n, spoiled).status == "refuted"
    assert_refuted(form, n, spoiled)


def test_what_the_method_does_not_cover_is_unproved():
    a0, a1 = sg.master_coefficients(1)
    assert sg.prove_master_theorem(1, [a0, a1 + sympy.pi / 10**60]).status == "unproved"
    odd = sympy.expand(a1 * (m[0] - m_x)) / (m[0] - m_x)
    assert sg.prove_master_theorem(1, [a0, odd]).status == "unproved"
    assert sg.prove_hermite_master_theorem(1, [m[0], sympy.sqrt(c[0] ** 2) * sympy.sign(c[0])]).status == "unproved"


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: sg.master_coefficients(-1), ValueError, "n must be at least 0"),
        (lambda: sg.hermite_master_coefficients(1.0), TypeError, "n must be an integer"),
        (lambda: sg.prove_master_theorem("2"), TypeError, "n must be an integer"),
        (lambda: sg.prove_master_theorem(1, m[0]), TypeError, "sequence of expressions"),
        (lambda: sg.prove_hermite_master_theorem(1, "m_0"), TypeError, "sequence of expressions"),
        (lambda: sg.prove_hermite_master_theorem(1, ["m_0"]), TypeError, "must be a SymPy expression"),
        (lambda: sg.prove_master_theorem(1, [m[0], c[1] / v_x]), ValueError, "contains c_1"),
        (lambda: sg.prove_master_theorem(1, [m[0], sympy.Symbol("t")]), ValueError, "contains t"),
    ],
)
def test_bad_arguments(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


def test_the_text_of_a_proof():
    assert str(sg.prove_master_theorem(2)).splitlines() == [
        "master theorem of order 2 proved",
        "  form            polynomials in m, c, S, m_x, v_x and 1/v_x     rational coefficients",
        "  g = exp(t x)    Σ α_k ∂_t^k e^K = e^K E Π(Y_i + t c_i)         difference is 0, with K = m_x t + v_x t²/2",
    ]
    assert str(sg.prove_hermite_master_theorem(2)).splitlines() == [
        "Hermite master theorem of order 2 proved",
        "  form            polynomials in m, c, S, m_x and v_x      rational coefficients",
        "  g = exp(t x)    Σ β_k t^k e^K = e^K E Π(Y_i + t c_i)     difference is 0, with K = m_x t + v_x t²/2",
    ]


def test_the_text_of_a_refutation():
    proof = sg.prove_hermite_master_theorem(1, [m[0], Integer(0)])
    assert repr(proof) == "<Proof: Hermite master theorem of order 1 refuted>"
    assert proof.steps[-1].reason == (
        "at m_x = 1, v_x = 1, m_0 = -1, c_0 = 1, S_00 = 2, t = 2 the formula gives -1, the expectation 1"
    )


def test_latex():
    text = sg.prove_master_theorem(2)._repr_latex_()
    assert r"\mathrm{E}[g(X) Y_{0} Y_{1}] = \sum_k \alpha_k \mathrm{E}[g(X) X^k]" in text
    assert text.count(r"\text{proved}") == 2
    assert r"= \sum_k \beta_k \mathrm{E} g^{(k)}(X)" in sg.prove_hermite_master_theorem(0)._repr_latex_()
