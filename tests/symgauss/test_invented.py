"""Activations that Hypothesis invents: proved, or integrated numerically, and right as emitted, run as plain Python."""

import math

import mpmath
import pytest
import sympy
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import symgauss as sg
from symgauss import Phi, x
from symgauss.codegen.evaluation import evaluation
from symgauss.codegen.plan import Plan
from tests.symgauss.invented import as_plain_python, error, expressions, glued, run, slopes, smooth, truth

TOLERANCE = 1e-11
PLACES = [(0.3, 0.7), (-1.9, 2.5), (0.8, 0.05), (-0.4, 8.0)]
SETTINGS = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


# Each example is proved, integrated and run as plain Python, for seconds; more of them are slow tests.
FEW = settings(SETTINGS, max_examples=4)
SMOOTH, GLUED = (family.filter(lambda e: e.has(x)) for family in (smooth, glued))


def text_agrees(expr, place, scope, order=4):
    """h_0 … h_4 and g_0 … g_3, both against the definition."""
    true, size = truth(expr, *place, order)
    h = run(scope, "hermite", *place, order)
    assert error(h, true, size) < TOLERANCE, f"h of {expr} at {place}: {h}"
    g = run(scope, "derivatives", *place, 3)
    assert error(g, slopes(true[:4], place[1]), slopes(size[:4], place[1])) < TOLERANCE, f"g of {expr} at {place}: {g}"


def derived_and_right(expr, place):
    act = sg.Activation("invented", expr)
    compiled = sg.compile(act)
    if compiled.kind == "closed form":
        assert sg.prove_mean(act).holds
        assert "by symgauss.prove_mean: heat equation, growth, initial value" in compiled.formulas
    else:
        assert "no closed form: " in compiled.formulas
    text_agrees(expr, place, as_plain_python(compiled))


@FEW
@given(SMOOTH, st.sampled_from(PLACES))
def test_sums_and_products(expr, place):
    derived_and_right(expr, place)


@pytest.mark.slow
@SETTINGS
@given(SMOOTH, st.sampled_from(PLACES))
def test_many_sums_and_products(expr, place):
    derived_and_right(expr, place)


@FEW
@given(GLUED, st.sampled_from(PLACES))
def test_pieces_on_random_intervals(expr, place):
    derived_and_right(expr, place)


@pytest.mark.slow
@SETTINGS
@given(GLUED, st.sampled_from(PLACES))
def test_pieces_on_many_random_intervals(expr, place):
    derived_and_right(expr, place)


LOGISTIC = 1 / (1 + sympy.exp(-x))
TELLING = {
    # a sum of both kinds, a bump, a jump; and functions whose derivatives once overflowed for wide s
    "polynomial_gate": x**2 - 3 * Phi(2 * x + 1),
    "bump": sympy.exp(-sympy.Abs(x)) * x**2,
    "jump": sympy.Piecewise((sympy.tanh(x), x < sympy.Rational(1, 3)), (sympy.cos(x), True)),
    "logistic_pieces": sympy.Piecewise((LOGISTIC**2 * sympy.exp(x), x < 1), (sympy.log(1 + sympy.exp(x)), True)),
    "gated_arc": x * sympy.atan(x) * LOGISTIC,
    "serf": x * sympy.erf(sympy.log(1 + sympy.exp(x))),
    "swish": x / (1 + sympy.exp(-2 * x)),
}


@pytest.mark.parametrize("name", TELLING)
def test_those_that_tell_something(name):
    expr = TELLING[name]
    scope = as_plain_python(sg.compile(sg.Activation(name, expr)))
    for place in ((0.3, 0.7), (-0.4, 30.0), (-9.0, 1.1)):
        text_agrees(expr, place, scope)


@pytest.mark.parametrize("name", ["polynomial_gate", "jump", "swish"])
def test_the_comparison_notices_a_change_of_the_text(name):
    compiled = sg.compile(sg.Activation(name, TELLING[name]))
    scope = as_plain_python(compiled)
    value = scope["value"]
    scope["value"] = lambda y: value(y) + 1e-8
    for closed in ("hermite", "asymptote"):
        if made := scope.get(closed):
            scope[closed] = lambda mu, sigma, made=made: tuple(h + 1e-8 for h in made(mu, sigma))
    with pytest.raises(AssertionError, match=r"h of .* at "):
        text_agrees(TELLING[name], (0.3, 0.7), scope)


def test_the_truth_is_the_integral():
    """Against what is known without any integration: E |y|, and moments of a step."""
    with mpmath.workdps(30):
        true, size = truth(sympy.Abs(x), 0.0, 2.0, 2)
        for found, known in zip(true, (2 * mpmath.sqrt(2 / mpmath.pi), 0, 2 * mpmath.sqrt(2 / mpmath.pi))):
            assert abs(found - known) < 1e-20
        assert size[0] == true[0]
        true, _ = truth(sympy.Piecewise((0, x < 1), (1, True)), 0.5, 0.25, 1)
        assert abs(true[0] - mpmath.erfc(mpmath.sqrt(2)) / 2) < 1e-20
        assert abs(true[1] - mpmath.npdf(2)) < 1e-20
        true, _ = truth(sympy.sin(x), 0.5, 30.0, 1)
        assert abs(true[0] - mpmath.sin(0.5) * mpmath.exp(-450)) < 1e-18


def test_the_error_of_nothing_and_of_no_number():
    assert error([0.0], [mpmath.mpf(0)], [mpmath.mpf(0)]) == 0
    assert error([1.0], [mpmath.mpf(0)], [mpmath.mpf(0)]) == math.inf
    assert error([math.nan], [mpmath.mpf(1)], [mpmath.mpf(1)]) == math.inf


@settings(SETTINGS, max_examples=5)
@given(expressions)
def test_a_false_closed_form_of_an_invention_is_refused(expr):
    """Even one that is wrong by a solution of the heat equation."""
    act = sg.Activation("invented", expr)
    if isinstance(evaluation(act), Plan):
        proof = sg.prove_mean(act, mean=sg.gaussian_mean(act) + Phi(sg.mu / sg.sigma) / 1000)
        assert proof.status == "refuted"
        assert next(step.name for step in proof.steps if step.status != "proved") == "initial value", str(proof)
