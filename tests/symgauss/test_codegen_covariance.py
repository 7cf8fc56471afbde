"""Covariance kernels: formulas come apart into terms, what cancels is written otherwise, and the text computes them."""

import math
import sys
import types

import mpmath
import pytest
import sympy
from mpmath import mpf

import symgauss as sg
from symgauss.codegen import __main__ as command
from symgauss.codegen import covariance, rounding
from symgauss.codegen.covariance import Kernel, association, centred, module, parts
from symgauss.codegen.plan import NoKernel
from symgauss.codegen.rounding import apart, root, size, steady, with_squares
from symgauss.symbols import Phi, Phi2, mu_1, mu_2, phi, rho, sigma_1, sigma_2
from tests.marks import mostly_slow
from tests.oracle.binormal import by_angle

FOLDER = command.TARGET / "covariance"
WITH_FORMULA = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
VALUES = {mu_1: 0.7, sigma_1: 1.3, mu_2: -0.45, sigma_2: 0.8, rho: -0.35}
PARAMETERS = {"alpha": 1.2, "lambd": 0.4, "max_val": 0.9, "min_val": -1.1, "negative_slope": 0.3, "threshold": 0.2}


# --- the emitted text, as plain Python with primitives from the math module --------------------------------


def _Phi2(h, k, r):
    return float(by_angle(h, k, r))


def _normal(z):
    return 0.5 * math.erfc(-z / math.sqrt(2)), math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _answered(asked, answers, n, answer):
    half = len(answers) // 2
    for j in range(half):
        for i in range(n):
            h, k, r, less, more = (row[i] for row in asked[5 * j : 5 * j + 5])
            assert less == pytest.approx(1 - r)
            assert more == pytest.approx(1 + r)
            answers[j][i], answers[half + j][i] = answer(h, k, r), 1.0


PLAIN = {
    "BLOCK": 1,
    "ROUNDING": 1e-15,
    "UNDERFLOW": 0.0,
    "within": lambda z: z,
    "conditional": lambda k, h, r, less, more: (k - r * h) / math.sqrt(less * more),
    "complements": lambda r, square: ((1 - r), square / (1 - r)),
    "quadratic": lambda x, y, less, more: x * x + y * y - (more - less) * x * y,
    "Phi_phi_sized": lambda z, extent: (*_normal(z), *([extent] * 2)),
    "centred_Phi_sized": lambda z, extent: (_normal(z)[0] - 0.5, extent),
    "distributions": lambda asked, answers, n: _answered(asked, answers, n, _Phi2),
    "associations": lambda asked, answers, n: _answered(
        asked, answers, n, lambda h, k, r: _Phi2(h, k, r) - _normal(h)[0] * _normal(k)[0]
    ),
    "pair": lambda work, i: (*(row[i] for row in work[:5]), 1 - work[4][i], 1 + work[4][i]),
}


# What blocks of pairs, and threads of a GPU, are made with.
UNUSED = ("load", "store", "in_order", "Phi2_sized", "association_sized")


def as_plain_python(text):
    """The functions of an emitted module, for one pair at a time."""
    names = ("numeric.binormal", "numeric.covariance_kernels", "numeric.jit", "numeric.special")
    made = {name: types.ModuleType(name) for name in names}
    binormal, shared, jit, special = made.values()
    for module_of in (binormal, shared):
        vars(module_of).update(PLAIN | dict.fromkeys(UNUSED))
    jit.device = jit.loop = lambda function: function
    special.exp = math.exp
    saved = {name: sys.modules.get(name) for name in made}
    sys.modules |= made
    try:
        namespace: dict = {}
        exec(text, namespace)
        return namespace
    finally:
        for name, original in saved.items():
            sys.modules.pop(name) if original is None else sys.modules.update({name: original})


