"""Stein's identity for vectors and neurons: proofs, numbers from the definition; wrong formulas are refuted."""

import math
from fractions import Fraction
from functools import reduce
from itertools import combinations, product

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sympy import Rational

import symgauss as sg
from symgauss import S, g, kappa, m, nu, v, w
from tests.symgauss.vectors import (
    affine,
    at,
    by_involutions,
    covariance,
    expectation,
    is_positive_definite,
    matrix,
    moment,
    times,
    value,
    witness,
)

NEURON, GATED = sg.neuron_expectations(), sg.neuron_expectations(gated=True)


# Stein's identity for a vector


def test_small_orders():
    assert sg.stein_coefficients(0) == (1,)
    assert sg.stein_coefficients(1) == (m[0], 1)
    assert sg.stein_coefficients(2) == (S[0, 1] + m[0] * m[1], m[1], m[0], 1)
    assert sg.stein_coefficients(3)[4:] == (m[2], m[1], m[0], 1)


@pytest.mark.parametrize("n", range(6))
def test_stein_s_identity_is_proved(n):
    proof = sg.prove_stein(n)
    assert proof.holds, str(proof)
    assert proof.formula == sg.stein_coefficients(n)


@pytest.mark.parametrize("n", range(5))
def test_along_one_direction_it_is_the_hermite_master_theorem(n):
    """For f = g(w·x), (S ∇)_i takes out one derivative of g and c_i."""
    coefficients = iter(sg.stein_coefficients(n))
    beta = [sympy.Integer(0)] * (n + 1)
    for k in range(n + 1):
        for chosen in combinations(range(n), k):
            beta[k] += next(coefficients) * sympy.Mul(*(sg.c[i] for i in chosen))
    assert tuple(map(sympy.expand, beta)) == sg.hermite_master_coefficients(n)


def derivative(powers, i):
    """∂_i x^powers as {powers: coefficient}."""
    return {(*powers[:i], powers[i] - 1, *powers[i + 1 :]): powers[i]} if powers[i] else {}


@pytest.mark.parametrize("powers", [(0, 0), (1, 0), (2, 1), (3, 2)], ids=str)
@pytest.mark.parametrize("rank", [1, 2])
def test_the_identity_for_monomials(powers, rank):
    """f = x_0^a x_1^b, with e, G and H by differentiating it and a covariance that is singular if the rank is 1."""
    mean, factor = (
        [Fraction(2, 3), Fraction(-1, 2)],
        [[Fraction(1), Fraction(3)][:rank], [Fraction(-2), Fraction(1)][:rank]],
    )
    cov = covariance(factor)

    def mean_of(polynomial):
        return sum((c * moment(p, mean, factor) for p, c in polynomial.items()), Fraction(0))

    gradient = [mean_of(derivative(powers, i)) for i in range(2)]
    hessian = [[Fraction(0)] * 2 for _ in range(2)]
    for i, j in product(range(2), repeat=2):
        for lower, c in derivative(powers, j).items():
            hessian[i][j] += c * mean_of(derivative(lower, i))
    SG = [sum(cov[i][k] * gradient[k] for k in range(2)) for i in range(2)]
    SHS = sum(cov[0][k] * hessian[k][j] * cov[j][1] for k, j in product(range(2), repeat=2))
    a, b = powers
    coefficients = [value(c, at(mean, cov)) for c in sg.stein_coefficients(2)]
    found = sum(map(Fraction.__mul__, coefficients, [mean_of({powers: 1}), *SG, SHS]))
    assert found == moment((a + 1, b + 1), mean, factor)
    assert found != moment((a + 1, b + 2), mean, factor)


