"""Quadrature rules: good ones pass their check, each way of spoiling one is noticed, and who gets none is told why."""

import importlib
import re
from dataclasses import replace
from functools import cache

import pytest
import sympy

import symgauss as sg
from symgauss import Phi, mu, phi, sigma, x
from symgauss.codegen.evaluation import Integrated, evaluation
from symgauss.codegen.plan import NoKernel, Plan
from symgauss.codegen.quadrature import Rule, make_rule
from symgauss.codegen.verification import LEFT_OUT, check

# the module: the package has a function of the same name
choosing = importlib.import_module("symgauss.codegen.evaluation")
SLOW = pytest.mark.slow


def logistic(z):
    return 1 / (1 + sympy.exp(-z))


@cache
def rule_of(name):
    return make_rule(sg.Activation(name, sg.activation(name).formula), "no reason")


@pytest.mark.parametrize(
    "name",
    [
        "sigmoid",
        "silu",
        "gelu_tanh",
        *(pytest.param(n, marks=SLOW) for n in ("tanh", "softplus", "mish", "tanhshrink")),
    ],
)
def test_the_rules_of_the_catalogue_pass(name):
    assert 0 < check(rule_of(name)) <= LEFT_OUT


# Rules spoiled in one place each.


def with_wrong_weight(rule):
    """The largest weight off by 1e-9 of itself."""
    worst = max(range(len(rule.weights)), key=lambda j: abs(rule.weights[j]))
    weights = (*rule.weights[:worst], rule.weights[worst] * (1 + 1e-9), *rule.weights[worst + 1 :])
    return replace(rule, weights=weights)


def with_swapped_weights(rule):
    first, second, *rest = rule.weights
    return replace(rule, weights=(second, first, *rest))


def with_moved_node(rule):
    j = max(range(len(rule.weights)), key=lambda j: abs(rule.weights[j]))
    return replace(rule, nodes=(*rule.nodes[:j], rule.nodes[j] + 1e-8, *rule.nodes[j + 1 :]))


def within(rule, farthest):
    """Without the nodes farther out."""
    kept = [(y, w) for y, w in zip(rule.nodes, rule.weights) if abs(y) < farthest]
    nodes, weights = zip(*kept)
    return replace(rule, nodes=nodes, weights=weights)


def without_last_exponential(rule):
    (half_lines,) = rule.families
    left = replace(half_lines.left, decays=half_lines.left.decays[:-1])
    return replace(rule, families=(replace(half_lines, left=left),))


def with_steeper_asymptote(rule):
    (half_lines,) = rule.families
    right = replace(half_lines.right, slope=half_lines.right.slope + sympy.Rational(1, 10**8))
    return replace(rule, families=(replace(half_lines, right=right),))