def computed(text, values, parameters=()):
    """What the emitted functions make of one pair: the value, and what rounding may have made of it."""
    functions = as_plain_python(text)
    given = (*(float(values[s]) for s in (mu_1, sigma_1, mu_2, sigma_2, rho)), 1 - values[rho], 1 + values[rho])
    given = (*given, *parameters)
    asked = [[v] for name in functions if name.startswith("corner_") for v in functions[name](*given)]
    answers = [[0.0] for _ in range(2 * len(asked) // 5)]
    answer = "associations" if "associations" in text else "distributions"
    PLAIN[answer](asked, answers, 1)
    return functions["covariance"](*given, *(row[0] for row in answers))


def evaluated(formula, values, parameters):
    """The formula to 30 digits."""
    exact = {s: sympy.Rational(v) for s, v in values.items()} | {
        s: sympy.Rational(parameters[s.name]) for s in formula.free_symbols - set(values)
    }
    return float(formula.xreplace(exact).evalf(30))


# Made of the same parts as elu, hardtanh and hardswish, and among the longest.
LONG = {"celu", "selu", "relu6", "hardsigmoid", "hardshrink", "softshrink"}


@pytest.mark.parametrize("name", mostly_slow(WITH_FORMULA, fast=set(WITH_FORMULA) - LONG))
def test_the_checked_in_text_computes_the_formula(name):
    act = sg.activation(name).symbolic
    names = sorted(p.name for p in act.parameters)
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    formula = sg.gaussian_covariance(act)
    for values in (VALUES, VALUES | {rho: 0.8, mu_2: 1.4}):
        value, doubt = computed(text, values, [PARAMETERS[n] for n in names])
        true = evaluated(formula, values, PARAMETERS)
        assert value == pytest.approx(true, rel=1e-11, abs=1e-13)
        assert 0 < doubt < 1e-11


def test_the_comparison_notices_a_wrong_coefficient():
    text = (FOLDER / "relu.py").read_text(encoding="utf-8")
    true = evaluated(sg.gaussian_covariance("relu"), VALUES, {})
    assert computed(text, VALUES)[0] == pytest.approx(true, rel=1e-12)
    for old, new in (
        ("(mu_1*mu_2 + rho", "(mu_1*mu_2 - rho"),
        ("*phi_2\n", "*phi_2*1.001\n"),
        ("within(mu_1/sigma_1)", "within(mu_1)"),
    ):
        assert old in text
        assert computed(text.replace(old, new), VALUES)[0] != pytest.approx(true, rel=1e-6)


def test_there_is_a_kernel_for_every_formula():
    have = set()
    for name in sg.activation_names():
        try:
            sg.gaussian_covariance(name)
        except sg.NoClosedForm:
            continue
        have.add(name)
    assert set(WITH_FORMULA) == have


@pytest.mark.parametrize("name", WITH_FORMULA)
def test_a_module_says_what_it_is(name):
    text = " ".join((FOLDER / f"{name}.py").read_text(encoding="utf-8").split())
    for part in (f"E[σ(Y₁) σ(Y₂)] of {name}(x) = ", "by symgauss.prove_covariance: mean, Price, start, analyticity"):
        assert part in text
    for part in ("Formula ", "Kernel ", "operations, sizes included", "Source formula ", "Generated by `python -m"):
        assert part in text


def test_check_notices_an_edited_covariance(tmp_path):
    files = {f"covariance/{path.name}": path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}
    assert command.write(tmp_path, files)
    assert command.problems(tmp_path, files) == []
    edited = tmp_path / "covariance" / "relu.py"
    edited.write_text(edited.read_text().replace("mu_1*mu_2", "mu_1*mu_1"))
    (tmp_path / "covariance" / "gelu.py").unlink()
    found = command.problems(tmp_path, files)
    assert [line.split(" (")[0] for line in found] == [
        "missing: covariance/gelu.py",
        "stale or edited: covariance/relu.py",
    ]


# --- what is made of a formula, and what is refused --------------------------------------------------------


def test_what_is_not_proved_gets_no_kernel(monkeypatch):
    proof = sg.prove_covariance("relu", sg.gaussian_covariance("relu") + rho)
    assert not proof.holds
    monkeypatch.setattr(covariance, "prove_covariance", lambda _: proof)
    with pytest.raises(NoKernel, match=r"relu: its covariance is .*not proved"):
        module(sg.activation("relu"))
    with pytest.raises(sg.NoClosedForm):
        module(sg.activation("tanh"))


def test_terms_come_apart():
    z = mu_1 / sigma_1
    (one, two) = parts(rho * sympy.exp(mu_1) * Phi(z) * phi(z) + 2)
    assert (one.coefficient, one.exponent, one.functions) == (2, 0, ())
    assert (two.coefficient, two.exponent, set(two.functions)) == (rho, mu_1, {Phi(z), phi(z)})
    with pytest.raises(NoKernel, match="is no product"):
        parts(rho * (Phi(z) + mu_1))
    with pytest.raises(NoKernel, match=r"\(k − rho h\)/√\(1 − rho²\)"):
        Kernel(parts(Phi(rho**2 * mu_1 / sympy.sqrt(1 - rho**2))))


def test_centred_distribution_functions_are_found():
    """4 Φ₂ − 2 Φ − 2 Φ + 1, which would leave nothing for small arguments."""
    terms = parts(sg.gaussian_covariance("erf"))
    assert {type(f) for term in terms for f in term.functions} == {association, centred}
    plain = parts(sg.gaussian_covariance("erf") + 1)
    assert {type(f) for term in plain for f in term.functions} == {Phi2, Phi}


# --- sizes, and forms that do not cancel --------------------------------------------------------------------


def test_sizes():
    assert size(mu_1 - 3 * rho * sigma_1) == sympy.Abs(mu_1) + 3 * sigma_1 * sympy.Abs(rho)
    assert size(mu_1 * (mu_1 - mu_2) ** 2) == sympy.Abs(mu_1) * (sympy.Abs(mu_1) + sympy.Abs(mu_2)) ** 2
    assert size(sympy.cos(mu_1) - sympy.sin(mu_2)) == 2
    assert size(1 / sympy.sqrt(sigma_1**2 + 1)) == 1 / sympy.sqrt(sigma_1**2 + 1)


def same(form, original):
    """Whether two forms agree as numbers; `quadratic` and the abbreviations are written out."""
    with mpmath.workdps(30):
        scope = {s.name: mpf(v) for s, v in VALUES.items()}
        less, more = 1 - scope["rho"], 1 + scope["rho"]
        scope |= {"less": less, "more": more, "apart": less * more, "root": mpmath.sqrt(less * more)}
        scope |= {"sqrt": mpmath.sqrt, "quadratic": PLAIN["quadratic"]}
        return abs(eval(str(form), scope) - eval(str(original), scope)) < 1e-25


BOTH = sigma_1**2 * sigma_2**2
CANCELLING = [
    BOTH - rho**2 * BOTH + 1,
    BOTH * (1 - rho**2 * sigma_2**2 / (sigma_2**2 + 1)),
    1 - rho**2 * BOTH / ((1 + sigma_1**2) * (1 + sigma_2**2)),
    sigma_1**2 / 2 - rho**2 * sigma_1**2 / 2 + mu_1,
]


@pytest.mark.parametrize("expr", CANCELLING)
def test_steady_forms_are_the_same_and_cancel_less(expr):
    form = steady(expr)
    assert form.has(apart)
    assert same(form, expr)
    assert rounding._amplification(form) < 1e-3 * rounding._amplification(expr)


def test_what_does_not_cancel_stays():
    assert steady(1 + rho**2 * sigma_1) == 1 + rho**2 * sigma_1
    assert steady(mu_1 * (1 - rho**2) ** 2 / sympy.sqrt(1 - rho**2)) == mu_1 * apart ** sympy.Rational(3, 2)
    assert steady(mu_1 / sympy.sqrt(1 - rho**2)) == mu_1 / root


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("scale", [1, sympy.Rational(-1, 2)])
def test_squares_are_joined(sign, scale):
    x, y = mu_1 * sigma_2, mu_2 * sigma_1
    expr = mu_1 + sympy.expand(scale * (x**2 + y**2 - 2 * sign * rho * x * y))
    form = with_squares(expr)
    assert str(form).count("quadratic(") == 1
    assert same(form, expr)
    assert not form.has(rho)


def test_sums_that_are_no_squares_stay():
    expr = sigma_1**2 + sigma_2**2 - 3 * rho * sigma_1 * sigma_2
    assert with_squares(expr) == expr