def assert_stein_refuted(n, coefficients):
    """Refuted, and the witness is one: covariance positive definite, both values right, and different."""
    proof = sg.prove_stein(n, coefficients)
    assert proof.status == "refuted", str(proof)
    point, claimed, true = witness(proof.steps[-1].reason)
    mean, moved = [point[f"m_{i}"] for i in range(n)], [point[f"a_{i}"] for i in range(n)]
    cov = matrix(point, n)
    assert is_positive_definite(cov)
    assert by_involutions([a + b for a, b in zip(mean, moved)], cov) == true
    sets = [chosen for k in range(n + 1) for chosen in combinations(range(n), k)]
    terms = [value(c, at(mean, cov)) * math.prod(moved[i] for i in chosen) for c, chosen in zip(coefficients, sets)]
    assert sum(terms) == claimed != true


def test_the_check_of_witnesses_can_fail():
    with pytest.raises(AssertionError):
        assert_stein_refuted(2, sg.stein_coefficients(2))


@pytest.mark.parametrize(
    ("which", "wrong"),
    [
        (0, m[0] * m[1]),
        (0, S[0, 1]),
        (0, S[0, 0] + m[0] * m[1]),
        (0, S[0, 1] - m[0] * m[1]),
        (1, m[0]),
        (1, 0),
        (2, 2 * m[0]),
        (3, Rational(1, 2)),
        (3, 2),
        (3, S[0, 1]),
        (3, 1 + Rational(1, 10**15)),
    ],
)
def test_wrong_coefficients_are_refuted(which, wrong):
    coefficients = list(sg.stein_coefficients(2))
    coefficients[which] = sympy.sympify(wrong)
    assert_stein_refuted(2, coefficients)


# The expectations of neurons


def test_the_expectations():
    assert sg.neuron_expectations() == (g[0], g[1] * w[0], g[2] * w[0] * w[1])
    e, gradient, hessian = GATED
    assert sympy.expand(e - (nu * g[0] + kappa * g[1])) == 0
    assert sympy.expand(gradient - ((nu * g[1] + kappa * g[2]) * w[0] + g[0] * v[0])) == 0
    crossed = g[1] * (w[0] * v[1] + w[1] * v[0])
    assert sympy.expand(hessian - ((nu * g[2] + kappa * g[3]) * w[0] * w[1] + crossed)) == 0


@pytest.mark.parametrize("gated", [False, True])
def test_the_expectations_are_proved(gated):
    proof = sg.prove_neuron_expectations(gated)
    assert proof.holds, str(proof)
    assert proof.formula == sg.neuron_expectations(gated)
    assert [step.name for step in proof.steps] == ["form", "E f", "E f x_0", "E f x_0 x_1"]


def test_a_gate_of_a_constant_is_a_neuron():
    constant = {nu: 1, kappa: 0, v[0]: 0, v[1]: 0}
    assert tuple(sympy.expand(formula.xreplace(constant)) for formula in GATED) == NEURON


@pytest.mark.parametrize("write", [sympy.expand, sympy.factor, lambda a: a * 1.0, lambda a: (a * m[0] / 3) * 3 / m[0]])
def test_other_ways_to_write_them_are_proved(write):
    assert sg.prove_neuron_expectations(True, (write(formula) for formula in GATED)).holds


# Numbers: integrals over the standard normals of which y, u, x_0 and x_1 are made

KINK = -0.375  # where y = 0.3 + 0.8 Z_0 vanishes