@pytest.mark.parametrize(
    "spoil",
    [
        with_wrong_weight,
        with_swapped_weights,
        with_moved_node,
        without_last_exponential,
        with_steeper_asymptote,
        lambda rule: within(rule, 3.0),
        lambda rule: replace(rule, switch=2 * rule.switch),
        lambda rule: replace(rule, switch=rule.switch / 4),
        lambda rule: replace(rule, count=rule.count // 2),
        lambda rule: replace(rule, step=1.5 * rule.step),
    ],
    ids=["weight", "swap", "node", "exponential", "asymptote", "reach", "late", "early", "count", "step"],
)
@pytest.mark.parametrize("name", ["sigmoid", pytest.param("silu", marks=SLOW)])
def test_a_spoiled_rule_is_refused(name, spoil):
    with pytest.raises(NoKernel, match=rf"{name}: a quadrature rule misses \S+ of its size at mean \S+, std "):
        check(spoil(rule_of(name)))


@pytest.mark.parametrize(
    "spoil",
    [
        with_wrong_weight,
        lambda rule: within(rule, 2.0),
        lambda rule: replace(rule, families=rule.families[:-1]),
        lambda rule: replace(rule, switch=3 * rule.switch),
        lambda rule: replace(rule, falls=None),
    ],
    ids=["weight", "reach", "blend", "late", "peak"],
)
def test_a_spoiled_blend_is_refused(spoil):
    with pytest.raises(NoKernel, match="gelu_tanh: a quadrature rule misses"):
        check(spoil(rule_of("gelu_tanh")))


def test_an_activation_whose_rule_is_refused_is_integrated(monkeypatch):
    def careless(act, *more):
        return replace(make_rule(act, *more), switch=2.0)

    monkeypatch.setattr(choosing, "make_rule", careless)
    found = evaluation(sg.Activation("careless", logistic(x)))
    assert isinstance(found, Integrated)
    assert "a quadrature rule misses" in found.reason


# Who gets a rule, and who does not.


@pytest.mark.parametrize(
    ("expr", "reason"),
    [
        (x / (1 + sympy.Abs(x)), "is not smooth at 0"),
        (sympy.Piecewise((sympy.tanh(x), x < 1), (x, True)), "is not smooth at 1"),
        (logistic(x) * sympy.sign(x), "is not smooth at 0"),
        (x * Phi(x) ** 2, "no function of exponentials"),
        (sympy.tanh(x) * sympy.exp(-(x**2) / 2), "no function of exponentials"),
        (sympy.sqrt(1 + x**2), "no function of exponentials"),
        (sympy.sin(x) * sympy.tanh(x), "no function of exponentials"),
        (logistic(x) * logistic(sympy.sqrt(2) * x), "no function of exponentials"),
        (x**2 * logistic(x), r"a tail with the factor x\*\*2; half-lines are known for straight ones"),
        (x**2 * sympy.tanh(x**3 + x), "no straight asymptote"),
        (x**2 + 1, "no singularity"),
    ],
)
def test_who_gets_no_rule_is_told_why(expr, reason):
    with pytest.raises(NoKernel, match=reason):
        make_rule(sg.Activation("invented", expr), "no reason")


def test_rules_are_made_for_numbers():
    a = sympy.Symbol("a", positive=True)
    with pytest.raises(NoKernel, match="fixed parameter values only"):
        make_rule(sg.Activation("parametric", logistic(a * x), {a: a}), "no reason")


@pytest.mark.parametrize(
    ("expr", "kind", "reason"),
    [
        (sympy.Max(0, x), Plan, ""),
        (sympy.exp(-sympy.Abs(x)), Plan, ""),
        (x * logistic(2 * x), Rule, r"1/\(1 \+ exp\(-2\*x\)\) is not a polynomial or exponential factor"),
        (sympy.tanh(x / 2) - 3, Rule, r"tanh\(x/2\) is outside"),
        (x / (1 + sympy.Abs(x)), Integrated, "is not a polynomial.*; invented is not smooth at 0"),
        (sympy.Max(0, x) ** 3, Integrated, r"known for the jump x\*\*3 at 0; .*not smooth at 0"),
        (x * Phi(x) ** 2, Integrated, "bivariate normal distribution function; no function of exponentials"),
        (sympy.tanh(x) ** 3, Rule, "tanh.* is outside"),
        (sympy.tanh(x + x**3 / 10), Integrated, "tanh.* is outside .*; a quadrature rule misses"),
    ],
)
def test_every_activation_gets_the_best_evaluation_that_is_known(expr, kind, reason):
    found = evaluation(sg.Activation("invented", expr))
    assert type(found) is kind
    if isinstance(found, Plan):
        assert found.proof.holds
    else:
        assert sympy.srepr(found.activation.formula) == sympy.srepr(expr)
        assert re.search(reason, found.reason), found.reason


# A formula that a user offers is believed only if it is proved.

WIDE = sympy.sqrt(1 + sigma**2)


@pytest.mark.parametrize(
    ("act", "claim", "step"),
    [
        ("silu", mu * Phi(mu / sigma), "heat equation"),
        ("tanh", sympy.erf(mu / sympy.sqrt(2 + 2 * sigma**2)), "initial value"),
        ("relu", mu * Phi(mu / sigma), "heat equation"),
        ("gelu", mu * Phi(mu / WIDE), "heat equation"),
        ("gelu", mu * Phi(mu / sigma) + sigma * phi(mu / sigma), "initial value"),
        ("square", mu**2 + sigma**2 + phi(mu / sigma) / sigma, "growth"),
    ],
)
def test_a_false_closed_form_is_refused_with_the_step_that_fails(act, claim, step):
    proof = sg.prove_mean(act, mean=claim)
    assert not proof.holds
    failing = [found for found in proof.steps if found.name == step]
    assert failing
    assert failing[0].status != "proved"
    assert failing[0].reason in str(proof)