def rule(dim):
    """Nodes (n, dim) and weights (n,): panels in Z_0, and Gauss-Hermite in the others, exact for degrees ≤ 7."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.concatenate([np.linspace(-12, KINK, 25), np.linspace(KINK, 12, 25)[1:]])
    halves = np.diff(edges)[:, None] / 2
    z = ((edges[:-1] + edges[1:])[:, None] / 2 + halves * nodes).ravel()
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    axes, factors = [z], [(halves * weights).ravel() * density]
    for _ in range(dim - 1):
        nodes, weights = np.polynomial.hermite_e.hermegauss(4)
        axes.append(nodes)
        factors.append(weights / np.sqrt(2 * np.pi))
    grid = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=-1)
    return grid, reduce(np.multiply.outer, factors).ravel()


y = sympy.Symbol("y")
SMOOTH = {"tanh": sympy.tanh(y), "sin": sympy.sin(2 * y + 1), "gaussian": sympy.exp(-(y**2)) * y}

# rows: y, u, x_0, x_1 in Z_0, Z_1, …
FACTORS = {
    "regular": [[0.8, 0, 0, 0], [0.5, 1.1, 0, 0], [-0.7, 0.4, 0.6, 0], [0.3, -0.9, 0.2, 0.5]],
    "of rank 2": [[0.8, 0], [0.5, 1.1], [-0.7, 0.4], [0.3, -0.9]],
    "u a multiple of y": [[0.8, 0, 0], [-1.6, 0, 0], [-0.7, 0.4, 0.3], [0.3, -0.9, 0.2]],
    "x_0 = x_1": [[0.8, 0, 0], [0.5, 1.1, 0], [-0.7, 0.4, 0.6], [-0.7, 0.4, 0.6]],
    "all multiples of y": [[0.8], [0.5], [-0.7], [0.3]],
    "y constant": [[0, 0, 0], [0.5, 1.1, 0], [-0.7, 0.4, 0.6], [0.3, -0.9, 0.2]],
    "u and x constant": [[0.8], [0.0], [0.0], [0.0]],
}
MEANS = np.array([0.3, -0.6, 0.4, 1.2])


def derivatives_of(name, std):
    """E σ^(k)(y), k = 0, …, 3, from the definition; of ReLU from its Hermite coefficients, arbitrary where std = 0."""
    z, weights = rule(1)
    z = z[:, 0]
    if name == "relu":
        if std == 0:
            return [MEANS[0], 7.0, -5.0, 3.0]
        values = weights * np.maximum(MEANS[0] + std * z, 0.0)
        return [np.polynomial.hermite_e.hermeval(z, [0] * k + [1]) @ values / std**k for k in range(4)]
    return [weights @ sympy.lambdify(y, SMOOTH[name].diff(y, k))(MEANS[0] + std * z) for k in range(4)]


def by_formulas(formulas, name, factor):
    """E f, E[f x_0], E[f x_0 x_1] from formulas for e, G and H."""
    factor = np.array(factor, dtype=float)
    cov = factor @ factor.T
    numbers = dict(zip((g[k] for k in range(4)), derivatives_of(name, factor[0, 0])))
    numbers |= {nu: MEANS[1], kappa: cov[0, 1]}
    numbers |= {w[i]: cov[0, 2 + i] for i in range(2)} | {v[i]: cov[1, 2 + i] for i in range(2)}
    e, gradient, hessian = formulas
    other = gradient.xreplace({w[0]: w[1], v[0]: v[1]})
    stein = {m[0]: MEANS[2], m[1]: MEANS[3], S[0, 1]: cov[2, 3]}
    parts = [float(formula.xreplace(numbers)) for formula in (e, gradient, other, hessian)]
    one, two = ([float(c.xreplace(stein)) for c in sg.stein_coefficients(n)] for n in (1, 2))
    return np.array([parts[0], np.dot(one, parts[:2]), np.dot(two, parts)])


def by_integration(gated, name, factor):
    factor = np.array(factor, dtype=float)
    z, weights = rule(factor.shape[1])
    a, u, x_0, x_1 = (MEANS + z @ factor.T).T
    f = weights * (np.maximum(a, 0.0) if name == "relu" else sympy.lambdify(y, SMOOTH[name])(a))
    if gated:
        f = f * u
    return np.array([f.sum(), f @ x_0, f @ (x_0 * x_1)])


@pytest.mark.parametrize("kind", FACTORS)
@pytest.mark.parametrize("name", [*SMOOTH, "relu"])
@pytest.mark.parametrize("gated", [False, True])
def test_numbers(gated, name, kind):
    truth = by_integration(gated, name, FACTORS[kind])
    found = by_formulas(sg.neuron_expectations(gated), name, FACTORS[kind])
    assert np.abs(found - truth).max() < 1e-12


def test_the_numbers_tell_wrong_formulas():
    e, gradient, hessian = GATED
    truth = by_integration(True, "tanh", FACTORS["regular"])
    for wrong in (
        (e - kappa * g[1], gradient, hessian),
        (e, gradient.xreplace({g[2]: g[1]}), hessian),
        (e, gradient, hessian.xreplace({g[3]: g[2]})),
        (e, gradient, hessian - g[1] * v[0] * w[1]),
    ):
        assert np.abs(by_formulas(wrong, "tanh", FACTORS["regular"]) - truth).max() > 1e-3


# Wrong formulas


def from_definition(gated, point):
    """E f, E[f x_0], E[f x_0 x_1] at a witness: x ~ N(m, I), and σ the polynomial with the derivatives g_k of it."""
    weights = [point["w_0"], point["w_1"], Fraction(1)]
    x = [affine(point[f"m_{i}"], [Fraction(int(i == j)) for j in range(3)]) for i in range(2)]
    deviation = affine(Fraction(0), weights)
    variance = sum(a * a for a in weights)
    # H_k(t; s²), and Σ g_k H_k/k!
    hermite = [affine(Fraction(1), [Fraction(0)] * 3), deviation]
    for k in range(1, 3):
        last = {p: -k * variance * c for p, c in hermite[k - 1].items()}
        hermite.append(plus(times(deviation, hermite[k]), last))
    f: dict = {}
    for k in range(4 if gated else 3):
        f = plus(f, {p: point[f"g_{k}"] * c / math.factorial(k) for p, c in hermite[k].items()})
    if gated:
        others = [point["v_0"], point["v_1"]]
        last = point["kappa"] - sum(a * b for a, b in zip(weights, others))
        f = times(f, affine(point["nu"], [*others, last]))
    return expectation(f), expectation(times(f, x[0])), expectation(times(times(f, x[0]), x[1]))


def plus(left, right):
    return {p: left.get(p, Fraction(0)) + right.get(p, Fraction(0)) for p in left.keys() | right.keys()}


def assert_refuted(gated, expectations):
    """Refuted, and every witness is one: what is true there follows from moments, what is claimed from S = I."""
    expectations = [sympy.sympify(formula) for formula in expectations]
    proof = sg.prove_neuron_expectations(gated, expectations)
    assert proof.status == "refuted", str(proof)
    for which, step in enumerate(proof.steps[1:]):
        if step.status != "refuted":
            continue
        point, claimed, true = witness(step.reason)
        assert point["S_01"] == 0
        where = {sympy.Symbol(name, real=True): Rational(a.numerator, a.denominator) for name, a in point.items()}
        e, first, hessian = (value(formula, where) for formula in expectations)
        second = value(expectations[1].xreplace({w[0]: w[1], v[0]: v[1]}), where)
        a, b = point["m_0"], point["m_1"]
        assert [e, a * e + first, a * b * e + b * first + a * second + hessian][which] == claimed
        assert from_definition(gated, point)[which] == true != claimed
    return proof


def test_the_check_of_neurons_witnesses_can_fail():
    with pytest.raises(AssertionError):
        assert_refuted(True, GATED)


def spoiled(which, change):
    formulas = list(map(sympy.expand, GATED))
    formulas[which] = change(formulas[which])
    return formulas


def without(*factors):
    """A formula without its one term with these symbols."""

    def change(formula):
        (term,) = (t for t in formula.args if set(factors) <= t.free_symbols)
        return formula - term

    return change


IMPOSTORS = {
    "no covariance in e": spoiled(0, without(kappa)),
    "no mean in e": spoiled(0, without(nu)),
    "e of another order": spoiled(0, lambda e: e.xreplace({g[1]: g[2]})),
    "the gate alone": spoiled(0, lambda _: g[0]),
    "no gradient of u": spoiled(1, without(v[0])),
    "g_1 for g_2": spoiled(1, lambda a: a.xreplace({g[2]: g[1]})),
    "w and v exchanged in G": spoiled(1, lambda a: a.xreplace({w[0]: v[0], v[0]: w[0]})),
    "nu and kappa exchanged": spoiled(1, lambda a: a.xreplace({nu: kappa, kappa: nu})),
    "g_2 for g_3": spoiled(2, lambda a: a.xreplace({g[3]: g[2]})),
    "half the Hessian": spoiled(2, lambda a: a / 2),
    "half the product": spoiled(2, lambda a: a - g[1] * (w[0] * v[1] + v[0] * w[1]) / 2),
    "one side of the product": spoiled(2, without(v[0])),
    "one side, twice": spoiled(2, lambda a: a + g[1] * (w[0] * v[1] - v[0] * w[1])),
    "no product": spoiled(2, lambda a: without(v[1])(without(v[0])(a))),
    "no g_3": spoiled(2, without(g[3])),
    "w and v exchanged in H": spoiled(2, lambda a: a.xreplace({w[0]: v[0], w[1]: v[1], v[0]: w[0], v[1]: w[1]})),
    "v vᵀ": spoiled(2, lambda a: a + g[0] * v[0] * v[1]),
    "a square for a product of expectations": spoiled(2, lambda a: a.xreplace({g[2]: g[1] ** 2})),
    "not linear in w": spoiled(1, lambda a: a.xreplace({w[0]: w[0] ** 2})),
    "nothing": [0, 0, 0],
}


@pytest.mark.parametrize("kind", IMPOSTORS)
def test_impostors_are_refuted(kind):
    assert_refuted(True, IMPOSTORS[kind])


@pytest.mark.parametrize(
    "wrong",
    [
        (g[1], g[1] * w[0], g[2] * w[0] * w[1]),
        (g[0], g[0] * w[0], g[2] * w[0] * w[1]),
        (g[0], -g[1] * w[0], g[2] * w[0] * w[1]),
        (g[0], g[1] * w[0], g[2] * w[0] * w[1] / 2),
        (g[0], g[1] * w[0], g[1] * w[0] * w[1]),
        (g[0], g[1] * w[0], g[2] * w[0] ** 2),
        (g[0], g[1] * w[0], g[2] * w[0]),
    ],
    ids=str,
)
def test_impostors_of_a_neuron_are_refuted(wrong):
    assert_refuted(False, wrong)


def test_what_agrees_for_every_exponential_is_refuted():
    """g_k = t^k there, but σ is not."""
    assert_refuted(True, spoiled(2, lambda a: a + (g[1] ** 2 - g[0] * g[2]) * w[0] * w[1]))
    assert_refuted(False, (g[0], g[1] * w[0], g[1] ** 2 * w[0] * w[1]))
    proof = assert_refuted(False, (g[0], g[1] * w[0], g[1] ** 2 / g[0] * w[0] * w[1]))
    assert proof.steps[0].status == "unproved"
    assert proof.steps[0].reason == "1/g_0 is not of this form"


def test_only_what_is_wrong_is_refuted():
    proof = assert_refuted(True, IMPOSTORS["g_2 for g_3"])
    assert [step.status for step in proof.steps] == ["proved", "proved", "proved", "refuted"]
    proof = assert_refuted(True, IMPOSTORS["g_1 for g_2"])
    assert [step.status for step in proof.steps] == ["proved", "proved", "refuted", "refuted"]


@given(st.booleans(), st.integers(0, 2), st.sampled_from([-2, -1, Rational(-1, 2), 1, Rational(1, 10**15)]), st.data())
@settings(max_examples=60, deadline=None)
def test_random_factors_of_terms_are_refuted(gated, which, factor, data):
    formulas = list(map(sympy.expand, sg.neuron_expectations(gated)))
    formulas[which] += factor * data.draw(st.sampled_from(sympy.Add.make_args(formulas[which])))
    assert_refuted(gated, formulas)


@given(st.integers(0, 2), st.data())
@settings(max_examples=60, deadline=None)
def test_random_exchanges_of_symbols_are_refuted(which, data):
    formulas = list(map(sympy.expand, GATED))
    terms = list(formulas[which].args)
    i = data.draw(st.integers(0, len(terms) - 1))
    allowed = [*(g[k] for k in range(4)), nu, kappa, *([], [w[0], v[0]], [w[0], v[0], w[1], v[1]])[which]]
    old = data.draw(st.sampled_from(sorted(terms[i].free_symbols, key=str)))
    terms[i] = terms[i].xreplace({old: data.draw(st.sampled_from(allowed))})
    wrong = sympy.Add(*terms)
    assume(wrong != formulas[which])
    formulas[which] = wrong
    assert_refuted(True, formulas)


def test_what_the_method_does_not_cover_is_unproved():
    e, gradient, hessian = GATED
    assert sg.prove_neuron_expectations(True, [e + sympy.pi / 10**60, gradient, hessian]).status == "unproved"
    odd = sympy.sqrt(w[0] ** 2) * sympy.sign(w[0])
    assert sg.prove_neuron_expectations(False, [g[0], g[1] * odd, g[2] * w[0] * w[1]]).status == "unproved"


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: sg.stein_coefficients(-1), ValueError, "n must be at least 0"),
        (lambda: sg.prove_stein(1.5), TypeError, "n must be an integer"),
        (lambda: sg.prove_stein(1, m[0]), TypeError, "sequence of expressions"),
        (lambda: sg.prove_stein(1, [m[0]]), ValueError, "each of the 2 sets of variables, got 1"),
        (lambda: sg.prove_stein(1, [m[0], 1, 0]), ValueError, "each of the 2 sets of variables, got 3"),
        (lambda: sg.prove_stein(1, [m[1], 1]), ValueError, "contains m_1"),
        (lambda: sg.prove_neuron_expectations(False, g[0]), TypeError, "sequence of three expressions"),
        (lambda: sg.prove_neuron_expectations(False, "g_0"), TypeError, "sequence of three expressions"),
        (lambda: sg.prove_neuron_expectations(False, NEURON[:2]), ValueError, "three expressions, .*, got 2"),
        (lambda: sg.prove_neuron_expectations(False, ["g_0", 0, 0]), TypeError, "must be a SymPy expression"),
        (lambda: sg.prove_neuron_expectations(False, GATED), ValueError, "contains kappa, nu"),
        (lambda: sg.prove_neuron_expectations(True, [g[0] * w[0], 0, 0]), ValueError, "contains w_0"),
        (lambda: sg.prove_neuron_expectations(True, [g[0], g[0] * w[1], 0]), ValueError, r"sg\.w\[0\], sg\.v\[0\]\."),
        (lambda: sg.prove_neuron_expectations(True, [g[4], 0, 0]), ValueError, "contains g_4"),
    ],
)
def test_bad_arguments(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


def test_the_text_of_a_proof():
    assert str(sg.prove_stein(2)).splitlines() == [
        "Stein's identity of order 2 proved",
        "  form            polynomials in m and S                       rational coefficients",
        "  f = exp(t·x)    Σ_A coefficient Π_A a_i = E Π(x_i + a_i)     difference is 0, with a = S t",
    ]
    equation = "(S_01 + m_0 m_1) e + m_1 (SG)_0 + m_0 (SG)_1 + (SHS)_01"
    assert str(sg.prove_neuron_expectations()).splitlines() == [
        "neuron: expectations proved",
        f"  form            {'polynomials in g_k and w_i':<{len(equation)}}     rational coefficients",
        f"  E f             {'e':<{len(equation)}}     difference is 0 in every g_k",
        f"  E f x_0         {'m_0 e + (SG)_0':<{len(equation)}}     difference is 0 in every g_k",
        f"  E f x_0 x_1     {equation}     difference is 0 in every g_k",
    ]


def test_latex():
    text = sg.prove_neuron_expectations(gated=True)._repr_latex_()
    assert r"\mathrm{E} \partial_0 f = g_{0} v_{0}" in text
    assert text.count(r"\text{proved}") == 4
    assert r"\sum_A \beta_A" in sg.prove_stein(2)._repr_latex_()
